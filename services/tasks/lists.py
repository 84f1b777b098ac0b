"""The tasks of a board as a list."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging
from kit.together import Wanted
from models import Board, Status, Task
from services.tasks.details import TaskDetail, details, from_row

NEWEST_FIRST = (Task.created_at.desc(), Task.id.desc())


async def listed(
    session: AsyncSession,
    board: Board,
    paging: Paging,
    *,
    statuses: Sequence[Status] | None = None,
    assigned_agent_id: UUID | None = None,
    unassigned: bool = False,
) -> Page[TaskDetail]:
    """Return the tasks of a board, newest first. The filters add up.

    The page is cut from ids, and only what is on it is looked at closer. One statement, or two for
    a page behind the last.
    """
    ids = select(Task.id).where(Task.board_id == board.id)
    if statuses:
        ids = ids.where(Task.status.in_(statuses))
    if assigned_agent_id is not None:
        ids = ids.where(Task.assigned_agent_id == assigned_agent_id)
    if unassigned:
        ids = ids.where(Task.assigned_agent_id.is_(None))
    count = select(func.count()).select_from(ids.subquery())
    page = ids.order_by(*NEWEST_FIRST).limit(paging.limit).offset(paging.offset).subquery()
    query = details(board).add_columns(count.scalar_subquery())
    query = query.where(Task.id.in_(select(page.c.id))).order_by(*NEWEST_FIRST)
    rows = (await session.execute(query)).all()
    if rows or not paging.offset:
        total = rows[0][-1] if rows else 0
    else:
        total = await session.scalar(count) or 0
    return Page([from_row(row[:-1]) for row in rows], total, paging.limit, paging.offset)


def newest(board: Board) -> Wanted[TaskDetail]:
    """Want all tasks of a board, newest first."""
    return Wanted(details(board).order_by(*NEWEST_FIRST), from_row)
