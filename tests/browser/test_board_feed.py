"""The feed beside its board in a browser."""

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations
from tests.support.tiers import repetition


@repetition
async def test_the_feed_is_shown_beside_its_board(site: LiveSite) -> None:
    """See tests/web/test_board_feed.py; test_activity.py and test_board.py use the feed."""
    board = site.create_board("Watched")
    task = site.create_task(board, "Paint")
    path = f"/boards/{board['id']}"
    async with site.open_page(f"{path}?priority=medium") as page:
        await page.locator("#board-pages > summary").click()
        await page.locator("#board-pages").get_by_role("link", name="Activity").click()
        drawer = page.locator("#drawer")
        await expect(drawer.locator(".feed__i")).to_have_count(2)
        await drawer.get_by_role("link", name="Tasks").click()
        await expect(drawer.locator(".feed__i")).to_have_count(1)
        await expect(page).to_have_url(site.installation.url + f"{path}/feed?kind=tasks")
        assert await list_axe_violations(page) == []

        site.update_task(board, task, status="in_progress")
        await drawer.get_by_text("1 new").click()
        await expect(drawer.locator(".feed__i")).to_have_count(2)
        await drawer.get_by_role("link", name="Close").click()
        await expect(page).to_have_url(site.installation.url + f"{path}?priority=medium")

        await page.locator("#board-pages > summary").click()
        await page.locator("#board-pages").get_by_role("link", name="Activity").click()
        await drawer.get_by_role("link", name="Paint").first.click()
        await expect(drawer.get_by_role("heading", name="Paint")).to_be_visible()
