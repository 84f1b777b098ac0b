"""The probes: whether the process lives, and whether it can work."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp, Receive, Scope, Send

import app
from kit.doorbell import Doorbell
from kit.settings import Settings
from tests.api.conftest import Client, client_of
from tests.world import World


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
async def test_a_house_that_works_says_so_to_anybody(nobody: Client, path: str) -> None:
    response = await nobody.get(f"http://mission.test{path}")
    assert response.status_code == 200
    assert response.json() == {"ok": True}


def without_database(settings: Settings, transaction: Any) -> ASGIApp:
    """Mission Control with transactions that do not work."""
    mission_control = app.build(settings)
    state = app.state_of(settings, transaction, Doorbell(), None)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await mission_control({**scope, "state": dict(state)}, receive, send)

    return with_state


@pytest.fixture
async def away(settings: Settings) -> AsyncIterator[Client]:
    """A house whose database is away: nobody listens on its port."""
    gone = settings.with_database("postgresql://postgres@127.0.0.1:1/gone")
    engine = create_async_engine(gone.sqlalchemy_url)
    yield client_of(without_database(gone, async_sessionmaker(engine).begin), None)
    await engine.dispose()


async def test_without_its_database_it_lives_and_is_not_ready(away: Client) -> None:
    """C32."""
    ready = await away.get("http://mission.test/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"ok": False}
    assert (await away.get("http://mission.test/health")).status_code == 200


async def test_without_its_database_the_api_says_so_in_its_envelope(
    away: Client, world: World
) -> None:
    away.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    response = await away.get("/boards")
    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


async def test_a_database_that_does_not_answer_is_not_waited_for(settings: Settings) -> None:
    """C32."""

    @asynccontextmanager
    async def stuck() -> AsyncGenerator[None, None]:
        await asyncio.sleep(60)
        yield None

    start = time.monotonic()
    client = client_of(without_database(settings, stuck), None)
    response = await client.get("http://mission.test/readyz")
    assert response.status_code == 503
    assert time.monotonic() - start < 4


async def test_a_house_that_is_closing_is_not_ready(
    nobody: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C32."""
    monkeypatch.setattr(AppStatus, "should_exit", True)
    assert (await nobody.get("http://mission.test/readyz")).status_code == 503


async def test_what_nobody_expected_is_told_in_the_envelope_and_nothing_of_it_leaks(
    settings: Settings,
) -> None:
    """S16, S19: with the headers by which a browser lets the page read it."""

    @asynccontextmanager
    async def broken() -> AsyncGenerator[None, None]:
        raise ZeroDivisionError("the secret word")
        yield None

    origin = "https://control.example"
    house = without_database(settings.model_copy(update={"cors_origins": (origin,)}), broken)
    client = client_of(house, None)
    client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    response = await client.get("/boards", headers={"Origin": origin})
    assert response.status_code == 500
    assert response.json()["detail"] == "Internal Server Error"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert "secret" not in response.text


@asynccontextmanager
async def lost() -> AsyncGenerator[None, None]:
    """A transaction whose connection was lost."""
    raise OperationalError("select 1", {}, ConnectionResetError())
    yield None


async def test_a_connection_that_was_lost_is_an_outage_and_no_mistake(settings: Settings) -> None:
    client = client_of(without_database(settings, lost), None)
    client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    assert (await client.get("/boards")).status_code == 503
