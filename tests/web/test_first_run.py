"""The first run, as the browser of whoever has just installed the product asks for it."""

import pytest

from services import identity
from tests.conftest import Transaction

OWNER = {"name": "Mara Okafor", "email": "Mara@Example.com", "password": "a quiet long watch"}


@pytest.fixture
async def link(transaction: Transaction) -> str:
    async with transaction() as session:
        secret = await identity.first_run_link(session)
    assert secret
    return secret


async def test_the_link_makes_the_owner_and_signs_them_in(nobody, link) -> None:
    page = await nobody.get("/first-run", params={"link": link})
    assert page.status_code == 200
    assert 'name="password"' in page.text

    made = await nobody.post("/first-run", data=OWNER | {"link": link})

    assert (made.status_code, made.headers["Location"]) == (303, "/")
    assert "HttpOnly" in made.headers["Set-Cookie"]
    assert (await nobody.get("/welcome")).status_code == 200


async def test_once_there_is_an_owner_the_link_is_dead(nobody, link) -> None:
    await nobody.post("/first-run", data=OWNER | {"link": link})
    nobody.cookies.clear()

    shown = await nobody.get("/first-run", params={"link": link})
    again = await nobody.post("/first-run", data=OWNER | {"link": link, "email": "x@example.com"})

    for page in (shown, again):
        assert page.status_code == 410
        assert "This link opens nothing." in page.text
        assert 'name="password"' not in page.text


@pytest.mark.parametrize("path", ["/first-run", "/first-run?link="])
async def test_without_a_link_nobody_is_offered_to_become_the_owner(nobody, link, path) -> None:
    page = await nobody.get(path)

    assert page.status_code == 404
    assert 'name="password"' not in page.text


async def test_a_link_that_was_never_made_opens_nothing(nobody, link) -> None:
    invented = await nobody.post("/first-run", data=OWNER | {"link": "mc_first_invented"})
    assert invented.status_code == 410
    assert (await nobody.get("/first-run", params={"link": link})).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "  "}, "Fill this in."),
        ({"name": "M" * 201}, "At most 200 characters."),
        ({"email": "not an address"}, "This is not an e-mail address."),
        ({"email": "a\0b@example.com"}, "There is a character in it that cannot be stored."),
        ({"password": "short"}, "A password has at least 10 characters."),
    ],
)
async def test_what_is_wrong_is_told_beside_the_field_and_nothing_is_lost(
    nobody, link, wrong, sentence
) -> None:
    page = await nobody.post("/first-run", data=OWNER | {"link": link} | wrong)

    assert page.status_code == 422
    assert sentence in page.text
    assert 'aria-invalid="true"' in page.text
    assert OWNER["password"] not in page.text
    if "name" not in wrong:
        assert 'value="Mara Okafor"' in page.text
    assert (await nobody.get("/first-run", params={"link": link})).status_code == 200


async def test_bytes_that_are_no_text_are_refused(nobody, link) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"name=%ff%fe", b"name=\xff\xfe", b"&".join([b"a=1"] * 3_000)):
        assert (await nobody.post("/first-run", content=body, headers=headers)).status_code == 422


async def test_another_site_cannot_send_the_form(nobody, link) -> None:
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    made = await nobody.post("/first-run", data=OWNER | {"link": link}, headers=elsewhere)
    assert made.status_code == 403
