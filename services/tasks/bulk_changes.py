"""Change, delete and restore several tasks of a board at once, and undo it.

Each task obeys its own rules: an error of one does not affect the others. See
docs/decisions/lists.md.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import accumulate
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import delete_unlocked
from core.errors import AppError, Conflict, NotFound
from core.text import N_
from models import Actor, Board, BulkTaskChange, DeletedTask, User, new_id
from services.tasks.change_request import ASSIGNMENT_FIELDS, TaskUpdate
from services.tasks.commands import update_task
from services.tasks.queries import TaskDetail, load_task_details, task_not_found
from services.tasks.storage import TaskEvent, publish_events
from services.tasks.transitions import event_value
from services.tasks.trash import delete_task, keep_references, restore_kept_task

UNDO_FOR = timedelta(hours=1)
TASKS_AT_ONCE = 25  # of a change, in one transaction, which holds the lock of the board
RESTORED_AT_ONCE = 2_000_000  # bytes of deleted tasks, in one transaction


@dataclass(frozen=True)
class BulkResult:
    """The result for one of several tasks; without an error it is as the caller wants it."""

    task_id: UUID
    error: AppError | None = None
    is_changed: bool = True  # if there is no error


@dataclass(frozen=True, kw_only=True)
class BulkChange:
    """What is changed in each task: the given fields, and single tags. Or tasks are deleted."""

    fields: TaskUpdate
    added_tag_ids: Collection[UUID] = ()
    removed_tag_ids: Collection[UUID] = ()
    is_deletion: bool = False


@dataclass(frozen=True)
class UndoableChange:
    """A change of several tasks that its user can undo."""

    id: UUID
    is_deletion: bool
    task_ids: Sequence[UUID]


async def change_tasks(
    session: AsyncSession,
    user: User,
    board: Board,
    change_id: UUID,
    task_ids: Sequence[UUID],
    change: BulkChange,
) -> list[BulkResult]:
    """Change at most TASKS_AT_ONCE tasks of a locked board, and store how to undo it.

    A change of more tasks is several transactions with the same id, which others can come between.
    """
    if change.is_deletion:
        results = await _apply_to_each(
            session, task_ids, lambda task_id: delete_task(session, user, board, task_id)
        )
        stored = [{"id": str(one.task_id)} for one in results if not one.error]
    else:
        results, stored = await _update_tasks(session, user, board, task_ids, change)
    if stored:
        await _store(session, user, board, change_id, stored, is_deletion=change.is_deletion)
    return results


async def _update_tasks(
    session: AsyncSession, actor: Actor, board: Board, task_ids: Sequence[UUID], change: BulkChange
) -> tuple[list[BulkResult], list[dict[str, Any]]]:
    """Change tasks that are different, and return also what was different: see `_compare`."""
    details = await load_task_details(session, board, task_ids)
    before = {id: _read_values(detail) for id, detail in details.items()}
    ranks = {id: detail.task.rank for id, detail in details.items()}
    differences: dict[UUID, dict[str, Any]] = {}

    async def update(task_id: UUID) -> None:
        if task_id not in details:
            raise task_not_found()
        fields = change.fields
        if change.added_tag_ids or change.removed_tag_ids:
            kept = [id for id in details[task_id].tag_ids if id not in change.removed_tag_ids]
            added = [id for id in change.added_tag_ids if id not in kept]
            fields = TaskUpdate.parse({**fields.changes(), "tag_ids": kept + added})
        if not _is_different(details[task_id], fields):
            return
        changed = await update_task(session, actor, board, task_id, fields)
        after = _read_values(changed)
        differences[task_id] = _compare(task_id, before[task_id], after, ranks[task_id])

    results = await _apply_to_each(session, task_ids, update)
    results = [replace(one, is_changed=one.task_id in differences) for one in results]
    return results, [differences[one.task_id] for one in results if one.is_changed]


def _is_different(detail: TaskDetail, fields: TaskUpdate) -> bool:
    """Return whether an update would change the task."""
    wanted = fields.changes()
    if sorted(wanted.pop("tag_ids", detail.tag_ids)) != sorted(detail.tag_ids):
        return True
    return any(getattr(detail.task, name, None) != value for name, value in wanted.items())


def _read_values(detail: TaskDetail) -> dict[str, Any]:
    """Return the values of a task that bulk changes write, as JSON."""
    names = ("status", "priority", "due_at", *ASSIGNMENT_FIELDS)
    values = {name: event_value(getattr(detail.task, name)) for name in names}
    return values | {"tag_ids": [str(id) for id in detail.tag_ids]}


def _compare(
    task_id: UUID, before: dict[str, Any], after: dict[str, Any], rank: Decimal
) -> dict[str, Any]:
    """Return what differs, and for a move the rank in the column before it."""
    names = [name for name, value in before.items() if after[name] != value]
    place = {"rank": str(rank)} if "status" in names else {}
    return {
        "id": str(task_id),
        "before": {name: before[name] for name in names},
        "after": {name: after[name] for name in names},
        **place,
    }


@asynccontextmanager
async def store_undo(
    session: AsyncSession, user: User, board: Board, task_ids: Sequence[UUID]
) -> AsyncGenerator[UUID]:
    """Store how the user can undo what is changed in tasks of a locked board within the block.

    Gives the id of the change.
    """
    change_id = new_id()
    details = await load_task_details(session, board, task_ids)
    before = {id: _read_values(detail) for id, detail in details.items()}
    ranks = {id: detail.task.rank for id, detail in details.items()}
    yield change_id
    details = await load_task_details(session, board, task_ids)
    compared = [_compare(id, before[id], _read_values(details[id]), ranks[id]) for id in before]
    if stored := [one for one in compared if one["before"]]:
        await _store(session, user, board, change_id, stored, is_deletion=False)


async def _store(
    session: AsyncSession,
    user: User,
    board: Board,
    change_id: UUID,
    stored: list[dict[str, Any]],
    *,
    is_deletion: bool,
) -> None:
    """Store the changes of a transaction after those of the earlier ones."""
    table = BulkTaskChange
    values = {"board_id": board.id, "user_id": user.id, "tasks": stored, "created_at": now()}
    added = insert(table).values(id=change_id, is_deletion=is_deletion, **values)
    all_tasks = table.tasks.concat(added.excluded.tasks)
    await session.execute(
        added.on_conflict_do_update(index_elements=[table.id], set_={"tasks": all_tasks})
    )


UNDOABLE_CHANGE: Query[BulkTaskChange] = Query(
    select(BulkTaskChange)
    .where(
        BulkTaskChange.id == bindparam("change_id", type_=Uuid()),
        BulkTaskChange.board_id == bindparam("board_id", type_=Uuid()),
        BulkTaskChange.user_id == bindparam("user_id", type_=Uuid()),
        BulkTaskChange.created_at > bindparam("since", type_=DateTime(timezone=True)),
    )
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def _find_change(
    source: Source, user: User, board: Board, change_id: UUID
) -> BulkTaskChange | None:
    ids = {"change_id": change_id, "board_id": board.id, "user_id": user.id}
    return await UNDOABLE_CHANGE.first(source, since=now() - UNDO_FOR, **ids)


async def find_undoable_change(
    source: Source, user: User, board: Board, change_id: UUID
) -> UndoableChange | None:
    """Return a change that the user can undo, or None."""
    change = await _find_change(source, user, board, change_id)
    if change is None:
        return None
    return UndoableChange(change.id, change.is_deletion, [UUID(one["id"]) for one in change.tasks])


async def undo_change(
    session: AsyncSession, user: User, board: Board, change_id: UUID
) -> tuple[list[BulkResult], list[UUID]]:
    """Undo the last changes of a bulk change, and return also the tasks before them.

    These are TASKS_AT_ONCE, or fewer if deleted tasks are large: see `restore_tasks`. The board is
    locked. A task gets its values back if it still has those that the change wrote, and if the
    rules allow it to the user. Raises NotFound if there is nothing to undo.
    """
    change = await _find_change(session, user, board, change_id)
    if change is None:
        reason = N_("This change was undone already, or was made too long ago.")
        raise NotFound("change_not_undoable", reason)
    undone = {UUID(one["id"]): one for one in change.tasks[-TASKS_AT_ONCE:]}
    if change.is_deletion:
        results = await restore_tasks(session, user, board, [*undone])
    else:

        async def undo(task_id: UUID) -> None:
            await _undo(session, user, board, task_id, undone[task_id])

        results = await _apply_to_each(session, [*undone][::-1], undo)
    done = {str(one.task_id) for one in results}
    rest = [one for one in change.tasks if one["id"] not in done]
    if rest:
        change.tasks = rest
    else:
        await session.delete(change)
    return results, [UUID(one["id"]) for one in rest]


async def _undo(
    session: AsyncSession, user: User, board: Board, task_id: UUID, stored: dict[str, Any]
) -> None:
    """Give a task the values that it had before a change, and its place in the manual order.

    Raises Conflict if it has changed since, and the errors of `update_task`.
    """
    if not stored["before"]:  # the change made no difference
        return
    detail = (await load_task_details(session, board, [task_id])).get(task_id)
    if detail is None:
        raise task_not_found()
    values = _read_values(detail)
    if any(values[name] != value for name, value in stored["after"].items()):
        raise Conflict("task_changed_since", N_("It has been changed since."))
    wanted, missing = values | stored["before"], dict(stored["before"])
    for _attempt in range(2):  # a move may assign the task, which is undone by a second update
        detail = await update_task(session, user, board, task_id, TaskUpdate.parse(missing))
        values = _read_values(detail)
        missing = {name: value for name, value in wanted.items() if values[name] != value}
        if not missing:
            if "rank" in stored:
                detail.task.rank = Decimal(stored["rank"])
                await session.flush()
            return
    raise Conflict(
        "undo_not_possible", N_("The rules of the board do not allow its previous values.")
    )


async def purge_bulk_changes(session: AsyncSession) -> int:
    """Delete a batch of the changes that can no longer be undone."""
    is_over = BulkTaskChange.created_at <= now() - UNDO_FOR
    return await delete_unlocked(session, BulkTaskChange, is_over)


async def restore_tasks(
    session: AsyncSession, actor: Actor, board: Board, task_ids: Sequence[UUID]
) -> list[BulkResult]:
    """Restore deleted tasks on a locked board, as many as one transaction can, last deleted first.

    A dependency between two deleted tasks is stored with the one that was deleted first. The events
    are recorded at the end, because other transactions wait for that: computing the search words of
    large comments takes long. The tasks without a result are left for the next transaction.
    """
    in_trash = select(DeletedTask.task_id).where(
        DeletedTask.board_id == board.id, DeletedTask.task_id.in_(task_ids)
    )
    last_first = in_trash.order_by(DeletedTask.deleted_at.desc(), DeletedTask.id.desc())
    found = list(await session.scalars(last_first))
    missing = {*task_ids}.difference(found)
    restored = await _limit_restored(session, board, found[:TASKS_AT_ONCE])
    await keep_references(session, board, restored)
    task_events: list[TaskEvent] = []

    async def restore(task_id: UUID) -> None:
        task_events.extend(await restore_kept_task(session, actor, board, task_id))

    results = await _apply_to_each(session, [*restored, *missing], restore)
    await publish_events(session, actor, board, task_events)
    by_id = {one.task_id: one for one in results}
    return [by_id[id] for id in dict.fromkeys(task_ids) if id in by_id]


async def _limit_restored(
    session: AsyncSession, board: Board, task_ids: Sequence[UUID]
) -> Sequence[UUID]:
    """Return the first of some deleted tasks: at least one, and RESTORED_AT_ONCE bytes at most."""
    size = func.octet_length(cast(DeletedTask.rows, Text))
    query = select(DeletedTask.task_id, size).where(
        DeletedTask.board_id == board.id, DeletedTask.task_id.in_(task_ids)
    )
    sizes = {id: size for id, size in await session.execute(query)}
    totals = accumulate(sizes[id] for id in task_ids)
    return task_ids[: max(1, sum(total <= RESTORED_AT_ONCE for total in totals))]


async def _apply_to_each(
    session: AsyncSession, task_ids: Sequence[UUID], apply: Callable[[UUID], Awaitable[object]]
) -> list[BulkResult]:
    """Apply a command to each task in a savepoint of its own."""
    results = []
    for task_id in dict.fromkeys(task_ids):
        try:
            async with session.begin_nested():
                await apply(task_id)
            results.append(BulkResult(task_id))
        except AppError as error:
            results.append(BulkResult(task_id, error))
    return results
