"""A picker is used with the keyboard and the pointer, and stays inside the window."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.live_site import LiveSite

NO_GATEWAYS = """<div role="listbox" id="picker-options" aria-label="Options"></div>
<p data-count>No gateways yet. <a href="/gateways/new" target="_blank">Connect a gateway</a></p>"""
SMALL = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def board(site: LiveSite) -> dict[str, Any]:
    """Create a board with more workers and tags than fit on a screen."""
    board = site.create_board("Crowded")
    for number in range(25):
        site.create_agent(board, f"Worker {number:02}")
        site.owner.call("POST", "/tags", name=f"Label {number:02}", slug=f"{board['id']}-{number}")
    return board


async def is_inside(page: Page, selector: str) -> bool:
    """Return whether an element is completely inside the window."""
    box = await page.locator(selector).bounding_box()
    size = page.viewport_size
    assert box
    assert size
    fits = box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]
    return box["x"] >= 0 and box["y"] >= 0 and fits


async def test_values_are_chosen_with_the_keyboard(site: LiveSite, board) -> None:
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New task")
        await dialog.get_by_label("Title").fill("Mend the sail")
        assignee = dialog.get_by_role("button", name="Assignee")
        await assignee.focus()
        await page.keyboard.press("Enter")
        options = page.locator("#picker-panel").get_by_role("option")
        search = page.get_by_role("combobox", name="Search")
        await expect(options).to_have_count(21)  # with that of no assignee
        await expect(page.get_by_text("20 of 26")).to_be_visible()
        await page.keyboard.type("worker 2")
        await expect(options).to_have_count(7)  # with a 2 anywhere
        await page.keyboard.press("ArrowDown")
        await expect(search).to_have_attribute("aria-activedescendant", "picker-2")
        for key, id in [("Up", 1), ("Up", 7), ("Down", 1), ("Down", 2)]:
            await page.keyboard.press(f"Arrow{key}")
            await expect(search).to_have_attribute("aria-activedescendant", f"picker-{id}")
        await page.keyboard.press("Enter")
        await expect(assignee).to_be_focused()
        await expect(assignee).to_have_accessible_name("Assignee Worker 12")

        await page.keyboard.press("Enter")
        await expect(options.nth(1)).to_have_text("Worker 12")  # chosen lately
        await page.keyboard.press("Escape")
        await expect(search).to_be_hidden()
        await expect(dialog).to_be_visible()
        await expect(assignee).to_be_focused()

        await dialog.get_by_role("button", name="Tags").click()
        for text in ("Label 07", "Label 19", "Label 21", "Label 19"):
            await search.fill(text)
            await expect(options).to_have_text([text])
            await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")
        chips = dialog.locator("[data-picked]")
        await expect(chips).to_have_count(2)
        await dialog.get_by_role("button", name="Remove Label 07").click()
        await expect(chips).to_have_count(1)
        await dialog.get_by_label("Title").press("Enter")
        card = page.locator(".card", has_text="Mend the sail")
        await expect(card).to_contain_text("Worker 12")
        await expect(card).to_contain_text("Label 21")
        assert "Label 07" not in await card.inner_text()


async def test_a_list_is_busy_until_the_search_is_answered(site: LiveSite, board) -> None:
    async with site.open_page(f"/boards/{board['id']}/tasks/new") as page:
        found = page.locator("#picker-panel [data-found]")
        options = found.get_by_role("option")
        search = page.get_by_role("combobox", name="Search")
        assignee = page.get_by_role("button", name="Assignee")
        await assignee.click()
        await expect(found).to_have_attribute("aria-busy", "false")
        is_over = asyncio.Event()

        async def hold(route: Route) -> None:
            await is_over.wait()
            await route.continue_()

        async def search_and_press_enter(text: str) -> None:
            is_over.clear()
            await search.fill(text)
            await search.press("Enter")  # the list is still that of what was typed before
            await expect(found).to_have_attribute("aria-busy", "true")
            await expect(assignee).to_have_accessible_name("Assignee Unassigned")
            is_over.set()

        await page.route(re.compile(r"/pick/.*[?&]q="), hold)
        await search_and_press_enter("worker 2")
        await expect(options).to_have_count(7)  # which of them is meant is not known
        await expect(found).to_have_attribute("aria-busy", "false")
        await expect(assignee).to_have_accessible_name("Assignee Unassigned")
        is_over.clear()
        await search.fill("worker 2")
        for key in ("ArrowDown", "ArrowDown"):
            await search.press(key)  # of the options that were typed, which are not shown yet
        is_over.set()
        await expect(search).to_have_attribute("aria-activedescendant", "picker-3")
        await search_and_press_enter("worker 17")
        await expect(assignee).to_have_accessible_name("Assignee Worker 17")
        await expect(search).to_be_hidden()


async def test_the_keyboard_reaches_the_link_to_what_is_missing(site: LiveSite, board) -> None:
    async with site.open_page("/agents") as page:
        # Other tests share the site, and create gateways; tests/web has the real answer.
        await page.route("**/pick/gateways?*", lambda route: route.fulfill(body=NO_GATEWAYS))
        gateway = page.get_by_role("link", name="Gateway All gateways")
        link = page.locator("#picker-panel").get_by_role("link", name="Connect a gateway")
        for key in ("Escape", "Shift+Tab"):
            await gateway.press("Enter")
            await expect(page.get_by_text("No gateways yet.")).to_be_visible()
            await page.keyboard.press("Tab")
            await expect(link).to_be_focused()
            await page.keyboard.press(key)
            await expect(link).to_be_hidden()
        await gateway.click()
        async with page.context.expect_page() as opened:
            await link.click()
        await (await opened.value).wait_for_url("**/gateways/new")


async def test_a_picker_stays_inside_a_small_window(site: LiveSite, board) -> None:
    async with site.open_page(f"/boards/{board['id']}/tasks/new", viewport=SMALL) as page:
        for name in ("Assignee", "Tags"):
            button = page.get_by_role("button", name=name)
            for block in ("end", "start"):
                await button.evaluate(f"one => one.scrollIntoView({{ block: '{block}' }})")
                await button.click()
                await expect(page.locator("#picker-panel .picker__count")).to_contain_text("20 of")
                assert await is_inside(page, "#picker-panel"), (name, block)
                await page.keyboard.press("Escape")
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
