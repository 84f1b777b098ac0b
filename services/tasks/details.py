"""Load tasks with everything that is displayed of them, in one statement for any number."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, bindparam, func, select
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
from services.tasks.loaders import approval_ids_query, task_not_found

BOARD_ID = bindparam("board_id", type_=Uuid())


class TaskRef(NamedTuple):
    """A reference to a related task: a dependency or a dependent."""

    id: UUID
    title: str
    status: Status


class TagRef(NamedTuple):
    """A tag of a task."""

    id: UUID
    name: str
    slug: str
    color: str


@dataclass(frozen=True)
class TaskDetail:
    """A task with its related data from other tables."""

    task: Task
    assignee: Agent | None
    depends_on: Sequence[TaskRef]  # in display order
    unblocks: Sequence[TaskRef]  # the dependents of this task, oldest first
    tags: Sequence[TagRef]
    approvals_count: int
    approvals_pending_count: int
    comments_count: int
    custom_field_values: Mapping[str, Any]  # of all fields of the board, by key

    @property
    def depends_on_task_ids(self) -> list[UUID]:
        """The ids of the dependencies."""
        return [other.id for other in self.depends_on]

    @property
    def blocked_by(self) -> list[TaskRef]:
        """The dependencies that are not done; empty if this task is done."""
        if self.task.status is Status.DONE:
            return []
        return [other for other in self.depends_on if other.status is not Status.DONE]

    @property
    def blocked_by_task_ids(self) -> list[UUID]:
        """The ids of the dependencies that block this task."""
        return [other.id for other in self.blocked_by]

    @property
    def is_blocked(self) -> bool:
        """Whether a dependency blocks this task."""
        return bool(self.blocked_by)

    @property
    def tag_ids(self) -> list[UUID]:
        """The ids of the tags."""
        return [tag.id for tag in self.tags]


def build_task_detail(row: Sequence[Any]) -> TaskDetail:
    """Build a TaskDetail from a row of `task_details_query`."""
    task, assignee, depends_on, unblocks, tags, (approvals, pending), comments, values = row
    return TaskDetail(
        task=task,
        assignee=assignee,
        depends_on=[_build_task_ref(other) for other in depends_on],
        unblocks=[_build_task_ref(other) for other in unblocks],
        tags=[TagRef(UUID(id), *rest) for id, *rest in tags],
        approvals_count=approvals,
        approvals_pending_count=pending,
        comments_count=comments,
        custom_field_values=values,
    )


def _build_task_ref(other: Sequence[str]) -> TaskRef:
    id, title, status = other
    return TaskRef(UUID(id), title, Status(status))


def _related_tasks(own: Any, others: Any, *, are_dependencies: bool) -> ColumnElement[Any]:
    edge, other = TaskDependency, Task.__table__.alias("other")
    order = [edge.position] if are_dependencies else [other.c.created_at]
    refs = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(other.c.id, other.c.title, other.c.status),
            *order,
            edge.created_at,
            edge.id,
        )
    )
    query = select(_or_empty_array(refs)).join_from(edge, other, other.c.id == others)
    return query.where(own == Task.id).correlate(Task).scalar_subquery()


def _tag_refs() -> ColumnElement[Any]:
    assignment = TagAssignment
    refs = func.jsonb_agg(
        aggregate_order_by(
            func.jsonb_build_array(Tag.id, Tag.name, Tag.slug, Tag.color),
            assignment.position,
            assignment.created_at,
            assignment.id,
        )
    )
    query = select(_or_empty_array(refs)).join_from(assignment, Tag, Tag.id == assignment.tag_id)
    return query.where(assignment.task_id == Task.id).correlate(Task).scalar_subquery()


def _approval_counts() -> ColumnElement[Any]:
    pending = func.count().filter(Approval.status == ApprovalStatus.PENDING)
    query = select(func.jsonb_build_array(func.count(), pending))
    query = query.where(Approval.board_id == BOARD_ID, Approval.id.in_(approval_ids_query()))
    return query.correlate(Task).scalar_subquery()


def _comments_count() -> ColumnElement[Any]:
    query = select(func.count()).select_from(Comment).where(Comment.task_id == Task.id)
    return query.correlate(Task).scalar_subquery()


def _or_empty_array(aggregate: Any) -> ColumnElement[Any]:
    return func.coalesce(aggregate, func.jsonb_build_array())


TASK_DETAILS: Select[*tuple[Any, ...]] = (
    select(
        Task,
        Agent,
        _related_tasks(
            TaskDependency.task_id, TaskDependency.depends_on_task_id, are_dependencies=True
        ),
        _related_tasks(
            TaskDependency.depends_on_task_id, TaskDependency.task_id, are_dependencies=False
        ),
        _tag_refs(),
        _approval_counts(),
        _comments_count(),
        custom_fields.task_values_query(),
    )
    .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
    .where(Task.board_id == BOARD_ID)
)
"""Selects the tasks of the board `board_id`, in the columns that `build_task_detail` expects."""

TASK_DETAIL = TASK_DETAILS.where(Task.id == bindparam("task_id"))
TASK_DETAILS_BY_ID = TASK_DETAILS.where(Task.id.in_(bindparam("task_ids", expanding=True)))


async def get_task_detail(session: AsyncSession, board: Board, task_id: UUID) -> TaskDetail:
    """Return a task of this board with its related data. Raises NotFound."""
    parameters = {"board_id": board.id, "task_id": task_id}
    row = (await session.execute(TASK_DETAIL, parameters)).one_or_none()
    if row is None:
        raise task_not_found()
    return build_task_detail(row)


async def load_task_details(
    session: AsyncSession, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, TaskDetail]:
    """Load the details of the tasks with these ids that are on the board."""
    if not task_ids:
        return {}
    parameters = {"board_id": board.id, "task_ids": list(task_ids)}
    rows = await session.execute(TASK_DETAILS_BY_ID, parameters)
    return {row[0].id: build_task_detail(row) for row in rows}
