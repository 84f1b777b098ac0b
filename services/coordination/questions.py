"""What a lead asks of people, by way of the agent that looks after the gateway."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, EventType
from services import memory, messages

REPLY_TAGS = ("gateway_main", "user_reply")
REPLY_SOURCE = "user_via_gateway_main"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and how the answer is to come back: as a note with these tags."""

    content: str
    correlation_id: str | None = None
    preferred_channel: str | None = None
    reply_tags: Sequence[str] = REPLY_TAGS
    reply_source: str | None = REPLY_SOURCE


async def ask_user(
    session: AsyncSession, lead: Agent, board: Board, question: Question, *, base_url: str
) -> Agent | None:
    """Have the user asked something, and return the agent that will, if there is one.

    On a board that no such agent serves, the question goes to the board's chat: there people read
    it, and the lead hears their answer.
    """
    main = await session.scalar(_main_of(board)) if board.gateway_id else None
    if main is None:
        await _ask_in_chat(session, lead, board, question, base_url)
        return None
    content = messages.texts.ask_user(
        board,
        lead=lead.name,
        content=question.content,
        correlation_id=question.correlation_id,
        preferred_channel=question.preferred_channel,
        reply_tags=question.reply_tags,
        reply_source=question.reply_source,
        base_url=base_url,
    )
    draft = messages.Draft(
        to=main,
        content=content,
        board=board,
        sender=lead,
        deliver=True,
        told=EventType.ASK_USER_SENT,
        failed=EventType.ASK_USER_FAILED,
        told_of=lead,
        data={"correlation_id": question.correlation_id},
    )
    await messages.queue(session, [draft])
    return main


async def _ask_in_chat(
    session: AsyncSession, lead: Agent, board: Board, question: Question, base_url: str
) -> None:
    draft = memory.NoteDraft(content=question.content, tags=["chat", "ask_user"])
    await memory.write(session, lead, memory.on_board(board), draft, base_url=base_url)


def _main_of(board: Board):
    mains = select(Agent).where(Agent.gateway_id == board.gateway_id, Agent.board_id.is_(None))
    return mains.order_by(Agent.created_at, Agent.id).limit(1)
