"""What has become of the messages to the agent that asks, and asking it once more."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Board, Message, MessageState, User
from services import events
from services.onboarding.briefing import reminder
from services.onboarding.conversations import check_is_open, tell, updated
from services.onboarding.finding import Conversation, get


async def letter(session: AsyncSession, board: Board, found: Conversation) -> Message | None:
    """Return the last message to the agent of a conversation, if there is an agent."""
    query = select(Message).where(
        Message.agent_id == found.asked_by,
        Message.board_id == board.id,
        Message.key.startswith("onboarding:"),
        Message.created_at >= found.session.created_at,
    )
    return await session.scalar(query.order_by(Message.seq.desc()).limit(1))


async def remind(session: AsyncSession, user: User, board: Board, *, base_url: str) -> Conversation:
    """Tell the agent of a board that is held all that was said once more, if it owes an answer.

    As long as the last message is on its way nothing is added to it, but it is tried at once.
    Raises NotFound, and Conflict when the conversation is over.
    """
    found = await get(session, board)
    check_is_open(found)
    if found.waiting_for != "agent":
        return found
    found.session.updated_at = now()
    last = await letter(session, board, found)
    if last is not None and last.state is MessageState.QUEUED:
        last.hasten()
        await events.record_all(session, [updated(user, board)])
        return found
    text = reminder(board, found.messages, base_url)
    after = last.id if last else found.messages[-1].id
    await tell(session, user, board, found.asked_by, text, key=f"onboarding:after:{after}")
    return found
