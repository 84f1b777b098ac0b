"""Activity feeds: the events and the comments that the actor can read, with the names for them.

A page reads an index backwards until it is full. The total comes from the counters of events;
only events after or before a given number are counted as rows. New ones are counted up to a limit.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

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
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import format_naive_utc
from core.db.reads import AnySelect, Query, Source, choose_columns
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, Paging
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Agent,
    AgentEventCount,
    Board,
    BoardCounts,
    Comment,
    Event,
    EventCount,
    EventType,
    Member,
    Task,
    User,
)
from services import board_pages, boards, counters
from services.board_pages import BoardPageQuery
from services.events import describe_event, list_types, select_deleted_agent_name

STOP_EVENTS = (EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED)
FEED_EVENTS = list_types(lambda entry: entry.is_in_feeds)

MEMBER_EVENTS_WITHOUT_BOARD = list_types(lambda entry: entry.shown_without_board == "members")
ADMIN_EVENTS_WITHOUT_BOARD = list_types(lambda entry: bool(entry.shown_without_board))
"""Stops concern the agents of every board; what holds agents of gateways is for admins."""

MAX_NEW = 1_000  # events that are counted for a page that has been open for long
_TYPES = ARRAY(String)
_SEQ = BigInteger()


@dataclass(frozen=True)
class ActivityFilters:
    """Filters of a feed. An event has to match all that are given."""

    kinds: Sequence[str] = ()  # event types or their prefixes: `task`, `approval`, `agent`
    board_id: UUID | None = None
    agent_id: UUID | None = None
    group_id: UUID | None = None  # only on the boards of this group
    before: int | None = None  # only events with a lower number
    after: int | None = None  # only events with a higher number


@dataclass(frozen=True)
class ActivityEntry:
    """An event with its sentence, the names for it, and the page that it links to."""

    event: Event
    message: str
    board_name: str | None
    agent_name: str | None  # the acting or the affected agent
    user_name: str | None  # the acting user
    comment: str | None = None  # the text of a comment that still exists

    @property
    def actor_name(self) -> str | None:
        """The name of the actor; None if there is none or it no longer exists."""
        data = self.event.data
        return (
            self.user_name
            or self.agent_name
            or data.get("webhook")
            or (data.get("by") if self.event.type in STOP_EVENTS else None)
        )

    @property
    def route_name(self) -> str:
        """The page that shows the details."""
        if self.event.board_id is None:
            return "activity"
        of_approval = self.event.type.startswith("approval.")
        return "board.approvals" if of_approval else "board"

    @property
    def route_params(self) -> Mapping[str, str]:
        """The parameters of that page."""
        event = self.event
        task = {"taskId": str(event.task_id)} if event.task_id else {}
        if event.board_id is None:
            return {
                "eventId": str(event.id),
                "eventType": event.type,
                "createdAt": format_naive_utc(event.created_at),
                **task,
            }
        board = {"boardId": str(event.board_id)}
        if event.type is EventType.TASK_COMMENT and task:
            return {**board, **task, "commentId": str(event.id)}
        if event.type.startswith("approval."):
            return board
        if event.type.startswith("board."):
            return {**board, "panel": "chat"}
        return {**board, **task}


class FeedShape(NamedTuple):
    """What a feed is restricted to. Each restriction is a parameter of the statement."""

    is_of_agent: bool = False  # the own feed of the agent `agent_id`, on all its boards
    by_agent: bool = False
    by_board: bool = False
    by_group: bool = False  # only the readable boards of a group
    before: bool = False
    after: bool = False
    is_merged: bool = False  # of each board and type the newest are merged, for few types


async def list_member_activity(
    source: Source,
    member: Member,
    paging: Paging,
    filters: ActivityFilters | None = None,
) -> Page[ActivityEntry]:
    """Return the events on the boards that a member may read, and the stops, newest first.

    Raises NotFound or Forbidden for a board or a group that the member may not read.
    """
    filters = filters or ActivityFilters()
    await _check_access(source, member, filters)
    types = list_feed_types(filters.kinds)
    query = _build_page_query(_build_page_shape(filters, types))
    return await query.fetch_page(source, paging, **_build_parameters(member, filters, types))


async def count_new_activity(source: Source, member: Member, filters: ActivityFilters) -> int:
    """Return how many events `list_member_activity` lists, at most MAX_NEW + 1.

    Raises NotFound or Forbidden for a board or a group that the member may not read.
    """
    await _check_access(source, member, filters)
    types = list_feed_types(filters.kinds)
    query = _build_new_count_query(_build_page_shape(filters, types))
    parameters = _build_parameters(member, filters, types)
    parameters |= {PAGE_LIMIT.key: MAX_NEW + 1, PAGE_OFFSET.key: 0}
    [count] = await query.fetch(source, **parameters)
    return count


async def count_member_activity(
    source: Source, member: Member, filters: ActivityFilters
) -> Mapping[EventType, int]:
    """Return the number of all events that `list_member_activity` lists, by type.

    Raises NotFound or Forbidden for a board or a group that the member may not read.
    """
    await _check_access(source, member, filters)
    parameters = _build_parameters(member, filters, list_feed_types(filters.kinds))
    return dict(await _build_type_counts_query(_build_shape(filters)).fetch(source, **parameters))


def _build_shape(filters: ActivityFilters) -> FeedShape:
    return FeedShape(
        by_agent=filters.agent_id is not None,
        by_board=filters.board_id is not None,
        by_group=filters.group_id is not None,
    )


def _build_page_shape(filters: ActivityFilters, types: Sequence[EventType]) -> FeedShape:
    return _build_shape(filters)._replace(
        before=filters.before is not None,
        after=filters.after is not None,
        is_merged=len(types) <= 20 and not (filters.agent_id or filters.group_id),
    )


async def _check_access(source: Source, member: Member, filters: ActivityFilters) -> None:
    if filters.board_id is not None:
        await boards.get_board(source, member, filters.board_id)
    if filters.group_id is not None:
        await boards.get_group(source, member.user, filters.group_id)


def _build_parameters(
    member: Member, filters: ActivityFilters, types: Sequence[EventType]
) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "types": types,
        "types_without_board": (
            ADMIN_EVENTS_WITHOUT_BOARD if member.is_admin else MEMBER_EVENTS_WITHOUT_BOARD
        ),
        "board_id": filters.board_id,
        "agent_id": filters.agent_id,
        "group_id": filters.group_id,
        "before": filters.before,
        "after": filters.after,
    }


async def list_agent_activity(source: Source, agent: Agent, paging: Paging) -> Page[ActivityEntry]:
    """Return the events that an agent caused or that affected it, newest first."""
    parameters = {
        "organization_id": agent.organization_id,
        "agent_id": agent.id,
        "types": FEED_EVENTS,
    }
    query = _build_page_query(FeedShape(is_of_agent=True))
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_new_count_query(shape: FeedShape) -> Query[int]:
    newest = _get_newest_ids(shape)().subquery("newest")
    return Query(select(func.count()).select_from(newest), itemgetter(0))


def _get_newest_ids(shape: FeedShape) -> Callable[..., Select[*tuple[Any, ...]]]:
    """Return what selects the ids of a page, with further conditions."""
    return partial(_merge_newest if shape.is_merged else _read_backwards, shape)


@cache
def _build_page_query(shape: FeedShape) -> BoardPageQuery[ActivityEntry]:
    select_ids = _get_newest_ids(shape)
    details = entries_query().order_by(Event.seq.desc())
    return BoardPageQuery(select_ids, details, Event.id, _build_total(shape), entry_from_row)


def entries_query() -> AnySelect:
    """Select the columns for `entry_from_row`."""
    is_comment = (Comment.id == Event.id) & (Event.type == EventType.TASK_COMMENT)
    name = func.coalesce(Agent.name, select_deleted_agent_name(Event.agent_id))
    query = (
        select(Event, Comment.message, Board.name, name, User)
        .outerjoin(Comment, is_comment)
        .outerjoin(Board, Board.id == Event.board_id)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
    )
    return choose_columns(query, {User: USER_NAME_COLUMNS})


def entry_from_row(row: Sequence[Any]) -> ActivityEntry:
    """Build an entry from a row of `entries_query`."""
    event, comment, board_name, agent_name, user = row
    is_of_agent = event.type.startswith("agent.")
    return ActivityEntry(
        event=event,
        message=comment or describe_event(event),
        board_name=board_name,
        # an agent that was deleted: the name that its event has recorded
        agent_name=agent_name or (event.data.get("name") if is_of_agent else None),
        user_name=user.display_name if user else None,
        comment=comment,
    )


async def load_entries(source: Source, events: Sequence[Event]) -> list[ActivityEntry]:
    """Load the entries of events, in the same order."""
    if not events:
        return []
    entries = await _build_entries_query().fetch(source, ids=[event.id for event in events])
    found = {entry.event.id: entry for entry in entries}
    return [found[event.id] for event in events if event.id in found]


@cache
def _build_entries_query() -> Query[ActivityEntry]:
    ids: Any = any_(bindparam("ids", type_=ARRAY(Uuid())))
    return Query(entries_query().where(Event.id == ids), entry_from_row)


def _build_condition(
    model: type[Event | EventCount | AgentEventCount], shape: FeedShape
) -> ColumnElement[bool]:
    """Build the condition for the events of a feed, or for their counters."""

    def equals(name: str) -> ColumnElement[bool]:
        """Compare a column with the parameter of its name, for events as in `_is_listed`."""
        value = bindparam(name, type_=Uuid)
        column = getattr(model, name)
        return column.between(value, value) if model is Event else column == value

    condition = equals("organization_id") & _is_any_of(model.type, "types")
    if shape.by_board:  # the caller has checked that it is readable
        condition &= equals("board_id")
    elif shape.by_group:
        in_group = Board.board_group_id == bindparam("group_id", type_=Uuid)
        board_ids = select(Board.id).where(Board.id.in_(boards.READABLE_BOARD_IDS), in_group)
        condition &= model.board_id.in_(board_ids)
    elif not shape.is_of_agent:
        without_board = model.board_id.is_(None) & _is_any_of(model.type, "types_without_board")
        condition &= model.board_id.in_(boards.READABLE_BOARD_IDS) | without_board
    if shape.is_of_agent or shape.by_agent:
        condition &= equals("agent_id")
    return condition


def _read_backwards(shape: FeedShape, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    query = select(Event.id).where(_build_condition(Event, shape), *conditions)
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


def _merge_newest(shape: FeedShape, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Merge the newest events of each board and type, which one index has in their order."""
    is_chosen = bindparam("board_id", type_=Uuid).label("id")
    board_ids: Select[Any] = select(is_chosen) if shape.by_board else boards.READABLE_BOARD_IDS
    board, listed = board_ids.subquery("board"), _list_types("types")
    is_on_board = (Event.board_id == board.c.id) & _is_listed(listed)
    newest = _newest_of(shape, is_on_board, *conditions).lateral("newest")
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
            *conditions,
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


def _newest_of(shape: FeedShape, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    query = select(Event.id, Event.seq).where(*conditions)
    query = query.order_by(Event.type.desc(), Event.seq.desc())
    if shape.before:
        query = query.where(Event.seq < bindparam("before", type_=_SEQ))
    if shape.after:
        query = query.where(Event.seq > bindparam("after", type_=_SEQ))
    return query.limit(PAGE_LIMIT + PAGE_OFFSET)


def _build_total(shape: FeedShape) -> ColumnElement[int]:
    of_events = _build_condition(Event, shape)
    counted = select(func.count()).select_from(Event).where(of_events)
    if shape.after:
        between = counted.where(Event.seq > bindparam("after", type_=_SEQ))
        if shape.before:
            between = between.where(Event.seq < bindparam("before", type_=_SEQ))
        return between.scalar_subquery()
    model = AgentEventCount if shape.is_of_agent or shape.by_agent else EventCount
    total = counters.sum_event_counts(model, _build_condition(model, shape))
    if shape.before:
        total -= counted.where(Event.seq >= bindparam("before", type_=_SEQ)).scalar_subquery()
    return total


@cache
def _build_type_counts_query(shape: FeedShape) -> Query[tuple[EventType, int]]:
    """Build the query for the number of events of each type of a feed, from the counters."""
    model = AgentEventCount if shape.by_agent else EventCount
    total = cast(func.sum(model.count), BigInteger)
    query = select(model.type, total).where(_build_condition(model, shape))
    return Query(query.group_by(model.type))


def _is_any_of(type: Any, name: str) -> ColumnElement[bool]:
    return type_coerce(type, String) == any_(bindparam(name, type_=_TYPES))


def list_feed_types(kinds: Sequence[str]) -> list[EventType]:
    """Return the event types of a feed with these kinds: types or their prefixes; all if empty."""
    if not kinds:
        return list(FEED_EVENTS)
    prefixes = tuple(f"{kind}." for kind in kinds)
    return [type for type in FEED_EVENTS if type in kinds or type.startswith(prefixes)]


@dataclass(frozen=True)
class CommentEntry:
    """A comment with its author, task and board."""

    comment: Comment
    task: Task
    board: Board
    agent: Agent | None
    user: User | None

    @property
    def agent_name(self) -> str | None:
        """The name of the agent that wrote it, if any."""
        return self.agent.name if self.agent else None

    @property
    def agent_role(self) -> str | None:
        """The role in the agent's profile, if any."""
        return self.agent.role if self.agent else None

    @property
    def author_name(self) -> str | None:
        """The name of the author, if it still exists."""
        return self.agent_name or (self.user.display_name if self.user else None)


async def list_comment_entries(
    source: Source, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[CommentEntry]:
    """Return the comments on the boards that a member may read, or on one of them, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    if board_id is not None:
        await boards.get_board(source, member, board_id)
    parameters = {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
    }
    query = _build_comments_page(of_board=board_id is not None)
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_comments_page(*, of_board: bool) -> BoardPageQuery[CommentEntry]:
    board_ids = board_pages.THIS_BOARD_ID if of_board else boards.READABLE_BOARD_IDS
    select_ids = board_pages.newest_rows_query(
        board_ids, select(Comment.id, Comment.created_at), Comment.board_id, Comment.created_at
    )
    newest_first = _comments_query().order_by(Comment.created_at.desc(), Comment.id.desc())
    total = counters.sum_counts([BoardCounts.comments], board_ids)
    return BoardPageQuery(
        select_ids, newest_first, Comment.id, total, lambda row: CommentEntry(*row)
    )


async def load_comment_entries(
    session: AsyncSession, organization_id: UUID, comment_ids: Collection[UUID]
) -> dict[UUID, CommentEntry]:
    """Return those of these comments that belong to the organization, by id."""
    if not comment_ids:
        return {}
    query = _comments_query().where(
        Board.organization_id == organization_id, Comment.id.in_(comment_ids)
    )
    return {row[0].id: CommentEntry(*row) for row in await session.execute(query)}


def _comments_query() -> AnySelect:
    query = (
        select(Comment, Task, Board, Agent, User)
        .join(Task, Task.id == Comment.task_id)
        .join(Board, Board.id == Comment.board_id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
    )
    shown = {
        Task: ("id", "title"),
        Board: ("id", "name"),
        Agent: AGENT_NAME_COLUMNS,
        User: USER_NAME_COLUMNS,
    }
    return choose_columns(query, shown)
