"""Reads of runs: of an agent, of a task, the current one, and those that a gateway has open."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from sqlalchemy import and_, bindparam, func, select

from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import (
    PAGE_LIMIT,
    PAGE_OFFSET,
    Page,
    PagedQuery,
    PageRows,
    Paging,
    build_page,
)
from core.text import N_
from models import Agent, Board, Run, RunStatus, Task

NEWEST_FIRST = (Run.started_at.desc(), Run.id.desc())
RUNNING_FIRST = ((Run.status == RunStatus.RUNNING).desc(), *NEWEST_FIRST)

AGENT_RUNS = select(Run).where(Run.agent_id == bindparam("agent_id"))
AGENT_RUN_PAGES: PagedQuery[Run] = PagedQuery(AGENT_RUNS.order_by(*NEWEST_FIRST), itemgetter(0))
LATEST_RUN: Query[Run] = Query(AGENT_RUNS.order_by(*RUNNING_FIRST).limit(1), itemgetter(0))
IS_TASK = (Task.id == bindparam("task_id")) & (Task.board_id == bindparam("board_id"))
TASK_RUNS: PageRows[tuple[Run | None, int]] = PageRows(
    lambda *conditions: (
        select(Run, func.count(Run.id).over())
        .select_from(Task)
        .outerjoin(Run, and_(Run.task_id == Task.id, *conditions))
        .where(IS_TASK)
        .order_by(*NEWEST_FIRST)
        .limit(PAGE_LIMIT)
        .offset(PAGE_OFFSET)
    )
)
TASK_RUN_COUNT: Query[int] = Query(
    select(func.count(Run.id))
    .select_from(Task)
    .outerjoin(Run, Run.task_id == Task.id)
    .where(IS_TASK)
    .group_by(Task.id),
    itemgetter(0),
)
CURRENT_TASK_RUNS: Query[tuple[Run, Agent]] = Query(
    select(Run, Agent)
    .join(Agent, Agent.id == Run.agent_id)
    .join(Task, Task.id == Run.task_id)
    .where(IS_TASK)
    .order_by(*RUNNING_FIRST)
    .limit(5)
)


async def list_agent_runs(source: Source, agent: Agent, paging: Paging) -> Page[Run]:
    """Return the runs of an agent, newest first."""
    return await AGENT_RUN_PAGES.fetch_page(source, paging, agent_id=agent.id)


async def list_task_runs(source: Source, board: Board, task_id: UUID, paging: Paging) -> Page[Run]:
    """Return the runs of a task, newest first. Raises NotFound.

    A task without runs is a row without a run, so it is distinguished from a missing task.
    """
    parameters = {"board_id": board.id, "task_id": task_id}
    rows, cursor = await TASK_RUNS.fetch(source, paging, **parameters)
    is_counted = rows and not paging.after  # otherwise it is the number of those after the cursor
    total = rows[0][1] if is_counted else await TASK_RUN_COUNT.first(source, **parameters)
    if total is None:
        raise NotFound("task_not_found", N_("There is no such task on this board."))
    runs = [run for run, _ in rows if run is not None]
    return build_page(runs, total, paging, cursor)


async def find_latest_run(source: Source, agent_id: UUID) -> Run | None:
    """Return the running run of an agent, or else the latest one."""
    return await LATEST_RUN.first(source, agent_id=agent_id)


async def list_current_task_runs(
    source: Source, board: Board, task_id: UUID
) -> Sequence[tuple[Run, Agent]]:
    """Return the running runs of a task with their agents, or else the latest one."""
    found = await CURRENT_TASK_RUNS.fetch(source, board_id=board.id, task_id=task_id)
    return choose_running_or_latest(found)


def choose_running_or_latest(found: Sequence[tuple[Run, Agent]]) -> Sequence[tuple[Run, Agent]]:
    """Return the running ones of what `CURRENT_TASK_RUNS` selects, or else the latest."""
    running = [one for one in found if one[0].status is RunStatus.RUNNING]
    return running or found[:1]


@dataclass(frozen=True)
class RunAgent:
    """An agent of ours on a gateway; `key` is its id there."""

    id: UUID
    key: str
    name: str
    board_id: UUID | None


RUN_AGENTS = Query[RunAgent](
    select(Agent.id, Agent.gateway_key, Agent.name, Agent.board_id)
    .where(Agent.gateway_id == bindparam("gateway_id"), Agent.gateway_key != "")
    .order_by(Agent.created_at.desc()),
    lambda row: RunAgent(*row),
)

RUNNING_RUNS = Query[Run](
    select(Run)
    .where(Run.gateway_id == bindparam("gateway_id"), Run.status == RunStatus.RUNNING)
    .order_by(Run.started_at, Run.id),
    itemgetter(0),
)

RUN_WITH_ID = Query[Run](
    select(Run).where(Run.gateway_id == bindparam("gateway_id"), Run.run_id == bindparam("run_id")),
    itemgetter(0),
)


async def load_run_agents(source: Source, gateway_id: UUID) -> dict[str, RunAgent]:
    """Return our agents on a gateway, by their ids there."""
    found = await RUN_AGENTS.fetch(source, gateway_id=gateway_id)
    return {agent.key: agent for agent in found}
