"""A held key, a double press and a double click decide one approval; a series is undone at once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.browser.test_approvals import ApprovalScenario, expect_toast
from tests.support.live_site import APPROVE, LiveSite, headline
from tests.support.tiers import repetition

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
PENDING = "pending"
HIDE_TAB = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class StoppedPage:
    """The inbox of a scenario, on which the time is set by the test."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.time = START

    async def pass_time(self, milliseconds: int) -> None:
        self.time += timedelta(milliseconds=milliseconds)
        await self.page.clock.set_fixed_time(self.time)

    async def shows(self, question: str, *, ready: bool) -> None:
        """Wait until a question is on the screen, and can or cannot be decided."""
        await expect(self.page.locator("#detail h2")).to_have_text(headline(question))
        button = self.page.locator("#detail").get_by_role("button", name=APPROVE)
        await expect(button).to_be_in_viewport()
        await (expect(button).to_be_enabled() if ready else expect(button).to_be_disabled())

    async def press(self, key: str) -> None:
        await self.page.keyboard.press(key)

    async def expect_ignored(self) -> None:
        await expect(self.page.get_by_text("Ignored: this has only just appeared.")).to_be_visible()


@asynccontextmanager
async def stopped_page(site: LiveSite, address: str) -> AsyncGenerator[StoppedPage]:
    async with site.open_page("/boards", has_own_context=True) as page:
        await page.clock.set_fixed_time(START)
        await page.goto(address)
        yield StoppedPage(page)


async def expect_one_toast(page: Page, words: str) -> None:
    await expect_toast(page, words)
    await expect(page.locator("[data-toast]")).to_have_count(1)


async def test_holding_the_key_decides_only_the_first_approval(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Held", "One?", "Two?", "Three?", "Four?")
    async with site.open_page(scenario.list) as page:
        button = page.locator("#detail").get_by_role("button", name=APPROVE)
        await expect(button).to_be_enabled()
        await page.keyboard.down("a")
        await expect(page.locator("#detail h2")).to_have_text(headline("Two?"))
        for _ in range(5):  # repeated key events
            await page.keyboard.down("a")
        await expect(button).to_be_enabled()
        for _ in range(5):
            await page.keyboard.down("a")
        await page.keyboard.up("a")
        await expect_one_toast(page, f"Approved. {headline('One?')}")
        assert await page.locator("#needs-count").inner_text() == "3"


async def test_a_press_decides_an_approval_only_after_a_pause(site: LiveSite) -> None:
    """Some remote desktops send a held key as separate presses."""
    scenario = ApprovalScenario(site, "Separate presses", "One?", "Two?", "Three?")
    async with stopped_page(site, scenario.list) as stopped:
        await stopped.shows("One?", ready=False)
        await stopped.press("a")
        await stopped.expect_ignored()
        await stopped.pass_time(500)
        await stopped.shows("One?", ready=True)
        await stopped.press("a")
        await stopped.shows("Two?", ready=False)
        await stopped.pass_time(350)
        for _ in range(15):  # longer than the half second
            await stopped.pass_time(50)
            await stopped.press("a")
        await stopped.expect_ignored()
        await stopped.shows("Two?", ready=False)
        await expect_one_toast(stopped.page, f"Approved. {headline('One?')}")
        await stopped.pass_time(500)
        await stopped.press("a")
        await expect_one_toast(stopped.page, "2 approved")


async def test_a_double_click_decides_one_approval(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Double click", "One?", "Two?")
    async with stopped_page(site, scenario.list) as stopped:
        await stopped.shows("One?", ready=False)
        await stopped.pass_time(500)
        await stopped.shows("One?", ready=True)
        button = stopped.page.locator("#detail").get_by_role("button", name=APPROVE)
        await button.dblclick()
        await stopped.shows("Two?", ready=False)
        await button.click(force=True)
        await stopped.expect_ignored()
        await expect_one_toast(stopped.page, f"Approved. {headline('One?')}")
        assert scenario.statuses() == [PENDING, PENDING]


async def test_a_held_enter_key_on_a_button_decides_once(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Held Enter", "One?", "Two?")
    async with site.open_page(scenario.list) as page:
        button = page.locator("#detail").get_by_role("button", name="Reject")
        await expect(button).to_be_enabled()
        await button.focus()
        await page.keyboard.down("Enter")
        await expect(page.locator("#detail h2")).to_have_text(headline("Two?"))
        await expect(button).to_be_enabled()
        await button.focus()
        for _ in range(5):
            await page.keyboard.down("Enter")
        await page.keyboard.up("Enter")
        await expect_one_toast(page, f"Rejected. {headline('One?')}")
        assert await page.locator("#needs-count").inner_text() == "1"


async def test_a_series_of_decisions_is_undone_by_one_request(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Series", "One?", "Two?", "Three?", "Four?")
    requests: list[str] = []
    async with stopped_page(site, scenario.list) as stopped:
        stopped.page.on("request", lambda request: requests.append(request.url))
        for question, key in (("One?", "a"), ("Two?", "r"), ("Three?", "a")):
            await stopped.shows(question, ready=False)
            await stopped.pass_time(600)
            await stopped.press(key)
        await stopped.shows("Four?", ready=False)
        await expect_one_toast(stopped.page, "2 approved, 1 rejected")
        await stopped.press("z")
        await stopped.press("z")
        await expect_one_toast(stopped.page, "3 undone. Pending again.")
        await expect(stopped.page.locator("#needs-count")).to_have_text("4")
    assert [url for url in requests if "undoings" in url] == [
        f"{site.installation.url}/approvals/undoings"
    ]
    assert scenario.statuses() == [PENDING] * 4


async def test_a_toast_replaces_older_ones_about_the_same_request(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Same", "One?", "Two?")
    first = scenario.approvals[0]["id"]
    async with stopped_page(site, f"/approvals/{first}") as stopped:
        page = stopped.page
        await stopped.shows("One?", ready=False)
        await stopped.pass_time(600)
        await stopped.press("a")
        await expect_one_toast(page, f"Approved. {headline('One?')}")
        await page.locator(f"#approval-{first}").get_by_role("link").click()
        await page.locator("#detail").get_by_role("button", name="Undo").click()
        await expect_toast(page, "Undone. Pending again.")
        assert await page.locator("[data-toast]").count() == 1  # at once, not when it is over
        assert scenario.statuses() == [PENDING] * 2


@repetition
async def test_a_series_can_end_with_a_bulk_decision(site: LiveSite) -> None:
    """A test of this name in tests/web/test_approval_decisions.py states it."""
    scenario = ApprovalScenario(site, "Series and bulk", "One?", "Two?", "Three?")
    async with site.open_page(scenario.list) as page:
        await page.locator("#detail").get_by_role("button", name=APPROVE).click()
        await expect_one_toast(page, f"Approved. {headline('One?')}")
        for question in ("Two?", "Three?"):
            await page.get_by_label(f"Select: {headline(question)}").check()
        await page.get_by_role("toolbar").get_by_role("button", name="Approve 2").click()
        await expect_one_toast(page, "3 approved")
        await page.get_by_role("button", name="Undo").last.click()
        await expect_one_toast(page, "3 undone. Pending again.")
        assert scenario.statuses() == [PENDING] * 3


async def test_an_item_is_decided_only_after_its_tab_was_shown(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "In the background", "One?")
    async with stopped_page(site, scenario.list) as stopped:
        await stopped.shows("One?", ready=False)
        await stopped.pass_time(500)
        await stopped.shows("One?", ready=True)
        await stopped.page.evaluate(HIDE_TAB, True)
        await stopped.pass_time(10_000)
        await stopped.page.evaluate(HIDE_TAB, False)
        await stopped.press("a")
        await stopped.expect_ignored()
        await stopped.pass_time(500)
        await stopped.press("a")
        await expect_one_toast(stopped.page, f"Approved. {headline('One?')}")


@repetition
async def test_two_approvals_of_a_task_page_are_not_decided_by_two_presses(site: LiveSite) -> None:
    """The half second of the page of a task is in the test of changed content."""
    scenario = ApprovalScenario(site, "On one task", "Print it?")
    task = scenario.tasks[0]
    async with stopped_page(site, f"/boards/{scenario.board['id']}/tasks/{task['id']}") as stopped:
        button = stopped.page.get_by_role("button", name=APPROVE)
        await expect(button).to_be_disabled()
        await stopped.press("a")
        await stopped.expect_ignored()
        await stopped.pass_time(500)
        await stopped.press("a")
        await expect_one_toast(stopped.page, f"Approved. {headline('Print it?')}")
        await stopped.press("a")
        await expect(stopped.page.get_by_text("You approved")).to_be_visible()
        await expect_one_toast(stopped.page, f"Approved. {headline('Print it?')}")


async def test_after_a_decision_the_half_second_of_the_others_begins_again(
    site: LiveSite,
) -> None:
    """A second click at the same place may meet another request, which was there before."""
    scenario = ApprovalScenario(site, "Beside others", "One?", "Two?", "Three?")
    async with stopped_page(site, scenario.page) as stopped:
        page = stopped.page
        await stopped.shows("One?", ready=False)
        for question in ("Two?", "Three?"):
            await page.get_by_label(f"Select: {headline(question)}").check()
        await stopped.pass_time(500)
        await stopped.shows("One?", ready=True)
        await page.get_by_role("toolbar").get_by_role("button", name="Approve 2").click()
        await expect_one_toast(page, "2 approved")
        await stopped.shows("One?", ready=False)
        await stopped.pass_time(500)
        await stopped.shows("One?", ready=True)


async def test_changed_content_is_decided_only_after_half_a_second(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Changed on screen", "One?")
    task = scenario.tasks[0]
    path = f"/boards/{scenario.board['id']}/tasks/{task['id']}"
    for address in (path, scenario.page):
        async with stopped_page(site, address) as stopped:
            approve = stopped.page.get_by_role("button", name=APPROVE).first
            await expect(approve).to_be_disabled()
            await stopped.pass_time(500)
            await expect(approve).to_be_enabled()
            words = f"Delete everything on {address}"
            site.update_task(scenario.board, task, description=words)
            other = site.create_task(scenario.board, "Another")
            site.request_approval(scenario.agent, scenario.board, other, "Reloads the inbox")
            shown = stopped.page.locator(".task-content .exact").get_by_text(words)
            await expect(shown.first).to_be_visible()
            await expect(stopped.page.locator("#announce")).not_to_be_empty()
            await stopped.press("a")
            await stopped.expect_ignored()
            assert scenario.statuses() == [PENDING]
            await expect(stopped.page.locator("[data-toast]")).to_have_count(0)
