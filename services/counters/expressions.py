"""SQL expressions that read counters. The database maintains them with what they count."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute

from models import AgentEventCount, ApprovalStatus, BoardCounts, EventCount, Status

Counter = InstrumentedAttribute[int]

TASK_COUNTS: Mapping[Status, Counter] = {
    Status.INBOX: BoardCounts.inbox_tasks,
    Status.IN_PROGRESS: BoardCounts.in_progress_tasks,
    Status.REVIEW: BoardCounts.review_tasks,
    Status.DONE: BoardCounts.done_tasks,
}
"""The number of tasks of a board in each status."""

APPROVAL_COUNTS: Mapping[ApprovalStatus, Counter] = {
    ApprovalStatus.PENDING: BoardCounts.pending_approvals,
    ApprovalStatus.APPROVED: BoardCounts.approved_approvals,
    ApprovalStatus.REJECTED: BoardCounts.rejected_approvals,
}
"""The number of approvals of a board in each status, as agents see it."""


def sum_counts(counters: Collection[Counter], board_ids: Select[UUID]) -> ColumnElement[int]:
    """Select the sum of counters over boards; 0 if they have none."""
    total: Any = sum(counters, start=0)
    query = select(func.coalesce(func.sum(total), 0))
    return query.where(BoardCounts.board_id.in_(board_ids)).scalar_subquery()


def count_tasks_of_board(
    board_id: Any, statuses: ColumnElement[Any] | None = None
) -> ScalarSelect[int]:
    """Select the number of tasks of a board, or only of those in an array of statuses."""
    chosen = [
        counter
        if statuses is None
        else case((literal_column(f"'{status}'") == func.any(statuses), counter), else_=0)
        for status, counter in TASK_COUNTS.items()
    ]
    query = select(func.coalesce(func.sum(sum(chosen, start=literal_column("0"))), 0))
    return query.where(BoardCounts.board_id == board_id).scalar_subquery()


def sum_event_counts(
    model: type[EventCount | AgentEventCount], condition: ColumnElement[bool]
) -> ColumnElement[int]:
    """Select the number of events of the counters that match a condition."""
    total = cast(func.coalesce(func.sum(model.count), 0), BigInteger)
    return select(total).where(condition).scalar_subquery()
