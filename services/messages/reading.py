"""Reading the outbox: an agent its own part of it, people that of an agent that they may see."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from kit.paging import Page, Paging, paged
from models import Agent, Message, MessageState

WAITING = (MessageState.QUEUED, MessageState.SENT)


async def for_agent(
    session: AsyncSession, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return an agent's messages, oldest first: those in a state, or those it has to take yet."""
    states = WAITING if state is None else (state,)
    query = select(Message).where(meant_for(agent), Message.state.in_(states))
    return await paged(session, query.order_by(Message.seq), paging)


async def of_agent(
    session: AsyncSession, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return all that was written to an agent, or what is in a state of it, newest first."""
    query = select(Message).where(Message.agent_id == agent.id)
    if state is not None:
        query = query.where(Message.state == state)
    return await paged(session, query.order_by(Message.seq.desc()), paging)


async def several(
    session: AsyncSession, agent_id: UUID, message_ids: Collection[UUID]
) -> dict[UUID, Message]:
    """Return those of these messages that were written to an agent."""
    query = select(Message).where(Message.agent_id == agent_id, Message.id.in_(message_ids))
    return {one.id: one for one in await session.scalars(query)} if message_ids else {}


async def hold(session: AsyncSession, message_id: UUID, condition: ColumnElement[bool]) -> Message:
    """Return a message that nobody else can change until the commit. Raises NotFound."""
    query = select(Message).where(Message.id == message_id, condition).with_for_update()
    message = await session.scalar(query.execution_options(populate_existing=True))
    if message is None:
        raise NotFound("message_not_found", "There is no such message.")
    return message


def meant_for(agent: Agent) -> ColumnElement[bool]:
    """Select what is an agent's: what was written to it, but for that of a board it has left."""
    of_board = Message.board_id.is_(None) | (Message.board_id == agent.board_id)
    return (Message.agent_id == agent.id) & (true() if agent.board_id is None else of_board)


def of_its_board() -> ColumnElement[bool]:
    """Select, of messages joined with their agents, what is no longer of a board they have left."""
    is_on_none = Agent.board_id.is_(None) | Message.board_id.is_(None)
    return is_on_none | (Message.board_id == Agent.board_id)
