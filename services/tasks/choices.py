"""What can be chosen in the forms of a task: who does it, and what comes before it."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Task
from services import provisioning
from services.tasks import dependencies
from services.tasks.details import TaskRef

MOST = 200  # tasks to choose from


async def assignable(session: AsyncSession, board: Board) -> Sequence[Agent]:
    """Return the agents of a board but for its lead, and for those that go, by name."""
    workers = (Agent.board_id == board.id) & Agent.is_board_lead.is_(False)
    query = select(Agent).where(workers, provisioning.STAYS)
    return (await session.scalars(query.order_by(func.lower(Agent.name), Agent.id))).all()


async def dependency_choices(
    session: AsyncSession, board: Board, task_id: UUID | None = None
) -> Sequence[TaskRef]:
    """Return the newest tasks for which a task of the board may wait without closing a circle."""
    query = select(Task.id, Task.title, Task.status).where(Task.board_id == board.id)
    if task_id is not None:
        edges = await dependencies.graph(session, board)
        query = query.where(Task.id.not_in(dependencies.upstream(edges, task_id)))
    rows = await session.execute(query.order_by(Task.created_at.desc(), Task.id).limit(MOST))
    return [TaskRef(*row) for row in rows]
