"""The files of one agent as people read and edit them.

Files are for admins who may read the agent's board; editing needs the right to change it.
`get_file_access` checks the rights and loads what a call needs. `read_files`, `read_file` and
`write_file` call the gateway, outside of any transaction; `record_saved_file` records what was
written. The soul of an agent without a gateway is stored here: `save_stored_soul`.

Mission Control writes the upper part of AGENTS.md, with the token of the agent, and people edit the
part below its last line. All other files are edited completely. Tokens are shown as labels.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Source
from core.errors import Conflict, Forbidden, NotFound
from core.security.secrets import hash_token, hide_tokens, restore_tokens
from core.text import N_
from models import Agent, DesiredState, FileAuthor, Member
from openclaw import ErrorKind, GatewayClient, GatewayError
from openclaw import api as gateway_api
from services import agents, boards, events, gateways
from services.agents import FileContent, FileVersion
from services.gateways import GatewaySummary, files, sync
from services.gateways.files import SHARED_FILE

SOUL_FILE = "SOUL.md"
MAX_MODEL_LENGTHS: Mapping[str, int] = dict.fromkeys(files.FILE_NAMES, 20_000) | {
    "USER.md": files.MAX_USER_FILE_LENGTH
}
"""How many UTF-16 units of a file OpenClaw passes to the model of the agent, by file name."""


@dataclass(frozen=True)
class AgentFile:
    """A file as it is now. `raw` contains tokens and is never shown; None: there is no file."""

    name: str
    raw: str | None = field(repr=False)
    updated_at: datetime | None = None

    @property
    def managed(self) -> str:
        """The part that Mission Control writes; its tokens are labels."""
        return hide_tokens(self._split()[0])

    @property
    def content(self) -> str:
        """The part that can be edited; its tokens are labels."""
        return hide_tokens(self._split()[1])

    @property
    def version(self) -> str:
        """The hash of the part that can be edited."""
        return hash_token(self._split()[1])

    @property
    def length(self) -> int:
        """The length of the file as gateways count it."""
        return files.utf16_length(self.raw or "")

    @property
    def is_too_long(self) -> bool:
        """Whether the file is too long to be edited and stored."""
        return len(self.content) > agents.MAX_VERSION_LENGTH

    def normalize(self, content: str) -> str:
        """Return another content as the file shows it once it is written."""
        return AgentFile(self.name, self.replace_content(content)).content

    def replace_content(self, content: str) -> str:
        """Return the whole file with another content, and its tokens in place of their labels."""
        managed, _ = self._split()
        own = restore_tokens(content, self.raw or "")
        if not managed:
            return own
        return f"{managed}\n{own.strip()}\n" if own.strip() else managed

    def _split(self) -> tuple[str, str]:
        """Return the part of ours, and the part that can be edited."""
        raw = self.raw or ""
        above, line, below = f"\n{raw}".partition(f"\n{files.END_OF_MANAGED_PART}")
        if self.name != SHARED_FILE or not line:
            return "", raw
        own = below.strip()
        return f"{above}{line}\n".removeprefix("\n"), f"{own}\n" if own else ""


def check_file_name(name: str) -> str:
    """Return the name of a file of agents. Raises NotFound for another name."""
    if name not in files.FILE_NAMES:
        raise NotFound("file_not_found", N_("Agents have no such file."))
    return name


def check_stored_file_name(name: str) -> str:
    """Return the name of the only file of an agent without a gateway. Raises NotFound."""
    if name != SOUL_FILE:
        raise NotFound("file_not_found", N_("An agent without a gateway has only a soul."))
    return name


class FileObstacle(StrEnum):
    """Why the files of an agent cannot be edited."""

    LINKED = "linked"  # others created the agent, so nothing of it is written
    READ_ONLY = "read_only"  # the member may not change the board
    BEING_REMOVED = "being_removed"


@dataclass(frozen=True)
class AgentFileAccess:
    """An agent whose files a member may see, its gateway, and whether they can be edited."""

    agent: Agent
    summary: GatewaySummary | None
    obstacle: FileObstacle | None = None

    @property
    def gateway(self) -> GatewaySummary | None:
        """The gateway that has the files; None if only the soul is stored, in our database."""
        return self.summary if self.agent.gateway_key else None

    @property
    def stored_soul(self) -> AgentFile:
        """The soul in our database."""
        return AgentFile(SOUL_FILE, self.agent.soul_template or "")

    def require_editable(self) -> None:
        """Raise Forbidden or Conflict if the files cannot be edited."""
        if self.obstacle is FileObstacle.READ_ONLY:
            raise Forbidden(
                "board_write_forbidden", N_("You can read this board but not change it.")
            )
        if self.obstacle is not None:
            reason = N_("The files of an agent that is linked, or being removed, are not changed.")
            raise Conflict("agent_files_read_only", reason)


async def get_file_access(source: Source, member: Member, agent_id: UUID) -> AgentFileAccess:
    """Return the access to the files of an agent.

    Raises NotFound, and Forbidden for members who are not admins or may not read its boards.
    """
    agent = await agents.get_agent(source, member, agent_id)
    summary = None
    if agent.gateway_id is not None:
        summary = await gateways.get_gateway_summary(source, member, agent.gateway_id)
    if agent.board_id is None and summary is not None:
        selection = await sync.select_agents(source, member, summary.gateway, sync.SyncOptions())
        if not selection.sees_all:
            reason = N_("The files of this agent name boards that you may not change.")
            raise Forbidden("board_read_forbidden", reason)
    return AgentFileAccess(agent, summary, await _find_obstacle(source, member, agent))


async def _find_obstacle(source: Source, member: Member, agent: Agent) -> FileObstacle | None:
    if agent.is_linked:
        return FileObstacle.LINKED
    if agent.desired_state is DesiredState.GONE:
        return FileObstacle.BEING_REMOVED
    if agent.board_id is None:
        return None
    permissions = await boards.get_board_permissions(source, member, agent.board_id)
    return None if permissions.can_write else FileObstacle.READ_ONLY


async def read_files(client: GatewayClient, agent: Agent) -> Sequence[AgentFile]:
    """Return all files of an agent. Raises the first GatewayError of them."""
    return await asyncio.gather(*[read_file(client, agent, name) for name in files.FILE_NAMES])


async def read_file(client: GatewayClient, agent: Agent, name: str) -> AgentFile:
    """Return a file of an agent. Raises GatewayError."""
    found = await gateway_api.get_agent_file(client, agent.gateway_key or "", name, retry=True)
    return AgentFile(name, found.content, found.updated_at)


def find_file_origin(
    agent: Agent, file: AgentFile, latest: FileVersion | None
) -> tuple[FileAuthor, datetime | None, str | None]:
    """Return who wrote the present content of a file, when, and the name of the user.

    Only what we have written, or found before, is known: all else is a change on the gateway.
    """
    if latest and latest.digest == hash_token(file.content):
        return latest.author, latest.created_at, latest.user_name
    written = agent.provisioning_state.file_digests.get(file.name, ())
    is_ours = hash_token(file.raw or "") in written or bool(file.managed and not file.content)
    return FileAuthor.SYNC if is_ours else FileAuthor.GATEWAY, file.updated_at, None


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
    expected = None if found.raw is None else hash_token(found.raw)
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
    fields = agents.AgentUpdate.parse({"soul_template": soul})
    await agents.update_agent(session, member, agent_id, fields)
    return WriteResult(True, before)
