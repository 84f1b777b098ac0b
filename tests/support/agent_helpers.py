"""Helpers to create and list agents of a board, and to read events."""

from sqlalchemy import select

from models import Agent, Event
from services import agents, boards
from services.agents import AgentCreate


async def list_events(session) -> list[Event]:
    return list(await session.scalars(select(Event).order_by(Event.seq)))


async def create_agent(session, actor, board, name="New", *, is_board_lead=False, **fields):
    hold = boards.lock_board if isinstance(actor, Agent) else boards.lock_board_as_admin
    held = await hold(session, actor, board.id)
    values = AgentCreate.parse({"name": name, "is_board_lead": is_board_lead, **fields})
    return await agents.create_agent(session, actor, held, values)


async def list_agent_names(session, board) -> list[str]:
    return [agent.name for agent in await agents.list_board_agents(session, board)]
