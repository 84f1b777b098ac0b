"""From a payload of a code host to a link on a card, and a template with its preview."""

import asyncio
import hashlib
import hmac
import json
import re
from typing import Any

from playwright.async_api import expect

from tests.support import forge_payloads as payloads
from tests.support.live_site import LiveSite
from tests.support.tiers import repetition

SECRET = "the secret of this webhook"


def send(site: LiveSite, webhook: dict[str, Any], payload: Any, event: str = "") -> None:
    body = json.dumps(payload).encode()
    digest = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    headers = {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}
    headers |= {"X-GitHub-Event": event} if event else {}
    path = webhook["endpoint_path"].removeprefix("/api/v1")
    answer = site.owner.client.post(path, content=body, headers=headers)
    assert answer.status_code == 202


@repetition
async def test_a_pull_request_appears_on_an_open_board(site: LiveSite, board) -> None:
    """See tests/services/test_forge_reports.py; other new cards are in test_board_cards.py."""
    path = f"/boards/{board['id']}"
    body: dict[str, Any] = {"description": "Code", "secret": SECRET, "action": "forge"}
    webhook = site.owner.call("POST", f"{path}/webhooks", **body)
    async with site.open_page(path) as page:
        send(site, webhook, payloads.github_issue(), "issues")
        card = page.locator(".card", has_text="The page is blank")
        await expect(card).to_be_visible()
        send(site, webhook, payloads.github_change(body="Fixes #7"), "pull_request")
        link = card.get_by_role("link", name="#12")
        await expect(link).to_have_attribute("href", f"{payloads.GITHUB_URL}/pull/12")
        await expect(card).to_contain_text("Open")
        await card.get_by_role("link", name="The page is blank").click()
        drawer = page.locator("#drawer")
        await expect(drawer.locator("#task-links")).to_contain_text("Show the page")
        check = payloads.github_check_run("failure", branch="fix-page")
        send(site, webhook, check, "check_run")
        await expect(card).to_contain_text("Checks fail")
        await expect(drawer.locator("#task-links")).to_contain_text("Checks fail")
        await expect(drawer).to_contain_text("The check “test” fails")


async def test_leaving_a_template_that_was_only_tried_is_warned_about(
    site: LiveSite, board
) -> None:
    path = f"/boards/{board['id']}/webhooks"
    webhook = site.owner.call("POST", path, description="Tried", secret=SECRET)
    send(site, webhook, {"alert": {"name": "Disk"}})
    async with site.open_page(f"{path}/{webhook['id']}/action") as page:
        await page.get_by_role("radio", name="Create a task").check()
        await page.get_by_role("textbox", name="Title").fill("Alert: {{ alert.name }}")
        await page.get_by_role("button", name="Preview").click()
        await expect(page.locator("#preview")).to_contain_text("Alert: Disk")
        async with page.expect_event("dialog") as leaving:
            page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.dismiss()))
            await page.get_by_role("link", name="Payloads").click()
        assert (await leaving.value).type == "beforeunload"
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", name="Payloads")).to_be_visible()


@repetition
async def test_a_template_is_tried_on_a_payload_before_it_is_saved(site: LiveSite, board) -> None:
    """The steps are stated in tests/web/test_webhook_actions.py."""
    path = f"/boards/{board['id']}/webhooks"
    body: dict[str, Any] = {"description": "Alerts", "secret": SECRET}
    webhook = site.owner.call("POST", path, **body)
    send(site, webhook, {"alert": {"name": "Disk"}})
    async with site.open_page(f"{path}/{webhook['id']}") as page:
        await page.get_by_role("link", name="Action", exact=True).click()
        await page.get_by_role("radio", name="Create a task").check()
        await page.get_by_role("textbox", name="Title").fill(
            "Alert: {{ alert.name }} {{ alert.host }}"
        )
        await page.get_by_role("button", name="Preview").click()
        preview = page.locator("#preview")
        await expect(preview).to_contain_text("Alert: Disk")
        await expect(preview).to_contain_text("The payload has no value at alert.host.")
        await page.get_by_role("button", name="Save").click()
        await expect(page).to_have_url(re.compile(f"{path}/{webhook['id']}$"))
    send(site, webhook, {"alert": {"name": "Disk", "host": "db"}})
    assert set(site.list_tasks(board)) == {"Alert: Disk db"}
