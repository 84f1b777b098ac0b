"""Every page without scripts, on a phone, and in a language with longer texts."""

from collections.abc import AsyncIterator
from itertools import chain

import pytest
from playwright.async_api import Page

from tests.support.full_site import FullSite
from tests.support.page_addresses import OTHER_PAGES, PAGES, REPRESENTATIVE
from tests.support.page_checks import LIST_OVERFLOWING, PHONE, list_small_targets
from tests.support.tiers import mark_repetitions
from web.ui.locale_middleware import LANGUAGE_COOKIE
from web.ui.translation import PSEUDO

UNTRANSLATED = {"/docs"}  # the reference of the API is in English
DESCRIBE = f"""() => {{
    const count = (selector) => [...document.querySelectorAll(selector)]
        .filter((element) => element.checkVisibility({{ visibilityProperty: true }})).length;
    return [count("h1"), count(".js-only"), document.documentElement.lang, ({LIST_OVERFLOWING})()];
}}"""
"""Returns the numbers of headings and of parts for scripts, the language, and what is too wide."""


@pytest.fixture(scope="module")
async def phone(world: FullSite) -> AsyncIterator[Page]:
    """Open a window without scripts in the language whose texts are 40 % longer than English."""
    page = await world.site.new_tab(viewport=PHONE, java_script_enabled=False)
    cookie = {"name": LANGUAGE_COOKIE, "value": PSEUDO, "url": world.site.installation.url}
    await page.context.add_cookies([cookie])  # ty: ignore[invalid-argument-type]
    yield page
    await page.context.close()


@pytest.mark.parametrize(
    "address",
    mark_repetitions(chain.from_iterable([*PAGES.values(), OTHER_PAGES]), REPRESENTATIVE),
)
async def test_a_page_fits_and_is_complete_without_scripts(
    world: FullSite, phone: Page, address: str
) -> None:
    response = await phone.goto(address.format(**world.ids))
    assert response
    assert response.status == (404 if "no-such" in address else 200)
    language = "en" if address in UNTRANSLATED else PSEUDO
    assert await phone.evaluate(DESCRIBE) == [1, 0, language, []]
    assert await list_small_targets(phone) == []
