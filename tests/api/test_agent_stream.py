"""The stream of agents reports when agents were last seen, although a call is no event."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from starlette.types import ASGIApp

from api.streams import seen_agents
from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Gateway
from services import gateways
from services.gateways import ProbeResult
from tests.support.api_fixtures import ClientFactory
from tests.support.gateway_rows import make_gateway
from tests.support.stream_client import open_stream
from tests.support.world import World

SHORT = 0.05  # seconds


@pytest.fixture
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report after a moment."""
    assert seen_agents.REPORT_INTERVAL == 15
    monkeypatch.setattr("api.streams.seen_agents.REPORT_INTERVAL", SHORT)
    monkeypatch.setattr("api.streams.subscription.PING_INTERVAL", SHORT)


@pytest.mark.usefixtures("short_intervals")
async def test_a_call_of_an_agent_is_reported_once(
    committing_api_app: ASGIApp, committing_client_for: ClientFactory, isolated_world: World
) -> None:
    alice, worker = committing_client_for(isolated_world.alice), isolated_world.worker
    of_garden = f"/agents/stream?board_id={isolated_world.garden.id}"
    async with (
        open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream,
        open_stream(committing_api_app, isolated_world.alice, of_garden) as of_another_board,
        open_stream(committing_api_app, isolated_world.charlie, "/agents/stream") as charlies,
    ):
        before = (await alice.get(f"/agents/{worker.id}")).json()
        for _ in range(2):
            called = (await alice.post(f"/agents/{worker.id}/heartbeat", json={})).json()
            received = await stream.next_message()
            assert (received.name, received.id) == ("agent", 0)
            assert received.data["agent"]["id"] == str(worker.id)
            assert received.data["agent"]["last_seen_at"] == called["last_seen_at"]
            assert called["last_seen_at"] > before["last_seen_at"]
        for silent in (stream, of_another_board, charlies):
            for _ in range(4):
                assert await silent.next_block() == b": ping"


async def test_calls_within_the_interval_are_not_reported(
    committing_api_app: ASGIApp,
    committing_client_for: ClientFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.streams.subscription.PING_INTERVAL", SHORT)
    alice = committing_client_for(isolated_world.alice)
    async with open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream:
        await alice.post(f"/agents/{isolated_world.worker.id}/heartbeat", json={})
        for _ in range(4):
            assert await stream.next_block() == b": ping"
        renamed = {"name": "Renamed"}
        await alice.patch(f"/agents/{isolated_world.worker.id}", json=renamed)
        received = await stream.next_message()
        assert received.id > 0
        assert received.data["agent"]["name"] == "Renamed"


async def place_on_gateway(
    transaction: TransactionFactory, world: World, **fields: Any
) -> tuple[Gateway, ProbeResult]:
    """Place the worker on a gateway that is connected, and return it with a probe that fails."""
    at = now()
    well = {"name": "handshake", "state": "ok", "code": None, "since": str(at)}
    frozen = well | {"state": "failed", "code": "unresponsive"}
    leased: dict[str, Any] = {
        "checked_at": at,
        "lease_holder": "a worker",
        "lease_expires_at": at + timedelta(hours=1),
    }
    gateway = make_gateway(world.tern, checks=[well], **(leased | fields))
    on_gateway = {"gateway_id": gateway.id, "is_linked": True, "listed_at": at}
    called = {"last_seen_at": at - timedelta(minutes=2), "status": "online"}
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        worker = update(Agent).where(Agent.id == world.worker.id)
        await session.execute(worker.values(**on_gateway, **called))
    return gateway, ProbeResult([frozen], at, False, None, None)


async def test_the_loss_of_a_gateway_is_reported_at_once(
    committing_api_app: ASGIApp,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    gateway, frozen = await place_on_gateway(isolated_transaction, isolated_world)
    of_board = f"/agents/stream?board_id={isolated_world.board.id}"
    async with (
        open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream,
        open_stream(committing_api_app, isolated_world.alice, of_board) as stream_of_board,
    ):
        async with isolated_transaction() as session:
            await gateways.record_probe(session, gateway, frozen)
        for reported in (await stream.next_message(), await stream_of_board.next_message()):
            agent = reported.data["agent"]
            assert (reported.name, reported.id) == ("agent", 0)
            assert (agent["status"], agent["away"]) == ("offline", True)


@pytest.mark.usefixtures("short_intervals")
async def test_a_status_that_changes_by_time_alone_is_reported(
    committing_api_app: ASGIApp,
    isolated_world: World,
    isolated_transaction: TransactionFactory,
) -> None:
    """No worker runs: nobody renews the lease of the gateway, and nobody records an event."""
    nearly_lost = now() - timedelta(seconds=59)
    await place_on_gateway(
        isolated_transaction,
        isolated_world,
        checked_at=nearly_lost,
        lease_expires_at=now() - timedelta(seconds=20),
    )
    async with open_stream(committing_api_app, isolated_world.alice, "/agents/stream") as stream:
        reported = await stream.next_message()
        agent = reported.data["agent"]
        assert (agent["id"], agent["status"]) == (str(isolated_world.worker.id), "offline")
        assert agent["away"] is True
