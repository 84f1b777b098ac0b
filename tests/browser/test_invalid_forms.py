"""The first error of a rejected form is visible where the person looks."""

from playwright.async_api import Dialog, Locator, Page, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, WIDE, in_sizes
from tests.support.tiers import repetition

LONG = "word " * 20_000  # longer than any text may be

FILL = "(field, text) => { field.removeAttribute('maxlength'); field.value = text }"


async def expect_first_error(page: Page, field: Locator) -> None:
    await expect(field).to_be_focused()
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_in_viewport()
    described = (await field.get_attribute("aria-describedby") or "").split()[0]
    await expect(page.locator(f"#{described}")).to_be_in_viewport()


@in_sizes({"width": PHONE["width"], "height": 500}, WIDE)
async def test_an_invalid_field_of_a_long_form_is_shown(site: LiveSite, size) -> None:
    async with site.open_page("/boards/new", viewport=size) as page:
        await page.get_by_label("Name").fill("Long")
        field = page.get_by_label("Description")
        await field.evaluate(FILL, LONG)
        await page.get_by_role("button", name="Create board").click()
        await expect_first_error(page, field)


async def test_a_corrected_section_of_the_settings_is_saved_without_a_warning(
    site: LiveSite,
) -> None:
    board = site.create_board("Two sections with texts")
    async with site.open_page(f"/boards/{board['id']}/settings") as page:
        section, warnings = page.locator("#about"), []

        async def leave(dialog: Dialog) -> None:
            warnings.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        field = section.get_by_label("Description")
        await field.evaluate(FILL, LONG)
        await section.get_by_role("button", name="Save").click()
        await expect_first_error(page, field)
        await field.fill("Short")
        await section.get_by_role("button", name="Save").click()
        await expect(field).to_have_value("Short")
        await expect(field).not_to_have_attribute("aria-invalid", "true")
        assert warnings == []


@repetition
async def test_an_invalid_field_in_a_dialog_is_shown(site: LiveSite) -> None:
    """As in a long form; tests/browser/test_board.py has the error of a dialog."""
    board = site.create_board("Dialog with errors")
    async with site.open_page(f"/boards/{board['id']}", viewport={**WIDE, "height": 400}) as page:
        await page.get_by_role("link", name="New task N").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Description").fill("line\n" * 200)
        await dialog.get_by_role("button", name="Add task").last.click()
        await expect_first_error(page, dialog.get_by_label("Title"))


@repetition
async def test_an_invalid_field_in_the_drawer_is_shown(site: LiveSite) -> None:
    """As in a dialog, which is also replaced by the response."""
    board = site.create_board("Drawer with errors")
    task = site.create_task(board, "Long text")
    async with site.open_page(f"/boards/{board['id']}", viewport={**WIDE, "height": 400}) as page:
        await page.locator(f"#task-{task['id']}").get_by_role("link").first.click()
        drawer = page.locator("#drawer")
        await drawer.locator("#edit-text > summary").click()
        await drawer.locator("#task-description").fill("line\n" * 200)
        await drawer.locator("#edit-title > summary").click()
        await drawer.locator("#task-title").fill("")
        await drawer.locator("#task-title").press("Enter")
        await expect_first_error(page, drawer.locator("#task-title"))


async def test_a_cancelled_edit_keeps_neither_its_error_nor_its_text(site: LiveSite) -> None:
    board = site.create_board("Cancelled with errors")
    task = site.create_task(board, "Short title")
    async with site.open_page(f"/boards/{board['id']}/tasks/{task['id']}") as page:
        editor, title = page.locator("#edit-title"), page.locator("#task-title")
        await editor.locator("> summary").click()
        await title.fill("")
        await title.press("Enter")
        await expect(editor.get_by_text("Enter a title.")).to_be_visible()
        await editor.get_by_role("button", name="Cancel").click()
        await editor.locator("> summary").click()
        await expect(title).to_be_visible()
        await expect(title).to_have_value("Short title")
        await expect(title).not_to_have_attribute("aria-invalid", "true")
        await expect(editor.get_by_text("Enter a title.")).to_have_count(0)
