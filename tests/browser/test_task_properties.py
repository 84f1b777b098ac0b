"""The properties of a task: in the dialog for a new one, and where they are shown."""

import re
from typing import Any

from playwright.async_api import Locator, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import choose
from tests.support.tiers import repetition

VALUES = {
    "text": "Oak",
    "text_long": "Two\nlines",
    "integer": "3",
    "decimal": "1.5",
    "date": "2030-01-02",
    "date_time": "2030-01-02T10:30",
    "url": "https://example.com/spar",
    "json": '{"deep": [1]}',
}


@repetition
async def test_a_task_is_created_with_every_property(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_task_fields.py and tests/browser/test_board.py."""
    board = site.create_board("Rigging")
    tag = site.owner.call("POST", "/tags", name="Sailcloth", slug="sailcloth")
    for type in (*VALUES, "boolean"):
        names: dict[str, Any] = {
            "field_key": f"rig_{type}",
            "label": f"Rig {type}",
            "field_type": type,
        }
        path = "/organizations/me/custom-fields"
        site.owner.call("POST", path, **names, board_ids=[board["id"]])
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="New task N").click()
        dialog = page.get_by_role("dialog", name="New task on Rigging")
        await dialog.get_by_label("Title").fill("Step the mast")
        await dialog.get_by_label("Priority").select_option("high")
        await dialog.get_by_label("Due").fill("2030-02-03")
        await choose(dialog.get_by_role("button", name="Tags"), "Sailcloth")
        await page.keyboard.press("Escape")
        for type, value in VALUES.items():
            await dialog.get_by_label(re.compile(rf"^Rig {type}\b")).fill(value)
        await dialog.get_by_label(re.compile("^Rig boolean")).select_option("Yes")
        await dialog.get_by_label(re.compile("^Rig integer")).fill("9" * 40)
        await dialog.get_by_role("button", name="Add task").click()
        wrong = dialog.get_by_label(re.compile("^Rig integer"))
        await expect(wrong).to_have_attribute("aria-invalid", "true")
        await wrong.fill("3")
        await dialog.get_by_role("button", name="Add task").click()
        await expect(page.locator("#column-inbox .card")).to_contain_text("Sailcloth")
    made = site.list_tasks(board)["Step the mast"]
    assert made["tag_ids"] == [tag["id"]]
    assert made["due_at"].startswith("2030-02-03")
    stored = {key.removeprefix("rig_"): value for key, value in made["custom_field_values"].items()}
    assert stored["json"] == {"deep": [1]}
    assert (stored["integer"], stored["boolean"], stored["text_long"]) == (3, True, "Two\nlines")


async def open_editor(properties: Locator, name: str) -> None:
    await properties.locator("summary", has_text=f"{name}:").click()


@repetition
async def test_properties_and_dependencies_are_changed_in_place(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_task_forms.py and tests/browser/test_pickers.py."""
    board = site.create_board("Hull")
    site.create_agent(board, "Caulker")
    site.owner.call("POST", "/tags", name="Tar", slug="tar")
    first, task = site.create_task(board, "Lay the keel"), site.create_task(board, "Plank it")
    async with site.open_page(f"/boards/{board['id']}/tasks/{task['id']}") as page:
        properties = page.get_by_role("complementary", name="Properties")
        await open_editor(properties, "Due")
        await properties.get_by_label("Due", exact=True).fill("2020-02-03")
        await properties.get_by_label("Due", exact=True).press("Enter")
        await expect(properties.locator("#edit-due summary")).to_contain_text("days over")
        await open_editor(properties, "Tags")
        await choose(properties.get_by_role("button", name="Tags"), "Tar")
        await page.keyboard.press("Escape")
        await properties.locator("#edit-tags").get_by_role("button", name="Save").click()
        await expect(properties.locator("#edit-tags summary")).to_contain_text("Tar")
        assignee = properties.get_by_role("button", name="Assignee")
        await choose(assignee, "Caulker")
        await expect(assignee).to_contain_text("Caulker")

        dependencies = page.locator("#task-dependencies")
        await dependencies.locator("summary", has_text="Add dependency").click()
        button = dependencies.get_by_role("button", name="Task that has to be done")
        await choose(button, "Lay the keel")
        await dependencies.get_by_role("button", name="Add", exact=True).click()
        link = dependencies.get_by_role("link", name="Lay the keel")
        await expect(link).to_be_visible()
        await link.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lay the keel")
        await expect(dependencies).to_contain_text("depends on this")
        await dependencies.get_by_role("link", name="Plank it").click()
        await open_editor(properties, "Status")
        await properties.get_by_role("button", name="Done").click()
        await expect(properties.get_by_role("alert")).to_be_visible()
        await dependencies.get_by_role("button", name="Remove dependency on").click()
        await expect(link).to_have_count(0)

        comment = page.get_by_label("Comment", exact=True)
        await comment.fill("@Caulker is it tight?")
        await comment.press("Control+Enter")
        shown = page.locator("#conversation [id^=c-]", has_text="is it tight?")
        await expect(shown.locator(".mention")).to_have_text("@Caulker")
        anchor = await shown.get_attribute("id")
        await page.goto(f"/boards/{board['id']}/tasks/{task['id']}#{anchor}")
        await expect(page.locator(f"#{anchor}:target")).to_be_in_viewport()
    changed = site.list_tasks(board)["Plank it"]
    assert changed["assigned_agent_id"]
    assert changed["depends_on_task_ids"] == []
    assert first["id"] != changed["id"]
