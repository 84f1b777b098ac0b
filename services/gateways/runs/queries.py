"""Reads of runs: of an agent, of a task, and the current one."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import NotFound
from core.paging import Page, Paging, fetch_page
from models import Agent, Board, Run, RunStatus, Task

NEWEST_FIRST = (Run.started_at.desc(), Run.id.desc())
RUNNING_FIRST = ((Run.status == RunStatus.RUNNING).desc(), *NEWEST_FIRST)
MAX_CURRENT_RUNS = 5  # of one task


async def list_agent_runs(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Run]:
    """Return the runs of an agent, newest first."""
    return await fetch_page(session, _agent_runs_query(agent.id).order_by(*NEWEST_FIRST), paging)


async def list_task_runs(
    session: AsyncSession, board: Board, task_id: UUID, paging: Paging
) -> Page[Run]:
    """Return the runs of a task, newest first. Raises NotFound.

    A task without runs is a row without a run, so it is distinguished from a missing task.
    """
    is_it = (Task.id == task_id) & (Task.board_id == board.id)
    query = select(Run, func.count(Run.id).over()).select_from(Task)
    query = query.outerjoin(Run, Run.task_id == Task.id).where(is_it).order_by(*NEWEST_FIRST)
    rows = (await session.execute(query.limit(paging.limit).offset(paging.offset))).all()
    total = rows[0][1] if rows else await _count_task_runs(session, is_it)
    runs = [run for run, _ in rows if run is not None]
    return Page(runs, total, paging.limit, paging.offset)


async def find_latest_run(session: AsyncSession, agent_id: UUID) -> Run | None:
    """Return the running run of an agent, or else the latest one."""
    query = _agent_runs_query(agent_id).order_by(*RUNNING_FIRST)
    return await session.scalar(query.limit(1))


async def list_current_task_runs(
    session: AsyncSession, board: Board, task_id: UUID
) -> Sequence[tuple[Run, Agent]]:
    """Return the running runs of a task with their agents, or else the latest one."""
    query = select(Run, Agent).join(Agent, Agent.id == Run.agent_id)
    query = query.join(Task, Task.id == Run.task_id)
    query = query.where(Task.id == task_id, Task.board_id == board.id).order_by(*RUNNING_FIRST)
    rows = await session.execute(query.limit(MAX_CURRENT_RUNS))
    found = [(run, agent) for run, agent in rows]
    running = [one for one in found if one[0].status is RunStatus.RUNNING]
    return running or found[:1]


async def _count_task_runs(session: AsyncSession, task: ColumnElement[bool]) -> int:
    query = select(func.count(Run.id)).select_from(Task)
    query = query.outerjoin(Run, Run.task_id == Task.id).where(task).group_by(Task.id)
    total = await session.scalar(query)
    if total is None:
        raise NotFound("task_not_found", "There is no such task on this board.")
    return total


def _agent_runs_query(agent_id: UUID) -> Select[Run]:
    return select(Run).where(Run.agent_id == agent_id)
