"""How often all agents of some boards check in."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid
from models import Actor, Agent, Board, EventType
from services import events, provisioning
from services.agents.rules import DEFAULT_HEARTBEAT, duration
from services.agents.telling import happened

LONGEST_EVERY = 20  # characters


def checked_every(value: str) -> str:
    """Return how often an agent is to check in, as it is stored. Raises Invalid."""
    every = value.strip()
    if len(every) > LONGEST_EVERY or duration(every) is None:
        raise Invalid("heartbeat_invalid", "Say how often as 30s, 10m or 1h.", field="every")
    return every


async def set_cadence(
    session: AsyncSession, actor: Actor, crew: Sequence[tuple[Agent, Board]], every: str
) -> None:
    """Let agents, whose boards are held, check in as often as this. Raises Invalid.

    An agent that does so already is not changed.
    """
    wanted = {"every": checked_every(every), "target": DEFAULT_HEARTBEAT["target"]}
    news, changed = [], []
    for agent, board in crew:
        config = {**DEFAULT_HEARTBEAT, **(agent.heartbeat_config or {}), **wanted}
        if config == agent.heartbeat_config:
            continue
        agent.heartbeat_config = config
        agent.updated_at = now()
        fields = ["heartbeat_config"]
        news.append(happened(EventType.AGENT_UPDATED, actor, board, agent, changed=fields))
        changed += [agent.id] if agent.desired_state else []
    if changed:
        await session.flush()
        await provisioning.ask(session, Agent.id.in_(changed))
    await events.record_all(session, news)
