"""A printed task: complete, black on white, without navigation, and started from its menu."""

import re

import pytest
from playwright.async_api import Page, ViewportSize, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tasks import CARDS_IN_COLUMN
from tests.support.board_rows import add_tasks
from tests.support.live_site import LiveSite
from tests.support.page_checks import WIDE, in_sizes, list_overflowing
from tests.support.tiers import repetition
from web.tasks.conversation import NEWEST_ENTRIES

PAPER: ViewportSize = {"width": 680, "height": 960}  # A4 without its margins
SCREEN_ONLY = (
    ".skip",
    ".topbar",
    ".rail",
    ".tabbar",
    ".composer",
    ".btn",
    ".seg",
    ".menu",
    ".edit > form",
)
LINK = "https://example.com/checksums"
WRITTEN_ADDRESS = "getComputedStyle(document.querySelector('.prose a'), '::after').content"
BLACK, WHITE = "rgb(0, 0, 0)", "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def address(site: LiveSite) -> str:
    """Create a task with all that is printed, and return the address of its page."""
    board = site.create_board("Release")
    agent = site.create_agent(board)
    long = "A long line that is not cut. " * 20
    text = f"Build it. See [the checksums]({LINK}).\n\n|a|b|\n|-|-|\n|{long}|{'x' * 300}|"
    task = site.create_task(board, "Cut the candidate", description=text, priority="high")
    path = f"/agent/boards/{board['id']}/tasks/{task['id']}/comments"
    agent.call("POST", path, message="The candidate is built.")
    for number in range(NEWEST_ENTRIES):
        agent.call("POST", path, message=f"Checked, part {number}.")
    return f"/boards/{board['id']}/tasks/{task['id']}"


async def check_print(page: Page) -> None:
    """Check what of a task is printed from a dark page."""
    await expect(page.get_by_text("The candidate is built.")).to_have_count(0)
    await page.emulate_media(media="print", color_scheme="dark")
    await page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for text in ("Cut the candidate", "High", "Unassigned", "Build it", "The candidate is built."):
        await expect(page.get_by_text(text).filter(visible=True).first).to_be_visible()
    await expect(page.get_by_text("Release · ").filter(visible=True)).to_be_visible()
    for selector in SCREEN_ONLY:
        await expect(page.locator(selector).filter(visible=True)).to_have_count(0)
    for selector in ("body", ".prose"):
        await expect(page.locator(selector).first).to_have_css("color", BLACK)
    for selector in ("body", ".main"):
        await expect(page.locator(selector)).to_have_css("background-color", WHITE)
    written = await page.evaluate(WRITTEN_ADDRESS)
    assert LINK in written
    assert not await list_overflowing(page)


@in_sizes(PAPER, WIDE)
async def test_a_task_is_printed_completely(site: LiveSite, address: str, size: dict) -> None:
    async with site.open_page(address, viewport=size) as page:
        await page.evaluate("document.documentElement.dataset.theme = 'dark'")
        await check_print(page)
        order = await page.evaluate(
            """() => ["h1", "#task-props", "#task-prose", "#conversation"]
                .map((selector) => document.querySelector(selector).getBoundingClientRect().top)"""
        )
        assert order == sorted(order)


@repetition
async def test_beside_its_board_only_the_task_is_printed(site: LiveSite, address: str) -> None:
    """A task is printed in the same way on its page."""
    async with site.open_page(address.partition("/tasks/")[0]) as page:
        await page.get_by_role("link", name="Cut the candidate").click()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await check_print(page)
        await expect(page.locator(".board")).to_be_hidden()


async def test_the_menu_of_a_task_prints_it(site: LiveSite, address: str) -> None:
    async with site.open_page(address) as page:
        await page.evaluate("window.print = () => { document.title = 'printed'; }")
        await page.locator("#task-actions > summary").click()
        await page.get_by_role("button", name="Print").click()
        await expect(page).to_have_title(re.compile("printed$"))  # after the number of decisions


@in_sizes(PAPER, WIDE)
async def test_a_board_is_printed_with_all_tasks(
    site: LiveSite, database: AsyncEngine, size: dict
) -> None:
    board = site.create_board("Printed")
    await add_tasks(database, board, [f"Task {number}." for number in range(CARDS_IN_COLUMN + 2)])
    site.update_task(board, site.create_task(board, "Finished long ago"), status="done")
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        cards = page.locator(".board .card")
        await page.emulate_media(media="print")
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        await expect(cards.filter(visible=True)).to_have_count(CARDS_IN_COLUMN + 3)
        await expect(page.get_by_text("Finished long ago")).to_be_visible()
        await expect(page.get_by_role("heading", name="Printed")).to_be_visible()
        assert not await list_overflowing(page)

        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        await page.emulate_media(media="screen")
        await expect(page.get_by_text("Finished long ago")).to_have_count(0)
