"""Render the PNG icons of the installed app: `python -m tests.support.app_icons` after a change."""

import asyncio
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests.browser.conftest import FLAGS, find_browser

FOLDER = Path(__file__).parents[2] / "static/app-icons"
ICONS = [("app", 192), ("app", 512), ("maskable", 192), ("maskable", 512)]
APPLE_SIZE = 180  # pixels; rounded by the system, so without transparent corners


async def render_icons() -> None:
    """Render all icons from their drawings."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = await browser.new_page()
        for name, size in ICONS:
            await render_icon(page, name, size, f"{name}-{size}.png")
        await render_icon(page, "maskable", APPLE_SIZE, "apple-touch-icon.png")
        await browser.close()


async def render_icon(page: Page, drawing: str, size: int, file: str) -> None:
    """Render a drawing as a square PNG."""
    await page.set_viewport_size({"width": size, "height": size})
    svg = (FOLDER / f"{drawing}.svg").read_text()
    await page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}")
    await page.screenshot(path=FOLDER / file, omit_background=True)


if __name__ == "__main__":
    asyncio.run(render_icons())
