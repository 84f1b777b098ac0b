"""Pages of invite links."""

import logging
from datetime import timedelta

import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Invite
from services import identity, organizations
from tests.support.one_time_links import open_link
from tests.support.people_rows import make_invite, make_user
from tests.support.world import World

TOKEN = "mc_invite_of-oskar"
OSKAR = {"token": TOKEN, "name": "Oskar Lind", "password": "ten letters or more"}
FORM = 'name="password"'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limit_sign_in": 1})  # twenty per network


@pytest.fixture
async def invited(transaction: TransactionFactory, world: World) -> Invite:
    """Invite Oskar, who has no account, to Tern."""
    made = make_invite(world.tern, "oskar@example.com", TOKEN, all_boards_read=True)
    async with transaction() as session:
        session.add(made)
    return made


@pytest.fixture
async def invited_charlie(transaction: TransactionFactory, world: World) -> Invite:
    made = make_invite(world.tern, "charlie@example.com", TOKEN, all_boards_read=True)
    async with transaction() as session:
        session.add(made)
    return made


async def test_a_user_without_an_account_signs_up_and_becomes_a_member(
    anonymous, invited, world
) -> None:
    page = await open_link(anonymous, "/invite", TOKEN)
    assert page.status_code == 200
    assert "Join Tern" in page.text
    assert 'value="oskar@example.com"' in page.text

    joined = await anonymous.post("/invite", data=OSKAR)

    assert (joined.status_code, joined.headers["Location"]) == (303, "/")
    assert "HttpOnly" in joined.headers["Set-Cookie"]
    assert "Launch" in (await anonymous.get("/boards")).text
    anonymous.cookies.clear()
    who = {"email": "oskar@example.com", "password": OSKAR["password"]}
    assert (await anonymous.post("/sign-in", data=who)).status_code == 303


@pytest.mark.parametrize("path", ["/first-run", "/invite", "/password"])
async def test_the_address_after_a_wrong_paste_can_be_opened(anonymous, path) -> None:
    wrong = await anonymous.post(f"{path}/openings", data={"link": " "})
    assert wrong.status_code == 422
    reloaded = await anonymous.get(f"{path}/openings?next=//evil.example")
    assert (reloaded.status_code, reloaded.headers["Location"]) == (303, path)


async def test_the_email_comes_from_the_invite_not_the_form(
    anonymous, invited, transaction
) -> None:
    await anonymous.post("/invite", data=OSKAR | {"email": "alice@example.com"})
    async with transaction() as session:
        assert (await identity.find_stored_password(session, email="oskar@example.com")).user_id


async def test_a_signed_in_user_accepts_and_opens_the_organization(
    charlie, invited_charlie, transaction, world
) -> None:
    page = await open_link(charlie, "/invite", TOKEN)
    assert "/invite/acceptances" in page.text
    assert FORM not in page.text

    accepted = await charlie.post("/invite/acceptances", data={"token": TOKEN})

    assert (accepted.status_code, accepted.headers["Location"]) == (303, "/")
    assert f'data-organization="{world.tern.id}"' in (await charlie.get("/boards")).text


async def test_a_user_without_an_organization_can_accept(browsers, transaction, world) -> None:
    oskar = make_user("Oskar")
    async with transaction() as session:
        session.add(oskar)
        await session.flush()
        session.add(make_invite(world.tern, "oskar@example.com", TOKEN))
        secret = await identity.start_session(session, oskar, user_agent=None, ip=None)
    browser = browsers(None)
    browser.cookies.set("mission_control", secret)

    assert "Join Tern" in (await open_link(browser, "/invite", TOKEN)).text
    await browser.post("/invite/acceptances", data={"token": TOKEN})

    assert f'data-organization="{world.tern.id}"' in (await browser.get("/boards")).text


async def test_an_invite_for_another_user_cannot_be_accepted(
    charlie, invited, transaction, world
) -> None:
    page = await open_link(charlie, "/invite", TOKEN)
    assert "You are signed in as charlie@example.com." in page.text
    assert "acceptances" not in page.text

    refused = await charlie.post("/invite/acceptances", data={"token": TOKEN})

    assert refused.status_code == 403
    assert "You are signed in as charlie@example.com." in refused.text
    async with transaction() as session:
        assert await organizations.find_membership(session, world.charlie, world.tern.id) is None
        await organizations.get_open_invite(session, TOKEN)


async def test_a_user_who_is_not_signed_in_cannot_accept(
    anonymous, invited_charlie, transaction
) -> None:
    refused = await anonymous.post("/invite/acceptances", data={"token": TOKEN})
    assert refused.headers["Location"] == "/sign-in"
    async with transaction() as session:
        await organizations.get_open_invite(session, TOKEN)


async def test_a_user_with_an_account_signs_in_and_returns(
    anonymous, invited_charlie, transaction, world
) -> None:
    page = await anonymous.post("/invite", data=OSKAR)

    assert page.status_code == 409
    assert "There is an account with this e-mail address. Sign in with it." in page.text
    assert 'href="/sign-in?next=/invite"' in page.text
    assert "Set-Cookie" not in page.headers
    shown = await anonymous.get("/sign-in?next=/invite")
    assert 'name="next" value="/invite"' in shown.text
    assert TOKEN not in shown.text


async def test_an_invalid_link_shows_the_reason(anonymous, invited, transaction, world) -> None:
    async def get_refusal() -> str:
        pages = [
            await open_link(anonymous, "/invite", TOKEN),
            await anonymous.post("/invite", data=OSKAR),
        ]
        assert [page.status_code for page in pages] == [410, 410]
        assert not any(FORM in page.text for page in pages)
        return pages[0].text

    async with transaction() as session:
        (await session.get_one(Invite, invited.id)).expires_at = now() - timedelta(seconds=1)
    assert "has expired" in await get_refusal()
    async with transaction() as session:
        held = await session.get_one(Invite, invited.id)
        held.expires_at = now() + timedelta(days=1)
        await identity.register_with_invite(
            session, TOKEN, identity.AccountCreate(name="Oskar"), password_hash="x"
        )
    assert "was used" in await get_refusal()
    async with transaction() as session:
        await session.delete(await session.get_one(Invite, invited.id))
    assert "was withdrawn or replaced" in await get_refusal()


@pytest.mark.parametrize(("token", "status"), [("", 200), ("\0", 410), ("x", 410)])
async def test_without_a_token_there_is_no_invite(anonymous, invited, token, status) -> None:
    page = await (open_link(anonymous, "/invite", token) if token else anonymous.get("/invite"))
    assert page.status_code == status
    assert "Tern" not in page.text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "  "}, "Enter your name."),
        ({"name": "M" * 201}, "At most 200 characters."),
        ({"name": "a\0b"}, "It contains a character that cannot be stored."),
        ({"password": "short"}, "A password has at least 10 characters."),
    ],
)
async def test_field_errors_keep_the_link_valid(anonymous, invited, wrong, sentence) -> None:
    page = await anonymous.post("/invite", data=OSKAR | wrong)

    assert page.status_code == 422
    assert sentence in page.text
    assert OSKAR["password"] not in page.text
    assert (await anonymous.post("/invite", data=OSKAR)).status_code == 303


async def test_only_guesses_of_tokens_are_rate_limited(browsers, invited) -> None:
    guesser = browsers(None)
    responses = [await open_link(guesser, "/invite", f"guess-{number}") for number in range(21)]

    assert [page.status_code for page in responses] == [410] * 20 + [429]
    assert 0 < int(responses[-1].headers["Retry-After"]) <= 300
    assert (await open_link(guesser, "/invite", TOKEN)).status_code == 200
    assert (await guesser.post("/invite", data=OSKAR)).status_code == 303


async def test_the_token_is_not_sent_to_other_sites_or_logged(anonymous, invited, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await open_link(anonymous, "/invite", TOKEN),
        await anonymous.post("/invite", data=OSKAR | {"name": ""}),
        await open_link(anonymous, "/invite", "old"),
    ]
    assert {answer.headers["Referrer-Policy"] for answer in answers} == {"same-origin"}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx2"]
    assert any("/invite" in line for line in ours)
    assert not any(TOKEN in line for line in ours)
