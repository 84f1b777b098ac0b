"""A task is assigned to a person with the menu of its card, and appears under "My tasks"."""

from playwright.async_api import BrowserContext, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import choose
from tests.support.tiers import repetition


@repetition
async def test_a_task_that_a_person_gets_appears_at_once(
    site: LiveSite, board, bob: BrowserContext
) -> None:
    """See tests/web/test_assignees.py and test_stale_parts.py, and pickers in test_pickers.py."""
    site.create_task(board, "Repair the lamp", priority="high", due_at="2020-01-01T12:00:00Z")
    site.create_task(board, "Paint the door")
    other = await bob.new_page()
    await other.goto("/my-tasks")
    await expect(other.get_by_text("No open tasks.")).to_be_visible()
    async with site.open_page(f"/boards/{board['id']}") as page:
        card = page.locator(".card", has_text="Repair the lamp")
        await card.get_by_role("button", name="Actions for").click()
        menu = page.locator("#card-menu")
        await choose(menu.get_by_role("button", name="Assignee"), "Bob")
        await expect(card.get_by_text("Bob")).to_be_visible()
        row = other.get_by_role("row", name="Repair the lamp")
        await expect(row).to_be_visible()
        await expect(other.get_by_role("rowheader", name="Overdue 1")).to_be_visible()
        await other.keyboard.press("g")
        await other.keyboard.press("b")
        await expect(other).to_have_url("/boards")
        await other.keyboard.press("g")
        await other.keyboard.press("t")
        await expect(other).to_have_url("/my-tasks")
        await page.locator("#more-filters > summary").click()
        await page.locator("#filter-agent").click()
        await page.get_by_role("option", name="Assigned to me").click()
        await expect(page.locator(".card")).to_have_count(0)
        await page.get_by_role("option", name="Bob Hall").click()  # the list stays open
        await expect(page.locator(".card")).to_have_count(1)
