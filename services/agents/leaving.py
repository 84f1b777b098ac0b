"""What happens to an agent's tasks when it leaves its board."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, Board, EventType, Status, Task
from services.tasks.news import News
from services.tasks.outcomes import apply, back_to_inbox

OPEN = (Status.INBOX, Status.IN_PROGRESS, Status.REVIEW)


async def leave_tasks(session: AsyncSession, board: Board, agent: Agent) -> list[News]:
    """Take its tasks from an agent of a board that is held, and return what is to be announced.

    What it worked on goes back to the inbox, so that somebody else can begin it. The rest stays
    where it is.
    """
    mine = select(Task).where(
        Task.board_id == board.id, Task.assigned_agent_id == agent.id, Task.status.in_(OPEN)
    )
    mine = mine.order_by(Task.created_at, Task.id).execution_options(populate_existing=True)
    at = now()
    return [_left(task, at) for task in await session.scalars(mine)]


def _left(task: Task, at: datetime) -> News:
    left = task.status
    if left is not Status.IN_PROGRESS:
        told = apply(task, {"assigned_agent_id": None}, at)
        return News(EventType.TASK_UPDATED, task, {"changes": told})
    told = apply(task, back_to_inbox(task, at), at)
    moved = {"left": left.value, "entered": task.status.value, "changes": told}
    return News(EventType.TASK_STATUS_CHANGED, task, moved)
