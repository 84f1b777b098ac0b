"""The list of boards and the rules of a board in a browser."""

import asyncio
import re

from playwright.async_api import Response, Route, expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition


async def test_boards_are_filtered_and_sorted(site: LiveSite) -> None:
    for name in ("Wharf A", "Wharf B"):
        site.create_board(name)
    async with site.open_page("/boards") as page:
        names = page.locator("#boards tbody th a.n")
        await page.get_by_label("Search boards").fill("whar")
        await expect(page).to_have_url(re.compile("q=whar$"))
        await page.get_by_label("Search boards").press_sequentially("f")
        await expect(names).to_have_text(["Wharf A", "Wharf B"])
        await expect(page).to_have_url(re.compile("q=wharf"))
        await page.go_back()  # in one step
        await expect(page).to_have_url(re.compile("^about:blank$"))
        await page.go_forward()
        await expect(names).to_have_text(["Wharf A", "Wharf B"])
        order = page.get_by_role("columnheader", name="Board", exact=True)
        await order.get_by_role("link").click()
        await expect(names).to_have_text(["Wharf B", "Wharf A"])
        await expect(order).to_have_attribute("aria-sort", "descending")
        await page.reload()
        await expect(names).to_have_text(["Wharf B", "Wharf A"])
        await page.get_by_label("Search boards").fill("wharf c")
        await page.get_by_role("link", name="Show all boards").click()
        await expect(page.get_by_label("Search boards")).to_have_value("")


@repetition
async def test_a_rule_of_a_board_is_saved_when_it_is_switched(site: LiveSite) -> None:
    """See the next test, and tests/web/test_boards.py for each rule."""
    board = site.create_board("Slipway")
    async with site.open_page(f"/boards/{board['id']}/settings") as page:
        rules = page.locator("#rules input[role=switch]")
        for position in range(await rules.count()):
            async with page.expect_response(lambda it: it.request.method == "POST"):
                await rules.nth(position).click()
    found = site.owner.call("GET", f"/boards/{board['id']}")
    names = [name for name in board if name.startswith(("require_", "block_", "comment_", "only_"))]
    assert len(names) >= 4
    assert all(found[name] != board[name] for name in names), names


async def test_a_rule_that_is_switched_on_and_off_at_once_is_off(site: LiveSite) -> None:
    board = site.create_board("Drydock")
    sent, may_continue = list[Route](), asyncio.Event()

    async def hold_the_first(route: Route) -> None:
        sent.append(route)
        if len(sent) == 1:
            await may_continue.wait()
        await route.continue_()

    def is_last(response: Response) -> bool:
        return len(sent) > 1 and response.request == sent[-1].request

    async with site.open_page(f"/boards/{board['id']}/settings") as page:
        await page.route("**/settings", hold_the_first)
        rules = page.locator("#rules input[role=switch]")
        states = [await rule.is_checked() for rule in await rules.all()]
        for rule in (rules.nth(0), rules.nth(0), rules.nth(1)):
            await rule.click()
        async with page.expect_response(is_last):
            may_continue.set()
        expected = [states[0], not states[1], *states[2:]]
        assert [await rule.is_checked() for rule in await rules.all()] == expected
        await page.reload()
        assert [await rule.is_checked() for rule in await rules.all()] == expected


async def test_keys_do_nothing_behind_a_dialog(site: LiveSite) -> None:
    board = site.create_board("Behind")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
        await dialog.get_by_role("heading", name="All pages").click()  # takes the focus away
        await page.keyboard.press("n")
        assert await page.locator("dialog[open]").count() == 1
        await page.keyboard.press("Escape")
        await page.keyboard.press("n")
        await expect(page.get_by_role("dialog", name="New task on Behind")).to_be_visible()


async def test_text_that_is_selected_beyond_a_dialog_does_not_close_it(site: LiveSite) -> None:
    board = site.create_board("Selected text")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("n")
        dialog = page.get_by_role("dialog", name="New task on Selected text")
        title = dialog.get_by_label("Title")
        await title.fill("Half written")
        await title.hover()
        await page.mouse.down()
        await page.mouse.move(5, 5)
        await page.mouse.up()
        await expect(dialog).to_be_visible()
        await page.mouse.click(5, 5)
        await expect(dialog).to_be_hidden()
