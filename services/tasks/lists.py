"""Lists of tasks for the API: rows with the columns that lists show, not the complete details."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, bindparam, case, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from core.db.reads import AnySelect, Query, Source
from core.paging import Page, PagedQuery, Paging
from models import USER_NAME, Agent, Board, Status, Tag, TagAssignment, Task, TaskDependency, User
from services import counters, custom_fields
from services.tasks.details import APPROVAL_COUNTS, BOARD_ID, TaskDetail

NEWEST_FIRST = (Task.created_at.desc(), Task.id.desc())


class ListedTask(NamedTuple):
    """A task as lists show it, in the order of the selected columns.

    Ids are texts. Assignee and approvals are selected for snapshots only.
    """

    id: str
    board_id: str
    title: str
    description: str | None
    status: str
    priority: str
    due_at: datetime | None
    assigned_agent_id: str | None
    assigned_user_id: str | None
    created_by_user_id: str | None
    in_progress_at: datetime | None
    stale_since: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    depends_on: Sequence[tuple[str, str]]  # id and status of each, in display order
    tags: Sequence[tuple[str, str, str, str]]  # id, name, slug and color of each
    custom_field_values: Mapping[str, Any] | None  # None for a board without fields
    assignee: str | None = None
    approval_counts: tuple[int, int] = (0, 0)  # of all approvals, and of pending ones


def _as_text(column: Any) -> ColumnElement[str]:
    return cast(column, String)


def _select_dependencies() -> ColumnElement[Any]:
    edge, other = TaskDependency, Task.__table__.alias("dependency")
    query = select(func.row(_as_text(other.c.id), _as_text(other.c.status)))
    query = query.join_from(edge, other, other.c.id == edge.depends_on_task_id)
    query = query.where(edge.task_id == Task.id).correlate(Task)
    return func.array(query.order_by(edge.position, edge.created_at, edge.id).scalar_subquery())


def _select_tags() -> ColumnElement[Any]:
    assignment = TagAssignment
    query = select(func.row(_as_text(Tag.id), Tag.name, Tag.slug, Tag.color))
    query = query.join_from(assignment, Tag, Tag.id == assignment.tag_id)
    query = query.where(assignment.task_id == Task.id).correlate(Task)
    in_order = query.order_by(assignment.position, assignment.created_at, assignment.id)
    return func.array(in_order.scalar_subquery())


IS_UNASSIGNED = Task.assigned_agent_id.is_(None) & Task.assigned_user_id.is_(None)
ASSIGNEE_NAME = case((Agent.id.is_not(None), Agent.name), (User.id.is_not(None), USER_NAME))
COLUMNS = (
    *(_as_text(Task.id), _as_text(Task.board_id), Task.title, Task.description),
    *(_as_text(Task.status), Task.priority, Task.due_at, _as_text(Task.assigned_agent_id)),
    *(_as_text(Task.assigned_user_id), _as_text(Task.created_by_user_id), Task.in_progress_at),
    case((Task.status == Status.IN_PROGRESS, Task.stale_since)),
    *(Task.created_at, Task.updated_at, Task.version, _select_dependencies(), _select_tags()),
    func.nullif(custom_fields.task_values_query(), func.jsonb_build_object()),
)
"""The columns of a ListedTask, without those for snapshots. Related objects are arrays of rows:
these are decoded faster than JSON."""


def build_listed_task(detail: TaskDetail) -> ListedTask:
    """Return a task with its details as lists show it."""
    task = detail.task
    return ListedTask(
        *(str(task.id), str(task.board_id), task.title, task.description),
        *(task.status, task.priority, task.due_at, _optional_text(task.assigned_agent_id)),
        *(_optional_text(task.assigned_user_id), _optional_text(task.created_by_user_id)),
        *(task.in_progress_at, task.stale_since if task.status == Status.IN_PROGRESS else None),
        *(task.created_at, task.updated_at, task.version),
        depends_on=[(str(other.id), other.status) for other in detail.depends_on],
        tags=[(str(tag.id), tag.name, tag.slug, tag.color) for tag in detail.tags],
        custom_field_values=detail.custom_field_values,
    )


def _optional_text(id: UUID | None) -> str | None:
    return None if id is None else str(id)


async def list_tasks(
    source: Source,
    board: Board,
    paging: Paging,
    *,
    statuses: Sequence[Status] | None = None,
    assigned_agent_id: UUID | None = None,
    assigned_user_id: UUID | None = None,
    unassigned: bool = False,
) -> Page[ListedTask]:
    """Return the tasks of a board that match all filters, newest first.

    Runs one statement, or two for an offset after the last task.
    """
    query = _build_list_query(
        by_status=bool(statuses),
        by_agent=assigned_agent_id is not None,
        by_user=assigned_user_id is not None,
        unassigned=unassigned,
    )
    return await query.fetch_page(
        source,
        paging,
        board_id=board.id,
        statuses=list(statuses or ()),
        agent_id=assigned_agent_id,
        user_id=assigned_user_id,
    )


@cache
def _build_list_query(
    *, by_status: bool, by_agent: bool, by_user: bool, unassigned: bool
) -> PagedQuery[ListedTask]:
    query: AnySelect = select(*COLUMNS).where(Task.board_id == BOARD_ID)
    statuses = bindparam("statuses", type_=ARRAY(String)) if by_status else None
    if statuses is not None:
        query = query.where(cast(Task.status, String) == statuses.any_())
    if by_agent:
        query = query.where(Task.assigned_agent_id == bindparam("agent_id", type_=Uuid()))
    if by_user:
        query = query.where(Task.assigned_user_id == bindparam("user_id", type_=Uuid()))
    if unassigned:
        query = query.where(IS_UNASSIGNED)
    is_counted = not (by_agent or by_user or unassigned)
    total = counters.count_tasks_of_board(BOARD_ID, statuses) if is_counted else None
    return PagedQuery(query.order_by(*NEWEST_FIRST), lambda row: ListedTask(*row), total)


BOARD_TASKS: Query[ListedTask] = Query(
    select(*COLUMNS, ASSIGNEE_NAME, APPROVAL_COUNTS)
    .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
    .outerjoin(User, User.id == Task.assigned_user_id)
    .where(Task.board_id == BOARD_ID)
    .order_by(*NEWEST_FIRST),
    ListedTask._make,
)
"""Selects all tasks of the board `board_id` for its snapshot, newest first."""
