"""Webhooks of a board in a browser."""

import httpx2
from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import choose
from tests.support.tiers import repetition


@repetition
async def test_a_webhook_is_created_and_its_payloads_appear_live(site: LiveSite, board) -> None:
    """See test_board_webhooks.py and test_board_webhook_payloads.py in tests/web."""
    site.create_agent(board, "Wren")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.locator("#board-pages > summary").click()
        await page.get_by_role("link", name="Webhooks").click()
        await page.get_by_role("link", name="New incoming webhook").first.click()
        instruction = page.get_by_role("textbox", name="Instruction")
        await instruction.fill("Create a task for each failed build.")
        await choose(page.locator("#field-agent_id"), "Wren")
        await page.get_by_role("button", name="Create webhook").click()

        copies = page.locator("main [data-copy]")
        secret, url = [await copies.nth(n).get_attribute("data-copy") for n in range(2)]
        assert secret
        assert url
        await expect(page.get_by_text("This secret is shown once.")).to_be_visible()
        await expect(page.get_by_text("No payloads yet.")).to_be_visible()
        headers = {"X-Gitlab-Token": secret, "X-Gitlab-Event": "Pipeline Hook"}
        sent = httpx2.post(url, headers=headers, json={"status": "failed"}, timeout=20)
        assert sent.status_code == 202

        row = page.get_by_role("row", name="Pipeline Hook")
        await expect(row).to_contain_text("Wren")
        await row.get_by_role("link").click()
        await expect(page.get_by_role("group", name="Content")).to_have_text(
            '{\n  "status": "failed"\n}'
        )
        await page.get_by_role("button", name="Send again to the agent").click()
        await page.get_by_role("link", name="Wren").click()
        messages = page.locator("#messages .letter")
        await expect(messages).to_have_count(2)
        await expect(messages.first).to_contain_text("Webhook event received")
