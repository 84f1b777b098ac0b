"""Long columns: each scrolls by itself, and loads its further cards then."""

from typing import Any

from playwright.async_api import Locator, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from services.tasks import CARDS_IN_COLUMN
from tests.support.board_rows import add_tasks
from tests.support.live_site import LiveSite
from tests.support.tiers import repetition

MORE = 5


async def add_long_column(database: AsyncEngine, board: dict[str, Any]) -> list[dict[str, str]]:
    """Add more cards to a board than its column shows at first; return the newest first."""
    titles = [f"Task {number}" for number in range(CARDS_IN_COLUMN + MORE)]
    return (await add_tasks(database, board, titles))[::-1]


def cards(page: Page) -> Locator:
    return page.locator("#column-inbox .card")


async def test_a_column_loads_its_further_cards_when_it_is_scrolled(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    tasks = await add_long_column(database, board)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(cards(page)).to_have_count(CARDS_IN_COLUMN)
        heading = page.locator("#column-inbox h2")
        before = await heading.bounding_box()

        await page.locator("#more-inbox").scroll_into_view_if_needed()
        await expect(cards(page)).to_have_count(len(tasks))
        oldest = page.locator(f"#task-{tasks[-1]['id']}")
        await oldest.scroll_into_view_if_needed()
        await expect(heading).to_be_in_viewport()
        assert await heading.bounding_box() == before
        assert await page.evaluate("document.documentElement.scrollTop") == 0

        top = (await oldest.bounding_box() or {})["y"]
        created = site.create_task(board, "Arrives at the top")
        await expect(page.locator(f"#task-{created['id']}")).to_be_attached()
        await expect(cards(page)).to_have_count(len(tasks) + 1)  # still all
        assert abs((await oldest.bounding_box() or {})["y"] - top) < 2  # and does not jump


async def test_the_keyboard_reaches_cards_that_are_not_loaded(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    tasks = await add_long_column(database, board)
    async with site.open_page(f"/boards/{board['id']}") as page:
        last = page.locator(f"#task-{tasks[CARDS_IN_COLUMN - 1]['id']} h3 a")
        await last.focus()
        await expect(cards(page)).to_have_count(len(tasks))
        await expect(last).to_be_focused()
        for task in tasks[CARDS_IN_COLUMN:]:
            await page.keyboard.press("j")
            await expect(page.locator(f"#task-{task['id']} h3 a")).to_be_focused()

        await page.keyboard.press("Shift+ArrowRight")
        moved = page.locator("#column-in_progress").locator(f"#task-{tasks[-1]['id']}")
        await expect(moved).to_be_visible()
        await expect(moved.locator("h3 a")).to_be_focused()
        await expect(cards(page)).to_have_count(len(tasks) - 1)


async def test_a_long_title_leaves_the_other_columns_of_the_list_visible(site: LiveSite) -> None:
    board = site.create_board("Listed")
    site.create_task(board, "Read https://example.com/" + "long/" * 60 + " with care " * 10)
    async with site.open_page(f"/boards/{board['id']}?view=list") as page:
        last = page.get_by_role("columnheader", name="Changed")
        await expect(last).to_be_in_viewport(ratio=1)


@repetition
async def test_rows_of_the_list_that_were_loaded_stay_in_live_changes(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    """As the cards of a column above."""
    titles = [f"Task {number:03}" for number in range(2 * CARDS_IN_COLUMN + MORE)]
    made = await add_tasks(database, board, titles)
    async with site.open_page(f"/boards/{board['id']}?view=list&sort=title") as page:
        rows = page.locator("#board-view tr[data-task]")
        await expect(rows).to_have_count(CARDS_IN_COLUMN)
        await page.locator("[data-more]").scroll_into_view_if_needed()
        await expect(rows).to_have_count(2 * CARDS_IN_COLUMN)
        await rows.nth(70).evaluate("row => row.dataset.seen = ''")
        site.update_task(board, made[-1], title="Task 000, moved up")
        moved = page.locator(f"#task-{made[-1]['id']}")
        await expect(moved).to_be_attached()
        site.update_task(board, made[1], title="Task 999, moved down")
        await expect(page.locator(f"#task-{made[1]['id']}")).to_have_count(0)
        await expect(page.locator("[data-seen]")).to_have_count(1)  # is still the same element
        await page.locator("[data-more]").scroll_into_view_if_needed()
        await expect(rows).to_have_count(len(titles))
        ids = await rows.evaluate_all("rows => rows.map(row => row.id)")
        assert len({*ids}) == len(titles)
        await expect(page.locator("[data-keep]")).to_have_count(0)


async def test_the_list_of_a_removed_column_is_released(
    site: LiveSite, board: dict[str, Any]
) -> None:
    async with site.open_page(f"/boards/{board['id']}?done=1") as page:
        done = await page.locator("#cards-done-1").element_handle()
        await page.get_by_role("link", name="Collapse Done").click()
        await expect(page.locator("#cards-done-1")).to_have_count(0)
        assert await page.evaluate("list => Boolean(Sortable.get(list))", done) is False


async def test_the_card_of_the_next_task_is_shown_beside_the_drawer(site: LiveSite) -> None:
    board = site.create_board("Four columns")
    for title, status in (("First", "review"), ("Second", "done")):
        site.update_task(board, site.create_task(board, title), status=status)
    async with site.open_page(f"/boards/{board['id']}?done=1") as page:
        await page.get_by_role("link", name="First").click()
        await expect(page.locator("#drawer")).to_contain_text("First")
        await page.get_by_role("link", name="Next task").click()
        await expect(page.locator("#drawer")).to_contain_text("Second")
        await expect(page.locator(".card", has_text="Second")).to_be_in_viewport(ratio=1)
