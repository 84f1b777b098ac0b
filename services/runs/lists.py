"""Reading runs: an agent's, a task's, and the one that people look at."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from kit.paging import Page, Paging, paged
from models import Agent, Board, Run, RunStatus, Task

NEWEST_FIRST = (Run.started_at.desc(), Run.id.desc())
RUNNING_FIRST = ((Run.status == RunStatus.RUNNING).desc(), *NEWEST_FIRST)


async def of_agent(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Run]:
    """Return what an agent has done on its gateway, newest first."""
    return await paged(session, _of_agent(agent.id).order_by(*NEWEST_FIRST), paging)


async def of_task(session: AsyncSession, board: Board, task_id: UUID, paging: Paging) -> Page[Run]:
    """Return what was done for a task, newest first. Raises NotFound.

    A task for which nothing was done is told from one that is not there by a row without a run.
    """
    here = (Task.id == task_id) & (Task.board_id == board.id)
    query = select(Run, func.count(Run.id).over()).select_from(Task)
    query = query.outerjoin(Run, Run.task_id == Task.id).where(here).order_by(*NEWEST_FIRST)
    rows = (await session.execute(query.limit(paging.limit).offset(paging.offset))).all()
    total = rows[0][1] if rows else await _count(session, here)
    runs = [run for run, _ in rows if run is not None]
    return Page(runs, total, paging.limit, paging.offset)


async def latest(session: AsyncSession, agent_id: UUID) -> Run | None:
    """Return what an agent does on its gateway, or what it did last."""
    query = _of_agent(agent_id).order_by(*RUNNING_FIRST)
    return await session.scalar(query.limit(1))


async def for_task(
    session: AsyncSession, board: Board, task_id: UUID
) -> Sequence[tuple[Run, Agent]]:
    """Return what is done for a task at the moment, or else what was done last, and by whom."""
    query = select(Run, Agent).join(Agent, Agent.id == Run.agent_id)
    query = query.join(Task, Task.id == Run.task_id)
    query = query.where(Task.id == task_id, Task.board_id == board.id).order_by(*RUNNING_FIRST)
    found = [(run, agent) for run, agent in await session.execute(query.limit(5))]
    running = [one for one in found if one[0].status is RunStatus.RUNNING]
    return running or found[:1]


async def _count(session: AsyncSession, task: ColumnElement[bool]) -> int:
    query = select(func.count(Run.id)).select_from(Task)
    query = query.outerjoin(Run, Run.task_id == Task.id).where(task).group_by(Task.id)
    total = await session.scalar(query)
    if total is None:
        raise NotFound("task_not_found", "There is no such task on this board.")
    return total


def _of_agent(agent_id: UUID) -> Select[Run]:
    return select(Run).where(Run.agent_id == agent_id)
