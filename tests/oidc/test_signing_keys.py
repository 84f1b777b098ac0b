"""Fetching the signing keys of a provider: how often, and what happens if it does not answer."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from core.config.settings import Settings
from core.security.openid import EXPIRE_AFTER, REFRESH_AFTER, RETRY_INTERVAL, OpenIdProvider
from tests.oidc.conftest import settings_for
from tests.oidc.test_provider import Clock
from tests.support.fake_oidc_provider import FakeProvider

KEYS = "/keys"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(fake: FakeProvider, clock: Clock) -> AsyncIterator[OpenIdProvider]:
    created = OpenIdProvider(settings_for(fake, Settings()), fake.transport, clock)
    yield created
    await created.close()


async def test_concurrent_requests_fetch_the_keys_once(
    client: OpenIdProvider, fake: FakeProvider
) -> None:
    """S22."""
    token = fake.token(fake.claims("nora"))
    found = await asyncio.gather(*[client.verify_bearer(token) for _ in range(50)])
    assert all(found)
    assert fake.asked == {KEYS: 1, "/.well-known/openid-configuration": 1}


async def test_unknown_key_ids_rarely_query_the_provider(
    client: OpenIdProvider, fake: FakeProvider, clock: Clock
) -> None:
    await client.verify_bearer(fake.token(fake.claims("nora")))
    for minute in range(6):
        clock.at += RETRY_INTERVAL if minute % 2 else 0
        made_up = [fake.token(fake.claims("x"), kid=secrets.token_hex()) for _ in range(20)]
        assert not any(await asyncio.gather(*[client.verify_bearer(token) for token in made_up]))
    assert fake.asked[KEYS] == 4


async def test_changed_keys_are_fetched_and_old_ones_are_rejected(
    client: OpenIdProvider, fake: FakeProvider, clock: Clock
) -> None:
    old = fake.token(fake.claims("nora"))
    assert await client.verify_bearer(old)
    fake.rotate()
    clock.at += RETRY_INTERVAL
    assert await client.verify_bearer(fake.token(fake.claims("nora")))
    assert await client.verify_bearer(old) is None


async def test_an_unreachable_provider_is_tolerated_for_a_day(
    client: OpenIdProvider, fake: FakeProvider, clock: Clock
) -> None:
    token = fake.token(fake.claims("nora"))
    assert await client.verify_bearer(token)
    fake.is_down = True
    clock.at = REFRESH_AFTER + 1
    assert await client.verify_bearer(token)
    clock.at = EXPIRE_AFTER - 1
    assert await client.verify_bearer(token)


async def test_an_endless_response_is_not_read(client: OpenIdProvider, fake: FakeProvider) -> None:
    fake.metadata = {"padding": "x" * 1_000_000}
    with pytest.raises(Exception, match="does not answer"):
        await client.verify_bearer(fake.token(fake.claims("nora")))
