"""Providers to sign in through: one that lives in the test, and a real one."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

import app
from kit.clock import now
from kit.doorbell import Doorbell
from kit.openid import Provider
from kit.settings import Settings
from models import FirstRunLink
from services.events import Feed
from tests.conftest import Transaction
from tests.oidc.fake import CLIENT_ID, CLIENT_SECRET, FakeProvider
from tests.oidc.real import Missing, RealProvider, running
from tests.web.conftest import OUR_OWN_PAGE, browsers, nobody

__all__ = ["browsers", "nobody"]

HERE = "http://mission.test"
CALLBACK = f"{HERE}/sign-in/oidc/callback"

AnyProvider: TypeAlias = FakeProvider | RealProvider


@pytest.fixture(scope="session")
def real_provider() -> Iterator[RealProvider]:
    """The real one. It lives as long as the tests do."""
    try:
        with running(CALLBACK) as provider:
            yield provider
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture
def fake() -> FakeProvider:
    """The one that can be told to misbehave."""
    return FakeProvider()


@pytest.fixture(params=["fake", "real"])
def provider(request: pytest.FixtureRequest, fake: FakeProvider) -> AnyProvider:
    """Either."""
    return fake if request.param == "fake" else request.getfixturevalue("real_provider")


def settings_for(provider: AnyProvider, settings: Settings, **more: Any) -> Settings:
    """Return settings with a provider to sign in through."""
    oidc = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_name": "Example",
        "base_url": HERE,
    }
    return settings.model_copy(update=oidc | more)


class House:
    """Mission Control with a provider, and browsers and scripts that come to it."""

    def __init__(
        self, settings: Settings, transaction: Transaction, client: Provider | None
    ) -> None:
        doorbell = Doorbell()
        self.settings = settings
        self.transaction = transaction
        self.client = client
        self._app = app.build(settings)
        feed = Feed(transaction, doorbell)
        self._state = app.state_of(settings, transaction, doorbell, feed) | {"provider": client}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "state": dict(self._state)}, receive, send)

    def browser(self, **options: Any) -> httpx2.AsyncClient:
        """Open a browser that nobody has signed in with."""
        transport = httpx2.ASGITransport(self)
        return httpx2.AsyncClient(
            transport=transport, base_url=HERE, headers=OUR_OWN_PAGE, **options
        )

    def script(self, token: str) -> httpx2.AsyncClient:
        """Open a client of the API with a bearer token."""
        bearer = {"Authorization": f"Bearer {token}"}
        transport = httpx2.ASGITransport(self)
        return httpx2.AsyncClient(transport=transport, base_url=f"{HERE}/api/v1", headers=bearer)


Houses: TypeAlias = Callable[..., House]


@pytest.fixture
async def houses(settings: Settings, transaction: Transaction) -> AsyncIterator[Houses]:
    """Builds houses, each with its provider, in which the first owner has come in."""
    clients: list[Provider] = []
    async with transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))

    def build(
        provider: AnyProvider, *, transport: httpx2.AsyncBaseTransport | None = None, **more: Any
    ) -> House:
        wanted = settings_for(provider, settings, **more)
        if transport is None and isinstance(provider, FakeProvider):
            transport = provider.transport
        client = Provider(wanted, transport)
        clients.append(client)
        return House(wanted, transaction, client)

    yield build
    for client in clients:
        await client.close()


@pytest.fixture
def house(houses: Houses, fake: FakeProvider) -> House:
    """The house whose provider is the fake one."""
    return houses(fake)
