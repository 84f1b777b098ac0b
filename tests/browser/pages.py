"""Windows of a real browser, and how one looks at what they show."""

from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.installation import Installation

AXE = (Path(__file__).parent.parent / "vendor/axe-4.14.1.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}


async def new_context(
    browser: Browser, installation: Installation, **options: Any
) -> BrowserContext:
    options = {"viewport": WIDE, "base_url": installation.url, "reduced_motion": "reduce"} | options
    context = await browser.new_context(**options)
    context.set_default_timeout(15_000)
    return context


async def faults_of(page: Page, *rules: str) -> list[str]:
    """Return what axe finds wrong with the page as it stands: by all rules, or by these."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    by = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": RULES}
    options = {"runOnly": by, "resultTypes": ["violations"]}
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{fault['id']}: {fault['help']} {node['target']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


async def scrolls_sideways(page: Page) -> bool:
    return await page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
