"""Commands that change a file of an agent, if it is still the version that was edited."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict
from core.text import N_
from models import Agent, FileAuthor, Member
from openclaw import ErrorKind, GatewayClient, GatewayError
from openclaw import api as gateway_api
from services import agents, events
from services.agents import FileContent
from services.gateways import files
from services.gateways.agent_files.queries import find_file_origin, get_file_access, read_file
from services.gateways.agent_files.rules import SOUL_FILE, AgentFile


@dataclass(frozen=True)
class WriteResult:
    """Whether a file has the new content, and what it was, or is if somebody else changed it."""

    is_written: bool
    found: AgentFile


RecordReplaced = Callable[[AgentFile], Awaitable[None]]
"""Records the version that is about to be replaced."""


async def write_file(
    client: GatewayClient,
    agent: Agent,
    name: str,
    content: str,
    *,
    version: str,
    record_replaced: RecordReplaced,
) -> WriteResult:
    """Write a file if it is still the given version, or has the new content already.

    So a write whose response was lost can be repeated. The gateway compares the version again when
    it writes. Raises GatewayError.
    """
    found = await read_file(client, agent, name)
    if found.raw is not None and found.content == found.normalize(content):
        return WriteResult(True, found)
    if found.version != version or found.is_too_long:
        return WriteResult(False, found)
    await record_replaced(found)
    expected = None if found.raw is None else files.content_digest(found.raw)
    text, key = found.replace_content(content), agent.gateway_key or ""
    try:
        await gateway_api.write_agent_file(client, key, name, text, expected_hash=expected)
    except GatewayError as error:
        if error.kind is not ErrorKind.REJECTED:
            raise
        changed = await read_file(client, agent, name)
        if changed.raw == found.raw:
            raise
        return WriteResult(False, changed)
    return WriteResult(True, found)


async def record_replaced_file(
    session: AsyncSession, member: Member, agent_id: UUID, before: AgentFile
) -> None:
    """Record the version of a file that a member is about to replace.

    Raises NotFound, Forbidden and Conflict if the member may not edit the file.
    """
    (await get_file_access(session, member, agent_id)).require_editable()
    agent, _ = await agents.lock_agent(session, member, agent_id)
    latest = (await agents.load_latest_versions(session, agent)).get(before.name)
    author, _, _ = find_file_origin(agent, before, latest)
    if before.content.strip():
        replaced = FileContent(before.name, before.content, author)
        await agents.record_file_versions(session, agent.id, [replaced])


async def record_saved_file(
    session: AsyncSession, member: Member, agent_id: UUID, before: AgentFile, content: str
) -> None:
    """Record the content with which a member has replaced a file. Raises NotFound and Forbidden."""
    agent, locked = await agents.lock_agent(session, member, agent_id)
    name, content = before.name, before.normalize(content)
    saved = FileContent(name, content, FileAuthor.USER, member.user_id)
    await agents.record_file_versions(session, agent.id, [saved])
    board = locked[agent.board_id] if agent.board_id else None
    changed = agents.agent_updated_event(member.user, board, agent, [name])
    await events.record_events(session, [changed])


async def save_stored_soul(
    session: AsyncSession, member: Member, agent_id: UUID, content: str, *, version: str
) -> WriteResult:
    """Replace the soul of an agent without a gateway, if it is still the given version.

    Raises NotFound, Forbidden, Invalid, and Conflict if the agent has got a gateway meanwhile.
    """
    agent, _ = await agents.lock_agent(session, member, agent_id)
    before = AgentFile(SOUL_FILE, agent.soul_template or "")
    soul = before.replace_content(content.strip())
    content = before.normalize(content.strip())
    if agent.gateway_key is not None:
        raise Conflict("agent_moved", N_("The agent was moved meanwhile. Try again."))
    if before.content == content:
        return WriteResult(True, before)
    if before.version != version:
        return WriteResult(False, before)
    (await get_file_access(session, member, agent_id)).require_editable()
    await agents.update_agent(session, member, agent_id, {"soul_template": soul})
    return WriteResult(True, before)
