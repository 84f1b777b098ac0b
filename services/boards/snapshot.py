"""Load snapshots of a board or a group: the complete state for agents that start to work."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import CTE, ScalarSelect, Select, Subquery, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.combined_query import CombinedQuery
from models import Actor, Agent, Board, BoardGroup, Priority, Status, Tag, TagAssignment, Task, User
from services import agents, approvals, memory, tasks
from services.boards.access import visible_boards_query

if TYPE_CHECKING:  # these packages import services.boards
    from services.approvals import ApprovalDetail
    from services.memory import NoteDetail
    from services.tasks import TaskDetail

MAX_ITEMS = 200  # maximum number of approvals, and of chat messages (contract 3.6)


@dataclass(frozen=True)
class BoardSnapshot:
    """The tasks, agents, approvals and chat messages of a board."""

    board: Board
    tasks: "Sequence[TaskDetail]"  # all, newest first
    agents: Sequence[Agent]  # newest first
    approvals: "Sequence[ApprovalDetail]"  # newest first
    chat_messages: "Sequence[NoteDetail]"  # the newest ones, oldest first
    pending_approvals_count: int


async def load_board_snapshot(session: AsyncSession, board: Board) -> BoardSnapshot:
    """Load the snapshot of a board in one statement. The caller checks the read permission."""
    found = await _build_snapshot_query().run(session, board_id=board.id)
    all_tasks, all_agents, newest_approvals, chat, [pending] = found
    return BoardSnapshot(board, all_tasks, all_agents, newest_approvals, chat[::-1], pending)


@cache
def _build_snapshot_query() -> CombinedQuery:
    return CombinedQuery(
        tasks.BOARD_TASKS,
        agents.newest_agents_query(),
        approvals.newest_approvals_query(limit=MAX_ITEMS),
        memory.latest_chat_query(limit=MAX_ITEMS),
        approvals.pending_count_query(),
    )


if TYPE_CHECKING:  # services.tasks imports this package
    from services.tasks import TagRef

STATUS_ORDER = (Status.IN_PROGRESS, Status.REVIEW, Status.INBOX, Status.DONE)
PRIORITY_ORDER = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)


@dataclass(frozen=True)
class GroupSnapshotTask:
    """A task with the names that a snapshot shows."""

    task: Task
    board_name: str
    assignee: str | None
    tags: "Sequence[TagRef]"


@dataclass(frozen=True)
class GroupSnapshotBoard:
    """A board of a group with its most urgent tasks."""

    board: Board
    task_counts: Mapping[Status, int]  # only statuses that occur
    tasks: Sequence[GroupSnapshotTask]


@dataclass(frozen=True)
class GroupSnapshot:
    """The boards of a group, by name. Empty for a board without a group."""

    group: BoardGroup | None
    boards: Sequence[GroupSnapshotBoard]


async def load_group_snapshot(
    session: AsyncSession,
    actor: Actor,
    group_id: UUID | None,
    *,
    excluding: Board | None = None,
    include_done: bool = False,
    per_board_task_limit: int = 5,
) -> GroupSnapshot:
    """Return the boards of a group, each with its most urgent tasks, in one statement.

    Users get the boards that they may read; agents get all boards of their group (contract S8).
    """
    if group_id is None:
        return GroupSnapshot(None, [])
    shown = _boards_query(actor, group_id, excluding).cte("shown")
    counts = _task_counts_subquery(shown)
    urgent = _urgent_tasks_subquery(shown, include_done, per_board_task_limit)
    query = (
        select(BoardGroup, Board, counts.c.by_status, Task, Agent.name, _tags_subquery())
        .outerjoin(shown, shown.c.board_group_id == BoardGroup.id)
        .outerjoin(Board, Board.id == shown.c.id)
        .outerjoin(counts, counts.c.board_id == Board.id)
        .outerjoin(urgent, urgent.c.board_id == Board.id)
        .outerjoin(Task, Task.id == urgent.c.id)
        .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
        .where(BoardGroup.id == group_id)
        .order_by(func.lower(Board.name), Board.id, urgent.c.rank)
    )
    rows = (await session.execute(query)).all()
    return GroupSnapshot(rows[0][0] if rows else None, _snapshot_boards(rows))


def _snapshot_boards(rows: Sequence[Any]) -> Sequence[GroupSnapshotBoard]:
    urgent_tasks: defaultdict[Board, list[GroupSnapshotTask]] = defaultdict(list)
    counts: dict[Board, Mapping[Status, int]] = {}
    for _, board, by_status, task, assignee, tags in rows:
        if board is None:
            continue
        counts[board] = {Status(status): number for status, number in (by_status or {}).items()}
        if task is not None:
            shown = GroupSnapshotTask(task, board.name, assignee, _tag_refs(tags))
            urgent_tasks[board].append(shown)
    return [GroupSnapshotBoard(board, counts[board], urgent_tasks[board]) for board in counts]


def _tag_refs(tags: Sequence[Mapping[str, str]] | None) -> "Sequence[TagRef]":
    return [
        tasks.TagRef(UUID(tag["id"]), tag["name"], tag["slug"], tag["color"]) for tag in tags or ()
    ]


def _boards_query(
    actor: Actor, group_id: UUID, excluding: Board | None
) -> Select[UUID, UUID | None]:
    query = select(Board.id, Board.board_group_id).where(Board.board_group_id == group_id)
    if isinstance(actor, User):
        visible = visible_boards_query(actor).where(Board.board_group_id == group_id).subquery()
        query = query.where(Board.id.in_(select(visible.c.id).where(visible.c.reads)))
    return query.where(Board.id != excluding.id) if excluding is not None else query


def _urgent_tasks_subquery(shown: CTE, include_done: bool, limit: int) -> Subquery:
    """Select the ids of the most urgent tasks of each board, with their ranks."""
    order = (
        _rank(Task.status, STATUS_ORDER),
        _rank(Task.priority, PRIORITY_ORDER),
        Task.updated_at.desc(),
        Task.created_at.desc(),
        Task.id.desc(),
    )
    rank = func.row_number().over(partition_by=Task.board_id, order_by=order).label("rank")
    ranked = select(Task.id, Task.board_id, rank).where(Task.board_id.in_(select(shown.c.id)))
    if not include_done:
        ranked = ranked.where(Task.status != Status.DONE)
    all = ranked.subquery()
    return select(all).where(all.c.rank <= limit).subquery()


def _rank(column: Any, values: Sequence[str]) -> Any:
    """Return the index of a column's value in `values`; other values come last."""
    return case({value: n for n, value in enumerate(values)}, value=column, else_=len(values))


def _task_counts_subquery(shown: CTE) -> Subquery:
    """Count the tasks of each board, by status."""
    number = select(Task.board_id, Task.status, func.count().label("number"))
    number = number.where(Task.board_id.in_(select(shown.c.id)))
    each = number.group_by(Task.board_id, Task.status).subquery()
    all = func.jsonb_object_agg(each.c.status, each.c.number).label("by_status")
    return select(each.c.board_id, all).group_by(each.c.board_id).subquery()


def _tags_subquery() -> ScalarSelect[Any]:
    """Select the tags of a task in their order."""
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
