"""The application and its API clients, each with the token of a user or agent of the test world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

import httpx2
import pytest
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, User
from services.events import EventFeed
from tests.support.app_on_transactions import build_app_on
from tests.support.people_rows import token_secret
from tests.support.world import World

Client: TypeAlias = httpx2.AsyncClient
ClientFactory: TypeAlias = Callable[[User | Agent | None], Client]


HIGH_RATE_LIMITS = dict.fromkeys(
    ["rate_limit_failed_auth", "rate_limit_requests", "rate_limit_webhooks"], 1_000_000
)


@pytest.fixture
def api_settings(settings: Settings) -> Settings:
    """Settings with rate limits that no test reaches."""
    return settings.model_copy(update=HIGH_RATE_LIMITS)


@pytest.fixture
def api_app(api_settings: Settings, transaction: TransactionFactory) -> ASGIApp:
    """The application on the test's transactions."""
    listener = PostgresListener()
    feed = EventFeed(transaction, listener)
    return build_app_on(api_settings, transaction, listener=listener, event_feed=feed)


@pytest.fixture
async def committing_api_app(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> AsyncIterator[ASGIApp]:
    """The application on a database of its own, with real commits and notifications."""
    settings = isolated_settings.model_copy(update=HIGH_RATE_LIMITS)
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(settings.dsn))
    await asyncio.wait_for(listener.connected.wait(), 10)
    feed = EventFeed(isolated_transaction, listener)
    yield build_app_on(settings, isolated_transaction, listener=listener, event_feed=feed)
    await feed.close()
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@pytest.fixture
def client_for(api_app: ASGIApp) -> ClientFactory:
    """A factory of clients with the token of a user or agent, or without a token."""
    return lambda actor: create_client(api_app, actor)


@pytest.fixture
def committing_client_for(committing_api_app: ASGIApp) -> ClientFactory:
    """The same for `committing_api_app`."""
    return lambda actor: create_client(committing_api_app, actor)


def create_client(api_app: ASGIApp, actor: User | Agent | None) -> Client:
    """Create a client with the token of a user or agent, or without. It need not be closed."""
    headers = {"Authorization": f"Bearer {token_secret(actor)}"} if actor else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(api_app),
        base_url="http://mission.test/api/v1",
        headers=headers,
    )


@pytest.fixture
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """End all waits of requests at once, as a server does that stops."""
    monkeypatch.setattr(AppStatus, "should_exit", True)


@pytest.fixture
def alice(client_for: ClientFactory, world: World) -> Client:
    """The owner of Tern."""
    return client_for(world.alice)


@pytest.fixture
def bob(client_for: ClientFactory, world: World) -> Client:
    """A member who may change Launch."""
    return client_for(world.bob)


@pytest.fixture
def rita(client_for: ClientFactory, world: World) -> Client:
    """A member who may only read Launch."""
    return client_for(world.rita)


@pytest.fixture
def dana(client_for: ClientFactory, world: World) -> Client:
    """An admin without rights on boards."""
    return client_for(world.dana)


@pytest.fixture
def charlie(client_for: ClientFactory, world: World) -> Client:
    """A user of another organization."""
    return client_for(world.charlie)


@pytest.fixture
def worker(client_for: ClientFactory, world: World) -> Client:
    """An agent on Launch."""
    return client_for(world.worker)


@pytest.fixture
def other_worker(client_for: ClientFactory, world: World) -> Client:
    """Another agent on Launch."""
    return client_for(world.other_worker)


@pytest.fixture
def lead(client_for: ClientFactory, world: World) -> Client:
    """The lead of Launch."""
    return client_for(world.lead)


@pytest.fixture
def anonymous(client_for: ClientFactory) -> Client:
    """A client without a token."""
    return client_for(None)


@pytest.fixture
def local_client_for(api_settings: Settings, transaction: TransactionFactory) -> ClientFactory:
    """A factory of clients with the local token of the settings."""
    token = "a token that is longer than fifty characters, as it has to be"
    settings = Settings(
        **api_settings.model_dump(exclude={"auth_mode", "local_auth_token"}),
        auth_mode="local",
        local_auth_token=token,
    )
    application = build_app_on(settings, transaction)

    def client(_actor: User | Agent | None) -> Client:
        client_with_token = create_client(application, None)
        client_with_token.headers["Authorization"] = f"bearer   {token}  "
        return client_with_token

    return client
