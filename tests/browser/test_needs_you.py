"""What waits where boards are set up comes into "Needs you" by itself, and goes by itself."""

import asyncio

from playwright.async_api import expect

from tests.browser.home import Home
from tests.browser.onboardings import answer, say
from tests.browser.pages import faults_of
from tests.openclaw.workshop import working


async def test_a_question_about_a_board_comes_and_goes_in_needs_you(home: Home) -> None:
    async with working() as workshop:
        entered = await asyncio.to_thread(home.gateway, "quay-1", workshop.url, workshop.token)
        asker = await home.agent_on(workshop, f"mc-gateway-{entered['id']}")
        board = home.board("Quay", gateway_id=entered["id"])
        home.owner.call("POST", f"/boards/{board['id']}/onboarding/start")
        async with home.open(f"/approvals?board={board['id']}") as page:
            lamp = page.locator(f"#rail-board-{board['id']} .lamp")
            asked = page.get_by_role("listitem").filter(has_text="Setting up Quay")
            await expect(page.locator(".live[data-state=live]").first).to_be_visible()
            say(asker, board, question="What comes in here?")
            await expect(lamp).to_have_attribute("data-n", "1")
            await expect(asked).to_contain_text("What comes in here?")
            await expect(page.get_by_role("link", name="Answer", exact=True)).to_be_visible()
            assert await faults_of(page) == []

            answer(home, board, "Ships")
            await expect(lamp).to_be_hidden()
            await expect(asked).to_be_hidden()
            await expect(page.locator("#needs-count")).to_have_text("0")
