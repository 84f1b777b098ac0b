"""Ask people as a worker, and answer a question."""

import secrets
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, NotFound
from core.text import N_
from core.validation import MAX_TEXT_LENGTH, nonblank_text
from models import (
    Agent,
    AgentQuestion,
    Board,
    EventType,
    NotificationKind,
    Task,
    User,
    new_id,
)
from services import events, messages, notifications, tasks
from services.messages import templates
from services.notifications import Audience, NewNotification

MAX_OPEN = 5  # open questions of an agent

validate_text = nonblank_text(MAX_TEXT_LENGTH)


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
        reason = "On this board workers do not ask people. Ask the lead in the board's chat."
        raise Forbidden("workers_may_not_ask", reason)
    task = (await tasks.get_task_detail(session, board, task_id)).task if task_id else None
    await _check_limit(session, agent)
    question = AgentQuestion(
        id=new_id(),
        board_id=board.id,
        task_id=task.id if task else None,
        agent_id=agent.id,
        content=str(validate_text(content, "content")),
        correlation_id=correlation_id or f"ask-user:{secrets.token_hex(6)}",
        created_at=now(),
    )
    session.add(question)
    await session.flush()
    recipients = await _list_recipients(session, board, task)
    notification = _build_notification(agent, board, question, task, recipients)
    await notifications.notify(session, [notification])
    await events.record_events(session, [_event(EventType.QUESTION_ASKED, agent, board, question)])
    return question


async def answer_question(
    session: AsyncSession, user: User, board: Board, question_id: UUID, answer: object
) -> AgentQuestion:
    """Answer a question on a board that a user has locked; the agent receives the answer.

    Raises NotFound, Invalid, and Conflict if somebody else has answered.
    """
    query = select(AgentQuestion).where(
        AgentQuestion.id == question_id, AgentQuestion.board_id == board.id
    )
    refreshed = query.execution_options(populate_existing=True)
    question = await session.scalar(refreshed)
    if question is None:
        raise NotFound("question_not_found", N_("There is no such question."))
    text = str(validate_text(answer, "answer"))
    if question.answered_at is not None:
        raise Conflict("question_answered", N_("Somebody has answered this question already."))
    question.answer, question.answered_at = text, now()
    question.answered_by_user_id = user.id
    await notifications.resolve(session, [NotificationKind.QUESTION], [_key(question)])
    outgoing = messages.OutgoingMessage(
        to=question.agent_id,
        content=templates.render_answer(
            board,
            user=user.display_name,
            question=question.content,
            answer=text,
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


async def _check_limit(session: AsyncSession, agent: Agent) -> None:
    is_open = AgentQuestion.agent_id == agent.id, AgentQuestion.answered_at.is_(None)
    count = await session.scalar(select(func.count()).select_from(AgentQuestion).where(*is_open))
    if (count or 0) >= MAX_OPEN:
        reason = f"{MAX_OPEN} of your questions wait for an answer. Do something else meanwhile."
        raise Conflict("too_many_questions", reason)


async def _list_recipients(
    session: AsyncSession, board: Board, task: Task | None
) -> Sequence[UUID]:
    """Return who watches the task and may answer."""
    watchers = await tasks.list_watchers(session, board, task.id) if task else ()
    return [one.id for one in watchers if one.can_write]


def _build_notification(
    agent: Agent,
    board: Board,
    question: AgentQuestion,
    task: Task | None,
    user_ids: Sequence[UUID],
) -> NewNotification:
    return NewNotification(
        NotificationKind.QUESTION,
        board.organization_id,
        _key(question),
        audience=Audience.WRITERS,
        user_ids=user_ids,
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
