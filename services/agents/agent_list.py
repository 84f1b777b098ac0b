"""The list of agents, which is searched, filtered and sorted in the database, page by page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.full_text import contains_words, format_patterns
from core.db.reads import Query, Source
from core.paging import KeysetPage, KeysetQuery, PagePlace
from models import Agent, Board, Member, Status, Task
from services import boards
from services.agents.cards import (
    AgentCard,
    CardRow,
    build_cards,
    list_conditions,
    select_cards,
    select_state,
)
from services.agents.rules import OFFLINE_AFTER, AgentState

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  # stands for never in an order
MAX_COUNTED = 1_000


class AgentSort(StrEnum):
    """By what a list of agents is sorted."""

    NAME = "name"
    BOARD = "board"
    STATE = "state"
    SEEN = "seen"  # the last call, the latest first
    TASK = "task"


@dataclass(frozen=True)
class AgentFilters:
    """Which agents a list has. All words are in the name, the role or the board of an agent."""

    words: Sequence[str] = ()
    states: Sequence[AgentState] = ()  # any without one
    board_id: UUID | None = None
    gateway_id: UUID | None = None
    is_held: bool = False  # by a circuit breaker or a person


class StateCount(NamedTuple):
    """The number of agents in a state, and of those that are held."""

    state: AgentState
    count: int
    held_count: int


@dataclass(frozen=True)
class AgentList:
    """A page of a list, and the number of all its agents.

    `counts` are those of each state, without the filter of states; None if there are more than
    MAX_COUNTED agents, because the state of each would be computed for every page.
    """

    page: KeysetPage[AgentCard]
    total: int
    counts: Sequence[StateCount] | None


async def list_agent_page(
    source: Source,
    member: Member,
    size: int,
    place: PagePlace,
    filters: AgentFilters | None = None,
    *,
    sort: AgentSort = AgentSort.NAME,
    is_descending: bool = False,
    offline_after: timedelta = OFFLINE_AFTER,
) -> AgentList:
    """Return a page of the agents that `list_agent_cards` lists, and the numbers of all."""
    filters = filters or AgentFilters()
    parameters: dict[str, object] = {
        **boards.access_parameters(member),
        "at": now(),
        "offline_after": offline_after,
        "patterns": format_patterns(filters.words),
        "board_id": filters.board_id,
        "gateway_id": filters.gateway_id,
    }
    kind = {
        "is_admin": member.is_admin,
        "by_words": bool(filters.words),
        "on_board": filters.board_id is not None,
        "on_gateway": filters.gateway_id is not None,
    }
    limited = {"by_state": bool(filters.states), "only_held": filters.is_held}
    parameters["states"] = [*filters.states]
    total = await _build_total_query(**limited, **kind).first(source, **parameters) or 0
    query = _build_page_query(sort, is_descending=is_descending, **limited, **kind)
    found = await query.fetch_page(source, size, place, **parameters)
    page = KeysetPage(build_cards(found.items, offline_after), found.before, found.after)
    counts: Sequence[StateCount] = await _build_count_query(**kind).fetch(source, **parameters)
    is_counted = sum(one.count for one in counts) <= MAX_COUNTED
    return AgentList(page, total, counts if is_counted else None)


@cache
def _build_count_query(
    *, is_admin: bool, by_words: bool, on_board: bool, on_gateway: bool
) -> Query[StateCount]:
    state = select_state().label("state")
    found = _select_found(
        state,
        Agent.held_at.label("held_at"),
        is_admin=is_admin,
        by_words=by_words,
        on_board=on_board,
        on_gateway=on_gateway,
    )
    found = found.limit(literal_column(str(MAX_COUNTED + 1))).subquery()
    counts = select(found.c.state, func.count(), func.count(found.c.held_at))
    return Query(
        counts.group_by(found.c.state), lambda row: StateCount(AgentState(row[0]), *row[1:])
    )


@cache
def _build_total_query(**limits: bool) -> Query[int]:
    found = _select_limited(**limits).subquery()
    return Query(select(func.count()).select_from(found), itemgetter(0))


@cache
def _build_page_query(
    sort: AgentSort, *, is_descending: bool, **limits: bool
) -> KeysetQuery[CardRow]:
    found = _select_limited(**limits)
    keys, by_name = _build_sort_keys()[sort], [func.lower(Agent.name), Agent.id]
    order = [*keys, *by_name]
    if is_descending:
        order = [key.desc() for key in order]
    return KeysetQuery(found, order, lambda page: select_cards().join(page, page.c.id == Agent.id))


def _build_sort_keys() -> Mapping[AgentSort, Sequence[ColumnElement[Any]]]:
    title = (
        select(func.lower(Task.title))
        .where(Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS)
        .order_by(Task.in_progress_at, Task.id)
        .limit(1)
        .correlate(Agent)
        .scalar_subquery()
    )
    board_name = func.coalesce(func.lower(Board.name), literal(""))
    ranks = {state.value: rank for rank, state in enumerate(AgentState)}
    age = literal(datetime(2100, 1, 1, tzinfo=UTC)) - func.coalesce(Agent.last_seen_at, LONG_AGO)
    return {
        AgentSort.NAME: [],
        AgentSort.BOARD: [Agent.board_id.is_(None), board_name, ~Agent.is_board_lead],
        AgentSort.STATE: [case(ranks, value=select_state())],
        AgentSort.SEEN: [cast(func.extract("epoch", age), Float)],
        AgentSort.TASK: [title.is_(None), func.coalesce(title, literal(""))],
    }


def _select_limited(*, by_state: bool, only_held: bool, **kind: bool) -> Select[UUID]:
    found = _select_found(Agent.id, **kind)
    if by_state:
        found = found.where(select_state() == func.any(bindparam("states", type_=ARRAY(String()))))
    if only_held:
        found = found.where(Agent.held_at.is_not(None))
    return found


def _select_found(
    *columns: Any, is_admin: bool, by_words: bool, on_board: bool, on_gateway: bool
) -> Select[Any]:
    found = select(*columns).select_from(Agent).outerjoin(Board, Board.id == Agent.board_id)
    found = found.where(*list_conditions(is_admin=is_admin))
    if by_words:
        role = Agent.identity_profile["role"].astext
        found = found.where(contains_words(Agent.name, role, Board.name))
    if on_board:
        found = found.where(Agent.board_id == bindparam("board_id"))
    if on_gateway:
        found = found.where(Agent.gateway_id == bindparam("gateway_id"))
    return found
