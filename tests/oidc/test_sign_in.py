"""Sign-in on the pages through a provider: the redirect, the callback, and attacks."""

import html
import re
import time
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_password, hash_token
from models import ExternalIdentity, FirstRunLink, Invite, PendingSignIn, SignIn, User
from tests.oidc.conftest import AnyProvider, Installation, InstallationFactory
from tests.support.fake_oidc_provider import CLIENT_ID, FakeProvider
from tests.support.invalid_tokens import SPOILT, WRONG, Tamper, TamperingTransport, drop_none_values
from tests.support.world import World

PASSWORD = "a quiet long watch"
REFUSED = "The sign-in could not be confirmed. Start again."


async def start_sign_in(browser: httpx2.AsyncClient, next: str = "") -> str:
    """Start a sign-in in a browser, and return the redirect to the provider."""
    sent = await browser.get("/sign-in/oidc", params={"next": next} if next else {})
    assert sent.status_code == 303
    return sent.headers["Location"]


async def sign_in_with(
    browser: httpx2.AsyncClient, provider: AnyProvider, subject: str = "nora", next: str = ""
) -> httpx2.Response:
    """Sign in through the provider in a browser."""
    return await browser.get(provider.sign_in(await start_sign_in(browser, next), subject))


async def list_users(transaction: TransactionFactory) -> list[User]:
    async with transaction() as session:
        return list((await session.scalars(select(User).order_by(User.id))).all())


async def count(transaction: TransactionFactory, table: type[Any]) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


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
    assert "Nobody here has begun this sign-in." in rejected.text


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
    assert "You were not let in there, or you turned back. Try again." in rejected.text
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


async def sign_in_again(browser: httpx2.AsyncClient, provider: AnyProvider) -> httpx2.Response:
    """Follow the link to the provider on the page that asks a user to sign in again."""
    page = await browser.get("/sign-in/again?next=/people")
    [link] = re.findall(r'href="(/sign-in/oidc[^"]+)"', page.text)
    sent = await browser.get(html.unescape(link))
    return await browser.get(provider.sign_in(sent.headers["Location"]))


async def last_authenticated_at(transaction: TransactionFactory) -> datetime:
    async with transaction() as session:
        return (
            (await session.scalars(select(SignIn).order_by(SignIn.id))).all()[-1].authenticated_at
        )


async def test_a_user_signs_in_again_at_the_provider(
    installations: InstallationFactory, provider: AnyProvider, transaction: TransactionFactory
) -> None:
    browser, started = installations(provider).browser(), now() - timedelta(seconds=1)
    await sign_in_with(browser, provider)
    again = await sign_in_again(browser, provider)
    assert (again.status_code, again.headers["Location"]) == (303, "/people")
    assert await last_authenticated_at(transaction) >= started


async def test_a_session_at_the_provider_is_no_recent_sign_in(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    """Also for somebody who signs out and in again: the provider does not ask for a password."""
    fake.signed_in_at = int(time.time()) - 3600
    browser = installation.browser()
    await sign_in_with(browser, fake)
    assert (await last_authenticated_at(transaction)).timestamp() == fake.signed_in_at
    await sign_in_again(browser, fake)
    assert (now() - await last_authenticated_at(transaction)) < timedelta(minutes=1)


@pytest.mark.parametrize("auth_time", ["stale", "missing", "invalid", "too large"])
async def test_signing_in_again_needs_a_new_authentication(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, auth_time: str
) -> None:
    browser = installation.browser()
    await sign_in_with(browser, fake)
    fake.signed_in_at, fake.ignores_max_age = int(time.time()) - 3600, auth_time == "stale"
    fake.reports_auth_time = auth_time != "missing"
    if auth_time == "invalid":
        fake.sign = lambda claims: fake.token(claims | {"auth_time": True})
    if auth_time == "too large":
        fake.sign = lambda claims: fake.token(claims | {"auth_time": 10**400})
    refused = await sign_in_again(browser, fake)
    assert refused.status_code == 401
    assert "Your provider did not confirm that you have just signed in again." in refused.text
    assert await count(transaction, SignIn) == 1


async def test_a_provider_that_reports_no_time_gives_no_recent_sign_in(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    fake.reports_auth_time = False
    assert (await sign_in_with(installation.browser(), fake)).status_code == 303
    assert now() - await last_authenticated_at(transaction) > timedelta(days=1)


async def test_external_users_cannot_sign_in_before_the_first_owner(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        await session.execute(delete(FirstRunLink))
    rejected = await sign_in_with(installation.browser(), fake)
    assert rejected.status_code == 401
    assert "The first owner uses the link that the server prints." in rejected.text
    assert await count(transaction, User) == 0


async def set_password(transaction: TransactionFactory, world: World) -> dict[str, str]:
    """Give Alice a password, and return the form that she submits."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


async def test_an_address_does_not_take_over_a_password_account(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    typed = await set_password(transaction, world)
    fake.people["al"] = {"email": "Alice@example.com", "email_verified": True}
    browser = installation.browser()
    requested = await sign_in_with(browser, fake, "al")
    assert requested.status_code == 401
    assert "Sign in with it once, in this browser, and the two are connected." in requested.text

    assert (await installation.browser().post("/sign-in", data=typed)).status_code == 303
    assert (await sign_in_with(installation.browser(), fake, "al")).status_code == 401
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    back = await sign_in_with(installation.browser(), fake, "al")
    assert back.status_code == 303
    assert await count(transaction, User) == 5
    async with transaction() as session:
        [connected] = (await session.scalars(select(ExternalIdentity))).all()
    assert connected.user_id == world.alice.id


async def test_a_password_connects_only_accounts_with_its_address(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    """A browser may be shared: an account with another address is not connected."""
    await set_password(transaction, world)
    async with transaction() as session:
        world.bob.password_hash = hash_password(PASSWORD)
        await session.merge(world.bob)
    fake.people["al"] = {"email": "alice@example.com", "email_verified": True}
    browser = installation.browser()
    await sign_in_with(browser, fake, "al")
    typed = {"email": "bob@example.com", "password": PASSWORD}
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    assert await count(transaction, ExternalIdentity) == 0


async def test_an_unverified_address_finds_no_user(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    fake.people["al"] = {"email": "alice@example.com", "email_verified": False}
    assert (await sign_in_with(installation.browser(), fake, "al")).status_code == 303
    new = (await list_users(transaction))[-1]
    assert (new.clerk_user_id, new.email) == ("al", None)


@pytest.mark.parametrize("is_verified", [True, False])
async def test_only_a_verified_address_accepts_an_invitation(
    installation: Installation,
    fake: FakeProvider,
    transaction: TransactionFactory,
    world: World,
    is_verified: bool,
) -> None:
    """S10."""
    invite = Invite(
        organization_id=world.tern.id,
        invited_email="nora@example.com",
        token_hash=hash_token("the token"),
        expires_at=now() + timedelta(days=1),
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add(invite)
    fake.people["nora"]["email_verified"] = is_verified
    assert (await sign_in_with(installation.browser(), fake)).status_code == 303
    new = (await list_users(transaction))[-1]
    assert new.active_organization_id == (world.tern.id if is_verified else None)
