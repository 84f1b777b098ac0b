"""Dialogs, menus and toasts are as complete and accessible as the pages."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.full_site import CheckedPage, FullSite
from tests.support.page_checks import WIDE, choose
from tests.support.site_objects import LONG_WORD
from tests.support.tiers import mark_repetitions, select_options


async def _open_drawer(page: Page, ids: dict[str, str]) -> None:
    await page.locator(f"#task-{ids['task']} a").first.click()
    await expect(page.locator("#drawer h2").first).to_be_visible()


async def _open_card_menu(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#column-inbox [data-movable] h3 a").first.focus()
    await page.keyboard.press("m")
    await expect(page.locator("#card-menu")).to_be_visible()


async def _open_new_task(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("n")
    await page.keyboard.press("Enter")
    await expect(page.locator("#new-task [aria-invalid]")).to_be_visible()


async def _invite_nobody(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("link", name="Invite").click()
    dialog = page.get_by_role("dialog", name="Invite a person")
    await dialog.get_by_label("E-mail").fill("nobody@example.com")
    await dialog.get_by_label("None", exact=True).check()
    await dialog.get_by_role("button", name="Create invitation link").click()
    await expect(dialog.get_by_text("Choose at least one board.")).to_be_visible()


async def _open_palette(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("Control+k")
    await page.keyboard.type("theme")
    await expect(page.get_by_role("option", name="Use the dark theme")).to_be_visible()


async def _open_keys(page: Page, _ids: dict[str, str]) -> None:
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Shortcuts")).to_be_visible()


async def _open_filters(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#more-filters > summary").click()
    await expect(page.locator("#filter-agent")).to_be_visible()


async def _open_picker(page: Page, _ids: dict[str, str]) -> None:
    tags = page.get_by_role("button", name="Tags")
    await choose(tags, "")
    await expect(page.locator("[data-picked]")).to_have_count(1)


async def _tick(page: Page, _ids: dict[str, str]) -> None:
    for box in await page.locator("[data-pick]").all():
        await box.check()
    await expect(page.get_by_role("toolbar")).to_be_visible()


async def _doubt(page: Page, ids: dict[str, str]) -> None:
    await _tick(page, ids)
    await page.get_by_role("toolbar").get_by_role("button", name="Approve").click()
    await expect(page.get_by_role("heading", name="below 80")).to_be_visible()


async def _lose_the_connection(page: Page, _ids: dict[str, str]) -> None:
    await page.evaluate("document.getElementById('banner').hidden = false")


async def _delete(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Delete agent").click()
    await expect(page.get_by_text("permanently?")).to_be_visible()


async def _remove(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Remove gateway").click()
    await expect(page.get_by_text("must be connected and approved again")).to_be_visible()


async def _hear_sessions(page: Page, _ids: dict[str, str]) -> None:
    await expect(page.locator("#sessions")).to_contain_text("94%")


async def _hear_agents(page: Page, _ids: dict[str, str]) -> None:
    await expect(page.get_by_role("heading", name="Link existing agents")).to_be_visible()


async def _link_none(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("button", name="Link", exact=True).click()
    await expect(page.get_by_text("Choose at least one.")).to_be_visible()


async def _link(page: Page, _ids: dict[str, str]) -> None:
    which = "writer" if page.viewport_size == WIDE else "main"
    await page.locator(f"[name=agent][value={which}]").check()
    await page.locator(f"[name='name:{which}']").fill(f"{LONG_WORD} {which}")
    await page.get_by_role("button", name="Link", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Agent linked.")


async def _unfold(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#transcript summary").click()
    await expect(page.get_by_text("Result:")).to_be_visible()


async def _open_advanced(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("summary", has_text="Advanced").click()
    await expect(page.get_by_text("Usually left off.")).to_be_visible()


async def _change_an_answer(page: Page, _ids: dict[str, str]) -> None:
    await page.locator(".change > summary").click()
    await expect(page.get_by_role("button", name="Change the answer")).to_be_visible()


async def _answer_nothing(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("button", name="Answer", exact=False).last.click()
    await expect(page.locator("[aria-invalid=true]")).to_have_count(1)


async def _start_over(page: Page, _ids: dict[str, str]) -> None:
    await page.get_by_role("link", name="Start over or cancel").click()
    await expect(page.get_by_role("dialog", name="Start over?")).to_be_visible()


async def _read_a_file(page: Page, _ids: dict[str, str]) -> None:
    await page.locator("#preview summary").first.click()
    await expect(page.locator("#preview pre").first).to_be_visible()


Act = Callable[[Page, dict[str, str]], Awaitable[Any]]


OPENED: dict[str, tuple[str, Act]] = {
    "a task in its drawer": ("/boards/{board}?column=inbox", _open_drawer),
    "the menu of a card": ("/boards/{board}?column=inbox", _open_card_menu),
    "a new task that lacks its title": ("/boards/{board}", _open_new_task),
    "the options of a picker": ("/boards/{board}/tasks/new", _open_picker),
    "inviting a person to no board": ("/people", _invite_nobody),
    "the palette": ("/boards", _open_palette),
    "the shortcuts": ("/settings", _open_keys),
    "more filters": ("/boards/{board}", _open_filters),
    "questions that are ticked": ("/approvals?board={board}", _tick),
    "doubtful questions": ("/approvals?board={board}", _doubt),
    "a lost connection": ("/boards/{board}", _lose_the_connection),
    "deleting an agent": ("/agents/{agent}/settings", _delete),
    "an answer that is changed": ("/boards/{asked}/onboarding", _change_an_answer),
    "an answer that says nothing": ("/boards/{asked}/onboarding", _answer_nothing),
    "starting over": ("/boards/{asked}/onboarding", _start_over),
    "the files of a lead": ("/boards/{drafted}/onboarding/review", _read_a_file),
    "sessions of a gateway": ("/gateways/{workshop}/sessions", _hear_sessions),
    "what a tool was asked": ("/gateways/{workshop}/sessions/agent:main:main", _unfold),
    "agents to link": ("/gateways/{workshop}/agents", _hear_agents),
    "linking no agent": ("/gateways/{workshop}/agents?wait=1", _link_none),
    "an agent that was linked": ("/gateways/{workshop}/agents?wait=1", _link),
    "removing a gateway": ("/gateways/{gateway}", _remove),
    "advanced settings of a gateway": ("/gateways/new", _open_advanced),
}


KINDS = {
    "a task in its drawer",
    "the menu of a card",
    "a new task that lacks its title",
    "the options of a picker",
    "doubtful questions",
}
"""One of each kind; the others have the same elements with other texts."""


@pytest.mark.parametrize("name", mark_repetitions(OPENED, KINDS))
async def test_dialogs_menus_and_toasts_are_accessible(world: FullSite, name: str) -> None:
    address, act = OPENED[name]

    async def look(window: CheckedPage) -> None:
        await window.page.goto(address.format(**world.ids))
        await act(window.page, world.ids)
        await window.check(422)

    await asyncio.gather(*map(look, select_options(name, world.windows)))
