"""The editors of a task keep what was typed, and show what has changed meanwhile."""

from typing import Any

from playwright.async_api import Page, expect

from tests.support.live_site import LiveSite


async def open_drawer(page: Page, task: dict[str, Any]) -> None:
    await page.locator(f"#task-{task['id']} h3 a").click()
    await expect(page.locator("#drawer-title")).to_be_visible()


async def close_drawer(page: Page) -> None:
    await page.locator("#drawer").get_by_role("link", name="Close").click()
    await expect(page.locator("#drawer")).to_be_hidden()


async def test_a_text_that_was_not_saved_is_there_when_the_task_is_opened_again(
    site: LiveSite,
) -> None:
    board = site.create_board("Drafts")
    task = site.create_task(board, "Paint the door", description="Sand it.")
    async with site.open_page(f"/boards/{board['id']}") as page:
        field, title = page.locator("#task-description"), page.locator("#task-title")
        await open_drawer(page, task)
        await page.locator("#edit-text > summary").click()
        await field.fill("Sand it twice.")
        await close_drawer(page)
        await open_drawer(page, task)
        await expect(field).to_be_visible()
        await expect(field).to_have_value("Sand it twice.")
        await expect(field).not_to_be_focused()
        await page.locator("#edit-title > summary").click()
        await title.fill("Paint the gate")
        await page.reload()
        await expect(page.locator("#drawer-title")).to_be_visible()
        await expect(title).to_have_value("Paint the gate")

        # Cancel and Escape discard it.
        await page.locator("#edit-text").get_by_role("button", name="Cancel").click()
        await title.press("Escape")
        await expect(field).to_be_hidden()
        await page.reload()
        await expect(page.locator("#drawer-title")).to_be_visible()
        await expect(field).to_be_hidden()
        await expect(field).to_have_value("Sand it.")
        await expect(title).to_have_value("Paint the door")

        # So does a change that is saved.
        await page.locator("#edit-text > summary").click()
        await field.fill("Sand it three times.")
        await page.locator("#edit-text").get_by_role("button", name="Save").click()
        await expect(page.locator("#task-prose")).to_have_text("Sand it three times.")
        await page.reload()
        await expect(page.locator("#drawer-title")).to_be_visible()
        await expect(field).to_be_hidden()
    assert site.list_tasks(board)["Paint the door"]["description"] == "Sand it three times."


async def test_a_kept_text_does_not_replace_a_change_by_others(site: LiveSite) -> None:
    board = site.create_board("Drafts and changes")
    task = site.create_task(board, "Paint the door", description="Sand it.")
    async with site.open_page(f"/boards/{board['id']}") as page:
        field, dialog = page.locator("#task-description"), page.get_by_role("dialog")
        await open_drawer(page, task)
        await page.locator("#edit-text > summary").click()
        await field.fill("Sand it twice.")
        await close_drawer(page)
        site.update_task(board, task, description="Do not sand it.")
        await open_drawer(page, task)
        await expect(page.locator("#task-prose")).to_have_text("Do not sand it.")
        await expect(field).to_have_value("Sand it twice.")
        await page.locator("#edit-text").get_by_role("button", name="Save").click()
        await expect(dialog).to_contain_text("This was changed meanwhile")
        await dialog.get_by_label("Text to save").fill("Sand it a little.")
        await dialog.get_by_role("button", name="Save", exact=True).click()
        await expect(page.locator("#task-prose")).to_have_text("Sand it a little.")

        # A text that is kept by Escape, while the page shows the change.
        await page.locator("#edit-text > summary").click()
        await expect(field).to_have_value("Sand it a little.")
        await field.fill("Sand it twice.")
        await field.press("Escape")
        site.update_task(board, task, description="Do not sand it.")
        await expect(page.locator("#task-prose")).to_have_text("Do not sand it.")
        await page.locator("#edit-text > summary").click()
        await expect(field).to_have_value("Sand it twice.")
        await page.locator("#edit-text").get_by_role("button", name="Save").click()
        await expect(dialog).to_contain_text("This was changed meanwhile")
        await dialog.get_by_role("button", name="Cancel").click()

        # After Cancel, the next change is one of the current text.
        await page.locator("#edit-text").get_by_role("button", name="Cancel").click()
        await page.locator("#edit-text > summary").click()
        await expect(field).to_have_value("Do not sand it.")
        await field.fill("Oil it.")
        await page.locator("#edit-text").get_by_role("button", name="Save").click()
        await expect(page.locator("#task-prose")).to_have_text("Oil it.")


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
