"""Sign-in on the pages through a provider: the redirect, the callback, and attacks."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import PendingSignIn, SignIn, User
from tests.oidc.conftest import AnyProvider, Installation, InstallationFactory
from tests.support.fake_oidc_provider import CLIENT_ID, FakeProvider
from tests.support.invalid_tokens import SPOILT, WRONG, Tamper, TamperingTransport, drop_none_values
from tests.support.oidc_sign_ins import count, list_users, sign_in_with, start_sign_in

REFUSED = "The sign-in could not be confirmed. Start again."


async def test_the_user_is_signed_in_and_redirected(
    installations: InstallationFactory, provider: AnyProvider, transaction: TransactionFactory
) -> None:
    installation = installations(provider)
    browser = installation.browser()
    back = await sign_in_with(browser, provider, next="/settings?x=1")

    assert (back.status_code, back.headers["Location"]) == (303, "/settings?x=1")
    assert (await browser.get("/settings")).headers["Location"] == "/welcome"
    [user] = await list_users(transaction)
    assert (user.clerk_user_id, user.email) == ("nora", "nora@example.com")
    assert user.email_verified_at
    assert user.password_hash is None

    elsewhere = installation.browser()
    assert (await sign_in_with(elsewhere, provider)).status_code == 303
    assert len(await list_users(transaction)) == 1


async def test_a_callback_is_accepted_once(
    installations: InstallationFactory, provider: AnyProvider, transaction: TransactionFactory
) -> None:
    browser = installations(provider).browser()
    callback = provider.sign_in(await start_sign_in(browser))
    assert (await browser.get(callback)).status_code == 303

    other = installations(provider).browser(cookies=dict(browser.cookies))
    for replaying in (browser, other):
        again = await replaying.get(callback)
        assert again.status_code in (403, 409)
        assert "Start again." in again.text
    assert await count(transaction, SignIn) == 1


async def test_a_replayed_callback_is_rejected_as_used(
    installation: Installation, fake: FakeProvider
) -> None:
    browser = installation.browser()
    callback = fake.sign_in(await start_sign_in(browser))
    stored = dict(browser.cookies)
    await browser.get(callback)

    again = await installation.browser(cookies=stored).get(callback)
    assert again.status_code == 409
    assert "This sign-in has been used already. Start again." in again.text


async def test_a_callback_in_another_browser_is_rejected(
    installations: InstallationFactory, provider: AnyProvider, transaction: TransactionFactory
) -> None:
    installation = installations(provider)
    browser = installation.browser()
    callback = provider.sign_in(await start_sign_in(browser))

    victim = installation.browser()
    caught = await victim.get(callback)
    assert caught.status_code == 403
    assert "another browser" in caught.text
    assert await count(transaction, SignIn) == 0
    assert (await browser.get(callback)).status_code == 303


@pytest.mark.parametrize("state", ["", "never given", "\0"])
async def test_an_unknown_state_is_rejected(installation: Installation, state: str) -> None:
    browser = installation.browser()
    await start_sign_in(browser)
    rejected = await browser.get("/sign-in/oidc/callback", params={"state": state, "code": "x"})
    assert rejected.status_code == 404
    assert "This sign-in is not known here." in rejected.text


async def test_an_expired_sign_in_has_to_be_started_again(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    browser = installation.browser()
    callback = fake.sign_in(await start_sign_in(browser, "/agents"))
    async with transaction() as session:
        await session.execute(update(PendingSignIn).values(expires_at=now()))
    late = await browser.get(callback)
    assert late.status_code == 409
    assert "That took too long. Start again." in late.text


async def test_two_tabs_sign_in_independently(
    installation: Installation, fake: FakeProvider
) -> None:
    browser = installation.browser()
    first, second = [fake.sign_in(await start_sign_in(browser)) for _ in range(2)]
    stored = dict(browser.cookies)
    assert (await browser.get(first)).status_code == 303
    assert (await installation.browser(cookies=stored).get(second)).status_code == 303


@pytest.mark.parametrize("spoil", SPOILT)
async def test_an_id_token_not_signed_by_the_provider_is_rejected(
    installations: InstallationFactory,
    provider: AnyProvider,
    transaction: TransactionFactory,
    spoil: Tamper,
) -> None:
    is_fake = isinstance(provider, FakeProvider)
    inner = provider.transport if is_fake else httpx2.AsyncHTTPTransport()
    browser = installations(provider, transport=TamperingTransport(inner, spoil)).browser()
    rejected = await sign_in_with(browser, provider)
    assert rejected.status_code == 401
    assert REFUSED in rejected.text
    assert await count(transaction, User) == await count(transaction, SignIn) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        *WRONG.values(),
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another client", "azp": CLIENT_ID},
        {"aud": [CLIENT_ID, "another client"]},
        {"azp": "another client"},
        {"at_hash": "of another token"},
    ],
)
async def test_an_id_token_for_another_audience_is_rejected(
    installation: Installation,
    fake: FakeProvider,
    transaction: TransactionFactory,
    wrong: dict[str, Any],
) -> None:
    fake.sign = lambda claims: fake.token(drop_none_values(claims | wrong))
    rejected = await sign_in_with(installation.browser(), fake)
    assert rejected.status_code == 401
    assert await count(transaction, User) == await count(transaction, SignIn) == 0


async def test_userinfo_about_another_subject_is_ignored(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    fake.override_userinfo = lambda claims: claims | {"sub": "olga"}
    assert (await sign_in_with(installation.browser(), fake)).status_code == 401
    assert await count(transaction, User) == 0


async def test_an_address_is_verified_only_if_the_claim_says_so(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    """The token has one address; a claim about another one does not apply to it."""
    fake.sign = lambda claims: fake.token(claims | {"email": "alice@example.com"})
    await sign_in_with(installation.browser(), fake)
    [user] = await list_users(transaction)
    assert (user.email, user.email_verified_at) == ("alice@example.com", None)


async def test_a_cancelled_sign_in_shows_a_message(
    installation: Installation, fake: FakeProvider
) -> None:
    browser = installation.browser()
    state = httpx2.URL(await start_sign_in(browser)).params["state"]
    response = {"state": state, "error": "access_denied", "error_description": "<b>no</b>"}
    rejected = await browser.get("/sign-in/oidc/callback", params=response)
    assert rejected.status_code == 403
    assert "The provider refused the sign-in, or you cancelled it. Try again." in rejected.text
    assert "<b>no" not in rejected.text


async def test_an_unreachable_provider_leaves_the_password_form(
    installation: Installation, fake: FakeProvider
) -> None:
    fake.is_down = True
    browser = installation.browser()
    page = await browser.get("/sign-in/oidc")
    assert page.status_code == 503
    assert "The sign-in service does not answer." in page.text
    assert 'name="password"' in page.text


async def test_a_provider_lost_during_sign_in_shows_a_message(
    installation: Installation, fake: FakeProvider
) -> None:
    browser = installation.browser()
    callback = fake.sign_in(await start_sign_in(browser))
    fake.is_down = True
    assert (await browser.get(callback)).status_code == 503


@pytest.mark.parametrize(
    "published",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://id.example.com/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
    ],
)
async def test_a_provider_with_invalid_metadata_is_not_used(
    installation: Installation, fake: FakeProvider, published: dict[str, Any]
) -> None:
    fake.metadata = published
    assert (await installation.browser().get("/sign-in/oidc")).status_code == 503


@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_redirects_never_lead_to_another_site(
    installation: Installation, fake: FakeProvider, next: str
) -> None:
    back = await sign_in_with(installation.browser(), fake, next=next)
    assert back.headers["Location"] == "/"


async def test_a_long_path_is_not_stored(installation: Installation, fake: FakeProvider) -> None:
    """Each start of a sign-in stores the path, without an account."""
    longest = f"/boards?q={'x' * 7_990}"
    for path, kept in [(longest, longest), (f"{longest}x", "/")]:
        back = await sign_in_with(installation.browser(), fake, next=path)
        assert back.headers["Location"] == kept


async def test_the_button_is_shown_if_there_is_a_provider(
    installation: Installation, anonymous: httpx2.AsyncClient
) -> None:
    page = (await installation.browser().get("/sign-in?next=/agents%3Fa%3D1%26b%3D2")).text
    assert 'href="/sign-in/oidc?next=/agents%3Fa%3D1%26b%3D2"' in page
    assert "Continue with Example" in page
    assert "/sign-in/oidc" not in (await anonymous.get("/sign-in")).text
    for path in ("/sign-in/oidc", "/sign-in/oidc/callback"):
        assert (await anonymous.get(path)).status_code == 404


async def test_starting_sign_ins_is_rate_limited_per_browser(installation: Installation) -> None:
    browser = installation.browser()
    tries = [(await browser.get("/sign-in/oidc")).status_code for _ in range(201)]
    assert tries == [303] * 200 + [429]
    assert (await installation.browser().get("/sign-in/oidc")).status_code == 303
