"""A page with more formatted text than it may render at once."""

from playwright.async_api import expect

from tests.support.full_site import THEMES
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    in_sizes,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition, select_options

MESSAGES = 14  # of which a page renders eleven


@repetition
@in_sizes(WIDE, PHONE)
async def test_plain_texts_are_formatted_when_the_page_is_loaded_again(
    site: LiveSite, size
) -> None:
    """See tests/web/test_formatted_texts.py."""
    board = site.create_board("Quay")
    agent = site.create_agent(board)
    path = f"/agent/boards/{board['id']}/memory"
    for number in range(MESSAGES):
        text = f"**{size['width']} {number}** " + "! " * 9_500  # steps without elements
        agent.call("POST", path, content=text, tags=["chat"])
    async with site.open_page(f"/boards/{board['id']}/chat", viewport=size) as page:
        again = page.get_by_role("link", name="Load the page again to format more of it")
        await expect(again.first).to_be_visible()
        plain = await again.count()
        assert 0 < plain < MESSAGES
        for theme in select_options("plain texts", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)
        await again.first.click()
        await expect(page.locator(".bubble").nth(MESSAGES - 1)).to_be_attached()
        await expect(again).to_have_count(0)
