"""Reads of a sync: which agents it concerns, and which files the gateway has.

A sync concerns the agents of boards that the user may change and that are not paused. Linked agents
are never written to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import UpstreamError
from models import Agent, DesiredState, Gateway, Member
from openclaw import ErrorKind, GatewayClient, GatewayError, get_error_hint
from openclaw import api as gateway_api
from services import boards
from services.gateways import GatewayConnector
from services.gateways.files import FILE_NAMES

READ_TIMEOUT = 60.0  # seconds for the files of all agents
MAX_FILE_LENGTH = 1_000_000  # characters that are kept; a file so long is the agent's own anyway

SINGLE_AGENT_ERRORS = frozenset({ErrorKind.REJECTED, ErrorKind.MALFORMED, ErrorKind.TOO_LARGE})
"""Errors that concern one agent. All others concern the gateway, and end the read."""

TOO_LATE = "The gateway took too long to tell what it has of this agent. Try again for its board."

FileContents = Mapping[str, str | None]
"""Contents by file name; None for a missing file."""


@dataclass(frozen=True, kw_only=True)
class SyncOptions:
    """The options of a sync."""

    include_main: bool = True
    lead_only: bool = False
    reset_sessions: bool = False
    rotate_tokens: bool = False
    overwrite: bool = False
    board_id: UUID | None = None


@dataclass(frozen=True)
class BoardWriteAccess:
    """Whether the user may change a board on the gateway, and whether it is paused."""

    may_change: bool
    is_paused: bool


@dataclass(frozen=True)
class AgentSelection:
    """The agents of a sync: those of boards, oldest first, then the one that manages the gateway.

    `sees_all` says whether the user may change every board on the gateway: the files of its own
    agent name all of them. `lacks_main` says that the gateway has no own agent and gets one.
    """

    agents: Sequence[Agent] = ()
    skipped: int = 0
    sees_all: bool = True
    lacks_main: bool = False
    problem: str | None = None  # why no agent is selected


@dataclass
class RemoteFiles:
    """The files that a gateway has of each agent, and the problems of reading them."""

    files_of_agent: dict[UUID, FileContents] = field(default_factory=dict)
    unlisted: set[UUID] = field(default_factory=set)  # agents that the gateway does not have
    agent_problems: dict[UUID, str] = field(default_factory=dict)
    problem: str | None = None  # of the gateway


async def select_agents(
    session: AsyncSession, member: Member, gateway: Gateway, options: SyncOptions
) -> AgentSelection:
    """Return the agents that a sync concerns."""
    access = await _load_board_access(session, member, gateway)
    if options.board_id is not None and not _may_change_board(access, options.board_id):
        return AgentSelection(problem="This board is not on this gateway, or not yours to change.")
    query = select(Agent).where(
        Agent.gateway_id == gateway.id,
        Agent.organization_id == gateway.organization_id,
    )
    order = (Agent.board_id.is_(None), Agent.created_at, Agent.id)
    agents = (await session.scalars(query.order_by(*order))).all()
    selected = [agent for agent in agents if is_selected(agent, options)]
    writable = [agent for agent in selected if may_be_written(agent, access)]
    has_main = any(agent.board_id is None for agent in agents)
    return AgentSelection(
        writable,
        skipped=len(selected) - len(writable),
        sees_all=all(one.may_change for one in access.values()),
        lacks_main=options.include_main and not has_main,
    )


def is_selected(agent: Agent, options: SyncOptions) -> bool:
    """Return whether the options include an agent. Agents that are being removed are excluded."""
    if agent.desired_state is DesiredState.GONE:
        return False
    if agent.board_id is None:
        return options.include_main
    if options.board_id is not None and agent.board_id != options.board_id:
        return False
    return agent.is_board_lead or not options.lead_only


def may_be_written(agent: Agent, access: Mapping[UUID, BoardWriteAccess]) -> bool:
    """Return whether the files of an agent may be written now."""
    if agent.is_linked or agent.desired_state is None:
        return False
    if agent.board_id is None:
        return True
    board = access.get(agent.board_id)
    return board is not None and board.may_change and not board.is_paused


async def read_remote_files(
    connector: GatewayConnector, gateway: Gateway, agents: Sequence[Agent]
) -> RemoteFiles:
    """Read the files of these agents from a gateway; problems are part of the result.

    Never call it inside a transaction.
    """
    remote = RemoteFiles()
    if not agents:
        return remote
    try:
        async with connector.connect(gateway) as client, asyncio.timeout(READ_TIMEOUT):
            await _read_agents(client, gateway, agents, remote)
    except UpstreamError as error:
        return RemoteFiles(problem=error.message)
    except TimeoutError:
        done = remote.files_of_agent | remote.agent_problems
        late = [agent.id for agent in agents if agent.id not in done]
        remote.agent_problems |= dict.fromkeys(late, TOO_LATE)
    return remote


async def _load_board_access(
    session: AsyncSession, member: Member, gateway: Gateway
) -> Mapping[UUID, BoardWriteAccess]:
    board = boards.visible_boards_query(member.user).subquery()
    query = select(board.c.id, board.c.reads & board.c.writes, board.c.paused_at).where(
        board.c.gateway_id == gateway.id, board.c.organization_id == gateway.organization_id
    )
    rows = await session.execute(query)
    return {id: BoardWriteAccess(bool(may), paused_at is not None) for id, may, paused_at in rows}


def _may_change_board(access: Mapping[UUID, BoardWriteAccess], board_id: UUID) -> bool:
    board = access.get(board_id)
    return board is not None and board.may_change


async def _read_agents(
    client: GatewayClient, gateway: Gateway, agents: Sequence[Agent], remote: RemoteFiles
) -> None:
    listed = {agent.id for agent in await gateway_api.list_agents(client, retry=True)}
    for agent in agents:
        key = agent.gateway_key
        if key is None or key not in listed:
            remote.unlisted.add(agent.id)
            remote.files_of_agent[agent.id] = dict.fromkeys(FILE_NAMES)
            continue
        try:
            remote.files_of_agent[agent.id] = await _read_files(client, key)
        except GatewayError as error:
            if error.kind not in SINGLE_AGENT_ERRORS:
                raise
            remote.agent_problems[agent.id] = get_error_hint(error, gateway.url).sentence


async def _read_files(client: GatewayClient, key: str) -> FileContents:
    """Read the files of one agent concurrently. Raises the first GatewayError of them."""
    contents = await asyncio.gather(
        *[gateway_api.read_agent_file(client, key, name, retry=True) for name in FILE_NAMES],
        return_exceptions=True,
    )
    files: dict[str, str | None] = {}
    for name, content in zip(FILE_NAMES, contents, strict=True):
        if isinstance(content, BaseException):
            raise content
        files[name] = content and content[:MAX_FILE_LENGTH]
    return files
