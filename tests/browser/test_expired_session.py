"""A person whose session has ended signs in, and continues with the typed text."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import BrowserContext, Cookie, Page, expect
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from models import BoardAccess
from tests.browser.test_shared_connection import open_tab
from tests.support.live_site import OWNER, LiveSite
from tests.support.page_checks import cut_connection
from tests.support.tiers import repetition


async def sign_in(page: Page) -> None:
    await page.get_by_label("E-mail").fill(OWNER["email"])
    await page.get_by_role("textbox", name="Password").fill(OWNER["password"])
    await page.get_by_role("button", name="Sign in", exact=True).click()


@asynccontextmanager
async def open_without_events(site: LiveSite, address: str) -> AsyncGenerator[Page]:
    """Open a page that notices the end of the session only when it sends something.

    When it receives an event, or connects, it opens a dialog, which covers the form.
    """
    async with site.open_page("/sign-in") as page:
        await cut_connection(page)
        await page.goto(address)
        yield page


async def set_cookies(context: BrowserContext, site: LiveSite, cookies: list[Cookie]) -> None:
    """Replace the cookies of a browser."""
    await context.clear_cookies()
    for one in cookies:
        await context.add_cookies(
            [{"name": one["name"], "value": one["value"], "url": site.installation.url}]
        )


async def test_a_form_is_filled_in_after_signing_in(site: LiveSite) -> None:
    name = "Kept with scripts"
    async with open_without_events(site, "/boards/new") as page:
        await page.get_by_label("Name").fill(name)
        await page.locator("#board-about summary").click()
        await page.get_by_label("Description").fill("Line 1\nLine 2")
        await page.context.clear_cookies()
        await page.get_by_role("button", name="Create board").click()
        await expect(page.get_by_text("you return to it")).to_be_visible()
        await sign_in(page)
        await expect(page.get_by_text("Nothing has changed yet")).to_be_visible()
        await expect(page.get_by_label("Name")).to_have_value(name)
        await expect(page.get_by_label("Description")).to_have_value("Line 1\nLine 2")
        boards = site.owner.call("GET", "/boards")["items"]
        assert name not in [board["name"] for board in boards]
        await page.get_by_role("button", name="Create board").click()
        await expect(page.locator("#rail").get_by_role("link", name=name)).to_be_visible()
    boards = site.owner.call("GET", "/boards")["items"]
    assert [board["name"] for board in boards].count(name) == 1


@repetition
async def test_a_form_with_scripts_but_without_htmx_is_filled_in(site: LiveSite) -> None:
    """See the form with htmx above, and tests/web/test_kept_forms.py."""
    async with open_without_events(site, "/settings") as page:
        field = page.locator("form[action='/settings/tokens'] input[name=name]")
        await field.evaluate(
            "field => { for (let one = field; one; one = one.parentElement)"
            " if (one.localName === 'details') one.open = true }"
        )
        await field.fill("For my script")
        await page.context.clear_cookies()
        await field.press("Enter")
        await sign_in(page)
        await expect(field).to_have_value("For my script")
        await expect(field).to_be_focused()
        assert "kept" not in page.url


async def test_a_comment_is_not_sent_twice_after_the_session_has_ended(site: LiveSite) -> None:
    board = site.create_board("Ended session")
    task = site.create_task(board, "Talk")
    context = await site.context()
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    page = await open_tab(context, path)
    cookies = await context.cookies()
    await page.locator("textarea[name=message]").fill("Only once")
    await context.clear_cookies()
    # Other parts of the page may open the dialog before.
    await page.evaluate("document.getElementById('edit-comment').requestSubmit()")
    await expect(page.locator("#signed-out")).to_be_visible()
    await set_cookies(context, site, cookies)
    await page.get_by_role("button", name="I have signed in").click()
    await expect(page.locator("textarea[name=message]")).to_have_value("Only once")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("textarea[name=message]")).to_have_value("")
    comments = site.owner.call("GET", f"{path}/comments")["items"]
    assert [comment["message"] for comment in comments] == ["Only once"]
    await context.close()


async def test_a_draft_is_not_shown_to_the_next_user(
    site: LiveSite, board: dict[str, Any], bob: BrowserContext, database: AsyncEngine
) -> None:
    async with database.begin() as connection:
        shared = BoardAccess.board_id == board["id"]
        await connection.execute(update(BoardAccess).where(shared).values(can_write=True))
    task = site.create_task(board, "Talk")
    path = f"/boards/{board['id']}/tasks/{task['id']}"
    context = await site.context()
    page = await open_tab(context, path)
    own_cookies = await context.cookies()
    comment = page.locator("textarea[name=message]")
    await comment.fill("Not for Bob")

    await set_cookies(context, site, await bob.cookies())
    await page.goto(path)
    await expect(comment).to_have_attribute("data-restored", "")
    await expect(comment).to_have_value("")

    await set_cookies(context, site, own_cookies)
    await page.goto(path)
    await expect(comment).to_have_value("Not for Bob")
    await context.close()
