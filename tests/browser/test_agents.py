"""An agent is created, found, changed, moved and deleted in a browser."""

import asyncio
import re

from playwright.async_api import expect

from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    choose,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition


@repetition
async def test_an_agent_is_created_found_changed_and_deleted(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_agents.py and tests/web/test_without_scripts.py."""
    site.create_board("Nursery")
    second = site.create_board("Orchard")
    async with site.open_page("/agents/new?client=program") as page:
        await page.get_by_label("Name", exact=True).fill("Sapling")
        await page.locator("[name=role]").fill("Gardener")
        await choose(page.locator("#field-board_id"), "Nursery")
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
        await page.get_by_label("Search agents").fill("sapl")
        await page.get_by_label("Search agents").press("Enter")
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
        await choose(page.locator("#field-board_id"), "Orchard")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tree")
        [found] = site.owner.call("GET", f"/agents?board_id={second['id']}")["items"]
        assert (found["name"], found["heartbeat_config"]["every"]) == ("Tree", "30m")

        await page.locator("summary", has_text="Delete agent").click()
        await page.locator("#end").get_by_role("button", name="Delete Tree").click()
        await expect(page).to_have_url(re.compile("/agents$"))
    assert site.owner.call("GET", f"/agents?board_id={second['id']}")["items"] == []


@repetition
async def test_a_new_agent_is_shown_as_connected_at_once(site: LiveSite) -> None:
    """See tests/web/test_agent_first_calls.py and tests/web/test_stale_parts.py."""
    site.create_board("Seedbed")
    async with site.open_page("/agents/new?client=program") as page:
        await page.get_by_label("Name", exact=True).fill("Seedling")
        await choose(page.locator("#field-board_id"), "Seedbed")
        await page.get_by_role("button", name="Add agent").click()
        token = await page.locator(".copy code").first.inner_text()
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        with ApiClient(site.installation.url, token) as agent:
            await asyncio.to_thread(agent.call, "POST", "/agent/heartbeat")
        await expect(page.get_by_text("Seedling is connected.")).to_be_visible()


@repetition
async def test_the_forms_show_what_they_change_on_a_gateway(site: LiveSite) -> None:
    """The gateway is away, and is not needed.

    The steps are stated in tests/web/test_agent_config_previews.py.
    """
    gateway = await asyncio.to_thread(site.create_gateway, "Slip", "ws://127.0.0.1:9")
    board = site.create_board("Slipway", gateway_id=gateway["id"])
    change = "Change in the configuration of the gateway"
    async with site.open_page(f"/agents/new?client=gateway&board={board['id']}") as page:
        section = page.get_by_role("region", name=change)
        await expect(page.locator("[name=board_id]")).to_have_value(board["id"])
        await expect(section).to_be_hidden()
        name = page.get_by_label("Name", exact=True)
        await name.fill("Wren")
        await name.press("Tab")
        await expect(section.locator("ins").first).to_have_text('"mc-…": {')
        await expect(page.locator("[name=role]")).to_be_focused()
        await expect(page.get_by_role("button", name="Show the change")).to_be_hidden()
        await name.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Wren")

        await page.get_by_role("link", name="Settings", exact=True).last.click()
        await expect(section).to_have_text(re.compile("stays as it is"))
        await page.get_by_label("Communication style").fill("Brief")
        await name.fill("Robin")
        await name.press("Tab")
        await expect(section.locator("ins").first).to_contain_text('"name": "Robin"')
        await expect(section.locator("del").first).to_contain_text('"name": "Wren"')
        await expect(page.locator("[name=role]")).to_be_focused()
        await expect(page.get_by_label("Communication style")).to_have_value("Brief")
        for size in (WIDE, PHONE):
            await page.set_viewport_size(size)
            assert await list_axe_violations(page) == []
            assert not await list_overflowing(page)
        await name.fill(" ")
        await name.press("Tab")
        await expect(section).to_be_hidden()
        await expect(page.locator(".err, [data-toast]")).to_have_count(0)
