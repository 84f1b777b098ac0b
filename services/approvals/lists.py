"""Reading approvals: one, a board's, and what waits for a person across boards."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.paging import MOST, Page, Paging, paged_rows
from kit.together import Wanted
from models import Approval, ApprovalStatus, ApprovalTask, Board, Member
from services import boards
from services.approvals.details import (
    ApprovalDetail,
    Rows,
    board_of,
    every,
    from_row,
    one,
    rows,
)

DECIDED_AT = func.coalesce(Approval.decided_at, Approval.resolved_at)
WAITING = (Approval.status == ApprovalStatus.PENDING) & Approval.decided_status.is_(None)


@dataclass(frozen=True)
class Counts:
    """How many approvals a board waits for, and how many each task has: all, and pending ones."""

    pending: int
    of_tasks: dict[UUID, tuple[int, int]]


async def listed(
    session: AsyncSession, board: Board, paging: Paging, *, status: ApprovalStatus | None = None
) -> Page[ApprovalDetail]:
    """Return a board's approvals, newest first."""
    query = rows().where(Approval.board_id == board.id)
    if status is not None:
        query = query.where(Approval.status == status)
    return await _paged(session, query, paging)


def newest(board: Board, *, most: int) -> Wanted[ApprovalDetail]:
    """Want a board's newest approvals, newest first."""
    query = _newest_first(rows().where(Approval.board_id == board.id))
    return Wanted(query.limit(most), from_row)


def pending_count(board: Board) -> Wanted[int]:
    """Want the number of a board's pending approvals."""
    return Wanted(select(_pending(board).label("pending")), lambda row: row[0])


async def for_member(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    status: ApprovalStatus | None = None,
) -> Page[ApprovalDetail]:
    """Return the approvals of the boards that this member reads, or of one, newest first."""
    query = rows().where(_readable(member, board_id))
    if status is not None:
        query = query.where(Approval.status == status)
    return await _paged(session, query, paging)


async def several(
    session: AsyncSession, board: Board, approval_ids: Collection[UUID]
) -> dict[UUID, ApprovalDetail]:
    """Return those of these approvals that are on the board."""
    query = rows().where(Approval.board_id == board.id, Approval.id.in_(approval_ids))
    found = await every(session, query) if approval_ids else ()
    return {detail.approval.id: detail for detail in found}


async def counts(session: AsyncSession, board: Board, task_ids: Sequence[UUID]) -> Counts:
    """Count a board's pending approvals, and all and pending ones of some of its tasks."""
    pending = Approval.status == ApprovalStatus.PENDING
    per_task = (
        select(ApprovalTask.task_id, func.count(), func.count().filter(pending))
        .join(Approval, Approval.id == ApprovalTask.approval_id)
        .where(Approval.board_id == board.id, ApprovalTask.task_id.in_(task_ids))
        .group_by(ApprovalTask.task_id)
    )
    found = (await session.execute(per_task)).all() if task_ids else []
    return Counts(
        pending=await session.scalar(select(_pending(board))) or 0,
        of_tasks=dict.fromkeys(task_ids, (0, 0)) | {id: (all, open) for id, all, open in found},
    )


async def waiting(
    session: AsyncSession,
    member: Member,
    *,
    board_id: UUID | None = None,
    among: Collection[UUID] | None = None,
) -> Sequence[ApprovalDetail]:
    """Return what waits for an answer on the boards that this member reads, newest first.

    Of all that waits, or `among` the questions with these ids.
    """
    query = rows().where(WAITING, _readable(member, board_id))
    if among is not None:
        query = query.where(Approval.id.in_(among))
    return await every(session, _newest_first(query).limit(MOST))


async def decided(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[ApprovalDetail]:
    """Return what was answered on the boards that this member reads, last answer first."""
    query = rows().where(DECIDED_AT.is_not(None), _readable(member, board_id))
    return await _paged(session, query, paging, by=DECIDED_AT)


async def decided_today(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[ApprovalDetail]:
    """Return what was answered since midnight, where this member lives, last answer first."""
    query = rows().where(_midnight(member.user.timezone) <= DECIDED_AT, _readable(member, board_id))
    query = query.order_by(DECIDED_AT.desc(), Approval.id.desc())
    return await every(session, query.limit(MOST))


async def detail_for(session: AsyncSession, member: Member, approval_id: UUID) -> ApprovalDetail:
    """Return an approval of a board that this person reads. Raises NotFound or Forbidden."""
    board_id = await board_of(session, member.user, approval_id)
    return await one(session, await boards.get(session, member.user, board_id), approval_id)


async def waiting_count(session: AsyncSession, member: Member) -> int:
    """Count what waits for an answer on the boards that this member reads."""
    return sum((await waiting_by_board(session, member)).values())


async def waiting_by_board(session: AsyncSession, member: Member) -> dict[UUID, int]:
    """Count what waits for an answer, for each board that this member reads and that asks."""
    query = select(Approval.board_id, func.count()).where(WAITING, _readable(member, None))
    found = await session.execute(query.group_by(Approval.board_id))
    return {board_id: count for board_id, count in found}


def _pending(board: Board) -> ColumnElement[int]:
    pending = Approval.status == ApprovalStatus.PENDING
    return select(func.count()).where(Approval.board_id == board.id, pending).scalar_subquery()


def _newest_first(query: Rows) -> Rows:
    return query.order_by(Approval.created_at.desc(), Approval.id.desc())


def _readable(member: Member, board_id: UUID | None) -> ColumnElement[bool]:
    mine = Approval.board_id.in_(boards.readable(member.user, member.organization_id))
    return mine if board_id is None else mine & (Approval.board_id == board_id)


async def _paged(
    session: AsyncSession,
    query: Rows,
    paging: Paging,
    by: ColumnElement[datetime] | None = None,
) -> Page[ApprovalDetail]:
    first = Approval.created_at if by is None else by
    ordered = query.order_by(first.desc(), Approval.id.desc())
    return (await paged_rows(session, ordered, paging)).map(from_row)


def _midnight(timezone: str | None) -> datetime:
    """Return when today began in a time zone; a day ago if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now() - timedelta(days=1)
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.astimezone(UTC)
