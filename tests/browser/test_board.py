"""Using a board in a browser: by mouse, keyboard, menu, and on a phone."""

import asyncio
import re
from typing import Any

from playwright.async_api import Locator, Page, Route, ViewportSize, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_overflowing
from tests.support.tiers import repetition

POCKET: dict[str, Any] = {"viewport": PHONE, "has_touch": True}


def card_of(page: Page, task: dict[str, Any]) -> Locator:
    return page.locator(f"#task-{task['id']}")


def column(page: Page, status: str) -> Locator:
    return page.locator(f"#column-{status}")


async def is_in(page: Page, task: dict[str, Any], status: str) -> None:
    """Wait until the card stands in a column."""
    await expect(column(page, status).locator(card_of(page, task))).to_be_visible()


async def drag(page: Page, card: Locator, to: Locator) -> None:
    """Take a card with the mouse, and let it go over a column."""
    start, end = await card.bounding_box(), await to.bounding_box()
    assert start
    assert end
    await page.mouse.move(start["x"] + 20, start["y"] + start["height"] - 8)
    await page.mouse.down()
    await page.mouse.move(start["x"] + 40, start["y"] + start["height"], steps=4)
    middle = end["x"] + end["width"] / 2, end["y"] + min(end["height"] / 2, 120)
    await page.mouse.move(*middle, steps=12)
    await page.mouse.move(middle[0] + 2, middle[1] + 2, steps=2)
    await page.mouse.up()


async def test_a_dragged_card_moves_for_all_viewers(site: LiveSite) -> None:
    board = site.create_board("Dragging")
    task = site.create_task(board, "Paint the door")
    site.create_task(board, "Stays where it is")
    async with (
        site.open_page(f"/boards/{board['id']}") as page,
        site.open_page(f"/boards/{board['id']}") as other,
    ):
        await drag(page, card_of(page, task), column(page, "in_progress").locator(".cards"))

        for each in (page, other):
            await is_in(each, task, "in_progress")
        await expect(page.locator("#toasts")).to_contain_text("Moved to In progress")
        moved = site.list_tasks(board)
        assert moved["Paint the door"]["status"] == "in_progress"
        assert moved["Stays where it is"]["status"] == "inbox"

        await page.keyboard.press("z")
        for each in (page, other):
            await is_in(each, task, "inbox")
        assert site.list_tasks(board)["Paint the door"]["status"] == "inbox"


async def test_a_rejected_move_returns_the_card_with_the_reason(site: LiveSite) -> None:
    board = site.create_board("Refusing", require_review_before_done=True)
    task = site.create_task(board, "Ship it")
    async with site.open_page(f"/boards/{board['id']}") as page:
        card = card_of(page, task)
        await drag(page, card, column(page, "done"))

        await expect(card.get_by_text("Needs a review before Done")).to_be_visible()
        await is_in(page, task, "inbox")
        assert site.list_tasks(board)["Ship it"]["status"] == "inbox"

        site.create_task(board, "Something else happens")
        await expect(page.get_by_text("Something else happens")).to_be_visible()
        await expect(card.get_by_text("Needs a review before Done")).to_be_visible()

        await card.get_by_role("button", name="Move to Review").click()
        await is_in(page, task, "review")
        await expect(card.get_by_role("alert")).to_have_count(0)


async def test_a_blocked_card_cannot_be_dragged(site: LiveSite) -> None:
    board = site.create_board("Blocked")
    first = site.create_task(board, "Order the paint")
    task = site.create_task(board, "Paint the door", depends_on_task_ids=[first["id"]])
    async with site.open_page(f"/boards/{board['id']}") as page:
        card = card_of(page, task)
        await expect(card.get_by_text("Blocked by 1 task")).to_be_visible()

        await drag(page, card, column(page, "in_progress").locator(".cards"))
        await is_in(page, task, "inbox")

        site.update_task(board, first, status="done")
        await expect(card.get_by_text("Blocked by 1 task")).to_have_count(0)
        async with page.expect_response("**/moves*"):
            await drag(page, card, column(page, "in_progress").locator(".cards"))
        await is_in(page, task, "in_progress")


async def test_a_card_moves_by_keyboard(site: LiveSite) -> None:
    board = site.create_board("Keys")
    task = site.create_task(board, "Paint the door")
    site.create_task(board, "Above it")
    async with site.open_page(f"/boards/{board['id']}?done=1") as page:
        link = card_of(page, task).get_by_role("link", name="Paint the door")
        titles = column(page, "inbox").locator("h3 a")
        await link.focus()
        await page.keyboard.press("Shift+ArrowUp")
        await expect(titles).to_have_text(["Paint the door", "Above it"])
        await expect(link).to_be_focused()
        await page.keyboard.press("Shift+ArrowDown")
        await expect(titles).to_have_text(["Above it", "Paint the door"])
        await expect(link).to_be_focused()

        await page.keyboard.press("Shift+ArrowLeft")  # the inbox is the first column
        for status in ("in_progress", "review", "done"):
            await page.keyboard.press("Shift+ArrowRight")
            await is_in(page, task, status)
            await expect(link).to_be_focused()
        await page.keyboard.press("Shift+ArrowLeft")
        await is_in(page, task, "review")
        assert site.list_tasks(board)["Paint the door"]["status"] == "review"

        await page.keyboard.press("m")
        first = page.locator("#card-menu button:visible").first
        await expect(first).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await is_in(page, task, "in_progress")


async def test_keyboard_shortcuts_move_through_cards_and_open_them(site: LiveSite) -> None:
    board = site.create_board("Walking")
    tasks = [site.create_task(board, title) for title in ("One", "Two", "Three")]
    async with site.open_page(f"/boards/{board['id']}") as page:
        titles = await page.locator("[data-item] h3").all_inner_texts()
        assert sorted(titles) == sorted(task["title"] for task in tasks)

        for title in [*titles, titles[-1]]:
            await page.keyboard.press("j")
            await expect(page.get_by_role("link", name=title, exact=True)).to_be_focused()
        await page.keyboard.press("k")
        second = page.get_by_role("link", name=titles[1], exact=True)
        await expect(second).to_be_focused()

        await page.keyboard.press("Enter")
        drawer = page.locator("#drawer")
        await expect(drawer.get_by_role("heading", name=titles[1], exact=True)).to_be_visible()
        await expect(page).to_have_url(re.compile("/tasks/"))
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog", name="Shortcuts")).to_be_hidden()
        await expect(drawer).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))
        await expect(second).to_be_focused()


async def test_a_menu_closes_when_tab_leaves_it(site: LiveSite) -> None:
    board = site.create_board("Menus")
    async with site.open_page(f"/boards/{board['id']}") as page:
        menu = page.locator("#board-pages")
        await menu.locator("summary").press("Enter")
        links = menu.get_by_role("link").locator("visible=true")
        for place in range(await links.count()):
            await page.keyboard.press("Tab")
            await expect(links.nth(place)).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(menu).not_to_have_attribute("open")
        await expect(page.get_by_role("link", name="Board settings")).to_be_focused()


async def test_the_quick_filters_of_a_narrow_bar_are_reached_with_tab(site: LiveSite) -> None:
    board = site.create_board("Narrow menus")
    size: ViewportSize = {"width": 900, "height": 700}
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        menu = page.locator("#more-filters")
        await menu.locator("summary").press("Enter")
        await expect(page.get_by_role("button", name="Blocked 0")).to_be_visible()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Blocked 0")).to_be_focused()
        await expect(menu).to_have_attribute("open", "")


async def test_the_title_of_the_page_names_what_the_drawer_shows(site: LiveSite) -> None:
    board = site.create_board("Titled")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}") as page:

        async def expect_title(title: str) -> None:
            await expect(page).to_have_title(re.compile(rf"^(\(\d+\) )?{title} · Mission Control$"))

        await expect_title("Titled")
        await card_of(page, task).get_by_role("link").click()
        await expect_title("Paint the door")
        site.update_task(board, task, title="Paint the gate")
        await expect_title("Paint the gate")
        await page.keyboard.press("Escape")
        await expect_title("Titled")
        await page.go_back()
        await expect_title("Paint the gate")
        await page.locator("#board-pages summary").click()
        await (
            page.get_by_role("link", name="Activity", exact=True)
            .locator("visible=true")
            .last.click()
        )
        await expect_title("Activity of Titled")
        await page.get_by_role("link", name="Close").click()
        await expect_title("Titled")


async def test_a_number_at_the_start_of_a_name_stays_in_the_title(site: LiveSite) -> None:
    board = site.create_board("(1) Move out")
    task = site.create_task(board, "(2) Pack the boxes")
    async with site.open_page(f"/boards/{board['id']}") as page:
        waiting = int(await page.locator("#rail").get_attribute("data-needs") or 0)
        count = f"({waiting}) " if waiting else ""
        await expect(page).to_have_title(f"{count}(1) Move out · Mission Control")
        await card_of(page, task).get_by_role("link").click()
        await expect(page.locator("#drawer-title")).to_be_visible()
        site.update_task(board, task, title="(3) Pack the boxes")
        await expect(page).to_have_title(f"{count}(3) Pack the boxes · Mission Control")
        await page.keyboard.press("Escape")
        await expect(page).to_have_title(f"{count}(1) Move out · Mission Control")


async def test_a_task_is_created_in_a_dialog(site: LiveSite) -> None:
    board = site.create_board("Writing")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New task on Writing")
        title = dialog.get_by_label("Title")
        await expect(title).to_be_focused()

        await page.keyboard.press("Enter")
        await expect(title).to_have_attribute("aria-invalid", "true")
        assert site.list_tasks(board) == {}

        await title.fill("Paint the door")
        await dialog.get_by_role("button", name="Add, then write another").click()
        await expect(column(page, "inbox").get_by_text("Paint the door")).to_be_visible()
        await expect(title).to_have_value("")
        await expect(title).to_be_focused()

        await title.fill("Hang the sign")
        await dialog.get_by_label("Description").fill("With **four** screws.")
        await dialog.get_by_label("Priority").select_option("high")
        await title.press("Control+Enter")
        await expect(dialog).to_be_hidden()
        await expect(column(page, "inbox").get_by_text("Hang the sign")).to_be_visible()
    made = site.list_tasks(board)
    assert set(made) == {"Paint the door", "Hang the sign"}
    assert made["Hang the sign"]["priority"] == "high"
    assert made["Hang the sign"]["description"] == "With **four** screws."


@repetition
async def test_filters_are_in_the_address_and_survive_a_reload(site: LiveSite) -> None:
    """See tests/web/test_board_page.py and test_board_cards.py, which types a filter."""
    board = site.create_board("Filters")
    door, sign = site.create_task(board, "Paint the door"), site.create_task(board, "Hang the sign")
    first = site.create_task(board, "Wait for the door", depends_on_task_ids=[door["id"]])
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("/")
        await page.keyboard.type("door")
        await expect(card_of(page, sign)).to_have_count(0)
        await expect(page).to_have_url(re.compile(r"[?&]q=door"))

        await page.get_by_role("button", name="Blocked").click()
        await expect(card_of(page, door)).to_have_count(0)
        await expect(card_of(page, first)).to_be_visible()
        await expect(page).to_have_url(re.compile(r"[?&]blocked=1"))

        await page.reload()
        await expect(page.get_by_label("Search tasks")).to_have_value("door")
        await expect(page.get_by_role("button", name="Blocked")).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(card_of(page, first)).to_be_visible()
        await expect(card_of(page, door)).to_have_count(0)

        await page.get_by_role("link", name="Show all").click()
        for task in (door, sign, first):
            await expect(card_of(page, task)).to_be_visible()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))


@repetition
async def test_the_done_column_expands_and_collapses(site: LiveSite) -> None:
    """See tests/web/test_board_page.py; test_board_columns.py collapses the column."""
    board = site.create_board("Folding")
    task = site.create_task(board, "Paint the door")
    site.update_task(board, task, status="done")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(card_of(page, task)).to_have_count(0)

        await page.get_by_role("link", name="Expand Done: 1 task").click()
        await is_in(page, task, "done")
        await expect(page).to_have_url(re.compile("done=1"))

        await page.get_by_role("link", name="Collapse Done").click()
        await expect(card_of(page, task)).to_have_count(0)
        await page.go_back()
        await is_in(page, task, "done")


@repetition
async def test_the_list_shows_the_same_tasks_sorted(site: LiveSite) -> None:
    """See tests/web/test_board_page.py; test_boards.py sorts a list in place."""
    board = site.create_board("Listed")
    for title, priority in (("Apple", "low"), ("Cherry", "high"), ("Banana", "medium")):
        site.create_task(board, title, priority=priority)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="List", exact=True).click()
        titles = page.locator("tr[data-item] th a")
        await expect(titles).to_have_count(3)
        await expect(page).to_have_url(re.compile("view=list"))

        await page.get_by_role("link", name="Priority").click()
        await expect(titles).to_have_text(["Cherry", "Banana", "Apple"])
        await page.get_by_role("link", name="Priority").click()
        await expect(titles).to_have_text(["Apple", "Banana", "Cherry"])
        await page.reload()
        await expect(titles).to_have_text(["Apple", "Banana", "Cherry"])

        await titles.first.click()
        await expect(page.locator("#drawer h2").first).to_have_text("Apple")


async def test_a_phone_shows_one_column_and_moves_cards_by_menu(site: LiveSite) -> None:
    board = site.create_board("In the pocket")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}", **POCKET) as page:
        await is_in(page, task, "inbox")
        for status in ("in_progress", "review", "done"):
            await expect(column(page, status)).to_be_hidden()
        assert not await list_overflowing(page)

        card = card_of(page, task)
        await card.get_by_role("button", name="Actions for “").tap()
        await page.locator("#card-menu").get_by_role("button", name="Review").tap()
        await expect(card).to_be_hidden()
        await expect(page.get_by_text("Tasks that people or the lead")).to_be_visible()
        switch = page.get_by_role("navigation", name="Column")
        await switch.get_by_role("link", name="Review 1").tap()
        await is_in(page, task, "review")
        await expect(column(page, "inbox")).to_be_hidden()


async def test_a_phone_keeps_its_column_after_live_updates(site: LiveSite) -> None:
    board = site.create_board("Calm pocket")
    reading, other = site.create_task(board, "Read this"), site.create_task(board, "Begin this")
    async with site.open_page(f"/boards/{board['id']}", **POCKET) as page:
        await is_in(page, reading, "inbox")
        site.update_task(board, other, status="in_progress")
        await expect(page.get_by_role("link", name="In progress 1")).to_be_visible()
        await is_in(page, reading, "inbox")

        await page.get_by_role("link", name="Done 0").tap()
        await expect(page.get_by_text("Completed tasks appear here")).to_be_visible()
        site.update_task(board, reading, status="done")
        await is_in(page, reading, "done")


async def test_on_a_phone_a_task_fills_the_screen(site: LiveSite) -> None:
    board = site.create_board("Small screen")
    task = site.create_task(board, "Paint the door", description="In **green**.")
    async with site.open_page(f"/boards/{board['id']}", **POCKET) as page:
        await card_of(page, task).get_by_role("link", name="Paint the door").tap()
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}"))
        drawer = page.locator("#drawer")
        await expect(drawer.get_by_role("heading", name="Paint the door")).to_be_visible()
        assert await drawer.bounding_box() == {"x": 0, "y": 0, **PHONE}
        assert not await list_overflowing(page)

        await page.reload()
        await expect(page.get_by_role("heading", level=1, name="Paint the door")).to_be_visible()
        await page.get_by_role("link", name="Back to Small screen").tap()
        await is_in(page, task, "inbox")


async def test_the_board_makes_room_before_the_task_has_arrived(site: LiveSite) -> None:
    board = site.create_board("Room at once")
    first, second = (site.create_task(board, title) for title in ("Paint the door", "Hang it"))
    may_continue = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_continue.wait()
        await route.continue_()

    async with site.open_page(f"/boards/{board['id']}") as page:
        drawer, columns = page.locator("#drawer"), page.locator("#board-view")
        whole = await columns.bounding_box()
        await page.route(f"**/tasks/{first['id']}", hold)
        await card_of(page, first).get_by_role("link").first.click()
        await expect(drawer).to_be_visible()
        room = await columns.bounding_box()
        assert room
        assert whole
        assert room["width"] < whole["width"]
        may_continue.set()
        await expect(drawer.get_by_role("heading", name="Paint the door")).to_be_visible()
        await expect(drawer).not_to_have_attribute("aria-busy", "true")
        assert await columns.bounding_box() == room
        beside = await drawer.bounding_box()
        assert beside
        assert room["x"] + room["width"] <= beside["x"] + 1
        assert not await list_overflowing(page)
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()

        await page.route(f"**/tasks/{second['id']}", lambda route: route.abort())
        async with page.expect_event("requestfailed"):
            await card_of(page, second).get_by_role("link").first.click()
        await expect(drawer).to_be_hidden()
        assert await columns.bounding_box() == whole


async def test_a_task_that_does_not_arrive_leaves_the_focus_to_the_reader(site: LiveSite) -> None:
    board = site.create_board("Does not arrive")
    task = site.create_task(board, "Paint the door")
    may_fail = asyncio.Event()

    async def fail(route: Route) -> None:
        await may_fail.wait()
        await route.abort()

    async with site.open_page(f"/boards/{board['id']}") as page:
        drawer, field = page.locator("#drawer"), page.get_by_label("Search tasks")
        link = card_of(page, task).get_by_role("link").first
        await link.click()
        await expect(drawer.get_by_role("heading", name="Paint the door")).to_be_visible()
        await page.go_back()
        await expect(drawer).to_be_hidden()
        await page.route(f"**/tasks/{task['id']}", fail)
        await page.go_forward()
        await expect(drawer).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        await expect(link).to_be_focused()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))

        await link.click()
        await expect(drawer).to_be_visible()
        await field.focus()
        may_fail.set()
        await expect(drawer).to_be_hidden()
        await expect(field).to_be_focused()
