"""A browser accepts the manifest, and the app shows how many decisions wait."""

import re

from playwright.async_api import expect

from tests.support.live_site import LiveSite

RECORD_BADGES = "navigator.setAppBadge = async (count) => { window.badge = count; }"
SHOWN_COLOUR = """() => [...document.querySelectorAll("meta[name='theme-color']")]
    .filter((meta) => matchMedia(meta.media).matches).map((meta) => meta.content)"""


async def test_the_browser_would_install_the_app(site: LiveSite) -> None:
    async with site.open_page("/boards") as page:
        session = await page.context.new_cdp_session(page)
        manifest = await session.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert "app.webmanifest" in manifest["url"]
        found = await session.send("Page.getInstallabilityErrors")
        faults = {one["errorId"] for one in found["installabilityErrors"]}
        assert faults <= {"in-incognito"}  # as every context of a test


async def test_the_app_has_the_colour_of_the_theme(site: LiveSite) -> None:
    async with site.open_page("/settings", color_scheme="light") as page:
        [light] = await page.evaluate(SHOWN_COLOUR)
        await page.emulate_media(color_scheme="dark")
        [dark] = await page.evaluate(SHOWN_COLOUR)
        assert light != dark
        await page.evaluate("localStorage.setItem('theme', 'light')")
        await page.reload()
        assert await page.evaluate(SHOWN_COLOUR) == [light]


async def test_the_app_shows_the_waiting_decisions_as_soon_as_it_opens(site: LiveSite) -> None:
    board = site.create_board("Badges")
    task = site.create_task(board, "Publish")
    site.request_approval(site.create_agent(board), board, task, "May I?")
    page = await site.new_tab()
    await page.add_init_script(RECORD_BADGES)
    await page.goto("/dashboard")
    count = await page.locator("#rail").get_attribute("data-needs")
    await page.wait_for_function("count => window.badge === Number(count)", arg=count)
    await expect(page).to_have_title(re.compile(rf"^\({count}\) "))
    await page.context.close()
