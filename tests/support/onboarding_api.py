"""A main agent that interviews through the API, and the goal that it drafts."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Agent
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.world import World

GOAL = {
    "board_type": "goal",
    "objective": "Launch the new site.",
    "success_metrics": {"visitors": "1,000"},
}


@pytest.fixture
async def main(transaction: TransactionFactory, world: World) -> Agent:
    """The main agent of the gateway of the board Launch."""
    gateway = make_gateway(world.tern)
    main = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(main)
        board = await session.merge(world.board)
        board.gateway_id = gateway.id
    return main[0]


@pytest.fixture
def interviewer(client_for: ClientFactory, main: Agent) -> Client:
    """A client of the main agent."""
    return client_for(main)


async def start(client: Client, world: World) -> dict[str, Any]:
    answer = await client.post(f"/boards/{world.board.id}/onboarding/start", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def list_messages(client: Client) -> list[dict[str, Any]]:
    return (await client.get("/agent/messages")).json()["items"]


def drop_nulls(value: Any) -> Any:
    """Return objects without their null fields."""
    if not isinstance(value, dict):
        return value
    return {name: drop_nulls(one) for name, one in value.items() if one is not None}
