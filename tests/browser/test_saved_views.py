"""Saved views of a board in a browser."""

from playwright.async_api import BrowserContext, Page, expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition


async def open_menu(page: Page) -> None:
    await page.locator("#view-menu > summary").click()


@repetition
async def test_a_view_is_saved_changed_and_shared_with_an_open_page(
    site: LiveSite, board, bob: BrowserContext
) -> None:
    """The steps are stated in tests/web/test_saved_views.py and tests/web/test_stale_parts.py."""
    path = f"/boards/{board['id']}"
    site.create_task(board, "Repair the lamp", priority="high")
    site.create_task(board, "Paint the door", priority="low")
    other = await bob.new_page()
    await other.goto(path)
    async with site.open_page(path) as page:
        menu = page.locator("#view-menu")
        await page.get_by_role("link", name="List", exact=True).click()
        await page.locator("#list-columns > summary").click()
        await page.get_by_role("checkbox", name="Tags").uncheck()
        await expect(page.get_by_role("columnheader", name="Tags")).to_have_count(0)
        await page.get_by_role("checkbox", name="Changed").uncheck()
        await expect(page.get_by_role("columnheader", name="Changed")).to_have_count(0)
        await page.locator("#filter-q").fill("lamp")
        await expect(page.get_by_role("row", name="Paint the door")).to_have_count(0)

        await open_menu(page)
        await menu.get_by_role("link", name="Save as new view").click()
        dialog = page.get_by_role("dialog", name="Save as new view")
        await dialog.get_by_label("Name").fill("Lamps")
        await dialog.get_by_label("Shared").check()
        await dialog.get_by_label("My default").check()
        await dialog.get_by_role("button", name="Save view").click()
        await expect(menu.locator("summary")).to_have_text("View: Lamps")
        await expect(page.get_by_role("row", name="Repair the lamp")).to_be_visible()
        await expect(page.get_by_role("row", name="Paint the door")).to_have_count(0)
        await expect(page.get_by_role("columnheader", name="Tags")).to_have_count(0)

        await open_menu(other)  # which was open all the time
        await other.locator("#view-menu").get_by_role("link", name="Lamps").click()
        await expect(other.locator("#view-menu > summary")).to_have_text("View: Lamps")

        await page.locator("#filter-q").fill("door")
        await expect(menu.locator("summary")).to_contain_text("changed")
        await expect(page.get_by_role("row", name="Paint the door")).to_be_visible()
        await open_menu(page)
        await menu.get_by_role("button", name="Save changes").click()
        await expect(menu.locator("summary")).to_have_text("View: Lamps")
        await expect(page.locator("#filter-q")).to_have_value("door")
        await expect(other.locator("#view-menu > summary")).to_contain_text("changed")

        await page.goto(path)  # opens with the default
        await expect(menu.locator("summary")).to_have_text("View: Lamps")
        await open_menu(page)
        await menu.get_by_role("link", name="All tasks").click()
        await expect(page.locator("#column-inbox .card")).to_have_count(2)
        await page.reload()
        await expect(page.locator("#column-inbox .card")).to_have_count(2)
        await page.keyboard.press("Control+k")
        await page.get_by_role("combobox").fill("Lamps")
        await page.keyboard.press("Enter")
        await expect(menu.locator("summary")).to_have_text("View: Lamps")
