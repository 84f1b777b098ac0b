"""The boards of a group at a glance, each with the tasks that matter most there."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ScalarSelect, Select, Subquery, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import (
    Actor,
    Agent,
    Board,
    BoardGroup,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    User,
)
from services import boards
from services.tasks import TagRef

BY_STATUS = (Status.IN_PROGRESS, Status.REVIEW, Status.INBOX, Status.DONE)
BY_PRIORITY = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)


@dataclass(frozen=True)
class TaskGlance:
    """A task in one line."""

    task: Task
    board_name: str
    assignee: str | None
    tags: Sequence[TagRef]


@dataclass(frozen=True)
class BoardGlance:
    """A board of a group, with the tasks that matter most there."""

    board: Board
    task_counts: Mapping[Status, int]  # only of statuses that occur
    tasks: Sequence[TaskGlance]


@dataclass(frozen=True)
class GroupSnapshot:
    """The boards of a group, by name. A board that is in no group has none beside it."""

    group: BoardGroup | None
    boards: Sequence[BoardGlance]


async def snapshot(
    session: AsyncSession,
    actor: Actor,
    group_id: UUID | None,
    *,
    besides: Board | None = None,
    include_done: bool = False,
    per_board_task_limit: int = 5,
) -> GroupSnapshot:
    """Return a group's boards, but for one, each with its most urgent tasks, in one statement.

    People find there what they may read; agents, all boards of their group (contract, S8).
    """
    if group_id is None:
        return GroupSnapshot(None, [])
    shown = _shown(actor, group_id, besides).cte("shown")
    counts = _task_counts(shown)
    first = _most_urgent(shown, include_done, per_board_task_limit)
    query = (
        select(BoardGroup, Board, counts.c.by_status, Task, Agent.name, _tags())
        .outerjoin(shown, shown.c.board_group_id == BoardGroup.id)
        .outerjoin(Board, Board.id == shown.c.id)
        .outerjoin(counts, counts.c.board_id == Board.id)
        .outerjoin(first, first.c.board_id == Board.id)
        .outerjoin(Task, Task.id == first.c.id)
        .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
        .where(BoardGroup.id == group_id)
        .order_by(func.lower(Board.name), Board.id, first.c.place)
    )
    rows = (await session.execute(query)).all()
    return GroupSnapshot(rows[0][0] if rows else None, _glances(rows))


def _glances(rows: Sequence[Any]) -> Sequence[BoardGlance]:
    lines: defaultdict[Board, list[TaskGlance]] = defaultdict(list)
    counts: dict[Board, Mapping[Status, int]] = {}
    for _, board, counted, task, assignee, tags in rows:
        if board is None:
            continue
        counts[board] = {Status(status): number for status, number in (counted or {}).items()}
        if task is not None:
            lines[board].append(TaskGlance(task, board.name, assignee, _refs(tags)))
    return [BoardGlance(board, counts[board], lines[board]) for board in counts]


def _refs(tags: Sequence[Mapping[str, str]] | None) -> Sequence[TagRef]:
    return [TagRef(UUID(tag["id"]), tag["name"], tag["slug"], tag["color"]) for tag in tags or ()]


def _shown(actor: Actor, group_id: UUID, besides: Board | None) -> Select[UUID, UUID | None]:
    query = select(Board.id, Board.board_group_id).where(Board.board_group_id == group_id)
    if isinstance(actor, User):
        seen = boards.seen_by(actor).where(Board.board_group_id == group_id).subquery()
        query = query.where(Board.id.in_(select(seen.c.id).where(seen.c.reads)))
    return query.where(Board.id != besides.id) if besides is not None else query


def _most_urgent(shown: CTE, include_done: bool, most: int) -> Subquery:
    """Select the ids of the first tasks of each board, with their places."""
    order = (
        _place(Task.status, BY_STATUS),
        _place(Task.priority, BY_PRIORITY),
        Task.updated_at.desc(),
        Task.created_at.desc(),
        Task.id.desc(),
    )
    place = func.row_number().over(partition_by=Task.board_id, order_by=order).label("place")
    ranked = select(Task.id, Task.board_id, place).where(Task.board_id.in_(select(shown.c.id)))
    if not include_done:
        ranked = ranked.where(Task.status != Status.DONE)
    all = ranked.subquery()
    return select(all).where(all.c.place <= most).subquery()


def _place(column: Any, values: Sequence[str]) -> Any:
    """Return the place of a column's value among these; others come after them."""
    return case({value: n for n, value in enumerate(values)}, value=column, else_=len(values))


def _task_counts(shown: CTE) -> Subquery:
    """Count the tasks of each board, by status."""
    number = select(Task.board_id, Task.status, func.count().label("number"))
    number = number.where(Task.board_id.in_(select(shown.c.id)))
    each = number.group_by(Task.board_id, Task.status).subquery()
    all = func.jsonb_object_agg(each.c.status, each.c.number).label("by_status")
    return select(each.c.board_id, all).group_by(each.c.board_id).subquery()


def _tags() -> ScalarSelect[Any]:
    """Select the tags of a task, in their order."""
    on = TagAssignment
    tag = func.jsonb_build_object(
        *("id", Tag.id), *("name", Tag.name), *("slug", Tag.slug), *("color", Tag.color)
    )
    in_order = func.jsonb_agg(tag).aggregate_order_by(on.position, on.created_at, on.id)
    return (
        select(in_order)
        .select_from(on)
        .join(Tag, Tag.id == on.tag_id)
        .where(on.task_id == Task.id)
        .correlate(Task)
        .scalar_subquery()
    )
