"""Notify users about tasks: who is mentioned, gets a task, or watches one that changes.

People are also reminded of the due dates of their tasks: once before, and once after each date.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    String,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import CombinedQuery, Query, Source
from core.db.transactions import Write
from models import (
    Actor,
    Agent,
    Board,
    Comment,
    Notification,
    NotificationKind,
    Status,
    Task,
    TaskWatcher,
    User,
)
from services import boards, notifications
from services.boards import BoardPerson
from services.messages import MentionedPeople, list_mentionable_people
from services.notifications import NewNotification, cut_excerpt
from services.tasks.change_request import TaskChange
from services.tasks.queries import get_task


class TaskState(NamedTuple):
    """The values of a task before a change that matter to its agent and to users."""

    status: Status
    assignee_id: UUID | None  # an agent or a person
    user_id: UUID | None
    description: str | None
    due_at: datetime | None

    @classmethod
    def of(cls, task: Task) -> "TaskState":
        """Return the present values of a task."""
        assignee_id = task.assigned_agent_id or task.assigned_user_id
        description, user_id = task.description, task.assigned_user_id
        return cls(task.status, assignee_id, user_id, description, task.due_at)


@dataclass(frozen=True, kw_only=True)
class TaskNotifications:
    """The notifications of users about what a command did to a task."""

    actor: Actor | None
    board: Board
    task: Task
    comment: Comment | None = None
    text: str | None = None  # the description, if it has changed
    old_text: str | None = None
    new_user_id: UUID | None = None  # of a person who gets the task
    new_status: Status | None = None  # if it has moved
    is_new: bool = False
    watcher_ids: Collection[UUID] | None = None  # before the command, if they are loaded

    @property
    def is_for_watchers(self) -> bool:
        """Whether watchers are told about it."""
        return self.comment is not None or self.new_status is not None

    async def send(self, session: AsyncSession) -> None:
        """Notify who is mentioned, gets the task or watches it; who takes part watches it."""
        in_comment, in_text = await self._find_mentions(session)
        joined = {*in_comment, *in_text}
        if isinstance(self.actor, User) and (self.comment is not None or self.is_new):
            joined.add(self.actor.id)
        if self.new_user_id is not None:
            joined.add(self.new_user_id)
        if not (joined or self.is_for_watchers):
            return
        watcher_ids = self.watcher_ids
        if watcher_ids is None or not joined.issubset(watcher_ids):
            watcher_ids = await add_watchers(session, self.task, joined)
        new = self._build_all(in_comment, in_text, watcher_ids)
        await notifications.notify(session, [one for one in new if one.user_ids])

    async def _find_mentions(self, session: AsyncSession) -> tuple[Sequence[UUID], Sequence[UUID]]:
        """Return who is mentioned in the comment, and who in the description but not before."""
        comment = self.comment.message if self.comment is not None else ""
        if "@" not in comment and "@" not in (self.text or ""):
            return (), ()
        people = await load_mentionable_people(session, self.board)
        earlier = set(people.find(self.old_text))
        return people.find(comment), [id for id in people.find(self.text) if id not in earlier]

    def _build_all(
        self, in_comment: Sequence[UUID], in_text: Sequence[UUID], watcher_ids: Collection[UUID]
    ) -> Iterator[NewNotification]:
        """Build the notifications; nobody is told of the same thing twice."""
        kind, task, comment = NotificationKind, self.task, self.comment
        about_comment: dict[str, object] = {}
        if comment is not None:
            about_comment = {"comment_id": str(comment.id), "excerpt": cut_excerpt(comment.message)}
            yield self._build(kind.MENTION, f"comment:{comment.id}", in_comment, **about_comment)
        informed = {*in_comment, self.new_user_id}
        if self.new_user_id is not None:
            key = f"task:{task.id}:{task.version}"
            yield self._build(kind.ASSIGNED, key, [self.new_user_id])
        key = f"description:{task.id}:{task.version}"
        mentioned = [id for id in in_text if id not in informed]
        yield self._build(kind.MENTION, key, mentioned, excerpt=cut_excerpt(self.text or ""))
        if self.is_for_watchers:
            status = {"status": self.new_status.value} if self.new_status else {}
            others = [id for id in watcher_ids if id not in {*informed, *in_text}]
            key = f"task:{task.id}"
            yield self._build(kind.TASK_CHANGED, key, others, **about_comment, **status)

    def _build(
        self, kind: NotificationKind, key: str, user_ids: Sequence[UUID], **more: object
    ) -> NewNotification:
        return NewNotification(
            kind,
            self.board.organization_id,
            key,
            user_ids=user_ids,
            board=self.board,
            task=self.task,
            actor=self.actor,
            data={"title": self.task.title} | more,
            merges=kind is NotificationKind.TASK_CHANGED,
        )


async def notify_about_change(
    session: AsyncSession, change: TaskChange, before: TaskState, comment: Comment | None
) -> None:
    """Notify users about an applied change of a task."""
    task = change.task
    is_reassigned = task.assigned_user_id != before.user_id
    is_moved = task.status is not before.status
    if before.user_id is not None and before.due_at is not None:
        is_done = task.status is Status.DONE
        if is_reassigned or is_done or task.due_at != before.due_at:
            keys = build_reminder_keys(task.id, before.due_at)
            await notifications.resolve(session, [NotificationKind.DUE_SOON], keys)
    is_due_again = is_reassigned or task.due_at != before.due_at or before.status is Status.DONE
    if is_due_again and task.assigned_user_id and task.due_at and task.status is not Status.DONE:
        await notifications.reopen(  # if this undoes another change
            session,
            [NotificationKind.DUE_SOON],
            build_reminder_keys(task.id, task.due_at),
            user_id=task.assigned_user_id,
            is_news=False,
        )
    await TaskNotifications(
        actor=change.actor,
        board=change.board,
        task=task,
        comment=comment,
        text=task.description if task.description != before.description else None,
        old_text=before.description,
        new_user_id=task.assigned_user_id if is_reassigned else None,
        new_status=task.status if is_moved else None,
        watcher_ids=change.watcher_ids,
    ).send(session)


async def load_mentionable_people(session: AsyncSession, board: Board) -> MentionedPeople:
    """Load who can be mentioned on a board."""
    people, agents = await MENTIONABLE_PEOPLE.fetch(
        session, board_id=board.id, organization_id=board.organization_id
    )
    return list_mentionable_people(people, agents)


BOARD_AGENTS: Query[Agent] = Query(
    select(Agent).where(Agent.board_id == bindparam("board_id")), itemgetter(0)
)
MENTIONABLE_PEOPLE = CombinedQuery(boards.BOARD_PEOPLE, BOARD_AGENTS)


# Watchers

_ADD_WATCHERS = Write(
    text("""
    with added as (
        insert into task_watchers (id, task_id, user_id, created_at)
        select gen_random_uuid(), tasks.id, user_id, :at
        from tasks, unnest(:user_ids) as user_id
        where tasks.id = :task_id for key share of tasks
        on conflict (task_id, user_id) do nothing
        returning user_id
    )
    select user_id from task_watchers where task_id = :task_id
    union select user_id from added
""").bindparams(bindparam("task_id", type_=Uuid()), bindparam("user_ids", type_=ARRAY(Uuid())))
)
_REMOVE_WATCHER = Write(
    text("delete from task_watchers where task_id = :task_id and user_id = :user_id").bindparams(
        bindparam("task_id", type_=Uuid()), bindparam("user_id", type_=Uuid())
    )
)


async def add_watchers(
    session: AsyncSession, task: Task, user_ids: Collection[UUID]
) -> Sequence[UUID]:
    """Let users watch a task of a locked board, and return the ids of all who do."""
    rows = await _ADD_WATCHERS.execute(
        session, task_id=task.id, user_ids=sorted(user_ids), at=now()
    )
    return [row[0] for row in rows]


async def watch_task(session: AsyncSession, user: User, board: Board, task_id: UUID) -> None:
    """Let a user who can read the board watch a task. Raises NotFound."""
    await add_watchers(session, await get_task(session, board, task_id), [user.id])


async def unwatch_task(session: AsyncSession, user: User, board: Board, task_id: UUID) -> None:
    """Stop watching a task, until the user comments on it, is mentioned in it, or gets it.

    Raises NotFound.
    """
    task = await get_task(session, board, task_id)
    await _REMOVE_WATCHER.execute(session, task_id=task.id, user_id=user.id)


WATCHERS: Query[BoardPerson] = boards.build_readers_query(
    boards.ON_BOARD,
    User.id.in_(
        select(TaskWatcher.user_id)
        .join(Task, Task.id == TaskWatcher.task_id)
        .where(Task.id == bindparam("task_id"), Task.board_id == bindparam("board_id"))
    ),
)
"""Those who watch a task and can still read its board, by name."""


async def list_watchers(source: Source, board: Board, task_id: UUID) -> Sequence[BoardPerson]:
    """Return those who watch a task and can still read its board, by name."""
    ids = {"board_id": board.id, "organization_id": board.organization_id, "task_id": task_id}
    return await WATCHERS.fetch(source, **ids)


# Reminders of due dates


def build_reminder_keys(task_id: UUID, due_at: datetime) -> list[str]:
    """Return the keys of the reminders of a due date: before it, and when it has passed."""
    microseconds = (due_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return [f"{when}:{task_id}:{microseconds}" for when in ("due", "overdue")]


AT = bindparam("at", type_=DateTime(timezone=True))


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
        Task.due_at > bindparam("overdue_since", type_=DateTime(timezone=True)),
        Task.due_at <= bindparam("notice_until", type_=DateTime(timezone=True)),
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
