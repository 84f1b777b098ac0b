"""What an agent is told is seen on its page as it goes from hand to hand."""

from playwright.async_api import expect

from tests.browser.home import Home


async def test_what_becomes_of_a_message_is_seen_without_reloading(home: Home) -> None:
    board = home.board("Messages")
    agent = home.agent(board, "Sparrow")
    [me] = home.owner.call("GET", f"/agents?board_id={board['id']}")["items"]
    async with home.open(f"/agents/{me['id']}") as page:
        mail = page.locator("#messages")
        await expect(mail).to_contain_text("None yet.")
        home.task(board, "Count the terns", assigned_agent_id=me["id"])
        row = mail.locator(".letter")
        await expect(row).to_contain_text("Waiting")
        await row.locator("summary").click()
        await expect(row.locator("pre")).to_contain_text("Task: Count the terns")
        [message] = agent.call("GET", "/agent/messages")["items"]
        agent.call("POST", f"/agent/messages/{message['id']}/ack")
        await expect(row).to_contain_text("Acknowledged")
        await expect(row.locator("pre")).to_be_visible()
