"""Record what clients report about their sessions: signs of life, ends of turns, results, usage."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from uuid import UUID

from sqlalchemy import (
    DateTime,
    ScalarSelect,
    Uuid,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.db.transactions import delete_unlocked
from core.errors import Invalid, Unauthorized
from core.text import N_, to_one_line
from models import (
    Agent,
    ClientConnection,
    CodingClient,
    CodingSession,
    EventType,
    SessionState,
    Status,
    Task,
    ToolAnswer,
    ToolCall,
    UsageFact,
    new_id,
)
from services import agents, boards, events
from services.coding_sessions.rules import CLIENT_NAMES, ConnectionKind, find_contact

MAX_KEY_LENGTH = 200  # characters of a client's id of a session, a call or a message
MAX_LINE_LENGTH = 500  # characters of a folder, a model or a version
MAX_TOKENS = 10**12  # of one call of a model
RETURN_AGE = timedelta(hours=24)  # of a call that has returned, since it was asked for
CONNECTION_INTERVAL = timedelta(seconds=30)  # between two records of the same kind of contact


class SessionEventKind(StrEnum):
    """What a client reports by a hook that asks nothing."""

    WORKING = "working"  # the session begins, is resumed or has a prompt
    TOOL_RETURNED = "tool_returned"
    TURN_ENDED = "turn_ended"
    ENDED = "ended"
    USAGE = "usage"


STATES = {
    SessionEventKind.WORKING: SessionState.WORKING,
    SessionEventKind.TOOL_RETURNED: SessionState.WORKING,
    SessionEventKind.TURN_ENDED: SessionState.IDLE,
    SessionEventKind.ENDED: SessionState.ENDED,
    SessionEventKind.USAGE: None,
}


@dataclass(frozen=True)
class UsageReport:
    """The tokens of one call of a model. `key` is the client's id of the call."""

    source: str
    key: str
    _: KW_ONLY
    input: int = 0  # without those of the cache
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    model: str | None = None


@dataclass(frozen=True)
class SessionEvent:
    """A report of a hook that asks nothing. A returned call has a `call_key` or a `request_hash`.

    `is_successful` is None if the client does not say it.
    """

    client: CodingClient
    session_key: str
    kind: SessionEventKind
    _: KW_ONLY
    cwd: str | None = None
    model: str | None = None
    call_key: str | None = None
    request_hash: str | None = None
    is_successful: bool | None = None
    usage: UsageReport | None = None


async def record_signal(
    session: AsyncSession,
    agent: Agent,
    client: CodingClient,
    session_key: str,
    *,
    cwd: str | None = None,
    model: str | None = None,
    state: SessionState | None = None,
    is_call: bool = False,
) -> CodingSession:
    """Record a sign of life of a session, and return it; its row is locked until the commit.

    A request of the hook (`is_call`) shows that the session works. Without a state, the state of a
    known session stays. The session belongs to the task that the agent has in progress, if there is
    exactly one. Records no event: see `build_change_event`.

    The agent and its board are kept. Raises Invalid for a bad `session_key`, and Unauthorized if
    the agent is deleted.
    """
    at, known = now(), CodingSession
    state = state or (SessionState.WORKING if is_call else None)
    values = {
        "id": new_id(),
        "organization_id": agent.organization_id,
        "board_id": agent.board_id,
        "client": client,
        "session_key": check_key(session_key),
        "cwd": shorten(cwd),
        "model": shorten(model),
        "state": state or SessionState.WORKING,
        "started_at": at,
        "last_call_at": at if is_call else None,
        "last_signal_at": at,
        "ended_at": at if state is SessionState.ENDED else None,
    }
    typed = [literal(value, getattr(known, name).type) for name, value in values.items()]
    row = boards.select_kept_agent(agent.id).add_columns(_select_current_task(agent), *typed)
    statement = insert(CodingSession).from_select(["agent_id", "task_id", *values], row)
    new = statement.excluded
    changes = {
        "board_id": new.board_id,
        "task_id": func.coalesce(new.task_id, known.task_id),
        "cwd": func.coalesce(new.cwd, known.cwd),
        "model": func.coalesce(new.model, known.model),
        "last_call_at": func.coalesce(new.last_call_at, known.last_call_at),
        "last_signal_at": func.greatest(new.last_signal_at, known.last_signal_at),
    }
    if state is not None:
        ended_at = func.coalesce(known.ended_at, new.ended_at)
        changes["state"] = new.state
        changes["ended_at"] = case((new.state == SessionState.ENDED, ended_at), else_=None)
    statement = statement.on_conflict_do_update(
        index_elements=["agent_id", "client", "session_key"], set_=changes
    )
    stored = await session.scalar(
        statement.returning(CodingSession), execution_options={"populate_existing": True}
    )
    if stored is None:
        raise Unauthorized
    return stored


def _select_current_task(agent: Agent) -> ScalarSelect[UUID]:
    """Select the id of the task that an agent has in progress, if there is exactly one."""
    found = select(func.array_agg(Task.id)[1]).where(
        Task.board_id == agent.board_id,
        Task.assigned_agent_id == agent.id,
        Task.status == Status.IN_PROGRESS,
    )
    return found.having(func.count() == 1).scalar_subquery()


def build_change_event(agent: Agent, coding_session: CodingSession) -> events.NewEvent:
    """Build the event with which open pages show that a session began or has another state."""
    return agents.agent_event(
        EventType.AGENT_SESSION_CHANGED,
        None,
        agent.board_id,
        agent,
        client=CLIENT_NAMES[coding_session.client],
        session_id=str(coding_session.id),
    )


KNOWN_CONNECTION: Query[ClientConnection] = Query(
    select(ClientConnection)
    .where(
        ClientConnection.agent_id == bindparam("agent_id", type_=Uuid()),
        ClientConnection.client == bindparam("client", type_=ClientConnection.client.type),
    )
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def record_connection(
    session: AsyncSession,
    agent: Agent,
    client: CodingClient,
    *,
    kind: ConnectionKind,
    version: str | None = None,
) -> None:
    """Record that a client has reached the server, at most once in CONNECTION_INTERVAL.

    The first contact of each kind is an event, also after a disconnection: call it in a transaction
    of its own. Raises Unauthorized if the agent is deleted meanwhile.
    """
    at, version = now(), shorten(version)
    known = await KNOWN_CONNECTION.first(session, agent_id=agent.id, client=client)
    before = find_contact(known, kind) if known is not None else None
    is_recorded = before is not None and at - before < CONNECTION_INTERVAL
    if is_recorded and known is not None and version in (None, known.version):
        return
    if not await boards.block_agent_deletion(session, agent.id):
        raise Unauthorized
    name = f"{kind}_at"
    column = getattr(ClientConnection, name)
    statement = insert(ClientConnection).values(
        id=new_id(), agent_id=agent.id, client=client, version=version, created_at=at, **{name: at}
    )
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["agent_id", "client"],
        set_={name: at, "version": func.coalesce(new.version, ClientConnection.version)},
        # a concurrent call may have recorded the same contact
        where=or_(
            column.is_(None),
            column < at - CONNECTION_INTERVAL,
            column <= ClientConnection.disconnected_at,
            new.version != func.coalesce(ClientConnection.version, ""),
        ),
    )
    is_changed = await session.scalar(statement.returning(ClientConnection.id)) is not None
    if before is None and is_changed:
        type = (
            EventType.AGENT_CLIENT_CONNECTED
            if kind is ConnectionKind.HOOK
            else EventType.AGENT_SESSION_CHANGED
        )
        name = CLIENT_NAMES[client]
        event = agents.agent_event(type, None, agent.board_id, agent, client=name, kind=kind)
        await events.record_events(session, [event])


async def record_disconnection(session: AsyncSession, agent: Agent, client: CodingClient) -> None:
    """Record that the settings of a client were restored; nothing if it was never connected.

    Raises Unauthorized if the agent is deleted meanwhile.
    """
    if not await boards.block_agent_deletion(session, agent.id):
        raise Unauthorized
    stored = await session.scalar(
        update(ClientConnection)
        .where(ClientConnection.agent_id == agent.id, ClientConnection.client == client)
        .values(disconnected_at=now())
        .returning(ClientConnection.id)
        .execution_options(synchronize_session=False)
    )
    if stored is not None:
        type, name = EventType.AGENT_CLIENT_DISCONNECTED, CLIENT_NAMES[client]
        event = agents.agent_event(type, None, agent.board_id, agent, client=name)
        await events.record_events(session, [event])


async def record_event(session: AsyncSession, agent: Agent, report: SessionEvent) -> CodingSession:
    """Record what a hook reports that asks nothing, and return the session.

    It records an event if the session is new or has another state, or if a call has returned that
    was not allowed.
    """
    before = await _find_state(session, agent, report)
    stored = await record_signal(
        session,
        agent,
        report.client,
        report.session_key,
        cwd=report.cwd,
        model=report.model,
        state=STATES[report.kind],
    )
    ungated_tool = None
    if report.kind is SessionEventKind.TOOL_RETURNED:
        ungated_tool = await _record_return(session, stored, report)
    if report.usage is not None:
        await record_usage(session, stored, [(report.usage, now())])
    new_events = [build_change_event(agent, stored)] if before != stored.state else []
    if ungated_tool is not None:
        new_events += await build_ungated_events(session, agent, [(stored, ungated_tool)])
    await events.record_events(session, new_events)
    return stored


async def _find_state(
    session: AsyncSession, agent: Agent, report: SessionEvent
) -> SessionState | None:
    return await session.scalar(
        select(CodingSession.state).where(
            CodingSession.agent_id == agent.id,
            CodingSession.client == report.client,
            CodingSession.session_key == report.session_key,
        )
    )


async def _record_return(
    session: AsyncSession, coding_session: CodingSession, report: SessionEvent
) -> str | None:
    """Record that a call was executed, and return its tool if it was not allowed.

    It is the call with its key, or the latest equal one: one that was allowed, if there is one. A
    client executes a call that was not answered when its hook has run into its timeout.
    """
    if report.call_key is None and report.request_hash is None:
        return None
    at, is_allowed = now(), ToolCall.answer == ToolAnswer.ALLOW
    query = select(ToolCall.id, ToolCall.tool, is_allowed, ToolCall.is_ungated).where(
        ToolCall.session_id == coding_session.id, ToolCall.executed_at.is_(None)
    )
    if report.call_key is not None:
        query = query.where(ToolCall.call_key == report.call_key)
    else:
        query = query.where(
            ToolCall.request_hash == report.request_hash, ToolCall.asked_at > at - RETURN_AGE
        )
    order = is_allowed.is_(True).desc(), ToolCall.asked_at.desc()
    found = (await session.execute(query.order_by(*order).limit(1))).first()
    if found is None:
        return None
    id, tool, was_allowed, was_ungated = found
    await session.execute(
        update(ToolCall)
        .where(ToolCall.id == id)
        .values(
            executed_at=at,
            is_successful=report.is_successful,
            is_ungated=was_ungated or not was_allowed,
        )
        .execution_options(synchronize_session=False)
    )
    return None if was_allowed or was_ungated else tool


async def record_usage(
    session: AsyncSession,
    coding_session: CodingSession,
    reports: list[tuple[UsageReport, datetime]],
) -> None:
    """Store the tokens of calls of a model with their times. What is stored already stays as is."""
    rows = [
        {
            "id": new_id(),
            "organization_id": coding_session.organization_id,
            "agent_id": coding_session.agent_id,
            "session_id": coding_session.id,
            "task_id": coding_session.task_id,
            "source": report.source,
            "source_key": check_key(report.key),
            "model": shorten(report.model),
            "input_tokens": _limit(report.input),
            "output_tokens": _limit(report.output),
            "cache_read_tokens": _limit(report.cache_read),
            "cache_write_tokens": _limit(report.cache_write),
            "used_at": used_at,
        }
        for report, used_at in reports
    ]
    if rows:
        statement = insert(UsageFact).values(rows)
        await session.execute(
            statement.on_conflict_do_nothing(index_elements=["agent_id", "source", "source_key"])
        )


def _limit(tokens: int) -> int:
    return min(max(tokens, 0), MAX_TOKENS)


def is_key(key: str) -> bool:
    """Return whether a text can be a client's id of a session, a call or a message."""
    return 0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()


def check_key(key: str) -> str:
    """Return a client's id. Raises Invalid."""
    if not is_key(key):
        raise Invalid("invalid_client_id", N_("An id of the client is missing or not valid."))
    return key


def shorten(text: str | None) -> str | None:
    """Return a text of a client as one line that can be stored, or None if nothing is left."""
    return (to_one_line(text[:MAX_LINE_LENGTH]) or None) if text else None


MAX_UNGATED_EVENTS = 10  # of an agent in an hour; then one event counts them
UNGATED_PERIOD = timedelta(hours=1)

UNGATED_COUNT: Query[tuple[int]] = Query(
    select(func.count()).where(
        ToolCall.agent_id == bindparam("agent_id", type_=Uuid()),
        ToolCall.asked_at > bindparam("since", type_=DateTime(timezone=True)),
        ToolCall.is_ungated,
    )
)


async def build_ungated_events(
    session: AsyncSession, agent: Agent, ungated: Sequence[tuple[CodingSession, str]]
) -> Sequence[events.NewEvent]:
    """Build an event for each call, up to MAX_UNGATED_EVENTS in an hour, then one with the number.

    The calls are stored already.
    """
    [(count,)] = await UNGATED_COUNT.fetch(session, agent_id=agent.id, since=now() - UNGATED_PERIOD)
    before = max(count - len(ungated), 0)
    built = [
        agents.agent_event(
            EventType.AGENT_TOOL_UNGATED,
            None,
            agent.board_id,
            agent,
            client=CLIENT_NAMES[coding_session.client],
            session_id=str(coding_session.id),
            tool=tool,
        )
        for coding_session, tool in ungated[: max(MAX_UNGATED_EVENTS - before, 0)]
    ]
    if before <= MAX_UNGATED_EVENTS < count:
        more = agents.agent_event(
            EventType.AGENT_TOOLS_UNGATED, None, agent.board_id, agent, recent=count
        )
        built.append(more)
    return built


SESSION_RETENTION = timedelta(days=30)  # since the last sign of life
USAGE_RETENTION = timedelta(days=400)  # numbers without a session: a year can be compared


async def delete_old_sessions(session: AsyncSession) -> int:
    """Delete sessions without a sign of life for 30 days, and usage of more than 400 days ago.

    Usage outlives its session. A session is kept as long as one of its calls. It deletes a batch of
    both, and returns the number of rows.
    """
    at, deleted = now(), 0
    has_calls = select(ToolCall.id).where(ToolCall.session_id == CodingSession.id).exists()
    old = (CodingSession.last_signal_at < at - SESSION_RETENTION) & ~has_calls
    old_usage = UsageFact.used_at < at - USAGE_RETENTION
    for model, is_old in ((CodingSession, old), (UsageFact, old_usage)):
        deleted += await delete_unlocked(session, model, is_old)
    return deleted
