"""A form whose button is pressed twice is executed once; the button has its label afterwards."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition


@pytest.mark.parametrize(
    "button", ["Add task", pytest.param("Add, then write another", marks=repetition)]
)
async def test_a_task_is_added_once(site: LiveSite, board: dict[str, Any], button: str) -> None:
    path = f"/boards/{board['id']}/tasks"
    async with site.open_page(f"{path}/new") as page:
        await page.get_by_label("Title").fill("Only one")
        await page.get_by_role("button", name=button).dblclick()
        is_board = button == "Add task"
        added = page.get_by_role("link", name="Only one").first
        empty = page.get_by_label("Title").and_(page.locator(":placeholder-shown"))
        await expect(added if is_board else empty).to_be_visible()
    titles = [task["title"] for task in site.owner.call("GET", path)["items"]]
    assert titles == ["Only one"]


@repetition
async def test_a_comment_is_written_once(site: LiveSite, board: dict[str, Any]) -> None:
    """As a task that is added; a test in tests/race/test_forms.py has the server."""
    task = site.create_task(board, "Talk")
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    async with site.open_page(path) as page:
        await page.get_by_label("Comment", exact=True).fill("Only once")
        await page.get_by_role("button", name="Send").dblclick()
        await expect(page.locator("#conversation").get_by_text("Only once")).to_be_visible()
        await expect(page.get_by_label("Comment", exact=True)).to_have_value("")
    comments = site.owner.call("GET", f"{path}/comments")["items"]
    assert [comment["message"] for comment in comments] == ["Only once"]


@pytest.mark.parametrize(
    "is_held", [pytest.param(False, id="twice"), pytest.param(True, id="held")]
)
async def test_keys_send_a_form_once(site: LiveSite, board: dict[str, Any], is_held: bool) -> None:
    path = f"/boards/{board['id']}/tasks"
    sent, pressed = [], asyncio.Event()

    async def hold(route: Route) -> None:
        sent.append(route)
        await pressed.wait()
        await route.continue_()

    async with site.open_page(f"{path}/new") as page:
        await page.route("**/tasks", hold)
        await page.get_by_label("Title").fill("Only one")
        await page.keyboard.down("Control")
        await page.keyboard.down("Enter")
        if not is_held:
            await page.keyboard.up("Enter")
        await page.keyboard.down("Enter")
        pressed.set()
        await expect(page.get_by_role("link", name="Only one").first).to_be_visible()
    assert len(sent) == 1


async def test_a_busy_button_keeps_the_label_of_the_response(
    site: LiveSite, board: dict[str, Any]
) -> None:
    task = site.create_task(board, "Talk")

    async def relabel(route: Route) -> None:
        response = await route.fetch()
        text = await response.text()
        await route.fulfill(response=response, body=text.replace(">Save<", ">Save again<"))

    async with site.open_page(f"/boards/{board['id']}/tasks/{task['id']}") as page:
        await page.locator("#edit-title > summary").click()
        await page.route("**/tasks/**", relabel)
        await page.locator("#task-title").fill("Talk more")
        button = page.locator("#edit-title button[data-busy]")
        await button.click()
        await expect(page.locator("#edit-title")).not_to_have_attribute("open", "")
        await expect(button).to_have_text("Save again")
        await expect(button).not_to_have_attribute("aria-busy", "true")
