"""Questions of workers to people, on boards that allow them, and the answers."""

import secrets
from functools import cache
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    FromClause,
    Select,
    String,
    Uuid,
    bindparam,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import AnySelect, Query, Source
from core.errors import Conflict, Forbidden, NotFound
from core.fields import FieldKind, Fields, Label, RequiredText
from core.paging import Page, Paging
from core.text import N_
from models import (
    Agent,
    AgentQuestion,
    Board,
    EventType,
    Member,
    NotificationKind,
    RiskLevel,
    Task,
    User,
    new_id,
)
from services import board_pages, boards, events, messages, notifications, rows, tasks
from services.board_pages import BoardPageQuery
from services.messages import templates
from services.notifications import Audience, NewNotification

MAX_OPEN = 5  # open questions of an agent


class QuestionAnswer(Fields):
    """The answer to a question."""

    example = {"answer": "Use the staging server."}

    answer: Annotated[RequiredText, Label(N_("Answer"), FieldKind.TEXT)]


class QuestionDetail(NamedTuple):
    """A question with its board, its agent, and the title of its task."""

    question: AgentQuestion
    board: Board
    agent: Agent
    task_title: str | None
    can_write: bool  # whether the member may answer


def _select_visible() -> AnySelect:
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(AgentQuestion, Board, Agent, Task.title, visible.c.writes)
        .select_from(AgentQuestion)
        .join(Board, Board.id == AgentQuestion.board_id)
        .join(visible, visible.c.id == Board.id)
        .join(Agent, Agent.id == AgentQuestion.agent_id)
        .outerjoin(Task, Task.id == AgentQuestion.task_id)
        .where(visible.c.reads)
    )


def open_rows_query() -> Select[*tuple[Any, ...]]:
    """Select the open questions on boards that a member may read, as rows of the inbox.

    The columns are those of `approvals.undecided_rows_query`.
    """
    visible = boards.MEMBER_BOARDS.subquery()
    return (
        select(
            AgentQuestion.id,
            AgentQuestion.board_id,
            AgentQuestion.created_at.label("at"),
            (~visible.c.writes).label("waits_for_others"),
            AgentQuestion.agent_id,
            Agent.name.label("agent_name"),
            literal("question").label("request_kind"),
            literal(RiskLevel.LOW, String).label("risk"),
            literal(None, String).label("equality_hash"),
        )
        .join(visible, visible.c.id == AgentQuestion.board_id)
        .join(Agent, Agent.id == AgentQuestion.agent_id)
        .where(visible.c.reads, AgentQuestion.answered_at.is_(None))
    )


def build_listed_query(listed: FromClause) -> Query[QuestionDetail]:
    """Build the query of the questions whose ids are in the column `id` of another one."""
    query = _select_visible().join(listed, listed.c.id == AgentQuestion.id)
    return Query(query, QuestionDetail._make)


QUESTION = Query(
    _select_visible().where(AgentQuestion.id == bindparam("question_id")), QuestionDetail._make
)


@cache
def _build_list_query(*, of_board: bool, is_open: bool | None) -> BoardPageQuery[QuestionDetail]:
    board_ids = boards.READABLE_BOARD_IDS
    if of_board:
        readable = board_ids.subquery("readable")
        is_chosen = readable.c.id == bindparam("of_board_id", type_=Uuid())
        board_ids = select(readable.c.id).where(is_chosen)
    listed = select(AgentQuestion.id, AgentQuestion.created_at)
    if is_open is not None:
        is_unanswered = AgentQuestion.answered_at.is_(None)
        listed = listed.where(is_unanswered if is_open else ~is_unanswered)
    board = board_ids.subquery("counted_board")
    of_board_id = AgentQuestion.board_id == board.c.id
    number = listed.with_only_columns(func.count().label("number")).where(of_board_id).lateral()
    total = select(func.coalesce(func.sum(number.c.number), 0)).join_from(board, number, true())
    return BoardPageQuery(
        board_pages.newest_rows_query(
            board_ids, listed, AgentQuestion.board_id, AgentQuestion.created_at
        ),
        _select_visible().order_by(AgentQuestion.created_at.desc(), AgentQuestion.id.desc()),
        AgentQuestion.id,
        total.scalar_subquery(),
        QuestionDetail._make,
    )


async def list_questions(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    is_open: bool | None = None,
) -> Page[QuestionDetail]:
    """Return the questions on boards that the member may read, or on one of them, newest first."""
    query = _build_list_query(of_board=board_id is not None, is_open=is_open)
    parameters = boards.access_parameters(member)
    return await query.fetch_page(source, paging, of_board_id=board_id, **parameters)


async def get_question(source: Source, member: Member, question_id: UUID) -> QuestionDetail:
    """Return a question on a board that the member may read. Raises NotFound."""
    return await rows.get_one(
        source, QUESTION, _not_found, question_id=question_id, **boards.access_parameters(member)
    )


async def ask_question(
    session: AsyncSession,
    agent: Agent,
    board: Board,
    content: str,
    *,
    task_id: UUID | None = None,
    correlation_id: str | None = None,
) -> AgentQuestion:
    """Ask people as a worker of a locked board.

    The question reaches those who watch the task and may answer, or else everybody who may. Raises
    Forbidden, NotFound for the task, and Conflict for too many open questions.
    """
    if agent.board_id != board.id or not board.workers_may_ask_people:
        reason = (
            "On this board workers do not ask people. An admin can allow it in the board's settings"
            " (“Workers may ask people”, `workers_may_ask_people`). Until then, ask in its chat."
        )
        raise Forbidden("workers_may_not_ask", reason)
    task = (await tasks.get_task_detail(session, board, task_id)).task if task_id else None
    conditions = AgentQuestion.agent_id == agent.id, AgentQuestion.answered_at.is_(None)
    count = await session.scalar(select(func.count()).select_from(AgentQuestion).where(*conditions))
    if (count or 0) >= MAX_OPEN:
        reason = f"{MAX_OPEN} of your questions wait for an answer. Do something else meanwhile."
        raise Conflict("too_many_questions", reason)
    question = AgentQuestion(
        id=new_id(),
        board_id=board.id,
        task_id=task.id if task else None,
        agent_id=agent.id,
        content=content,
        correlation_id=correlation_id or f"ask-user:{secrets.token_hex(6)}",
        created_at=now(),
    )
    session.add(question)
    await session.flush()
    watchers = await tasks.list_watchers(session, board, task.id) if task else ()
    notification = NewNotification(
        NotificationKind.QUESTION,
        board.organization_id,
        _key(question),
        audience=Audience.WRITERS,
        user_ids=[one.id for one in watchers if one.can_write],
        board=board,
        task=task,
        agent=agent,
        actor=agent,
        data={
            "title": task.title if task else board.name,
            "excerpt": notifications.cut_excerpt(question.content),
            "question_id": str(question.id),
        },
    )
    await notifications.notify(session, [notification])
    await events.record_events(session, [_event(EventType.QUESTION_ASKED, agent, board, question)])
    return question


async def answer_question(
    session: AsyncSession, user: User, board: Board, question_id: UUID, answer: str
) -> AgentQuestion:
    """Answer a question on a board that a user has locked; the agent receives the answer.

    Raises NotFound, and Conflict if somebody else has answered.
    """
    query = select(AgentQuestion).where(
        AgentQuestion.id == question_id, AgentQuestion.board_id == board.id
    )
    refreshed = query.execution_options(populate_existing=True)
    question = await session.scalar(refreshed)
    if question is None:
        raise _not_found()
    if question.answered_at is not None:
        raise Conflict("question_answered", N_("Somebody has answered this question already."))
    question.answer, question.answered_at = answer, now()
    question.answered_by_user_id = user.id
    await notifications.resolve(session, [NotificationKind.QUESTION], [_key(question)])
    outgoing = messages.OutgoingMessage(
        to=question.agent_id,
        content=templates.render_answer(
            board,
            user=user.display_name,
            question=question.content,
            answer=answer,
            correlation_id=question.correlation_id,
        ),
        key=_key(question),
        board=board,
        task=question.task_id,
        sender=user,
        deliver=True,
    )
    answered = _event(EventType.QUESTION_ANSWERED, user, board, question)
    await messages.enqueue_messages(session, [outgoing], new_events=[answered])
    return question


def _not_found() -> NotFound:
    return NotFound("question_not_found", N_("There is no such question."))


def _key(question: AgentQuestion) -> str:
    return f"question:{question.id}"


def _event(
    type: EventType, actor: Agent | User, board: Board, question: AgentQuestion
) -> events.NewEvent:
    return events.NewEvent(
        type,
        actor,
        organization_id=board.organization_id,
        board=board,
        task=question.task_id,
        subject=question.agent_id,
        data={
            "question_id": str(question.id),
            "question": notifications.cut_excerpt(question.content),
        },
    )
