"""What happened to a task, told from the beginning: comments and events in one row."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Comment, Event, EventType, Tag, Task, User
from services import events, messages, runs
from services.tasks.comments import CommentDetail, with_authors
from services.tasks.looking import find

MOST = 200  # entries, the newest
TOLD_OTHERWISE = (
    EventType.TASK_COMMENT,
    *messages.EVENTS,
    *runs.EVENTS,
)  # comments tell themselves


class FieldChange(NamedTuple):
    """A field that was changed. Agents, tasks and tags are told by their names, where known."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class HistoryEntry:
    """Something that was said about a task, or that happened to it. One of the two is there."""

    at: datetime
    author_name: str | None  # None: nobody who is still there
    by_agent: bool
    agent_id: UUID | None
    user_id: UUID | None
    comment: Comment | None = None
    event: Event | None = None
    changes: Sequence[FieldChange] = ()

    @property
    def kind(self) -> str:
        """The type of the event; of a comment `task.comment`."""
        return self.event.type.value if self.event else EventType.TASK_COMMENT.value


async def history(
    session: AsyncSession, board: Board, task_id: UUID, *, limit: int = MOST
) -> Sequence[HistoryEntry]:
    """Return the newest comments and events of a task, oldest first. Raises NotFound."""
    task = await find(session, board, task_id)
    said = await session.execute(_newest(with_authors(task), Comment, limit))
    entries = [_comment_entry(CommentDetail(*row)) for row in said]
    happened = (await session.execute(_newest(_events(task), Event, limit))).all()
    names = await _names(session, board, [event for event, *_ in happened])
    entries += [_event_entry(event, name, user, names) for event, name, user in happened]
    entries.sort(key=lambda entry: entry.at)
    return entries[-limit:]


def _newest(
    query: Select[*tuple[Any, ...]], kind: type[Comment] | type[Event], limit: int
) -> Select[*tuple[Any, ...]]:
    return query.order_by(kind.created_at.desc(), kind.id.desc()).limit(limit)


def _events(task: Task) -> Select[*tuple[Any, ...]]:
    return (
        select(Event, func.coalesce(Agent.name, events.of_gone(Event.agent_id)), User)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.task_id == task.id, Event.type.not_in(TOLD_OTHERWISE))
    )


def _comment_entry(detail: CommentDetail) -> HistoryEntry:
    comment = detail.comment
    return HistoryEntry(
        at=comment.created_at,
        author_name=detail.author_name,
        by_agent=comment.agent_id is not None,
        agent_id=comment.agent_id,
        user_id=comment.user_id,
        comment=comment,
    )


def _event_entry(
    event: Event, name: str | None, user: User | None, names: Mapping[str, str]
) -> HistoryEntry:
    changes = event.data.get("changes", {})
    return HistoryEntry(
        at=event.created_at,
        author_name=name or (user.called if user else None),
        by_agent=event.agent_id is not None,
        agent_id=event.agent_id,
        user_id=event.user_id,
        event=event,
        changes=[
            FieldChange(field, _told(old, names), _told(new, names))
            for field, (old, new) in changes.items()
        ],
    )


def _told(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_told(one, names) for one in value]
    return names.get(value, value) if isinstance(value, str) else value


async def _names(session: AsyncSession, board: Board, events: Sequence[Event]) -> dict[str, str]:
    """Return the names of the agents, tasks and tags that events tell of, by id."""
    names: dict[str, str] = {}
    for field, query in {
        "assigned_agent_id": select(Agent.id, Agent.name).where(
            Agent.organization_id == board.organization_id
        ),
        "depends_on_task_ids": select(Task.id, Task.title).where(Task.board_id == board.id),
        "tag_ids": select(Tag.id, Tag.name).where(Tag.organization_id == board.organization_id),
    }.items():
        ids = {UUID(id) for event in events for id in _mentioned(event, field)}
        if ids:
            column = query.selected_columns[0]
            rows = await session.execute(query.where(column.in_(ids)))
            names |= {str(id): name for id, name in rows}
    return names


def _mentioned(event: Event, field: str) -> Iterable[str]:
    for value in event.data.get("changes", {}).get(field, ()):
        if isinstance(value, list):
            yield from value
        elif value is not None:
            yield value
