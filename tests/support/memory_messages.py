"""What notes and chat messages of boards and groups cause: messages to agents, and events."""

from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, Event, EventType, Message

CHAT_MESSAGE = {"content": "  Hello  ", "tags": ["chat"]}


async def list_sent(transaction: TransactionFactory) -> dict[str, tuple[str, bool]]:
    """Return the kind and `deliver` of the message to each agent, by name."""
    async with transaction() as session:
        query = select(Agent.name, Message).join(Message, Message.agent_id == Agent.id)
        rows = (await session.execute(query)).all()
    assert len({name for name, _ in rows}) == len(rows), "an agent received two messages"
    return {name: (message.kind, message.deliver) for name, message in rows}


async def list_events(transaction: TransactionFactory, *kinds: EventType) -> list[Event]:
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(kinds)).order_by(Event.seq)
        return list((await session.scalars(query)).all())
