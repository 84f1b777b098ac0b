"""Commands of the onboarding conversation between a user and the gateway's main agent."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import NotFound
from core.text import N_
from models import (
    Actor,
    Agent,
    Board,
    EventType,
    MessageState,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    User,
    new_id,
)
from services import boards, events, messages
from services.onboarding.prompts import (
    BRIEFING_MARKER,
    render_answer,
    render_briefing,
    render_reminder,
)
from services.onboarding.queries import (
    Conversation,
    find_conversation,
    find_last_message,
    get_conversation,
    interviewer_id_query,
)
from services.onboarding.rules import build_session, ensure_open, ensure_unanswered
from services.onboarding.transcript import format_correction


async def start_onboarding(
    session: AsyncSession, user: User, board: Board, *, base_url: str
) -> Conversation:
    """Start the onboarding of a locked board, or continue the open one.

    If the agent has to respond, it receives the whole conversation again, once per last message.
    Without an agent the user continues alone, and can confirm at any time.
    """
    conversation = await find_conversation(session, board)
    if conversation is None or not conversation.is_open:
        return await _start_session(session, user, board, base_url, previous=conversation)
    if (
        conversation.waiting_for == "agent"
        and conversation.session.status is OnboardingStatus.ACTIVE
    ):
        last = conversation.messages[-1]
        conversation.session.updated_at = now()
        key = f"onboarding:{last.id}:again"
        await _send_transcript(session, user, board, conversation, base_url, key=key)
    return conversation


async def remind_agent(
    session: AsyncSession, user: User, board: Board, *, base_url: str
) -> Conversation:
    """Send the whole conversation to the agent of a locked board again, if it has to respond.

    If the last message is still queued, it is only retried immediately. Raises NotFound, and
    Conflict if the conversation is closed.
    """
    conversation = await get_conversation(session, board)
    ensure_open(conversation)
    if conversation.waiting_for != "agent":
        return conversation
    conversation.session.updated_at = now()
    last = await find_last_message(session, board, conversation)
    if last is not None and last.state is MessageState.QUEUED:
        last.retry_now()
        await events.record_events(session, [_updated_event(user, board)])
        return conversation
    after = last.id if last else conversation.messages[-1].id
    key = f"onboarding:after:{after}"
    await _send_transcript(session, user, board, conversation, base_url, key=key)
    return conversation


async def restart_onboarding(
    session: AsyncSession, user: User, board: Board, *, base_url: str
) -> Conversation:
    """Cancel the open conversation of a locked board, if there is one, and start another."""
    conversation = await find_conversation(session, board)
    if conversation is not None and conversation.is_open:
        conversation.session.status = OnboardingStatus.CANCELLED
        conversation.session.updated_at = now()
        await session.flush()
    return await _start_session(session, user, board, base_url, previous=conversation)


async def cancel_onboarding(session: AsyncSession, user: User, board: Board) -> None:
    """Cancel the open conversation of a locked board. Raises NotFound, and Conflict."""
    conversation = await get_conversation(session, board)
    ensure_open(conversation)
    conversation.session.status = OnboardingStatus.CANCELLED
    conversation.session.updated_at = now()
    await session.flush()
    await events.record_events(session, [_updated_event(user, board)])


async def answer_question(
    session: AsyncSession,
    user: User,
    board: Board,
    text: str,
    *,
    other: str | None = None,
    question_id: UUID | None = None,
) -> Conversation:
    """Answer a question on a locked board. `question_id` is the question that the user has read.

    Raises NotFound, and Conflict if the conversation is closed or the question is no longer open.
    """
    conversation = await get_conversation(session, board)
    ensure_open(conversation)
    ensure_unanswered(conversation, question_id)
    return await _add_reply(session, user, board, conversation, _join_answer(text, other))


async def correct_answer(
    session: AsyncSession,
    user: User,
    board: Board,
    text: str,
    *,
    question_id: UUID,
    other: str | None = None,
) -> Conversation:
    """Correct an earlier answer, on a locked board. The earlier answer remains in the history.

    An open question remains open. Raises NotFound, and Conflict if the conversation is closed.
    """
    conversation = await get_conversation(session, board)
    ensure_open(conversation)
    exchange = conversation.transcript.find_answered(question_id)
    if exchange is None:
        raise NotFound("onboarding_answer_not_found", N_("There is no such answer to change."))
    answer = _join_answer(text, other)
    if answer == exchange.answer:
        return conversation
    return await _add_reply(
        session, user, board, conversation, format_correction(exchange.question, answer)
    )


async def ask_question(
    session: AsyncSession, agent: Agent, board: Board, question: Mapping[str, Any]
) -> Conversation:
    """Add a question of the agent, on a locked board. Raises like `answer_question`."""
    return await _add_agent_message(session, agent, board, question, draft=None)


async def submit_draft(
    session: AsyncSession, agent: Agent, board: Board, draft: Mapping[str, Any]
) -> Conversation:
    """Save the draft that the user can confirm, on a locked board. The agent may send it again.

    Raises like `answer_question`, and Invalid for an incomplete goal.
    """
    boards.require_complete_goal(draft)
    return await _add_agent_message(session, agent, board, draft, draft=draft)


async def _send_transcript(
    session: AsyncSession,
    user: User,
    board: Board,
    conversation: Conversation,
    base_url: str,
    *,
    key: str,
) -> None:
    text = render_reminder(board, conversation.messages, base_url)
    await _send_to_agent(session, user, board, conversation.interviewer_id, text, key=key)


def _join_answer(text: str, other: str | None) -> str:
    return f"{text}: {other.strip()}" if other and other.strip() else text


async def _add_reply(
    session: AsyncSession, user: User, board: Board, conversation: Conversation, content: str
) -> Conversation:
    message = _add_message(session, conversation.session, OnboardingRole.USER, content)
    conversation.session.status = OnboardingStatus.ACTIVE
    key = f"onboarding:{message.id}"
    await _send_to_agent(
        session, user, board, conversation.interviewer_id, render_answer(board, content), key=key
    )
    return Conversation(
        conversation.session, [*conversation.messages, message], conversation.interviewer_id
    )


async def _add_agent_message(
    session: AsyncSession,
    agent: Agent,
    board: Board,
    content: Mapping[str, Any],
    *,
    draft: Mapping[str, Any] | None,
) -> Conversation:
    conversation = await get_conversation(session, board)
    ensure_open(conversation)
    text = pydantic_core.to_json(content).decode()
    message = _add_message(session, conversation.session, OnboardingRole.ASSISTANT, text)
    if draft is not None:
        conversation.session.draft_goal = pydantic_core.to_jsonable_python(draft)
        conversation.session.status = OnboardingStatus.COMPLETED
    await session.flush()
    await events.record_events(session, [_updated_event(agent, board)])
    return Conversation(
        conversation.session, [*conversation.messages, message], conversation.interviewer_id
    )


async def _start_session(
    session: AsyncSession, user: User, board: Board, base_url: str, *, previous: Conversation | None
) -> Conversation:
    text = render_briefing(board, base_url)
    if previous:
        agent_id = previous.interviewer_id
    else:
        agent_id = await session.scalar(select(interviewer_id_query(board)))
    session_key = f"agent:mc-gateway-{board.gateway_id}:main" if board.gateway_id else ""
    onboarding = build_session(board, now(), session_key=session_key)
    session.add(onboarding)
    message = _add_message(session, onboarding, OnboardingRole.USER, text)
    started = [onboarding_event(EventType.ONBOARDING_STARTED, user, board)]
    await _send_to_agent(
        session, user, board, agent_id, text, key=f"onboarding:{message.id}", new_events=started
    )
    return Conversation(onboarding, [message], agent_id)


async def _send_to_agent(
    session: AsyncSession,
    user: User,
    board: Board,
    agent_id: UUID | None,
    content: str,
    *,
    key: str,
    new_events: Sequence[events.NewEvent] = (),
) -> None:
    """Send a message to the interviewing agent, if there is one, and record the events."""
    outgoing = []
    if agent_id:
        kind = content.partition("\n")[0] or BRIEFING_MARKER
        outgoing.append(
            messages.OutgoingMessage(
                to=agent_id, kind=kind, content=content, key=key, board=board, sender=user
            )
        )
    new_events = new_events or [_updated_event(user, board)]
    await messages.enqueue_messages(session, outgoing, new_events=new_events)


def _add_message(
    session: AsyncSession, onboarding: OnboardingSession, role: OnboardingRole, content: str
) -> OnboardingMessage:
    at = now()
    message = OnboardingMessage(
        id=new_id(), session=onboarding, role=role, content=content, created_at=at
    )
    session.add(message)
    onboarding.updated_at = at
    return message


def _updated_event(actor: Actor, board: Board) -> events.NewEvent:
    return onboarding_event(EventType.ONBOARDING_UPDATED, actor, board)


def onboarding_event(type: EventType, actor: Actor, board: Board) -> events.NewEvent:
    return events.NewEvent(
        type,
        actor,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name},
    )
