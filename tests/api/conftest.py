"""The callers of the API: each a client with the token of somebody of the world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

import httpx2
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

import app
from kit.doorbell import Doorbell
from kit.settings import Settings
from models import Agent, User
from services.events import Feed
from tests.conftest import Transaction
from tests.world import World, token_of

Client: TypeAlias = httpx2.AsyncClient
Caller: TypeAlias = Callable[[User | Agent | None], Client]


PLENTY = {"rate_limit_failed_auth": 1_000_000, "rate_limit_requests": 1_000_000}


@pytest.fixture
def house_settings(settings: Settings) -> Settings:
    """The settings of the house. A test that walks through it is no attack."""
    return settings.model_copy(update=PLENTY)


@pytest.fixture
def house(house_settings: Settings, transaction: Transaction) -> ASGIApp:
    """Mission Control, on the transactions of the test."""
    return house_on(house_settings, transaction)


def house_on(settings: Settings, transaction: Transaction) -> ASGIApp:
    """Build Mission Control on somebody's transactions."""
    mission_control = app.build(settings)
    doorbell = Doorbell()
    state = app.state_of(settings, transaction, doorbell, Feed(transaction, doorbell))

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await mission_control({**scope, "state": dict(state)}, receive, send)

    return with_state


@pytest.fixture
async def real_house(
    own_settings: Settings, real_transaction: Transaction
) -> AsyncIterator[ASGIApp]:
    """Mission Control on a database of the test's own, where commits are real and bells ring."""
    settings = own_settings.model_copy(update=PLENTY)
    mission_control = app.build(settings)
    doorbell = Doorbell()
    listening = asyncio.create_task(doorbell.listen(settings.dsn))
    await asyncio.wait_for(doorbell.listening.wait(), 10)
    feed = Feed(real_transaction, doorbell)
    state = app.state_of(settings, real_transaction, doorbell, feed)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await mission_control({**scope, "state": dict(state)}, receive, send)

    yield with_state
    await feed.close()
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


@pytest.fixture
def calling(house: ASGIApp) -> Caller:
    """Makes clients with somebody's token, or with none."""
    return lambda who: client_of(house, who)


@pytest.fixture
def really_calling(real_house: ASGIApp) -> Caller:
    """The same, where commits are real."""
    return lambda who: client_of(real_house, who)


def client_of(house: ASGIApp, who: User | Agent | None) -> Client:
    """Make a client with somebody's token, or with none. It holds nothing that must be closed."""
    headers = {"Authorization": f"Bearer {token_of(who)}"} if who else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(house),
        base_url="http://mission.test/api/v1",
        headers=headers,
    )


@pytest.fixture
def alice(calling: Caller, world: World) -> Client:
    """Who owns Tern."""
    return calling(world.alice)


@pytest.fixture
def bob(calling: Caller, world: World) -> Client:
    """Who may change Launch."""
    return calling(world.bob)


@pytest.fixture
def rita(calling: Caller, world: World) -> Client:
    """Who may only read Launch."""
    return calling(world.rita)


@pytest.fixture
def dana(calling: Caller, world: World) -> Client:
    """An admin without any board."""
    return calling(world.dana)


@pytest.fixture
def charlie(calling: Caller, world: World) -> Client:
    """A stranger."""
    return calling(world.charlie)


@pytest.fixture
def worker(calling: Caller, world: World) -> Client:
    """An agent that works on Launch."""
    return calling(world.worker)


@pytest.fixture
def other_worker(calling: Caller, world: World) -> Client:
    """Another agent that works on Launch."""
    return calling(world.other_worker)


@pytest.fixture
def lead(calling: Caller, world: World) -> Client:
    """The lead of Launch."""
    return calling(world.lead)


@pytest.fixture
def nobody(calling: Caller) -> Client:
    """Who has no token."""
    return calling(None)


@pytest.fixture
def local(house_settings: Settings, transaction: Transaction) -> Caller:
    """Makes clients with the token of the settings, in local mode."""
    token = "a token that is longer than fifty characters, as it has to be"
    settings = Settings(
        **house_settings.model_dump(exclude={"auth_mode", "local_auth_token"}),
        auth_mode="local",
        local_auth_token=token,
    )
    mission_control = app.build(settings)
    state = app.state_of(settings, transaction, Doorbell(), None)

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await mission_control({**scope, "state": dict(state)}, receive, send)

    def client(_who: User | Agent | None) -> Client:
        made = client_of(with_state, None)
        made.headers["Authorization"] = f"bearer   {token}  "
        return made

    return client
