"""Read the tasks of a board: by id, as a list, as board columns, and the choices of task forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
)
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
from services.tasks.details import (
    BOARD_ID,
    TASK_DETAILS,
    TaskDetail,
    TaskRef,
    build_task_detail,
)
from services.tasks.loaders import approval_ids_query

MAX_CHOICES = 200  # tasks in the list of possible dependencies
MAX_CARDS = 200  # cards in a column
MAX_DONE_CARDS = 50  # cards in the done column
MAX_COLUMN_QUERIES = 128  # built queries, by the filters and the number of words
NEWEST_FIRST = (Task.created_at.desc(), Task.id.desc())
PRIORITY_RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}


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
    page, count = _build_list_queries(
        by_status=bool(statuses), by_agent=assigned_agent_id is not None, unassigned=unassigned
    )
    parameters = {
        "board_id": board.id,
        "statuses": list(statuses or ()),
        "agent_id": assigned_agent_id,
        "page_limit": paging.limit,
        "page_offset": paging.offset,
    }
    rows = (await session.execute(page, parameters)).all()
    if rows or not paging.offset:
        total = rows[0][-1] if rows else 0
    else:
        total = await session.scalar(count, parameters) or 0
    return Page([build_task_detail(row[:-1]) for row in rows], total, paging.limit, paging.offset)


@cache
def _build_list_queries(
    *, by_status: bool, by_agent: bool, unassigned: bool
) -> tuple[Select[*tuple[Any, ...]], Select[int]]:
    """Build the query of a page of tasks, and the one that counts them, for these filters."""
    ids = select(Task.id).where(Task.board_id == BOARD_ID)
    if by_status:
        ids = ids.where(Task.status.in_(bindparam("statuses", expanding=True)))
    if by_agent:
        ids = ids.where(Task.assigned_agent_id == bindparam("agent_id"))
    if unassigned:
        ids = ids.where(Task.assigned_agent_id.is_(None))
    count = select(func.count()).select_from(ids.subquery())
    limit: Any = bindparam("page_limit", type_=Integer)
    offset: Any = bindparam("page_offset", type_=Integer)
    page = ids.order_by(*NEWEST_FIRST).limit(limit).offset(offset).subquery()
    query = TASK_DETAILS.add_columns(count.scalar_subquery())
    return query.where(Task.id.in_(select(page.c.id))).order_by(*NEWEST_FIRST), count


BOARD_TASKS = QueryPart(TASK_DETAILS.order_by(*NEWEST_FIRST), build_task_detail)
"""Selects the details of all tasks of the board `board_id`, newest first."""


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
    def active_names(self) -> frozenset[str]:
        """The names of the filters that are set."""
        order = {"by_priority"}
        return frozenset(name for name, value in vars(self).items() if value) - order

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter is set."""
        return bool(self.active_names)


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
    words = _without_unstorable(filters.q).split()
    cards_query, totals_query = _build_column_queries(
        filters.active_names - {"q"}, len(words), by_priority=filters.by_priority
    )
    parameters = {
        "board_id": board.id,
        "agent_id": filters.agent,
        "tag": _without_unstorable(filters.tag or ""),
        "priority": _without_unstorable(filters.priority or ""),
        **{f"word_{number}": _escape_pattern(word) for number, word in enumerate(words)},
    }
    rows = await session.execute(cards_query, parameters)
    cards = [build_task_detail(row) for row in rows]
    cards.sort(key=lambda card: _sort_key(card.task, filters), reverse=True)
    totals = {status: count for status, count in await session.execute(totals_query, parameters)}
    return [
        BoardColumn(
            status,
            [card for card in cards if card.task.status is status],
            totals.get(status, 0),
        )
        for status in Status
    ]


@lru_cache(MAX_COLUMN_QUERIES)
def _build_column_queries(
    active_filters: frozenset[str], word_count: int, *, by_priority: bool
) -> tuple[Select[*tuple[Any, ...]], Select[Status, int]]:
    """Build the query of the cards of all columns, and the one that counts them by status."""
    optional_conditions = {
        "agent": lambda: Task.assigned_agent_id == bindparam("agent_id"),
        "unassigned": lambda: Task.assigned_agent_id.is_(None),
        "tag": _has_tag,
        "priority": lambda: Task.priority == bindparam("priority"),
        "needs_approval": _has_pending_approval,
        "blocked": _is_blocked,
    }
    conditions = [
        Task.board_id == BOARD_ID,
        *(_contains_word(f"word_{number}") for number in range(word_count)),
        *(build() for name, build in optional_conditions.items() if name in active_filters),
    ]
    shown = [_column_ids_query(status, conditions, by_priority=by_priority) for status in Status]
    cards = TASK_DETAILS.where(Task.id.in_(union_all(*shown)))
    totals = select(Task.status, func.count()).where(*conditions).group_by(Task.status)
    return cards, totals


def _column_ids_query(
    status: Status, conditions: Sequence[ColumnElement[bool]], *, by_priority: bool
) -> Any:
    """Select the ids of the first cards of a column, in the order of `_sort_key`."""
    order: list[Any] = [Task.created_at.desc(), Task.id.desc()]
    if status is Status.DONE:
        order.insert(0, func.coalesce(Task.done_at, Task.updated_at).desc())
    if by_priority:
        order.insert(0, case(PRIORITY_RANKS, value=Task.priority, else_=-1).desc())
    query = select(Task.id).where(Task.status == status, *conditions)
    limit = MAX_DONE_CARDS if status is Status.DONE else MAX_CARDS
    return query.order_by(*order).limit(limit).subquery().select()


def _sort_key(task: Task, filters: BoardFilters) -> tuple[Any, ...]:
    urgent = PRIORITY_RANKS.get(task.priority, -1) if filters.by_priority else 0
    sort_time = (task.done_at or task.updated_at) if task.status is Status.DONE else task.created_at
    return urgent, sort_time, task.created_at, task.id


def _without_unstorable(text: str) -> str:
    """Remove the characters that PostgreSQL rejects in a comparison."""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _escape_pattern(word: str) -> str:
    """Escape the characters of a word that have a meaning in a pattern of LIKE."""
    return word.replace("/", "//").replace("%", "/%").replace("_", "/_")


def _contains_word(name: str) -> ColumnElement[bool]:
    word = bindparam(name, type_=String)
    return or_(Task.title.icontains(word, escape="/"), Task.description.icontains(word, escape="/"))


def _has_tag() -> ColumnElement[bool]:
    query = select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id)
    return query.where(TagAssignment.task_id == Task.id, Tag.slug == bindparam("tag")).exists()


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
