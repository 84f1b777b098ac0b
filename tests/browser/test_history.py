"""Back and Forward show a page as it was left: drawer, scroll positions and focus."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Dialog, Locator, Page, Route, ViewportSize, expect

from tests.browser.test_sign_out import caching_tab, sign_in
from tests.support.live_site import LiveSite, headline
from tests.support.page_checks import PHONE, WIDE, in_sizes
from tests.support.tiers import repetition

__all__ = ["caching_tab"]

LOW: ViewportSize = {"width": 1440, "height": 600}


@pytest.fixture
def tasks(site: LiveSite, board: dict[str, Any]) -> list[dict[str, Any]]:
    return [site.create_task(board, f"Paint the door {number} " * 3) for number in range(16)]


def link_of(page: Page, task: dict[str, Any]) -> Locator:
    return page.locator(f"#task-{task['id']} h3 a")


async def top_of(item: Locator) -> float:
    """Return the position of an item when the fonts are loaded, because titles wrap differently."""
    await item.page.evaluate("document.fonts.ready")
    return await item.evaluate("item => item.getBoundingClientRect().top")


async def expect_top(item: Locator, top: float) -> None:
    """Wait until an item is where it was: parts that change its position may still arrive."""
    await item.page.wait_for_function(
        "([item, top]) => Math.abs(item.getBoundingClientRect().top - top) <= 4",
        arg=[await item.element_handle(), top],
    )


def record_requests(page: Page, pattern: str) -> list[str]:
    """Return a list that receives the addresses of the requests for pages and parts."""
    found: list[str] = []
    types = ("document", "fetch", "xhr")
    page.on(
        "request",
        lambda one: (
            found.append(one.url)
            if one.resource_type in types and re.search(pattern, one.url)
            else None
        ),
    )
    return found


@in_sizes(LOW, PHONE)
async def test_back_closes_the_drawer_and_forward_opens_it_again(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]], size: Any
) -> None:
    task = tasks[5]
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        link, heading = link_of(page, task), page.locator("#drawer h2").first
        await link.scroll_into_view_if_needed()
        top = await top_of(link)
        await link.click()
        await expect(heading).to_be_visible()
        requests = record_requests(page, f"/boards/{board['id']}(/tasks/|$)")

        await page.go_back()
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(link).to_be_focused()
        await expect_top(link, top)
        await page.go_forward()
        await expect(heading).to_have_text(task["title"].strip())
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}$"))
        assert len(requests) == 1

        await asyncio.to_thread(site.update_task, board, task, title="Painted")
        await expect(heading).to_have_text("Painted")
        await expect(link).to_have_text("Painted")


@in_sizes(LOW, PHONE)
async def test_back_from_the_page_of_a_task_shows_the_board_as_it_was(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]], size: Any
) -> None:
    task = tasks[3]
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        link = link_of(page, task)
        await link.scroll_into_view_if_needed()
        top = await top_of(link)
        await link.click()
        await page.get_by_role("link", name="Open as a page").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(task["title"].strip())
        await page.wait_for_load_state()
        requests = record_requests(page, f"/boards/{board['id']}")
        await page.go_back()
        await expect(link).to_be_focused()
        await expect_top(link, top)
        await asyncio.to_thread(site.update_task, board, task, title="Painted")
        await expect(link).to_have_text("Painted")
        assert len([one for one in requests if one.endswith(board["id"])]) == 1


@repetition
async def test_back_to_a_drawer_from_another_page_opens_it(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    """The drawer is also restored in tests/browser/test_sign_out.py."""
    async with site.open_page(f"/boards/{board['id']}", viewport=LOW) as page:
        link = link_of(page, tasks[3])
        await link.scroll_into_view_if_needed()
        await link.click()
        await check_return_to_drawer(page, tasks[3])


@repetition
async def test_a_restored_page_opens_its_drawer(
    caching_tab: Page, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    """The drawer is also restored in tests/browser/test_sign_out.py."""
    await sign_in(caching_tab)
    await caching_tab.goto(f"/boards/{board['id']}")
    await link_of(caching_tab, tasks[3]).click()
    await check_return_to_drawer(caching_tab, tasks[3])


async def test_a_reload_shows_the_filtered_board_and_the_drawer_again(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    task = tasks[3]
    title = task["title"].strip()
    async with site.open_page(f"/boards/{board['id']}", viewport=LOW) as page:
        await page.get_by_label("Search tasks").fill(title)
        await expect(link_of(page, tasks[4])).to_have_count(0)
        await link_of(page, task).click()
        heading = page.locator("#drawer h2").first
        for _ in range(2):
            await expect(heading).to_have_text(title)
            await expect(page).to_have_url(re.compile(rf"/tasks/{task['id']}\?q="))
            await page.reload()
        await expect(heading).to_have_text(title)
        await expect(page.get_by_label("Search tasks")).to_have_value(title)
        await expect(link_of(page, task)).to_be_visible()
        await expect(link_of(page, tasks[4])).to_have_count(0)
        await page.go_back()
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(page.get_by_label("Search tasks")).to_have_value(title)

        await link_of(page, task).click()
        await page.get_by_role("link", name="Open as a page").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        await expect(page.locator("#drawer")).to_have_count(0)


async def test_a_second_reload_before_the_drawer_is_open_keeps_the_board(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    async def hold(route: Route) -> None:
        if route.request.resource_type == "document":
            await route.continue_()

    async def cut(route: Route) -> None:
        is_page = route.request.resource_type == "document"
        await (route.continue_() if is_page else route.abort())

    async with site.open_page(f"/boards/{board['id']}", viewport=LOW) as page:
        link, heading = link_of(page, tasks[3]), page.locator("#drawer h2").first
        await link.click()
        await expect(heading).to_be_visible()
        await page.route("**/tasks/**", hold)
        await page.reload()
        await expect(page.locator("#drawer[aria-busy=true]")).to_be_attached()
        await page.unroute("**/tasks/**")
        await page.reload()
        await expect(heading).to_have_text(tasks[3]["title"].strip())
        await expect(link).to_be_visible()
        await page.route("**/tasks/**", cut)
        await page.reload()  # a board without the task has its own address
        await expect(page.get_by_text("Not loaded. Try again.")).to_be_visible()
        await expect(page).to_have_url(re.compile(rf"/boards/{board['id']}$"))
        await expect(link).to_be_visible()


async def check_return_to_drawer(page: Page, task: dict[str, Any]) -> None:
    """Leave a page with a drawer, return, and close the drawer by Back."""
    link, heading = link_of(page, task), page.locator("#drawer h2").first
    await expect(heading).to_be_visible()
    top = await top_of(link)
    await page.goto("/settings")
    await page.go_back()
    await expect(heading).to_have_text(task["title"].strip())
    await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}$"))
    await expect_top(link, top)
    await page.go_back()
    await expect(page.locator("#drawer")).to_be_hidden()
    await expect(link).to_be_focused()
    await page.reload()
    await expect(link).to_be_visible()


@repetition
async def test_back_to_the_list_of_approvals_keeps_its_position(
    site: LiveSite, board: dict[str, Any]
) -> None:
    """A board keeps its position in the same way."""
    agent = site.create_agent(board)
    titles = [f"Print poster {number}" for number in range(9)]
    for title in titles:
        site.request_approval(agent, board, site.create_task(board, title), title)
    size = {**WIDE, "height": 500}
    async with site.open_page(f"/approvals?board={board['id']}", viewport=size) as page:
        link = page.get_by_role("link", name=headline(titles[7]), exact=True)
        await link.scroll_into_view_if_needed()
        top = await top_of(link)
        await link.click()
        await expect(page).to_have_url(re.compile("/approvals/"))
        await page.go_back()
        await expect(page).to_have_url(re.compile("/approvals[?]"))
        await expect(link).to_be_focused()
        await expect_top(link, top)


@repetition
async def test_back_from_the_list_leads_to_the_board_with_its_drawer(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    """As Back from the page of a task, and to a closed drawer."""
    address = f"/boards/{board['id']}"
    drawer = f"{address}/tasks/{tasks[0]['id']}"
    async with site.open_page(address) as page:
        await link_of(page, tasks[0]).click()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await page.get_by_role("link", name="List", exact=True).click()
        await expect(page.locator(".table--tasks")).to_be_visible()

        await page.go_back()
        await expect(page.locator(".board .card").first).to_be_visible()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await expect(page).to_have_url(drawer)
        await page.go_back()
        await expect(page.locator(".drawer")).to_have_count(0)
        await expect(page).to_have_url(address)


@repetition
async def test_back_from_another_page_opens_the_drawer_of_a_list_once(
    site: LiveSite, board: dict[str, Any], tasks: list[dict[str, Any]]
) -> None:
    """The drawer of a board is opened once in the same way."""
    address = f"/boards/{board['id']}?view=list"
    async with site.open_page(address) as page:
        await page.locator(f"#task-{tasks[0]['id']} th a").click()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await page.goto("/my-tasks")

        await page.go_back()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await expect(page.locator(".table--tasks")).to_be_visible()
        await page.go_back()
        await expect(page.locator(".drawer")).to_have_count(0)
        await expect(page).to_have_url(address)


async def test_back_to_a_form_that_was_left_unsaved_does_not_ask_again(site: LiveSite) -> None:
    """The event is that of a browser that keeps such a page; Chromium does not ask then."""
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    async with site.open_page("/settings") as page:
        page.on("dialog", stay)
        name = page.get_by_label("Name", exact=True)
        await name.press_sequentially(" the First")
        await page.evaluate("""() => {
            dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
        }""")
        await expect(name).to_be_visible()
        await expect(name).not_to_have_value(re.compile("the First"))  # it is loaded again
    assert asked == []


async def test_a_removed_row_is_an_unsaved_change(site: LiveSite) -> None:
    metrics = {"Speed": "9 knots", "Heel": "10 degrees"}
    board = site.create_board("Measured", objective="Sail", success_metrics=metrics)
    async with site.open_page(f"/boards/{board['id']}/onboarding") as page:
        await page.get_by_role("button", name="Remove measure 1").click()
        async with page.expect_event("dialog") as leaving:
            page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
            await page.goto("/boards")
        assert (await leaving.value).type == "beforeunload"
