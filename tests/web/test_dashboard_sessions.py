"""The dashboard shows the sessions with the fullest contexts."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Gateway
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import ErrorResponse
from tests.support.gateway_rows import SESSION_KEY
from tests.support.world import World

HTMX = {"HX-Request": "true"}
PART = "/dashboard/sessions"


@pytest.fixture(autouse=True)
async def connected(gateway: Gateway, transaction: TransactionFactory) -> None:
    """Let a worker be connected to the gateway."""
    state = {"lease_holder": "a worker", "lease_expires_at": now() + timedelta(minutes=1)}
    async with transaction() as session:
        await session.execute(update(Gateway).values(checks=[], checked_at=now(), **state))


def fill(fake: FakeAgentsGateway, key: str, percent: int) -> None:
    fake.sessions[key] |= {"totalTokens": percent * 1_000, "contextTokens": 100_000}


async def test_the_fullest_sessions_come_first(
    alice: httpx2.AsyncClient, gateway: Gateway, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    page = (await alice.get("/dashboard")).text
    assert 'hx-get="/dashboard/sessions"' in page
    assert not fake_gateway.connect_params  # the page does not wait for gateways
    fill(fake_gateway, SESSION_KEY, 40)
    fill(fake_gateway, "agent:main:main", 95)
    part = (await alice.get(PART, headers=HTMX)).text
    assert part.index("95%") < part.index("40%")
    assert f'href="/gateways/{gateway.id}/sessions/agent%3Amain%3Amain"' in part
    assert world.worker.name in part
    assert world.board.name in part


async def test_sessions_of_other_boards_are_not_shown_for_a_board(
    alice: httpx2.AsyncClient, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    fill(fake_gateway, SESSION_KEY, 40)
    fill(fake_gateway, "agent:main:main", 95)
    part = (await alice.get(f"{PART}?board={world.board.id}", headers=HTMX)).text
    assert "40%" in part
    assert "95%" not in part
    other = (await alice.get(f"{PART}?board={world.garden.id}", headers=HTMX)).text
    assert "40%" not in other


async def test_a_gateway_that_does_not_reply_is_named(
    alice: httpx2.AsyncClient, gateway: Gateway, fake_gateway: FakeAgentsGateway
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise ErrorResponse("INVALID_REQUEST", "not today")

    fake_gateway.handlers["sessions.list"] = refuse
    part = (await alice.get(PART, headers=HTMX)).text
    assert gateway.name in part
    assert "not today" in part


async def test_only_admins_see_sessions(bob: httpx2.AsyncClient, anonymous) -> None:
    assert "dashboard-sessions" not in (await bob.get("/dashboard")).text
    assert (await bob.get(PART, headers=HTMX)).status_code == 403
    assert (await anonymous.get(PART)).status_code == 303
