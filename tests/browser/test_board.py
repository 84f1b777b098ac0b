"""A board under a person's hands: by mouse, by keys, by menu, and on a phone."""

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.home import Home
from tests.browser.pages import PHONE, scrolls_sideways

POCKET = {"viewport": PHONE, "has_touch": True}


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


async def test_a_card_that_is_dragged_moves_for_everybody(home: Home) -> None:
    board = home.board("Dragging")
    task = home.task(board, "Paint the door")
    home.task(board, "Stays where it is")
    async with (
        home.open(f"/boards/{board['id']}") as page,
        home.open(f"/boards/{board['id']}") as other,
    ):
        await drag(page, card_of(page, task), column(page, "in_progress").locator(".cards"))

        for each in (page, other):
            await is_in(each, task, "in_progress")
        await expect(page.locator("#toasts")).to_contain_text("Moved to In progress")
        moved = home.tasks(board)
        assert moved["Paint the door"]["status"] == "in_progress"
        assert moved["Stays where it is"]["status"] == "inbox"

        await page.keyboard.press("z")
        for each in (page, other):
            await is_in(each, task, "inbox")
        assert home.tasks(board)["Paint the door"]["status"] == "inbox"


async def test_a_card_that_may_not_go_there_comes_back_and_says_why(home: Home) -> None:
    board = home.board("Refusing", require_review_before_done=True)
    task = home.task(board, "Ship it")
    async with home.open(f"/boards/{board['id']}") as page:
        card = card_of(page, task)
        await drag(page, card, column(page, "done"))

        await expect(card.get_by_text("Goes to Review before it is done")).to_be_visible()
        await is_in(page, task, "inbox")
        assert home.tasks(board)["Ship it"]["status"] == "inbox"

        home.task(board, "Something else happens")
        await expect(page.get_by_text("Something else happens")).to_be_visible()
        await expect(card.get_by_text("Goes to Review before it is done")).to_be_visible()

        await card.get_by_role("button", name="Move to Review").click()
        await is_in(page, task, "review")
        await expect(card.get_by_role("alert")).to_have_count(0)


async def test_a_card_that_waits_for_another_cannot_be_taken(home: Home) -> None:
    board = home.board("Blocked")
    first = home.task(board, "Order the paint")
    task = home.task(board, "Paint the door", depends_on_task_ids=[first["id"]])
    async with home.open(f"/boards/{board['id']}") as page:
        card = card_of(page, task)
        await expect(card.get_by_text("Waits for 1 task")).to_be_visible()

        await drag(page, card, column(page, "in_progress").locator(".cards"))
        await is_in(page, task, "inbox")
        await expect(card.locator("summary")).to_have_count(0)

        home.change(board, first, status="done")
        await expect(card.get_by_text("Waits for 1 task")).to_have_count(0)
        await drag(page, card, column(page, "in_progress").locator(".cards"))
        await is_in(page, task, "in_progress")


async def test_a_card_moves_by_keys(home: Home) -> None:
    board = home.board("Keys")
    task = home.task(board, "Paint the door")
    async with home.open(f"/boards/{board['id']}?done=1") as page:
        link = card_of(page, task).get_by_role("link", name="Paint the door")
        await link.focus()

        await page.keyboard.press("Shift+ArrowLeft")  # there is nothing left of the inbox
        for status in ("in_progress", "review", "done"):
            await page.keyboard.press("Shift+ArrowRight")
            await is_in(page, task, status)
            await expect(link).to_be_focused()
        await page.keyboard.press("Shift+ArrowLeft")
        await is_in(page, task, "review")
        assert home.tasks(board)["Paint the door"]["status"] == "review"

        await page.keyboard.press("m")
        first = card_of(page, task).locator(".menu button").first
        await expect(first).to_be_focused()
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await is_in(page, task, "in_progress")


async def test_keys_walk_through_the_cards_and_open_them(home: Home) -> None:
    board = home.board("Walking")
    tasks = [home.task(board, title) for title in ("One", "Two", "Three")]
    async with home.open(f"/boards/{board['id']}") as page:
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
        await page.keyboard.press("Escape")
        await expect(drawer).to_be_hidden()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))
        await expect(second).to_be_focused()


async def test_a_task_is_written_in_a_dialog(home: Home) -> None:
    board = home.board("Writing")
    async with home.open(f"/boards/{board['id']}") as page:
        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New task on Writing")
        title = dialog.get_by_label("Title")
        await expect(title).to_be_focused()

        await page.keyboard.press("Enter")
        await expect(title).to_have_attribute("aria-invalid", "true")
        assert home.tasks(board) == {}

        await title.fill("Paint the door")
        await dialog.get_by_role("button", name="Add and write another").click()
        await expect(column(page, "inbox").get_by_text("Paint the door")).to_be_visible()
        await expect(title).to_have_value("")
        await expect(title).to_be_focused()

        await title.fill("Hang the sign")
        await dialog.get_by_label("Details").fill("With **four** screws.")
        await dialog.get_by_label("Priority").select_option("high")
        await dialog.get_by_role("button", name="Add task").click()
        await expect(dialog).to_be_hidden()
        await expect(column(page, "inbox").get_by_text("Hang the sign")).to_be_visible()
    made = home.tasks(board)
    assert set(made) == {"Paint the door", "Hang the sign"}
    assert made["Hang the sign"]["priority"] == "high"
    assert made["Hang the sign"]["description"] == "With **four** screws."


async def test_filters_are_in_the_address_and_survive_a_reload(home: Home) -> None:
    board = home.board("Filters")
    door, sign = home.task(board, "Paint the door"), home.task(board, "Hang the sign")
    first = home.task(board, "Wait for the door", depends_on_task_ids=[door["id"]])
    async with home.open(f"/boards/{board['id']}") as page:
        await page.keyboard.press("/")
        await page.keyboard.type("door")
        await expect(card_of(page, sign)).to_have_count(0)
        await expect(page).to_have_url(re.compile(r"[?&]q=door"))

        await page.get_by_role("button", name="Blocked").click()
        await expect(card_of(page, door)).to_have_count(0)
        await expect(card_of(page, first)).to_be_visible()
        await expect(page).to_have_url(re.compile(r"[?&]blocked=1"))

        await page.reload()
        await expect(page.get_by_label("Filter tasks")).to_have_value("door")
        await expect(page.get_by_role("button", name="Blocked")).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(card_of(page, first)).to_be_visible()
        await expect(card_of(page, door)).to_have_count(0)

        await page.get_by_role("link", name="Show all").click()
        for task in (door, sign, first):
            await expect(card_of(page, task)).to_be_visible()
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))


async def test_what_is_done_unfolds_and_folds(home: Home) -> None:
    board = home.board("Folding")
    task = home.task(board, "Paint the door")
    home.change(board, task, status="done")
    async with home.open(f"/boards/{board['id']}") as page:
        await expect(card_of(page, task)).to_have_count(0)

        await page.get_by_role("link", name="Open Done: 1").click()
        await is_in(page, task, "done")
        await expect(page).to_have_url(re.compile("done=1"))

        await page.get_by_role("link", name="Fold Done").click()
        await expect(card_of(page, task)).to_have_count(0)
        await page.go_back()
        await is_in(page, task, "done")


async def test_the_list_shows_the_same_tasks_sorted(home: Home) -> None:
    board = home.board("Listed")
    for title, priority in (("Apple", "low"), ("Cherry", "high"), ("Banana", "medium")):
        home.task(board, title, priority=priority)
    async with home.open(f"/boards/{board['id']}") as page:
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


async def test_on_a_phone_one_column_shows_and_cards_move_by_their_menu(home: Home) -> None:
    board = home.board("In the pocket")
    task = home.task(board, "Paint the door")
    async with home.open(f"/boards/{board['id']}", **POCKET) as page:
        await is_in(page, task, "inbox")
        for status in ("in_progress", "review", "done"):
            await expect(column(page, status)).to_be_hidden()
        assert not await scrolls_sideways(page)

        card = card_of(page, task)
        await card.locator("summary").tap()
        await card.get_by_role("button", name="Review").tap()
        await expect(card).to_be_hidden()
        await expect(page.get_by_text("New work lands here")).to_be_visible()
        switch = page.get_by_role("navigation", name="Column")
        await switch.get_by_role("link", name="Review 1").tap()
        await is_in(page, task, "review")
        await expect(column(page, "inbox")).to_be_hidden()


async def test_on_a_phone_what_happens_elsewhere_does_not_change_the_column(home: Home) -> None:
    board = home.board("Calm pocket")
    reading, other = home.task(board, "Read this"), home.task(board, "Begin this")
    async with home.open(f"/boards/{board['id']}", **POCKET) as page:
        await is_in(page, reading, "inbox")
        home.change(board, other, status="in_progress")
        await expect(page.get_by_role("link", name="Doing 1")).to_be_visible()
        await is_in(page, reading, "inbox")

        await page.get_by_role("link", name="Done 0").tap()
        await expect(page.get_by_text("Approved work rests here")).to_be_visible()
        home.change(board, reading, status="done")
        await is_in(page, reading, "done")


async def test_on_a_phone_a_task_fills_the_screen_like_a_page(home: Home) -> None:
    board = home.board("Small screen")
    task = home.task(board, "Paint the door", description="In **green**.")
    async with home.open(f"/boards/{board['id']}", **POCKET) as page:
        await card_of(page, task).get_by_role("link", name="Paint the door").tap()
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}"))
        drawer = page.locator("#drawer")
        await expect(drawer.get_by_role("heading", name="Paint the door")).to_be_visible()
        assert await drawer.bounding_box() == {"x": 0, "y": 0, **PHONE}
        assert not await scrolls_sideways(page)

        await page.reload()
        await expect(page.get_by_role("heading", level=1, name="Paint the door")).to_be_visible()
        await page.get_by_role("link", name="Back to Small screen").tap()
        await is_in(page, task, "inbox")
