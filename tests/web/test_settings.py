"""Pages with the user's settings."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from cli.__main__ import main
from core.clock import now
from core.config.paths import PROJECT_ROOT
from core.config.settings import Settings
from core.security.secrets import hash_password
from core.version import VERSION
from models import ApiToken, FailedAttempts, SignIn, User
from services import identity
from tests.support.people_rows import cookie_secret
from web.settings import describe_browser

PASSWORD, NEW_PASSWORD = "a quiet long watch", "another quiet watch"

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)
EDGE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Delays so short that no test waits for them."""
    return settings.model_copy(update={"rate_limit_sign_in_delay": 0.001})


def another_session(user: User, **fields: str) -> SignIn:
    """Create a session of a user in another browser."""
    return SignIn(
        user_id=user.id,
        **({"secret_hash": "elsewhere"} | fields),
        created_at=now(),
        authenticated_at=now(),
        last_seen_at=now(),
        expires_at=now() + timedelta(days=1),
    )


@pytest.fixture
def in_the_database(transaction, world):
    """Returns Alice as she was committed."""

    async def look() -> User:
        async with transaction() as session:
            return await session.scalar(select(User).where(User.id == world.alice.id))

    return look


@pytest.fixture
async def with_password(transaction, world) -> None:
    """Alice has a password."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)


async def test_every_place_shows_the_same_version(alice, capsys) -> None:
    page = (await alice.get("/settings")).text
    assert main(["--version"]) == 0
    changes = (PROJECT_ROOT / "CHANGELOG.md").read_text()
    shown = [
        *re.findall(r">Mission Control ([\d.]+)</p>", page),
        (await alice.get("/healthz")).json()["version"],
        (await alice.get("/openapi.json")).json()["info"]["version"],
        capsys.readouterr().out.split()[-1],
        *re.findall(r"^## ([\d.]+)$", changes, re.MULTILINE)[:1],
    ]
    assert shown == [VERSION] * 5


async def test_a_saved_profile_shows_the_time_in_the_new_zone(alice, in_the_database) -> None:
    typed = {
        "section": "you",
        "name": " Alice Ahn ",
        "preferred_name": "Al",
        "pronouns": "",
        "timezone": "Asia/Kathmandu",
    }
    saved = await alice.post("/settings/profile", data=typed)

    assert saved.status_code == 303
    page = (await alice.get(saved.headers["Location"])).text
    at = re.findall(r"Saved (\d\d:\d\d)", page)[0]
    assert f"It is {at} there now." in page
    user = await in_the_database()
    assert (user.name, user.preferred_name, user.pronouns) == ("Alice Ahn", "Al", None)


async def test_the_time_zone_of_the_browser_is_saved_once(
    alice, anonymous, in_the_database
) -> None:
    assert "data-detects-zone" in (await alice.get("/boards")).text
    for zone, saved in [("Mars/Base", None), ("Asia/Tokyo", "Asia/Tokyo"), ("UTC", "Asia/Tokyo")]:
        answer = await alice.post("/settings/time-zone", data={"timezone": zone})
        assert answer.status_code == 204
        assert (await in_the_database()).timezone == saved
    assert "data-detects-zone" not in (await alice.get("/boards")).text
    refused = await anonymous.post("/settings/time-zone", data={"timezone": "Asia/Tokyo"})
    assert refused.headers["Location"].startswith("/sign-in")


async def test_the_agent_context_is_saved_separately(alice, in_the_database) -> None:
    typed = {"section": "known", "notes": "Ask in the morning.\r\nNever on Fridays.", "context": ""}
    assert (await alice.post("/settings/profile", data=typed)).status_code == 303
    user = await in_the_database()
    assert (user.notes, user.name) == ("Ask in the morning.\nNever on Fridays.", "Alice")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"timezone": "Europe/Nowhere"}, "Choose one from the list, like Europe/Berlin."),
        ({"timezone": "../etc/passwd"}, "Choose one from the list, like Europe/Berlin."),
        ({"pronouns": "p" * 201}, "At most 200 characters."),
        ({"preferred_name": "a\0"}, "It contains a character that cannot be stored."),
        ({"section": "known", "notes": "n" * 20_001}, "At most 20,000 characters."),
    ],
)
async def test_an_invalid_profile_keeps_the_submitted_values(
    alice, in_the_database, typed, sentence
) -> None:
    page = await alice.post("/settings/profile", data={"name": "kept", "context": "kept"} | typed)
    assert page.status_code == 422
    assert sentence in page.text
    assert "kept" in page.text
    assert (await in_the_database()).name == "Alice"


async def test_a_new_password_ends_the_other_sessions(
    alice, world, with_password, transaction, anonymous
) -> None:
    async with transaction() as session:
        session.add(another_session(world.alice))

    typed = {"current": PASSWORD, "new": NEW_PASSWORD}
    assert (await alice.post("/settings/password", data=typed)).status_code == 303

    assert (await alice.get("/settings")).status_code == 200
    alice.cookies.clear()
    alice.cookies.set("mission_control", cookie_secret(world.alice))
    assert (await alice.get("/settings")).status_code == 303  # its session has a new secret
    async with transaction() as session:
        left = await session.scalars(select(SignIn).where(SignIn.user_id == world.alice.id))
        assert [one.secret_hash for one in left if one.secret_hash == "elsewhere"] == []
    signed_in = {"email": "alice@example.com", "password": NEW_PASSWORD}
    assert (await anonymous.post("/sign-in", data=signed_in)).status_code == 303


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"current": "wrong", "new": NEW_PASSWORD}, "This is not your password."),
        ({"current": PASSWORD, "new": "short"}, "A password has at least 10 characters."),
        ({"current": "", "new": NEW_PASSWORD}, "Enter a value."),
    ],
)
async def test_an_invalid_password_is_reported_beside_its_field(
    alice, with_password, typed, sentence
) -> None:
    page = await alice.post("/settings/password", data=typed)
    assert page.status_code == 422
    assert sentence in page.text
    assert PASSWORD not in page.text
    assert NEW_PASSWORD not in page.text


async def test_sessions_are_described_and_can_be_ended(alice, world, transaction) -> None:
    other = another_session(world.alice, user_agent=SAFARI, ip="192.0.2.7")
    async with transaction() as session:
        session.add(other)

    page = (await alice.get("/settings")).text
    assert "Safari on iPhone" in page
    assert "192.0.2.7" in page
    assert "This browser" in page

    ended = await alice.post(f"/settings/sessions/{other.id}/endings")
    assert ended.headers["Location"] == "/settings#sessions"
    assert "Safari on iPhone" not in (await alice.get("/settings")).text


async def test_all_other_sessions_end_at_once(alice, world, transaction) -> None:
    async with transaction() as session:
        for number in range(2):
            session.add(another_session(world.alice, secret_hash=str(number)))
    assert "End all others" in (await alice.get("/settings")).text
    assert (await alice.post("/settings/sessions/endings")).status_code == 303
    assert "End all others" not in (await alice.get("/settings")).text


async def test_ending_the_current_session_redirects_to_sign_in(alice, transaction, world) -> None:
    async with transaction() as session:
        own = await session.scalar(select(SignIn).where(SignIn.user_id == world.alice.id))
    ended = await alice.post(f"/settings/sessions/{own.id}/endings")
    assert ended.headers["Location"] == "/sign-in"
    assert (await alice.get("/settings")).status_code == 303


async def test_a_token_is_shown_once_and_can_be_revoked(
    alice, anonymous, transaction, world
) -> None:
    wanted = {"name": "Nightly report", "scope": "read", "days": "30"}
    made = await alice.post("/settings/tokens", data=wanted)
    assert (made.status_code, made.headers["Location"]) == (303, "/settings#tokens")
    assert "mc_user_" not in str(made.headers)
    shown = await alice.get("/settings")
    assert shown.headers["Cache-Control"] == "no-store"
    token = re.findall(r'<code class="trunc">(mc_\w+_[\w-]+)</code>', shown.text)[0]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await anonymous.get("/api/v1/users/me", headers=headers)).status_code == 200
    changed = await anonymous.patch("/api/v1/users/me", headers=headers, json={"name": "x"})
    assert (changed.status_code, changed.json()["code"]) == (403, "token_scope_insufficient")

    page = (await alice.get("/settings")).text
    assert "Nightly report" in page
    assert "only reads" in page
    assert token not in page

    async with transaction() as session:
        row = await session.scalar(select(ApiToken).where(ApiToken.name == "Nightly report"))
    assert (await alice.post(f"/settings/tokens/{row.id}/endings")).status_code == 303
    assert f"/settings/tokens/{row.id}/endings" not in (await alice.get("/settings")).text
    for end, code in (("", "token_ended"), ("x", "unauthenticated")):
        headers = {"Authorization": f"Bearer {token}{end}"}
        refused = await anonymous.get("/api/v1/users/me", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, code)


async def test_a_token_that_does_not_decide_is_offered_first(alice) -> None:
    page = (await alice.get("/settings")).text
    offered = re.findall(r'<option value="(read|write|no_decisions)"( selected)?', page)
    assert offered == [("no_decisions", " selected"), ("read", ""), ("write", "")]
    assert "/mcp</code>" in page


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("no_decisions", "reads and changes, does not decide"),
        ("write", "reads, changes and decides"),
    ],
)
async def test_a_token_that_changes_data_needs_a_recent_sign_in(
    alice, transaction, scope, words
) -> None:
    wanted = {"name": "Nightly report", "scope": scope, "days": "30"}
    async with transaction() as session:
        old = update(SignIn).values(authenticated_at=now() - timedelta(minutes=20))
        await session.execute(old)
    refused = await alice.post("/settings/tokens", data=wanted)
    assert refused.headers["Location"].startswith("/sign-in/again?next=/settings")
    page = (await alice.get("/settings")).text
    assert "Nightly report" not in page
    assert "A token that may change data needs a recent sign-in." in page
    only_reads = wanted | {"name": "Figures", "scope": "read"}
    assert (await alice.post("/settings/tokens", data=only_reads)).status_code == 303
    async with transaction() as session:
        await session.execute(update(SignIn).values(authenticated_at=now()))
    assert (await alice.post("/settings/tokens", data=wanted)).headers["Location"] == (
        "/settings#tokens"
    )
    page = (await alice.get("/settings")).text
    assert ("Nightly report" in page, words in page, "Figures" in page) == (True, True, True)


async def test_a_changed_password_offers_to_end_the_api_tokens(
    alice, with_password, transaction, world
) -> None:
    """All valid ones are chosen, and nothing ends before the form is sent."""
    is_hers = ApiToken.user_id == world.alice.id
    async with transaction() as session:
        kept, _ = await identity.create_api_token(
            session, world.alice, identity.ApiTokenCreate(name="Figures")
        )
        over, _ = await identity.create_api_token(
            session, world.alice, identity.ApiTokenCreate(name="Expired")
        )
        over.expires_at = now()
        theirs = await session.scalar(select(ApiToken).where(ApiToken.user_id == world.bob.id))
        old = await session.scalar(select(ApiToken).where(ApiToken.name == "script", is_hers))
    changed = await alice.post(
        "/settings/password", data={"current": PASSWORD, "new": NEW_PASSWORD}
    )
    assert changed.headers["Location"].startswith("/settings/tokens/endings?after=password")
    page = (await alice.get(changed.headers["Location"])).text
    assert "Your password is changed" in page
    checked = re.findall(r'name="ids" value="([^"]+)" checked', page)
    assert set(checked) == {str(kept.id), str(old.id)}
    empty = await alice.post("/settings/tokens/endings", data={})
    assert empty.status_code == 422
    assert "Choose at least one token, or keep all of them." in empty.text
    assert " checked" not in empty.text
    chosen = {"ids": [str(old.id), str(theirs.id)]}
    ended = await alice.post("/settings/tokens/endings", data=chosen)
    assert ended.headers["Location"].startswith("/settings")
    assert "Revoked 1 token" in (await alice.get(ended.headers["Location"])).text
    async with transaction() as session:
        names = await session.scalars(select(ApiToken.name).where(is_hers))
        assert set(names) == {"Figures", "Expired"}
        assert await session.get(ApiToken, theirs.id) is not None


async def test_without_api_tokens_a_changed_password_asks_nothing(
    alice, with_password, transaction
) -> None:
    async with transaction() as session:
        await session.execute(delete(ApiToken))
    changed = await alice.post(
        "/settings/password", data={"current": PASSWORD, "new": NEW_PASSWORD}
    )
    assert changed.headers["Location"].startswith("/settings?saved=")
    page = (await alice.get("/settings/tokens/endings")).text
    assert "You have no API tokens to revoke." in page


@pytest.mark.parametrize("name", ["", "n" * 101])
async def test_a_token_needs_a_name(alice, name) -> None:
    page = await alice.post("/settings/tokens", data={"name": name})
    assert page.status_code == 422
    assert 'id="field-token-name-error"' in page.text


async def test_the_page_says_that_there_are_too_many_tokens(alice, transaction, world) -> None:
    for number in range(19):
        made = await alice.post("/settings/tokens", data={"name": f"script {number}"})
        assert made.status_code == 303
    refused = await alice.post("/settings/tokens", data={"name": "one more"})
    assert refused.status_code == 409
    assert "You have 20 tokens. Revoke one before you create another." in refused.text
    assert "one more" in refused.text  # what was typed is kept
    async with transaction() as session:
        tokens = await session.scalars(select(ApiToken).where(ApiToken.user_id == world.alice.id))
    assert len(tokens.all()) == 20


async def test_an_invalid_saved_time_is_ignored(alice) -> None:
    page = (await alice.get("/settings?saved=<b>now</b>")).text
    assert "Saved" not in page


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (SAFARI, "Safari on iPhone"),
        (EDGE, "Edge on Windows"),
        ("curl/8.0", "curl"),
        (None, "A browser"),
        ("", "A browser"),
    ],
)
def test_browsers_are_described_by_their_user_agent(user_agent, words) -> None:
    assert describe_browser(user_agent) == words


async def test_failures_do_not_block_the_password(alice, with_password, transaction) -> None:
    wrong = {"current": "wrong", "new": NEW_PASSWORD}
    for _ in range(12):
        assert (await alice.post("/settings/password", data=wrong)).status_code == 422
    right = {"current": PASSWORD, "new": NEW_PASSWORD}
    assert (await alice.post("/settings/password", data=right)).status_code == 303
    async with transaction() as session:
        later = update(FailedAttempts).values(next_at=now() + timedelta(minutes=3))
        await session.execute(later)
    assert (await alice.post("/settings/password", data=wrong)).status_code == 429


async def test_users_without_a_password_see_no_password_form(alice) -> None:
    page = (await alice.get("/settings")).text
    assert "You sign in through another service" in page
    assert 'name="current"' not in page
