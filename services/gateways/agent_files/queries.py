"""Who may see and edit the files of an agent, and reading them from its gateway.

Files are for admins who may read the agent's board; editing needs the right to change it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from core.db.reads import Source
from core.errors import Conflict, Forbidden
from core.text import N_
from models import Agent, DesiredState, FileAuthor, Member
from openclaw import GatewayClient
from openclaw import api as gateway_api
from services import agents, boards, gateways
from services.agents import FileVersion
from services.gateways import GatewaySummary, files, sync
from services.gateways.agent_files.rules import SOUL_FILE, AgentFile


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
                "board_write_forbidden", N_("You may read this board, but not change it.")
            )
        if self.obstacle is not None:
            reason = N_("The files of an agent that is linked, or being removed, are not changed.")
            raise Conflict("agent_files_read_only", reason)


async def get_file_access(source: Source, member: Member, agent_id: UUID) -> AgentFileAccess:
    """Return the access to the files of an agent.

    Raises NotFound, and Forbidden for members who are no admins or may not read its boards.
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
    if latest and latest.digest == files.content_digest(file.content):
        return latest.author, latest.created_at, latest.user_name
    written = agent.provisioning_state.file_digests.get(file.name, ())
    is_ours = files.content_digest(file.raw or "") in written or bool(
        file.managed and not file.content
    )
    return FileAuthor.SYNC if is_ours else FileAuthor.GATEWAY, file.updated_at, None
