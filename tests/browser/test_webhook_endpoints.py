"""Outgoing webhooks in a browser: created, tried, repaired and sent again."""

import json

from playwright.async_api import expect
from standardwebhooks import Webhook

from tests.support.http_host import HostPage, run_http_host
from tests.support.live_site import LiveSite
from tests.support.tiers import repetition
from tests.support.webhook_receiver import parse_headers


@repetition
async def test_a_webhook_is_created_tried_and_repaired(site: LiveSite, board) -> None:
    """The steps are stated in tests/web/test_webhook_endpoints.py."""
    async with run_http_host() as host, site.open_page("/webhooks") as page:
        host.pages["/hook"] = HostPage(b"broken", status=500)
        await page.get_by_role("link", name="New outgoing webhook").first.click()
        await page.get_by_label("Address").fill(f"{host.address}/hook")
        await page.get_by_label("Description").fill("Harbour statistics")
        await page.get_by_label("task.created").check()
        await page.get_by_role("button", name="Create webhook").click()
        await expect(page.get_by_text("This secret is shown once.")).to_be_visible()
        secret = await page.locator(".copy code").inner_text()

        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_role("heading", name="webhook.test")).to_be_visible()
        await expect(page.get_by_text("status 500")).to_be_visible()  # without a reload
        await expect(page.get_by_text("broken")).to_be_visible()

        host.pages["/hook"] = HostPage(status=204)
        await page.get_by_role("button", name="Send again").click()
        await expect(page.get_by_text("The receiver has accepted it.")).to_be_visible()

        task = site.create_task(board, "Repair the lamp")
        await page.get_by_role("link", name="Harbour statistics").click()
        await expect(page.get_by_role("link", name="task.created")).to_be_visible()
        await page.get_by_role("link", name="task.created").click()
        await expect(page.get_by_text("The receiver has accepted it.")).to_be_visible()
        await expect(page.get_by_text(task["id"])).to_be_visible()
    head, body = host.received[-1]
    verified = Webhook(secret).verify(body, parse_headers(head))
    assert verified == json.loads(body)
    assert verified["data"]["task_id"] == task["id"]
