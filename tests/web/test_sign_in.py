"""Sign-in and sign-out."""

import pytest

from core.http.client_ip import rate_limit_network
from core.security.secrets import hash_password
from services.identity import passwords
from web.auth.sign_in import safe_next_path

PASSWORD = "a quiet long watch"


@pytest.fixture
async def mara(transaction, world):
    """Alice, with a password."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


async def test_signing_in_redirects_to_the_requested_page(anonymous, mara) -> None:
    response = await anonymous.get("/settings?x=1")
    assert response.headers["Location"] == "/sign-in?next=/settings%3Fx%3D1"

    signed_in = await anonymous.post("/sign-in", data=mara | {"next": "/settings?x=1"})

    assert (signed_in.status_code, signed_in.headers["Location"]) == (303, "/settings?x=1")
    cookie = signed_in.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert (await anonymous.get("/sign-in")).headers["Location"] == "/"


@pytest.mark.parametrize(
    "wrong",
    [{"password": "something else"}, {"email": "nobody@example.com"}, {"email": "no address"}],
)
async def test_all_invalid_credentials_show_the_same_error(anonymous, mara, wrong) -> None:
    page = await anonymous.post("/sign-in", data=mara | wrong)

    assert page.status_code == 401
    assert "The e-mail address or the password is not right." in page.text
    assert f'value="{(mara | wrong)["email"]}"' in page.text
    assert mara["password"] not in page.text
    assert "Set-Cookie" not in page.headers


async def test_a_blank_field_shows_an_error(anonymous, mara) -> None:
    page = await anonymous.post("/sign-in", data={"email": "", "password": ""})
    assert page.status_code == 422
    assert page.text.count("Fill this in.") == 2


async def test_sign_in_attempts_are_rate_limited(anonymous, mara) -> None:
    wrong = mara | {"password": "something else"}
    responses = [await anonymous.post("/sign-in", data=wrong) for _ in range(11)]
    assert [page.status_code for page in responses] == [401] * 10 + [429]
    assert "That was tried too often. Try again in 5 minutes." in responses[-1].text
    assert 0 < int(responses[-1].headers["Retry-After"]) <= 300
    assert (await anonymous.post("/sign-in", data=mara)).status_code == 429


async def test_the_limit_does_not_lock_out_other_users(browsers, mara) -> None:
    attacker, owner = (browsers(None, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2"))
    wrong = mara | {"password": "something else"}
    responses = [await attacker.post("/sign-in", data=wrong) for _ in range(11)]
    assert responses[-1].status_code == 429
    assert (await owner.post("/sign-in", data=mara)).status_code == 303


async def test_one_address_cannot_try_many_accounts(anonymous, mara, monkeypatch) -> None:
    monkeypatch.setattr(passwords, "verify_password", lambda *_: False)
    names = [f"person-{number}@example.com" for number in range(201)]
    responses = [await anonymous.post("/sign-in", data=mara | {"email": name}) for name in names]
    assert [page.status_code for page in responses] == [401] * 200 + [429]
    assert int(responses[-1].headers["Retry-After"]) > 0


async def test_addresses_of_one_network_share_a_limit(browsers, mara) -> None:
    wrong = mara | {"password": "something else"}
    near = [browsers(None, client=(f"2001:db8::{number:x}", 1)) for number in range(1, 12)]
    responses = [await browser.post("/sign-in", data=wrong) for browser in near]
    assert [page.status_code for page in responses] == [401] * 10 + [429]
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
def test_an_address_counts_for_its_network(ip, counted) -> None:
    assert rate_limit_network(ip) == counted


async def test_successful_sign_ins_do_not_count(anonymous, mara) -> None:
    for _ in range(12):
        assert (await anonymous.post("/sign-in", data=mara)).status_code == 303


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
def test_redirects_stay_on_this_site(given, taken) -> None:
    assert safe_next_path(given) == taken


async def test_after_a_post_the_sign_in_does_not_return_to_it(anonymous, world) -> None:
    late = await anonymous.post("/settings/profile", data={"name": "x"})
    assert late.headers["Location"] == "/sign-in"


@pytest.mark.parametrize(
    "path",
    ["/settings/profile", "/settings/password", "/settings/tokens", "/welcome/board", "/agents"],
)
async def test_the_address_of_a_submitted_form_can_be_opened(alice, path) -> None:
    assert (await alice.get(path, follow_redirects=True)).status_code == 200
