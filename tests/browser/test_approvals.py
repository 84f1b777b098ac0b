"""Deciding approvals in a browser: by mouse, keyboard, in bulk, and on a phone."""

import re
from typing import Any

from playwright.async_api import Page, ViewportSize, expect

from tests.support.installation import ApiClient
from tests.support.live_site import APPROVE, LiveSite, headline
from tests.support.page_checks import PHONE, WIDE, cut_connection, in_sizes, list_overflowing
from tests.support.tiers import repetition


class ApprovalScenario:
    """A board on which an agent has asked about some tasks."""

    def __init__(self, site: LiveSite, name: str, *titles: str, sure: int = 88) -> None:
        self.home = site
        self.board = site.create_board(name)
        self.agent = site.create_agent(self.board)
        self.tasks = [site.create_task(self.board, title.removesuffix("?")) for title in titles]
        self.approvals: list[dict[str, Any]] = [
            site.request_approval(self.agent, self.board, task, title, sure)
            for task, title in zip(self.tasks, titles, strict=True)
        ]
        self.list = f"/approvals?board={self.board['id']}"

    @property
    def page(self) -> str:
        """The address of the first question."""
        return f"/approvals/{self.approvals[0]['id']}?board={self.board['id']}"

    def statuses(self) -> list[str]:
        """Return how the questions stand for the agent, as they were asked."""
        path = f"/agent/boards/{self.board['id']}/approvals"
        found = {one["id"]: one["status"] for one in self.agent.call("GET", path)["items"]}
        return [found[approval["id"]] for approval in self.approvals]

    def comments(self) -> list[str]:
        """Return the comments on the first task."""
        path = f"/agent/boards/{self.board['id']}/tasks/{self.tasks[0]['id']}/comments"
        return [one["message"] for one in self.agent.call("GET", path)["items"]]


async def needs(page: Page) -> int:
    return int(await page.locator("#rail").get_attribute("data-needs") or "")


async def press_decision_key(page: Page, key: str) -> None:
    """Press a key when the page accepts a decision."""
    await expect(page.locator(f'[data-decides][data-key="{key}"]')).to_be_enabled()
    await page.keyboard.press(key)


async def expect_toast(page: Page, words: str | re.Pattern[str]) -> None:
    await expect(page.locator("#toasts").get_by_text(words).last).to_be_visible()


@in_sizes(PHONE, WIDE)
async def test_the_pending_count_updates_by_itself(site: LiveSite, size: ViewportSize) -> None:
    board = site.create_board("Counting")
    agent, task = site.create_agent(board), site.create_task(board, "Print the poster")
    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        before = await needs(page)
        site.request_approval(agent, board, task, "Print it in red?")

        place = "Sections" if size == PHONE else "Overview"
        link = page.get_by_role("navigation", name=place).get_by_role("link", name="Needs you")
        await expect(link.locator(".lamp")).to_have_text(f"{before + 1} waiting for you")
        await expect(page).to_have_title(re.compile(rf"^\({before + 1}\) Counting"))
        await expect(page.locator(".card .flag", has_text="Needs you")).to_have_count(1)
        if size == PHONE:
            return
        await link.click()
        await expect(page.get_by_text(headline("Print the poster")).first).to_be_visible()


@in_sizes(WIDE, PHONE)
async def test_a_decision_can_be_undone_until_it_is_final(
    site: LiveSite, size: ViewportSize
) -> None:
    scenario = ApprovalScenario(site, "Posters", "Print it in red?")
    async with site.open_page(scenario.list, viewport=size) as page:
        if size == PHONE:
            await page.get_by_role("link", name=headline("Print it in red?"), exact=True).click()
        question = page.get_by_role("heading", level=2, name=headline("Print it in red?"))
        await expect(question).to_be_visible()
        assert not await list_overflowing(page)
        waiting = await page.locator("#rail").get_attribute("data-needs") or ""

        await page.get_by_label("Note for Juniper").fill("As red as you can.")
        approve = page.get_by_role("button", name=APPROVE)
        await expect(approve).to_be_in_viewport()
        await approve.click()
        await expect_toast(page, f"Approved. {headline('Print it in red?')}")
        await expect(page.locator("#rail")).not_to_have_attribute("data-needs", waiting)
        await page.locator("#toasts [data-undo]").click()
        await expect_toast(page, "Undone. Pending again.")
        assert scenario.statuses() == ["pending"]
        await expect(page.locator("#rail")).to_have_attribute("data-needs", waiting)
        await expect(page.locator("#announce")).to_be_empty()  # it is not new to this person

        if size == PHONE:
            await page.get_by_role("link", name=headline("Print it in red?"), exact=True).click()
        note = page.get_by_label("Note for Juniper")
        await expect(note).to_have_value("As red as you can.")
        await note.fill("As **red** as you can.")
        await approve.click()
        await expect_toast(page, f"Approved. {headline('Print it in red?')}")
        assert scenario.statuses() == ["pending"]  # while the decision can be undone
        assert scenario.comments() == []

        await expect(page.locator("[data-decided]").get_by_text("You approved")).to_be_visible()
        assert not await list_overflowing(page)


@in_sizes(PHONE, WIDE)
async def test_the_bar_of_selected_approvals_stays_in_view(
    site: LiveSite, size: ViewportSize
) -> None:
    scenario = ApprovalScenario(site, "Selected", *(f"Item {n}?" for n in range(9)))
    async with site.open_page(scenario.list, viewport=size) as page:
        boxes = page.locator("input[data-pick]")
        await boxes.first.check()
        await boxes.last.check()
        button = page.get_by_role("toolbar").get_by_role("button", name="Approve 2")
        await expect(button).to_be_in_viewport(ratio=1)
        for area in (".inbox__list", "body"):
            assert await page.locator(area).evaluate("it => it.scrollWidth <= it.clientWidth")
        task = site.create_task(scenario.board, "Late")
        site.request_approval(scenario.agent, scenario.board, task, "Late?")
        await expect(page.locator("#inbox [data-item]")).to_have_count(10)
        await expect(button).to_be_in_viewport(ratio=1)


@repetition
async def test_keyboard_shortcuts_decide_approvals_one_after_the_other(site: LiveSite) -> None:
    """See the series in test_decision_guard.py, and the next request in test_inbox_rows.py."""
    scenario = ApprovalScenario(site, "By keys", "Newest?", "Middle?", "Oldest?")
    async with site.open_page(scenario.list) as page:
        heading = page.locator("#detail h2")
        await expect(heading).to_have_text(headline("Newest?"))

        await press_decision_key(page, "a")
        await expect_toast(page, f"Approved. {headline('Newest?')}")
        await expect(heading).to_have_text(headline("Middle?"))
        await page.keyboard.press("z")
        await expect_toast(page, "Undone. Pending again.")
        await expect(page.locator("#needs-count")).to_have_text("3")

        await expect(heading).to_have_text(headline("Newest?"))
        await press_decision_key(page, "r")
        await expect_toast(page, f"Rejected. {headline('Newest?')}")
        await expect(heading).to_have_text(headline("Middle?"))
        await press_decision_key(page, "a")
        await expect_toast(page, "1 approved, 1 rejected")
        answers = page.locator("[data-decided] .ask-row__m")
        await expect(answers).to_contain_text(["You approved", "You rejected"])


async def test_a_clarification_requested_by_keyboard_keeps_the_approval_open(
    site: LiveSite,
) -> None:
    """See tests/web/test_approval_decisions.py and tests/web/test_clarifications.py."""
    scenario = ApprovalScenario(site, "Asked back", "Print it?")
    async with site.open_page(scenario.page) as page:
        await page.keyboard.press("q")
        field = page.get_by_label("Ask Juniper")
        await expect(field).to_be_focused()
        await page.keyboard.type("On which paper?")
        await page.get_by_role("button", name="Ask", exact=True).click()

        await expect_toast(page, "Question posted on the task.")
        await expect(page.get_by_text("Question asked").first).to_be_visible()
        assert any("On which paper?" in comment for comment in scenario.comments())
        assert scenario.statuses() == ["pending"]
        path = f"/agent/boards/{scenario.board['id']}/tasks/{scenario.tasks[0]['id']}/comments"
        scenario.agent.call("POST", path, message="On the thick one.")
        for place in ("#detail", ".inbox__list"):
            await expect(page.locator(place).get_by_text("Question answered")).to_be_visible()
        await expect(page.get_by_text("Question asked")).to_have_count(0)


@repetition
async def test_the_second_decision_shows_who_decided_first(site: LiveSite) -> None:
    """A test of this name in tests/web/test_approval_decisions.py states it."""
    scenario = ApprovalScenario(site, "Two at once", "Print it?")
    async with site.open_page(scenario.page) as first, site.open_page("/boards") as second:
        await cut_connection(second)
        await second.goto(scenario.page)
        await second.get_by_label("Note for Juniper").fill("Not like this.")

        await first.get_by_role("button", name=APPROVE).click()
        await expect_toast(first, f"Approved. {headline('Print it?')}")
        await second.get_by_role("button", name="Reject").click()

        alert = second.locator("#detail").get_by_role("alert")
        await expect(alert).to_have_text(
            "Olga Ruiz has approved this already. Your decision was not saved."
        )
        await expect(second.get_by_role("button", name=APPROVE)).to_have_count(0)
        await expect(second.get_by_role("group", name="Decision")).to_contain_text("You approved")


@repetition
async def test_an_open_page_updates_after_a_decision_elsewhere(site: LiveSite) -> None:
    """The requests that others decide are in test_inbox_rows.py and test_inbox_keys.py."""
    scenario = ApprovalScenario(site, "Watching", "Print it?")
    async with site.open_page(scenario.page) as page, site.open_page(scenario.page) as other:
        await page.get_by_role("button", name=APPROVE).click()
        await expect(other.get_by_role("group", name="Decision")).to_contain_text("You approved")
        await other.get_by_role("button", name="Undo").click()
        await expect_toast(other, "Undone. Pending again.")
        await expect(other.get_by_role("button", name="Reject")).to_be_visible()
        assert scenario.statuses() == ["pending"]


@repetition
async def test_bulk_decisions_apply_to_each_approval_separately(site: LiveSite) -> None:
    """See test_an_approval_that_cannot_be_decided_shows_the_reason in tests/web."""
    scenario = ApprovalScenario(site, "Several", "One?", "Two?", "Three?")
    async with site.open_page(scenario.list) as other, site.open_page("/boards") as page:
        await cut_connection(page)
        await page.goto(scenario.list)
        for question in ("One?", "Two?"):
            await page.get_by_label(f"Select: {headline(question)}").check()
        bar = page.get_by_role("toolbar", name="Selected approvals")
        await expect(bar).to_contain_text("2 selected")
        await expect(bar).to_contain_text("Tasks that agents move to Done after an approval: 2")

        await other.get_by_role("link", name=headline("Two?"), exact=True).click()
        await expect(other.locator("#detail h2")).to_have_text(headline("Two?"))
        await other.get_by_role("button", name=APPROVE).click()
        await expect_toast(other, f"Approved. {headline('Two?')}")

        await bar.get_by_role("button", name="Reject").click()
        await expect_toast(page, "1 of 2 rejected")
        await expect_toast(page, "Olga Ruiz has approved this already.")
        await expect(bar).to_be_hidden()
        await expect(page.locator("#needs-count")).to_have_text("1")


@repetition
async def test_bulk_approval_with_low_confidence_needs_a_confirmation(site: LiveSite) -> None:
    """A similar test in tests/web/test_approval_decisions.py states it.

    The test of the bar above has requests that arrive while some are selected."""
    scenario = ApprovalScenario(site, "Doubts", "One?", "Two?", sure=60)
    async with site.open_page(scenario.list) as page:
        await page.get_by_label(f"Select: {headline('One?')}").check()
        await page.get_by_label(f"Select: {headline('Two?')}").click(modifiers=["Shift"])
        bar = page.get_by_role("toolbar", name="Selected approvals")
        await bar.get_by_role("button", name="Approve 2").click()

        sure = page.locator("#detail")
        await expect(sure.locator("h2")).to_have_text(
            "Approve 2 requests? 2 have a confidence below 80."
        )
        assert scenario.statuses() == ["pending", "pending"]
        before = await needs(page)
        for number, question in enumerate(
            ("Three?", "Four?"), 1
        ):  # new approvals do not change the selection
            site.request_approval(
                scenario.agent, scenario.board, site.create_task(scenario.board, question), question
            )
            await expect(page.locator("#rail")).to_have_attribute(
                "data-needs", str(before + number)
            )
        await sure.get_by_role("button", name="Approve 2").click()
        await expect_toast(page, "2 approved")
        await page.keyboard.press("z")
        await expect_toast(page, "2 undone")
        assert scenario.statuses() == ["pending", "pending"]


async def test_new_approvals_do_not_replace_the_open_one(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Calm", "First?")
    async with site.open_page(scenario.list) as page:
        await expect(page.locator("#detail h2")).to_have_text(headline("First?"))
        await page.get_by_label("Note for Juniper").fill("I am still thinki")

        site.request_approval(
            scenario.agent, scenario.board, site.create_task(scenario.board, "Another"), "Second?"
        )
        await expect(page.get_by_role("link", name=headline("Another"))).to_be_visible()
        await expect(page.locator("#detail h2")).to_have_text(headline("First?"))
        await expect(page.get_by_label("Note for Juniper")).to_have_value("I am still thinki")


async def test_an_approval_can_be_decided_on_its_task(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "In the drawer", "Print it?")
    async with site.open_page(f"/boards/{scenario.board['id']}") as page:
        await page.get_by_role("link", name="Print it").click()
        drawer = page.locator("#drawer")
        await drawer.get_by_role("button", name=APPROVE).click()
        await expect(drawer.get_by_text("You approved")).to_be_visible()
        await drawer.get_by_role("button", name="Undo").click()
        await expect(drawer.get_by_role("button", name="Reject")).to_be_visible()
        assert scenario.statuses() == ["pending"]


def test_an_agent_cannot_decide_its_own_approval(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Itself", "May I?")
    agent: ApiClient = scenario.agent
    path = f"/agent/boards/{scenario.board['id']}/approvals/{scenario.approvals[0]['id']}"
    assert agent.client.patch(path, json={"status": "approved"}).status_code in (404, 405)
    people = path.removeprefix("/agent")
    assert agent.client.patch(people, json={"status": "approved"}).status_code in (401, 403)
    assert scenario.statuses() == ["pending"]
