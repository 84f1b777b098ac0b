"""The history of a task: its comments and events in one list, oldest first.

A page of it begins and ends at positions: those of comments and events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Uuid,
    bindparam,
    func,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from core.db.reads import AnySelect, Query, Source, choose_columns
from core.paging import PAGE_LIMIT
from models import (
    USER_NAME,
    USER_NAME_COLUMNS,
    Agent,
    Board,
    Comment,
    Event,
    EventType,
    Tag,
    Task,
    User,
)
from services import custom_fields, events
from services.tasks.comments import COMMENT_COLUMNS, CommentDetail, join_comments
from services.tasks.queries import task_not_found

MAX_ENTRIES = 200  # of a page
IS_IN_HISTORY = Event.type.not_in(events.list_types(lambda entry: not entry.is_in_history))


class HistoryPosition(NamedTuple):
    """The place of a comment or event in a history, which is in this order."""

    at: datetime
    id: UUID


NEWEST = HistoryPosition(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
"""After every entry."""


@dataclass(frozen=True)
class HistorySelection:
    """Which page of a history is read: the newest, or one before, after or around an entry.

    An id that is not in the history selects the newest page. That is longer than its limit if it
    has to begin with the entry `first`.
    """

    before: UUID | None = None
    after: UUID | None = None
    around: UUID | None = None
    first: UUID | None = None
    comments_only: bool = False

    @property
    def is_newest(self) -> bool:
        """Whether the newest page is selected."""
        return not (self.before or self.after or self.around)


async def find_end(
    source: Source, task_id: UUID, selection: HistorySelection, limit: int
) -> HistoryPosition | None:
    """Return the position of the first entry after the selected page; None for the newest page."""
    id = selection.before or selection.after or selection.around
    if id is None:
        return None
    position = await POSITION.first(source, task_id=task_id, id=id)
    if position is None or selection.before:
        return position
    count = limit if selection.after else limit // 2
    return await LATER_POSITIONS[selection.comments_only].first(
        source, task_id=task_id, at=position.at, id=position.id, count=count
    )


def is_before_end(entry: type[Comment | Event]) -> ColumnElement[bool]:
    """Select the entries before the parameters `end_at` and `end_id`."""
    return tuple_(entry.created_at, entry.id) < _build_position("end_at", "end_id")


def _build_position(at: str, id: str) -> Any:
    return tuple_(bindparam(at, type_=DateTime(timezone=True)), bindparam(id, type_=Uuid()))


def _select_positions(*conditions: ColumnElement[bool], of: type[Comment | Event]) -> AnySelect:
    return select(of.created_at.label("at"), of.id).where(
        of.task_id == bindparam("task_id"), *conditions
    )


IS_ENTRY = bindparam("id", type_=Uuid())
POSITION_OF_ENTRY = union_all(
    _select_positions(Comment.id == IS_ENTRY, of=Comment),
    _select_positions(Event.id == IS_ENTRY, IS_IN_HISTORY, of=Event),
).subquery()
POSITION = Query(select(POSITION_OF_ENTRY), lambda row: HistoryPosition(*row))
COUNT: Any = bindparam("count", type_=Integer)


def _build_later_query(*, comments_only: bool) -> Query[HistoryPosition]:
    """Build the query of the position that follows a number of entries after another position."""
    selected = [_select_positions(of=Comment)]
    if not comments_only:
        selected.append(_select_positions(IS_IN_HISTORY, of=Event))
    positions = union_all(*selected).subquery()
    return Query(
        select(positions)
        .where(tuple_(positions.c.at, positions.c.id) > _build_position("at", "id"))
        .order_by(positions.c.at, positions.c.id)
        .offset(COUNT)
        .limit(1),
        lambda row: HistoryPosition(*row),
    )


LATER_POSITIONS: Mapping[bool, Query[HistoryPosition]] = {
    comments_only: _build_later_query(comments_only=comments_only)
    for comments_only in (False, True)
}
"""By whether only comments are counted."""


def _build_count_query(*, comments_only: bool) -> Query[int]:
    """Build the query of the number of entries from one of them on, at most a number."""
    first = tuple_(POSITION_OF_ENTRY.c.at, POSITION_OF_ENTRY.c.id)
    selected = [_select_positions(tuple_(Comment.created_at, Comment.id) >= first, of=Comment)]
    if not comments_only:
        is_later = tuple_(Event.created_at, Event.id) >= first
        selected.append(_select_positions(is_later, IS_IN_HISTORY, of=Event))
    counted = union_all(*selected).limit(COUNT).subquery()
    return Query(select(func.count()).select_from(counted), itemgetter(0))


COUNTS_FROM: Mapping[bool, Query[int]] = {
    comments_only: _build_count_query(comments_only=comments_only)
    for comments_only in (False, True)
}
"""By whether only comments are counted."""


FIELD_PREFIX = "custom_field_values."  # before the key of a custom field in recorded changes


class FieldChange(NamedTuple):
    """A changed field. Ids of agents, tasks and tags are replaced by their names, if known.

    A custom field has the label that it has now, or its key if it was deleted.
    """

    field: str
    old: Any
    new: Any
    label: str = ""


@dataclass(frozen=True)
class HistoryEntry:
    """An entry of a task's history: exactly one of `comment` and `event` is set."""

    at: datetime
    author_name: str | None  # None if unknown
    is_by_agent: bool
    agent_id: UUID | None
    user_id: UUID | None
    comment: Comment | None = None
    event: Event | None = None
    changes: Sequence[FieldChange] = ()
    agent: Agent | None = None  # the author of a comment

    @property
    def id(self) -> UUID | None:
        """The id of the comment or event."""
        shown = self.comment or self.event
        return shown.id if shown else None

    @property
    def event_type(self) -> str:
        """The type of the event; `task.comment` for a comment."""
        return self.event.type.value if self.event else EventType.TASK_COMMENT.value


@dataclass(frozen=True)
class HistoryPage:
    """A part of a task's history, oldest first."""

    entries: Sequence[HistoryEntry]
    has_earlier: bool = False
    has_later: bool = False


async def list_history(
    source: Source,
    board: Board,
    task_id: UUID,
    selection: HistorySelection = HistorySelection(),
    *,
    limit: int = MAX_ENTRIES,
) -> HistoryPage:
    """Return the chosen comments and events of a task, oldest first. Raises NotFound."""
    end = await find_end(source, task_id, selection, limit)
    if end is None and selection.first is not None:
        count = await COUNTS_FROM[selection.comments_only].first(
            source, task_id=task_id, id=selection.first, count=MAX_ENTRIES
        )
        limit = max(limit, count or 0)
    place = end or NEWEST
    rows = await COMMENTS_BEFORE.fetch(
        source,
        board_id=board.id,
        task_id=task_id,
        end_at=place.at,
        end_id=place.id,
        page_limit=limit + 1,
    )
    if not rows:  # a task without comments has one empty row
        raise task_not_found()
    entries = [_build_comment_entry(CommentDetail(*row)) for row in rows if row[0] is not None]
    if not selection.comments_only:
        entries += await _list_event_entries(source, board, task_id, place, limit + 1)
    entries.sort(key=lambda entry: (entry.at, entry.id))
    has_earlier = len(entries) > limit
    return HistoryPage(entries[-limit:], has_earlier, has_later=end is not None)


COMMENTS_BEFORE: Query[tuple[Any, ...]] = Query(
    join_comments(select(*COMMENT_COLUMNS), is_before_end(Comment))
    .order_by(Comment.created_at.desc(), Comment.id.desc())
    .limit(PAGE_LIMIT)
)


async def _list_event_entries(
    source: Source, board: Board, task_id: UUID, end: HistoryPosition, limit: int
) -> list[HistoryEntry]:
    rows = await EVENTS_BEFORE.fetch(
        source, task_id=task_id, end_at=end.at, end_id=end.id, page_limit=limit
    )
    names = await _load_names(source, board, [event for event, *_ in rows])
    keys = {
        field.removeprefix(FIELD_PREFIX)
        for event, *_ in rows
        for field in event.data.get("changes", {})
        if field.startswith(FIELD_PREFIX)
    }
    labels = await custom_fields.load_field_labels(source, board.organization_id, keys)
    return [_build_event_entry(event, name, user, names, labels) for event, name, user in rows]


EVENTS_BEFORE: Query[tuple[Event, str | None, User | None]] = Query(
    choose_columns(
        select(
            Event, func.coalesce(Agent.name, events.select_deleted_agent_name(Event.agent_id)), User
        )
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.task_id == bindparam("task_id"), IS_IN_HISTORY, is_before_end(Event))
        .order_by(Event.created_at.desc(), Event.id.desc())
        .limit(PAGE_LIMIT),
        {User: USER_NAME_COLUMNS},
    )
)


def _build_comment_entry(detail: CommentDetail) -> HistoryEntry:
    comment = detail.comment
    return HistoryEntry(
        at=comment.created_at,
        author_name=detail.author_name,
        is_by_agent=comment.agent_id is not None,
        agent_id=comment.agent_id,
        user_id=comment.user_id,
        comment=comment,
        agent=detail.agent,
    )


def _build_event_entry(
    event: Event,
    name: str | None,
    user: User | None,
    names: Mapping[str, str],
    labels: Mapping[str, str],
) -> HistoryEntry:
    changes = event.data.get("changes", {})
    return HistoryEntry(
        at=event.created_at,
        author_name=name or (user.display_name if user else event.data.get("webhook")),
        is_by_agent=event.agent_id is not None,
        agent_id=event.agent_id,
        user_id=event.user_id,
        event=event,
        changes=[
            FieldChange(
                field,
                _replace_ids(old, names),
                _replace_ids(new, names),
                label=_find_label(field, labels),
            )
            for field, (old, new) in changes.items()
        ],
    )


def _find_label(field: str, labels: Mapping[str, str]) -> str:
    """Return the label of a custom field, or its key; "" for another field."""
    key = field.removeprefix(FIELD_PREFIX)
    return labels.get(key, key) if key != field else ""


def _replace_ids(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replace_ids(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


async def _load_names(source: Source, board: Board, events: Sequence[Event]) -> dict[str, str]:
    """Load the names of the agents, tasks and tags in the events' changes, by id."""
    parameters = {"organization_id": board.organization_id, "board_id": board.id}
    names: dict[str, str] = {}
    for field, query in NAMES.items():
        ids = {UUID(id) for event in events for id in _changed_ids(event, field)}
        if ids:
            rows = await query.fetch(source, ids=list(ids), **parameters)
            names |= {str(id): name for id, name in rows}
    return names


def _build_names_query(id: Any, name: Any, owner: ColumnElement[bool]) -> Query[tuple[UUID, str]]:
    is_named = id == func.any(bindparam("ids", type_=ARRAY(Uuid())))
    return Query(select(id, name).where(is_named, owner))


NAMES: Mapping[str, Query[tuple[UUID, str]]] = {
    "assigned_agent_id": _build_names_query(
        Agent.id, Agent.name, Agent.organization_id == bindparam("organization_id")
    ),
    "assigned_user_id": _build_names_query(User.id, USER_NAME, true()),
    "depends_on_task_ids": _build_names_query(
        Task.id, Task.title, Task.board_id == bindparam("board_id")
    ),
    "tag_ids": _build_names_query(
        Tag.id, Tag.name, Tag.organization_id == bindparam("organization_id")
    ),
}
"""The names of what a field of a change refers to, by the field."""


def _changed_ids(event: Event, field: str) -> Iterable[str]:
    for value in event.data.get("changes", {}).get(field, ()):
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value
