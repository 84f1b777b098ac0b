"""The link of an invitation, as whoever has got it opens it."""

import logging
from datetime import timedelta

import pytest

from kit.clock import now
from kit.settings import Settings
from models import Invite
from services import accounts, identity, organizations
from tests.conftest import Transaction
from tests.world import World, a_user, an_invite

TOKEN = "mc_invite_of-oskar"
LINK = f"/invite?token={TOKEN}"
OSKAR = {"token": TOKEN, "name": "Oskar Lind", "password": "ten letters or more"}
FORM = 'name="password"'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limit_sign_in": 1})  # twenty for a crowd


@pytest.fixture
async def invited(transaction: Transaction, world: World) -> Invite:
    """Oskar, who has no account, is invited to Tern."""
    made = an_invite(world.tern, "oskar@example.com", TOKEN, all_boards_read=True)
    async with transaction() as session:
        session.add(made)
    return made


@pytest.fixture
async def invited_charlie(transaction: Transaction, world: World) -> Invite:
    made = an_invite(world.tern, "charlie@example.com", TOKEN, all_boards_read=True)
    async with transaction() as session:
        session.add(made)
    return made


async def test_who_has_no_account_makes_one_and_is_a_member(nobody, invited, world) -> None:
    page = await nobody.get(LINK)
    assert page.status_code == 200
    assert "Join Tern" in page.text
    assert 'value="oskar@example.com"' in page.text

    joined = await nobody.post("/invite", data=OSKAR)

    assert (joined.status_code, joined.headers["Location"]) == (303, "/")
    assert "HttpOnly" in joined.headers["Set-Cookie"]
    assert "Launch" in (await nobody.get("/boards")).text
    nobody.cookies.clear()
    who = {"email": "oskar@example.com", "password": OSKAR["password"]}
    assert (await nobody.post("/sign-in", data=who)).status_code == 303


async def test_the_address_is_the_invitation_s_whatever_is_sent(
    nobody, invited, transaction
) -> None:
    await nobody.post("/invite", data=OSKAR | {"email": "alice@example.com"})
    async with transaction() as session:
        assert (await identity.kept_password(session, email="oskar@example.com")).user_id


async def test_who_is_signed_in_accepts_and_comes_to_the_organization(
    charlie, invited_charlie, transaction, world
) -> None:
    page = await charlie.get(LINK)
    assert "/invite/acceptances" in page.text
    assert FORM not in page.text

    accepted = await charlie.post("/invite/acceptances", data={"token": TOKEN})

    assert (accepted.status_code, accepted.headers["Location"]) == (303, "/")
    assert f'data-organization="{world.tern.id}"' in (await charlie.get("/boards")).text


async def test_who_belongs_nowhere_yet_can_accept(browsers, transaction, world) -> None:
    oskar = a_user("Oskar")
    async with transaction() as session:
        session.add(oskar)
        await session.flush()
        session.add(an_invite(world.tern, "oskar@example.com", TOKEN))
        secret = await identity.start_session(session, oskar, user_agent=None, ip=None)
    browser = browsers(None)
    browser.cookies.set("mission_control", secret)

    assert "Join Tern" in (await browser.get(LINK)).text
    await browser.post("/invite/acceptances", data={"token": TOKEN})

    assert f'data-organization="{world.tern.id}"' in (await browser.get("/boards")).text


async def test_an_invitation_for_somebody_else_lets_a_stranger_in_nowhere(
    charlie, invited, transaction, world
) -> None:
    page = await charlie.get(LINK)
    assert "You are signed in as charlie@example.com." in page.text
    assert "acceptances" not in page.text

    refused = await charlie.post("/invite/acceptances", data={"token": TOKEN})

    assert refused.status_code == 403
    assert "You are signed in as charlie@example.com." in refused.text
    async with transaction() as session:
        assert await organizations.membership(session, world.charlie, world.tern.id) is None
        await organizations.open_invite(session, TOKEN)


async def test_who_is_not_signed_in_accepts_nothing(nobody, invited_charlie, transaction) -> None:
    refused = await nobody.post("/invite/acceptances", data={"token": TOKEN})
    assert refused.headers["Location"] == "/sign-in"
    async with transaction() as session:
        await organizations.open_invite(session, TOKEN)


async def test_who_has_an_account_is_led_to_the_sign_in_and_back(
    nobody, invited_charlie, transaction, world
) -> None:
    page = await nobody.post("/invite", data=OSKAR)

    assert page.status_code == 409
    assert "There is an account with this e-mail address. Sign in with it." in page.text
    assert f'href="/sign-in?next=/invite%3Ftoken%3D{TOKEN}"' in page.text
    assert "Set-Cookie" not in page.headers
    shown = await nobody.get(f"/sign-in?next=/invite%3Ftoken%3D{TOKEN}")
    assert f'name="next" value="{LINK}"' in shown.text


async def test_a_link_that_opens_nothing_says_why(nobody, invited, transaction, world) -> None:
    async def told() -> str:
        pages = [await nobody.get(LINK), await nobody.post("/invite", data=OSKAR)]
        assert [page.status_code for page in pages] == [410, 410]
        assert not any(FORM in page.text for page in pages)
        return pages[0].text

    async with transaction() as session:
        (await session.get_one(Invite, invited.id)).expires_at = now() - timedelta(seconds=1)
    assert "has run out" in await told()
    async with transaction() as session:
        held = await session.get_one(Invite, invited.id)
        held.expires_at = now() + timedelta(days=1)
        await accounts.join(session, TOKEN, name="Oskar", password_hash="x")
    assert "was used" in await told()
    async with transaction() as session:
        await session.delete(await session.get_one(Invite, invited.id))
    assert "was withdrawn or replaced" in await told()


@pytest.mark.parametrize("query", ["", "?token=", "?token=%00", "?token=x"])
async def test_without_its_token_nobody_is_invited(nobody, invited, query) -> None:
    page = await nobody.get(f"/invite{query}")
    assert page.status_code == 410
    assert "Tern" not in page.text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "  "}, "Fill this in."),
        ({"name": "M" * 201}, "At most 200 characters."),
        ({"name": "a\0b"}, "There is a character in it that cannot be stored."),
        ({"password": "short"}, "A password has at least 10 characters."),
    ],
)
async def test_what_is_wrong_is_told_beside_the_field_and_the_link_stays_good(
    nobody, invited, wrong, sentence
) -> None:
    page = await nobody.post("/invite", data=OSKAR | wrong)

    assert page.status_code == 422
    assert sentence in page.text
    assert OSKAR["password"] not in page.text
    assert (await nobody.post("/invite", data=OSKAR)).status_code == 303


async def test_who_tries_many_tokens_has_to_wait(browsers, invited) -> None:
    guesser, other = (browsers(None, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2"))
    for _ in range(30):
        assert (await guesser.get(LINK)).status_code == 200
    tries = [await guesser.get(f"/invite?token=guess-{number}") for number in range(21)]

    assert [page.status_code for page in tries] == [410] * 20 + [429]
    assert 0 < int(tries[-1].headers["Retry-After"]) <= 300
    assert (await guesser.post("/invite", data=OSKAR)).status_code == 429
    assert (await other.post("/invite", data=OSKAR)).status_code == 303


async def test_the_token_is_told_to_no_other_site_and_no_log(nobody, invited, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await nobody.get(LINK),
        await nobody.post("/invite", data=OSKAR | {"name": ""}),
        await nobody.get("/invite?token=old"),
    ]
    assert {answer.headers["Referrer-Policy"] for answer in answers} == {"same-origin"}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx2"]
    assert any("/invite" in line for line in ours)
    assert not any(TOKEN in line for line in ours)
