"""Tasks that lose what they stood on: who worked on them, or what they wait for."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, Board, EventType, Status, Task
from services.tasks.news import News
from services.tasks.outcomes import apply, back_to_inbox

OPEN = (Status.INBOX, Status.IN_PROGRESS, Status.REVIEW)


async def release(session: AsyncSession, board: Board, agent: Agent) -> Sequence[News]:
    """Take its tasks from an agent that leaves a board, which is held.

    What it worked on goes back to the inbox, so that somebody else can begin it. The rest stays
    where it is. Returns what is to be announced, once the agent too is changed.
    """
    mine = select(Task).where(
        Task.board_id == board.id, Task.assigned_agent_id == agent.id, Task.status.in_(OPEN)
    )
    mine = mine.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    at = now()
    return [left_alone(task, at) for task in await session.scalars(mine)]


def left_alone(task: Task, at: datetime) -> News:
    """Let an open task be nobody's, and go back to the inbox if it was being worked on."""
    if task.status is Status.IN_PROGRESS:
        return sent_back(task, {}, at)
    told = apply(task, {"assigned_agent_id": None}, at)
    return News(EventType.TASK_UPDATED, task, {"changes": told})


def sent_back(task: Task, because: Mapping[str, object], at: datetime) -> News:
    """Put a task back into the inbox, where it is nobody's."""
    left = task.status
    told = apply(task, back_to_inbox(task, at), at)
    moved = {"left": left.value, "entered": task.status.value, "changes": told}
    return News(EventType.TASK_STATUS_CHANGED, task, moved | dict(because))
