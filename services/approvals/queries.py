"""List and count approvals, of one board or across the boards of a member."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import BindParameter, ColumnElement, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.combined_query import QueryPart
from core.paging import MAX_PAGE_SIZE, Page, Paging, fetch_page_of_rows
from models import Approval, ApprovalStatus, ApprovalTask, Board, Member
from services import boards
from services.approvals.details import (
    ApprovalDetail,
    ApprovalSelect,
    approvals_query,
    detail_from_row,
    fetch_details,
    get_approval,
    get_board_id,
)

DECIDED_AT = func.coalesce(Approval.decided_at, Approval.resolved_at)
IS_UNDECIDED = (Approval.status == ApprovalStatus.PENDING) & Approval.decided_status.is_(None)


@dataclass(frozen=True)
class ApprovalCounts:
    """The number of pending approvals of a board; for each task, of all and of pending ones."""

    pending: int
    by_task: dict[UUID, tuple[int, int]]


async def list_board_approvals(
    session: AsyncSession, board: Board, paging: Paging, *, status: ApprovalStatus | None = None
) -> Page[ApprovalDetail]:
    """Return a board's approvals, newest first."""
    query = approvals_query().where(Approval.board_id == board.id)
    if status is not None:
        query = query.where(Approval.status == status)
    return await _paged(session, query, paging)


def newest_approvals_query(*, limit: int) -> QueryPart[ApprovalDetail]:
    """Build the query for the newest approvals of the board `board_id`, newest first."""
    query = _newest_first(approvals_query().where(Approval.board_id == bindparam("board_id")))
    return QueryPart(query.limit(limit), detail_from_row)


def pending_count_query() -> QueryPart[int]:
    """Build the query for the number of pending approvals of the board `board_id`."""
    pending = _pending(bindparam("board_id"))
    return QueryPart(select(pending.label("pending")), lambda row: row[0])


async def list_member_approvals(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    status: ApprovalStatus | None = None,
) -> Page[ApprovalDetail]:
    """Return the approvals of all boards that the member may read, or of one, newest first."""
    query = approvals_query().where(_readable(member, board_id))
    if status is not None:
        query = query.where(Approval.status == status)
    return await _paged(session, query, paging)


async def load_approvals(
    session: AsyncSession, board: Board, approval_ids: Collection[UUID]
) -> dict[UUID, ApprovalDetail]:
    """Return those of these approvals that are on the board, by id."""
    query = approvals_query().where(Approval.board_id == board.id, Approval.id.in_(approval_ids))
    found = await fetch_details(session, query) if approval_ids else ()
    return {detail.approval.id: detail for detail in found}


async def count_approvals(
    session: AsyncSession, board: Board, task_ids: Sequence[UUID]
) -> ApprovalCounts:
    """Count a board's pending approvals, and the approvals of some of its tasks."""
    pending = Approval.status == ApprovalStatus.PENDING
    per_task = (
        select(ApprovalTask.task_id, func.count(), func.count().filter(pending))
        .join(Approval, Approval.id == ApprovalTask.approval_id)
        .where(Approval.board_id == board.id, ApprovalTask.task_id.in_(task_ids))
        .group_by(ApprovalTask.task_id)
    )
    found = (await session.execute(per_task)).all() if task_ids else []
    return ApprovalCounts(
        pending=await session.scalar(select(_pending(board.id))) or 0,
        by_task=dict.fromkeys(task_ids, (0, 0)) | {id: (all, open) for id, all, open in found},
    )


async def list_undecided_approvals(
    session: AsyncSession,
    member: Member,
    *,
    board_id: UUID | None = None,
    approval_ids: Collection[UUID] | None = None,
) -> Sequence[ApprovalDetail]:
    """Return the undecided approvals of the boards that the member may read, newest first.

    Optionally only those of one board, or with these ids.
    """
    query = _build_undecided_query(of_board=board_id is not None, by_id=approval_ids is not None)
    parameters = {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
        "approval_ids": list(approval_ids or ()),
    }
    return await fetch_details(session, query, parameters)


@cache
def _build_undecided_query(*, of_board: bool, by_id: bool) -> ApprovalSelect:
    readable = Approval.board_id.in_(boards.READABLE_BOARD_IDS)
    query = approvals_query().where(IS_UNDECIDED, readable)
    if of_board:
        query = query.where(Approval.board_id == bindparam("board_id"))
    if by_id:
        query = query.where(Approval.id.in_(bindparam("approval_ids", expanding=True)))
    return _newest_first(query).limit(MAX_PAGE_SIZE)


async def list_decided_approvals(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[ApprovalDetail]:
    """Return the decided approvals of the boards that the member may read, last decision first."""
    query = approvals_query().where(DECIDED_AT.is_not(None), _readable(member, board_id))
    return await _paged(session, query, paging, by=DECIDED_AT)


async def list_approvals_decided_today(
    session: AsyncSession, member: Member, *, board_id: UUID | None = None
) -> Sequence[ApprovalDetail]:
    """Return the approvals decided today in the member's time zone, last decision first."""
    query = approvals_query().where(
        _midnight(member.user.timezone) <= DECIDED_AT, _readable(member, board_id)
    )
    query = query.order_by(DECIDED_AT.desc(), Approval.id.desc())
    return await fetch_details(session, query.limit(MAX_PAGE_SIZE))


async def list_undoable_decisions(
    session: AsyncSession, member: Member, approval_ids: Collection[UUID]
) -> Sequence[ApprovalDetail]:
    """Return those of these approvals that the member has decided and can still undo."""
    query = approvals_query().where(
        Approval.id.in_(approval_ids),
        Approval.status == ApprovalStatus.PENDING,
        Approval.decided_by_user_id == member.user_id,
        Approval.finalizes_at > now(),
        _readable(member, None),
    )
    query = query.order_by(DECIDED_AT.desc(), Approval.id.desc())
    return await fetch_details(session, query) if approval_ids else []


async def get_member_approval(
    session: AsyncSession, member: Member, approval_id: UUID
) -> ApprovalDetail:
    """Return an approval of a board that the member may read. Raises NotFound or Forbidden."""
    board_id = await get_board_id(session, member.user, approval_id)
    return await get_approval(
        session, await boards.get_board(session, member.user, board_id), approval_id
    )


async def count_undecided_approvals(session: AsyncSession, member: Member) -> int:
    """Count the undecided approvals of the boards that the member may read."""
    return sum((await count_undecided_by_board(session, member)).values())


async def count_undecided_by_board(session: AsyncSession, member: Member) -> dict[UUID, int]:
    """Count the undecided approvals of each board that the member may read and that has any."""
    query = select(Approval.board_id, func.count()).where(IS_UNDECIDED, _readable(member, None))
    found = await session.execute(query.group_by(Approval.board_id))
    return {board_id: count for board_id, count in found}


def _pending(board_id: UUID | BindParameter[UUID]) -> ColumnElement[int]:
    pending = Approval.status == ApprovalStatus.PENDING
    return select(func.count()).where(Approval.board_id == board_id, pending).scalar_subquery()


def _newest_first(query: ApprovalSelect) -> ApprovalSelect:
    return query.order_by(Approval.created_at.desc(), Approval.id.desc())


def _readable(member: Member, board_id: UUID | None) -> ColumnElement[bool]:
    readable = Approval.board_id.in_(
        boards.readable_board_ids_query(member.user, member.organization_id)
    )
    return readable if board_id is None else readable & (Approval.board_id == board_id)


async def _paged(
    session: AsyncSession,
    query: ApprovalSelect,
    paging: Paging,
    by: ColumnElement[datetime] | None = None,
) -> Page[ApprovalDetail]:
    first = Approval.created_at if by is None else by
    ordered = query.order_by(first.desc(), Approval.id.desc())
    return (await fetch_page_of_rows(session, ordered, paging)).map(detail_from_row)


def _midnight(timezone: str | None) -> datetime:
    """Return the start of today in a time zone; 24 hours ago if the zone is unknown."""
    try:
        zone = ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now() - timedelta(days=1)
    today = now().astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return today.astimezone(UTC)
