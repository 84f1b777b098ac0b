"""Agent cards: agents as pages show them, with their current task, run and computed state."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Interval,
    Select,
    String,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    union,
)

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Forbidden
from core.text import N_
from models import (
    Agent,
    Board,
    CodingSession,
    Gateway,
    Member,
    Run,
    RunStatus,
    SessionState,
    Status,
    Task,
    ToolCall,
)
from services import boards
from services.agents import rules
from services.agents.creation import choose_free_name
from services.agents.queries import agent_not_found
from services.agents.rules import (
    HAS_CLIENT,
    OFFLINE_AFTER,
    AgentState,
    SessionSigns,
    StatusEvidence,
)

CardRow: TypeAlias = tuple[
    Agent,
    Board | None,
    Task | None,
    Gateway | None,
    str | None,  # the phase of its run
    datetime | None,  # when the run was last reported
    bool,  # whether a tool call is held
    datetime | None,
    datetime | None,
    bool,  # whether a coding client runs it
]

MAX_NAMES = 100  # that are tried for a new agent


@dataclass(frozen=True)
class ActiveRun:
    """A run of an agent that is in progress on its gateway."""

    phase: str | None  # defined in services.gateways.runs.run_state
    quiet_for: timedelta  # since the last report of its gateway


@dataclass(frozen=True)
class AgentCard:
    """An agent as pages show it: what it is doing, and what its computed state is based on."""

    agent: Agent
    board_name: str | None
    task: Task | None  # the one in progress
    run: ActiveRun | None
    unreachable_for: (
        timedelta | None
    )  # since its gateway is unreachable, unless it has called since
    state: AgentState
    heartbeat_interval: timedelta | None  # None: it sends no heartbeats
    silent_for: timedelta | None  # None: it has never called
    evidence: StatusEvidence
    evidence_age: timedelta | None  # the age of the evidence
    uncalled_for: timedelta | None = None  # since its creation, if it never called by itself
    has_client: bool = False  # a coding client runs it, which sends no heartbeats


async def list_agent_cards(
    source: Source,
    member: Member,
    *,
    gateway_id: UUID | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Sequence[AgentCard]:
    """Return the agents of the boards that a member may read.

    Sorted by board; within a board the lead comes first, the others follow by name. `gateway_id`
    limits the result.
    """
    query = _build_list_query(of_gateway=gateway_id is not None, is_admin=member.is_admin)
    rows = await query.fetch(source, gateway_id=gateway_id, **boards.access_parameters(member))
    return build_cards(rows, offline_after)


async def load_agent_cards(
    source: Source,
    member: Member,
    ids: Collection[UUID],
    *,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Mapping[UUID, AgentCard]:
    """Return those of these agents that `list_agent_cards` lists, by id."""
    query = _build_ids_query(is_admin=member.is_admin)
    rows = await query.fetch(source, ids=list(ids), **boards.access_parameters(member))
    return {card.agent.id: card for card in build_cards(rows, offline_after)}


@cache
def _build_ids_query(*, is_admin: bool) -> Query[CardRow]:
    is_given = Agent.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))
    return Query(select_cards().where(is_given, *list_conditions(is_admin=is_admin)))


async def suggest_free_name(source: Source, member: Member, wanted: str) -> str:
    """Return the wanted name, with a number if an agent that the member sees has it."""
    names = [wanted, *(f"{wanted} {number}" for number in range(2, MAX_NAMES + 1))]
    query = _build_taken_names_query(is_admin=member.is_admin)
    parameters = boards.access_parameters(member)
    taken = await query.fetch(source, names=[name.lower() for name in names], **parameters)
    return choose_free_name(wanted, taken)


@cache
def _build_taken_names_query(*, is_admin: bool) -> Query[str]:
    is_taken = func.lower(Agent.name) == any_(bindparam("names", type_=ARRAY(String())))
    names = select(Agent.name).where(is_taken, *list_conditions(is_admin=is_admin))
    return Query(names, itemgetter(0))


def list_conditions(*, is_admin: bool) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the agents that a member sees in lists."""
    readable = Agent.board_id.in_(boards.READABLE_BOARD_IDS)
    visible = readable | Agent.board_id.is_(None) if is_admin else readable
    return Agent.organization_id == bindparam("organization_id"), visible


LIST_ORDER = (Board.name, Board.id, Agent.is_board_lead.desc(), Agent.name, Agent.id)


@cache
def _build_list_query(*, of_gateway: bool, is_admin: bool) -> Query[CardRow]:
    query = select_cards().where(*list_conditions(is_admin=is_admin))
    if of_gateway:
        query = query.where(Agent.gateway_id == bindparam("gateway_id"))
    return Query(query.order_by(*LIST_ORDER))


async def list_board_agent_cards(
    source: Source,
    board: Board,
    *,
    agent_id: UUID | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Sequence[AgentCard]:
    """Return the agents of a board that the caller may read, or only the one with the id.

    The lead comes first, then the others by name.
    """
    query = _build_board_query(by_id=agent_id is not None)
    rows = await query.fetch(source, board_id=board.id, agent_id=agent_id)
    return build_cards(rows, offline_after)


@cache
def _build_board_query(*, by_id: bool) -> Query[CardRow]:
    query = select_cards().where(Agent.board_id == bindparam("board_id"))
    if by_id:
        query = query.where(Agent.id == bindparam("agent_id"))
    return Query(query.order_by(*BOARD_ORDER))


BOARD_ORDER = (Agent.is_board_lead.desc(), Agent.name, Agent.id)
MAX_ACTIVE = 20  # agents of each sign of activity


class BoardAgents(NamedTuple):
    """Some agents of a board, the lead first and the others by name, and the number of all."""

    cards: Sequence[AgentCard]
    total: int


async def load_board_agents(
    source: Source,
    board: Board,
    agent_ids: Collection[UUID],
    *,
    offline_after: timedelta = OFFLINE_AFTER,
) -> BoardAgents:
    """Return the agents of a board that a page about its tasks shows.

    These are the lead, those that are held, the first that work or whose client waits, and those
    with the ids.
    """
    parameters = {"board_id": board.id, "agent_ids": list(agent_ids)}
    rows = await BOARD_AGENTS.fetch(source, **parameters)
    total = rows[0][1] if rows else await AGENT_COUNT.first(source, board_id=board.id)
    return BoardAgents(build_cards([row for row, _ in rows], offline_after), total or 0)


def _build_board_agents_query() -> Query[tuple[CardRow, int]]:
    is_on_board = Agent.board_id == bindparam("board_id", type_=Uuid())
    tasks_begun = (
        select(Task.assigned_agent_id)
        .where(
            Task.board_id == bindparam("board_id", type_=Uuid()),
            Task.status == Status.IN_PROGRESS,
            Task.assigned_agent_id.is_not(None),
        )
        .distinct()
        .order_by(Task.assigned_agent_id)
        .limit(literal_column(str(MAX_ACTIVE)))
    )
    runs = _select_active(Run.agent_id, Run.status == RunStatus.RUNNING)
    sessions = _select_active(
        CodingSession.agent_id,
        CodingSession.last_signal_at > func.now() - SESSIONS_SINCE,
        CodingSession.state == SessionState.WORKING,
    )
    calls = _select_active(ToolCall.agent_id, IS_CALL_HELD)
    shown = union(
        select(func.unnest(bindparam("agent_ids", type_=ARRAY(Uuid())))),
        select(Agent.id).where(is_on_board, Agent.is_board_lead),
        select(Agent.id).where(is_on_board, Agent.held_at.is_not(None)),
        *(part.subquery().select() for part in (tasks_begun, runs, sessions, calls)),
    )
    total = select(func.count()).select_from(Agent).where(is_on_board).correlate(None)
    cards = select_cards().add_columns(total.scalar_subquery().label("total"))
    cards = cards.where(is_on_board, Agent.id.in_(shown)).order_by(*BOARD_ORDER)
    return Query(cards, lambda row: (tuple(row[:-1]), row[-1]))


def _select_active(agent_id: Any, *conditions: ColumnElement[bool]) -> Select[Any]:
    """Select the first agents of the board `board_id` with a sign of activity, by id."""
    query = select(agent_id).join(Agent, Agent.id == agent_id).where(*conditions)
    query = query.where(Agent.board_id == bindparam("board_id", type_=Uuid()))
    return query.distinct().order_by(agent_id).limit(literal_column(str(MAX_ACTIVE)))


def build_cards(rows: Sequence[CardRow], offline_after: timedelta) -> list[AgentCard]:
    """Return the cards of rows that `select_cards` selects."""
    moment = now()
    return [_build_card(*row, moment, offline_after) for row in rows]


class AgentProblem(StrEnum):
    """Why agents need attention."""

    FAILED = "failed"  # provisioning failed, or it does not respond on its gateway
    AWAY = "away"
    SILENT = "silent"  # late or offline, though it has called before


class AgentProblemCount(NamedTuple):
    """The number of agents with a problem; name and last call are only meaningful for one agent."""

    problem: AgentProblem
    count: int
    name: str
    last_seen_at: datetime | None


async def count_agent_problems(
    source: Source,
    member: Member,
    *,
    board_ids: Collection[UUID] | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Mapping[AgentProblem, AgentProblemCount]:
    """Count the agents that `list_agent_cards` lists and that need attention, in the database.

    `board_ids` limits them to these boards.
    """
    query = _build_problems_query(of_boards=board_ids is not None, is_admin=member.is_admin)
    rows = await query.fetch(
        source,
        board_ids=list(board_ids or ()),
        at=now(),
        offline_after=offline_after,
        **boards.access_parameters(member),
    )
    return {row.problem: row for row in rows}


@cache
def _build_problems_query(*, of_boards: bool, is_admin: bool) -> Query[AgentProblemCount]:
    silent = case((Agent.last_seen_at.is_not(None), AgentProblem.SILENT.value))
    by_state = {
        AgentState.AWAY.value: AgentProblem.AWAY.value,
        AgentState.LATE.value: silent,
        AgentState.OFFLINE.value: silent,
    }
    problem = case(
        (rules.is_failed_condition(), AgentProblem.FAILED.value),
        else_=case(by_state, value=select_state()),
    ).label("problem")
    may_have_problem = or_(
        Agent.provision_failure.is_not(None),
        rules.may_be_silent_condition(STATE_AT, STATE_MINIMUM),
        rules.may_be_away_condition(STATE_AT),
    )
    found = select(problem, Agent.name, Agent.last_seen_at).where(
        may_have_problem, *list_conditions(is_admin=is_admin)
    )
    if of_boards:
        found = found.where(Agent.board_id == func.any(bindparam("board_ids", type_=ARRAY(Uuid()))))
    # Materialized, so that the state is not computed again for each condition.
    each = found.cte("each").prefix_with("MATERIALIZED")
    statement = select(
        each.c.problem, func.count(), func.min(each.c.name), func.min(each.c.last_seen_at)
    )
    statement = statement.where(each.c.problem.is_not(None)).group_by(each.c.problem)
    return Query(statement, lambda row: AgentProblemCount(AgentProblem(row[0]), *row[1:]))


async def get_agent_card(
    source: Source,
    member: Member,
    agent_id: UUID,
    *,
    offline_after: timedelta = OFFLINE_AFTER,
) -> AgentCard:
    """Return one agent of a board that the member may read. Raises NotFound or Forbidden."""
    row = await AGENT_CARD.first(source, agent_id=agent_id, **boards.access_parameters(member))
    if row is None:
        raise agent_not_found()
    agent = row[0]
    if agent.board_id is not None:
        await boards.get_board(source, member, agent.board_id)
    elif not member.is_admin:
        raise Forbidden("admin_required", N_("Only admins see the agents of gateways."))
    return _build_card(*row, now(), offline_after)


def select_cards() -> Select[*tuple[Any, ...]]:
    """Select agents with their board, current task, gateway, active run and sessions of clients.

    The task is the one that has been in progress for the longest. Of the run, the phase and the
    time of its last update are selected, of the sessions what `SessionSigns` has.
    """
    work = (
        select(Task.id)
        .where(Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS)
        .order_by(Task.in_progress_at, Task.id)
        .limit(1)
        .correlate(Agent)
        .lateral("work")
    )
    run = (
        select(Run.phase, Run.updated_at)
        .where(Run.agent_id == Agent.id, Run.status == RunStatus.RUNNING)
        .order_by(Run.started_at.desc(), Run.id.desc())
        .limit(1)
        .correlate(Agent)
        .lateral("run")
    )
    last_signal = func.max(CodingSession.last_signal_at)
    is_working = CodingSession.state == SessionState.WORKING
    sessions = (
        select(
            last_signal.filter(is_working).label("working_at"),
            last_signal.filter(CodingSession.state != SessionState.ENDED).label("open_at"),
        )
        .where(
            CodingSession.agent_id == Agent.id,
            CodingSession.last_signal_at > func.now() - SESSIONS_SINCE,
        )
        .correlate(Agent)
        .lateral("sessions")
    )
    held = select_held_calls()
    return (
        select(
            Agent,
            Board,
            Task,
            Gateway,
            run.c.phase,
            run.c.updated_at,
            held.correlate(Agent).exists(),
            sessions.c.working_at,
            sessions.c.open_at,
            HAS_CLIENT,
        )
        .outerjoin(Board, Board.id == Agent.board_id)
        .outerjoin(work, true())
        .outerjoin(Task, Task.id == work.c.id)
        .outerjoin(Gateway, Gateway.id == Agent.gateway_id)
        .outerjoin(run, true())
        .outerjoin(sessions, true())
    )


def select_state() -> ColumnElement[str]:
    """Select the state of an agent, with the parameters `at` and `offline_after`."""
    runs = select(Run.id).where(Run.agent_id == Agent.id, Run.status == RunStatus.RUNNING)
    work = select(Task.id).where(
        Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS
    )
    sessions = select(CodingSession.id).where(
        CodingSession.agent_id == Agent.id,
        CodingSession.last_signal_at > func.now() - SESSIONS_SINCE,
    )
    is_recent = CodingSession.last_signal_at > STATE_AT - rules.SESSION_SILENT_AFTER
    works = sessions.where(is_recent, CodingSession.state == SessionState.WORKING)
    is_open = sessions.where(CodingSession.state != SessionState.ENDED)
    facts = (runs, work, select_held_calls(), works, is_open, is_open.where(is_recent))
    return rules.state_expression(
        STATE_AT, STATE_MINIMUM, rules.StateFacts(*(one.correlate(Agent).exists() for one in facts))
    )


def select_held_calls() -> Select[UUID]:
    """Select the calls of an agent that a client holds until a person decides."""
    return select(ToolCall.id).where(ToolCall.agent_id == Agent.id, IS_CALL_HELD)


STATE_AT: ColumnElement[datetime] = bindparam("at", type_=DateTime(timezone=True))
STATE_MINIMUM: ColumnElement[timedelta] = bindparam("offline_after", type_=Interval())
"""The parameters of `select_state`."""
SESSIONS_SINCE = literal_column("interval '1 day'")  # older ones say nothing about the agent now
IS_CALL_HELD = and_(
    ToolCall.answer.is_(None),
    ToolCall.abandoned_at.is_(None),
    ToolCall.waits_until > func.now(),
)
BOARD_AGENTS = _build_board_agents_query()
AGENT_COUNT: Query[int] = Query(
    select(func.count()).select_from(Agent).where(Agent.board_id == bindparam("board_id")),
    itemgetter(0),
)


AGENT_CARD: Query[CardRow] = Query(
    select_cards()
    .where(
        Agent.id == bindparam("agent_id"),
        Agent.organization_id == bindparam("organization_id"),
    )
    .execution_options(populate_existing=True)
)


def _build_card(
    agent: Agent,
    board: Board | None,
    task: Task | None,
    gateway: Gateway | None,
    phase: str | None,
    ran_at: datetime | None,
    is_held: bool,
    working_at: datetime | None,
    open_at: datetime | None,
    has_client: bool,
    moment: datetime,
    minimum: timedelta,
) -> AgentCard:
    evidence = rules.find_status_evidence(agent, moment)
    run = ActiveRun(phase, moment - ran_at) if ran_at else None
    away_since = rules.find_away_since(agent, gateway, moment)
    activity = {"working": task is not None, "running": run is not None}
    signs = SessionSigns(is_held, working_at, open_at)
    state = rules.compute_state(
        agent, gateway, moment, minimum, signs=signs, has_client=has_client, **activity
    )
    return AgentCard(
        agent=agent,
        board_name=board.name if board else None,
        task=task,
        run=run,
        unreachable_for=moment - away_since if away_since else None,
        state=state,
        heartbeat_interval=rules.heartbeat_interval(agent),
        silent_for=moment - agent.last_seen_at if agent.last_seen_at else None,
        evidence=evidence,
        evidence_age=moment - evidence.at if evidence.at else None,
        uncalled_for=moment - agent.created_at if agent.is_uncalled else None,
        has_client=has_client,
    )
