"""The conversation: it is started, the agent asks, the person answers, the agent sends a draft."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pydantic_core
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, NotFound
from models import (
    Actor,
    Agent,
    Board,
    EventType,
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
    User,
    new_id,
)
from services import events, messages
from services.onboarding.briefing import MARKER, answered, briefing, reminder
from services.onboarding.drafts import check_goal
from services.onboarding.finding import Conversation, asking, find, get
from services.onboarding.transcripts import correction


async def start(session: AsyncSession, user: User, board: Board, *, base_url: str) -> Conversation:
    """Start a conversation about a board that is held, or go on with the one that is open.

    Where the agent owes an answer it is reminded of all that was said, once for each thing that
    was said last. Without an agent the person goes on alone: they can confirm at once.
    """
    found = await find(session, board)
    if found is None or not found.is_open:
        return await _begin(session, user, board, base_url, after=found)
    if found.waiting_for == "agent" and found.session.status is OnboardingStatus.ACTIVE:
        last = found.messages[-1]
        text = reminder(board, found.messages, base_url)
        found.session.updated_at = now()
        await tell(session, user, board, found.asked_by, text, key=f"onboarding:{last.id}:again")
    return found


async def restart(
    session: AsyncSession, user: User, board: Board, *, base_url: str
) -> Conversation:
    """Give up the open conversation of a board that is held, if there is one, and start another."""
    found = await find(session, board)
    if found is not None and found.is_open:
        found.session.status = OnboardingStatus.CANCELLED
        found.session.updated_at = now()
        await session.flush()
    return await _begin(session, user, board, base_url, after=found)


async def give_up(session: AsyncSession, user: User, board: Board) -> None:
    """End the open conversation of a board that is held. Raises NotFound, and Conflict."""
    found = await get(session, board)
    check_is_open(found)
    found.session.status = OnboardingStatus.CANCELLED
    found.session.updated_at = now()
    await session.flush()
    await events.record_all(session, [updated(user, board)])


async def answer(
    session: AsyncSession,
    user: User,
    board: Board,
    text: str,
    *,
    other: str | None = None,
    question_id: UUID | None = None,
) -> Conversation:
    """Answer the agent on a board that is held; `question_id` is what the person has read.

    Raises NotFound, and Conflict when it is over, or when that question waits no longer.
    """
    found = await get(session, board)
    check_is_open(found)
    _check_waits(found, question_id)
    return await _reply(session, user, board, found, _joined(text, other))


async def correct(
    session: AsyncSession,
    user: User,
    board: Board,
    text: str,
    *,
    question_id: UUID,
    other: str | None = None,
) -> Conversation:
    """Say anew what was answered to a question, on a board that is held. Both stay written.

    A question that waits meanwhile goes on waiting. Raises NotFound, and Conflict when it is over.
    """
    found = await get(session, board)
    check_is_open(found)
    before = found.transcript.answered_one(question_id)
    if before is None:
        raise NotFound("onboarding_answer_not_found", "There is no such answer to change.")
    given = _joined(text, other)
    if given == before.answer:
        return found
    return await _reply(session, user, board, found, correction(before.question, given))


async def ask(
    session: AsyncSession, agent: Agent, board: Board, question: Mapping[str, Any]
) -> Conversation:
    """Put a question to the person, on a board that is held. Raises as `answer` does."""
    return await _continue(session, agent, board, question, draft=None)


async def propose(
    session: AsyncSession, agent: Agent, board: Board, draft: Mapping[str, Any]
) -> Conversation:
    """Send the draft that the person can confirm, on a board that is held. It may be sent again.

    Raises as `answer` does, and Invalid for a goal that says too little.
    """
    check_goal(draft)
    return await _continue(session, agent, board, draft, draft=draft)


def _joined(text: str, other: str | None) -> str:
    return f"{text}: {other.strip()}" if other and other.strip() else text


async def _reply(
    session: AsyncSession, user: User, board: Board, found: Conversation, content: str
) -> Conversation:
    said = _say(session, found.session, OnboardingRole.USER, content)
    found.session.status = OnboardingStatus.ACTIVE
    key = f"onboarding:{said.id}"
    await tell(session, user, board, found.asked_by, answered(board, content), key=key)
    return Conversation(found.session, [*found.messages, said], found.asked_by)


async def _continue(
    session: AsyncSession,
    agent: Agent,
    board: Board,
    said: Mapping[str, Any],
    *,
    draft: Mapping[str, Any] | None,
) -> Conversation:
    found = await get(session, board)
    check_is_open(found)
    text = pydantic_core.to_json(said).decode()
    written = _say(session, found.session, OnboardingRole.ASSISTANT, text)
    if draft is not None:
        found.session.draft_goal = pydantic_core.to_jsonable_python(draft)
        found.session.status = OnboardingStatus.COMPLETED
    await session.flush()
    await events.record_all(session, [updated(agent, board)])
    return Conversation(found.session, [*found.messages, written], found.asked_by)


async def _begin(
    session: AsyncSession, user: User, board: Board, base_url: str, *, after: Conversation | None
) -> Conversation:
    at = now()
    text = briefing(board, base_url)
    main = after.asked_by if after else await session.scalar(select(asking(board)))
    opened = OnboardingSession(
        id=new_id(),
        board_id=board.id,
        session_key=f"agent:mc-gateway-{board.gateway_id}:main" if board.gateway_id else "",
        status=OnboardingStatus.ACTIVE,
        created_at=at,
        updated_at=at,
    )
    session.add(opened)
    said = _say(session, opened, OnboardingRole.USER, text)
    started = [_happened(EventType.ONBOARDING_STARTED, user, board)]
    await tell(session, user, board, main, text, key=f"onboarding:{said.id}", happened=started)
    return Conversation(opened, [said], main)


async def tell(
    session: AsyncSession,
    user: User,
    board: Board,
    main: UUID | None,
    content: str,
    *,
    key: str,
    happened: Sequence[events.Happened] = (),
) -> None:
    """Write to the agent that asks, if there is one, and record what happened."""
    to = [main] if main else []
    drafts = [
        messages.Draft(
            to=id, kind=_kind(content), content=content, key=key, board=board, sender=user
        )
        for id in to
    ]
    news = happened or [updated(user, board)]
    await messages.queue(session, drafts, happened=news)


def _kind(content: str) -> str:
    return content.partition("\n")[0] or MARKER


def _say(
    session: AsyncSession, conversation: OnboardingSession, role: OnboardingRole, content: str
) -> OnboardingMessage:
    at = now()
    said = OnboardingMessage(
        id=new_id(), session=conversation, role=role, content=content, created_at=at
    )
    session.add(said)
    conversation.updated_at = at
    return said


def check_is_open(found: Conversation) -> None:
    """Raise Conflict if the conversation is over."""
    if not found.is_open:
        reason = "This onboarding is over. Start another to go on."
        raise Conflict("onboarding_over", reason, status=found.session.status.value)


def _check_waits(found: Conversation, question_id: UUID | None) -> None:
    """Raise Conflict if a question that somebody has read does not wait for an answer any more."""
    waits = found.transcript.open
    if question_id is None or (waits is not None and waits.id == question_id):
        return
    answered_one = found.transcript.answered_one(question_id)
    if answered_one is None:
        raise Conflict("onboarding_question_over", "The agent has gone on to something else.")
    reason = f"It was answered meanwhile: “{answered_one.answer}”."
    raise Conflict("onboarding_question_answered", reason, answer=answered_one.answer)


def updated(actor: Actor, board: Board) -> events.Happened:
    """Return what is to be recorded of a conversation that goes on."""
    return _happened(EventType.ONBOARDING_UPDATED, actor, board)


def _happened(type: EventType, actor: Actor, board: Board) -> events.Happened:
    return events.Happened(
        type,
        actor,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name},
    )
