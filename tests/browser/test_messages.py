"""The page of an agent shows the delivery of its messages."""

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition


@repetition
async def test_the_delivery_state_of_a_message_updates_by_itself(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_agent_messages.py.

    Also in tests/web/test_stale_parts.py.
    """
    board = site.create_board("Messages")
    agent = site.create_agent(board, "Sparrow")
    [me] = site.owner.call("GET", f"/agents?board_id={board['id']}")["items"]
    async with site.open_page(f"/agents/{me['id']}/messages") as page:
        mail = page.locator("#messages")
        await expect(mail).to_contain_text("No messages yet.")
        site.create_task(board, "Count the terns", assigned_agent_id=me["id"])
        row = mail.locator(".letter")
        await expect(row).to_contain_text("Waiting")
        await row.locator("summary").click()
        await expect(row.locator("pre")).to_contain_text("Task: Count the terns")
        [message] = agent.call("GET", "/agent/messages")["items"]
        agent.call("POST", f"/agent/messages/{message['id']}/ack")
        await expect(row).to_contain_text("Acknowledged")
        await expect(row.locator("pre")).to_be_visible()
