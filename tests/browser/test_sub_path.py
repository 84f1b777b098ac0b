"""The product in a browser below a path of a host, behind proxies that keep or remove the path."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.test_board import card_of, column, drag, is_in
from tests.browser.test_search import open_palette
from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.live_site import OWNER, LiveSite, set_up_site
from tests.support.page_checks import NO_WORKER, WIDE, choose
from tests.support.path_proxy import PathProxy, run_path_proxy
from tests.support.tiers import repetition
from web.auth.viewer import SESSION_COOKIE

PATH = "/mc"
REGISTER = "navigator.serviceWorker.register(document.body.dataset.root + 'service_worker.js')"


@dataclass
class SiteBelow:
    """A site whose address has a path, and the proxies in front of it, by what they do."""

    site: LiveSite
    proxies: dict[str, PathProxy]


@pytest.fixture(scope="module")
async def below(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SiteBelow]:
    """Start a site behind two proxies; tests call its API directly."""
    port = find_free_port()
    async with (
        run_path_proxy(PATH, port, removes_path=True) as removing,
        run_path_proxy(PATH, port, removes_path=False) as keeping,
    ):
        environment = LOCAL_AUTH | {"BASE_URL": keeping.url, "TRUSTED_PROXIES": "127.0.0.1"}
        data = tmp_path_factory.mktemp("below") / "data"
        installation = Installation(data, port, environment).start()
        site = await set_up_site(browser, installation)
        yield SiteBelow(site, {"removes": removing, "keeps": keeping})
        site.close()
        installation.stop()


async def expect_path(page: Page, path: str) -> None:
    await expect(page).to_have_url(re.compile(rf"{PATH}(/.*)?{path}$"))


async def sign_in(page: Page, address: str) -> None:
    await page.context.clear_cookies()
    await page.goto(address)
    await expect_path(page, r"/sign-in(\?.*)?")
    await page.locator("[name=email]").fill(OWNER["email"])
    await page.locator("[name=password]").fill(OWNER["password"])
    await page.locator("[name=password]").press("Enter")
    await expect(page.locator("#rail")).to_be_visible()


@repetition
@pytest.mark.parametrize(("kind", "script"), [("removes", ""), ("keeps", NO_WORKER)])
async def test_a_browser_never_leaves_the_path(below: SiteBelow, kind: str, script: str) -> None:
    """See tests/trust/test_sub_path.py for pages, forms, scripts and cookies.

    Streams are in tests/live/test_sub_path.py."""
    site, proxy = below.site, below.proxies[kind]
    board = site.create_board(f"Kittiwake that {kind}")
    task = site.create_task(board, "Paint the door")
    site.create_agent(board, "Juniper")
    async with site.open_page(proxy.url, viewport=WIDE, has_own_context=True) as page:
        await page.context.add_init_script(script)
        await sign_in(page, proxy.url)
        cookies = await page.context.cookies()
        assert SESSION_COOKIE in {cookie["name"] for cookie in cookies}
        assert {cookie["path"] for cookie in cookies} <= {PATH, f"{PATH}/sign-in"}
        await page.keyboard.press("g")
        await page.keyboard.press("b")
        await expect_path(page, "/boards")
        await page.get_by_role("link", name=board["name"]).first.click()
        await drag(page, card_of(page, task), column(page, "in_progress").locator(".cards"))
        await is_in(page, task, "in_progress")
        await expect(page.locator("#live[data-state=live]")).to_be_visible()
        later = site.create_task(board, f"Oil what {kind}")
        await is_in(page, later, "inbox")

        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New task")
        await dialog.get_by_label("Title").fill("Mend the sail")
        await choose(dialog.get_by_role("button", name="Assignee"), "Juniper")
        await dialog.get_by_label("Title").press("Enter")
        await expect(column(page, "inbox").get_by_text("Mend the sail")).to_be_visible()

        await card_of(page, later).get_by_role("link").first.click()
        await expect_path(page, f"/boards/{board['id']}/tasks/{later['id']}")
        await page.get_by_role("textbox", name="Comment").press_sequentially("Ask @Jun")
        await expect(page.locator("#suggest").get_by_role("option")).to_have_count(1)
        await page.go_back()
        await expect_path(page, f"/boards/{board['id']}")
        await open_palette(page, f"Oil what {kind}")
        await page.get_by_role("option", name=f"Oil what {kind}").first.click()
        await expect_path(page, f"/tasks/{later['id']}")
        scope = await page.evaluate(f"{REGISTER}.then(({{ scope }}) => scope)")
        assert scope == f"{proxy.url}/"
    assert proxy.outside == []
