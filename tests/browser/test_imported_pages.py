"""The pages of an installation whose content was imported from the original."""

import asyncio
import re
from functools import partial
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.cli.conftest import run_cli
from tests.original.conftest import original_template, original_url
from tests.support.installation import LOCAL_AUTH, Installation, find_free_port
from tests.support.live_site import set_up_site
from tests.support.original_import import ISSUER
from tests.support.page_checks import PHONE, list_overflowing
from tests.support.tiers import repetition

__all__ = ["original_template", "original_url"]

IMPORT = ("import-original", "--yes", "--issuer", ISSUER, "--private-gateways", "refuse")
PAGES = ("/boards", "/agents", "/approvals?state=decided", "/gateways", "/activity", "/audit")


@repetition
async def test_the_first_owner_works_on_what_was_imported(
    browser: Browser, original_url: str, tmp_path: Path
) -> None:
    """The steps are stated in tests/original/test_imported_site.py."""
    installation = Installation(tmp_path / "data", find_free_port(), LOCAL_AUTH).start()
    environment = LOCAL_AUTH | {"ORIGINAL_DATABASE_URL": original_url}
    run = partial(run_cli, *IMPORT, data=installation.data_dir, **environment)
    result = await asyncio.to_thread(run)
    assert (result.returncode, result.stderr) == (0, "")
    # Open approvals wait for the owner.
    site = await set_up_site(browser, installation, re.compile("/approvals$"))
    boards = [one for one in site.owner.call("GET", "/boards")["items"] if site.list_tasks(one)]
    async with site.open_page(f"/boards/{boards[0]['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        await page.locator("#board-view [data-item] h3 a").first.click()
        await expect(page.locator(".drawer__body")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("n")
        await page.get_by_role("textbox", name="Title").fill("Continue here")
        await page.keyboard.press("Enter")
        await expect(page.locator("#column-inbox")).to_contain_text("Continue here")
        for address in PAGES:
            await page.goto(f"{installation.url}{address}")
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert not await list_overflowing(page), address
    async with site.open_page("/boards", viewport=PHONE) as page:
        for address in PAGES:
            await page.goto(f"{installation.url}{address}")
            assert not await list_overflowing(page), address
    site.close()
    installation.stop()
