"""Pending onboardings appear in the inbox and disappear from it without a reload."""

import asyncio

from playwright.async_api import expect

from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.live_site import LiveSite
from tests.support.onboarding_stages import answer_question, post_agent_message
from tests.support.page_checks import list_axe_violations


async def test_an_onboarding_question_appears_and_disappears_in_the_inbox(site: LiveSite) -> None:
    async with run_fake_agents_gateway() as workshop:
        entered = await asyncio.to_thread(
            site.create_gateway, "quay-1", workshop.url, workshop.token
        )
        asker = await site.connect_gateway_agent(workshop, f"mc-gateway-{entered['id']}")
        board = site.create_board("Quay", gateway_id=entered["id"])
        site.owner.call("POST", f"/boards/{board['id']}/onboarding/start")
        async with site.open_page(f"/approvals?board={board['id']}") as page:
            lamp = page.locator(f"#rail-board-{board['id']} .lamp")
            item = page.get_by_role("listitem").filter(has_text="Setting up Quay")
            await expect(page.locator(".live[data-state=live]").first).to_be_visible()
            post_agent_message(asker, board, question="What comes in here?")
            await expect(lamp).to_have_attribute("data-n", "1")
            await expect(item).to_contain_text("What comes in here?")
            await expect(page.get_by_role("link", name="Answer", exact=True)).to_be_visible()
            assert await list_axe_violations(page) == []

            answer_question(site, board, "Ships")
            await expect(lamp).to_be_hidden()
            await expect(item).to_be_hidden()
            await expect(page.locator("#needs-count")).to_have_text("0")


async def test_an_answer_that_is_not_sent_stays_when_the_inbox_changes(site: LiveSite) -> None:
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
