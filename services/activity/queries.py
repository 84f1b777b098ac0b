"""The statements of the activity feeds: the ids of a page, and its total.

A page reads an index backwards until it is full. The total comes from the counters of events;
only events after or before a given number are counted as rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    String,
    TableValuedAlias,
    Uuid,
    any_,
    bindparam,
    cast,
    column,
    func,
    select,
    true,
    type_coerce,
    union_all,
)

from core.db.reads import Query
from core.paging import PAGE_LIMIT, PAGE_OFFSET
from models import AgentEventCount, Board, Event, EventCount, EventType
from services import boards, counters, messages
from services.gateways import requests, runs

UNDOABLE_DECISION_EVENTS = (EventType.APPROVAL_DECIDED, EventType.APPROVAL_UNDONE)
"""Not in any feed: a decision that can still be undone leaves no entry if it is undone."""

HIDDEN_EVENTS = (
    *UNDOABLE_DECISION_EVENTS,
    *messages.MESSAGE_EVENTS,
    *requests.REQUEST_EVENTS,
    *runs.RUN_EVENTS,
    EventType.AGENT_SYNCED,
    EventType.TASK_REORDERED,
    EventType.TASK_LINK_UPDATED,
)
"""Not in any feed. The delivery steps of messages are hidden, because each notification has its own
event. Successful gateway updates and answers are hidden; only failures are shown. The steps of a
run are shown with the run.
"""

MEMORY_EVENTS = (
    EventType.BOARD_MEMORY_CREATED,
    EventType.BOARD_MEMORY_UPDATED,
    EventType.BOARD_MEMORY_DELETED,
    EventType.GROUP_MEMORY_CREATED,
    EventType.GROUP_MEMORY_UPDATED,
    EventType.GROUP_MEMORY_DELETED,
)
"""Only in the memory and its streams, not in a feed (contract 3.8)."""

FEED_EVENTS = tuple(type for type in EventType if type not in {*HIDDEN_EVENTS, *MEMORY_EVENTS})
"""The events of the feeds."""

STOP_EVENTS = (EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED)
"""Events of the organization that all members see: they concern the agents of every board."""

HOLD_EVENTS = (
    EventType.AGENT_HELD,
    EventType.AGENT_RELEASED,
    EventType.AGENT_PAUSED,
    EventType.AGENT_RESUMED,
)
"""Events that admins see for the agents of gateways, too."""

_TYPES = ARRAY(String)
_SEQ = BigInteger()

_GROUP_BOARD_IDS = select(Board.id).where(
    Board.id.in_(boards.READABLE_BOARD_IDS),
    Board.board_group_id == bindparam("group_id", type_=Uuid),
)

MAX_MERGED_TYPES = 20  # event types of a filter whose newest events are merged


class FeedShape(NamedTuple):
    """What a feed is restricted to. Each restriction is a parameter of the statement."""

    is_of_agent: bool = False  # the own feed of the agent `agent_id`, on all its boards
    by_agent: bool = False
    by_board: bool = False
    by_group: bool = False  # only the readable boards of a group
    before: bool = False
    after: bool = False
    is_merged: bool = False  # of each board and type the newest are merged, for few types


@dataclass(frozen=True)
class _EventSource:
    """The columns that events and their counters share."""

    model: type[Event | EventCount | AgentEventCount]

    def build_condition(self, shape: FeedShape) -> ColumnElement[bool]:
        """Build the condition for the events of a feed."""
        condition = self._equals("organization_id") & _is_any_of(self.model.type, "types")
        if not shape.is_of_agent:
            condition &= self._build_board_condition(shape)
        if shape.is_of_agent or shape.by_agent:
            condition &= self._equals("agent_id")
        return condition

    def _build_board_condition(self, shape: FeedShape) -> ColumnElement[bool]:
        model = self.model
        if shape.by_board:  # the caller has checked that it is readable
            return self._equals("board_id")
        if shape.by_group:
            return model.board_id.in_(_GROUP_BOARD_IDS)
        without_board = model.board_id.is_(None) & _is_any_of(model.type, "types_without_board")
        return model.board_id.in_(boards.READABLE_BOARD_IDS) | without_board

    def _equals(self, name: str) -> ColumnElement[bool]:
        """Compare a column with the parameter of its name, for events as in `_is_listed`."""
        value = bindparam(name, type_=Uuid)
        column = getattr(self.model, name)
        return column.between(value, value) if self.model is Event else column == value


@cache
def build_feed_query(shape: FeedShape) -> tuple[Select[*tuple[Any, ...]], ColumnElement[int]]:
    """Build the query for the ids of a page, newest first, and the expression of its total."""
    ids = _merge_newest(shape) if shape.is_merged else _read_backwards(shape)
    return ids, _build_total(shape)


def _read_backwards(shape: FeedShape) -> Select[*tuple[Any, ...]]:
    query = select(Event.id).where(_EventSource(Event).build_condition(shape))
    if shape.before:
        query = query.where(Event.seq < bindparam("before", type_=_SEQ))
    if shape.after:
        query = query.where(Event.seq > bindparam("after", type_=_SEQ))
    owner = Event.organization_id
    if shape.is_of_agent or shape.by_agent:
        owner = Event.agent_id
    elif shape.by_board:
        owner = Event.board_id
    query = query.order_by(owner.desc(), Event.seq.desc())
    return query.limit(PAGE_LIMIT).offset(PAGE_OFFSET)


def _merge_newest(shape: FeedShape) -> Select[*tuple[Any, ...]]:
    """Merge the newest events of each board and type, which one index has in their order."""
    is_chosen = bindparam("board_id", type_=Uuid).label("id")
    board_ids: Select[Any] = select(is_chosen) if shape.by_board else boards.READABLE_BOARD_IDS
    board, listed = board_ids.subquery("board"), _list_types("types")
    is_on_board = (Event.board_id == board.c.id) & _is_listed(listed)
    newest = _newest_of(shape, is_on_board).lateral("newest")
    parts = [
        select(newest.c.id, newest.c.seq).join_from(board, listed, true()).join(newest, true())
    ]
    if not shape.by_board:
        others_listed = _list_types("types_without_board")
        others = _newest_of(
            shape,
            (Event.organization_id == bindparam("organization_id"))
            & Event.board_id.is_(None)
            & _is_listed(others_listed)
            & _is_any_of(Event.type, "types"),
        ).lateral("others")
        parts.append(select(others.c.id, others.c.seq).join_from(others_listed, others, true()))
    merged = union_all(*parts).subquery("merged")
    query = select(merged.c.id).order_by(merged.c.seq.desc())
    return query.limit(PAGE_LIMIT).offset(PAGE_OFFSET)


def _list_types(name: str) -> TableValuedAlias:
    types = func.unnest(bindparam(name, type_=_TYPES))
    return types.table_valued(column("type", String), name=f"listed_{name}").render_derived()


def _is_listed(types: TableValuedAlias) -> ColumnElement[bool]:
    """Compare as a range, so that the order by type and number needs the index of both.

    With `=` PostgreSQL may read the index of the numbers alone: through all events, if those of the
    type are old or rarer than it expects.
    """
    type = type_coerce(Event.type, String)
    return type.between(types.c.type, types.c.type)


def _newest_of(shape: FeedShape, condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    query = select(Event.id, Event.seq).where(condition)
    query = query.order_by(Event.type.desc(), Event.seq.desc())
    if shape.before:
        query = query.where(Event.seq < bindparam("before", type_=_SEQ))
    if shape.after:
        query = query.where(Event.seq > bindparam("after", type_=_SEQ))
    return query.limit(PAGE_LIMIT + PAGE_OFFSET)


def _build_total(shape: FeedShape) -> ColumnElement[int]:
    of_events = _EventSource(Event).build_condition(shape)
    counted = select(func.count()).select_from(Event).where(of_events)
    if shape.after:
        between = counted.where(Event.seq > bindparam("after", type_=_SEQ))
        if shape.before:
            between = between.where(Event.seq < bindparam("before", type_=_SEQ))
        return between.scalar_subquery()
    model = AgentEventCount if shape.is_of_agent or shape.by_agent else EventCount
    total = counters.sum_event_counts(model, _EventSource(model).build_condition(shape))
    if shape.before:
        total -= counted.where(Event.seq >= bindparam("before", type_=_SEQ)).scalar_subquery()
    return total


@cache
def build_type_counts_query(shape: FeedShape) -> Query[tuple[EventType, int]]:
    """Build the query for the number of events of each type of a feed, from the counters."""
    model = AgentEventCount if shape.by_agent else EventCount
    total = cast(func.sum(model.count), BigInteger)
    query = select(model.type, total).where(_EventSource(model).build_condition(shape))
    return Query(query.group_by(model.type))


def _is_any_of(type: Any, name: str) -> ColumnElement[bool]:
    return type_coerce(type, String) == any_(bindparam(name, type_=_TYPES))


def list_types(kinds: Sequence[str]) -> list[EventType]:
    """Return the event types of a feed with these kinds: types or their prefixes; all if empty."""
    if not kinds:
        return list(FEED_EVENTS)
    prefixes = tuple(f"{kind}." for kind in kinds)
    return [type for type in FEED_EVENTS if type in kinds or type.startswith(prefixes)]
