"""Editing a file of an agent in a browser, while the agent changes it."""

import asyncio
import re

from playwright.async_api import expect

from tests.support.fake_agents_gateway import run_fake_agents_gateway
from tests.support.live_site import LiveSite
from tests.support.page_checks import list_axe_violations, list_overflowing
from tests.support.tiers import repetition


@repetition
async def test_a_person_and_the_agent_edit_the_same_file(site: LiveSite) -> None:
    """Each step is stated in tests/web/test_agent_file_edits.py."""
    async with run_fake_agents_gateway() as fake:
        gateway = await asyncio.to_thread(site.create_gateway, "Berth", fake.url, fake.token)
        board = site.create_board("Berths", gateway_id=gateway["id"])
        made = site.owner.call("POST", "/agents", name="Wren", board_id=board["id"])
        await site.connect_gateway_agent(fake, f"mc-{made['id']}")
        files = fake.files[f"mc-{made['id']}"]
        files["SOUL.md"] = "Be kind.\nBe brief.\n"
        async with site.open_page(f"/agents/{made['id']}") as page:
            await page.get_by_role("link", name=re.compile("^Files")).click()
            await page.get_by_role("link", name="SOUL.md").click()
            await expect(page.locator("#file")).to_contain_text("Be brief.")
            await page.get_by_role("link", name="Edit", exact=True).click()
            editor = page.get_by_label("Content")
            await expect(editor).to_have_value("Be kind.\nBe brief.\n")
            await editor.fill("Be kind.\nBe exact.\n")
            files["SOUL.md"] = "Be bold.\nBe brief.\n"
            await page.get_by_role("button", name="Review changes").click()
            beside = page.get_by_role("group", name="Lines that differ")
            await expect(beside.locator("del").first).to_have_text("Be bold.")
            await expect(beside.locator("ins").last).to_have_text("Be exact.")
            assert await list_axe_violations(page) == []
            await page.set_viewport_size({"width": 360, "height": 800})
            assert not await list_overflowing(page)
            await page.get_by_label("Merged text").fill("Be bold.\nBe exact.\n")
            await page.get_by_role("button", name="Review changes").click()
            await expect(page.locator(".diff ins")).to_have_text("Be exact.")
            await page.get_by_role("button", name="Save").click()
            await expect(page.get_by_text("Saved ")).to_be_visible()
            assert files["SOUL.md"] == "Be bold.\nBe exact.\n"
            await page.get_by_role("link", name="History").click()
            await expect(page.locator("ol.panel > li")).to_have_count(3)
            assert not await list_overflowing(page)
