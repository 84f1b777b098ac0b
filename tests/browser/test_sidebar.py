"""The boards of the sidebar in a browser: dragged, moved by keys, and never in the way."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_board_drops import hover, point_in, take
from tests.support.live_site import LiveSite
from tests.support.page_checks import cut_connection, list_overflowing
from tests.support.tiers import repetition

RELOAD_SIDEBAR = """() => new Promise((resolve) => {
  addEventListener("htmx:before:request", (event) => { if (event.defaultPrevented) resolve(); });
  addEventListener("htmx:after:swap", resolve);
  htmx.trigger(document.body, "rail");
})"""


@pytest.fixture(scope="module")
def pinned(site: LiveSite) -> Iterator[list[str]]:
    """Pin 30 boards, and return their names in the order of the sidebar."""
    boards = [site.create_board(f"Number {number:02}") for number in range(30)]
    ids = {"board_ids": [board["id"] for board in boards]}
    with site.open_pages() as client:
        assert client.post("/pins", data=ids).status_code == 303
        yield [board["name"] for board in boards]
        assert client.post("/pins/endings", data=ids).status_code == 303  # other pages have them


async def expect_order(page: Page, names: list[str]) -> None:
    """Wait for the first pinned boards, and check that they are stored in this order."""
    shown = page.locator("#rail-pinned a .trunc")
    for _ in range(2):
        for place, name in enumerate(names):
            await expect(shown.nth(place)).to_have_text(name)
        await page.reload()


async def move_to_top(page: Page, name: str) -> None:
    """Move the board that was taken until it is the first one."""
    async with asyncio.timeout(60):
        while await page.locator("#rail-pinned a").first.inner_text() != name:
            await hover(page, await point_in(page.locator("#rail-pinned"), 0.3, 0.005))


async def test_many_boards_leave_the_other_links_in_the_window(site: LiveSite, pinned) -> None:
    async with site.open_page("/activity") as page:
        await expect(page.locator("#rail-pinned a")).to_have_count(len(pinned))
        for path in ("/dashboard", "/boards", "/agents", "/people", "/settings"):
            link = page.locator(f"#rail a[href='{path}']")
            await expect(link).to_be_in_viewport(ratio=1)
        assert not await page.evaluate("document.documentElement.scrollHeight > innerHeight")


async def test_pinned_boards_are_moved_by_keys_buttons_and_dragging(site: LiveSite, pinned) -> None:
    first, second, third, *_ = pinned
    async with site.open_page("/activity") as page:
        pins = page.locator("#rail-pinned a")
        await pins.first.focus()
        await page.keyboard.press("Alt+ArrowDown")
        await expect(pins.nth(1)).to_have_text(first)
        await expect(pins.nth(1)).to_be_focused()
        await expect_order(page, [second, first, third])
        await page.get_by_label("Arrange boards").click()
        await expect(page.get_by_role("button", name=f"Move {first} down")).to_be_enabled()
        await expect(page.get_by_role("button", name=f"Move {second} up")).to_be_disabled()
        await page.get_by_role("button", name=f"Move {third} up").click()
        await expect(pins.nth(1)).to_have_text(third)
        await page.keyboard.press("Escape")
        await expect(page.get_by_label("Arrange boards")).to_be_focused()
        await expect(page.get_by_role("button", name=f"Move {third} up")).to_be_hidden()
        await expect_order(page, [second, third, first])
        await take(page, await point_in(pins.nth(2), 0.3, 0.5))
        await move_to_top(page, first)
        async with page.expect_response("**/pins/moves"):
            await page.mouse.up()
        await expect_order(page, [first, second, third])


async def test_the_sidebar_is_not_replaced_while_a_board_is_dragged(site: LiveSite, pinned) -> None:
    async with site.open_page("/activity") as page:
        pins = page.locator("#rail-pinned a")
        names = await pins.all_inner_texts()
        await take(page, await point_in(pins.nth(2), 0.3, 0.5))
        path = await pins.nth(5).get_attribute("href")
        site.owner.call("PATCH", str(path), name="Was renamed meanwhile")
        await move_to_top(page, names[2])
        await page.evaluate(RELOAD_SIDEBAR)
        await expect(pins.first).to_have_text(names[2])
        async with page.expect_response("**/pins/moves"):
            await page.mouse.up()
        await expect(pins.nth(5)).to_have_text("Was renamed meanwhile")
        await expect_order(page, [names[2], names[0], names[1]])


async def test_boards_return_to_their_places_if_a_move_fails(site: LiveSite, pinned) -> None:
    async with site.open_page("/sign-in") as page:
        await cut_connection(page)  # a live change would reload the sidebar later
        await page.goto("/activity")
        pins = page.locator("#rail-pinned a")
        names = await pins.all_inner_texts()
        await page.route("**/pins/moves", lambda route: route.abort())
        await take(page, await point_in(pins.nth(2), 0.3, 0.5))
        await move_to_top(page, names[2])
        path = await pins.nth(6).get_attribute("href")
        site.owner.call("PATCH", str(path), name="Was renamed during a drag")
        await page.evaluate(RELOAD_SIDEBAR)
        await page.mouse.up()
        await expect(pins.first).to_have_text(names[0])
        await expect(pins.nth(6)).to_have_text("Was renamed during a drag")


@repetition
async def test_pinned_boards_are_moved_on_a_phone(site: LiveSite, pinned) -> None:
    """The steps are stated in tests/web/test_sidebar.py."""
    first, second, third, *_ = pinned
    phone: Any = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    async with site.open_page("/boards", **phone) as page:
        boards = page.locator("#phone-shortcuts .nav__row a .trunc")
        await page.get_by_text("Pinned and recent boards").tap()
        await page.locator("#phone-shortcuts").get_by_text("Arrange boards").tap()
        for _ in range(2):
            await page.get_by_role("button", name=f"Move {third} up").tap()
        await expect(boards.first).to_have_text(third)
        await expect(boards.nth(2)).to_have_text(second)
        await page.get_by_role("button", name=f"Unpin {third}").tap()
        await expect(boards.first).to_have_text(first)
        assert not await list_overflowing(page)
