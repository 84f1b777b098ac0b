"""The conversation between a user and the gateway's main agent: its commands and messages."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, NotFound
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
from services.onboarding.queries import (
    Conversation,
    find_conversation,
    find_last_message,
    get_conversation,
    interviewer_id_query,
)
from services.onboarding.transcript import CORRECTION_PREFIX

BRIEFING_MARKER = messages.templates.MessageMarker.ONBOARDING_REQUEST


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
    _ensure_open(conversation)
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
    _ensure_open(conversation)
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
    _ensure_open(conversation)
    _ensure_unanswered(conversation, question_id)
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
    _ensure_open(conversation)
    exchange = conversation.transcript.find_answered(question_id)
    if exchange is None:
        raise NotFound("onboarding_answer_not_found", N_("There is no such answer to change."))
    answer = _join_answer(text, other)
    if answer == exchange.answer:
        return conversation
    correction = CORRECTION_PREFIX.format(question=exchange.question) + answer
    return await _add_reply(session, user, board, conversation, correction)


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


def _ensure_open(conversation: Conversation) -> None:
    """Raise Conflict if the conversation is closed."""
    if not conversation.is_open:
        reason = N_("This setup has ended. Start another to continue.")
        raise Conflict("onboarding_ended", reason, status=conversation.session.status.value)


def _ensure_unanswered(conversation: Conversation, question_id: UUID | None) -> None:
    """Raise Conflict if the question that the user has read is no longer open."""
    question = conversation.transcript.open_question
    if question_id is None or (question is not None and question.id == question_id):
        return
    exchange = conversation.transcript.find_answered(question_id)
    if exchange is None:
        raise Conflict(
            "onboarding_question_replaced", N_("The agent has continued with another question.")
        )
    reason = N_("It was answered meanwhile: “%(answer)s”.")
    raise Conflict("onboarding_question_answered", reason, answer=exchange.answer)


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
    _ensure_open(conversation)
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
    text = _render_briefing(board, base_url)
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


def build_session(board: Board, at: datetime, *, session_key: str = "") -> OnboardingSession:
    """Build an active onboarding session, with the key of the gateway session if an agent asks."""
    return OnboardingSession(
        id=new_id(),
        board_id=board.id,
        session_key=session_key,
        status=OnboardingStatus.ACTIVE,
        created_at=at,
        updated_at=at,
    )


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


EXAMPLE_QUESTION = {
    "question": "What should be true when this board is done?",
    "options": [
        {"id": "1", "label": "A product is launched"},
        {"id": "2", "label": "I'll type it"},
    ],
}
EXAMPLE_DRAFT = {
    "status": "complete",
    "board_type": "goal",
    "objective": "Launch the new site before summer.",
    "success_metrics": {"visitors": "1,000 in the first week"},
    "target_date": "2027-06-01",
    "user_profile": {"preferred_name": "Sam", "timezone": "Europe/Lisbon"},
    "lead_agent": {
        "name": "Ada",
        "identity_profile": {"role": "Board Lead", "communication_style": "direct"},
        "autonomy_level": "balanced",
        "verbosity": "concise",
        "output_format": "bullets",
        "update_cadence": "daily",
    },
}

INTERVIEW_RULES = """\
You are the gateway's agent. A person wants this board to have a goal and a lead; ask them what you
need to know, then send a draft.
- Ask 6 to 10 questions in all, one in each call: 3 to 6 about the goal, 1 for the name of the lead
  (a first name that no other lead has), 2 to 4 about how the lead should work: style of
  communication, autonomy, how often it reports, and the form of its reports.
- The very last question, once, is whether there is anything else; give it an option to type freely.
- Elsewhere add such an option only where it is needed, and label it "I'll type it".
- Plain sentences: no lists and no markdown in a question.
- An answer "Additional context" that comes after your draft is to be worked into it: send the
  draft again.
- An answer that begins with "Correction to" replaces the one that was given to that question. A
  question of yours that waits for its answer meanwhile stays open: don't ask it again.
- Never ask or answer in OpenClaw's chat: the person reads only what you send to the API."""

DRAFT_FIELD_VALUES = """\
autonomy_level: ask_first, balanced or autonomous. verbosity: concise, balanced or detailed.
output_format: bullets, mixed or narrative. update_cadence: asap, hourly, daily or weekly.
A draft has a board_type; if that is "goal", also an objective and success_metrics. Send
user_profile and lead_agent with it."""


def _render_briefing(board: Board, base_url: str) -> str:
    """Render the message that starts a conversation."""
    address = f"{base_url.rstrip('/')}/api/v1/agent/boards/{board.id}/onboarding"
    head = messages.templates.format_labels({"Board": board.name, "Board ID": board.id})
    about = messages.templates.fence_text(
        board.description.strip() or "(The board has no description yet.)"
    )
    return "\n\n".join(
        [
            f"{BRIEFING_MARKER}\n{head}",
            about,
            INTERVIEW_RULES,
            f"Base URL: {base_url}\n"
            "Authenticate with the AUTH_TOKEN of your workspace, as the header X-Agent-Token.\n"
            f"Ask, and send the draft: POST {address}\n"
            f"A question: {json.dumps(EXAMPLE_QUESTION)}\n"
            f"A draft: {json.dumps(EXAMPLE_DRAFT)}",
            DRAFT_FIELD_VALUES,
        ]
    )


def render_reminder(board: Board, history: Sequence[OnboardingMessage], base_url: str) -> str:
    """Render the whole conversation, for an agent that may have lost it."""
    names = {OnboardingRole.USER: "Person", OnboardingRole.ASSISTANT: "You"}
    lines = [f"{names[one.role]}: {one.content}" for one in history[1:]]
    body = messages.templates.fence_text("\n".join(lines) or "(Nobody has said anything yet.)")
    return "\n\n".join(
        [_render_briefing(board, base_url), "What was said so far:", body, "Go on from here."]
    )


def render_answer(board: Board, text: str) -> str:
    """Render the answer of the user."""
    head = messages.templates.format_labels({"Board": board.name, "Board ID": board.id})
    marker = messages.templates.MessageMarker.ONBOARDING_ANSWER
    return "\n\n".join([f"{marker}\n{head}", messages.templates.fence_text(text)])
