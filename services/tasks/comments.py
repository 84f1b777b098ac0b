"""List and create the comments of tasks."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden
from core.paging import Page, Paging
from models import Actor, Agent, Board, Comment, EventType, Status, Task, User, new_id
from services import events, messages
from services.messages import LEAD_MENTION, is_mentioned, mention_names
from services.tasks.change_request import validate_comment
from services.tasks.events import TaskEvent, build_events
from services.tasks.loaders import get_task, task_not_found
from services.tasks.notifications import build_comment_messages

COMMENT_COLUMNS = (Comment, Agent, User, events.deleted_author_name(Comment.id))
"""The columns of a CommentDetail."""


@dataclass(frozen=True)
class CommentDetail:
    """A comment with its author, if the author still exists."""

    comment: Comment
    agent: Agent | None
    user: User | None
    deleted_agent_name: str | None = None  # if the author was an agent

    @property
    def author_name(self) -> str | None:
        """The name of the author; None if unknown."""
        if self.agent is not None:
            return self.agent.name
        return self.user.display_name if self.user is not None else self.deleted_agent_name


async def list_comments(
    session: AsyncSession, board: Board, task_id: UUID, paging: Paging
) -> Page[CommentDetail]:
    """Return the comments of a task, oldest first. Raises NotFound."""
    task_condition = (Task.id == task_id) & (Task.board_id == board.id)
    query = _join_comments(select(*COMMENT_COLUMNS, func.count(Comment.id).over()), task_condition)
    query = query.order_by(Comment.created_at, Comment.id)
    rows = (await session.execute(query.limit(paging.limit).offset(paging.offset))).all()
    comments = [CommentDetail(*row[:-1]) for row in rows if row[0] is not None]
    total = rows[0][-1] if rows else await _count_comments(session, task_condition)
    return Page(comments, total, paging.limit, paging.offset)


def comments_query(task: Task) -> Select[*tuple[Any, ...]]:
    """Select a task's comments with their authors."""
    comments = _join_comments(select(*COMMENT_COLUMNS), Task.id == task.id)
    return comments.where(Comment.id.is_not(None))


def _join_comments(
    query: Select[*tuple[Any, ...]], task: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """Join comments and authors; a task without comments gives one row without a comment."""
    return (
        query.select_from(Task)
        .outerjoin(Comment, Comment.task_id == Task.id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(task)
    )


async def _count_comments(session: AsyncSession, task: ColumnElement[bool]) -> int:
    """Count the comments of a task, for an offset after the last one. Raises NotFound."""
    query = select(func.count(Comment.id)).select_from(Task)
    query = query.outerjoin(Comment, Comment.task_id == Task.id).where(task).group_by(Task.id)
    total = await session.scalar(query)
    if total is None:
        raise task_not_found()
    return total


@dataclass(frozen=True)
class PreparedComment:
    """A comment in the session, with the events and messages that the caller must still store."""

    detail: CommentDetail
    new_events: Sequence[events.NewEvent]
    outgoing: Sequence[messages.OutgoingMessage]


async def create_comment(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, message: object
) -> CommentDetail:
    """Create a comment on a task of a locked board.

    Raises NotFound, Invalid, and Forbidden if a lead may not comment on this task.
    """
    prepared = await prepare_comment(session, actor, board, task_id, message)
    await messages.enqueue_messages(session, prepared.outgoing, new_events=prepared.new_events)
    return prepared.detail


async def prepare_comment(
    session: AsyncSession, actor: Actor, board: Board, task_id: UUID, message: object
) -> PreparedComment:
    """Add a comment to the session without storing its events and messages.

    Raises as `create_comment` does; nothing is added to the session then.
    """
    text = validate_comment(message)
    task = await get_task(session, board, task_id)
    if isinstance(actor, Agent) and actor.is_board_lead:
        check_lead_comment(actor, task, await _load_mentions_of(session, task, actor))
    comment = insert_comment(session, actor, task, text, now())
    event = TaskEvent(EventType.TASK_COMMENT, task, id=comment.id)
    outgoing = await build_comment_messages(session, actor, board, comment)
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    detail = CommentDetail(comment, agent, user)
    return PreparedComment(detail, build_events(actor, board, [event]), outgoing)


def insert_comment(
    session: AsyncSession, actor: Actor, task: Task, message: str, at: datetime
) -> Comment:
    """Add a comment to the session. The caller records its event with the comment's id."""
    comment = Comment(
        id=new_id(),
        board_id=task.board_id,
        task=task,
        message=message,
        agent_id=actor.id if isinstance(actor, Agent) else None,
        user_id=actor.id if isinstance(actor, User) else None,
        created_at=at,
    )
    session.add(comment)
    return comment


def check_lead_comment(lead: Agent, task: Task, earlier: Iterable[str]) -> None:
    """Raise Forbidden unless the task is in review, or the lead created it or is mentioned."""
    may_comment = task.status is Status.REVIEW or task.auto_reason == f"lead_agent:{lead.id}"
    if not may_comment and not any(is_mentioned(comment, lead) for comment in earlier):
        raise Forbidden(
            "lead_comment_forbidden",
            "A lead comments on tasks in review, on those it created, and where it is mentioned.",
        )


async def _load_mentions_of(session: AsyncSession, task: Task, lead: Agent) -> Sequence[str]:
    """Return the comments that may mention the lead, to avoid loading all of them."""
    message = func.lower(Comment.message)
    conditions = [
        message.contains(f"@{name}", autoescape=True)
        for name in {LEAD_MENTION, *mention_names(lead)}
    ]
    query = select(Comment.message).where(Comment.task_id == task.id, or_(*conditions))
    return (await session.scalars(query)).all()


async def load_comments(
    session: AsyncSession, board: Board, comment_ids: Collection[UUID]
) -> dict[UUID, CommentDetail]:
    """Load the comments with these ids that are on the board, with their authors."""
    query = (
        select(*COMMENT_COLUMNS)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(Comment.board_id == board.id, Comment.id.in_(comment_ids))
    )
    rows = await session.execute(query) if comment_ids else ()
    return {row[0].id: CommentDetail(*row) for row in rows}
