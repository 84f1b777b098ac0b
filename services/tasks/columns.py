"""A board as its page shows it: cards in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    Actor,
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
from services.tasks.details import TaskDetail, details, from_row
from services.tasks.looking import approval_ids

MOST = 200  # cards in a column
MOST_DONE = 50  # cards in the column of what is done


@dataclass(frozen=True, kw_only=True)
class BoardFilters:
    """Which cards are shown, and whether the urgent ones come first. The filters add up."""

    q: str = ""  # words in the title or the description
    agent: UUID | None = None
    unassigned: bool = False
    tag: str | None = None  # its slug
    priority: str | None = None
    needs: bool = False  # only what waits for a person's answer
    blocked: bool = False  # only what waits for other tasks
    by_priority: bool = False

    @property
    def narrow(self) -> bool:
        """Whether some cards may be left out."""
        return self != BoardFilters(by_priority=self.by_priority)


@dataclass(frozen=True)
class Column:
    """One status, and its cards: the newest first, of what is done the last done first.

    `total` counts the cards that the filters let through; `cards` may be only the first of them.
    """

    status: Status
    cards: Sequence[TaskDetail]
    total: int


async def columns(
    session: AsyncSession, actor: Actor, board: Board, filters: BoardFilters | None = None
) -> list[Column]:
    """Return the columns of a board that the actor may read, from left to right."""
    filters = filters or BoardFilters()
    shown = union_all(*[_first(board, status, filters) for status in Status])
    rows = await session.execute(details(board).where(Task.id.in_(shown)))
    cards = [from_row(row) for row in rows]
    cards.sort(key=lambda card: _place(card.task, filters), reverse=True)
    totals = await _totals(session, board, filters)
    return [
        Column(status, [card for card in cards if card.task.status is status], totals[status])
        for status in Status
    ]


def _first(board: Board, status: Status, filters: BoardFilters) -> Any:
    """Select the ids of the first cards of a column, in the order of `_place`."""
    order: list[Any] = [Task.created_at.desc(), Task.id.desc()]
    if status is Status.DONE:
        order.insert(0, func.coalesce(Task.done_at, Task.updated_at).desc())
    if filters.by_priority:
        order.insert(0, case(RANKS, value=Task.priority, else_=-1).desc())
    query = select(Task.id).where(Task.board_id == board.id, Task.status == status)
    most = MOST_DONE if status is Status.DONE else MOST
    return query.where(*_kept(filters)).order_by(*order).limit(most).subquery().select()


def _place(task: Task, filters: BoardFilters) -> tuple[Any, ...]:
    urgent = RANKS.get(task.priority, -1) if filters.by_priority else 0
    moved = (task.done_at or task.updated_at) if task.status is Status.DONE else task.created_at
    return urgent, moved, task.created_at, task.id


RANKS = {priority.value: rank for rank, priority in enumerate(Priority)}


async def _totals(session: AsyncSession, board: Board, filters: BoardFilters) -> dict[Status, int]:
    query = select(Task.status, func.count()).where(Task.board_id == board.id, *_kept(filters))
    counts = {status: count for status, count in await session.execute(query.group_by(Task.status))}
    return {status: counts.get(status, 0) for status in Status}


def _kept(filters: BoardFilters) -> list[ColumnElement[bool]]:
    """Return the conditions on the tasks that the filters let through."""
    wanted = [
        (filters.agent, Task.assigned_agent_id == filters.agent),
        (filters.unassigned, Task.assigned_agent_id.is_(None)),
        (filters.tag, _tagged(_storable(filters.tag or ""))),
        (filters.priority, Task.priority == _storable(filters.priority or "")),
        (filters.needs, _asked_about()),
        (filters.blocked, _waits()),
    ]
    words = _storable(filters.q).split()
    return [_says(word) for word in words] + [condition for asked, condition in wanted if asked]


def _storable(text: str) -> str:
    """Return a text without what the database cannot even compare."""
    return text.replace("\0", " ").encode(errors="ignore").decode()


def _says(word: str) -> ColumnElement[bool]:
    return or_(
        Task.title.icontains(word, autoescape=True),
        Task.description.icontains(word, autoescape=True),
    )


def _tagged(slug: str) -> ColumnElement[bool]:
    query = select(TagAssignment.id).join(Tag, Tag.id == TagAssignment.tag_id)
    return query.where(TagAssignment.task_id == Task.id, Tag.slug == slug).exists()


def _asked_about() -> ColumnElement[bool]:
    query = select(Approval.id).where(
        Approval.board_id == Task.board_id,
        Approval.status == ApprovalStatus.PENDING,
        Approval.id.in_(approval_ids()),
    )
    return query.correlate(Task).exists()


def _waits() -> ColumnElement[bool]:
    other = Task.__table__.alias("other")
    query = select(TaskDependency.id).join(other, other.c.id == TaskDependency.depends_on_task_id)
    unfinished = query.where(TaskDependency.task_id == Task.id, other.c.status != Status.DONE)
    return (Task.status != Status.DONE) & unfinished.correlate(Task).exists()
