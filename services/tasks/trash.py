"""Deleting a task, and bringing it back: its rows are kept as JSON for as long as that is possible.

The contract deletes rows at once (3.10.9). What happened stays written down.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Uuid, func, insert, literal_column, select, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import NotFound
from kit.versions import Known, check_version
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalTask,
    Board,
    Comment,
    CustomFieldValue,
    EventType,
    Status,
    TagAssignment,
    Task,
    TaskDependency,
    Trash,
    new_id,
)
from services.tasks import dependencies
from services.tasks.details import TaskDetail, detail
from services.tasks.looking import find, no_such_task
from services.tasks.news import News, announce
from services.tasks.restoring import put_back
from services.tasks.rules import check_may_create_and_delete
from services.tasks.setbacks import left_alone, sent_back

PRIMARIES = "primaries"
"""Beside the tables' rows: the approvals that stay, but had the deleted task as their first."""


async def delete(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, *, known: Known = None
) -> None:
    """Delete a task from a board that is held, with all that hangs on it.

    An approval that is about other tasks too stays, and the first of them becomes its first; one
    that was about this task alone goes. People and the board's lead may. Raises NotFound,
    Forbidden, and PreconditionFailed if the task is of no version that is known.
    """
    check_may_create_and_delete(actor, board)
    task, alone = await _going(session, board, task_id)
    check_version(known, task.version)
    waiting = await dependencies.dependents(session, task)
    await _keep(session, task, alone)
    await _remove(session, task, alone)
    gone = {"left": task.status.value, "approval_ids": [str(id) for id in alone]}
    await announce(
        session,
        actor,
        board,
        [
            News(EventType.TASK_DELETED, task, gone),
            *_told_to(waiting, {"deleted_task_id": str(task.id)}),
        ],
    )


async def restore(session: AsyncSession, actor: Actor, board: Board, task_id: UUID) -> TaskDetail:
    """Bring a deleted task back to a board that is held, with all that hung on it.

    What it referred to and is gone by now stays away, and so does a dependency that would close a
    circle by now. If its agent has left the board, it is nobody's; and what has begun meanwhile
    without it goes back to the inbox. Raises NotFound once it is purged, and Forbidden.
    """
    check_may_create_and_delete(actor, board)
    kept = await session.scalar(
        select(Trash).where(Trash.board_id == board.id, Trash.task_id == task_id)
    )
    if kept is None:
        raise NotFound("task_not_restorable", "This task is gone for good.")
    rows = dict(kept.rows)
    primaries = rows.pop(PRIMARIES)
    await put_back(session, board, rows)
    firsts = update(Approval).where(Approval.id.in_([UUID(id) for id in primaries]))
    if primaries:
        await session.execute(firsts.values(task_id=task_id))
    await session.delete(kept)
    task = await find(session, board, task_id)
    asked = [row["id"] for row in rows[Approval.__tablename__]]
    news = await _back_among_others(session, board, task, rows[Task.__tablename__][0], asked)
    await announce(session, actor, board, news)
    return await detail(session, board, task_id)


async def _back_among_others(
    session: AsyncSession,
    board: Board,
    task: Task,
    was: Mapping[str, Any],
    asked: Sequence[str],
) -> list[News]:
    """Let a task that is back, and those that wait for it, follow what happened without it."""
    at = now()
    task.updated_at = at
    task.version += 1
    back = {"entered": task.status.value, "approval_ids": asked}
    news = [News(EventType.TASK_RESTORED, task, back)]
    if await _lost_its_agent(session, board, task, was):
        news.append(left_alone(task, at))
    because: dict[str, object] = {"restored_task_id": str(task.id)}
    for other in await dependencies.dependents(session, task):
        if task.status is Status.DONE or other.status is Status.INBOX:
            news += _told_to([other], because)
        else:
            news.append(sent_back(other, because, at))
    return news


async def _lost_its_agent(
    session: AsyncSession, board: Board, task: Task, was: Mapping[str, Any]
) -> bool:
    """Say whether an open task came back with an agent of another board, or begun by one gone."""
    if task.status is Status.DONE or was["assigned_agent_id"] is None:
        return False
    if task.assigned_agent_id is None:
        return task.status is Status.IN_PROGRESS
    here = select(Agent.id).where(Agent.id == task.assigned_agent_id, Agent.board_id == board.id)
    return await session.scalar(here) is None


async def purge_trash(session: AsyncSession, older_than: timedelta) -> int:
    """Forget the tasks that were deleted longer ago than this, and return how many they were."""
    old = delete_rows(Trash).where(Trash.deleted_at < now() - older_than)
    return len((await session.execute(old.returning(Trash.id))).all())


def _told_to(waiting: Sequence[Task], why: dict[str, object]) -> list[News]:
    return [News(EventType.TASK_UPDATED, other, why) for other in waiting]


async def _going(session: AsyncSession, board: Board, task_id: UUID) -> tuple[Task, list[UUID]]:
    """Return a task of this board, and the approvals that are about it alone. Raises NotFound."""
    mine = select(Approval.id).where(Approval.task_id == task_id, ~_about_others(task_id).exists())
    alone = func.array(mine.scalar_subquery(), type_=ARRAY(Uuid()))
    query = select(Task, alone).where(Task.id == task_id, Task.board_id == board.id)
    row = (await session.execute(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise no_such_task()
    return row[0], list(row[1])


def _about_others(task_id: UUID) -> Select[UUID]:
    """Select the tasks, besides one, that an approval of the enclosing query is about."""
    links = select(ApprovalTask.task_id).where(
        ApprovalTask.approval_id == Approval.id, ApprovalTask.task_id != task_id
    )
    return links.order_by(ApprovalTask.position, ApprovalTask.created_at, ApprovalTask.id)


async def _keep(session: AsyncSession, task: Task, alone: Sequence[UUID]) -> None:
    """Write all rows that go with a task into the trash, as JSON, by the name of their table."""
    going = {
        Task: Task.id == task.id,
        TaskDependency: (TaskDependency.task_id == task.id)
        | (TaskDependency.depends_on_task_id == task.id),
        Comment: Comment.task_id == task.id,
        TagAssignment: TagAssignment.task_id == task.id,
        CustomFieldValue: CustomFieldValue.task_id == task.id,
        Approval: Approval.id.in_(alone),
        ApprovalTask: ApprovalTask.task_id == task.id,
    }
    named: list[Any] = []
    for model, condition in going.items():
        rows = func.jsonb_agg(func.to_jsonb(literal_column(model.__tablename__)))
        found = select(func.coalesce(rows, func.jsonb_build_array()))
        found = found.select_from(model.__table__).where(condition)
        named += [literal_column(f"'{model.__tablename__}'"), found.scalar_subquery()]
    mine = select(func.coalesce(func.jsonb_agg(Approval.id), func.jsonb_build_array()))
    mine = mine.where(Approval.task_id == task.id, Approval.id.not_in(alone))
    kept = func.jsonb_build_object(*named, literal_column(f"'{PRIMARIES}'"), mine.scalar_subquery())
    values = {"board_id": task.board_id, "task_id": task.id, "rows": kept, "deleted_at": now()}
    await session.execute(insert(Trash).values(id=new_id(), **values))


async def _remove(session: AsyncSession, task: Task, alone: Sequence[UUID]) -> None:
    """Delete a task with the approvals about it alone; of others, the next task is the first."""
    gone = delete_rows(Approval).where(Approval.id.in_(alone)).cte("gone")
    following = _about_others(task.id).limit(1).scalar_subquery()
    shared = update(Approval).where(Approval.task_id == task.id, Approval.id.not_in(alone))
    handed_on = shared.values(task_id=following).cte("handed_on")
    removed = delete_rows(Task).where(Task.id == task.id).add_cte(gone, handed_on)
    await session.execute(removed.execution_options(synchronize_session=False))
    session.expunge(task)
