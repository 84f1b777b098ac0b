"""Where cards can be dropped, and what scrolls while one is dragged."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from models import Status
from tests.support.board_rows import add_tasks
from tests.support.live_site import LiveSite
from tests.support.tiers import repetition

NARROW: dict[str, Any] = {"viewport": {"width": 900, "height": 640}}
SORTABLE_PAUSE = 50  # ms; it ignores the pointer for 30 ms after it has moved a card
Point = tuple[float, float]


async def point_in(element: Locator, x: float, y: float) -> Point:
    """Return a point of an element, given as shares of its width and height."""
    box = await element.bounding_box()
    assert box
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


async def take(page: Page, at: Point) -> None:
    """Take what is at a point with the mouse."""
    await page.mouse.move(*at)
    await page.mouse.down()
    await page.mouse.move(at[0] + 8, at[1] + 4, steps=3)


async def take_card(page: Page, task: dict[str, Any]) -> None:
    await take(page, await point_in(page.locator(f"#task-{task['id']}"), 0.1, 0.85))


async def hover(page: Page, to: Point) -> None:
    """Move the card that was taken to a point. The browser reports a move with a later one."""
    await page.mouse.move(*to, steps=10)
    for shift in (1, 0, 1, 0):
        await page.mouse.move(to[0] + shift, to[1])


async def hover_until_marked(page: Page, to: Point, target: Locator) -> None:
    """Move the card around a point until the column there is marked."""
    async with asyncio.timeout(60):
        while await target.get_attribute("data-over") is None:
            await hover(page, to)


async def hover_until_scrolled(page: Page, to: Point, condition: str) -> None:
    """Move the card around a point until the position of the column there fulfils a condition."""
    top = "document.querySelector('#column-review .col__scroll').scrollTop"
    async with asyncio.timeout(60):
        while not await page.evaluate(f"() => {top} {condition}"):
            await hover(page, to)


async def drop(page: Page, to: Point) -> None:
    """Move to a point, and let go."""
    await hover(page, to)
    await page.mouse.up()


def column(page: Page, status: str) -> Locator:
    return page.locator(f"#column-{status}")


@pytest.mark.parametrize(
    ("name", "status", "share"),
    [
        pytest.param("below the last card", "in_progress", 0.97, marks=repetition),
        pytest.param("on the heading", "in_progress", 0.02, marks=repetition),
        pytest.param("at the end of an empty column", "review", 0.98, marks=repetition),
        pytest.param("on the text of an empty column", "review", 0.12, marks=repetition),
        ("at the end of the folded column", "done", 0.97),
        pytest.param("at the start of the folded column", "done", 0.02, marks=repetition),
    ],
)
async def test_a_card_can_be_dropped_anywhere_in_a_column(
    site: LiveSite, name: str, status: str, share: float
) -> None:
    board = site.create_board(f"Dropped {name}")
    task, other = site.create_task(board, "Is moved"), site.create_task(board, "Stands there")
    site.update_task(board, other, status="in_progress")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await take_card(page, task)
        target = await point_in(column(page, status), 0.5, share)
        await hover_until_marked(page, target, column(page, status))
        async with page.expect_response("**/moves*"):
            await drop(page, target)
        await expect(page.locator("[data-over]")).to_have_count(0)
    assert site.list_tasks(board)["Is moved"]["status"] == status


async def test_a_card_that_is_dropped_outside_stays(site: LiveSite) -> None:
    board = site.create_board("Dropped outside")
    task = site.create_task(board, "Stays")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await take_card(page, task)
        await hover(page, await point_in(column(page, "review"), 0.5, 0.5))
        await drop(page, await point_in(page.locator("h1"), 0.5, 0.5))
        await expect(page.locator("#column-inbox .card")).to_have_count(1)
        await expect(page.locator("[data-over]")).to_have_count(0)
    assert site.list_tasks(board)["Stays"]["status"] == "inbox"


@repetition
async def test_dragging_to_the_edge_of_a_column_scrolls_it(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    """The same library scrolls the board in the next test."""
    titles = [f"Task {number}" for number in range(25)]
    await add_tasks(database, board, titles, status=Status.REVIEW)
    task = site.create_task(board, "Is moved")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await take_card(page, task)
        await hover(page, await point_in(column(page, "review"), 0.5, 0.5))
        end = await point_in(column(page, "review"), 0.5, 0.985)
        await hover_until_scrolled(page, end, "> 100")
        await expect(page.locator("#column-review h2")).to_be_in_viewport()
        start = await point_in(column(page, "review"), 0.5, 0.09)
        await hover_until_scrolled(page, start, "< 50")
        await page.mouse.up()


async def test_dragging_to_the_edge_of_the_window_scrolls_the_board(site: LiveSite) -> None:
    board = site.create_board("Narrow")
    task = site.create_task(board, "Is moved")
    async with site.open_page(f"/boards/{board['id']}?done=1", **NARROW) as page:
        await take_card(page, task)
        x, y = await point_in(page.locator(".board"), 0.985, 0.5)
        await hover(page, (x - 60, y))
        await hover(page, (x, y))
        await page.wait_for_function(
            "() => { const b = document.querySelector('.board');"
            " return b.scrollLeft >= b.scrollWidth - b.clientWidth - 1 }"
        )
        async with page.expect_response("**/moves*"):
            await drop(page, await point_in(column(page, "done"), 0.5, 0.9))
    assert site.list_tasks(board)["Is moved"]["status"] == "done"


@repetition
async def test_a_card_is_dragged_to_a_place_for_all_viewers(site: LiveSite) -> None:
    """See where cards land below, and test_a_dragged_card_moves_for_all_viewers."""
    board = site.create_board("Ordered")
    made = {
        title: site.create_task(board, title) for title in ("Fourth", "Third", "Second", "First")
    }
    async with (
        site.open_page(f"/boards/{board['id']}") as page,
        site.open_page(f"/boards/{board['id']}") as other,
    ):
        await take_card(page, made["Fourth"])
        second = await point_in(page.locator(f"#task-{made['Second']['id']}"), 0.5, 0.2)
        await hover(page, second)
        async with page.expect_response("**/moves*"):
            await drop(page, second)
        for each in (page, other):
            shown = each.locator("#column-inbox h3 a")
            await expect(shown).to_have_text(["First", "Fourth", "Second", "Third"])

        link = page.locator(f"#task-{made['Third']['id']} h3 a")
        await link.focus()
        await page.keyboard.press("Shift+ArrowUp")
        for each in (page, other):
            shown = each.locator("#column-inbox h3 a")
            await expect(shown).to_have_text(["First", "Fourth", "Third", "Second"])
        await expect(link).to_be_focused()
        await page.keyboard.press("Shift+ArrowDown")
        await expect(page.locator("#column-inbox h3 a").last).to_have_text("Third")
        await expect(link).to_be_focused()


@pytest.mark.parametrize(
    ("onto", "share", "order"),
    [
        ("Second", 0.2, ["First", "Fourth", "Second", "Third"]),
        pytest.param("First", 0.8, ["First", "Fourth", "Second", "Third"], marks=repetition),
        pytest.param("First", 0.2, ["Fourth", "First", "Second", "Third"], marks=repetition),
    ],
)
async def test_a_card_lands_where_it_is_dropped_however_quickly(
    site: LiveSite, onto: str, share: float, order: list[str]
) -> None:
    """Sortable ignores the pointer after its first move of the card, since no time passes."""
    board = site.create_board(f"Dropped quickly onto {onto} at {share}")
    for title in ("Fourth", "Third", "Second", "First"):
        site.create_task(board, title)
    tasks = site.list_tasks(board)
    async with site.open_page(f"/boards/{board['id']}", has_own_context=True) as page:
        titles = page.locator("#column-inbox h3 a")
        await page.clock.install()
        await take_card(page, tasks["Fourth"])
        await expect(page.locator("[data-used]")).to_be_attached()
        await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 1"))
        await hover(page, await point_in(page.locator(f"#task-{tasks['Third']['id']}"), 0.5, 0.2))
        await expect(titles).to_have_text(["First", "Second", "Fourth", "Third"])
        async with page.expect_response("**/moves*"):
            await drop(page, await point_in(page.locator(f"#task-{tasks[onto]['id']}"), 0.5, share))
        await page.clock.resume()
        await expect(titles).to_have_text(order)
        await page.reload()
        await expect(titles).to_have_text(order)


@pytest.mark.parametrize(
    ("status", "onto", "share", "order"),
    [
        pytest.param("inbox", "Third", 0.2, ["Second", "Taken", "Third"], marks=repetition),
        pytest.param("inbox", "Third", 0.8, ["Second", "Third", "Taken"], marks=repetition),
        pytest.param("review", "Second", 0.2, ["Taken", "Second", "Third"], marks=repetition),
        ("review", "Second", 0.8, ["Second", "Taken", "Third"]),
    ],
)
async def test_a_dragged_card_shows_where_it_will_land(
    site: LiveSite, status: str, onto: str, share: float, order: list[str]
) -> None:
    board = site.create_board(f"Dragged from {status} onto {onto} at {share}")
    tasks = {title: site.create_task(board, title) for title in ("Third", "Second", "Taken")}
    site.update_task(board, tasks["Taken"], status=status)
    async with site.open_page(f"/boards/{board['id']}", has_own_context=True) as page:
        titles = page.locator("#column-inbox h3 a")
        await page.clock.install()
        await take_card(page, tasks["Taken"])
        await expect(page.locator("[data-used]")).to_be_attached()
        await page.clock.pause_at(await page.evaluate("Date.now() / 1000 + 1"))
        target = await point_in(page.locator(f"#task-{tasks[onto]['id']}"), 0.5, share)
        for _ in range(3):
            await hover(page, target)
            await page.clock.run_for(SORTABLE_PAUSE)
        await expect(titles).to_have_text(order)
        await page.clock.resume()
        async with page.expect_response("**/moves*"):
            await page.mouse.up()
        await expect(page.locator("[data-saving]")).to_have_count(0)
        await expect(titles).to_have_text(order)


async def test_other_orders_are_chosen_in_a_menu_and_have_no_places(site: LiveSite) -> None:
    board = site.create_board("Sorted")
    for title, priority in (("Low", "low"), ("High", "high"), ("Medium", "medium")):
        site.create_task(board, title, priority=priority)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.locator("#sort-menu summary").click()
        await page.locator("#sort-menu").get_by_role("link", name="Priority").click()
        titles = page.locator("#column-inbox h3 a")
        await expect(titles).to_have_text(["High", "Medium", "Low"])
        await expect(page).to_have_url(re.compile("sort=priority"))
        await titles.last.focus()
        await page.keyboard.press("Shift+ArrowUp")
        first, last = await titles.first.bounding_box(), await titles.last.bounding_box()
        assert first
        assert last
        await page.mouse.move(last["x"] + 200, last["y"] + 5)
        await page.mouse.down()
        await hover(page, (first["x"] + 200, first["y"]))
        await page.mouse.up()
        await expect(titles).to_have_text(["High", "Medium", "Low"])
        await page.reload()
        await expect(titles).to_have_text(["High", "Medium", "Low"])
