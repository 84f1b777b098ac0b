"""The trash of a board in a browser."""

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_axe_violations, list_overflowing
from tests.support.tiers import repetition


@repetition
async def test_deleted_tasks_are_selected_and_restored(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_trash.py.

    Live changes keep a selection in tests/browser/test_board_selection.py."""
    board = site.create_board("Thrown away")
    made = [site.create_task(board, title) for title in ("Paint", "Sand", "Varnish")]
    for task in made[:2]:
        site.owner.call("DELETE", f"/boards/{board['id']}/tasks/{task['id']}")
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE) as page:
        await page.locator("#board-pages > summary").click()
        await page.locator("#board-pages").get_by_role("link", name="Trash").click()
        await page.get_by_role("checkbox", name="Select “Paint”").check()
        site.owner.call("DELETE", f"/boards/{board['id']}/tasks/{made[2]['id']}")
        await expect(page.locator("#trash [data-item]")).to_have_count(3)
        await expect(page.get_by_role("checkbox", name="Select “Paint”")).to_be_checked()
        await page.get_by_role("checkbox", name="Select “Varnish”").check()
        assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)
        await page.get_by_role("button", name="Restore 2").click()
        await expect(page.locator("main")).to_contain_text("2 tasks restored.")
        await expect(page.locator("#trash [data-item]")).to_have_count(1)
        assert set(site.list_tasks(board)) == {"Paint", "Varnish"}
        await page.get_by_role("button", name="Restore “Sand”").click()
        await page.get_by_role("link", name="Open the task").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sand")


@repetition
async def test_a_deletion_leads_to_the_trash(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_trash.py."""
    board = site.create_board("Thrown away too")
    task = site.create_task(board, "Paint")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="Paint").click()
        await page.locator("#task-actions > summary").click()
        await page.get_by_role("button", name="Delete task").click()
        await page.locator("#toasts").get_by_role("link", name="Trash").click()
        await expect(page.locator(f"#trashed-{task['id']}")).to_contain_text("Paint")
        assert await list_axe_violations(page) == []


async def test_deleting_the_open_task_requests_nothing_that_is_missing(site: LiveSite) -> None:
    board = site.create_board("Thrown away at once")
    site.create_task(board, "Paint")
    path = f"/boards/{board['id']}"
    async with site.open_page(path) as page, site.open_page(path) as other:
        failed: list[str] = []
        for tab in (page, other):
            tab.on("response", lambda one: failed.append(one.url) if one.status >= 400 else None)
            await expect(tab.locator(".live[data-state=live]").first).to_be_visible()
            await tab.get_by_role("link", name="Paint").click()
        await other.locator("#task-actions > summary").wait_for()
        await page.locator("#task-actions > summary").click()
        await page.get_by_role("button", name="Delete task").click()
        await expect(page.locator("#drawer")).to_be_hidden()
        await expect(other.locator("#drawer")).to_contain_text("This task is in the trash.")
        assert await list_axe_violations(other) == []
        await page.locator("#toasts").get_by_role("button", name="Undo").click()
        await expect(other.locator("#drawer #task-actions")).to_be_visible()
        assert failed == []
