"""The review of an onboarding: its preview, its warnings and its launch.

The preview is stated in tests/web/test_onboarding_review.py and tests/browser/test_onboarding.py,
and the warnings in tests/browser/test_webhook_actions.py.
"""

import asyncio
from functools import partial

from playwright.async_api import Route, expect

from tests.support.installation import ApiClient
from tests.support.live_site import LiveSite
from tests.support.onboarding_browser import (
    COUNT_PREVIEWS,
    describe_board,
    fetch_messages,
    open_review,
)
from tests.support.tiers import repetition

pytestmark = repetition

GATEWAY = "harbour-3"

describe = partial(describe_board, gateway=GATEWAY)


async def test_a_change_that_is_made_again_keeps_typed_text(
    site: LiveSite, asker: ApiClient
) -> None:
    """The preview is requested twice with the same content; the page stays."""
    async with site.open_page("/boards") as page:
        board = await describe(page, "Back and forth")
        await open_review(page, asker, board)
        await page.get_by_label("More context").fill("Ann decides about money.")
        for level, rule in (
            ("autonomous", "may be done without an approval"),
            ("balanced", "need an approval before they are done"),
        ) * 2:
            await page.get_by_label("What it decides").select_option(level)
            await expect(page.locator("#preview")).to_contain_text(rule)
        await expect(page.get_by_label("More context")).to_have_value("Ann decides about money.")
    fetch_messages(asker, board)


async def test_a_person_who_stays_at_the_warning_can_send_afterwards(
    site: LiveSite, asker: ApiClient
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Stay here")
        await open_review(page, asker, board)
        await page.get_by_label("Name", exact=False).first.fill("Eva")
        await page.get_by_label("More context").fill("Ann decides about money.")
        await expect(page.locator("#preview")).to_contain_text("What Eva gets")  # it moves buttons
        send = page.get_by_role("button", name="Send", exact=True)
        async with page.expect_event("dialog") as staying:
            page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.dismiss()))
            await send.click()
        assert (await staying.value).type == "beforeunload"
        await expect(send).to_be_visible()
        page.once("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        await send.click()
        await expect(page.get_by_text("Writing the draft")).to_be_visible()
    assert "Ann decides about money." in fetch_messages(asker, board)[-1]


async def test_the_preview_shows_what_was_changed_before_the_scripts_started(
    site: LiveSite, asker: ApiClient
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Slow scripts")
        await open_review(page, asker, board)
        is_changed = asyncio.Event()

        async def hold(route: Route) -> None:
            await is_changed.wait()
            await route.continue_()

        await page.route("**/vendor/htmx*", hold)
        await page.reload(wait_until="commit")
        await page.get_by_label("What it decides").select_option("autonomous")
        is_changed.set()
        await expect(page.locator("#preview")).to_contain_text("may be done without an approval")


async def test_the_preview_is_requested_once_at_the_start_and_once_for_a_change(
    site: LiveSite, asker: ApiClient
) -> None:
    async with site.open_page("/boards") as page:
        board = await describe(page, "Few requests")
        await page.add_init_script(COUNT_PREVIEWS)
        await open_review(page, asker, board)
        async with page.expect_response(lambda response: response.request.method == "POST"):
            await page.reload()
        await page.get_by_label("What it decides").select_option("autonomous")
        await expect(page.locator("#preview")).to_contain_text("may be done without an approval")
        assert await page.locator("html").get_attribute("data-previews") == "2"


async def test_a_change_is_not_reported_while_a_form_is_sent(
    site: LiveSite, asker: ApiClient
) -> None:
    """The change is that of the form: the live update can be faster than the response."""
    async with site.open_page("/boards") as page:
        board = await describe(page, "Own launch")
        await open_review(page, asker, board)
        async with site.open_page(page.url) as other:
            # The page stays as it is while the browser waits for the response to its form.
            await page.evaluate("addEventListener('submit', (event) => event.preventDefault())")
            await page.get_by_role("button", name="Launch the board").click()
            await other.get_by_role("button", name="Launch the board").click()
            notice = page.locator("#news")
            await expect(notice).to_contain_text("You have launched the board.")
            await expect(notice).not_to_have_attribute("hidden", "")
            await expect(notice).to_be_hidden()
    fetch_messages(asker, board)  # otherwise the next test receives it
