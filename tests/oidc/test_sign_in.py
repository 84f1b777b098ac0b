"""Signing in on the pages through a provider: there, back, and what may not come of it."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import delete, func, select, update

from kit.clock import now
from kit.secrets import fingerprint, hash_password
from models import ExternalIdentity, FirstRunLink, Invite, PendingSignIn, SignIn, User
from tests.conftest import Transaction
from tests.oidc.conftest import AnyProvider, House, Houses
from tests.oidc.fake import CLIENT_ID, FakeProvider
from tests.oidc.spoiling import SPOILT, WRONG, Meddler, Spoil, without_nones
from tests.world import World

PASSWORD = "a quiet long watch"
REFUSED = "The sign-in could not be confirmed. Start again."


async def left(browser: httpx2.AsyncClient, next: str = "") -> str:
    """Let a browser leave for the provider, and return where it goes."""
    sent = await browser.get("/sign-in/oidc", params={"next": next} if next else {})
    assert sent.status_code == 303
    return sent.headers["Location"]


async def signed_in(
    browser: httpx2.AsyncClient, provider: AnyProvider, subject: str = "nora", next: str = ""
) -> httpx2.Response:
    """Let a browser go to the provider and come back."""
    return await browser.get(provider.let_in(await left(browser, next), subject))


async def people(transaction: Transaction) -> list[User]:
    async with transaction() as session:
        return list((await session.scalars(select(User).order_by(User.id))).all())


async def count(transaction: Transaction, table: type[Any]) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_whoever_is_let_in_is_signed_in_and_taken_where_they_wanted(
    houses: Houses, provider: AnyProvider, transaction: Transaction
) -> None:
    house = houses(provider)
    browser = house.browser()
    back = await signed_in(browser, provider, next="/settings?x=1")

    assert (back.status_code, back.headers["Location"]) == (303, "/settings?x=1")
    assert (await browser.get("/settings")).headers["Location"] == "/welcome"
    [user] = await people(transaction)
    assert (user.clerk_user_id, user.email) == ("nora", "nora@example.com")
    assert user.email_verified_at
    assert user.password_hash is None

    elsewhere = house.browser()
    assert (await signed_in(elsewhere, provider)).status_code == 303
    assert len(await people(transaction)) == 1


async def test_a_browser_comes_back_once(
    houses: Houses, provider: AnyProvider, transaction: Transaction
) -> None:
    browser = houses(provider).browser()
    callback = provider.let_in(await left(browser))
    assert (await browser.get(callback)).status_code == 303

    other = houses(provider).browser(cookies=dict(browser.cookies))
    for replaying in (browser, other):
        again = await replaying.get(callback)
        assert again.status_code in (403, 409)
        assert "Start again." in again.text
    assert await count(transaction, SignIn) == 1


async def test_a_callback_that_is_replayed_with_its_cookie_is_used_already(
    house: House, fake: FakeProvider
) -> None:
    browser = house.browser()
    callback = fake.let_in(await left(browser))
    kept = dict(browser.cookies)
    await browser.get(callback)

    again = await house.browser(cookies=kept).get(callback)
    assert again.status_code == 409
    assert "This sign-in has been used already. Start again." in again.text


async def test_a_callback_in_another_browser_does_nothing(
    houses: Houses, provider: AnyProvider, transaction: Transaction
) -> None:
    house = houses(provider)
    browser = house.browser()
    callback = provider.let_in(await left(browser))

    victim = house.browser()
    caught = await victim.get(callback)
    assert caught.status_code == 403
    assert "another browser" in caught.text
    assert await count(transaction, SignIn) == 0
    assert (await browser.get(callback)).status_code == 303


@pytest.mark.parametrize("state", ["", "never given", "\0"])
async def test_a_state_that_was_never_given_is_refused(house: House, state: str) -> None:
    browser = house.browser()
    await left(browser)
    refused = await browser.get("/sign-in/oidc/callback", params={"state": state, "code": "x"})
    assert refused.status_code == 404
    assert "Nobody here has begun this sign-in." in refused.text


async def test_who_takes_too_long_starts_again(
    house: House, fake: FakeProvider, transaction: Transaction
) -> None:
    browser = house.browser()
    callback = fake.let_in(await left(browser, "/agents"))
    async with transaction() as session:
        await session.execute(update(PendingSignIn).values(expires_at=now()))
    late = await browser.get(callback)
    assert late.status_code == 409
    assert "That took too long. Start again." in late.text


async def test_two_tabs_sign_in_side_by_side(house: House, fake: FakeProvider) -> None:
    browser = house.browser()
    first, second = [fake.let_in(await left(browser)) for _ in range(2)]
    kept = dict(browser.cookies)
    assert (await browser.get(first)).status_code == 303
    assert (await house.browser(cookies=kept).get(second)).status_code == 303


@pytest.mark.parametrize("spoil", SPOILT)
async def test_a_token_that_is_not_the_providers_signs_nobody_in(
    houses: Houses, provider: AnyProvider, transaction: Transaction, spoil: Spoil
) -> None:
    is_fake = isinstance(provider, FakeProvider)
    inner = provider.transport if is_fake else httpx2.AsyncHTTPTransport()
    browser = houses(provider, transport=Meddler(inner, spoil)).browser()
    refused = await signed_in(browser, provider)
    assert refused.status_code == 401
    assert REFUSED in refused.text
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
async def test_a_token_for_something_else_signs_nobody_in(
    house: House, fake: FakeProvider, transaction: Transaction, wrong: dict[str, Any]
) -> None:
    fake.sign = lambda claims: fake.token(without_nones(claims | wrong))
    refused = await signed_in(house.browser(), fake)
    assert refused.status_code == 401
    assert await count(transaction, User) == await count(transaction, SignIn) == 0


async def test_what_is_told_about_somebody_else_is_not_believed(
    house: House, fake: FakeProvider, transaction: Transaction
) -> None:
    fake.told = lambda claims: claims | {"sub": "olga"}
    assert (await signed_in(house.browser(), fake)).status_code == 401
    assert await count(transaction, User) == 0


async def test_an_address_is_verified_only_if_that_is_said_of_it(
    house: House, fake: FakeProvider, transaction: Transaction
) -> None:
    """The signed token has one address; what is told of another does not count for it."""
    fake.sign = lambda claims: fake.token(claims | {"email": "alice@example.com"})
    await signed_in(house.browser(), fake)
    [user] = await people(transaction)
    assert (user.email, user.email_verified_at) == ("alice@example.com", None)


async def test_who_turns_back_is_told_so(house: House, fake: FakeProvider) -> None:
    browser = house.browser()
    state = httpx2.URL(await left(browser)).params["state"]
    answer = {"state": state, "error": "access_denied", "error_description": "<b>no</b>"}
    refused = await browser.get("/sign-in/oidc/callback", params=answer)
    assert refused.status_code == 403
    assert "You were not let in there, or you turned back. Try again." in refused.text
    assert "<b>no" not in refused.text


async def test_a_provider_that_is_away_leaves_the_password(
    house: House, fake: FakeProvider
) -> None:
    fake.is_down = True
    browser = house.browser()
    page = await browser.get("/sign-in/oidc")
    assert page.status_code == 503
    assert "The sign-in service does not answer." in page.text
    assert 'name="password"' in page.text


async def test_a_provider_that_goes_away_meanwhile_is_told(
    house: House, fake: FakeProvider
) -> None:
    browser = house.browser()
    callback = fake.let_in(await left(browser))
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
async def test_a_provider_that_says_what_cannot_be_is_not_used(
    house: House, fake: FakeProvider, published: dict[str, Any]
) -> None:
    fake.metadata = published
    assert (await house.browser().get("/sign-in/oidc")).status_code == 503


@pytest.mark.parametrize("next", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_nobody_is_led_to_another_site(house: House, fake: FakeProvider, next: str) -> None:
    back = await signed_in(house.browser(), fake, next=next)
    assert back.headers["Location"] == "/"


async def test_the_button_is_there_when_there_is_a_provider(
    house: House, nobody: httpx2.AsyncClient
) -> None:
    page = (await house.browser().get("/sign-in?next=/agents%3Fa%3D1%26b%3D2")).text
    assert 'href="/sign-in/oidc?next=/agents%3Fa%3D1%26b%3D2"' in page
    assert "Continue with Example" in page
    assert "/sign-in/oidc" not in (await nobody.get("/sign-in")).text
    for path in ("/sign-in/oidc", "/sign-in/oidc/callback"):
        assert (await nobody.get(path)).status_code == 404


async def test_who_leaves_too_often_has_to_wait(house: House) -> None:
    browser = house.browser()
    tries = [(await browser.get("/sign-in/oidc")).status_code for _ in range(201)]
    assert tries == [303] * 200 + [429]


async def test_strangers_do_not_come_before_the_first_owner(
    house: House, fake: FakeProvider, transaction: Transaction
) -> None:
    async with transaction() as session:
        await session.execute(delete(FirstRunLink))
    refused = await signed_in(house.browser(), fake)
    assert refused.status_code == 401
    assert "The first owner uses the link that the server prints." in refused.text
    assert await count(transaction, User) == 0


async def with_password(transaction: Transaction, world: World) -> dict[str, str]:
    """Give Alice a password, and return what she types."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


async def test_an_address_is_not_enough_to_take_over_an_account_with_a_password(
    house: House, fake: FakeProvider, transaction: Transaction, world: World
) -> None:
    typed = await with_password(transaction, world)
    fake.people["al"] = {"email": "Alice@example.com", "email_verified": True}
    browser = house.browser()
    asked = await signed_in(browser, fake, "al")
    assert asked.status_code == 401
    assert "Sign in with it once, in this browser, and the two are connected." in asked.text

    assert (await house.browser().post("/sign-in", data=typed)).status_code == 303
    assert (await signed_in(house.browser(), fake, "al")).status_code == 401
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    back = await signed_in(house.browser(), fake, "al")
    assert back.status_code == 303
    assert await count(transaction, User) == 5
    async with transaction() as session:
        [connected] = (await session.scalars(select(ExternalIdentity))).all()
    assert connected.user_id == world.alice.id


async def test_a_password_connects_nobodys_account_but_ones_own(
    house: House, fake: FakeProvider, transaction: Transaction, world: World
) -> None:
    """A browser may be shared: whose address it is not, is not connected."""
    await with_password(transaction, world)
    async with transaction() as session:
        world.bob.password_hash = hash_password(PASSWORD)
        await session.merge(world.bob)
    fake.people["al"] = {"email": "alice@example.com", "email_verified": True}
    browser = house.browser()
    await signed_in(browser, fake, "al")
    typed = {"email": "bob@example.com", "password": PASSWORD}
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    assert await count(transaction, ExternalIdentity) == 0


async def test_an_address_that_is_not_verified_finds_nobody(
    house: House, fake: FakeProvider, transaction: Transaction, world: World
) -> None:
    fake.people["al"] = {"email": "alice@example.com", "email_verified": False}
    assert (await signed_in(house.browser(), fake, "al")).status_code == 303
    new = (await people(transaction))[-1]
    assert (new.clerk_user_id, new.email) == ("al", None)


@pytest.mark.parametrize("is_verified", [True, False])
async def test_an_invitation_is_for_whoever_has_the_address_for_sure(
    house: House, fake: FakeProvider, transaction: Transaction, world: World, is_verified: bool
) -> None:
    """S10."""
    invite = Invite(
        organization_id=world.tern.id,
        invited_email="nora@example.com",
        token_hash=fingerprint("the token"),
        expires_at=now() + timedelta(days=1),
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add(invite)
    fake.people["nora"]["email_verified"] = is_verified
    assert (await signed_in(house.browser(), fake)).status_code == 303
    new = (await people(transaction))[-1]
    assert new.active_organization_id == (world.tern.id if is_verified else None)
