"""In which order the tasks of a board are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal_column, or_, select, true, union

from models import (
    OPEN_DEPENDENCY_COUNT,
    USER_NAME,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Status,
    Task,
    User,
)
from services.tasks.queries import BOARD_ID, PRIORITY_RANK, WORKER_ID

NAME_IN_ORDER = func.coalesce(
    select(func.lower(Agent.name)).where(Agent.id == WORKER_ID).correlate(Task).scalar_subquery(),
    select(func.lower(USER_NAME))
    .where(User.id == Task.assigned_user_id)
    .correlate(Task)
    .scalar_subquery(),
)
ORDERS: Mapping[str, tuple[Any, bool]] = {
    "manual": (Task.rank, True),
    "title": (func.lower(Task.title), False),
    "priority": (PRIORITY_RANK, True),
    "assignee": (NAME_IN_ORDER, False),
    "due": (Task.due_at, False),
    "updated": (Task.updated_at, True),
    "created": (Task.created_at, True),
}
"""What tasks can be sorted by, and whether the highest value is the first."""
REQUIRED_KEYS = {"manual", "title", "priority", "updated", "created"}
CREATED_AT: Any = Task.created_at
ID: Any = Task.id


@dataclass(frozen=True)
class SortKey:
    """What tasks are sorted by. Tasks without a value are last."""

    column: ColumnElement[Any]
    is_descending: bool
    is_required: bool = False  # whether every task has a value

    def sorted(self, *, is_reversed: bool = False) -> ColumnElement[Any]:
        """Return the expression for ORDER BY."""
        column = self.column
        ordered = column.desc() if self.is_descending is not is_reversed else column.asc()
        if self.is_required:
            return ordered
        return ordered.nulls_first() if is_reversed else ordered.nulls_last()

    def compare(self, value: ColumnElement[Any], *, is_after: bool) -> ColumnElement[bool]:
        """Match the tasks that are before or after a value."""
        column = self.column
        nearer = column < value if self.is_descending is is_after else column > value
        if self.is_required:
            return nearer
        if is_after:
            return or_(nearer, and_(column.is_(None), value.is_not(None)))
        return or_(nearer, and_(column.is_not(None), value.is_(None)))

    def bound(self, value: ColumnElement[Any], *, is_after: bool) -> ColumnElement[bool]:
        """Match the tasks that are at, before or after a value that every task has."""
        return self.column <= value if self.is_descending is is_after else self.column >= value


@dataclass(frozen=True)
class BoardOrder:
    """The order of the tasks in each column, and of the columns.

    With `in_sections` the Review column starts with the tasks that wait for a decision and ends
    with the blocked ones.
    """

    key: str = "manual"
    is_reversed: bool = False
    in_sections: bool = False
    statuses: tuple[Status, ...] = tuple(Status)

    def has_sections(self, status: Status) -> bool:
        """Return whether a column is sorted by its sections first."""
        return self.in_sections and status is Status.REVIEW

    def list_keys(self, status: Status) -> Sequence[SortKey]:
        """Return what the tasks of a column are sorted by."""
        keys = self._list_common_keys()
        if not self.has_sections(status):
            return keys
        # waits for a decision, for the lead, is blocked
        section = case((Task.id.in_(_undecided_task_ids()), 0), (is_blocked(), 2), else_=1)
        return [SortKey(section, False, True), *keys]

    def within_section(self) -> Sequence[ColumnElement[Any]]:
        """Return the expressions by which the tasks of a section, or of a column, are sorted."""
        return [key.sorted() for key in self._list_common_keys()]

    def list_sections(self, status: Status) -> Sequence[ColumnElement[bool]]:
        """Return the conditions of the sections of a column; without sections, one for all."""
        if not self.has_sections(status):
            return [true()]
        is_undecided = Task.id.in_(_undecided_task_ids())
        others = ~is_undecided
        return [is_undecided, others & ~is_blocked(), others & is_blocked()]

    def _list_common_keys(self) -> list[SortKey]:
        column, is_descending = ORDERS[self.key]
        own = SortKey(column, is_descending is not self.is_reversed, self.key in REQUIRED_KEYS)
        return [own, SortKey(CREATED_AT, True, True), SortKey(ID, True, True)]


def _undecided_task_ids() -> Any:
    """Select the tasks of the board that wait for a decision."""
    undecided = (
        (Approval.board_id == BOARD_ID)
        & (Approval.status == ApprovalStatus.PENDING)
        & Approval.decided_status.is_(None)
    )
    links = select(ApprovalTask.task_id).join(Approval, Approval.id == ApprovalTask.approval_id)
    primaries = select(Approval.task_id).where(undecided, Approval.task_id.is_not(None))
    return union(links.where(undecided), primaries)


def is_blocked() -> ColumnElement[bool]:
    """Select whether a task has an open dependency and is not done."""
    has_open_dependency = literal_column("0") < OPEN_DEPENDENCY_COUNT  # as in the index
    return (Task.status != Status.DONE) & has_open_dependency
