"""Several cards are changed at once, and one by its menu."""

import asyncio
import re
from typing import Any

from playwright.async_api import Locator, Page, Route, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.board_rows import add_tasks
from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_overflowing
from tests.support.tiers import repetition


def card_of(page: Page, task: dict[str, Any]) -> Locator:
    return page.locator(f"#task-{task['id']}")


def boxes(page: Page) -> Locator:
    return page.locator("input[data-pick]:checked")


async def test_cards_are_selected_by_keys_and_moved_together(site: LiveSite) -> None:
    board = site.create_board("Selected")
    made = [site.create_task(board, title) for title in ("Fourth", "Third", "Second", "First")]
    waits = site.create_task(board, "Waits", depends_on_task_ids=[made[0]["id"]])
    async with site.open_page(f"/boards/{board['id']}") as page:
        bar = page.locator("#bulk")
        await expect(bar).to_be_hidden()
        await card_of(page, waits).locator("h3 a").focus()
        await page.keyboard.press("x")
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await page.keyboard.press("Shift+X")
        await expect(bar).to_contain_text("3 selected")
        await card_of(page, made[3]).get_by_role("checkbox").press("Enter")  # changes nothing
        await bar.locator("#bulk-due summary").click()
        await bar.get_by_label("Due", exact=True).fill("2030-05-06")
        await bar.get_by_label("Due", exact=True).press("Enter")
        await expect(page.locator(".due", has_text="6 May 2030")).to_have_count(3)
        for task in (waits, made[3], made[2]):
            await card_of(page, task).get_by_role("checkbox").check()

        site.update_task(board, made[3], title="First, renamed")
        await expect(card_of(page, made[3])).to_contain_text("renamed")
        await expect(boxes(page)).to_have_count(3)  # a live change keeps the selection
        site.create_task(board, "Arrives")
        await expect(page.get_by_text("Arrives")).to_be_visible()
        await expect(boxes(page)).to_have_count(3)

        await bar.locator("#bulk-status summary").click()
        await bar.get_by_role("button", name="In progress").click()
        for task in (made[2], made[3]):
            moved = page.locator("#column-in_progress").locator(card_of(page, task))
            await expect(moved).to_be_visible()
        await expect(boxes(page)).to_have_count(1)
        await expect(card_of(page, waits).get_by_role("alert")).to_contain_text("Blocked by")
        await expect(bar).to_contain_text("1 selected")
        await expect(page.locator("#toasts")).to_contain_text(
            "2 tasks changed. 1 task not changed."
        )

        await bar.get_by_role("button", name="Clear selection").click()
        await expect(bar).to_be_hidden()
        site.update_task(board, made[0], title="Fourth, renamed")
        await expect(card_of(page, made[0])).to_contain_text("renamed")
        await expect(bar).to_be_hidden()  # a live change does not select again


async def test_rows_are_deleted_together_and_restored(site: LiveSite) -> None:
    board = site.create_board("Rows")
    for title in ("One", "Two", "Three"):
        site.create_task(board, title)
    async with site.open_page(f"/boards/{board['id']}?view=list") as page:
        header = page.get_by_role("columnheader").get_by_role("checkbox", name="Select all")
        await header.click()
        await page.get_by_role("checkbox", name="Select “Two”").click()
        await expect(header).not_to_be_checked()
        await expect(page.locator("#bulk-all")).to_be_visible()
        await page.get_by_role("checkbox", name="Select “Two”").click()
        await expect(header).to_be_checked()
        await expect(page.locator("#bulk-all")).to_be_hidden()
        row = page.locator("tr[data-item]").first
        await page.locator("#bulk").hover()
        tint = await row.evaluate("(row) => getComputedStyle(row).backgroundColor")
        await row.hover()
        await expect(row).to_have_css("background-color", tint)
        await page.locator("#bulk-priority summary").click()
        await page.locator("#bulk").get_by_role("button", name="Low").click()
        await expect(page.locator("#bulk")).to_be_hidden()
        await expect(header).not_to_be_checked()
        await header.click()
        await page.get_by_role("checkbox", name="Select “Two”").click()
        await page.locator("#bulk").get_by_role("button", name="Delete").click()
        await expect(page.locator("tr[data-item]")).to_have_count(1)
        assert set(site.list_tasks(board)) == {"Two"}
        await expect(page.get_by_role("button", name="Undo")).to_have_count(2)
        await page.keyboard.press("z")
        await expect(page.locator("tr[data-item]")).to_have_count(3)
        await expect(header).not_to_be_checked()


@repetition
async def test_the_menu_of_a_card_changes_its_task(site: LiveSite) -> None:
    """Its due date is in test_calendar.py.

    See tests/web/test_bulk_changes.py; the keys of the menu are in tests/browser/test_board.py.
    """
    board = site.create_board("Menu")
    lower, upper = site.create_task(board, "Lower"), site.create_task(board, "Upper")
    async with site.open_page(f"/boards/{board['id']}") as page:
        menu, link = page.locator("#card-menu"), card_of(page, lower).locator("h3 a")
        await link.focus()
        await page.keyboard.press("m")
        await expect(menu).to_be_visible()
        await page.keyboard.press("Escape")
        button = card_of(page, lower).get_by_role("button", name="Actions for “")
        await expect(button).to_be_focused()
        await expect(button).to_have_css("opacity", "1")
        await page.keyboard.press("Enter")
        await menu.get_by_text("Priority").click()
        await menu.get_by_role("button", name="High").click()
        await expect(card_of(page, lower)).to_contain_text("High priority")
        await link.focus()
        await page.keyboard.press("m")
        await menu.get_by_role("button", name="Move up").click()
        await expect(page.locator("#column-inbox h3 a")).to_have_text(["Lower", "Upper"])
        await card_of(page, upper).hover()
        await card_of(page, upper).get_by_role("button", name="Actions for “").click()
        await expect(menu.get_by_role("button", name="Move down")).to_be_hidden()
        await menu.get_by_role("button", name="Delete task").click()
        await expect(card_of(page, upper)).to_have_count(0)
        await page.keyboard.press("z")
        await expect(card_of(page, upper)).to_be_visible()
    assert site.list_tasks(board)["Lower"]["priority"] == "high"


async def test_the_menu_of_a_card_has_the_due_date_of_its_label(site: LiveSite) -> None:
    """It is a day in the time zone of the user, not in that of the browser or in UTC."""
    board = site.create_board("Elsewhere")
    task = site.create_task(board, "Due", due_at="2030-05-06T12:30:00Z")
    zone = site.owner.call("GET", "/users/me")["timezone"]
    site.owner.call("PATCH", "/users/me", timezone="Pacific/Auckland")
    try:
        path = f"/boards/{board['id']}"
        async with site.open_page(path, timezone_id="Pacific/Pago_Pago") as page:
            await expect(card_of(page, task).locator(".due")).to_contain_text("7 May 2030")
            await card_of(page, task).locator("h3 a").focus()
            await page.keyboard.press("m")
            await expect(page.locator("#card-menu-due")).to_have_value("2030-05-07")
    finally:
        site.owner.call("PATCH", "/users/me", timezone=zone)  # other tests share the owner


async def test_a_phone_selects_cards_by_their_menu(site: LiveSite) -> None:
    board = site.create_board("Selected on a phone")
    names = [f"Task {number}" for number in range(9)]  # longer than the screen
    made = [site.create_task(board, name) for name in names][:-3:-1]
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE, has_touch=True) as page:
        button = card_of(page, made[0]).get_by_role("button", name="Actions for “")
        size = await button.bounding_box()
        assert size
        assert min(size["width"], size["height"]) >= 44
        await button.tap()
        for choice in await page.locator("#card-menu :is(button, summary):visible").all():
            box = await choice.bounding_box()
            assert box
            assert box["height"] >= 44
        await page.locator("#card-menu").get_by_role("button", name="Select").tap()
        await card_of(page, made[1]).get_by_role("checkbox").tap()
        bar = page.locator("#bulk")
        await expect(bar).to_contain_text("2 selected")
        shape = await bar.bounding_box()
        assert shape
        assert shape["height"] <= 110
        tabs = await page.locator("#tabbar").bounding_box()
        assert tabs
        assert shape["y"] + shape["height"] <= tabs["y"]
        buttons = [bar.locator("#bulk-status"), bar.get_by_role("button", name="Delete")]
        places = [await button.bounding_box() for button in buttons]
        status, delete = [place["x"] for place in places if place]
        assert status < delete
        assert not await list_overflowing(page)
        await bar.locator("#bulk-priority summary").tap()
        await bar.get_by_role("button", name="Low").tap()
        await expect(bar).to_be_hidden()
    tasks = site.list_tasks(board)
    assert [name for name in names if tasks[name]["priority"] == "low"] == names[-2:]


@repetition
async def test_the_drawer_leads_to_the_next_task_of_the_view(site: LiveSite) -> None:
    """A similar test in tests/web/test_bulk_changes.py states it."""
    board = site.create_board("One after the other")
    for title in ("Low", "High"):
        site.create_task(board, title, priority=title.lower())
    async with site.open_page(f"/boards/{board['id']}?sort=priority") as page:
        await page.locator("#column-inbox h3 a").first.click()
        heading = page.locator("#drawer-title")
        await expect(heading).to_have_text("High")
        await page.keyboard.press("]")
        await expect(heading).to_have_text("Low")
        await expect(page).to_have_url(re.compile(r"/tasks/[^?]*\?sort=priority"))
        await expect(page.locator("#drawer").get_by_role("link", name="Next task")).to_have_count(0)
        await page.locator("#drawer").get_by_role("link", name="Previous task").click()
        await expect(heading).to_have_text("High")
        await page.keyboard.press("Escape")
        await expect(page.locator("#column-inbox h3 a").first).to_be_focused()


async def test_a_change_shows_its_progress_and_is_sent_once(site: LiveSite) -> None:
    board = site.create_board("Progress")
    made = [site.create_task(board, title) for title in ("One", "Two", "Three")]
    sent, may_continue = [], asyncio.Event()

    async def hold(route: Route) -> None:
        sent.append(route.request)
        await may_continue.wait()
        await route.continue_()

    async with site.open_page(f"/boards/{board['id']}") as page:
        bar = page.locator("#bulk")
        for task in made[:2]:
            await card_of(page, task).locator("input[data-pick]").check()
        await page.route("**/changes*", hold)
        await bar.get_by_role("button", name="Delete").focus()
        await page.keyboard.press("Enter")
        busy = bar.get_by_text("Changing tasks (2)")
        await expect(busy).to_be_visible()
        await expect(page.locator("#announce")).to_have_text("Changing tasks (2)")
        await expect(bar.get_by_role("button")).to_have_count(0)
        await expect(bar).to_be_focused()
        await bar.evaluate("(form) => form.requestSubmit()")
        site.update_task(board, made[2], title="Three, renamed")
        await expect(card_of(page, made[2])).to_contain_text("renamed")
        await expect(busy).to_be_visible()
        may_continue.set()
        await expect(bar).to_be_hidden()
        await expect(page.locator("#toasts")).to_contain_text("2 tasks deleted")
        await expect(card_of(page, made[2]).locator("h3 a")).to_be_focused()
        await card_of(page, made[2]).locator("input[data-pick]").check()
        await expect(bar).to_contain_text("1 selected")
        await expect(bar.get_by_role("button", name="Delete")).to_be_visible()
    assert len(sent) == 1


async def test_a_change_ends_although_its_view_was_left_meanwhile(site: LiveSite) -> None:
    board = site.create_board("Left meanwhile")
    made = [site.create_task(board, title) for title in ("One", "Two")]
    may_continue = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_continue.wait()
        await route.continue_()

    async with site.open_page(f"/boards/{board['id']}") as page:
        bar = page.locator("#bulk")
        await card_of(page, made[0]).locator("input[data-pick]").check()
        await page.route("**/changes*", hold)
        await bar.get_by_role("button", name="Delete").click()
        await page.get_by_role("link", name="Calendar", exact=True).click()
        await expect(page.locator("#board-view table")).to_be_visible()
        may_continue.set()
        await expect(page.locator("#toasts")).to_contain_text("1 task deleted")
        await expect(page.locator("#board-view table")).to_be_visible()
        await page.get_by_role("link", name="Board", exact=True).click()
        await card_of(page, made[1]).locator("input[data-pick]").check()
        await expect(bar).to_contain_text("1 selected")
        await expect(bar.get_by_role("button", name="Delete")).to_be_visible()


async def test_everything_that_matches_is_selected_and_changed_with_one_undo(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    made = await add_tasks(database, board, [f"Pot {number}" for number in range(55)])
    other = site.create_task(board, "Other")
    async with site.open_page(f"/boards/{board['id']}?view=list&q=Pot") as page:
        bar, everything = page.locator("#bulk"), page.locator("[data-pick-matching]")
        await card_of(page, made[-1]).locator("input[data-pick]").check()
        await everything.check()
        await expect(bar).to_contain_text("55 selected")
        await card_of(page, made[-1]).locator("input[data-pick]").uncheck()
        await expect(everything).not_to_be_checked()
        await expect(bar).to_contain_text("49 selected")  # of those that are loaded

        await everything.check()
        await bar.locator("#bulk-priority summary").click()
        await bar.get_by_role("button", name="High").click()
        await expect(page.locator("#toasts")).to_contain_text("55 tasks changed")
        await expect(bar).to_be_hidden()
        found = site.list_tasks(board)
        assert {found[one["title"]]["priority"] for one in made} == {"high"}
        assert found[other["title"]]["priority"] == "medium"
        await page.locator("#toasts").get_by_role("button", name="Undo").click()
        await expect(page.locator("#toasts")).to_contain_text("Undone: 55 tasks")
        assert {one["priority"] for one in site.list_tasks(board).values()} == {"medium"}


async def test_what_is_filtered_away_is_not_selected_when_it_comes_back(site: LiveSite) -> None:
    board = site.create_board("Filtered selection")
    made = [site.create_task(board, title) for title in ("Oak", "Elm")]
    async with site.open_page(f"/boards/{board['id']}") as page:
        for task in made:
            await card_of(page, task).get_by_role("checkbox").check()
        await page.get_by_label("Search tasks").fill("Oak")
        await expect(card_of(page, made[1])).to_have_count(0)
        await expect(page.locator("#bulk")).to_contain_text("1 selected")
        await page.get_by_label("Search tasks").fill("")
        await expect(card_of(page, made[1])).to_be_visible()
        await expect(boxes(page)).to_have_count(1)
        await expect(page.locator("#bulk")).to_contain_text("1 selected")


async def test_a_card_is_live_again_when_the_menu_of_another_one_is_opened(site: LiveSite) -> None:
    board = site.create_board("Two menus")
    first, second = [site.create_task(board, title) for title in ("Oak", "Elm")]
    async with site.open_page(f"/boards/{board['id']}") as page:
        await card_of(page, first).get_by_role("button", name="Actions for “").click()
        button = card_of(page, second).get_by_role("button", name="Actions for “")
        await button.evaluate("(button) => button.click()")  # the menu is not closed between
        site.update_task(board, first, title="Oak, renamed")
        await expect(card_of(page, first)).to_contain_text("renamed")
        await page.keyboard.press("Escape")
        site.update_task(board, first, title="Oak, again")
        await expect(card_of(page, first)).to_contain_text("again")


async def test_the_drawer_shows_the_task_that_was_opened_last(site: LiveSite) -> None:
    board = site.create_board("Two tasks")
    first, second, third = [site.create_task(board, title) for title in ("Oak", "Elm", "Ash")]
    may_continue = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_continue.wait()
        await route.continue_()

    async with site.open_page(f"/boards/{board['id']}") as page:
        heading = page.locator("#drawer-title")
        await card_of(page, first).locator("h3 a").click()
        await expect(heading).to_have_text("Oak")
        await page.evaluate("""() => {
            window.forgotten = [];
            addEventListener("htmx:after:cleanup", ({ target }) => forgotten.push(target.id), true);
        }""")
        await page.route(f"**/tasks/{second['id']}", hold)
        await card_of(page, second).locator("h3 a").click()
        await card_of(page, third).locator("h3 a").click()
        may_continue.set()
        await expect(heading).to_have_text("Ash")
        await expect(page).to_have_url(re.compile(f"/tasks/{third['id']}$"))
        await page.unroute_all(behavior="wait")
        await expect(heading).to_have_text("Ash")
        assert await page.evaluate("forgotten.splice(0).filter((id) => id === 'drawer')")
        await page.keyboard.press("Escape")
        await expect(page.locator("#drawer")).to_be_hidden()
        assert await page.evaluate("forgotten.filter((id) => id === 'drawer')") == ["drawer"]
