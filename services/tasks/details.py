"""Load tasks with everything that is displayed of them, in one statement for any number."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from core.db.reads import AnySelect, Query, Source, choose_columns
from models import (
    USER_NAME_COLUMNS,
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
    User,
)
from services import custom_fields
from services.tasks.done_approvals import approval_ids_query
from services.tasks.loaders import BOARD_ID, task_not_found


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
    assigned_user: User | None
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
    task, assignee, user, depends_on, unblocks, tags, counts, comments, values = row
    return TaskDetail(
        task=task,
        assignee=assignee,
        assigned_user=user,
        depends_on=[_build_task_ref(other) for other in depends_on],
        unblocks=[_build_task_ref(other) for other in unblocks],
        tags=[TagRef(UUID(id), *rest) for id, *rest in tags],
        approvals_count=counts[0],
        approvals_pending_count=counts[1],
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
    query = select(func.row(func.count(), pending))
    query = query.where(Approval.board_id == BOARD_ID, Approval.id.in_(approval_ids_query()))
    return query.correlate(Task).scalar_subquery()


def _comments_count() -> ColumnElement[Any]:
    query = select(func.count()).select_from(Comment).where(Comment.task_id == Task.id)
    return query.correlate(Task).scalar_subquery()


def _or_empty_array(aggregate: Any) -> ColumnElement[Any]:
    return func.coalesce(aggregate, func.jsonb_build_array())


APPROVAL_COUNTS = _approval_counts()

TASK_DETAILS: AnySelect = choose_columns(
    select(
        Task,
        Agent,
        User,
        _related_tasks(
            TaskDependency.task_id, TaskDependency.depends_on_task_id, are_dependencies=True
        ),
        _related_tasks(
            TaskDependency.depends_on_task_id, TaskDependency.task_id, are_dependencies=False
        ),
        _tag_refs(),
        APPROVAL_COUNTS,
        _comments_count(),
        custom_fields.task_values_query(),
    )
    .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
    .outerjoin(User, User.id == Task.assigned_user_id)
    .where(Task.board_id == BOARD_ID),
    {User: USER_NAME_COLUMNS},
)
"""Selects the tasks of the board `board_id`, in the columns that `build_task_detail` expects."""

TASK_DETAIL = Query(TASK_DETAILS.where(Task.id == bindparam("task_id")), build_task_detail)
TASK_DETAILS_BY_ID = Query(
    TASK_DETAILS.where(Task.id == func.any(bindparam("task_ids", type_=ARRAY(Uuid())))),
    build_task_detail,
)


async def get_task_detail(source: Source, board: Board, task_id: UUID) -> TaskDetail:
    """Return a task of this board with its related data. Raises NotFound."""
    detail = await TASK_DETAIL.first(source, board_id=board.id, task_id=task_id)
    if detail is None:
        raise task_not_found()
    return detail


async def load_task_details(
    source: Source, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, TaskDetail]:
    """Load the details of the tasks with these ids that are on the board."""
    if not task_ids:
        return {}
    found = await TASK_DETAILS_BY_ID.fetch(source, board_id=board.id, task_ids=list(task_ids))
    return {detail.task.id: detail for detail in found}
