"""What people and agents say about tasks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden
from kit.paging import Page, Paging
from models import Actor, Agent, Board, Comment, EventType, Status, Task, User, new_id
from services import events, messages
from services.mentions import LEAD, mentions, names
from services.tasks.looking import find, no_such_task
from services.tasks.news import News, happened
from services.tasks.telling import about_comment
from services.tasks.values import checked_comment

AUTHORED = (Comment, Agent, User, events.author_of(Comment.id))
"""The columns of a CommentDetail."""


@dataclass(frozen=True)
class CommentDetail:
    """A comment, and who wrote it, if they are still there."""

    comment: Comment
    agent: Agent | None
    user: User | None
    gone: str | None = None  # how the agent was called that wrote it, and is gone

    @property
    def author_name(self) -> str | None:
        """How the author is called."""
        if self.agent is not None:
            return self.agent.name
        return self.user.called if self.user is not None else self.gone


async def comments(
    session: AsyncSession, board: Board, task_id: UUID, paging: Paging
) -> Page[CommentDetail]:
    """Return what was said about a task, oldest first. Raises NotFound."""
    here = (Task.id == task_id) & (Task.board_id == board.id)
    query = _with_authors(select(*AUTHORED, func.count(Comment.id).over()), here)
    query = query.order_by(Comment.created_at, Comment.id)
    rows = (await session.execute(query.limit(paging.limit).offset(paging.offset))).all()
    said = [CommentDetail(*row[:-1]) for row in rows if row[0] is not None]
    total = rows[0][-1] if rows else await _count(session, here)
    return Page(said, total, paging.limit, paging.offset)


def with_authors(task: Task) -> Select[*tuple[Any, ...]]:
    """Select a task's comments, each with the agent or the person who wrote it."""
    said = _with_authors(select(*AUTHORED), Task.id == task.id)
    return said.where(Comment.id.is_not(None))


def _with_authors(
    query: Select[*tuple[Any, ...]], task: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """Select of a task's comments; of a task without any there is one row without a comment."""
    return (
        query.select_from(Task)
        .outerjoin(Comment, Comment.task_id == Task.id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(task)
    )


async def _count(session: AsyncSession, task: ColumnElement[bool]) -> int:
    """Count the comments of a task, for a page behind the last. Raises NotFound."""
    query = select(func.count(Comment.id)).select_from(Task)
    query = query.outerjoin(Comment, Comment.task_id == Task.id).where(task).group_by(Task.id)
    total = await session.scalar(query)
    if total is None:
        raise no_such_task()
    return total


@dataclass(frozen=True)
class Remark:
    """A comment that is written, and what is still to be recorded and told of it."""

    detail: CommentDetail
    happened: Sequence[events.Happened]
    drafts: Sequence[messages.Draft]


async def comment(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, message: object
) -> CommentDetail:
    """Say something about a task on a board that is held.

    Raises NotFound, Invalid, and Forbidden to a lead that nobody asked.
    """
    said = await remark(session, actor, board, task_id, message)
    await messages.queue(session, said.drafts, happened=said.happened)
    return said.detail


async def remark(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, message: object
) -> Remark:
    """Do the same, where more is to be recorded with it. What is refused leaves nothing behind."""
    text = checked_comment(message)
    task = await find(session, board, task_id)
    if isinstance(actor, Agent) and actor.is_board_lead:
        check_lead_comment(actor, task, await _naming(session, task, actor))
    written = say(session, actor, task, text, now())
    news = News(EventType.TASK_COMMENT, task, id=written.id)
    drafts = await about_comment(session, actor, board, written)
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    detail = CommentDetail(written, agent, user)
    return Remark(detail, happened(actor, board, [news]), drafts)


def say(session: AsyncSession, actor: Actor, task: Task, message: str, at: datetime) -> Comment:
    """Put a comment under a task. Its event, which the caller records, has the same id."""
    written = Comment(
        id=new_id(),
        board_id=task.board_id,
        task=task,
        message=message,
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
    )
    session.add(written)
    return written


def check_lead_comment(lead: Agent, task: Task, earlier: Iterable[str]) -> None:
    """Raise Forbidden unless this lead is asked: by review, by a mention, or as the creator."""
    asked = task.status is Status.REVIEW or task.auto_reason == f"lead_agent:{lead.id}"
    if not asked and not any(mentions(comment, lead) for comment in earlier):
        raise Forbidden(
            "lead_comment_forbidden",
            "A lead comments on tasks in review, on those it created, and where it is mentioned.",
        )


async def _naming(session: AsyncSession, task: Task, lead: Agent) -> Sequence[str]:
    """Return the comments that may mention a lead: far fewer than all, as a rule."""
    message = func.lower(Comment.message)
    named = [message.contains(f"@{name}", autoescape=True) for name in {LEAD, *names(lead)}]
    query = select(Comment.message).where(Comment.task_id == task.id, or_(*named))
    return (await session.scalars(query)).all()
