"""Remind people of the due dates of their tasks: once before, and once after each date."""

from datetime import timedelta
from operator import itemgetter

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    String,
    bindparam,
    case,
    cast,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from models import Board, Notification, NotificationKind, Status, Task
from services import notifications
from services.notifications import NewNotification
from services.tasks.user_notifications import build_reminder_keys

AT = bindparam("at", type_=DateTime(timezone=True))
NOTICE_UNTIL = bindparam("notice_until", type_=DateTime(timezone=True))
OVERDUE_SINCE = bindparam("overdue_since", type_=DateTime(timezone=True))


def _is_reminded() -> ColumnElement[bool]:
    """Match the tasks of whose date the person has been reminded; see `build_reminder_keys`."""
    microseconds = cast(func.extract("epoch", Task.due_at) * 1_000_000, BigInteger)
    word = case((Task.due_at <= AT, "overdue:"), else_="due:")
    key = func.concat(word, cast(Task.id, String), ":", microseconds)
    query = select(Notification.id).where(
        Notification.user_id == Task.assigned_user_id,
        Notification.kind == NotificationKind.DUE_SOON,
        Notification.key == key,
    )
    return query.correlate(Task).exists()


DUE_TASKS: Query[Task] = Query(
    select(Task)
    .where(
        Task.assigned_user_id.is_not(None),
        Task.status != Status.DONE,
        Task.due_at > OVERDUE_SINCE,
        Task.due_at <= NOTICE_UNTIL,
        ~_is_reminded(),
    )
    .order_by(Task.due_at, Task.id)
    .limit(500),
    itemgetter(0),
)


async def has_due_reminders(source: Source) -> bool:
    """Say whether somebody has to be reminded of a due date."""
    return await DUE_TASKS.first(source, **_build_period()) is not None


async def remind_of_due_dates(session: AsyncSession) -> int:
    """Notify people whose tasks are due within a day or overdue; return the number of tasks.

    Tasks that are being changed are left to the next run.
    """
    period = _build_period()
    statement = DUE_TASKS.statement.join(Board, Board.id == Task.board_id)
    statement = statement.add_columns(Board.organization_id)
    statement = statement.with_for_update(read=True, skip_locked=True, of=Task)
    rows = (await session.execute(statement, period)).all()
    await notifications.notify(
        session,
        [
            NewNotification(
                NotificationKind.DUE_SOON,
                organization_id,
                build_reminder_keys(task.id, task.due_at)[task.due_at <= period["at"]],
                user_ids=[task.assigned_user_id],
                board=task.board_id,
                task=task,
                data={
                    "title": task.title,
                    "due_at": task.due_at.isoformat(),
                    "is_overdue": task.due_at <= period["at"],
                },
            )
            for task, organization_id in rows
        ],
    )
    return len(rows)


def _build_period() -> dict[str, object]:
    at = now()
    return {
        "at": at,
        "notice_until": at + timedelta(hours=24),
        # After that nobody is reminded of a date that has passed.
        "overdue_since": at - timedelta(days=7),
    }
