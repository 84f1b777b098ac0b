"""Headers, cookies and refusals that protect browsers."""

import re

import httpx2
import pytest
from sqlalchemy import update

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.secrets import hash_token
from models import SignIn
from tests.support.app_on_transactions import build_app_on
from tests.support.one_time_links import open_link
from tests.support.people_rows import cookie_secret
from tests.support.world import World
from web.auth.viewer import HOST_PREFIX, SECURE_PREFIX, SESSION_COOKIE

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://["}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    changes = {"cors_origins": ("https://other.example",), "base_url": "https://mission.example"}
    return settings.model_copy(update=changes)


@pytest.fixture
def secure_alice(browsers, world: World):
    browser = browsers(None)
    browser.cookies.set(f"{HOST_PREFIX}{SESSION_COOKIE}", cookie_secret(world.alice))
    return browser


async def test_an_invalid_origin_is_refused(anonymous) -> None:
    headers = {"Origin": "http://[", "Sec-Fetch-Site": ""}
    del anonymous.headers["Sec-Fetch-Site"]
    answer = await anonymous.post("/sign-in", headers={"Origin": headers["Origin"]})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("sent", "is_refused"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),  # another host of the same domain
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://mission.example"}, False),
        ({"Origin": "https://forum.mission.example"}, True),
        ({"Origin": "null"}, True),
        ({}, True),
    ],
)
async def test_a_form_is_accepted_from_this_origin_only(anonymous, sent, is_refused) -> None:
    del anonymous.headers["Sec-Fetch-Site"]
    answer = await anonymous.post("/sign-in", data={"email": "a@b.org"}, headers=sent)
    assert (answer.status_code == 403) is is_refused


@pytest.mark.parametrize("path", ["/boards/x/y", "/people", "/agents/new"])
async def test_a_refused_htmx_request_is_no_server_error(secure_alice, anonymous, path) -> None:
    for browser in (secure_alice, anonymous):
        assert (await browser.get(path, headers=HTMX)).status_code < 500
        assert (await browser.post(path, headers=HTMX)).status_code < 500


async def test_other_origins_read_the_api_only(secure_alice) -> None:
    headers = {"Origin": "https://other.example"}
    page = await secure_alice.get("/boards", headers=headers)
    assert "Access-Control-Allow-Origin" not in page.headers
    api = await secure_alice.get("/api/v1/boards", headers=headers)
    assert api.headers["Access-Control-Allow-Origin"] == "https://other.example"
    assert api.headers["Cache-Control"] == "no-store"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz", "/openapi.json"])
async def test_other_origins_read_the_health_and_the_document_of_the_api(
    secure_alice, path
) -> None:
    origin = "https://other.example"
    answer = await secure_alice.get(path, headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed >= {"X-Request-Id", "Retry-After", "ETag"}
    preflight = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    asked = await secure_alice.options(path, headers=preflight)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, origin)
    stranger = await secure_alice.get(path, headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in stranger.headers


async def test_pages_and_parts_are_kept_by_browsers_only_and_asked_for_again(
    secure_alice, anonymous
) -> None:
    for answer in (
        await secure_alice.get("/boards"),
        await secure_alice.get("/agents", headers={"HX-Request": "true"}),
        await secure_alice.get("/missing"),
        await anonymous.get("/sign-in"),
    ):
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert {"Cookie", "HX-Request"} <= set(answer.headers["Vary"].split(", "))


@pytest.mark.parametrize("path", ["/first-run", "/invite", "/password"])
async def test_pages_of_one_time_links_are_not_stored(anonymous, path) -> None:
    for answer in (
        await anonymous.get(path),
        await open_link(anonymous, path, "of-nobody"),
    ):
        assert answer.headers["Cache-Control"] == "no-store"


async def test_ending_the_own_session_clears_the_browser(secure_alice) -> None:
    page = await secure_alice.get("/settings")
    path = re.findall(r'action="(/settings/sessions/[\w-]+/endings)"', page.text)[0]
    out = await secure_alice.post(path)
    assert out.headers["Location"] == "/sign-in"
    assert out.headers["Clear-Site-Data"] == '"cache", "storage"'


async def test_over_https_the_cookie_belongs_to_this_host_only(secure_alice) -> None:
    assert (await secure_alice.get("/boards")).status_code == 200
    out = await secure_alice.post("/sign-out")
    assert out.headers["Clear-Site-Data"] == '"cache", "storage"'
    cookie = out.headers["Set-Cookie"]
    assert cookie.startswith(f"{HOST_PREFIX}{SESSION_COOKIE}=")
    assert "Secure" in cookie
    assert "Path=/" in cookie


async def test_below_a_path_the_cookie_is_sent_to_this_path_only(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    below = settings.model_copy(update={"base_url": "https://mission.example/mc"})
    transport = httpx2.ASGITransport(build_app_on(below, transaction))
    name = f"{SECURE_PREFIX}{SESSION_COOKIE}"
    async with httpx2.AsyncClient(transport=transport, base_url=below.base_url) as browser:
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        browser.cookies.set(name, cookie_secret(world.alice))
        assert (await browser.get("/boards")).status_code == 200
        out = await browser.post("/sign-out")
    assert out.headers["Location"] == "/mc/sign-in"
    cookie = out.headers["Set-Cookie"]
    assert cookie.startswith(f"{name}=")
    assert "Secure" in cookie
    assert "Path=/mc;" in cookie


async def test_a_cookie_of_an_earlier_version_gets_the_new_name(
    browsers, transaction, world: World
) -> None:
    old = "mc_session_of-an-earlier-version"
    async with transaction() as session:
        await session.execute(
            update(SignIn)
            .values(secret_hash=hash_token(old))
            .where(SignIn.user_id == world.alice.id)
        )
    browser = browsers(None)
    browser.cookies.set(SESSION_COOKIE, old)
    page = await browser.get("/boards")
    assert page.status_code == 200
    cookies = page.headers.get_list("Set-Cookie")
    assert cookies[0].startswith(f"{HOST_PREFIX}{SESSION_COOKIE}={old};")
    assert cookies[1].startswith(f'{SESSION_COOKIE}=""; ')


async def test_a_new_session_is_not_accepted_under_the_old_name(browsers, world: World) -> None:
    browser = browsers(None)
    browser.cookies.set(SESSION_COOKIE, cookie_secret(world.alice))
    assert (await browser.get("/boards")).status_code == 303


async def test_signing_in_over_http_says_why_it_is_impossible(anonymous) -> None:
    sent = {"email": "alice@example.com", "password": "x"}
    page = await anonymous.post("/sign-in", data=sent, headers={"Origin": "http://mission.test"})
    assert page.status_code == 422
    assert "Open https://mission.example instead." in page.text
    assert "Set-Cookie" not in page.headers
