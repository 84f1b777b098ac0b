"""Tasks as their cards on a board page show them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, and_, bindparam, case, cast, func, select

from core.db.reads import AnySelect, Query, Source
from models import (
    USER_NAME,
    Agent,
    Board,
    Comment,
    LinkKind,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskLink,
    User,
)
from services.tasks.details import TagRef, TaskRef
from services.tasks.loaders import BOARD_ID, task_not_found

MAX_CARD_LINKS = 3
STATUSES = {status.value: status for status in Status}


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

    @property
    def is_blocked(self) -> bool:
        """Whether a dependency blocks this task."""
        return bool(self.blocked_by)


def _select_blockers() -> ColumnElement[Any]:
    edge, other = TaskDependency, Task.__table__.alias("other")
    query = select(func.row(other.c.id, other.c.title, cast(other.c.status, String)))
    query = query.join_from(edge, other, other.c.id == edge.depends_on_task_id).where(
        edge.task_id == Task.id, other.c.status != Status.DONE, Task.status != Status.DONE
    )
    in_order = query.order_by(edge.position, edge.created_at, edge.id)
    return func.array(in_order.correlate(Task).scalar_subquery())


def _select_tags() -> ColumnElement[Any]:
    assignment = TagAssignment
    query = select(func.row(Tag.id, Tag.name, Tag.slug, Tag.color))
    query = query.join_from(assignment, Tag, Tag.id == assignment.tag_id)
    query = query.where(assignment.task_id == Task.id).correlate(Task)
    in_order = query.order_by(assignment.position, assignment.created_at, assignment.id)
    return func.array(in_order.scalar_subquery())


def _select_links() -> ColumnElement[Any]:
    is_shown = (TaskLink.kind == LinkKind.CHANGE) | (
        (TaskLink.kind == LinkKind.CHECK) & (TaskLink.state == "failing")
    )
    row = func.row(
        *(cast(TaskLink.kind, String), TaskLink.reference, TaskLink.title),
        *(TaskLink.url, TaskLink.state, TaskLink.checks_state),
    )
    query = select(row).where(TaskLink.task_id == Task.id, is_shown).correlate(Task)
    newest = query.order_by(TaskLink.updated_at.desc(), TaskLink.id.desc()).limit(MAX_CARD_LINKS)
    return func.array(newest.scalar_subquery())


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


WORKER_ID = _select_worker_id()
COMMENTS_COUNT = (
    select(func.count())
    .select_from(Comment)
    .where(Comment.task_id == Task.id)
    .correlate(Task)
    .scalar_subquery()
)
ALL_CARD_TASKS: AnySelect = (
    select(
        *(Task.id, Task.board_id, Task.title, cast(Task.status, String), Task.priority),
        *(Task.version, Task.due_at, Task.in_progress_at, Task.created_at, Task.updated_at),
        case((Task.status == Status.IN_PROGRESS, Task.stale_since)),
        *(Agent.id, Agent.name, Agent.identity_profile["emoji"].astext),
        *(User.id, USER_NAME),
        *(_select_blockers(), _select_tags(), _select_links(), COMMENTS_COUNT),
    )
    .select_from(Task)
    .outerjoin(Agent, Agent.id == WORKER_ID)
    .outerjoin(User, User.id == Task.assigned_user_id)
)
"""Selects tasks. Related objects are arrays of rows, which are decoded faster than JSON."""

CARD_TASKS = ALL_CARD_TASKS.where(Task.board_id == BOARD_ID)
"""Selects the tasks of the board `board_id`."""


def build_card_task(row: Sequence[Any]) -> CardTask:
    """Build a task from a row of CARD_TASKS."""
    id, board_id, title, status, *values = row[:11]
    agent_id, name, emoji, user_id, user_name, blockers, tags, links, comments_count = row[11:]
    person = Assignee(user_id, user_name, None, is_person=True) if user_id else None
    return CardTask(
        *(id, board_id, title, STATUSES[status], *values),
        Assignee(agent_id, name, emoji) if agent_id else person,
        [TaskRef(id, title, STATUSES[status]) for id, title, status in blockers],
        [TagRef(*tag) for tag in tags],
        [LinkRef(*link) for link in links],
        comments_count,
    )


WORKER: Query[Assignee] = Query(
    select(Agent.id, Agent.name, Agent.identity_profile["emoji"].astext)
    .join_from(Task, Agent, Agent.id == WORKER_ID)
    .where(
        Task.id == bindparam("task_id", type_=Uuid()),
        Task.assigned_agent_id.is_distinct_from(Agent.id),
    ),
    lambda row: Assignee(*row),
)
"""Selects the agent that worked on a task that is done, unless it is assigned to it."""

CARD_TASK = Query(CARD_TASKS.where(Task.id == bindparam("task_id")), build_card_task)


async def get_card_task(source: Source, board: Board, task_id: UUID) -> CardTask:
    """Return a task as its card shows it. Raises NotFound."""
    task = await CARD_TASK.first(source, board_id=board.id, task_id=task_id)
    if task is None:
        raise task_not_found()
    return task
