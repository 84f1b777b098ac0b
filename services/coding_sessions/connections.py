"""Connections of agents with their clients, as people set them up and test them."""

from sqlalchemy import Uuid, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict
from core.text import N_
from models import Agent, ClientConnection, CodingClient, CodingSession, ToolCall, new_id

CONNECTION_TEST = "connection_test"
"""The reason of a call that is held because people test the connection."""

TEST_COMMAND = "echo Mission Control"
"""The harmless command of a test."""

TEST_SECONDS = 70
"""How long the call of a test is held at least: many proxies cut a connection after 60 seconds."""


async def add_connection(session: AsyncSession, agent: Agent, client: CodingClient) -> None:
    """Add the client that an agent is going to use."""
    statement = insert(ClientConnection).values(
        id=new_id(), agent_id=agent.id, client=client, created_at=now()
    )
    await session.execute(statement.on_conflict_do_nothing(index_elements=["agent_id", "client"]))


async def request_test(session: AsyncSession, agent: Agent, client: CodingClient) -> None:
    """Hold the next call of TEST_COMMAND for TEST_SECONDS, whatever the policy says.

    Raises Conflict if the agent cannot have a client: a gateway runs it, or it has no board.
    """
    if agent.board_id is None or agent.gateway_id is not None:
        reason = N_("No client can be connected: the agent is on a gateway, or has no board.")
        raise Conflict("agent_without_client", reason)
    at = now()
    statement = insert(ClientConnection).values(
        id=new_id(), agent_id=agent.id, client=client, created_at=at, test_requested_at=at
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["agent_id", "client"], set_={"test_requested_at": at}
        )
    )


async def claim_test(session: AsyncSession, agent: Agent, client: CodingClient) -> bool:
    """Return whether a test of the client was requested. Only one call gets it."""
    claimed = (
        update(ClientConnection)
        .where(
            ClientConnection.agent_id == agent.id,
            ClientConnection.client == client,
            ClientConnection.test_requested_at.is_not(None),
        )
        .values(test_requested_at=None)
        .returning(ClientConnection.id)
        .execution_options(synchronize_session=False)
    )
    return await session.scalar(claimed) is not None


CONNECTIONS = Query(
    select(ClientConnection)
    .where(ClientConnection.agent_id == bindparam("agent_id", type_=Uuid()))
    .order_by(ClientConnection.created_at),
    lambda row: row[0],
)
"""Of an agent; the first one that was added comes first."""

LATEST_TEST = Query(
    select(ToolCall)
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .where(
        ToolCall.agent_id == bindparam("agent_id", type_=Uuid()),
        ToolCall.reason == CONNECTION_TEST,
        CodingSession.client == bindparam("client", type_=CodingSession.client.type),
    )
    .order_by(ToolCall.asked_at.desc())
    .limit(1),
    lambda row: row[0],
)
"""The latest call of a client that was held for a test."""
