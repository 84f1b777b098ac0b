"""The history of a task: its comments and events in one list, oldest first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Comment, Event, EventType, Tag, Task, User
from services import events, messages
from services.gateways import runs
from services.tasks.comments import CommentDetail, comments_query
from services.tasks.loaders import get_task

MAX_ENTRIES = 200  # the newest
EXCLUDED_EVENTS = (
    EventType.TASK_COMMENT,  # the comment itself is in the list
    *messages.MESSAGE_EVENTS,
    *runs.RUN_EVENTS,
)


class FieldChange(NamedTuple):
    """A changed field. Ids of agents, tasks and tags are replaced by their names, if known."""

    field: str
    old: Any
    new: Any


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

    @property
    def event_type(self) -> str:
        """The type of the event; `task.comment` for a comment."""
        return self.event.type.value if self.event else EventType.TASK_COMMENT.value


async def list_history(
    session: AsyncSession, board: Board, task_id: UUID, *, limit: int = MAX_ENTRIES
) -> Sequence[HistoryEntry]:
    """Return the newest comments and events of a task, oldest first. Raises NotFound."""
    task = await get_task(session, board, task_id)
    comment_rows = await session.execute(_newest_query(comments_query(task), Comment, limit))
    entries = [_build_comment_entry(CommentDetail(*row)) for row in comment_rows]
    event_rows = (await session.execute(_newest_query(_events_query(task), Event, limit))).all()
    names = await _load_names(session, board, [event for event, *_ in event_rows])
    entries += [_build_event_entry(event, name, user, names) for event, name, user in event_rows]
    entries.sort(key=lambda entry: entry.at)
    return entries[-limit:]


def _newest_query(
    query: Select[*tuple[Any, ...]], kind: type[Comment] | type[Event], limit: int
) -> Select[*tuple[Any, ...]]:
    return query.order_by(kind.created_at.desc(), kind.id.desc()).limit(limit)


def _events_query(task: Task) -> Select[*tuple[Any, ...]]:
    return (
        select(Event, func.coalesce(Agent.name, events.deleted_agent_name(Event.agent_id)), User)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.task_id == task.id, Event.type.not_in(EXCLUDED_EVENTS))
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
    )


def _build_event_entry(
    event: Event, name: str | None, user: User | None, names: Mapping[str, str]
) -> HistoryEntry:
    changes = event.data.get("changes", {})
    return HistoryEntry(
        at=event.created_at,
        author_name=name or (user.display_name if user else None),
        is_by_agent=event.agent_id is not None,
        agent_id=event.agent_id,
        user_id=event.user_id,
        event=event,
        changes=[
            FieldChange(field, _replace_ids(old, names), _replace_ids(new, names))
            for field, (old, new) in changes.items()
        ],
    )


def _replace_ids(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replace_ids(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


async def _load_names(
    session: AsyncSession, board: Board, events: Sequence[Event]
) -> dict[str, str]:
    """Load the names of the agents, tasks and tags in the events' changes, by id."""
    names: dict[str, str] = {}
    for field, query in {
        "assigned_agent_id": select(Agent.id, Agent.name).where(
            Agent.organization_id == board.organization_id
        ),
        "depends_on_task_ids": select(Task.id, Task.title).where(Task.board_id == board.id),
        "tag_ids": select(Tag.id, Tag.name).where(Tag.organization_id == board.organization_id),
    }.items():
        ids = {UUID(id) for event in events for id in _changed_ids(event, field)}
        if ids:
            column = query.selected_columns[0]
            rows = await session.execute(query.where(column.in_(ids)))
            names |= {str(id): name for id, name in rows}
    return names


def _changed_ids(event: Event, field: str) -> Iterable[str]:
    for value in event.data.get("changes", {}).get(field, ()):
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value
