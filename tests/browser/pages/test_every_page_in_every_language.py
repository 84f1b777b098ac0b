"""Every page in German and Chinese, in windows from a phone to a large screen.

A theme changes only colours, so the texts fit in the other one too; test_every_page.py checks the
colours of each theme in each size.
"""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, ViewportSize

from tests.support.full_site import FullSite
from tests.support.page_addresses import PAGES
from tests.support.page_checks import (
    PHONE,
    TABLET,
    WIDE,
    list_cut_buttons,
    list_overflowing,
)
from tests.support.tiers import repetition
from web.ui.locale_middleware import LANGUAGE_COOKIE

SMALL: ViewportSize = {"width": 1024, "height": 768}
NARROW: ViewportSize = {"width": 1280, "height": 800}


@pytest.fixture(scope="module", params=["de", "zh-Hans"])
async def translated(request: pytest.FixtureRequest, world: FullSite) -> AsyncIterator[Page]:
    """Open a window in a language."""
    page = await world.site.new_tab()
    cookie = {
        "name": LANGUAGE_COOKIE,
        "value": request.param,
        "url": world.site.installation.url,
    }
    await page.context.add_cookies([cookie])  # ty: ignore[invalid-argument-type]
    yield page
    await page.context.close()


@repetition
@pytest.mark.parametrize("address", [one for some in PAGES.values() for one in some])
async def test_a_page_fits_into_every_window(
    world: FullSite, translated: Page, address: str
) -> None:
    await translated.goto(address.format(**world.ids))
    for size in (WIDE, NARROW, SMALL, TABLET, PHONE):
        await translated.set_viewport_size(size)
        assert not await list_overflowing(translated), size
        assert await list_cut_buttons(translated) == [], size
