"""Build and publish the events of tasks. Build them after the whole change is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Board, EventType, Task
from services import events, messages


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
