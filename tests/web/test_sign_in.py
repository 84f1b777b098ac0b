"""Signing in and out."""

import pytest

from kit.client_ip import household
from kit.secrets import hash_password
from services.identity import passwords
from web.sign_in import safe_next

PASSWORD = "a quiet long watch"


@pytest.fixture
async def mara(transaction, world):
    """Alice, with a password."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


async def test_who_has_the_password_is_signed_in_and_taken_where_they_wanted(nobody, mara) -> None:
    asked = await nobody.get("/settings?x=1")
    assert asked.headers["Location"] == "/sign-in?next=/settings%3Fx%3D1"

    signed_in = await nobody.post("/sign-in", data=mara | {"next": "/settings?x=1"})

    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/settings?x=1")
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert (await nobody.get("/sign-in")).headers["Location"] == "/"


@pytest.mark.parametrize(
    "wrong",
    [{"password": "something else"}, {"email": "nobody@example.com"}, {"email": "no address"}],
)
async def test_whatever_is_wrong_the_words_are_the_same(nobody, mara, wrong) -> None:
    page = await nobody.post("/sign-in", data=mara | wrong)

    assert page.status_code == 401
    assert "The e-mail address or the password is not right." in page.text
    assert f'value="{(mara | wrong)["email"]}"' in page.text
    assert mara["password"] not in page.text
    assert "Set-Cookie" not in page.headers


async def test_a_blank_field_is_told_beside_it(nobody, mara) -> None:
    page = await nobody.post("/sign-in", data={"email": "", "password": ""})
    assert page.status_code == 422
    assert page.text.count("Fill this in.") == 2


async def test_who_tries_too_often_has_to_wait(nobody, mara) -> None:
    wrong = mara | {"password": "something else"}
    tries = [await nobody.post("/sign-in", data=wrong) for _ in range(11)]
    assert [page.status_code for page in tries] == [401] * 10 + [429]
    assert "That was tried too often. Try again in 5 minutes." in tries[-1].text
    assert 0 < int(tries[-1].headers["Retry-After"]) <= 300
    assert (await nobody.post("/sign-in", data=mara)).status_code == 429


async def test_who_tries_too_often_locks_nobody_else_out(browsers, mara) -> None:
    stranger, owner = (browsers(None, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2"))
    wrong = mara | {"password": "something else"}
    tries = [await stranger.post("/sign-in", data=wrong) for _ in range(11)]
    assert tries[-1].status_code == 429
    assert (await owner.post("/sign-in", data=mara)).status_code == 303


async def test_one_address_cannot_try_everybody(nobody, mara, monkeypatch) -> None:
    monkeypatch.setattr(passwords, "password_fits", lambda *_: False)
    names = [f"person-{number}@example.com" for number in range(201)]
    tries = [await nobody.post("/sign-in", data=mara | {"email": name}) for name in names]
    assert [page.status_code for page in tries] == [401] * 200 + [429]
    assert int(tries[-1].headers["Retry-After"]) > 0


async def test_the_many_addresses_of_one_customer_count_as_one(browsers, mara) -> None:
    wrong = mara | {"password": "something else"}
    near = [browsers(None, client=(f"2001:db8::{number:x}", 1)) for number in range(1, 12)]
    tries = [await browser.post("/sign-in", data=wrong) for browser in near]
    assert [page.status_code for page in tries] == [401] * 10 + [429]
    far = browsers(None, client=("2001:db8:0:1::1", 1))
    assert (await far.post("/sign-in", data=mara)).status_code == 303


@pytest.mark.parametrize(
    ("ip", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_counts_as_the_customer_who_has_it(ip, counted) -> None:
    assert household(ip) == counted


async def test_signing_in_well_is_never_too_often(nobody, mara) -> None:
    for _ in range(12):
        assert (await nobody.post("/sign-in", data=mara)).status_code == 303


async def test_signing_out_ends_the_session(alice, world) -> None:
    kept = dict(alice.cookies)
    left = await alice.post("/sign-out")
    assert (left.status_code, left.headers["Location"]) == (303, "/sign-in")

    alice.cookies.update(kept)
    assert (await alice.get("/settings")).headers["Location"].startswith("/sign-in")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("/boards?view=list", "/boards?view=list"),
        ("", "/"),
        ("boards", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_nobody_is_led_to_another_site(given, taken) -> None:
    assert safe_next(given) == taken


async def test_a_change_that_came_too_late_is_not_asked_for_as_a_page(nobody, world) -> None:
    late = await nobody.post("/settings/profile", data={"name": "x"})
    assert late.headers["Location"] == "/sign-in"


@pytest.mark.parametrize(
    "path",
    ["/settings/profile", "/settings/password", "/settings/tokens", "/welcome/board", "/agents"],
)
async def test_the_address_of_an_answered_form_is_a_page(alice, path) -> None:
    assert (await alice.get(path, follow_redirects=True)).status_code == 200
