"""Helpers for notifications: agents acknowledge their messages, and events are recorded."""

from typing import Any

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Event, EventType
from tests.contract.test_messages import list_messages
from tests.support.api_fixtures import Client


async def acknowledge_all(*agents: Client) -> None:
    """Acknowledge all pending messages of agents."""
    for agent in agents:
        for message in await list_messages(agent):
            await agent.post(f"/agent/messages/{message['id']}/ack")


async def list_recorded(
    transaction: TransactionFactory, *types: EventType
) -> list[tuple[EventType, Any]]:
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        return [(event.type, event.agent_id) for event in await session.scalars(query)]
