"""The confirmation with which people approve a completion and move the task to Done."""

from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition

QUESTION = "Needs an approval. Approve and move to Done?"


def create(site: LiveSite, name: str, *titles: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Create a board that requires an approval for Done, with tasks in review."""
    board = site.create_board(name, require_approval_for_done=True)
    made = [site.create_task(board, title, description="All of it.") for title in titles]
    for task in made:
        site.update_task(board, task, status="review")
    return board, made


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog", name=QUESTION)


async def approve(page: Page) -> None:
    await expect(dialog(page)).to_be_visible()
    button = dialog(page).get_by_role("button", name="Approve and move to Done")
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    await button.click()
    await expect(dialog(page)).to_be_hidden()


async def test_a_key_moves_a_card_to_done_after_one_confirmation(site: LiveSite) -> None:
    """A confirmation that is cancelled leaves the card."""
    board, [task] = create(site, "By key", "Ship it")
    async with site.open_page(f"/boards/{board['id']}") as page:
        card = page.locator(f"#task-{task['id']}")
        await card.get_by_role("link", name="Ship it").focus()
        await page.keyboard.press("Shift+ArrowRight")
        await expect(dialog(page)).to_contain_text("All of it.")
        await dialog(page).get_by_role("button", name="Cancel").click()
        await expect(dialog(page)).to_be_hidden()
        await expect(page.locator("#column-review").locator(card)).to_be_visible()
        await expect(card).not_to_contain_text("Needs an approval before Done")
        assert site.list_tasks(board)["Ship it"]["status"] == "review"

        await card.get_by_role("link", name="Ship it").focus()
        await page.keyboard.press("Shift+ArrowRight")
        await approve(page)
        await expect(page.locator("#toasts")).to_contain_text("Approved and moved to Done")
    assert site.list_tasks(board)["Ship it"]["status"] == "done"


@repetition
@pytest.mark.parametrize("in_drawer", [True, False])
async def test_the_status_of_a_task_asks_once_too(site: LiveSite, in_drawer: bool) -> None:
    """The steps are stated in tests/web/test_completions.py."""
    board, [task] = create(site, f"Status {in_drawer}", "Ship it")
    path = f"/boards/{board['id']}"
    async with site.open_page(path if in_drawer else f"{path}/tasks/{task['id']}") as page:
        if in_drawer:
            await page.locator(f"#task-{task['id']}").get_by_role("link", name="Ship it").click()
            await expect(page.locator("#drawer #edit-status")).to_be_visible()
        await page.locator("#edit-status summary").click()
        await page.locator("#edit-status").get_by_role("button", name="Done").click()
        await approve(page)
        await expect(page.locator("#edit-status summary")).to_contain_text("Done")
    assert site.list_tasks(board)["Ship it"]["status"] == "done"


@repetition
async def test_a_selection_is_confirmed_together(site: LiveSite) -> None:
    """See test_a_selection_of_tasks_is_confirmed_at_once in tests/web."""
    board, made = create(site, "Selected", "First", "Second")
    async with site.open_page(f"/boards/{board['id']}?view=list") as page:
        for task in made:
            await page.locator(f"#task-{task['id']} [data-pick]").check()
        await page.locator("#bulk-status summary").click()
        await page.locator("#bulk-status").get_by_role("button", name="Done").click()
        await expect(dialog(page).locator("section[aria-labelledby^=done-q]")).to_have_count(2)
        await approve(page)
        await expect(page.locator("#toasts")).to_contain_text("2 approved and moved to Done")
        await expect(page.locator("#bulk")).to_be_hidden()
        await expect(page.locator("input[data-pick]:checked")).to_have_count(0)
    assert {one["status"] for one in site.list_tasks(board).values()} == {"done"}
