"""Take pictures of all pages, or of those with the given names, into .screenshots:

    PYTHONPATH=. .venv/bin/python -P -m tests.support.screenshots [NAME …]

This starts the demo in a temporary folder with a seed, adds what the demo does not have, and opens
every page in the light theme, in the dark theme and on a phone. The pictures that the documentation
shows, those in docs/screenshots, are replaced too.
"""

import asyncio
import base64
import sys
import tempfile
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from tests.browser.conftest import FLAGS, find_browser
from tests.support.installation import LOCAL_AUTH, ROOT, Installation, find_free_port
from tests.support.live_site import LiveSite, set_up_site
from tests.support.page_checks import PHONE, WIDE, new_context
from tests.support.screenshot_pages import FIRST_RUN, PICTURES, PictureOf
from tests.support.screenshot_site import DEMO, DEMO_SECONDS, fill_demo

FOLDER = ROOT / ".screenshots"  # ignored by git
SHOWN_FOLDER = ROOT / "docs/screenshots"
PRIVATE = {"GATEWAY_PRIVATE_FOR_ALL": "true"}  # the gateways run on this machine
QUALITY = 20  # of WebP, 0 to 100: texts stay readable
SETTLE_MS = 400  # for parts that load later, and the live connection
VARIANTS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True},
}
"""The options of the browser for each picture of a page."""


@dataclass
class Camera:
    """Opens pages of an installation, and takes their pictures."""

    browser: Browser
    installation: Installation
    storage_state: Any = None  # cookies of the owner, once there is one

    contexts: dict[Any, BrowserContext] = field(default_factory=dict)  # each has a cache

    async def take(self, picture: PictureOf, ids: dict[str, str]) -> None:
        """Take the pictures of a page; print if this version has no such page."""
        for variant in VARIANTS:
            page = await (await self._open_context(picture, variant)).new_page()
            try:
                await self._take_one(page, picture, picture.address.format(**ids), variant)
            except (Error, KeyError) as error:
                print(
                    f"    {picture.name}, {variant}: left out: {str(error).splitlines()[0]}",
                    flush=True,
                )
            await page.close()

    async def _take_one(self, page: Page, picture: PictureOf, address: str, variant: str) -> None:
        response = await page.goto(address)
        if response and response.status >= 400 and not picture.is_error:
            raise Error(f"The status is {response.status}.")
        await page.wait_for_timeout(SETTLE_MS)
        if picture.prepare:
            await picture.prepare(page)
            await page.wait_for_timeout(SETTLE_MS)
        taken = await _capture(page)
        name = f"{picture.name}-{variant}.webp"
        for file in (FOLDER / name, SHOWN_FOLDER / name):
            if file.parent == FOLDER or file.exists():
                await asyncio.to_thread(file.write_bytes, taken)

    async def _open_context(self, picture: PictureOf, variant: str) -> BrowserContext:
        key = variant, picture.is_public, picture.has_scripts
        if key not in self.contexts:
            options = VARIANTS[variant] | {"java_script_enabled": picture.has_scripts}
            if not picture.is_public:
                options["storage_state"] = self.storage_state
            self.contexts[key] = await new_context(self.browser, self.installation, **options)
        return self.contexts[key]


async def _capture(page: Page) -> bytes:
    session = await page.context.new_cdp_session(page)
    options = {"format": "webp", "quality": QUALITY}
    taken = await session.send("Page.captureScreenshot", options)
    return base64.b64decode(taken["data"])


@asynccontextmanager
async def open_demo(camera: Camera) -> AsyncGenerator[LiveSite]:
    """Let the agents of the demo work for a while, and open the site when they have stopped."""
    installation = camera.installation
    installation.words = DEMO
    await camera.take(replace(FIRST_RUN, address=installation.start().link), {})
    site = await set_up_site(camera.browser, installation)
    await asyncio.sleep(DEMO_SECONDS)
    installation.stop()
    installation.words = ()
    installation.start()
    camera.storage_state = site.storage_state
    try:
        yield site
    finally:
        site.close()


async def take_pictures(names: Collection[str]) -> None:
    """Take the pictures with these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        environment = LOCAL_AUTH | {"APP_ENV": "development"} | PRIVATE
        installation = Installation(Path(folder) / "data", find_free_port(), environment)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            camera = Camera(browser, installation)
            try:
                async with open_demo(camera) as site, fill_demo(site) as ids:
                    for picture in PICTURES:
                        if not names or picture.name in names:
                            await camera.take(picture, ids)
            finally:
                await browser.close()
                installation.stop()


if __name__ == "__main__":
    asyncio.run(take_pictures(sys.argv[1:]))
