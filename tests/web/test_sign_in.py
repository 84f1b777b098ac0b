"""Sign-in and sign-out."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.config.settings import Settings
from core.http.client_address import rate_limit_network
from core.security.secrets import hash_password
from models import FailedAttempts, SignIn
from services.identity import passwords
from web.auth.sign_in import DEVICE_COOKIE, safe_next_path

PASSWORD = "a quiet long watch"
LIMIT = 3  # attempts of an account from one network; those from all networks have 20 times as many


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Delays so short that no test waits for them, and a limit that is reached soon."""
    limits = {"rate_limit_sign_in_delay": 0.001, "rate_limit_sign_in": LIMIT}
    return settings.model_copy(update=limits)


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
    assert page.text.count("Enter a value.") == 2


@pytest.fixture
def fast_hash(monkeypatch) -> None:
    """Verify passwords without the cost of argon2."""
    monkeypatch.setattr(passwords, "verify_password", lambda password, _: password == PASSWORD)


async def test_many_failures_do_not_block_the_correct_password(anonymous, mara, fast_hash) -> None:
    wrong = mara | {"password": "something else"}
    responses = [await anonymous.post("/sign-in", data=wrong) for _ in range(20 * LIMIT)]
    assert {page.status_code for page in responses} == {401}
    assert (await anonymous.post("/sign-in", data=mara)).status_code == 303


async def test_parallel_guesses_are_refused(browsers, mara, fast_hash, transaction) -> None:
    attacker, owner = (browsers(None, client=(ip, 1)) for ip in ("192.0.2.1", "192.0.2.2"))
    wrong = mara | {"password": "something else"}
    for _ in range(12):
        await attacker.post("/sign-in", data=wrong)
    far = update(FailedAttempts).values(next_at=now() + timedelta(minutes=3))
    async with transaction() as session:
        await session.execute(far)

    refused = await attacker.post("/sign-in", data=wrong)
    assert refused.status_code == 429
    assert "Too many attempts. Try again in 3 minutes." in refused.text
    assert 170 < int(refused.headers["Retry-After"]) <= 180
    assert (await owner.post("/sign-in", data=mara)).status_code == 303


async def test_a_known_browser_does_not_wait_for_guessers(
    browsers, mara, fast_hash, transaction
) -> None:
    owner, attacker = browsers(None), browsers(None)
    signed_in = await owner.post("/sign-in", data=mara)
    cookies = signed_in.headers.get_list("Set-Cookie")
    (cookie,) = (one for one in cookies if one.startswith(DEVICE_COOKIE))
    assert "HttpOnly" in cookie
    assert "Path=/sign-in" in cookie
    assert "alice" not in cookie
    assert len((await owner.post("/sign-in", data=mara)).headers.get_list("Set-Cookie")) == 1
    await attacker.post("/sign-in", data=mara | {"password": "something else"})
    for _ in range(12):
        await attacker.post("/sign-in", data=mara | {"password": "something else"})
    far = update(FailedAttempts).values(next_at=now() + timedelta(minutes=3))
    async with transaction() as session:
        await session.execute(far)

    assert (await attacker.post("/sign-in", data=mara)).status_code == 429
    assert (await owner.post("/sign-in", data=mara)).status_code == 303


@pytest.mark.parametrize("cookie", ["", "v1.AAAA", "forged", "v1." + "A" * 60])
async def test_a_forged_device_cookie_is_ignored(anonymous, mara, fast_hash, cookie) -> None:
    anonymous.cookies.set(DEVICE_COOKIE, cookie, path="/sign-in")
    assert (await anonymous.post("/sign-in", data=mara)).status_code == 303


async def test_guesses_for_many_accounts_leave_others_alone(anonymous, mara, fast_hash) -> None:
    names = [f"person-{number}@example.com" for number in range(21 * LIMIT)]
    wrong = mara | {"password": "something else"}
    for name in names:
        assert (await anonymous.post("/sign-in", data=wrong | {"email": name})).status_code == 401
    assert (await anonymous.post("/sign-in", data=mara)).status_code == 303


async def test_addresses_of_one_network_share_a_limit(
    browsers, mara, fast_hash, transaction
) -> None:
    wrong = mara | {"password": "something else"}
    near = [browsers(None, client=(f"2001:db8::{number:x}", 1)) for number in range(1, 12)]
    for browser in near:
        await browser.post("/sign-in", data=wrong)
    async with transaction() as session:
        rows = (await session.scalars(select(FailedAttempts))).all()
    assert len(rows) == 3  # account and network, and both together


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


async def test_a_browser_that_is_not_used_for_two_weeks_signs_in_again(alice, transaction) -> None:
    for days, status in ((13, 200), (14, 303)):
        async with transaction() as session:
            used_at = now() - timedelta(days=days)
            await session.execute(update(SignIn).values(last_seen_at=used_at))
        assert (await alice.get("/settings")).status_code == status
        if status == 200:
            async with transaction() as session:
                assert await session.scalar(select(func.max(SignIn.last_seen_at))) > used_at


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("/boards?view=list", "/boards?view=list"),
        ("", "/"),
        ("boards", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/boards/../../other", "/"),
        ("/.%2E?a", "/"),
        ("/boards?path=/../a", "/boards?path=/../a"),
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
