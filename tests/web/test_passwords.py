"""The link by which somebody who forgot their password comes in, as their browser opens it."""

import logging

import pytest

from kit.settings import Settings
from services import accounts
from tests.conftest import Transaction
from tests.world import World

NEW = "another long watch"
FORM = 'name="password"'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limit_sign_in": 1})  # twenty for a crowd


@pytest.fixture
async def link(transaction: Transaction, world: World) -> str:
    async with transaction() as session:
        return await accounts.password_link(session, "bob@example.com")


async def test_who_has_it_chooses_a_password_and_is_signed_in_there_alone(
    nobody, bob, link
) -> None:
    page = await nobody.get("/password", params={"link": link})
    assert page.status_code == 200
    assert 'value="bob@example.com"' in page.text
    assert (await bob.get("/settings")).status_code == 200

    chosen = await nobody.post("/password", data={"link": link, "password": NEW})

    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/")
    assert (await nobody.get("/settings")).status_code == 200
    assert (await bob.get("/settings")).headers["Location"].startswith("/sign-in")
    nobody.cookies.clear()
    who = {"email": "bob@example.com", "password": NEW}
    assert (await nobody.post("/sign-in", data=who)).status_code == 303


async def test_it_opens_nothing_twice(nobody, link) -> None:
    await nobody.post("/password", data={"link": link, "password": NEW})
    nobody.cookies.clear()
    again = [
        await nobody.get("/password", params={"link": link}),
        await nobody.post("/password", data={"link": link, "password": "yet another one"}),
    ]
    for page in again:
        assert page.status_code == 410
        assert "This link was used or replaced" in page.text
        assert FORM not in page.text
        assert "Set-Cookie" not in page.headers


@pytest.mark.parametrize("query", ["", "?link=", "?link=%00", "?link=mc_password_nobodys"])
async def test_a_stranger_without_it_changes_nothing(nobody, charlie, link, query) -> None:
    for browser in (nobody, charlie):
        page = await browser.get(f"/password{query}")
        assert page.status_code == 410
        assert "bob@" not in page.text
        sent = {"link": query.partition("=")[2], "password": NEW}
        assert (await browser.post("/password", data=sent)).status_code == 410
    assert (await nobody.get("/password", params={"link": link})).status_code == 200


@pytest.mark.parametrize(
    ("password", "sentence"),
    [("", "Fill this in."), ("short", "A password has at least 10 characters.")],
)
async def test_a_password_that_will_not_do_leaves_the_link_good(
    nobody, bob, link, password, sentence
) -> None:
    page = await nobody.post("/password", data={"link": link, "password": password})
    assert page.status_code == 422
    assert sentence in page.text
    assert (await bob.get("/settings")).status_code == 200
    chosen = await nobody.post("/password", data={"link": link, "password": NEW})
    assert chosen.status_code == 303


async def test_who_tries_many_has_to_wait(browsers, link) -> None:
    guesser, other = (browsers(None, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2"))
    tries = [await guesser.get(f"/password?link=guess-{number}") for number in range(21)]
    assert [page.status_code for page in tries] == [410] * 20 + [429]
    sent = {"link": link, "password": NEW}
    assert (await guesser.post("/password", data=sent)).status_code == 429
    assert (await other.post("/password", data=sent)).status_code == 303


async def test_it_is_told_to_no_other_site_and_no_log(nobody, link, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        await nobody.get("/password", params={"link": link}),
        await nobody.post("/password", data={"link": link, "password": "short"}),
    ]
    assert {answer.headers["Referrer-Policy"] for answer in answers} == {"same-origin"}
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx2"]
    assert any("/password" in line for line in ours)
    assert not any(link in line for line in ours)
