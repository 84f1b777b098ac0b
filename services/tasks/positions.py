"""The manual order of the tasks in a column: find a position, and move a task to it.

A rank is a number of any precision. The rank of a new position is between those of the tasks around
it, so that no other task changes. The board is locked, so two people who order the same column
do it one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Actor, Board, EventType, Task, rank_at
from services.tasks.queries import get_task
from services.tasks.storage import TaskEvent, publish_events


@dataclass(frozen=True)
class TaskPosition:
    """A position in a column, by the tasks around it; one that has left the column is ignored."""

    before: UUID | None = None  # the task that follows
    after: UUID | None = None  # the task that precedes


async def find_position(session: AsyncSession, task: Task) -> TaskPosition:
    """Return the position of a task of a locked board."""
    others = select(Task.id).where(*_is_other(task))
    above = others.where(Task.rank > task.rank).order_by(Task.rank).limit(1)
    below = others.where(Task.rank < task.rank).order_by(Task.rank.desc()).limit(1)
    return TaskPosition(await session.scalar(below), await session.scalar(above))


async def reorder_task(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, position: TaskPosition
) -> None:
    """Move a task of a locked board to a position in its column. Raises NotFound.

    The version of the task stays the same, because the task itself does not change.
    """
    task = await get_task(session, board, task_id)
    if position == await find_position(session, task):
        return
    rank = await _choose_rank(session, task, position)
    if rank is None:
        return
    task.rank = rank
    await session.flush()
    await publish_events(session, actor, board, [TaskEvent(EventType.TASK_REORDERED, task)])


async def _choose_rank(session: AsyncSession, task: Task, position: TaskPosition) -> Decimal | None:
    """Return the rank of a position in the column of a task; None if nothing is left around it."""
    ids = [id for id in (position.before, position.after) if id is not None]
    ranks: dict[UUID | None, Decimal] = {}
    if ids:
        query = select(Task.id, Task.rank).where(*_is_other(task), Task.id.in_(ids))
        ranks = {row.id: row.rank for row in await session.execute(query)}
    if position.before in ranks:
        low = ranks[position.before]
        above = select(func.min(Task.rank)).where(*_is_other(task), Task.rank > low)
        high = await session.scalar(above)
        return max(rank_at(now()), low + 1) if high is None else choose_rank_between(low, high)
    if position.after in ranks:
        high = ranks[position.after]
        below = select(func.max(Task.rank)).where(*_is_other(task), Task.rank < high)
        low = await session.scalar(below)
        return high - 1_000_000 if low is None else choose_rank_between(low, high)
    return None


def _is_other(task: Task) -> Sequence[Any]:
    """Return the conditions of the other tasks in the column of a task."""
    return Task.board_id == task.board_id, Task.status == task.status, Task.id != task.id


def choose_rank_between(low: Decimal, high: Decimal) -> Decimal:
    """Return a number between two others that has few digits. Equal ones leave none."""
    with localcontext(prec=10_000):  # PostgreSQL has 16,383 digits after the decimal point
        middle = (low + high) / 2
        if not low < high:
            return low
        candidates = (round(middle, digits) for digits in count())
        return next(one for one in candidates if low < one < high)
