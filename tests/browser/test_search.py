"""The command palette, the search page and the suggestions of text boxes in a browser."""

import asyncio
import re
from contextlib import suppress

import pytest
from playwright.async_api import Error, Page, Route, expect

from core.accents import remove_accents
from tests.support.full_site import THEMES
from tests.support.live_site import LiveSite
from tests.support.page_checks import (
    PHONE,
    WIDE,
    list_axe_violations,
    list_overflowing,
)
from tests.support.tiers import repetition, select_options

SUGGESTIONS_DELAY = 120  # ms without a key until they are requested, as in static/suggestions.js


async def open_palette(page: Page, text: str = "") -> None:
    await page.wait_for_load_state()
    await page.keyboard.press("Control+k")
    await expect(page.locator("#palette")).to_be_visible()
    await page.keyboard.type(text)


async def test_scripts_compare_texts_as_the_server_does(site: LiveSite) -> None:
    letters = [chr(number) for number in [*range(0x20, 0x530), *range(0x1E00, 0x2000)]]
    letters += ["e\u0301", "\u0438\u0306", "Łódź", "Straße", "ÆRØ", "Йод"]
    async with site.open_page("/boards") as page:
        plain = await page.evaluate("letters => letters.map(plainText)", letters)
    assert plain == [remove_accents(letter).lower() for letter in letters]


async def test_the_palette_finds_opens_and_remembers_objects(site: LiveSite) -> None:
    board, other = site.create_board("Pelican"), site.create_board("Curlew")
    task = site.create_task(board, "Count the avocets")
    site.create_task(other, "Feed the avocets")
    async with site.open_page(f"/boards/{other['id']}") as page:
        await open_palette(page, "avocet")
        await expect(page.locator("#palette-found [role=option]").first).to_contain_text("Feed")
        await expect(page.get_by_role("option", name="Feed the avocets")).to_have_attribute(
            "aria-selected", "true"
        )
        for theme in select_options("the palette", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        await page.keyboard.press("ArrowDown")
        async with page.context.expect_page() as opened:
            await page.keyboard.press("Control+Enter")
        tab = await opened.value
        await tab.wait_for_load_state()
        await expect(tab).to_have_url(re.compile(f"/tasks/{task['id']}$"))
        await expect(page.locator("#palette")).to_be_hidden()
        await open_palette(page)
        recent = page.get_by_role("group", name="Recently opened").get_by_role("option")
        await expect(recent).to_contain_text(["Curlew", "Count the avocets"])
        await page.keyboard.type("count the avo")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}$"))


async def test_enter_waits_for_the_response_to_the_whole_text(site: LiveSite) -> None:
    board = site.create_board("Bittern")
    task = site.create_task(board, "Record the bittern")
    held: asyncio.Future[Route] = asyncio.Future()
    async with site.open_page("/dashboard") as page:
        # On a busy machine the beginning of the text is requested as well.
        pattern = re.compile(r"\?q=record\+the\+bittern&")
        await page.route(pattern, lambda route: held.set_result(route))
        await open_palette(page, "record the bittern")
        await page.keyboard.press("Enter")
        await (await held).continue_()
        await expect(page).to_have_url(re.compile(f"/tasks/{task['id']}$"))


@repetition
async def test_a_board_comes_before_a_new_task_on_it(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_search.py."""
    board = site.create_board("Spoonbill")
    async with site.open_page("/dashboard") as page:
        await open_palette(page, "spoonbill")
        await expect(page.get_by_role("option", name="New task on Spoonbill")).to_be_visible()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(re.compile(f"/boards/{board['id']}$"))


async def test_an_earlier_response_does_not_replace_a_newer_one(site: LiveSite) -> None:
    board = site.create_board("Plover")
    site.create_task(board, "Ring the dotterel")
    held: asyncio.Future[Route] = asyncio.Future()
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.route(re.compile(r"suggestions\?q=dott&"), lambda route: held.set_result(route))
        await open_palette(page, "dott")
        earlier = await held
        await page.keyboard.type("erel")
        await expect(page.get_by_role("option", name="Ring the dotterel")).to_be_visible()
        with suppress(Error):  # the page has ended the request
            await earlier.fulfill(body='<a role="option" id="old" href="/">an old dotterel</a>')
        await expect(page.get_by_text("an old dotterel")).to_have_count(0)


async def test_the_palette_has_commands_without_a_connection(site: LiveSite) -> None:
    async with site.open_page("/boards", has_own_context=True) as page:
        await page.context.set_offline(True)
        await open_palette(page, "theme")
        status = page.locator("[data-palette-status]")
        await expect(status).to_have_text("No connection: only pages and commands are shown.")
        await page.keyboard.press("Enter")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.context.set_offline(False)
        await open_palette(page, "> deutsch")
        await page.keyboard.press("Enter")
        await expect(page.locator("html")).to_have_attribute("lang", "de")
        await open_palette(page, ">english")
        await page.keyboard.press("Enter")
        await expect(page.locator("html")).to_have_attribute("lang", "en")


@repetition
@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_the_search_page_is_accessible(site: LiveSite, size) -> None:
    board, word = site.create_board("Heronry"), f"bittern{size['width']}"
    for n in range(22):
        site.create_task(board, f"Watch {word} {n}")
    async with site.open_page(f"/search?q={word}", viewport=size) as page:
        await expect(page.locator(".found")).to_have_count(20)
        for theme in THEMES:
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)


async def test_a_mention_and_a_task_are_inserted_in_the_chat(site: LiveSite) -> None:
    board = site.create_board("Rookery")
    site.create_agent(board, "Jay Bird")
    task = site.create_task(board, "Mend the [old] nest")
    async with site.open_page(f"/boards/{board['id']}/chat", has_own_context=True) as page:
        box, options = page.get_by_label("Message"), page.locator("#suggest [role=option]")
        await box.press_sequentially("Hello @j")
        await expect(options).to_have_count(1)
        await expect(options).to_contain_text("Jay Bird")
        for theme in select_options("suggestions", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        await box.press("Enter")
        await expect(box).to_have_value("Hello @Jay-Bird ")
        await box.press_sequentially("see #nes")
        await expect(options).to_have_count(1)
        await box.press("Escape")
        await expect(page.locator("#suggest")).to_be_hidden()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.clock.install()
        await box.press_sequentially("t")
        await page.clock.run_for(SUGGESTIONS_DELAY)
        await expect(page.locator("#suggest")).to_be_hidden()
        await box.press("Backspace")
        for _ in "#nes":
            await box.press("Backspace")
        await box.press_sequentially("#mend")
        await expect(options).to_have_count(1)
        assert not [url for url in asked if "q=nest" in url]
        await options.click()
        await expect(box).to_be_focused()
        await expect(box).to_have_value(re.compile(r"\[Mend the \\\[old\\\] nest\]\(/boards/"))
        await box.press("Enter")
        link = page.get_by_role("log").get_by_role("link", name="Mend the [old] nest")
        await expect(link).to_have_attribute("href", f"/boards/{board['id']}/tasks/{task['id']}")
        await expect(page.get_by_role("log").locator(".mention")).to_have_text("@Jay-Bird")
        await box.press_sequentially("Thanks @Jay-Bird")
        await expect(options).to_have_count(1)
        await box.press("Enter")
        await expect(page.get_by_role("log")).to_contain_text("Thanks @Jay-Bird")


async def test_suggestions_work_in_a_dialog(site: LiveSite) -> None:
    board = site.create_board("Aviary")
    site.create_agent(board, "Finch")
    async with site.open_page(f"/boards/{board['id']}", viewport=PHONE) as page:
        await page.keyboard.press("n")
        box = page.locator("#new-description")
        await box.press_sequentially("For @fi")
        await expect(page.locator("#suggest [role=option]")).to_have_count(1)
        await box.press("Tab")
        await expect(box).to_have_value("For @Finch ")
        await expect(box).to_be_focused()
        await box.press_sequentially("@fi")
        await expect(page.locator("#suggest [role=option]")).to_have_count(1)
        await box.press("Escape")
        await expect(page.locator("#new-task")).to_be_visible()
