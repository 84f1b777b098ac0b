"""Changes of single tasks on open boards: one card is loaded, whatever the size of the board."""

from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, Request, expect

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
