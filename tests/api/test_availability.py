"""Limits of the API that protect other callers."""

import asyncio
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.http.incomplete_requests import IncompleteRequestMiddleware
from tests.services.test_agent_tokens import IMPORTED, add_imported_token
from tests.support.api_fixtures import create_client
from tests.support.people_rows import token_secret
from tests.support.stream_client import open_stream
from tests.support.world import World


@pytest.fixture
def isolated_settings(isolated_settings: Settings) -> Settings:
    """Settings that allow two streams."""
    return isolated_settings.model_copy(update={"rate_limit_streams": 2})


async def test_open_streams_are_limited(committing_api_app: ASGIApp, isolated_world: World) -> None:
    app, world = committing_api_app, isolated_world
    path = f"/boards/{world.board.id}/tasks/stream"
    worker = create_client(app, world.worker)
    async with open_stream(app, world.worker, path), open_stream(app, world.worker, path):
        refused = await worker.get(path)
        assert refused.status_code == 429
        assert refused.json()["code"] == "rate_limited"
        assert refused.json()["detail"] == "Too many open event streams. Try again in 5 s."
        assert refused.headers["Retry-After"] == "5"
        async with open_stream(app, world.alice, path) as other:
            assert other.status == 200
        assert (await create_client(app, None).get(path)).status_code == 401
    async with open_stream(app, world.worker, path) as again:
        assert again.status == 200


async def request_slowly(app: ASGIApp, path: str, token: str) -> list[Message]:
    """Send headers and no body, and return the response."""
    sent: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token}".encode())]
    address: dict[str, Any] = {"path": path, "raw_path": path.encode(), "root_path": ""}
    scope = {"type": "http", "method": "POST", "headers": headers, "query_string": b"", **address}
    await app(
        {**scope, "client": ("192.0.2.1", 1), "scheme": "http", "server": ("a", 80)}, receive, send
    )
    return sent


async def test_a_request_that_does_not_arrive_ends_with_408(
    api_app: ASGIApp, api_settings: Settings, world: World
) -> None:
    limited = IncompleteRequestMiddleware(api_app, timeout=0.01)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await limited({**scope, "state": {"settings": api_settings}}, receive, send)

    path = f"/api/v1/boards/{world.board.id}/tasks"
    start, body = await request_slowly(app, path, token_secret(world.alice))
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert b'"code":"request_timeout"' in body["body"].replace(b": ", b":")


async def test_imported_tokens_work_despite_outdated_ones(
    api_app: ASGIApp, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        await add_imported_token(session, world.worker)
    client = create_client(api_app, None)
    for number in range(5):
        client.headers["X-Agent-Token"] = f"outdated-token-of-another-installation-{number}"
        assert (await client.get("/agent/healthz")).status_code == 401
    client.headers["X-Agent-Token"] = IMPORTED
    assert (await client.get("/agent/healthz")).status_code == 200
    assert (await client.get("/agent/healthz")).status_code == 200


async def test_a_short_imported_token_works_more_than_once(
    api_app: ASGIApp, transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        await add_imported_token(session, world.worker, "a short token")
    client = create_client(api_app, None)
    client.headers["Authorization"] = "Bearer a short token"
    for _ in range(2):
        assert (await client.get(f"/boards/{world.board.id}/tasks")).status_code == 200
