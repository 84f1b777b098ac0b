"""Agents of a board for tests: made, named, and what was recorded of them."""

from sqlalchemy import select

from models import Agent, Event
from services import agents, boards
from services.agents import AgentDraft


async def events(session) -> list[Event]:
    return list(await session.scalars(select(Event).order_by(Event.seq)))


async def create(session, actor, board, name="New", *, is_board_lead=False, **fields):
    hold = boards.hold if isinstance(actor, Agent) else boards.hold_as_admin
    held = await hold(session, actor, board.id)
    return await agents.create(
        session, actor, held, AgentDraft(name=name, **fields), is_board_lead=is_board_lead
    )


async def names(session, board) -> list[str]:
    return [agent.name for agent in await agents.of_board(session, board)]
