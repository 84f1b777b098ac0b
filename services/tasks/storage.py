"""Store tasks and comments in statements that are built once, and publish their events.

Build the events after the whole change is applied.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, insert, inspect, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.transactions import Write
from models import Actor, Agent, Board, Comment, EventType, Task, User, new_id
from services import events, messages

CHANGING_COLUMNS = [
    *("title", "description", "status", "rank", "priority", "due_at", "assigned_agent_id"),
    *("assigned_user_id", "previous_assignee_id", "claimed_run", "claimed_run_at"),
    "in_progress_at",
    *("previous_in_progress_at", "started_at", "done_at", "updated_at", "version"),
]
"""The columns that a change may write."""
COMMENT_COLUMNS = [attribute.key for attribute in inspect(Comment).column_attrs]

UPDATE_TASK = Write(
    update(Task).where(Task.id == bindparam("task_id", type_=Uuid())), CHANGING_COLUMNS
)
INSERT_COMMENT = Write(insert(Comment).inline(), COMMENT_COLUMNS)


async def store_tasks(session: AsyncSession, tasks: Iterable[Task]) -> None:
    """Store the columns of tasks to which changes were applied."""
    rows = [
        {"task_id": task.id, **{name: getattr(task, name) for name in CHANGING_COLUMNS}}
        for task in tasks
    ]
    await UPDATE_TASK.execute_many(session, rows)


async def insert_comment(
    session: AsyncSession, actor: Actor | None, task: Task, message: str, at: datetime
) -> Comment:
    """Insert a comment. The caller records its event with the comment's id."""
    comment = Comment(
        id=new_id(),
        board_id=task.board_id,
        task_id=task.id,
        message=message,
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
    )
    values = {name: getattr(comment, name) for name in COMMENT_COLUMNS}
    await INSERT_COMMENT.execute(session, **values)
    return comment


@dataclass(frozen=True)
class TaskEvent:
    """An event of a task. `id` is the comment's id if the event is a comment."""

    type: EventType
    task: Task
    data: Mapping[str, object] = field(default_factory=dict)
    id: UUID | None = None


def list_changed_tasks(task_events: Sequence[TaskEvent]) -> list[Task]:
    """Return the tasks whose columns have changed, as their events say."""
    return [one.task for one in task_events if "changes" in one.data]


async def publish_events(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task_events: Sequence[TaskEvent],
    *,
    outgoing: Sequence[messages.OutgoingMessage] = (),
) -> None:
    """Record the events in this order with the tasks' current titles, and enqueue the messages."""
    await messages.enqueue_messages(
        session, outgoing, new_events=build_events(actor, board, task_events)
    )


def build_events(
    actor: Actor | None, board: Board, task_events: Sequence[TaskEvent]
) -> list[events.NewEvent]:
    """Convert events of tasks to event records."""
    return [
        events.NewEvent(
            one.type,
            actor,
            organization_id=board.organization_id,
            board=board,
            task=one.task,
            id=one.id,
            data={"title": one.task.title, **one.data},
        )
        for one in task_events
    ]
