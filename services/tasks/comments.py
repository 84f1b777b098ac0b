"""List and create the comments of tasks."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, and_, bindparam, case, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import AnySelect, Query, Source, choose_columns
from core.errors import Forbidden
from core.fields import FieldKind, Fields, Label, RequiredText
from core.paging import PAGE_LIMIT, PAGE_OFFSET, Page, PageRows, Paging, build_page
from core.text import N_
from models import (
    AGENT_NAME_COLUMNS,
    USER_NAME_COLUMNS,
    Actor,
    Agent,
    Board,
    Comment,
    EventType,
    Status,
    Task,
    User,
)
from services import events, messages
from services.messages import LEAD_MENTION, is_mentioned, mention_names
from services.tasks.notifications import build_comment_messages
from services.tasks.queries import (
    BOARD_ID,
    COMMENTS_COUNT,
    TASK_ID,
    get_task,
    task_not_found,
)
from services.tasks.storage import TaskEvent, build_events, insert_comment
from services.tasks.user_notifications import TaskNotifications

HAS_NO_AUTHOR = Comment.agent_id.is_(None) & Comment.user_id.is_(None)
COMMENT_COLUMNS = (
    Comment,
    Agent,
    User,
    case((HAS_NO_AUTHOR, events.select_deleted_author_name(Comment.id))),
)
"""The columns of a CommentDetail."""
AUTHOR_COLUMNS = {
    Agent: (*AGENT_NAME_COLUMNS, "board_id", "is_board_lead"),
    User: USER_NAME_COLUMNS,
}
"""The columns of its author on read connections."""


class TaskCommentCreate(Fields):
    """A new comment; `@name` mentions an agent of the board, `@lead` its lead."""

    example = {"message": "Half of it is written. @lead, who decides about the title?"}

    message: Annotated[RequiredText, Label(N_("Comment"), FieldKind.TEXT)]


@dataclass(frozen=True)
class CommentDetail:
    """A comment with its author, if the author still exists."""

    comment: Comment
    agent: Agent | None
    user: User | None
    deleted_agent_name: str | None = None  # if the author was an agent; or that of a webhook

    @property
    def author_name(self) -> str | None:
        """The name of the author; None if unknown."""
        if self.agent is not None:
            return self.agent.name
        return self.user.display_name if self.user is not None else self.deleted_agent_name


async def list_comments(
    source: Source, board: Board, task_id: UUID, paging: Paging
) -> Page[CommentDetail]:
    """Return the comments of a task, oldest first. Raises NotFound."""
    parameters = {"board_id": board.id, "task_id": task_id}
    rows, cursor = await COMMENTS_PAGE.fetch(source, paging, **parameters)
    comments = [CommentDetail(*row[:-1]) for row in rows if row[0] is not None]
    last = rows[0] if rows else await COMMENTS_TOTAL.first(source, **parameters)
    if last is None:
        raise task_not_found()
    return build_page(comments, last[-1], paging, cursor)


def join_comments(query: AnySelect, *conditions: ColumnElement[bool]) -> AnySelect:
    """Join the comments of a task with their authors; without comments there is one empty row."""
    query = (
        query.select_from(Task)
        .outerjoin(Comment, and_(Comment.task_id == Task.id, *conditions))
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(IS_TASK)
    )
    return choose_columns(query, AUTHOR_COLUMNS)


IS_TASK = (Task.id == TASK_ID) & (Task.board_id == BOARD_ID)
COMMENTS_PAGE: PageRows[tuple[Any, ...]] = PageRows(
    lambda *conditions: (
        join_comments(select(*COMMENT_COLUMNS, COMMENTS_COUNT), *conditions)
        .order_by(Comment.created_at, Comment.id)
        .limit(PAGE_LIMIT)
        .offset(PAGE_OFFSET)
    )
)
COMMENTS_TOTAL: Query[tuple[int]] = Query(select(COMMENTS_COUNT).select_from(Task).where(IS_TASK))


@dataclass(frozen=True)
class PreparedComment:
    """An inserted comment, with the events and messages that the caller must still store."""

    detail: CommentDetail
    new_events: Sequence[events.NewEvent]
    outgoing: Sequence[messages.OutgoingMessage]


async def create_comment(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task_id: UUID,
    message: str,
    *,
    webhook: str = "",
) -> CommentDetail:
    """Create a comment on a task of a locked board.

    Without an actor, `webhook` is the name of the one that writes it. Raises
    NotFound, Invalid, and Forbidden if a lead may not comment on this task.
    """
    prepared = await prepare_comment(session, actor, board, task_id, message, webhook=webhook)
    await messages.enqueue_messages(session, prepared.outgoing, new_events=prepared.new_events)
    return prepared.detail


async def prepare_comment(
    session: AsyncSession,
    actor: Actor | None,
    board: Board,
    task_id: UUID,
    message: str,
    *,
    webhook: str = "",
) -> PreparedComment:
    """Insert a comment without storing its events and messages.

    Raises as `create_comment` does; nothing is inserted then.
    """
    text = TaskCommentCreate.parse({"message": message}).message
    task = await get_task(session, board, task_id)
    if isinstance(actor, Agent) and actor.is_board_lead:
        names = [f"@{name}" for name in {LEAD_MENTION, *mention_names(actor)}]
        rows = await MENTIONS.fetch(session, task_id=task.id, names=names)
        check_lead_comment(actor, task, [message for (message,) in rows])
    comment = await insert_comment(session, actor, task, text, now())
    data = {"webhook": webhook} if webhook else {}
    event = TaskEvent(EventType.TASK_COMMENT, task, data, id=comment.id)
    outgoing = await build_comment_messages(session, actor, board, task, comment, webhook=webhook)
    notifications = TaskNotifications(actor=actor, board=board, task=task, comment=comment)
    await notifications.send(session)
    agent, user = (actor, None) if isinstance(actor, Agent) else (None, actor)
    detail = CommentDetail(comment, agent, user)
    return PreparedComment(detail, build_events(actor, board, [event]), outgoing)


def check_lead_comment(lead: Agent, task: Task, earlier: Iterable[str]) -> None:
    """Raise Forbidden unless the task is in review, or the lead created it or is mentioned."""
    may_comment = task.status is Status.REVIEW or task.auto_reason == f"lead_agent:{lead.id}"
    if not may_comment and not any(is_mentioned(comment, lead) for comment in earlier):
        raise Forbidden(
            "lead_comment_forbidden",
            "A lead can comment only on tasks in review, on those it created, and where it is"
            " mentioned.",
        )


NAMES = func.unnest(bindparam("names", type_=ARRAY(String))).column_valued("name")  # in lower case
MENTIONS: Query[tuple[str]] = Query(
    select(Comment.message).where(
        Comment.task_id == TASK_ID,
        select(NAMES)
        .where(func.strpos(func.lower(Comment.message), NAMES) > 0)
        .correlate(Comment)
        .exists(),
    )
)
"""Selects the comments of a task that may mention an agent, to avoid loading all of them."""


async def load_comments(
    source: Source, board: Board, comment_ids: Collection[UUID]
) -> dict[UUID, CommentDetail]:
    """Load the comments with these ids that are on the board, with their authors."""
    if not comment_ids:
        return {}
    found = await COMMENTS_BY_ID.fetch(source, board_id=board.id, comment_ids=list(comment_ids))
    return {detail.comment.id: detail for detail in found}


COMMENTS_BY_ID = Query(
    choose_columns(
        select(*COMMENT_COLUMNS)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
        .where(
            Comment.board_id == BOARD_ID,
            Comment.id == func.any(bindparam("comment_ids", type_=ARRAY(Uuid()))),
        ),
        AUTHOR_COLUMNS,
    ),
    lambda row: CommentDetail(*row),
)
