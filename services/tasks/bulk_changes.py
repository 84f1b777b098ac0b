"""Change, delete and restore several tasks of a board at once.

Each task obeys its own rules: an error of one does not affect the others.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import AppError
from models import Actor, Board, DeletedTask
from services.tasks.change_request import TaskUpdate
from services.tasks.commands import update_task
from services.tasks.queries import load_task_details, task_not_found
from services.tasks.trash import delete_task, keep_references, restore_kept_task


@dataclass(frozen=True)
class BulkResult:
    """The result for one of several tasks; the error is None if the task was changed."""

    task_id: UUID
    error: AppError | None = None


@dataclass(frozen=True, kw_only=True)
class BulkChange:
    """What is changed in each task: the given fields, and single tags."""

    fields: TaskUpdate
    added_tag_ids: Collection[UUID] = ()
    removed_tag_ids: Collection[UUID] = ()


async def update_tasks(
    session: AsyncSession, actor: Actor, board: Board, task_ids: Sequence[UUID], change: BulkChange
) -> list[BulkResult]:
    """Change several tasks of a locked board, in this order."""
    details = await load_task_details(session, board, task_ids)

    async def update(task_id: UUID) -> None:
        if task_id not in details:
            raise task_not_found()
        fields = change.fields
        if change.added_tag_ids or change.removed_tag_ids:
            kept = [id for id in details[task_id].tag_ids if id not in change.removed_tag_ids]
            added = [id for id in change.added_tag_ids if id not in kept]
            fields = TaskUpdate.parse({**fields.changes(), "tag_ids": kept + added})
        await update_task(session, actor, board, task_id, fields)

    return await _apply_to_each(session, task_ids, update)


async def delete_tasks(
    session: AsyncSession, actor: Actor, board: Board, task_ids: Sequence[UUID]
) -> list[BulkResult]:
    """Delete several tasks of a locked board. They can be restored for a limited time."""
    return await _apply_to_each(
        session, task_ids, lambda task_id: delete_task(session, actor, board, task_id)
    )


async def restore_tasks(
    session: AsyncSession, actor: Actor, board: Board, task_ids: Sequence[UUID]
) -> list[BulkResult]:
    """Restore several deleted tasks on a locked board, those that were deleted last first.

    A dependency between two deleted tasks is stored with the one that was deleted first.
    """
    in_trash = select(DeletedTask.task_id).where(
        DeletedTask.board_id == board.id, DeletedTask.task_id.in_(task_ids)
    )
    last_first = in_trash.order_by(DeletedTask.deleted_at.desc(), DeletedTask.id.desc())
    found = list(await session.scalars(last_first))
    await keep_references(session, board, found)
    results = await _apply_to_each(
        session,
        [*found, *task_ids],
        lambda task_id: restore_kept_task(session, actor, board, task_id),
    )
    return sorted(results, key=lambda one: task_ids.index(one.task_id))


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
