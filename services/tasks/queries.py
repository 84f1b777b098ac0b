"""Reads of tasks: one with its details, lists for the API, cards, and the options of forms.

A task is read in three sets of columns: DETAIL_COLUMNS (everything that is displayed of it),
LIST_COLUMNS and CARD_COLUMNS. They are made of the same expressions for related objects: these are
arrays of rows, which are decoded faster than JSON, so that any number of tasks is one statement.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from core.db.reads import AnySelect, Query, Source, choose_columns
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import (
    USER_NAME,
    USER_NAME_COLUMNS,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Comment,
    LinkKind,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskLink,
    User,
)
from services import counters, custom_fields, rows
from services.approval_actions import allows_completion
from services.tasks import dependencies

BOARD_ID = bindparam("board_id", type_=Uuid())
TASK_ID = bindparam("task_id", type_=Uuid())
STATUSES = {status.value: status for status in Status}
PRIORITY_RANK = case(
    {priority.value: rank for rank, priority in enumerate(Priority)},
    value=Task.priority,
    else_=-1,
)
NEWEST_FIRST = (Task.created_at.desc(), Task.id.desc())
IS_UNASSIGNED = Task.assigned_agent_id.is_(None) & Task.assigned_user_id.is_(None)

TASK: Query[Task] = Query(
    select(Task)
    .where(Task.id == TASK_ID, Task.board_id == BOARD_ID)
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def get_task(source: Source, board: Board, task_id: UUID) -> Task:
    """Return the current state of a task of this board. Raises NotFound."""
    return await rows.get_one(source, TASK, task_not_found, board_id=board.id, task_id=task_id)


def task_not_found() -> NotFound:
    """Build the error for a task that is not on the board."""
    return NotFound("task_not_found", N_("There is no such task on this board."))


# Related objects of the enclosing query's task


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


def _as_text(column: Any) -> ColumnElement[str]:
    return cast(column, String)


def _build_array(rows: Select[Any]) -> ColumnElement[Any]:
    return func.array(rows.correlate(Task).scalar_subquery())


OTHER = Task.__table__.alias("other")
OTHER_REF = func.row(OTHER.c.id, OTHER.c.title, _as_text(OTHER.c.status))


def _select_dependencies(columns: ColumnElement[Any]) -> Select[Any]:
    """Select columns of the dependencies, which are OTHER, in display order."""
    edge = TaskDependency
    query = select(columns).join_from(edge, OTHER, OTHER.c.id == edge.depends_on_task_id)
    query = query.where(edge.task_id == Task.id)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _select_dependents() -> Select[Any]:
    """Select the tasks that depend on the task, oldest first."""
    edge = TaskDependency
    query = select(OTHER_REF).join_from(edge, OTHER, OTHER.c.id == edge.task_id)
    query = query.where(edge.depends_on_task_id == Task.id)
    return query.order_by(OTHER.c.created_at, edge.created_at, edge.id)


def _select_tags(tag_id: Any = Tag.id) -> Select[Any]:
    """Select the tags in display order."""
    edge = TagAssignment
    query = select(func.row(tag_id, Tag.name, Tag.slug, Tag.color))
    query = query.join_from(edge, Tag, Tag.id == edge.tag_id).where(edge.task_id == Task.id)
    return query.order_by(edge.position, edge.created_at, edge.id)


def _select_card_links() -> Select[Any]:
    """Select the newest pull requests and failing checks."""
    is_shown = (TaskLink.kind == LinkKind.CHANGE) | (
        (TaskLink.kind == LinkKind.CHECK) & (TaskLink.state == "failing")
    )
    row = func.row(
        _as_text(TaskLink.kind),
        TaskLink.reference,
        TaskLink.title,
        TaskLink.url,
        TaskLink.state,
        TaskLink.checks_state,
    )
    query = select(row).where(TaskLink.task_id == Task.id, is_shown)
    return query.order_by(TaskLink.updated_at.desc(), TaskLink.id.desc()).limit(3)


def _select_worker_id() -> ColumnElement[UUID]:
    """Select the agent that works on a task, and of a task that is done the one that worked on it.

    A review takes a task from its worker and gives it to the lead, or to nobody.
    """
    lead = Agent.__table__.alias("lead")
    is_led = select(lead.c.id).where(lead.c.id == Task.assigned_agent_id, lead.c.is_board_lead)
    was_reviewed = and_(
        Task.status == Status.DONE,
        Task.previous_assignee_id.is_not(None),
        Task.assigned_user_id.is_(None),
        Task.assigned_agent_id.is_(None) | is_led.correlate(Task).exists(),
    )
    return case((was_reviewed, Task.previous_assignee_id), else_=Task.assigned_agent_id)


def approval_ids_query() -> CompoundSelect[UUID]:
    """Select the approvals of the task, linked or as their primary task."""
    links = select(ApprovalTask.approval_id).where(ApprovalTask.task_id == Task.id)
    primary = aliased(Approval)
    primaries = select(primary.id).where(primary.task_id == Task.id)
    return union(links.correlate(Task), primaries.correlate(Task))


def _select_last_decision() -> ColumnElement[Any]:
    """Select the newest decision about a task since its work began, also one that can be undone.

    It has its status, kind and `completes_tasks`. One that has moved the task to done is left out.
    """
    status = _as_text(func.coalesce(Approval.decided_status, Approval.status))
    decided_at = func.coalesce(Approval.decided_at, Approval.resolved_at)
    begun_at = func.coalesce(Task.previous_in_progress_at, Task.created_at)
    link = aliased(ApprovalTask)
    was_used = select(link.id).where(
        link.approval_id == Approval.id, link.task_id == Task.id, link.used_at.is_not(None)
    )
    found = func.row(status, Approval.action_type, Approval.completes_tasks)
    query = select(found).where(
        Approval.id.in_(approval_ids_query()),
        decided_at > begun_at,
        ~was_used.correlate(Approval, Task).exists(),
    )
    return query.order_by(decided_at.desc()).limit(1).correlate(Task).scalar_subquery()


STALE_SINCE = case((Task.status == Status.IN_PROGRESS, Task.stale_since))
WORKER_ID = _select_worker_id()
COUNTED_COMMENT = aliased(Comment)  # where comments are selected, too
COMMENTS_COUNT = (
    select(func.count())
    .select_from(COUNTED_COMMENT)
    .where(COUNTED_COMMENT.task_id == Task.id)
    .correlate(Task)
    .scalar_subquery()
)
APPROVAL_COUNTS: ColumnElement[Any] = (
    select(func.row(func.count(), func.count().filter(Approval.status == ApprovalStatus.PENDING)))
    .where(Approval.board_id == BOARD_ID, Approval.id.in_(approval_ids_query()))
    .correlate(Task)
    .scalar_subquery()
)
"""The numbers of all approvals and of pending ones."""


# A task with everything that is displayed of it


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


def _build_task_refs(rows: Sequence[Sequence[Any]]) -> list[TaskRef]:
    return [TaskRef(id, title, STATUSES[status]) for id, title, status in rows]


def _build_task_detail(row: Sequence[Any]) -> TaskDetail:
    task, assignee, user, depends_on, unblocks, tags, approvals, comments, values = row
    return TaskDetail(
        task,
        assignee,
        user,
        _build_task_refs(depends_on),
        _build_task_refs(unblocks),
        [TagRef(*tag) for tag in tags],
        *approvals,
        comments,
        values,
    )


DETAIL_COLUMNS: Sequence[Any] = (
    *(Task, Agent, User),
    *(_build_array(_select_dependencies(OTHER_REF)), _build_array(_select_dependents())),
    *(_build_array(_select_tags()), APPROVAL_COUNTS, COMMENTS_COUNT),
    custom_fields.task_values_query(),
)
TASK_DETAILS: AnySelect = choose_columns(
    select(*DETAIL_COLUMNS)
    .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
    .outerjoin(User, User.id == Task.assigned_user_id)
    .where(Task.board_id == BOARD_ID),
    {User: USER_NAME_COLUMNS},
)
TASK_DETAIL = Query(TASK_DETAILS.where(Task.id == TASK_ID), _build_task_detail)
TASK_DETAILS_BY_ID = Query(
    TASK_DETAILS.where(Task.id == func.any(bindparam("task_ids", type_=ARRAY(Uuid())))),
    _build_task_detail,
)


async def get_task_detail(source: Source, board: Board, task_id: UUID) -> TaskDetail:
    """Return a task of this board with its related data. Raises NotFound."""
    return await rows.get_one(
        source, TASK_DETAIL, task_not_found, board_id=board.id, task_id=task_id
    )


async def load_task_details(
    source: Source, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, TaskDetail]:
    """Load the details of the tasks with these ids that are on the board."""
    if not task_ids:
        return {}
    found = await TASK_DETAILS_BY_ID.fetch(source, board_id=board.id, task_ids=list(task_ids))
    return {detail.task.id: detail for detail in found}


# Lists for the API


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
    claimed_run: str | None
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


LIST_COLUMNS: Sequence[Any] = (
    *(_as_text(Task.id), _as_text(Task.board_id), Task.title, Task.description),
    *(_as_text(Task.status), Task.priority, Task.due_at, _as_text(Task.assigned_agent_id)),
    *(_as_text(Task.assigned_user_id), _as_text(Task.created_by_user_id), Task.claimed_run),
    Task.in_progress_at,
    *(STALE_SINCE, Task.created_at, Task.updated_at, Task.version),
    _build_array(_select_dependencies(func.row(_as_text(OTHER.c.id), _as_text(OTHER.c.status)))),
    _build_array(_select_tags(_as_text(Tag.id))),
    func.nullif(custom_fields.task_values_query(), func.jsonb_build_object()),
)


def build_listed_task(detail: TaskDetail) -> ListedTask:
    """Return a task with its details as lists show it."""
    task = detail.task
    assignees = (task.assigned_agent_id, task.assigned_user_id, task.created_by_user_id)
    return ListedTask(
        str(task.id),
        str(task.board_id),
        task.title,
        task.description,
        task.status,
        task.priority,
        task.due_at,
        *(None if id is None else str(id) for id in assignees),
        task.claimed_run,
        task.in_progress_at,
        task.stale_since if task.status == Status.IN_PROGRESS else None,
        task.created_at,
        task.updated_at,
        task.version,
        depends_on=[(str(other.id), other.status) for other in detail.depends_on],
        tags=[(str(tag.id), tag.name, tag.slug, tag.color) for tag in detail.tags],
        custom_field_values=detail.custom_field_values,
    )


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
    query: AnySelect = select(*LIST_COLUMNS).where(Task.board_id == BOARD_ID)
    statuses = bindparam("statuses", type_=ARRAY(String)) if by_status else None
    if statuses is not None:
        query = query.where(_as_text(Task.status) == statuses.any_())
    if by_agent:
        query = query.where(Task.assigned_agent_id == bindparam("agent_id", type_=Uuid()))
    if by_user:
        query = query.where(Task.assigned_user_id == bindparam("user_id", type_=Uuid()))
    if unassigned:
        query = query.where(IS_UNASSIGNED)
    is_counted = not (by_agent or by_user or unassigned)
    total = counters.count_tasks_of_board(BOARD_ID, statuses) if is_counted else None
    return PagedQuery(query.order_by(*NEWEST_FIRST), lambda row: ListedTask(*row), total)


async def find_free_task(source: Source, board: Board) -> UUID | None:
    """Return the newest task in the inbox of a board that is assigned to nobody, or None."""
    return await FREE_TASK.first(source, board_id=board.id)


FREE_TASK: Query[UUID] = Query(
    select(Task.id)
    .where(Task.board_id == BOARD_ID, Task.status == Status.INBOX, IS_UNASSIGNED)
    .order_by(*NEWEST_FIRST)
    .limit(1),
    itemgetter(0),
)
BOARD_TASKS: Query[ListedTask] = Query(
    select(
        *LIST_COLUMNS,
        case((Agent.id.is_not(None), Agent.name), (User.id.is_not(None), USER_NAME)),
        APPROVAL_COUNTS,
    )
    .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
    .outerjoin(User, User.id == Task.assigned_user_id)
    .where(Task.board_id == BOARD_ID)
    .order_by(*NEWEST_FIRST),
    ListedTask._make,
)
"""Selects all tasks of the board `board_id` for its snapshot, newest first."""


# Cards


class Assignee(NamedTuple):
    """The agent or the person that works on a task, or that worked on it until it was done."""

    id: UUID
    name: str
    emoji: str | None
    is_person: bool = False


class LinkRef(NamedTuple):
    """A link of a task to a code host."""

    kind: str
    reference: str
    title: str
    url: str
    state: str
    checks_state: str | None


class CardTask(NamedTuple):
    """A task as its card shows it."""

    id: UUID
    board_id: UUID
    title: str
    status: Status
    priority: str
    version: int
    due_at: datetime | None
    in_progress_at: datetime | None
    created_at: datetime
    updated_at: datetime
    stale_since: datetime | None
    assignee: Assignee | None
    blocked_by: Sequence[TaskRef]  # open dependencies of a task that is not done
    tags: Sequence[TagRef]
    links: Sequence[LinkRef]  # pull requests and failing checks
    comments_count: int
    last_decision: str | None  # whether a task in review may be done: an ApprovalStatus

    @property
    def is_blocked(self) -> bool:
        """Whether a dependency blocks this task."""
        return bool(self.blocked_by)


AGENT_COLUMNS = (Agent.id, Agent.name, Agent.identity_profile["emoji"].astext)
CARD_COLUMNS: Sequence[Any] = (
    *(Task.id, Task.board_id, Task.title, _as_text(Task.status), Task.priority),
    *(Task.version, Task.due_at, Task.in_progress_at, Task.created_at, Task.updated_at),
    *(STALE_SINCE, *AGENT_COLUMNS, User.id, USER_NAME),
    _build_array(
        _select_dependencies(OTHER_REF).where(
            OTHER.c.status != Status.DONE, Task.status != Status.DONE
        )
    ),
    *(_build_array(_select_tags()), _build_array(_select_card_links()), COMMENTS_COUNT),
    case((Task.status == Status.REVIEW, _select_last_decision())),
)
ALL_CARD_TASKS: AnySelect = (
    select(*CARD_COLUMNS)
    .select_from(Task)
    .outerjoin(Agent, Agent.id == WORKER_ID)
    .outerjoin(User, User.id == Task.assigned_user_id)
)
CARD_TASKS = ALL_CARD_TASKS.where(Task.board_id == BOARD_ID)
"""Selects the tasks of the board `board_id`."""


def build_card_task(row: Sequence[Any]) -> CardTask:
    """Build a task from a row of CARD_COLUMNS."""
    id, board_id, title, status, *values = row[:11]
    agent_id, name, emoji, user_id, user_name, blockers, tags, links, comments, last = row[11:]
    person = Assignee(user_id, user_name, None, is_person=True) if user_id else None
    return CardTask(
        id,
        board_id,
        title,
        STATUSES[status],
        *values,
        Assignee(agent_id, name, emoji) if agent_id else person,
        _build_task_refs(blockers),
        [TagRef(*tag) for tag in tags],
        [LinkRef(*link) for link in links],
        comments,
        _read_decision(*last) if last else None,
    )


def _read_decision(status: str, kind: str, completes_tasks: bool | None) -> str | None:
    """Return the status of a decision about whether a task may be done."""
    return status if allows_completion(kind, completes_tasks) else None


WORKER: Query[Assignee] = Query(
    select(*AGENT_COLUMNS)
    .join_from(Task, Agent, Agent.id == WORKER_ID)
    .where(Task.id == TASK_ID, Task.assigned_agent_id.is_distinct_from(Agent.id)),
    lambda row: Assignee(*row),
)
"""Selects the agent that worked on a task that is done, unless it is assigned to it."""

CARD_TASK = Query(CARD_TASKS.where(Task.id == TASK_ID), build_card_task)


async def get_card_task(source: Source, board: Board, task_id: UUID) -> CardTask:
    """Return a task as its card shows it. Raises NotFound."""
    return await rows.get_one(source, CARD_TASK, task_not_found, board_id=board.id, task_id=task_id)


# Options of forms

IS_POSSIBLE_DEPENDENCY = Task.id.not_in(select(dependencies.DEPENDENTS.c.id))
"""Whether the task `task_id` may depend on a task without a cycle."""
