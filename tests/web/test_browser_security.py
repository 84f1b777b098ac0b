"""Headers, cookies and refusals that protect browsers."""

import pytest
from sqlalchemy import update

from core.config.settings import Settings
from core.security.secrets import hash_token
from models import SignIn
from tests.support.world import World, cookie_secret
from web.auth.viewer import HOST_PREFIX, SESSION_COOKIE

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


async def test_over_https_the_cookie_belongs_to_this_host_only(secure_alice) -> None:
    assert (await secure_alice.get("/boards")).status_code == 200
    out = await secure_alice.post("/sign-out")
    assert out.headers["Clear-Site-Data"] == '"cache", "storage"'
    cookie = out.headers["Set-Cookie"]
    assert cookie.startswith(f"{HOST_PREFIX}{SESSION_COOKIE}=")
    assert "Secure" in cookie
    assert "Path=/" in cookie


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
