"""Changes of single tasks on open boards: one card is loaded, whatever the size of the board."""

import asyncio
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, Request, Route, expect

from tests.support.live_site import LiveSite


def record_requests(page: Page) -> Callable[[str], list[str]]:
    """Record the requests of a page, and return a function that lists the paths with a text."""
    paths: list[str] = []

    def note(request: Request) -> None:
        paths.append(request.url.partition("//")[2].partition("/")[2])

    page.on("request", note)
    return lambda text: [path for path in paths if text in path]


async def rename(site: LiveSite, board: dict[str, Any], task: dict[str, Any], title: str) -> None:
    site.update_task(board, task, title=title)


async def test_a_renamed_task_reloads_one_card(site: LiveSite) -> None:
    board = site.create_board("Renaming")
    first, second = site.create_task(board, "First"), site.create_task(board, "Second")
    async with site.open_page(f"/boards/{board['id']}") as page:
        requested = record_requests(page)
        for title in ("Renamed once", "Renamed twice"):
            await rename(site, board, first, title)
            await expect(page.locator(f"#task-{first['id']}")).to_contain_text(title)
        assert len(requested("/cards/")) == 2
        assert not requested("/columns")

        await rename(site, board, second, "Renamed too")
        await expect(page.locator(f"#task-{second['id']}")).to_contain_text("Renamed too")
        assert len(requested("/cards/")) == 3


async def test_a_card_that_was_reloaded_can_still_be_moved(site: LiveSite) -> None:
    board = site.create_board("Renaming and moving")
    task = site.create_task(board, "Before")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await rename(site, board, task, "After")
        card = page.locator(f"#task-{task['id']}")
        await expect(card).to_contain_text("After")
        await card.locator("summary").click()
        await card.get_by_role("button", name="In progress").click()
        moved = page.locator("#column-in_progress").locator(f"#task-{task['id']}")
        await expect(moved).to_be_visible()


async def test_a_renamed_task_appears_in_a_filter_that_it_fits_now(site: LiveSite) -> None:
    board = site.create_board("Filtered")
    task = site.create_task(board, "Nothing of interest")
    async with site.open_page(f"/boards/{board['id']}?q=lighthouse") as page:
        card = page.locator(f"#task-{task['id']}")
        await expect(card).to_have_count(0)
        await rename(site, board, task, "Paint the lighthouse")
        await expect(card).to_be_visible()
        await rename(site, board, task, "Paint the door")
        await expect(card).to_have_count(0)


class HeldResponse:
    """Holds the next response to an address with a text back, with the content of that moment."""

    def __init__(self) -> None:
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def hold(self, page: Page, text: str) -> None:
        await page.route(f"**{text}**", self._handle, times=1)

    async def _handle(self, route: Route) -> None:
        response = await route.fetch()
        self.arrived.set()
        await self.released.wait()
        await route.fulfill(response=response)


async def test_an_old_board_does_not_replace_a_newer_card(site: LiveSite) -> None:
    board = site.create_board("Slow board")
    task, other = site.create_task(board, "Old title"), site.create_task(board, "Other")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "/columns")
        site.update_task(board, other, status="review")
        await asyncio.wait_for(held.arrived.wait(), 15)
        site.update_task(board, task, title="New title")
        await expect(page.locator(f"#task-{task['id']}")).to_contain_text("New title")
        held.released.set()
        moved = page.locator("#column-review").locator(f"#task-{other['id']}")
        await expect(moved).to_be_visible()
        await expect(page.locator(f"#task-{task['id']}")).to_contain_text("New title")


async def test_an_old_card_does_not_replace_a_newer_board(site: LiveSite) -> None:
    board = site.create_board("Slow card")
    task, other = site.create_task(board, "First title"), site.create_task(board, "Other")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "/cards/")
        site.update_task(board, task, title="Second title")
        await asyncio.wait_for(held.arrived.wait(), 15)
        site.update_task(board, task, title="Third title", status="review")
        moved = page.locator("#column-review").locator(f"#task-{task['id']}")
        await expect(moved).to_contain_text("Third title")
        async with page.expect_response("**/cards/**"):
            held.released.set()
        site.update_task(board, other, title="Afterwards")  # shown after the old card was discarded
        await expect(page.locator(f"#task-{other['id']}")).to_contain_text("Afterwards")
        await expect(moved).to_contain_text("Third title")
