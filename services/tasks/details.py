"""Tasks with all that is shown of them, in one statement however many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Comment,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from services import custom_fields
from services.tasks.looking import approval_ids, no_such_task


class TaskRef(NamedTuple):
    """Another task, as far as it matters to one that waits for it, or for which it waits."""

    id: UUID
    title: str
    status: Status


class TagRef(NamedTuple):
    """A tag, as it is shown on a task."""

    id: UUID
    name: str
    slug: str
    color: str


@dataclass(frozen=True)
class TaskDetail:
    """A task, and what other tables say of it."""

    task: Task
    assignee: Agent | None
    depends_on: Sequence[TaskRef]  # in the order in which they were named
    unblocks: Sequence[TaskRef]  # the tasks that wait for this one, oldest first
    tags: Sequence[TagRef]
    approvals_count: int
    approvals_pending_count: int
    comments_count: int
    custom_field_values: Mapping[str, Any]  # of every field of the board, by its key

    @property
    def depends_on_task_ids(self) -> list[UUID]:
        """The tasks that come before this one."""
        return [other.id for other in self.depends_on]

    @property
    def blocked_by(self) -> list[TaskRef]:
        """The tasks for which this one still waits. A task that is done waits for nothing."""
        if self.task.status is Status.DONE:
            return []
        return [other for other in self.depends_on if other.status is not Status.DONE]

    @property
    def blocked_by_task_ids(self) -> list[UUID]:
        """The ids of the tasks for which this one still waits."""
        return [other.id for other in self.blocked_by]

    @property
    def is_blocked(self) -> bool:
        """Whether this task waits for another."""
        return bool(self.blocked_by)

    @property
    def tag_ids(self) -> list[UUID]:
        """The ids of the tags."""
        return [tag.id for tag in self.tags]


async def detail(session: AsyncSession, board: Board, task_id: UUID) -> TaskDetail:
    """Return a task of this board with all that is shown of it. Raises NotFound."""
    query = details(board).where(Task.id == task_id)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise no_such_task()
    return from_row(row)


def details(board: Board) -> Select[*tuple[Any, ...]]:
    """Select tasks of a board, each with what `from_row` makes a TaskDetail of."""
    return (
        select(
            Task,
            Agent,
            _others(TaskDependency.task_id, TaskDependency.depends_on_task_id, awaited=True),
            _others(TaskDependency.depends_on_task_id, TaskDependency.task_id, awaited=False),
            _tags(),
            _approvals(board),
            _comments(),
            custom_fields.shown(),
        )
        .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
        .where(Task.board_id == board.id)
    )


def from_row(row: Sequence[Any]) -> TaskDetail:
    """Make a TaskDetail of a row of `details`."""
    task, assignee, depends_on, unblocks, tags, (asked, pending), comments, values = row
    return TaskDetail(
        task=task,
        assignee=assignee,
        depends_on=[_ref(other) for other in depends_on],
        unblocks=[_ref(other) for other in unblocks],
        tags=[TagRef(UUID(id), *rest) for id, *rest in tags],
        approvals_count=asked,
        approvals_pending_count=pending,
        comments_count=comments,
        custom_field_values=values,
    )


def _ref(other: Sequence[str]) -> TaskRef:
    id, title, status = other
    return TaskRef(UUID(id), title, Status(status))


def _others(own: Any, others: Any, *, awaited: bool) -> ColumnElement[Any]:
    edge, other = TaskDependency, Task.__table__.alias("other")
    order = [edge.position] if awaited else [other.c.created_at]
    refs = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(other.c.id, other.c.title, other.c.status),
            *order,
            edge.created_at,
            edge.id,
        )
    )
    query = select(_or_empty(refs)).join_from(edge, other, other.c.id == others)
    return query.where(own == Task.id).correlate(Task).scalar_subquery()


def _tags() -> ColumnElement[Any]:
    on = TagAssignment
    refs = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(Tag.id, Tag.name, Tag.slug, Tag.color),
            on.position,
            on.created_at,
            on.id,
        )
    )
    query = select(_or_empty(refs)).join_from(on, Tag, Tag.id == on.tag_id)
    return query.where(on.task_id == Task.id).correlate(Task).scalar_subquery()


def _approvals(board: Board) -> ColumnElement[Any]:
    pending = func.count().filter(Approval.status == ApprovalStatus.PENDING)
    query = select(func.jsonb_build_array(func.count(), pending))
    query = query.where(Approval.board_id == board.id, Approval.id.in_(approval_ids()))
    return query.correlate(Task).scalar_subquery()


def _comments() -> ColumnElement[Any]:
    query = select(func.count()).select_from(Comment).where(Comment.task_id == Task.id)
    return query.correlate(Task).scalar_subquery()


def _or_empty(aggregate: Any) -> ColumnElement[Any]:
    return func.coalesce(aggregate, func.jsonb_build_array())
