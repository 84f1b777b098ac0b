"""The health and readiness probes."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sse_starlette.sse import AppStatus

from core.config.settings import Settings
from tests.support.api_fixtures import Client, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.world import World


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
async def test_health_endpoints_are_public(anonymous: Client, path: str) -> None:
    response = await anonymous.get(f"http://mission.test{path}")
    assert response.status_code == 200
    assert response.json()["ok"] is True


@pytest.fixture
async def offline_client(settings: Settings) -> AsyncIterator[Client]:
    """A client of an application whose database is unreachable."""
    offline_settings = settings.with_database("postgresql://postgres@127.0.0.1:1/gone")
    engine = create_async_engine(offline_settings.sqlalchemy_url)
    yield create_client(build_app_on(offline_settings, async_sessionmaker(engine).begin), None)
    await engine.dispose()


async def test_without_a_database_the_process_is_alive_but_not_ready(
    offline_client: Client,
) -> None:
    """C32."""
    ready = await offline_client.get("http://mission.test/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"ok": False, "failed": ["database"]}
    assert (await offline_client.get("http://mission.test/health")).status_code == 200


async def test_without_a_database_the_api_returns_an_error_envelope(
    offline_client: Client, world: World
) -> None:
    offline_client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    response = await offline_client.get("/boards")
    assert response.status_code == 503
    assert response.json()["code"] == "unavailable"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


async def test_readiness_does_not_wait_for_a_silent_database(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C32."""
    monkeypatch.setattr("services.readiness.CHECK_TIMEOUT", 0.2)

    @asynccontextmanager
    async def stuck() -> AsyncGenerator[None, None]:
        await asyncio.sleep(60)
        yield None

    start = time.monotonic()
    client = create_client(build_app_on(settings, stuck), None)
    response = await client.get("http://mission.test/readyz")
    assert response.status_code == 503
    assert time.monotonic() - start < 4


async def test_the_process_is_not_ready_during_shutdown(
    anonymous: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C32."""
    monkeypatch.setattr(AppStatus, "should_exit", True)
    assert (await anonymous.get("http://mission.test/readyz")).status_code == 503


async def test_an_unexpected_error_returns_an_envelope_without_details(
    settings: Settings,
) -> None:
    """S16, S19: with the CORS headers that let a page read it."""

    @asynccontextmanager
    async def broken() -> AsyncGenerator[None, None]:
        raise ZeroDivisionError("the secret word")
        yield None

    origin = "https://control.example"
    api_app = build_app_on(settings.model_copy(update={"cors_origins": (origin,)}), broken)
    client = create_client(api_app, None)
    client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    response = await client.get("/boards", headers={"Origin": origin})
    assert response.status_code == 500
    assert response.json()["detail"] == "Internal Server Error"
    assert response.json()["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert "secret" not in response.text


@asynccontextmanager
async def lost_connection() -> AsyncGenerator[None, None]:
    """A transaction whose connection was lost."""
    raise OperationalError("select 1", {}, ConnectionResetError())
    yield None


async def test_a_wrong_call_of_the_driver_is_a_server_error(
    settings: Settings, session: AsyncSession, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def broken() -> AsyncGenerator[None, None]:
        await (await session.connection()).exec_driver_sql("select 1", (7,))
        yield None

    client = create_client(build_app_on(settings, broken), None)
    client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    assert (await client.get("/boards")).status_code == 500
    [record] = [one for one in caplog.records if one.name == "mission_control" and one.exc_info]
    assert record.getMessage() == "The request GET /api/v1/boards has failed."


async def test_a_lost_connection_is_an_outage_and_not_a_server_error(settings: Settings) -> None:
    client = create_client(build_app_on(settings, lost_connection), None)
    client.headers["Authorization"] = "Bearer mc_user_somebody-or-other-calls-here"
    assert (await client.get("/boards")).status_code == 503
