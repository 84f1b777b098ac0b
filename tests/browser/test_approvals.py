"""A person answers what agents ask: with the mouse, with keys, several at once, and on a phone."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, scrolls_sideways
from tests.installation import Api

both_sizes = pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["desktop", "phone"])


class Asked:
    """A board on which an agent has asked about some tasks."""

    def __init__(self, home: Home, name: str, *titles: str, sure: int = 88) -> None:
        self.home = home
        self.board = home.board(name)
        self.agent = home.agent(self.board)
        self.tasks = [home.task(self.board, f"About {title}") for title in titles]
        self.approvals: list[dict[str, Any]] = [
            home.ask(self.agent, self.board, task, title, sure)
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
        """Return what is said on the first task."""
        path = f"/agent/boards/{self.board['id']}/tasks/{self.tasks[0]['id']}/comments"
        return [one["message"] for one in self.agent.call("GET", path)["items"]]

    async def settled(self, *statuses: str) -> None:
        """Wait until the agent sees these answers."""
        async with asyncio.timeout(30):
            while self.statuses() != list(statuses):
                await asyncio.sleep(0.1)


async def needs(page: Page) -> int:
    return int(await page.locator("#rail").get_attribute("data-needs") or "")


async def said(page: Page, words: str | re.Pattern[str]) -> None:
    await expect(page.locator("#toasts").get_by_text(words).last).to_be_visible()


@both_sizes
async def test_the_badge_counts_up_by_itself(home: Home, viewport: ViewportSize) -> None:
    board = home.board("Counting")
    agent, task = home.agent(board), home.task(board, "Print the poster")
    async with home.open(f"/boards/{board['id']}", viewport=viewport) as page:
        before = await needs(page)
        home.ask(agent, board, task, "Print it in red?")

        place = "Sections" if viewport == PHONE else "Watch"
        link = page.get_by_role("navigation", name=place).get_by_role("link", name="Needs you")
        await expect(link.locator(".lamp")).to_have_text(f"{before + 1} waiting for you")
        await expect(page).to_have_title(re.compile(rf"^\({before + 1}\) Counting"))
        await expect(page.get_by_text("Needs your answer")).to_have_count(1)
        if viewport == PHONE:
            return
        await link.click()
        await expect(page.get_by_text("Print it in red?").first).to_be_visible()


@both_sizes
async def test_an_answer_can_be_taken_back_and_then_settles(
    home: Home, viewport: ViewportSize
) -> None:
    asked = Asked(home, "Posters", "Print it in red?")
    async with home.open(asked.list, viewport=viewport) as page:
        if viewport == PHONE:
            await page.get_by_role("link", name="Print it in red?", exact=True).click()
        question = page.get_by_role("heading", level=2, name="Print it in red?")
        await expect(question).to_be_visible()
        assert not await scrolls_sideways(page)

        await page.get_by_label("Note for Juniper").fill("As red as you can.")
        approve = page.get_by_role("button", name="Approve")
        await expect(approve).to_be_in_viewport()
        await approve.click()
        await said(page, "Approved. Print it in red?")
        await page.locator("#toasts [data-undo]").click()
        await said(page, "Taken back. It waits again.")
        assert asked.statuses() == ["pending"]

        if viewport == PHONE:
            await page.get_by_role("link", name="Print it in red?", exact=True).click()
        await page.get_by_label("Note for Juniper").fill("As **red** as you can.")
        await approve.click()
        await said(page, "Approved. Print it in red?")
        assert asked.statuses() == ["pending"]  # as long as it can be taken back
        assert asked.comments() == []

        await expect(page.locator("[data-decided]").get_by_text("You approved")).to_be_visible()
        assert not await scrolls_sideways(page)
        if viewport == WIDE:
            await asked.settled("approved")
            assert any("As **red** as you can." in comment for comment in asked.comments())


async def test_keys_answer_one_question_after_the_other(home: Home) -> None:
    asked = Asked(home, "By keys", "Oldest?", "Middle?", "Newest?")
    async with home.open(asked.list) as page:
        heading = page.locator("#detail h2")
        await expect(heading).to_have_text("Newest?")

        await page.keyboard.press("a")
        await said(page, "Approved. Newest?")
        await expect(heading).to_have_text("Middle?")
        await page.keyboard.press("z")
        await said(page, "Taken back. It waits again.")
        await expect(page.locator("#needs-count")).to_have_text("3")

        await page.get_by_role("link", name="Middle?", exact=True).click()
        await expect(heading).to_have_text("Middle?")
        await page.keyboard.press("r")
        await said(page, "Rejected. Middle?")
        await expect(heading).to_have_text("Oldest?")
        await page.keyboard.press("a")
        await said(page, "Approved. Oldest?")
        answers = page.locator("[data-decided] .ask-row__m")
        await expect(answers).to_contain_text(["You approved", "You rejected"])


async def test_a_question_is_asked_back_by_keys_and_stays_open(home: Home) -> None:
    asked = Asked(home, "Asked back", "Print it?")
    async with home.open(asked.page) as page:
        await page.keyboard.press("q")
        field = page.get_by_label("Ask Juniper")
        await expect(field).to_be_focused()
        await page.keyboard.type("On which paper?")
        await page.get_by_role("button", name="Ask", exact=True).click()

        await said(page, "Asked, on the task.")
        await expect(page.get_by_text("Asked back").first).to_be_visible()
        assert any("On which paper?" in comment for comment in asked.comments())
        assert asked.statuses() == ["pending"]


async def test_who_answers_second_is_told_who_was_first(home: Home) -> None:
    asked = Asked(home, "Two at once", "Print it?")
    async with home.open(asked.page) as first, home.open("/boards") as second:
        await second.route("**/events?**", lambda route: route.abort())
        await second.goto(asked.page)
        await second.get_by_label("Note for Juniper").fill("Not like this.")

        await first.get_by_role("button", name="Approve").click()
        await said(first, "Approved. Print it?")
        await second.get_by_role("button", name="Reject").click()

        alert = second.locator("#detail").get_by_role("alert")
        await expect(alert).to_have_text(
            "Olga Ruiz has approved this already. Your answer was not sent."
        )
        await expect(second.get_by_role("button", name="Approve")).to_have_count(0)
        await expect(second.get_by_role("group", name="The answer")).to_contain_text("You approved")


async def test_a_page_that_is_open_elsewhere_follows_an_answer(home: Home) -> None:
    asked = Asked(home, "Watching", "Print it?")
    async with home.open(asked.page) as page, home.open(asked.page) as other:
        await page.get_by_role("button", name="Approve").click()
        await expect(other.get_by_role("group", name="The answer")).to_contain_text("You approved")
        await other.get_by_role("button", name="Undo").click()
        await said(other, "Taken back. It waits again.")
        await expect(other.get_by_role("button", name="Reject")).to_be_visible()
        assert asked.statuses() == ["pending"]


async def test_several_are_answered_at_once_each_for_itself(home: Home) -> None:
    asked = Asked(home, "Several", "One?", "Two?", "Three?")
    async with home.open(asked.list) as other, home.open("/boards") as page:
        await page.route("**/events?**", lambda route: route.abort())
        await page.goto(asked.list)
        for question in ("One?", "Two?"):
            await page.get_by_label(f"Select: {question}").check()
        bar = page.get_by_role("toolbar", name="Selected questions")
        await expect(bar).to_contain_text("2 selected")

        await other.get_by_role("link", name="Two?", exact=True).click()
        await expect(other.locator("#detail h2")).to_have_text("Two?")
        await other.get_by_role("button", name="Approve").click()
        await said(other, "Approved. Two?")

        await bar.get_by_role("button", name="Reject").click()
        await said(page, "1 of 2 rejected")
        await said(page, "Olga Ruiz has approved this already.")
        await expect(bar).to_be_hidden()
        await expect(page.locator("#needs-count")).to_have_text("1")


async def test_who_is_not_sure_is_looked_at_once_more(home: Home) -> None:
    asked = Asked(home, "Doubts", "One?", "Two?", sure=60)
    async with home.open(asked.list) as page:
        await page.get_by_label("Select: One?").check()
        await page.get_by_label("Select: Two?").click(modifiers=["Shift"])
        bar = page.get_by_role("toolbar", name="Selected questions")
        await bar.get_by_role("button", name="Approve 2").click()

        sure = page.locator("#detail")
        await expect(sure.locator("h2")).to_have_text("Approve 2, of which 2 are under 80?")
        assert asked.statuses() == ["pending", "pending"]
        before = await needs(page)
        for number, question in enumerate(("Three?", "Four?"), 1):  # what comes takes nothing away
            home.ask(asked.agent, asked.board, home.task(asked.board, question), question)
            await expect(page.locator("#rail")).to_have_attribute(
                "data-needs", str(before + number)
            )
        await sure.get_by_role("button", name="Approve 2").click()
        await said(page, "2 approved")
        await page.keyboard.press("z")
        await said(page, "2 taken back")
        assert asked.statuses() == ["pending", "pending"]


async def test_new_questions_wait_beside_the_one_that_is_read(home: Home) -> None:
    asked = Asked(home, "Calm", "First?")
    async with home.open(asked.list) as page:
        await expect(page.locator("#detail h2")).to_have_text("First?")
        await page.get_by_label("Note for Juniper").fill("I am still thinki")

        home.ask(asked.agent, asked.board, home.task(asked.board, "Another"), "Second?")
        await expect(page.get_by_role("link", name="1 new")).to_be_visible()
        await expect(page.locator("#detail h2")).to_have_text("First?")
        await expect(page.get_by_label("Note for Juniper")).to_have_value("I am still thinki")

        await page.locator("#detail h2").focus()
        await page.keyboard.press(".")
        await expect(page.get_by_role("link", name="Second?")).to_be_visible()
        await expect(page.locator("#detail h2")).to_have_text("First?")


async def test_a_question_is_answered_where_its_task_is_read(home: Home) -> None:
    asked = Asked(home, "In the drawer", "Print it?")
    async with home.open(f"/boards/{asked.board['id']}") as page:
        await page.get_by_role("link", name="About Print it?").click()
        drawer = page.locator("#drawer")
        await drawer.get_by_role("button", name="Approve").click()
        await expect(drawer.get_by_text("You approved this")).to_be_visible()
        await drawer.get_by_role("button", name="Undo").click()
        await expect(drawer.get_by_role("button", name="Reject")).to_be_visible()
        assert asked.statuses() == ["pending"]


def test_an_agent_cannot_answer_itself(home: Home) -> None:
    asked = Asked(home, "Itself", "May I?")
    agent: Api = asked.agent
    path = f"/agent/boards/{asked.board['id']}/approvals/{asked.approvals[0]['id']}"
    assert agent.client.patch(path, json={"status": "approved"}).status_code in (404, 405)
    people = path.removeprefix("/agent")
    assert agent.client.patch(people, json={"status": "approved"}).status_code in (401, 403)
    assert asked.statuses() == ["pending"]
