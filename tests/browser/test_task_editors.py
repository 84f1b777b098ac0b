"""An editor of a task that is closed shows what has changed meanwhile."""

from playwright.async_api import expect

from tests.support.live_site import LiveSite


async def test_an_editor_that_is_closed_shows_what_has_changed_meanwhile(site: LiveSite) -> None:
    board = site.create_board("Changed meanwhile")
    task = site.create_task(board, "Paint the door", due_at="2030-05-06T12:00:00Z")
    async with site.open_page(f"/boards/{board['id']}/tasks/{task['id']}") as page:
        editor = page.locator("#edit-due")
        await editor.locator("summary").click()
        await expect(editor).to_have_attribute("open", "")
        site.update_task(board, task, due_at="2031-01-02T12:00:00Z", priority="high")
        await expect(page.locator("#edit-priority > summary")).to_contain_text("High")
        await expect(editor.locator("summary")).to_contain_text("6 May 2030")
        await page.keyboard.press("Escape")
        await expect(editor.locator("summary")).to_contain_text("2 Jan 2031")
        await editor.locator("summary").click()
        await expect(editor.get_by_label("Due", exact=True)).to_have_value("2031-01-02")
