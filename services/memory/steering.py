"""Pausing the agents of a board, and letting them go on: words in its chat that reach them all."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Agent, Board, Event, EventType, User
from services.memory.edits import write
from services.memory.places import on_board
from services.memory.rules import CHAT, NoteDraft
from services.messages import texts


async def steer(
    session: AsyncSession, actor: Actor, board: Board, *, is_paused: bool, base_url: str
) -> None:
    """Pause the agents of a held board, or let them go on; if it is so already, nobody is told."""
    if is_paused == (board.paused_at is not None):
        return
    word = texts.PAUSE if is_paused else texts.RESUME
    draft = NoteDraft(content=word, tags=[CHAT])
    await write(session, actor, on_board(board), draft, base_url=base_url)


async def paused_by(session: AsyncSession, board: Board) -> Actor | None:
    """Return who paused a board; None if nobody did, or they are gone."""
    if board.paused_at is None:
        return None
    query = (
        select(Agent, User)
        .select_from(Event)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
        .where(Event.board_id == board.id, Event.type == EventType.BOARD_PAUSED)
        .order_by(Event.created_at.desc(), Event.seq.desc())
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    return (row.Agent or row.User) if row else None
