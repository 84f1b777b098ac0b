"""Counters and hourly roll-ups: expressions that read them, and their repair.

The database maintains them in the transaction of what they count, so one statement sees both at the
same moment and needs no lock. A difference is added to the counter, which other transactions may
have changed meanwhile: it stays right.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from core.db.transactions import try_lock_name
from models import AgentEventCount, ApprovalStatus, BoardCounts, EventCount, EventType, Status
from services import events

Counter = InstrumentedAttribute[int]

TASK_COUNTS: Mapping[Status, Counter] = {
    Status.INBOX: BoardCounts.inbox_tasks,
    Status.IN_PROGRESS: BoardCounts.in_progress_tasks,
    Status.REVIEW: BoardCounts.review_tasks,
    Status.DONE: BoardCounts.done_tasks,
}
"""The number of tasks of a board in each status."""

APPROVAL_COUNTS: Mapping[ApprovalStatus, Counter] = {
    ApprovalStatus.PENDING: BoardCounts.pending_approvals,
    ApprovalStatus.APPROVED: BoardCounts.approved_approvals,
    ApprovalStatus.REJECTED: BoardCounts.rejected_approvals,
}
"""The number of approvals of a board in each status, as agents see it."""

TASK_MOVES = events.list_types(lambda entry: entry.moves_task)
MESSAGE_ENDS = (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED, EventType.MESSAGE_FAILED)
"""The events that complete a message. The triggers of the roll-ups name these types and those of
`TASK_MOVES`, so a migration changes them.
"""
TASK_MOVES_SQL, MESSAGE_ENDS_SQL = (
    "({})".format(", ".join(f"'{type}'" for type in types)) for types in (TASK_MOVES, MESSAGE_ENDS)
)


def sum_counts(
    counters: Collection[Counter],
    ids: Select[UUID],
    *,
    place: InstrumentedAttribute[UUID] = BoardCounts.board_id,
) -> ColumnElement[int]:
    """Select the sum of counters over boards, or over other places; 0 if they have none."""
    total: Any = sum(counters, start=0)
    query = select(func.coalesce(func.sum(total), 0))
    return query.where(place.in_(ids)).scalar_subquery()


def count_tasks_of_board(
    board_id: Any, statuses: ColumnElement[Any] | None = None
) -> ScalarSelect[int]:
    """Select the number of tasks of a board, or only of those in an array of statuses."""
    chosen = [
        counter
        if statuses is None
        else case((literal_column(f"'{status}'") == func.any(statuses), counter), else_=0)
        for status, counter in TASK_COUNTS.items()
    ]
    query = select(func.coalesce(func.sum(sum(chosen, start=literal_column("0"))), 0))
    return query.where(BoardCounts.board_id == board_id).scalar_subquery()


def sum_event_counts(
    model: type[EventCount | AgentEventCount], condition: ColumnElement[bool]
) -> ColumnElement[int]:
    """Select the number of events of the counters that match a condition."""
    total = cast(func.coalesce(func.sum(model.count), 0), BigInteger)
    return select(total).where(condition).scalar_subquery()


LOCK = "mission control: repair of counters"

_BOARD_COUNTERS = (
    "inbox_tasks",
    "in_progress_tasks",
    "review_tasks",
    "done_tasks",
    "pending_approvals",
    "approved_approvals",
    "rejected_approvals",
    "undecided_approvals",
    "decided_approvals",
    "comments",
    "notes",
    "chat_messages",
)


@dataclass(frozen=True)
class Difference:
    """A counter that was wrong: its row, and what was added to it."""

    table: str
    key: str
    added: str


@dataclass(frozen=True)
class _CounterTable:
    """A table of counters, and the query that recounts them."""

    name: str
    key: Sequence[str]
    counters: Sequence[str]
    recount: str
    constraint: str

    def build_repair(self) -> str:
        """Build the statement that repairs the table and returns keys and differences."""
        key, counters = ", ".join(self.key), ", ".join(self.counters)
        negative = ", ".join(f"-{name}" for name in self.counters)
        sums = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in self.counters)
        wrong = " or ".join(f"coalesce(sum({name}), 0) <> 0" for name in self.counters)
        changes = ", ".join(
            f"{name} = coalesce(kept.{name}, 0) + excluded.{name}" for name in self.counters
        )
        named = ", ".join(f"'{name}', {name}" for name in self.counters)
        named_key = ", ".join(f"'{name}', {name}" for name in self.key)
        return f"""
            with recounted as ({self.recount}),
            differing as materialized (
                select {key}, {sums}
                from (
                    select {key}, {counters} from recounted
                    union all select {key}, {negative} from {self.name}
                ) both_counts
                group by {key} having {wrong}
            ),
            repaired as (
                insert into {self.name} as kept ({key}, {counters})
                select {key}, {counters} from differing order by {key}
                on conflict on constraint {self.constraint} do update set {changes}
            )
            select jsonb_build_object({named_key}) as key, jsonb_build_object({named}) as added
            from differing order by {key}
        """  # noqa: S608 - all parts are constants of this module


_BOARD_RECOUNT = r"""
    select id as board_id, {counters}
    from boards,
    lateral (
        select
            count(*) filter (where status = 'inbox') as inbox_tasks,
            count(*) filter (where status = 'in_progress') as in_progress_tasks,
            count(*) filter (where status = 'review') as review_tasks,
            count(*) filter (where status = 'done') as done_tasks
        from tasks where board_id = boards.id
    ) counted_tasks,
    lateral (
        select
            count(*) filter (where status = 'pending') as pending_approvals,
            count(*) filter (where status = 'approved') as approved_approvals,
            count(*) filter (where status = 'rejected') as rejected_approvals,
            count(*) filter (where status = 'pending' and decided_status is null)
                as undecided_approvals,
            count(*) filter (where coalesce(decided_at, resolved_at) is not null)
                as decided_approvals
        from approvals where board_id = boards.id
    ) counted_approvals,
    lateral (
        select count(*) as comments from task_comments where board_id = boards.id
    ) counted_comments,
    lateral (
        select count(*) filter (where not is_chat) as notes,
            count(*) filter (where is_chat) as chat_messages
        from board_memory where board_id = boards.id and content ~ '\S'
    ) counted_notes
"""
_GROUP_RECOUNT = r"""
    select board_group_id, count(*) filter (where not is_chat) as notes,
        count(*) filter (where is_chat) as chat_messages
    from board_group_memory where content ~ '\S' group by 1
"""
_DONE_RECOUNT = """
    select board_id, date_trunc('hour', done_at, 'UTC') as hour, scale(hours) as scale,
        count(*) as tasks, sum(hours) as cycle_hours
    from (
        select *, extract(epoch from done_at - started_at) / 3600 as hours from tasks
        where status = 'done' and done_at is not null
    ) done
    group by 1, 2, 3
"""
_MOVE_RECOUNT = f"""
    select organization_id, board_id, date_trunc('hour', created_at, 'UTC') as hour,
        data ->> 'left' as left_status, data ->> 'entered' as entered_status, count(*) as count
    from activity_events where board_id is not null and type in {TASK_MOVES_SQL}
    group by 1, 2, 3, 4, 5
"""  # noqa: S608
_MESSAGE_RECOUNT = f"""
    select organization_id, board_id, only_failed, date_trunc('hour', created_at, 'UTC') as hour,
        date_trunc('hour', previous_at, 'UTC') as previous_hour, count(*) as count
    from (
        select *, lag(created_at) over (
            partition by only_failed, board_id, data ->> 'message_id' order by created_at, seq
        ) as previous_at
        from activity_events, (values (false), (true)) kinds (only_failed)
        where board_id is not null and type in {MESSAGE_ENDS_SQL}
            and data ->> 'message_id' is not null and (not only_failed or type = 'message.failed')
    ) steps
    group by 1, 2, 3, 4, 5
"""  # noqa: S608

_TABLES = (
    _CounterTable(
        "board_counts",
        ("board_id",),
        _BOARD_COUNTERS,
        _BOARD_RECOUNT.format(counters=", ".join(_BOARD_COUNTERS)),
        "uq_board_counts_board_id",
    ),
    _CounterTable(
        "board_group_counts",
        ("board_group_id",),
        ("notes", "chat_messages"),
        _GROUP_RECOUNT,
        "uq_board_group_counts_board_group_id",
    ),
    _CounterTable(
        "tag_counts",
        ("tag_id", "board_id"),
        ("tasks",),
        "select tag_id, board_id, count(*) as tasks"
        " from tag_assignments join tasks on tasks.id = task_id group by 1, 2",
        "uq_tag_counts_tag_id_board_id",
    ),
    _CounterTable(
        "event_counts",
        ("organization_id", "board_id", "type"),
        ("count",),
        "select organization_id, board_id, type, count(*) as count from activity_events"
        " group by 1, 2, 3",
        "uq_event_counts_key",
    ),
    _CounterTable(
        "agent_event_counts",
        ("agent_id", "organization_id", "board_id", "type"),
        ("count",),
        "select agent_id, organization_id, board_id, type, count(*) as count from activity_events"
        " where agent_id is not null group by 1, 2, 3, 4",
        "uq_agent_event_counts_key",
    ),
    _CounterTable(
        "organization_counts",
        ("organization_id",),
        ("communication",),
        "select organization_id, count(*) as communication"
        " from event_origins join activity_events using (id) group by 1",
        "uq_organization_counts_organization_id",
    ),
    _CounterTable(
        "notification_counts",
        ("user_id", "organization_id", "kind", "board_id", "board_group_id"),
        ("count",),
        "select user_id, organization_id, kind, board_id, board_group_id, count(*) as count"
        " from notifications group by 1, 2, 3, 4, 5",
        "uq_notification_counts_key",
    ),
    _CounterTable(
        "task_move_hours",
        ("organization_id", "board_id", "hour", "left_status", "entered_status"),
        ("count",),
        _MOVE_RECOUNT,
        "uq_task_move_hours_key",
    ),
    _CounterTable(
        "message_hours",
        ("organization_id", "board_id", "only_failed", "hour", "previous_hour"),
        ("count",),
        _MESSAGE_RECOUNT,
        "uq_message_hours_key",
    ),
    _CounterTable(
        "done_task_hours",
        ("board_id", "hour", "scale"),
        ("tasks", "cycle_hours"),
        _DONE_RECOUNT,
        "uq_done_task_hours_key",
    ),
)
_REPAIRS = {table.name: text(table.build_repair()) for table in _TABLES}

_WRONG_OPEN_DEPENDENCIES = text(
    """
    select id, board_id, coalesce(number, 0) - open_dependency_count as added
    from tasks left join (
        select task_id, count(*) as number
        from task_dependencies join tasks other on other.id = depends_on_task_id
        where other.status <> 'done' group by task_id
    ) counted on counted.task_id = tasks.id
    where open_dependency_count <> coalesce(number, 0)
        and (cast(:board_ids as uuid[]) is null or board_id = any(:board_ids))
    order by id
    """
)
_LOCK_BOARDS = text("select id from boards where id = any(:board_ids) order by id for update")
_REPAIR_OPEN_DEPENDENCIES = text("select count_open_dependencies(:task_ids)")


async def repair_counters(session: AsyncSession) -> list[Difference]:
    """Recount everything, repair the counters that differ, and return what was added to them.

    Returns nothing while another worker does it, because a difference must be added once only.
    """
    if not await try_lock_name(session, LOCK):
        return []
    differences = []
    for table, repair in _REPAIRS.items():
        rows = await session.execute(repair)
        differences += [_build_difference(table, row) for row in rows]
    return differences + await _repair_open_dependencies(session)


async def _repair_open_dependencies(session: AsyncSession) -> list[Difference]:
    """Repair the numbers of open dependencies, below the locks of the boards with wrong ones.

    They are counted anew with each change of a dependency, so nothing can be added to them.
    """
    wrong = await session.execute(_WRONG_OPEN_DEPENDENCIES, {"board_ids": None})
    board_ids = list({row.board_id for row in wrong})
    if not board_ids:
        return []
    parameters = {"board_ids": board_ids}
    await session.execute(_LOCK_BOARDS, parameters)
    rows = (await session.execute(_WRONG_OPEN_DEPENDENCIES, parameters)).all()
    await session.execute(_REPAIR_OPEN_DEPENDENCIES, {"task_ids": [row.id for row in rows]})
    return [
        Difference("tasks", f"id {row.id}", f"{row.added:+} open_dependency_count") for row in rows
    ]


def _build_difference(table: str, row: Row[Any]) -> Difference:
    key = ", ".join(f"{name} {value}" for name, value in row.key.items() if value is not None)
    added = ", ".join(f"{value:+} {name}" for name, value in row.added.items() if value)
    return Difference(table, key, added)
