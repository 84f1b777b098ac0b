"""The stream of agents reports when agents were last seen, although a call is no event."""

import pytest
from starlette.types import ASGIApp

from api.streams import seen_agents
from tests.support.api_fixtures import ClientFactory
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
