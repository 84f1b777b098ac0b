"""Events about calls that ran without being asked, or without permission."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import DateTime, Uuid, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from models import Agent, CodingSession, EventType, ToolCall
from services import agents, events
from services.coding_sessions.rules import CLIENT_NAMES

MAX_UNGATED_EVENTS = 10  # of an agent in an hour; then one event counts them
EVENT_PERIOD = timedelta(hours=1)

UNGATED_COUNT: Query[tuple[int]] = Query(
    select(func.count()).where(
        ToolCall.agent_id == bindparam("agent_id", type_=Uuid()),
        ToolCall.asked_at > bindparam("since", type_=DateTime(timezone=True)),
        ToolCall.is_ungated,
    )
)


async def build_ungated_events(
    session: AsyncSession, agent: Agent, ungated: Sequence[tuple[CodingSession, str]]
) -> Sequence[events.NewEvent]:
    """Build an event for each call, up to MAX_UNGATED_EVENTS in an hour, then one with the number.

    The calls are stored already.
    """
    [(count,)] = await UNGATED_COUNT.fetch(session, agent_id=agent.id, since=now() - EVENT_PERIOD)
    before = max(count - len(ungated), 0)
    built = [
        agents.agent_event(
            EventType.AGENT_TOOL_UNGATED,
            None,
            agent.board_id,
            agent,
            client=CLIENT_NAMES[coding_session.client],
            session_id=str(coding_session.id),
            tool=tool,
        )
        for coding_session, tool in ungated[: max(MAX_UNGATED_EVENTS - before, 0)]
    ]
    if before <= MAX_UNGATED_EVENTS < count:
        more = agents.agent_event(
            EventType.AGENT_TOOLS_UNGATED, None, agent.board_id, agent, recent=count
        )
        built.append(more)
    return built
