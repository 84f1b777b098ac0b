"""The tabs of a browser share one live connection."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.test_sign_out import sign_in, sign_out
from tests.support.live_site import LiveSite
from tests.support.page_checks import NO_WORKER, OWN_CONNECTION, new_context, set_hidden
from tests.support.tiers import repetition

MANY = 7  # more than the connections of a browser to a server over HTTP/1.1
LIVE = "#live[data-state=live]"
MISSING_SCRIPT = """
    const Worker = SharedWorker;
    self.SharedWorker = class extends Worker {
        constructor(script, name) { super("/static/missing.js", name); }
    };
"""


@pytest.fixture
async def tabs(site: LiveSite) -> AsyncIterator[BrowserContext]:
    """Open a browser of the owner without tabs."""
    context = await site.context()
    yield context
    await context.close()


async def open_tab(context: BrowserContext, address: str) -> Page:
    page = await context.new_page()
    await page.goto(address)
    await expect(page.locator(LIVE)).to_be_visible()
    return page


async def count_workers(site: LiveSite) -> int:
    browser = await site.browser.new_browser_cdp_session()
    targets = (await browser.send("Target.getTargets"))["targetInfos"]
    await browser.detach()
    return sum(target["type"] == "shared_worker" for target in targets)


async def expect_task(site: LiveSite, board: dict[str, Any], title: str, *pages: Page) -> None:
    task = site.create_task(board, title)
    for page in pages:
        await expect(page.locator(f"#task-{task['id']}")).to_be_visible()


@pytest.mark.parametrize(
    ("script", "count"),
    [("", MANY), pytest.param(NO_WORKER, MANY, marks=repetition)],
)
async def test_many_tabs_receive_a_change(
    site: LiveSite, tabs: BrowserContext, script: str, count: int
) -> None:
    await tabs.add_init_script(script)
    workers = await count_workers(site)
    boards = [site.create_board(f"Many {n}") for n in range(2)]
    pages = [await open_tab(tabs, f"/boards/{boards[n % 2]['id']}") for n in range(count)]
    assert await count_workers(site) == workers + (not script)
    for n, board in enumerate(boards):
        await expect_task(site, board, "For half of the tabs", *pages[n::2])
        await expect(pages[1 - n].get_by_text("For half of the tabs")).to_have_count(n)
    await pages[0].close()  # which has the lock without a worker
    await pages[1].evaluate(set_hidden(True))
    await expect_task(site, boards[0], "One tab less", *pages[2::2])
    await expect_task(site, boards[1], "One tab hidden", *pages[3::2])
    await expect(pages[1].get_by_text("One tab hidden")).to_have_count(0)
    await pages[1].evaluate(set_hidden(False))
    await expect(pages[1].get_by_text("One tab hidden")).to_be_visible()


async def test_tabs_whose_worker_cannot_be_loaded_receive_a_change(
    site: LiveSite, tabs: BrowserContext
) -> None:
    await tabs.add_init_script(MISSING_SCRIPT)
    board = site.create_board("No script")
    pages = [await open_tab(tabs, f"/boards/{board['id']}") for _ in range(2)]
    await expect_task(site, board, "For both", *pages)
    await pages[0].close()  # which has the lock
    await expect_task(site, board, "For the other one", pages[1])


@repetition
async def test_a_browser_without_workers_and_channels_has_own_connections(
    site: LiveSite, tabs: BrowserContext
) -> None:
    """The pages of tests/browser/test_live.py have such connections."""
    await tabs.add_init_script(OWN_CONNECTION)
    board = site.create_board("Own")
    pages = [await open_tab(tabs, f"/boards/{board['id']}") for _ in range(2)]
    await expect_task(site, board, "For both", *pages)


async def test_signing_out_ends_the_connection_of_all_tabs(site: LiveSite) -> None:
    board = site.create_board("Signed out")
    task = site.create_task(board, "Write")
    context = await new_context(site.browser, site.installation)
    first = await context.new_page()
    await sign_in(first)
    second = await open_tab(context, f"/boards/{board['id']}/tasks/{task['id']}")
    await second.locator("textarea[name=message]").fill("Half a sent")
    await sign_out(first)
    dialog = second.locator("#signed-out")
    await expect(dialog).to_be_visible()
    site.create_task(board, "Not for a signed-out tab")

    await sign_in(first)
    await second.evaluate("window.dispatchEvent(new Event('focus'))")
    await expect(dialog).to_be_hidden()
    await expect(second.locator(LIVE)).to_be_visible()
    await expect(second.locator("textarea[name=message]")).to_have_value("Half a sent")
    await context.close()


async def test_a_tab_receives_nothing_with_the_session_of_another_user(
    site: LiveSite, tabs: BrowserContext, bob: BrowserContext, board: dict[str, Any]
) -> None:
    bobs, path = await open_tab(bob, f"/boards/{board['id']}"), f"/boards/{board['id']}"
    await tabs.add_init_script(OWN_CONNECTION)  # whose requests the test sees
    page = await open_tab(tabs, path)
    [cookie] = await bob.cookies()
    await tabs.add_cookies(
        [{"name": cookie["name"], "value": cookie["value"], "url": site.installation.url}]
    )
    async with page.expect_response("**/events?**") as answer:
        await page.evaluate(set_hidden(True))
        await page.evaluate(set_hidden(False))
    assert (await answer.value).status == 401
    await expect(page.locator("#signed-out")).to_be_visible()
    await expect_task(site, board, "Only for Bob", bobs)
    await expect(page.get_by_text("Only for Bob")).to_have_count(0)
