"""What agents were told, for the contract tests: they take it, and that they were is recorded."""

from typing import Any

from sqlalchemy import select

from models import Event, EventType
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.contract.test_messages import mail


async def take_all(*agents: Client) -> None:
    """Have agents take whatever waits for them."""
    for agent in agents:
        for message in await mail(agent):
            await agent.post(f"/agent/messages/{message['id']}/ack")


async def recorded(transaction: Transaction, *types: EventType) -> list[tuple[EventType, Any]]:
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        return [(event.type, event.agent_id) for event in await session.scalars(query)]
