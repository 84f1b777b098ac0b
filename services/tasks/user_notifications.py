"""Notify users about tasks: who is mentioned, gets a task, or watches one that changes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import CombinedQuery, Query
from models import Actor, Agent, Board, Comment, NotificationKind, Status, Task, User
from services import boards, notifications
from services.messages import MentionedPeople, list_mentionable_people
from services.notifications import NewNotification, cut_excerpt
from services.tasks.change_request import TaskChange
from services.tasks.watchers import add_watchers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
class TaskNews:
    """What users may have to know about a task after a command."""

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

    def build(
        self, kind: NotificationKind, key: str, user_ids: Sequence[UUID], **more: object
    ) -> NewNotification:
        """Build a notification about the task."""
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


async def notify_about_creation(
    session: AsyncSession, actor: Actor | None, board: Board, task: Task
) -> None:
    """Notify who gets a new task and whom it mentions; its author watches it."""
    await _notify(
        session,
        TaskNews(
            actor=actor,
            board=board,
            task=task,
            text=task.description,
            new_user_id=task.assigned_user_id,
            is_new=True,
        ),
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
    await _notify(
        session,
        TaskNews(
            actor=change.actor,
            board=change.board,
            task=task,
            comment=comment,
            text=task.description if task.description != before.description else None,
            old_text=before.description,
            new_user_id=task.assigned_user_id if is_reassigned else None,
            new_status=task.status if is_moved else None,
            watcher_ids=change.watcher_ids,
        ),
    )


async def notify_about_comment(
    session: AsyncSession, actor: Actor | None, board: Board, task: Task, comment: Comment
) -> None:
    """Notify who is mentioned in a comment, and the watchers of its task."""
    await _notify(session, TaskNews(actor=actor, board=board, task=task, comment=comment))


def build_reminder_keys(task_id: UUID, due_at: datetime) -> list[str]:
    """Return the keys of the reminders of a due date: before it, and when it has passed."""
    microseconds = (due_at - EPOCH) // timedelta(microseconds=1)
    return [f"{when}:{task_id}:{microseconds}" for when in ("due", "overdue")]


async def _notify(session: AsyncSession, news: TaskNews) -> None:
    in_comment, in_text = await _find_mentions(session, news)
    joined = {*in_comment, *in_text}
    if isinstance(news.actor, User) and (news.comment is not None or news.is_new):
        joined.add(news.actor.id)
    if news.new_user_id is not None:
        joined.add(news.new_user_id)
    if not (joined or news.is_for_watchers):
        return
    watcher_ids = news.watcher_ids
    if watcher_ids is None or not joined.issubset(watcher_ids):
        watcher_ids = await add_watchers(session, news.task, joined)
    new = _build_notifications(news, in_comment, in_text, watcher_ids)
    await notifications.notify(session, [one for one in new if one.user_ids])


def _build_notifications(
    news: TaskNews,
    in_comment: Sequence[UUID],
    in_text: Sequence[UUID],
    watcher_ids: Collection[UUID],
) -> Iterator[NewNotification]:
    """Build the notifications; nobody is told of the same thing twice."""
    kind, task, comment = NotificationKind, news.task, news.comment
    about_comment: dict[str, object] = {}
    if comment is not None:
        about_comment = {"comment_id": str(comment.id), "excerpt": cut_excerpt(comment.message)}
        yield news.build(kind.MENTION, f"comment:{comment.id}", in_comment, **about_comment)
    informed = {*in_comment, news.new_user_id}
    if news.new_user_id is not None:
        key = f"task:{task.id}:{task.version}"
        yield news.build(kind.ASSIGNED, key, [news.new_user_id])
    key = f"description:{task.id}:{task.version}"
    yield news.build(
        kind.MENTION,
        key,
        [id for id in in_text if id not in informed],
        excerpt=cut_excerpt(news.text or ""),
    )
    if news.is_for_watchers:
        status = {"status": news.new_status.value} if news.new_status else {}
        others = [id for id in watcher_ids if id not in {*informed, *in_text}]
        yield news.build(kind.TASK_CHANGED, f"task:{task.id}", others, **about_comment, **status)


async def _find_mentions(
    session: AsyncSession, news: TaskNews
) -> tuple[Sequence[UUID], Sequence[UUID]]:
    """Return who is mentioned in the comment, and who in the description but not before."""
    comment = news.comment.message if news.comment is not None else ""
    if "@" not in comment and "@" not in (news.text or ""):
        return (), ()
    people = await load_mentionable_people(session, news.board)
    earlier = set(people.find(news.old_text))
    return people.find(comment), [id for id in people.find(news.text) if id not in earlier]


async def load_mentionable_people(session: AsyncSession, board: Board) -> MentionedPeople:
    """Load who can be mentioned on a board."""
    people, agents = await MENTIONABLE_PEOPLE.fetch(
        session, board_id=board.id, organization_id=board.organization_id
    )
    return list_mentionable_people(people, agents)


MENTIONABLE_PEOPLE = CombinedQuery(
    boards.BOARD_PEOPLE,
    Query(select(Agent).where(Agent.board_id == bindparam("board_id")), itemgetter(0)),
)
