"""What is expected of any provider, asked of the fake one and of the real one."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from kit.errors import Unauthorized
from kit.openid import Provider
from kit.openid_kept import PAUSE
from kit.settings import Settings
from tests.oidc.conftest import CALLBACK, AnyProvider, settings_for
from tests.oidc.fake import FakeProvider

VERIFIER = "v" * 43


class Clock:
    """A clock that the test moves on."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(provider: AnyProvider, clock: Clock) -> AsyncIterator[Provider]:
    transport = provider.transport if isinstance(provider, FakeProvider) else None
    made = Provider(settings_for(provider, Settings()), transport, clock)
    yield made
    await made.close()


async def sent_back(client: Provider, provider: AnyProvider) -> dict[str, str]:
    """Return what a browser brings back that was signed in."""
    address = await client.sign_in_address(
        redirect_uri=CALLBACK, state="the state", nonce="the nonce", verifier=VERIFIER
    )
    back = urlsplit(provider.let_in(address))
    assert f"{back.scheme}://{back.netloc}{back.path}" == CALLBACK
    return {name: value[0] for name, value in parse_qs(back.query).items()}


async def claims_of(client: Provider, back: dict[str, str], **other: str) -> dict[str, object]:
    asked = {"redirect_uri": CALLBACK, "nonce": "the nonce", "verifier": VERIFIER} | other
    return dict(await client.claims_for(back["code"], issuer=back["iss"], **asked))


async def test_whoever_is_let_in_is_described(client: Provider, provider: AnyProvider) -> None:
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
async def test_a_code_is_good_only_for_who_has_begun(
    client: Provider, provider: AnyProvider, other: dict[str, str]
) -> None:
    back = await sent_back(client, provider)
    with pytest.raises(Unauthorized):
        await claims_of(client, back, **other)


async def test_a_code_is_good_once(client: Provider, provider: AnyProvider) -> None:
    back = await sent_back(client, provider)
    await claims_of(client, back)
    with pytest.raises(Unauthorized):
        await claims_of(client, back)


async def test_an_answer_of_another_issuer_is_not_taken(
    client: Provider, provider: AnyProvider
) -> None:
    back = await sent_back(client, provider)
    with pytest.raises(Unauthorized):
        await claims_of(client, back | {"iss": "https://evil.example"})


async def test_new_keys_are_noticed(client: Provider, provider: AnyProvider, clock: Clock) -> None:
    await claims_of(client, await sent_back(client, provider))
    provider.rotate()
    clock.at += PAUSE
    await claims_of(client, await sent_back(client, provider))
