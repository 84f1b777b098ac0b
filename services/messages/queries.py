"""Read messages from the outbox: an agent reads its own, users read those of an agent."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import NotFound
from core.paging import Page, Paging, fetch_page
from models import Agent, Message, MessageState, Organization

PENDING_STATES = (MessageState.QUEUED, MessageState.SENT)


async def list_inbox(
    session: AsyncSession, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return the messages that an agent can read, oldest first; by default the pending ones.

    Queued messages are left out while the agent is held or its organization is stopped.
    """
    states = PENDING_STATES if state is None else (state,)
    query = select(Message).where(
        addressed_to_condition(agent), Message.state.in_(states), not_held_condition(agent)
    )
    return await fetch_page(session, query.order_by(Message.seq), paging)


async def list_agent_messages(
    session: AsyncSession, agent: Agent, paging: Paging, *, state: MessageState | None = None
) -> Page[Message]:
    """Return all messages to an agent, newest first, optionally only those in a state."""
    query = select(Message).where(Message.agent_id == agent.id)
    if state is not None:
        query = query.where(Message.state == state)
    return await fetch_page(session, query.order_by(Message.seq.desc()), paging)


async def load_messages(
    session: AsyncSession, agent: Agent, message_ids: Collection[UUID]
) -> dict[UUID, Message]:
    """Return messages by id. Ids of held messages, and of messages to others, are ignored."""
    query = select(Message).where(Message.agent_id == agent.id, Message.id.in_(message_ids))
    query = query.where(not_held_condition(agent))
    return {one.id: one for one in await session.scalars(query)} if message_ids else {}


async def lock_message(
    session: AsyncSession, message_id: UUID, condition: ColumnElement[bool]
) -> Message:
    """Return a message, locked until the end of the transaction. Raises NotFound."""
    query = select(Message).where(Message.id == message_id, condition).with_for_update()
    message = await session.scalar(query.execution_options(populate_existing=True))
    if message is None:
        raise NotFound("message_not_found", "There is no such message.")
    return message


def addressed_to_condition(agent: Agent) -> ColumnElement[bool]:
    """Match the messages to an agent, except those about a board that it has left."""
    is_current_board = Message.board_id.is_(None) | (Message.board_id == agent.board_id)
    return (Message.agent_id == agent.id) & (true() if agent.board_id is None else is_current_board)


def not_held_condition(agent: Agent) -> ColumnElement[bool]:
    """Exclude the queued messages to an agent that is held, or whose organization is stopped."""
    works = select(Agent.id).join(Organization, Organization.id == Agent.organization_id)
    works = works.where(Agent.held_at.is_(None), Organization.stopped_at.is_(None))
    works = works.where(Agent.id == agent.id)
    return (Message.state != MessageState.QUEUED) | works.exists()


def current_board_condition() -> ColumnElement[bool]:
    """Exclude the messages about a board that the agent has left. The query must join Agent."""
    has_no_board = Agent.board_id.is_(None) | Message.board_id.is_(None)
    return has_no_board | (Message.board_id == Agent.board_id)
