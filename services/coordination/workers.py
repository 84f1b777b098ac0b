"""What a lead says to one of its agents."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, EventType
from services import agents, messages

NUDGE = "NUDGE"


async def nudge(
    session: AsyncSession, lead: Agent, board: Board, agent_id: UUID, text: str
) -> None:
    """Send an agent of a board that is held what its lead has to say, word for word.

    That it was sent is recorded once the agent has it. Raises NotFound.
    """
    agent = await agents.on_board(session, board, agent_id)
    draft = messages.Draft(
        to=agent,
        kind=NUDGE,
        content=text,
        board=board,
        sender=lead,
        deliver=True,
        told=EventType.NUDGE_SENT,
        failed=EventType.NUDGE_FAILED,
        told_of=lead,
        data={"name": agent.name},
    )
    await messages.queue(session, [draft])
