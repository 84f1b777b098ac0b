"""The calendar of a board in a browser."""

import asyncio
from datetime import UTC, datetime, timedelta

from playwright.async_api import Route, expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import PHONE, list_axe_violations, list_overflowing
from tests.support.tiers import repetition

TITLE = "Paint the very long wall behind the harbour"


async def test_tasks_are_opened_and_moved_in_the_calendar(site: LiveSite) -> None:
    board = site.create_board("Dated")
    task = site.create_task(board, TITLE, due_at="2091-11-12T12:00:00Z")
    path = f"/boards/{board['id']}?view=calendar&month=2091-11"
    async with site.open_page(path) as page:
        grid, drawer = page.locator(".cal__grid"), page.locator("#drawer")
        await grid.get_by_role("link", name=TITLE).click()
        await expect(drawer.get_by_role("heading", name=TITLE)).to_be_visible()
        await expect(page.locator(f"#task-{task['id']}")).to_have_attribute("aria-current", "true")
        assert await list_axe_violations(page) == []
        await drawer.get_by_role("link", name="Close").click()
        await expect(page).to_have_url(site.installation.url + path)

        await grid.get_by_role("link", name=TITLE).press("m")
        await page.locator("#card-menu").get_by_text("Due date").click()
        await page.locator("#card-menu").get_by_label("Due").fill("2091-11-20")
        await page.locator("#card-menu").get_by_role("button", name="Save").click()
        await expect(page.locator("#day-2091-11-20")).to_contain_text(TITLE)

        site.create_task(board, "Sand it", due_at="2091-11-20T12:00:00Z")
        await expect(page.locator("#day-2091-11-20 [data-item]")).to_have_count(2)
        await page.keyboard.press("l")
        await expect(page.get_by_role("heading", name="December 2091")).to_be_visible()
        await page.keyboard.press("t")
        await expect(page.locator("[data-today]")).to_have_count(1)


async def test_keys_that_are_pressed_while_a_month_is_loaded_count(site: LiveSite) -> None:
    board = site.create_board("Dated quickly")
    path = f"/boards/{board['id']}?view=calendar&month=2091-11"
    async with site.open_page(path) as page:
        arrived = asyncio.Event()

        async def answer_late(route: Route) -> None:
            await arrived.wait()
            await route.continue_()

        await page.route("**/boards/*?*month=*", answer_late)
        for _ in range(3):
            await page.keyboard.press("l")
        await page.keyboard.press("h")
        arrived.set()
        await expect(page.get_by_role("heading", name="January 2092")).to_be_visible()
        await page.unroute("**/boards/*?*month=*")
        await page.route("**/boards/*?*month=*", lambda route: route.abort())
        await page.keyboard.press("l")
        await expect(page.get_by_role("alert").get_by_text("Not loaded")).to_be_visible()
        await page.unroute("**/boards/*?*month=*")
        await page.keyboard.press("l")
        await expect(page.get_by_role("heading", name="February 2092")).to_be_visible()


@repetition
async def test_the_calendar_is_a_list_of_days_on_a_phone(site: LiveSite) -> None:
    """See tests/web/test_calendar.py; tests/browser/pages checks its layout."""
    board = site.create_board("Dated phone")
    site.create_task(board, TITLE, due_at="2091-11-12T12:00:00Z")
    site.create_task(board, f"{TITLE} again")
    path = f"/boards/{board['id']}?view=calendar&month=2091-11"
    async with site.open_page(path, viewport=PHONE, java_script_enabled=False) as page:
        await expect(page.get_by_text("Monday 12 November")).to_be_visible()
        await expect(page.locator("#day-2091-11-13")).to_be_hidden()
        await page.get_by_role("link", name="Next month").click()
        await expect(page.locator(".cal__grid [data-item]")).to_have_count(0)
    async with site.open_page(path, viewport=PHONE) as page:
        assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)


async def test_a_page_that_is_open_on_the_next_day_loads_its_parts_again(site: LiveSite) -> None:
    board = site.create_board("Overnight")
    async with site.open_page(f"/boards/{board['id']}", has_own_context=True) as page:
        await page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=1))
        async with page.expect_request("**/columns"):
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@repetition
async def test_keys_that_are_pressed_while_today_is_loaded_lead_on_from_it(site: LiveSite) -> None:
    """As keys that are pressed while a month is loaded."""
    board = site.create_board("Dated today")
    path = f"/boards/{board['id']}?view=calendar"
    async with site.open_page(f"{path}&month=2091-11") as page:
        arrived = asyncio.Event()

        async def answer_late(route: Route) -> None:
            await arrived.wait()
            await route.continue_()

        await page.route(f"**{path}*", answer_late)
        await page.keyboard.press("t")
        await page.keyboard.press("l")
        arrived.set()
        this_month = datetime.now(UTC).replace(day=1)
        following = (this_month + timedelta(days=31)).strftime("%B %Y")
        await expect(page.get_by_role("heading", name=following)).to_be_visible()
