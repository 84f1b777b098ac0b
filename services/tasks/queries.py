"""Read the tasks of a board: by id, as a list, as board columns, and the choices of task forms."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.combined_query import QueryPart
from core.paging import Page, Paging
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from services.gateways import provisioning
from services.tasks import dependencies
from services.tasks.details import TaskDetail, TaskRef, build_task_detail, task_details_query
from services.tasks.loaders import approval_ids_query

MAX_CHOICES = 200  # tasks in the list of possible dependencies
MAX_CARDS = 200  # cards in a column
MAX_DONE_CARDS = 50  # cards in the done column
NEWEST_FIRST = (Task.created_at.desc(), Task.id.desc())
PRIORITY_RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}


async def load_task_details(
    session: AsyncSession, board: Board, task_ids: Collection[UUID]
) -> dict[UUID, TaskDetail]:
    """Load the details of the tasks with these ids that are on the board."""
    rows = (
        await session.execute(task_details_query(board).where(Task.id.in_(task_ids)))
        if task_ids
        else ()
    )
    return {row[0].id: build_task_detail(row) for row in rows}


async def list_tasks(
    session: AsyncSession,
    board: Board,
    paging: Paging,
    *,
    statuses: Sequence[Status] | None = None,
    assigned_agent_id: UUID | None = None,
    unassigned: bool = False,
) -> Page[TaskDetail]:
    """Return the tasks of a board that match all filters, newest first.

    The ids of the page are selected first, and details only for them. Runs one statement, or two
    for an offset after the last task.
    """
    ids = select(Task.id).where(Task.board_id == board.id)
    if statuses:
        ids = ids.where(Task.status.in_(statuses))
    if assigned_agent_id is not None:
        ids = ids.where(Task.assigned_agent_id == assigned_agent_id)
    if unassigned:
        ids = ids.where(Task.assigned_agent_id.is_(None))
    count = select(func.count()).select_from(ids.subquery())
    page = ids.order_by(*NEWEST_FIRST).limit(paging.limit).offset(paging.offset).subquery()
    query = task_details_query(board).add_columns(count.scalar_subquery())
    query = query.where(Task.id.in_(select(page.c.id))).order_by(*NEWEST_FIRST)
    rows = (await session.execute(query)).all()
    if rows or not paging.offset:
        total = rows[0][-1] if rows else 0
    else:
        total = await session.scalar(count) or 0
    return Page([build_task_detail(row[:-1]) for row in rows], total, paging.limit, paging.offset)


def board_tasks_query(board: Board) -> QueryPart[TaskDetail]:
    """Select the details of all tasks of a board, newest first."""
    return QueryPart(task_details_query(board).order_by(*NEWEST_FIRST), build_task_detail)


async def list_assignable_agents(session: AsyncSession, board: Board) -> Sequence[Agent]:
    """Return the workers of a board that are not being removed, by name."""
    workers = (Agent.board_id == board.id) & Agent.is_board_lead.is_(False)
    query = select(Agent).where(workers, provisioning.IS_NOT_BEING_REMOVED)
    return (await session.scalars(query.order_by(func.lower(Agent.name), Agent.id))).all()


async def list_dependency_choices(
    session: AsyncSession, board: Board, task_id: UUID | None = None
) -> Sequence[TaskRef]:
    """Return the newest tasks of the board that a task may depend on without a cycle."""
    query = select(Task.id, Task.title, Task.status).where(Task.board_id == board.id)
    if task_id is not None:
        edges = await dependencies.load_dependency_graph(session, board)
        query = query.where(Task.id.not_in(dependencies.find_transitive_dependents(edges, task_id)))
    rows = await session.execute(query.order_by(Task.created_at.desc(), Task.id).limit(MAX_CHOICES))
    return [TaskRef(*row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class BoardFilters:
    """The filters of a board page; a card must match all of them."""

    q: str = ""  # words in the title or the description
    agent: UUID | None = None
    unassigned: bool = False
    tag: str | None = None  # its slug
    priority: str | None = None
    needs_approval: bool = False  # only tasks with a pending approval
    blocked: bool = False  # only tasks with open dependencies
    by_priority: bool = False  # order by priority first; this is not a filter

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set."""
        return self != BoardFilters(by_priority=self.by_priority)


@dataclass(frozen=True)
class BoardColumn:
    """The cards of one status, newest first; in done, the last completed first.

    `total` counts all cards that match the filters; `cards` may hold only the first of them.
    """

    status: Status
    cards: Sequence[TaskDetail]
    total: int


async def list_board_columns(
    session: AsyncSession, actor: Actor, board: Board, filters: BoardFilters | None = None
) -> list[BoardColumn]:
    """Return the columns of a board, which the actor may read, from left to right."""
    filters = filters or BoardFilters()
    shown_ids = union_all(*[_column_ids_query(board, status, filters) for status in Status])
    rows = await session.execute(task_details_query(board).where(Task.id.in_(shown_ids)))
    cards = [build_task_detail(row) for row in rows]
    cards.sort(key=lambda card: _sort_key(card.task, filters), reverse=True)
    totals = await _count_by_status(session, board, filters)
    return [
        BoardColumn(status, [card for card in cards if card.task.status is status], totals[status])
        for status in Status
    ]


def _column_ids_query(board: Board, status: Status, filters: BoardFilters) -> Any:
    """Select the ids of the first cards of a column, in the order of `_sort_key`."""
    order: list[Any] = [Task.created_at.desc(), Task.id.desc()]
    if status is Status.DONE:
        order.insert(0, func.coalesce(Task.done_at, Task.updated_at).desc())
    if filters.by_priority:
        order.insert(0, case(PRIORITY_RANKS, value=Task.priority, else_=-1).desc())
    query = select(Task.id).where(Task.board_id == board.id, Task.status == status)
    limit = MAX_DONE_CARDS if status is Status.DONE else MAX_CARDS
    return (
        query.where(*_filter_conditions(filters)).order_by(*order).limit(limit).subquery().select()
    )


def _sort_key(task: Task, filters: BoardFilters) -> tuple[Any, ...]:
    urgent = PRIORITY_RANKS.get(task.priority, -1) if filters.by_priority else 0
    sort_time = (task.done_at or task.updated_at) if task.status is Status.DONE else task.created_at
    return urgent, sort_time, task.created_at, task.id


async def _count_by_status(
    session: AsyncSession, board: Board, filters: BoardFilters
) -> dict[Status, int]:
    query = select(Task.status, func.count()).where(
        Task.board_id == board.id, *_filter_conditions(filters)
    )
    counts = {status: count for status, count in await session.execute(query.group_by(Task.status))}
    return {status: counts.get(status, 0) for status in Status}


def _filter_conditions(filters: BoardFilters) -> list[ColumnElement[bool]]:
    """Return the conditions for tasks that match the filters."""
    optional_conditions = [
        (filters.agent, Task.assigned_agent_id == filters.agent),
        (filters.unassigned, Task.assigned_agent_id.is_(None)),
        (filters.tag, _has_tag(_without_unstorable(filters.tag or ""))),
        (filters.priority, Task.priority == _without_unstorable(filters.priority or "")),
        (filters.needs_approval, _has_pending_approval()),
        (filters.blocked, _is_blocked()),
    ]
    words = _without_unstorable(filters.q).split()
    return [_contains_word(word) for word in words] + [
        condition for is_set, condition in optional_conditions if is_set
    ]


def _without_unstorable(text: str) -> str:
    """Remove the characters that PostgreSQL rejects in a comparison."""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _contains_word(word: str) -> ColumnElement[bool]:
    return or_(
        Task.title.icontains(word, autoescape=True),
        Task.description.icontains(word, autoescape=True),
    )


def _has_tag(slug: str) -> ColumnElement[bool]:
    query = select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id)
    return query.where(TagAssignment.task_id == Task.id, Tag.slug == slug).exists()


def _has_pending_approval() -> ColumnElement[bool]:
    query = select(Approval.id).where(
        Approval.board_id == Task.board_id,
        Approval.status == ApprovalStatus.PENDING,
        Approval.id.in_(approval_ids_query()),
    )
    return query.correlate(Task).exists()


def _is_blocked() -> ColumnElement[bool]:
    other = Task.__table__.alias("other")
    query = select(TaskDependency.id).join(other, other.c.id == TaskDependency.depends_on_task_id)
    open_dependencies = query.where(
        TaskDependency.task_id == Task.id, other.c.status != Status.DONE
    )
    return (Task.status != Status.DONE) & open_dependencies.correlate(Task).exists()
