"""Two people edit the same text, and the second one merges it in a dialog."""

from playwright.async_api import Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_overflowing

OLD = "Sand it.\nPaint it.\nLet it dry."
THEIRS = "Sand it.\nPaint it twice.\nLet it dry."
MINE = "Sand it.\nPaint it blue.\nLet it dry."
MERGED = "Sand it.\nPaint it blue, twice.\nLet it dry."


async def type_description(page: Page, text: str) -> None:
    await page.locator("#edit-text > summary").click()
    await page.locator("#task-description").fill(text)


async def test_a_stale_description_is_merged_in_a_dialog(site: LiveSite) -> None:
    board = site.create_board("Merging")
    task = site.create_task(board, "Paint the door", description=OLD)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.locator(f"#task-{task['id']} a").first.click()
        await expect(page.locator("#drawer-title")).to_have_text("Paint the door")
        await type_description(page, MINE)
        site.update_task(board, task, description=THEIRS, priority="high")
        await expect(page.locator("#edit-priority > summary")).to_contain_text("High")

        await page.get_by_role("button", name="Save", exact=True).click()
        dialog = page.get_by_role("dialog", name="This was changed meanwhile")
        await expect(dialog).to_be_visible()
        await expect(dialog.locator("mark")).to_have_text(["Paint it blue.", "Paint it twice."])
        await expect(page.locator("#task-description")).to_have_value(MINE)
        assert site.list_tasks(board)["Paint the door"]["description"] == THEIRS

        await page.set_viewport_size(PHONE)
        assert not await list_overflowing(page)
        await dialog.get_by_label("Text to save").fill(MERGED)
        await dialog.get_by_role("button", name="Save", exact=True).click()
        await expect(dialog).to_be_hidden()
        await expect(page.locator("#task-prose")).to_contain_text("Paint it blue, twice.")
        await expect(page.locator("#task-description")).to_be_hidden()
    stored = site.list_tasks(board)["Paint the door"]
    assert (stored["description"], stored["priority"]) == (MERGED, "high")


async def test_a_title_is_renamed_where_it_is_shown(site: LiveSite) -> None:
    board = site.create_board("Renaming")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.locator(f"#task-{task['id']} a").first.click()
        title, field = page.locator("#drawer-title"), page.locator("#task-title")
        await page.locator("#edit-title > summary").click()
        await expect(field).to_be_focused()
        await field.fill("Paint the gate")
        await field.press("Escape")
        await expect(field).to_be_hidden()
        await expect(title).to_have_text("Paint the door")
        await page.locator("#edit-title > summary").click()
        await expect(field).to_have_value("Paint the door")

        await field.fill("Paint the fence")
        await field.press("Enter")
        await expect(title).to_have_text("Paint the fence")
        await expect(field).to_be_hidden()
        await expect(page.locator("#edit-title > summary")).to_be_focused()
        await expect(page.locator("#drawer .drawer__body")).to_be_visible()
    assert "Paint the fence" in site.list_tasks(board)
