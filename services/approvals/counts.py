"""Count approvals, from the counters of boards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query
from models import Approval, ApprovalStatus, ApprovalTask, Board, BoardCounts
from services import boards, counters, policies
from services.approvals.queries import BOARD_ID, pending_count


@dataclass(frozen=True)
class ApprovalCounts:
    """The number of pending approvals of a board; for each task, of all and of pending ones."""

    pending: int
    by_task: dict[UUID, tuple[int, int]]


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
        pending=await session.scalar(select(pending_count(board.id))) or 0,
        by_task=dict.fromkeys(task_ids, (0, 0)) | {id: (all, open) for id, all, open in found},
    )


def count_approvable(board_id: SQLColumnExpression[UUID]) -> ColumnElement[int]:
    """Select how many undecided approvals of a board a member who may change it can approve.

    Those that the policy leaves to others are few, and read from an index of their own.
    """
    undecided = select(BoardCounts.undecided_approvals).where(BoardCounts.board_id == board_id)
    counted = func.coalesce(undecided.correlate_except(BoardCounts).scalar_subquery(), 0)
    return counted - _count_undecided(board_id, policies.needs_other_approver())


def count_own_first_approvals(board_id: SQLColumnExpression[UUID]) -> ColumnElement[int]:
    """Select how many undecided approvals of a board `user_id` has approved as the first of two."""
    return _count_undecided(board_id, policies.IS_RESTRICTED & policies.has_approved_first_query())


def _count_undecided(
    board_id: SQLColumnExpression[UUID], condition: ColumnElement[bool]
) -> ColumnElement[int]:
    query = select(func.count()).select_from(Approval)
    query = query.where(Approval.board_id == board_id, policies.IS_UNDECIDED, condition)
    return query.correlate_except(Approval).scalar_subquery()


@cache
def build_decided_count_query(*, by_board: bool) -> Query[int]:
    """Build the query that counts what `list_decided_approvals` lists."""
    readable = boards.READABLE_BOARD_IDS.subquery("readable")
    ids = select(readable.c.id)
    ids = ids.where(readable.c.id == BOARD_ID) if by_board else ids
    return Query(select(counters.sum_counts([BoardCounts.decided_approvals], ids)), itemgetter(0))
