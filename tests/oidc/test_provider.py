"""The behaviour that is expected of every provider, tested with the fake and the real one."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from core.config.settings import Settings
from core.errors import Unauthorized
from core.security.openid import RETRY_INTERVAL, OpenIdProvider
from tests.oidc.conftest import CALLBACK, AnyProvider, settings_for
from tests.support.fake_oidc_provider import FakeProvider

VERIFIER = "v" * 43


class Clock:
    """A clock that the test advances."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(provider: AnyProvider, clock: Clock) -> AsyncIterator[OpenIdProvider]:
    transport = provider.transport if isinstance(provider, FakeProvider) else None
    created = OpenIdProvider(settings_for(provider, Settings()), transport, clock)
    yield created
    await created.close()


async def sent_back(client: OpenIdProvider, provider: AnyProvider) -> dict[str, str]:
    """Return the parameters of the redirect back after a sign-in."""
    address = await client.build_authorization_url(
        redirect_uri=CALLBACK, state="the state", nonce="the nonce", verifier=VERIFIER
    )
    back = urlsplit(provider.sign_in(address))
    assert f"{back.scheme}://{back.netloc}{back.path}" == CALLBACK
    return {name: value[0] for name, value in parse_qs(back.query).items()}


async def claims_of(
    client: OpenIdProvider, back: dict[str, str], **other: str
) -> dict[str, object]:
    requested: dict[str, Any] = {
        "redirect_uri": CALLBACK,
        "nonce": "the nonce",
        "verifier": VERIFIER,
        **other,
    }
    return dict(await client.exchange_code(back["code"], issuer=back["iss"], **requested))


async def test_the_id_token_describes_the_user(
    client: OpenIdProvider, provider: AnyProvider
) -> None:
    back = await sent_back(client, provider)
    assert back["state"] == "the state"
    claims = await claims_of(client, back)
    assert claims["iss"] == back["iss"] == provider.issuer
    assert (claims["sub"], claims["email"]) == ("nora", "nora@example.com")
    assert claims["email_verified"] is True
    assert str(claims["name"])


@pytest.mark.parametrize(
    "other",
    [{"verifier": "w" * 43}, {"redirect_uri": f"{CALLBACK}/other"}, {"nonce": "another"}],
)
async def test_a_code_is_valid_only_for_its_own_sign_in(
    client: OpenIdProvider, provider: AnyProvider, other: dict[str, str]
) -> None:
    back = await sent_back(client, provider)
    with pytest.raises(Unauthorized):
        await claims_of(client, back, **other)


async def test_a_code_is_valid_once(client: OpenIdProvider, provider: AnyProvider) -> None:
    back = await sent_back(client, provider)
    await claims_of(client, back)
    with pytest.raises(Unauthorized):
        await claims_of(client, back)


async def test_a_response_of_another_issuer_is_rejected(
    client: OpenIdProvider, provider: AnyProvider
) -> None:
    back = await sent_back(client, provider)
    with pytest.raises(Unauthorized):
        await claims_of(client, back | {"iss": "https://evil.example"})


async def test_new_keys_are_fetched(
    client: OpenIdProvider, provider: AnyProvider, clock: Clock
) -> None:
    await claims_of(client, await sent_back(client, provider))
    provider.rotate()
    clock.at += RETRY_INTERVAL
    await claims_of(client, await sent_back(client, provider))
