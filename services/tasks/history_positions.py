"""Positions in the history of a task: its pages begin and end at comments and events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Integer, Uuid, bindparam, select, tuple_, union_all

from core.db.reads import AnySelect, Query, Source
from models import Comment, Event, EventType
from services import messages
from services.gateways import runs

IS_IN_HISTORY = Event.type.not_in(
    (
        EventType.TASK_COMMENT,  # the comment itself is in the history
        EventType.TASK_REORDERED,
        *messages.MESSAGE_EVENTS,
        *runs.RUN_EVENTS,
    )
)


class HistoryPosition(NamedTuple):
    """The place of a comment or event in a history, which is in this order."""

    at: datetime
    id: UUID


NEWEST = HistoryPosition(datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))
"""After every entry."""


@dataclass(frozen=True)
class HistorySelection:
    """Which page of a history is read: the newest, or one before, after or around an entry.

    An id that is not in the history selects the newest page.
    """

    before: UUID | None = None
    after: UUID | None = None
    around: UUID | None = None
    comments_only: bool = False


NEWEST_PAGE = HistorySelection()


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
POSITION = Query(
    select(
        union_all(
            _select_positions(Comment.id == IS_ENTRY, of=Comment),
            _select_positions(Event.id == IS_ENTRY, IS_IN_HISTORY, of=Event),
        ).subquery()
    ),
    lambda row: HistoryPosition(*row),
)
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
