"""OpenID Connect providers for tests: a fake one in the process, and a real one."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.security.openid import OpenIdProvider
from models import FirstRunLink
from services.events import EventFeed
from tests.support.app_on_transactions import build_app_on
from tests.support.fake_oidc_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider
from tests.support.installed_packages import PackagesMissing
from tests.support.real_oidc_provider import RealProvider, run_provider
from tests.web.conftest import SAME_ORIGIN_HEADERS, anonymous, browsers

__all__ = ["anonymous", "browsers"]

HERE = "http://mission.test"
CALLBACK = f"{HERE}/sign-in/oidc/callback"

AnyProvider: TypeAlias = FakeProvider | RealProvider


@pytest.fixture(scope="session")
def real_provider() -> Iterator[RealProvider]:
    """The real provider, running for the whole test session."""
    try:
        with run_provider(CALLBACK) as provider:
            yield provider
    except PackagesMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture
def fake() -> FakeProvider:
    """The fake provider, which can be made to misbehave."""
    return FakeProvider()


@pytest.fixture(params=["fake", "real"])
def provider(request: pytest.FixtureRequest, fake: FakeProvider) -> AnyProvider:
    """Each of the two providers."""
    return fake if request.param == "fake" else request.getfixturevalue("real_provider")


def settings_for(provider: AnyProvider, settings: Settings, **more: Any) -> Settings:
    """Return settings with an OpenID Connect provider."""
    oidc = {
        "oidc_issuer": provider.issuer,
        "oidc_client_id": CLIENT_ID,
        "oidc_client_secret": CLIENT_SECRET,
        "oidc_name": "Example",
        "base_url": HERE,
    }
    return settings.model_copy(update=oidc | more)


class Installation:
    """An installation with a provider, and browsers and API clients that call it."""

    def __init__(
        self, settings: Settings, transaction: TransactionFactory, client: OpenIdProvider | None
    ) -> None:
        doorbell = PostgresListener()
        self.settings = settings
        self.transaction = transaction
        self.client = client
        feed = EventFeed(transaction, doorbell)
        self._app = build_app_on(
            settings, transaction, listener=doorbell, event_feed=feed, provider=client
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def browser(self, **options: Any) -> httpx2.AsyncClient:
        """Return a client for pages that is not signed in."""
        transport = httpx2.ASGITransport(self)
        return httpx2.AsyncClient(
            transport=transport, base_url=HERE, headers=SAME_ORIGIN_HEADERS, **options
        )

    def script(self, token: str) -> httpx2.AsyncClient:
        """Return a client of the API with a bearer token."""
        bearer = {"Authorization": f"Bearer {token}"}
        transport = httpx2.ASGITransport(self)
        return httpx2.AsyncClient(transport=transport, base_url=f"{HERE}/api/v1", headers=bearer)


InstallationFactory: TypeAlias = Callable[..., Installation]


@pytest.fixture
async def installations(
    settings: Settings, transaction: TransactionFactory
) -> AsyncIterator[InstallationFactory]:
    """Build installations with a provider and a first owner."""
    clients: list[OpenIdProvider] = []
    async with transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))

    def build(
        provider: AnyProvider, *, transport: httpx2.AsyncBaseTransport | None = None, **more: Any
    ) -> Installation:
        wanted = settings_for(provider, settings, **more)
        if transport is None and isinstance(provider, FakeProvider):
            transport = provider.transport
        client = OpenIdProvider(wanted, transport)
        clients.append(client)
        return Installation(wanted, transaction, client)

    yield build
    for client in clients:
        await client.close()


@pytest.fixture
def installation(installations: InstallationFactory, fake: FakeProvider) -> Installation:
    """The installation with the fake provider."""
    return installations(fake)
