"""Pending onboardings appear in the inbox and disappear from it without a reload."""

import asyncio
import re
from typing import Any

from playwright.async_api import expect

from tests.browser.test_approvals import ApprovalScenario, expect_toast, press_decision_key
from tests.browser.test_inbox_keys import expect_open
from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.live_site import LiveSite, headline
from tests.support.onboarding_stages import answer_question, post_agent_message
from tests.support.page_checks import PHONE, in_sizes, list_axe_violations
from tests.support.tiers import repetition


@repetition
async def test_an_onboarding_question_appears_and_disappears_in_the_inbox(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_onboarding_banner.py.

    Also in tests/web/test_stale_parts.py.
    """
    async with run_fake_agents_gateway() as workshop:
        entered = await asyncio.to_thread(
            site.create_gateway, "quay-1", workshop.url, workshop.token
        )
        asker = await site.connect_gateway_agent(workshop, f"mc-gateway-{entered['id']}")
        board = site.create_board("Quay", gateway_id=entered["id"])
        site.owner.call("POST", f"/boards/{board['id']}/onboarding/start")
        async with site.open_page(f"/boards/{board['id']}") as page:
            await page.goto(f"/approvals?board={board['id']}")  # the board is a recent one now
            lamp = page.locator(f"#rail-board-{board['id']} .lamp")
            item = page.get_by_role("listitem").filter(has_text="Setting up Quay")
            await expect(page.locator(".live[data-state=live]").first).to_be_visible()
            post_agent_message(asker, board, question="What comes in here?")
            await expect(lamp).to_have_attribute("data-n", "1")
            await expect(item).to_contain_text("What comes in here?")
            await expect(page.get_by_role("link", name="Answer", exact=True)).to_be_visible()
            assert await list_axe_violations(page, with_layout=True) == []

            answer_question(site, board, "Ships")
            await expect(lamp).to_be_hidden()
            await expect(item).to_be_hidden()
            await expect(page.locator("#needs-count")).to_have_text("0")


@repetition
async def test_an_answer_that_is_not_sent_stays_when_the_inbox_changes(site: LiveSite) -> None:
    """Notes stay in the same way: test_new_approvals_do_not_replace_the_open_one."""
    board = site.create_board("Answers")
    agent = site.create_agent(board)
    path = f"/boards/{board['id']}"
    site.owner.call("PATCH", path, workers_may_ask_people=True)
    for content in ("Which colour?", "Which brush?"):
        agent.call("POST", f"/agent{path}/gateway/main/ask-user", content=content)
    found = site.owner.call("GET", f"/questions?board_id={board['id']}")["items"]
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        box = page.locator("#detail textarea[name=answer]")
        await box.fill("The red one, I")
        shown = await box.get_attribute("id")
        [other] = [one["id"] for one in found if shown != f"answer-{one['id']}"]
        site.owner.call("POST", f"/questions/{other}/answer", answer="Yes")
        await expect(page.locator(f"#question-{other}")).to_be_hidden()
        await expect(box).to_have_value("The red one, I")
        [own] = [one["id"] for one in found if one["id"] != other]
        site.owner.call("POST", f"/questions/{own}/answer", answer="No")
        await expect(box).to_be_hidden()


@repetition
async def test_an_answer_that_the_server_has_not_accepted_stays_as_a_draft(site: LiveSite) -> None:
    """The next test has the drafts of notes, which are stored in the same way."""
    board = site.create_board("Drafts")
    agent = site.create_agent(board)
    path = f"/boards/{board['id']}"
    site.owner.call("PATCH", path, workers_may_ask_people=True)
    agent.call("POST", f"/agent{path}/gateway/main/ask-user", content="Which colour?")
    [asked] = site.owner.call("GET", f"/questions?board_id={board['id']}")["items"]
    async with site.open_page(f"/questions/{asked['id']}") as page:
        box = page.locator("textarea[name=answer]")
        button = page.get_by_role("button", name="Send answer")
        await box.fill("The red one")
        await page.route("**/answers", lambda route: route.fulfill(status=503, body="Not now"))
        await button.click()
        await expect(page.get_by_text("Not now")).to_be_visible()
        await page.goto(f"/questions/{asked['id']}")
        await expect(box).to_have_value("The red one")
        await page.unroute("**/answers")
        await button.click()
        await expect(page.get_by_text("The red one")).to_be_visible()
        stored = await page.evaluate("Object.keys(localStorage)")
        assert [name for name in stored if name.startswith("draft:")] == []


async def test_the_texts_about_an_item_stay_when_another_one_is_opened(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Noted", "One?", "Two?")
    one, two = scenario.approvals
    stored = "Object.entries(localStorage).filter(([key]) => key.startsWith('draft:'))"
    async with site.open_page(scenario.list) as page:

        async def open_item(approval: dict[str, Any]) -> None:
            await page.locator(f"#approval-{approval['id']} h3 a").click()
            await expect_open(page, approval)

        await open_item(one)
        note = page.locator(f"#note-{one['id']}")
        too_long = "After lunch" + "!" * 10_000
        await note.fill(too_long)
        # Its buttons work only after half a second.
        await page.locator(f"#answer-{one['id']}").evaluate("form => form.requestSubmit()")
        await expect(page.locator("#note-error")).to_be_visible()
        await page.locator("details > summary[data-key=q]").click()
        question = page.locator("textarea[name=question]")
        await question.fill("Which lunch?")
        await open_item(two)
        await expect(page.locator(f"#note-{two['id']}")).to_have_value("")
        await open_item(one)
        await expect(note).to_have_value(too_long)
        await expect(question).to_have_value("Which lunch?")
        await note.fill("After lunch")
        await page.locator("details > summary[data-key=q]").click()
        await page.get_by_role("button", name="Ask", exact=True).click()
        await expect(question).to_have_value("")
        await expect_toast(page, "Question posted on the task.")
        await expect(note).to_have_value("After lunch")

        await page.locator("#detail h2").focus()
        await press_decision_key(page, "r")
        await expect_toast(page, f"Rejected. {headline('One?')}")
        assert await page.evaluate(stored) == []
        await page.keyboard.press("z")
        await expect_open(page, one)
        await expect(note).to_have_value("After lunch")
        await note.fill("After dinner")
        await open_item(two)
        await open_item(one)
        await expect(note).to_have_value("After dinner")


@repetition
async def test_approvals_are_filtered_decided_and_found_again(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_approval_inbox.py and tests/web/test_board_page.py."""
    board = site.create_board("Customs")
    agent = site.create_agent(board, "Clerk")
    fields: dict[str, Any] = {
        "action_type": "task.complete",
        "rubric_scores": {"Clarity": 80, "risk": 20},
    }
    for title, sure in (("Stamp it", 95), ("Seal it", 40)):
        task = site.create_task(board, title)
        payload = {"reason": f"Because of {title}."}
        more: dict[str, Any] = {"task_id": task["id"], "confidence": sure, "payload": payload}
        agent.call("POST", f"/agent/boards/{board['id']}/approvals", **fields, **more)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        items = page.locator("#inbox [data-item]")
        await expect(items).to_have_count(2)
        await page.locator("summary", has_text="Any confidence").locator("visible=true").click()
        await page.get_by_role("link", name="80 or more").locator("visible=true").click()
        await expect(page).to_have_url(re.compile("min=80"))
        await expect(items).to_have_count(1)
        await items.get_by_role("link").first.click()
        detail = page.get_by_role("article")
        for text in ("Because of Stamp it.", "Clarity", "95"):
            await expect(detail).to_contain_text(text)
        await expect(detail.get_by_role("link", name="Stamp it").first).to_be_visible()
        await page.get_by_role("button", name="Reject R").click()
        await expect(page.locator("#toasts")).to_contain_text("Rejected")
        await page.get_by_role("navigation", name="State").get_by_text("Decided").click()
        await expect(items).to_have_count(1)
        await expect(items).to_contain_text("Stamp it")
        await page.goto("/")
        await expect(page).to_have_url(re.compile("/approvals$"))


@repetition
@in_sizes(PHONE, {"width": 900, "height": 700})
async def test_a_toast_covers_nothing_of_the_form_of_a_decision(
    site: LiveSite, size: dict[str, int]
) -> None:
    """As in tests/browser/test_phone.py, beside a comment."""
    board = site.create_board("Locks")
    agent = site.create_agent(board, "Keeper")
    asked = [
        site.request_approval(agent, board, site.create_task(board, title), f"Is {title} open?")
        for title in ("Lock 1", "Lock 2")
    ]
    async with site.open_page(f"/approvals/{asked[0]['id']}", viewport=size) as page:
        await page.get_by_role("button", name=re.compile("^Approve( A| \\()")).click()
        toast, form = page.locator("#toasts [data-toast]"), page.locator(".decide")
        await expect(toast).to_contain_text("Approved")
        await expect(form.get_by_role("textbox").first).to_be_visible()
        above, below = await toast.bounding_box(), await form.bounding_box()
        assert above
        assert below
        assert above["y"] >= 0
        assert above["y"] + above["height"] <= below["y"]


@repetition
async def test_an_error_of_the_network_can_be_dismissed(site: LiveSite) -> None:
    """The steps are stated in tests/browser/test_live.py."""
    board = site.create_board("Cut off")
    site.create_task(board, "Paint")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="Paint").click()
        await page.locator("#task-actions > summary").click()
        await page.route("**/deletions*", lambda route: route.abort())
        await page.get_by_role("button", name="Delete task").click()
        toast = page.get_by_role("alert").filter(has_text="Not sent: the server does not answer.")
        await expect(toast).to_be_visible()
        assert await list_axe_violations(page) == []
        await toast.get_by_role("button", name="Dismiss").click()
        await expect(toast).to_be_hidden()


async def test_there_is_no_heading_above_no_decisions(site: LiveSite) -> None:
    site.create_board("Quiet")
    async with site.open_page("/approvals") as page:
        await expect(page.get_by_role("heading", name="Needs you")).to_be_visible()
        rows = page.locator("#decided-rows > li")
        heading = page.get_by_role("heading", name="Decided today")
        await expect(heading).to_have_count(1 if await rows.count() else 0)
