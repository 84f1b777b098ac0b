"""A client of a coding agent waits for an answer that a person gives on a page."""

import asyncio
from typing import Any

import httpx2
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.board_rows import end_undo_time
from tests.support.installation import TIMEOUT
from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_axe_violations, list_overflowing
from tests.support.tool_calls import hook_body


async def test_a_person_changes_a_call_on_a_phone_while_its_client_waits(
    site: LiveSite, database: AsyncEngine
) -> None:
    board = site.create_board("Hooks")
    agent = site.owner.call("POST", "/agents", name="Ada", board_id=board["id"])

    async def ask(command: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {agent['token']}"}
        async with httpx2.AsyncClient(base_url=site.installation.url, timeout=TIMEOUT) as client:
            answer = await client.post("/hooks/claude", json=hook_body(command), headers=headers)
        found: dict[str, Any] = answer.json()["hookSpecificOutput"]
        return found

    async with site.open_page("/approvals", viewport=PHONE, has_touch=True) as page:
        call = asyncio.create_task(ask("git push --force\n" + "# a long comment\n" * 100))
        row = page.get_by_role("link", name="Ada wants to run a command")
        await row.click()
        title = page.get_by_role("heading", level=2, name="Ada wants to run a command")
        await expect(title).to_be_visible()
        await expect(page.get_by_role("button", name="Allow once")).to_be_in_viewport()
        await expect(page.get_by_role("button", name="Deny")).to_be_in_viewport()
        more = page.locator("#detail summary", has_text="Other answers")
        await more.click()
        assert await list_axe_violations(page) == []
        await page.get_by_label("Change the command").fill("git push")
        await page.get_by_role("button", name="Show the difference").click()
        await expect(page.locator("ins")).to_have_text("git push")
        assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)
        await page.get_by_role("button", name="Allow with this change").click()
        await expect(page.locator("#toasts [data-toast]")).to_be_visible()
        await end_undo_time(database, board)
        answer = await call
    assert answer["permissionDecision"] == "allow"
    assert answer["updatedInput"] == {"command": "git push"}


async def test_a_changed_input_stays_when_another_item_is_opened(site: LiveSite) -> None:
    board = site.create_board("Edits")
    agent = site.owner.call("POST", "/agents", name="Ida", board_id=board["id"])
    stored = "Object.keys(localStorage).filter((name) => name.startsWith('draft:'))"

    async def ask(command: str) -> None:
        headers = {"Authorization": f"Bearer {agent['token']}"}
        async with httpx2.AsyncClient(base_url=site.installation.url, timeout=TIMEOUT) as client:
            await client.post("/hooks/claude", json=hook_body(command), headers=headers)

    calls = [asyncio.create_task(ask(command)) for command in ("make clean", "make all")]
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        one, other = (
            page.locator("#inbox [data-item]", has_text=command).get_by_role("link").first
            for command in ("make clean", "make all")
        )
        field = page.get_by_label("Change the command")
        await one.click()
        await page.locator("#detail summary", has_text="Other answers").click()
        await expect(field).to_have_value("make clean")
        await field.fill("make tidy")
        await other.click()
        await expect(page.locator("#detail textarea[name=edited_input]")).to_have_value("make all")
        await one.click()
        await page.locator("#detail summary", has_text="Other answers").click()
        await expect(field).to_have_value("make tidy")
        [name] = await page.evaluate(stored)
        await page.evaluate(
            "([name, other]) => { localStorage.setItem(other, localStorage.getItem(name));"
            " localStorage.removeItem(name); }",
            [name, f"{name[:-1]}x"],  # of another content
        )
        await page.reload()
        await page.locator("#detail summary", has_text="Other answers").click()
        await expect(field).to_have_value("make clean")
        await field.fill("make tidy")
        await page.get_by_role("button", name="Show the difference").click()
        await page.get_by_role("link", name="Back").click()
        await page.locator("#detail summary", has_text="Other answers").click()
        await expect(field).to_have_value("make tidy")
        await field.press("Control+Enter")  # the same as Show the difference
        await page.get_by_role("button", name="Allow with this change").click()
        await expect(page.get_by_text("make all").first).to_be_visible()
        await page.wait_for_function(f"() => {stored}.length === 0")
    for call in calls:
        call.cancel()
