"""An agent is created, found, changed, moved and deleted in a browser."""

import asyncio
import re

from playwright.async_api import expect

from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite


async def test_an_agent_is_created_found_changed_and_deleted(site: LiveSite) -> None:
    site.create_board("Nursery")
    second = site.create_board("Orchard")
    async with site.open_page("/agents/new") as page:
        await page.get_by_label("Name", exact=True).fill("Sapling")
        await page.locator("[name=role]").fill("Gardener")
        await page.get_by_label("Board", exact=True).select_option("Nursery")
        await page.get_by_role("radio", name="Lead").check()
        await page.get_by_label("Heartbeat", exact=True).select_option("5m")
        await page.get_by_label("Picture").select_option(":brain:")
        await page.get_by_label("Communication style").fill("Quiet")
        await page.get_by_role("button", name="Add agent").click()
        token = await page.locator(".copy code").first.inner_text()
        with ApiClient(site.installation.url, token) as agent:
            await asyncio.to_thread(agent.call, "POST", "/agent/heartbeat")
        await expect(page.get_by_text("Sapling is connected.")).to_be_visible()

        await page.goto("/agents")
        await page.get_by_label("Filter agents").fill("sapl")
        await page.get_by_label("Filter agents").press("Enter")
        await expect(page.locator("#agents tr[data-item]")).to_have_count(1)
        row = page.get_by_role("row", name="Sapling")
        await expect(row).to_contain_text("Lead")
        await expect(row).to_contain_text("every 5 min")
        await row.get_by_role("link", name="Sapling").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Sapling")
        await expect(page.locator("#content")).to_contain_text("Gardener")

        tabs = page.get_by_label("About Sapling")
        await tabs.get_by_role("link", name="Settings").click()
        await page.get_by_label("Name", exact=True).fill("Tree")
        await page.get_by_label("Heartbeat", exact=True).select_option("30m")
        await page.get_by_label("Board", exact=True).select_option("Orchard")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tree")
        [found] = site.owner.call("GET", f"/agents?board_id={second['id']}")["items"]
        assert (found["name"], found["heartbeat_config"]["every"]) == ("Tree", "30m")

        await page.locator("summary", has_text="Delete agent").click()
        await page.locator("#end").get_by_role("button", name="Delete Tree").click()
        await expect(page).to_have_url(re.compile("/agents$"))
    assert site.owner.call("GET", f"/agents?board_id={second['id']}")["items"] == []
