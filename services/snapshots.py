"""Load snapshots of a board or a group: the complete state for agents that start to work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    ScalarSelect,
    Subquery,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
)

from core.db.reads import CombinedQuery, Query, Source
from models import (
    URGENT_PRIORITIES,
    URGENT_STATUSES,
    USER_NAME,
    Actor,
    Agent,
    Board,
    BoardCounts,
    BoardGroup,
    Status,
    Tag,
    TagAssignment,
    Task,
    User,
)
from services import agents, approvals, boards, counters, memory, tasks
from services.approvals import ApprovalDetail
from services.memory import NoteDetail
from services.tasks import ListedTask, TagRef

MAX_ITEMS = 200  # maximum number of approvals, and of chat messages


@dataclass(frozen=True)
class BoardSnapshot:
    """The tasks, agents, approvals and chat messages of a board."""

    board: Board
    tasks: Sequence[ListedTask]  # all, newest first
    agents: Sequence[Agent]  # newest first
    approvals: Sequence[ApprovalDetail]  # newest first
    chat_messages: Sequence[NoteDetail]  # the newest ones, oldest first
    pending_approvals_count: int


async def load_board_snapshot(source: Source, board: Board) -> BoardSnapshot:
    """Load the snapshot of a board in one statement. The caller checks the read permission."""
    found = await BOARD_SNAPSHOT.fetch(source, board_id=board.id)
    all_tasks, all_agents, newest_approvals, chat, [pending] = found
    return BoardSnapshot(board, all_tasks, all_agents, newest_approvals, chat[::-1], pending)


BOARD_SNAPSHOT = CombinedQuery(
    tasks.BOARD_TASKS,
    agents.NEWEST_BOARD_AGENTS,
    approvals.newest_approvals_query(limit=MAX_ITEMS),
    memory.latest_chat_query(limit=MAX_ITEMS),
    approvals.PENDING_COUNT,
)


@dataclass(frozen=True)
class GroupSnapshotTask:
    """A task with the names that a snapshot shows."""

    task: Task
    board_name: str
    assignee: str | None
    tags: Sequence[TagRef]


@dataclass(frozen=True)
class GroupSnapshotBoard:
    """A board of a group with its most urgent tasks."""

    board: Board
    task_counts: Mapping[Status, int]  # only statuses that occur
    tasks: list[GroupSnapshotTask]


@dataclass(frozen=True)
class GroupSnapshot:
    """The boards of a group, by name. Empty for a board without a group."""

    group: BoardGroup | None
    boards: Sequence[GroupSnapshotBoard]


async def load_group_snapshot(
    source: Source,
    actor: Actor,
    group_id: UUID | None,
    *,
    excluding: Board | None = None,
    include_done: bool = False,
    per_board_task_limit: int = 5,
) -> GroupSnapshot:
    """Return the boards of a group, each with its most urgent tasks, in one statement.

    Users get the boards that they may read; agents get all boards of their group.
    """
    if group_id is None:
        return GroupSnapshot(None, [])
    query = _build_group_query(
        is_user=isinstance(actor, User),
        excluding=excluding is not None,
        include_done=include_done,
    )
    rows = await query.fetch(
        source,
        group_id=group_id,
        excluded_id=excluding.id if excluding else None,
        task_limit=per_board_task_limit,
        **boards.access_parameters(actor),
    )
    return GroupSnapshot(rows[0][0] if rows else None, _snapshot_boards(rows))


@cache
def _build_group_query(
    *, is_user: bool, excluding: bool, include_done: bool
) -> Query[tuple[Any, ...]]:
    in_group = Board.board_group_id == bindparam("group_id")
    boards_query = select(Board.id, Board.board_group_id).where(in_group)
    if is_user:
        visible = boards.USER_BOARDS.where(in_group).subquery()
        readable_ids = select(visible.c.id).where(visible.c.reads)
        boards_query = boards_query.where(Board.id.in_(readable_ids))
    if excluding:
        boards_query = boards_query.where(Board.id != bindparam("excluded_id"))
    shown = boards_query.cte("shown")
    urgent = _urgent_tasks_subquery(shown, include_done=include_done)
    assignee = case((Agent.id.is_not(None), Agent.name), (User.id.is_not(None), USER_NAME))
    query = (
        select(BoardGroup, Board, _select_task_counts(), Task, assignee, _tags_subquery())
        .outerjoin(shown, shown.c.board_group_id == BoardGroup.id)
        .outerjoin(Board, Board.id == shown.c.id)
        .outerjoin(urgent, urgent.c.board_id == Board.id)
        .outerjoin(Task, Task.id == urgent.c.id)
        .outerjoin(Agent, Agent.id == Task.assigned_agent_id)
        .outerjoin(User, User.id == Task.assigned_user_id)
        .where(BoardGroup.id == bindparam("group_id"))
        .order_by(func.lower(Board.name), Board.id, urgent.c.rank)
    )
    return Query(query, is_planned_once=True)


def _snapshot_boards(rows: Sequence[Any]) -> Sequence[GroupSnapshotBoard]:
    found: dict[UUID, GroupSnapshotBoard] = {}
    for _, board, by_status, task, assignee, tags in rows:
        if board is None:
            continue
        if board.id not in found:
            given = (by_status or {}).items()
            counts = {Status(status): number for status, number in given if number}
            found[board.id] = GroupSnapshotBoard(board, counts, [])
        if task is not None:
            refs = [
                TagRef(UUID(tag["id"]), tag["name"], tag["slug"], tag["color"])
                for tag in tags or ()
            ]
            found[board.id].tasks.append(GroupSnapshotTask(task, board.name, assignee, refs))
    return list(found.values())


def _urgent_tasks_subquery(shown: CTE, *, include_done: bool) -> Subquery:
    """Select the ids of the most urgent tasks of each board, with their ranks."""
    status_rank: Any = func.array_position(literal_column(URGENT_STATUSES), Task.status)
    order = (
        status_rank,
        func.array_position(literal_column(URGENT_PRIORITIES), Task.priority),
        Task.updated_at.desc(),
        Task.created_at.desc(),
        Task.id.desc(),
    )
    rank = func.row_number().over(order_by=order).label("rank")
    first = select(Task.id, rank).where(Task.board_id == shown.c.id).order_by(*order)
    if not include_done:
        first = first.where(status_rank.is_not(None))
    urgent = first.limit(bindparam("task_limit", type_=Integer)).lateral("first")
    return (
        select(shown.c.id.label("board_id"), *urgent.c).join_from(shown, urgent, true()).subquery()
    )


def _select_task_counts() -> ColumnElement[Any]:
    """Select the numbers of tasks of a board by status, from its counters."""
    pairs = chain(
        *(
            (literal_column(f"'{status}'"), counter)
            for status, counter in counters.TASK_COUNTS.items()
        )
    )
    counts = select(func.jsonb_build_object(*pairs)).where(BoardCounts.board_id == Board.id)
    return counts.correlate(Board).scalar_subquery()


def _tags_subquery() -> ScalarSelect[Any]:
    """Select the tags of a task in their order."""
    on = TagAssignment
    tag = func.jsonb_build_object(
        "id", Tag.id, "name", Tag.name, "slug", Tag.slug, "color", Tag.color
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
