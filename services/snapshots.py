"""A board at a glance, and the boards beside it, for agents that have just woken up."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Paging
from models import (
    Actor,
    Agent,
    Board,
    BoardGroup,
    Note,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    User,
)
from services import approvals, boards, tasks
from services.approvals import ApprovalDetail
from services.tasks import TagRef, TaskDetail

ALL = Paging(limit=2**31 - 1)
NEWEST = 200  # approvals, and messages of the chat (contract, 3.6)
BY_STATUS = (Status.IN_PROGRESS, Status.REVIEW, Status.INBOX, Status.DONE)
BY_PRIORITY = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)


@dataclass(frozen=True)
class Snapshot:
    """All that is on a board."""

    board: Board
    tasks: Sequence[TaskDetail]  # all of them, newest first
    agents: Sequence[Agent]  # newest first
    approvals: Sequence[ApprovalDetail]  # newest first
    chat_messages: Sequence[Note]  # the newest, oldest first
    pending_approvals_count: int


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


async def snapshot(session: AsyncSession, board: Board) -> Snapshot:
    """Return all that is on a board that the caller may read."""
    agents = select(Agent).where(Agent.board_id == board.id)
    newest = (Agent.created_at.desc(), Agent.id.desc())
    asked = await approvals.listed(session, board, Paging(limit=NEWEST))
    return Snapshot(
        board=board,
        tasks=(await tasks.listed(session, board, ALL)).items,
        agents=(await session.scalars(agents.order_by(*newest))).all(),
        approvals=asked.items,
        chat_messages=await _chat(session, board),
        pending_approvals_count=(await approvals.counts(session, board, [])).pending,
    )


async def group_snapshot(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    *,
    include_self: bool = False,
    include_done: bool = False,
    per_board_task_limit: int = 5,
) -> GroupSnapshot:
    """Return the boards of the group that a board is in, each with its most urgent tasks.

    People find there what they may read; agents, all boards of their group (contract, S8).
    """
    if board.board_group_id is None:
        return GroupSnapshot(None, [])
    group = await session.get(BoardGroup, board.board_group_id)
    query = select(Board).where(Board.board_group_id == board.board_group_id)
    if isinstance(actor, User):
        query = query.where(Board.id.in_(boards.readable(actor, board.organization_id)))
    if not include_self:
        query = query.where(Board.id != board.id)
    found = (await session.scalars(query.order_by(func.lower(Board.name), Board.id))).all()
    return GroupSnapshot(group, await _glances(session, found, include_done, per_board_task_limit))


async def _chat(session: AsyncSession, board: Board) -> Sequence[Note]:
    said = select(Note).where(
        Note.board_id == board.id, Note.is_chat, Note.content.regexp_match(r"\S")
    )
    newest = said.order_by(Note.created_at.desc(), Note.id.desc()).limit(NEWEST)
    return (await session.scalars(newest)).all()[::-1]


async def _glances(
    session: AsyncSession, found: Sequence[Board], include_done: bool, most: int
) -> Sequence[BoardGlance]:
    names = {board.id: board.name for board in found}
    counts = await _task_counts(session, names)
    urgent = (await session.execute(_most_urgent(names, include_done, most))).all()
    tags = await _tags(session, [task.id for task, _ in urgent])
    lines: defaultdict[UUID, list[TaskGlance]] = defaultdict(list)
    for task, assignee in urgent:
        glance = TaskGlance(task, names[task.board_id], assignee, tags[task.id])
        lines[task.board_id].append(glance)
    return [BoardGlance(board, counts[board.id], lines[board.id]) for board in found]


def _most_urgent(
    board_ids: Mapping[UUID, str], include_done: bool, most: int
) -> Select[*tuple[Any, ...]]:
    """Select the first tasks of each board, with their assignees' names."""
    order = (
        _place(Task.status, BY_STATUS),
        _place(Task.priority, BY_PRIORITY),
        Task.updated_at.desc(),
        Task.created_at.desc(),
        Task.id.desc(),
    )
    place = func.row_number().over(partition_by=Task.board_id, order_by=order).label("place")
    ranked = select(Task.id, place).where(Task.board_id.in_(board_ids))
    if not include_done:
        ranked = ranked.where(Task.status != Status.DONE)
    first = ranked.subquery()
    return (
        select(Task, Agent.name)
        .join(first, first.c.id == Task.id)
        .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
        .where(first.c.place <= most)
        .order_by(first.c.place)
    )


def _place(column: Any, values: Sequence[str]) -> Any:
    """Return the place of a column's value among these; others come after them."""
    return case({value: n for n, value in enumerate(values)}, value=column, else_=len(values))


async def _task_counts(
    session: AsyncSession, board_ids: Mapping[UUID, str]
) -> Mapping[UUID, Mapping[Status, int]]:
    query = select(Task.board_id, Task.status, func.count()).where(Task.board_id.in_(board_ids))
    counts: defaultdict[UUID, dict[Status, int]] = defaultdict(dict)
    for board_id, status, number in await session.execute(
        query.group_by(Task.board_id, Task.status)
    ):
        counts[board_id][status] = number
    return counts


async def _tags(session: AsyncSession, task_ids: Sequence[UUID]) -> Mapping[UUID, Sequence[TagRef]]:
    on = TagAssignment
    query = select(on.task_id, Tag).join(Tag, Tag.id == on.tag_id).where(on.task_id.in_(task_ids))
    tags: defaultdict[UUID, list[TagRef]] = defaultdict(list)
    for task_id, tag in await session.execute(query.order_by(on.position, on.created_at, on.id)):
        tags[task_id].append(TagRef(tag.id, tag.name, tag.slug, tag.color))
    return tags
