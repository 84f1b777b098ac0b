"""Pages of password links."""

import logging

import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from services import identity
from tests.support.one_time_links import open_link
from tests.support.world import World

NEW = "another long watch"
FORM = 'name="password"'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limit_sign_in": 1})  # twenty per network


@pytest.fixture
async def link(transaction: TransactionFactory, world: World) -> str:
    async with transaction() as session:
        return await identity.create_password_link(session, "bob@example.com")


async def test_the_link_sets_a_password_and_signs_in_only_there(anonymous, bob, link) -> None:
    page = await open_link(anonymous, "/password", link)
    assert page.status_code == 200
    assert 'value="bob@example.com"' in page.text
    assert (await bob.get("/settings")).status_code == 200

    chosen = await anonymous.post("/password", data={"link": link, "password": NEW})

    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/")
    assert (await anonymous.get("/settings")).status_code == 200
    assert (await bob.get("/settings")).headers["Location"].startswith("/sign-in")
    anonymous.cookies.clear()
    who = {"email": "bob@example.com", "password": NEW}
    assert (await anonymous.post("/sign-in", data=who)).status_code == 303


async def test_the_link_works_once(anonymous, link) -> None:
    await anonymous.post("/password", data={"link": link, "password": NEW})
    anonymous.cookies.clear()
    again = [
        await open_link(anonymous, "/password", link),
        await anonymous.post("/password", data={"link": link, "password": "yet another one"}),
    ]
    for page in again:
        assert page.status_code == 410
        assert "This link was used or replaced" in page.text
        assert FORM not in page.text
        [cookie] = page.headers.get_list("Set-Cookie")
        assert cookie.startswith('mission_control_password=""; ')  # no session, and no link


async def test_without_its_secret_a_page_asks_for_the_link(anonymous, link) -> None:
    page = await anonymous.get("/password")
    assert page.status_code == 200
    assert "Open your link." in page.text
    wrong = await anonymous.post("/password/openings", data={"link": " "})
    assert (wrong.status_code, "This is not the whole link" in wrong.text) == (422, True)
    pasted = f"https://mission.example/password#{link}"
    page = await anonymous.post("/password/openings", data={"link": pasted})
    assert FORM in (await anonymous.get(page.headers["Location"])).text


async def test_a_secret_in_the_query_is_removed_from_the_address(anonymous, link) -> None:
    old = await anonymous.get("/password", params={"link": link})
    assert (old.status_code, old.headers["Location"]) == (303, "/password")
    assert FORM in (await anonymous.get("/password")).text


@pytest.mark.parametrize("secret", ["\0", "x" * 201, "ä", "mc_password_nobodys"])
async def test_without_the_link_nothing_changes(anonymous, charlie, link, secret) -> None:
    for browser in (anonymous, charlie):
        page = await open_link(browser, "/password", secret)
        assert page.status_code == 410
        assert "bob@" not in page.text
        sent = {"link": secret, "password": NEW}
        assert (await browser.post("/password", data=sent)).status_code == 410
    assert (await open_link(anonymous, "/password", link)).status_code == 200


@pytest.mark.parametrize(
    ("password", "sentence"),
    [("", "Enter a value."), ("short", "A password has at least 10 characters.")],
)
async def test_an_invalid_password_keeps_the_link_valid(
    anonymous, bob, link, password, sentence
) -> None:
    page = await anonymous.post("/password", data={"link": link, "password": password})
    assert page.status_code == 422
    assert sentence in page.text
    assert (await bob.get("/settings")).status_code == 200
    chosen = await anonymous.post("/password", data={"link": link, "password": NEW})
    assert chosen.status_code == 303


async def test_only_guesses_of_links_are_rate_limited(browsers, link) -> None:
    guesser = browsers(None)
    responses = [await open_link(guesser, "/password", f"guess-{number}") for number in range(21)]
    assert [page.status_code for page in responses] == [410] * 20 + [429]
    sent = {"link": link, "password": NEW}
    assert (await guesser.post("/password", data=sent)).status_code == 303


async def test_the_link_is_not_sent_to_other_sites_or_logged(anonymous, link, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await open_link(anonymous, "/password", link),
        await anonymous.post("/password", data={"link": link, "password": "short"}),
    ]
    assert {answer.headers["Referrer-Policy"] for answer in answers} == {"same-origin"}
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx2"]
    assert any("/password" in line for line in ours)
    assert not any(link in line for line in ours)
