"""Reads of a sync: which agents it concerns, and which files the gateway has.

A sync concerns the agents of boards that the user may change and that are not paused. Linked agents
are never written to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select

from core.db.reads import Query, Source
from core.errors import UpstreamError
from core.text import N_
from models import Agent, DesiredState, Gateway, Member
from openclaw import ErrorKind, GatewayClient, GatewayError, get_error_hint, get_error_values
from openclaw import api as gateway_api
from services import boards
from services.gateways import GatewayConnector, provisioning
from services.gateways.files import FILE_NAMES, list_read_files

READ_TIMEOUT = 60.0  # seconds for the files of all agents
MAX_FILE_LENGTH = 1_000_000  # characters that are kept; a file so long is the agent's own anyway

SINGLE_AGENT_ERRORS = frozenset({ErrorKind.REJECTED, ErrorKind.MALFORMED, ErrorKind.TOO_LARGE})
"""Errors that concern one agent. All others concern the gateway, and end the read."""


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
class SyncProblem:
    """A problem with one agent, or with the whole sync.

    `code` and `values` are for texts in other languages than that of the message.
    """

    code: str
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)
    agent: Agent | None = None
    board_id: UUID | None = None  # if it concerns no single agent

    @classmethod
    def from_agent_error(cls, error: GatewayError, gateway: Gateway) -> "SyncProblem":
        """Convert an error of a gateway that concerns one agent."""
        sentence, _command = get_error_hint(error, gateway.url)
        return cls(error.kind.value, sentence, get_error_values(error, gateway.url))

    @classmethod
    def from_gateway_error(cls, error: UpstreamError) -> "SyncProblem":
        """Convert an error that concerns the whole gateway."""
        return cls(error.code, error.message, error.details)


TOO_LATE = SyncProblem(
    "too_late",
    N_(
        "The gateway took too long to return the files of this agent. Try again for its board only."
    ),
)
NOT_SELECTABLE = SyncProblem(
    "board_not_selectable", N_("This board is not on this gateway, or you cannot change it.")
)


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
    problem: SyncProblem | None = None  # why no agent is selected


@dataclass
class RemoteFiles:
    """The files that a gateway has of each agent, and the problems of reading them.

    `config` is its configuration; None if it could not be read.
    """

    files_of_agent: dict[UUID, FileContents] = field(default_factory=dict)
    unlisted: set[UUID] = field(default_factory=set)  # agents that the gateway does not have
    agent_problems: dict[UUID, SyncProblem] = field(default_factory=dict)
    problem: SyncProblem | None = None  # of the gateway
    config: Mapping[str, Any] | None = None


GATEWAY_AGENTS: Query[Agent] = Query(
    select(Agent)
    .where(
        Agent.gateway_id == bindparam("gateway_id"),
        Agent.organization_id == bindparam("organization_id"),
    )
    .order_by(Agent.board_id.is_(None), Agent.created_at, Agent.id),
    itemgetter(0),
)


USER_BOARD = boards.USER_BOARDS.subquery()
BOARD_ACCESS: Query[tuple[UUID, BoardWriteAccess]] = Query(
    select(USER_BOARD.c.id, USER_BOARD.c.reads & USER_BOARD.c.writes, USER_BOARD.c.paused_at).where(
        USER_BOARD.c.gateway_id == bindparam("gateway_id"),
        USER_BOARD.c.organization_id == bindparam("organization_id"),
    ),
    lambda row: (row[0], BoardWriteAccess(bool(row[1]), row[2] is not None)),
)


async def select_agents(
    source: Source, member: Member, gateway: Gateway, options: SyncOptions
) -> AgentSelection:
    """Return the agents that a sync concerns."""
    parameters = {"gateway_id": gateway.id, "organization_id": gateway.organization_id}
    access = dict(await BOARD_ACCESS.fetch(source, user_id=member.user_id, **parameters))
    if options.board_id is not None:
        board = access.get(options.board_id)
        if board is None or not board.may_change:
            return AgentSelection(problem=NOT_SELECTABLE)
    agents = await GATEWAY_AGENTS.fetch(source, **parameters)
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
        return RemoteFiles(problem=SyncProblem.from_gateway_error(error))
    except TimeoutError:
        done = remote.files_of_agent | remote.agent_problems
        late = [agent.id for agent in agents if agent.id not in done]
        remote.agent_problems |= dict.fromkeys(late, TOO_LATE)
    return remote


async def _read_agents(
    client: GatewayClient, gateway: Gateway, agents: Sequence[Agent], remote: RemoteFiles
) -> None:
    slots = provisioning.get_call_semaphore(gateway.id)
    async with slots:
        listed = {agent.id for agent in await gateway_api.list_agents(client, retry=True)}
    for agent in agents:
        key = agent.gateway_key
        if key is None or key not in listed:
            remote.unlisted.add(agent.id)
            remote.files_of_agent[agent.id] = dict.fromkeys(FILE_NAMES)
            continue
        try:
            names = list_read_files(agent, FILE_NAMES)
            remote.files_of_agent[agent.id] = await _read_files(client, key, names, slots)
        except GatewayError as error:
            if error.kind not in SINGLE_AGENT_ERRORS:
                raise
            remote.agent_problems[agent.id] = SyncProblem.from_agent_error(error, gateway)
    async with slots:
        try:
            remote.config = (await gateway_api.get_config(client, retry=True)).parsed
        except GatewayError as error:
            if error.kind not in SINGLE_AGENT_ERRORS:
                raise


async def _read_files(
    client: GatewayClient, key: str, names: Sequence[str], slots: asyncio.Semaphore
) -> FileContents:
    """Read the files of one agent concurrently. Raises the first GatewayError of them."""

    async def read_file(name: str) -> gateway_api.GatewayFile:
        async with slots:
            return await provisioning.read_file(client, key, name, retry=True)

    contents = await asyncio.gather(*map(read_file, names), return_exceptions=True)
    files: dict[str, str | None] = {}
    for name, file in zip(names, contents, strict=True):
        if isinstance(file, BaseException):
            raise file
        files[name] = file.content and file.content[:MAX_FILE_LENGTH]
    return files
