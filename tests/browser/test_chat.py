"""The chat of a board in a browser."""

import asyncio

from playwright.async_api import Route, expect

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


@in_sizes(WIDE, PHONE)
async def test_chat_messages_of_users_and_agents_appear_at_once(site: LiveSite, size) -> None:
    board = site.create_board("Quay")
    agent = site.create_agent(board)
    path = f"/agent/boards/{board['id']}/memory"

    async def say(words: str) -> None:
        await asyncio.to_thread(agent.call, "POST", path, content=words, tags=["chat"])

    async with site.open_page(f"/boards/{board['id']}", viewport=size) as page:
        await page.get_by_role("link", name="Chat").click()
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        await expect(page.get_by_text("No messages yet.")).to_be_visible()
        box = page.get_by_label("Message")
        await box.fill("Where is")
        await box.press("Shift+Enter")
        await box.press_sequentially("the ship, @juniper?")
        await expect(box).to_have_value("Where is\nthe ship, @juniper?")
        await expect(page.get_by_text("No messages yet.")).to_be_visible()
        await box.press("Enter")
        await expect(page.get_by_role("log")).to_contain_text("the ship, @juniper?")
        await expect(box).to_have_value("")
        await box.fill("Half writ")
        await say("It is **in**:\n\n1. port\n2. loaded")
        await expect(page.get_by_role("log")).to_contain_text("loaded")
        await expect(box).to_have_value("Half writ")
        await box.fill("/pause")
        await box.press("Enter")
        await expect(page.locator("#paused")).to_contain_text("Paused by you")
        await expect(page.get_by_role("log")).to_contain_text("Sent to all agents")
        for theme in select_options("a chat", THEMES):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await list_axe_violations(page) == []
        assert not await list_overflowing(page)


async def test_text_that_is_typed_while_a_message_is_sent_is_kept(site: LiveSite) -> None:
    board = site.create_board("Quay")
    sent, may_continue = list[str](), asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(route.request.method)
            await may_continue.wait()
        await route.continue_()

    async with site.open_page(f"/boards/{board['id']}/chat") as page:
        box = page.get_by_label("Message")
        await page.route("**/chat", hold)
        await box.fill("Ahoy")
        await box.press("Enter")
        await box.press_sequentially(" and more")
        await box.press("Enter")  # not before the response
        may_continue.set()
        await expect(page.get_by_role("log")).to_contain_text("Ahoy")
        await expect(box).to_have_value("and more")
        assert sent == ["POST"]
        await page.reload()
        await expect(box).to_have_value("and more")


async def test_keys_of_an_input_method_send_and_close_nothing(site: LiveSite) -> None:
    board = site.create_board("Quay")
    task = site.create_task(board, "Load the ship")
    press = """(field, options) => field.dispatchEvent(
        new KeyboardEvent("keydown", { ...options, bubbles: true, cancelable: true }))"""
    async with site.open_page(f"/boards/{board['id']}/chat") as page:
        box = page.get_by_label("Message")
        await box.fill("ni")
        await box.evaluate(press, {"key": "Enter", "keyCode": 229})  # as in Safari
        await box.press_sequentially("hao")
        await box.press("Enter")
        await expect(page.get_by_role("log").locator(".bubble")).to_have_text(["nihao"])
        await page.goto(f"/boards/{board['id']}/tasks/{task['id']}")
        await page.locator("#edit-title > summary").click()
        await page.locator("#task-title").fill("ni")
        await page.locator("#task-title").evaluate(press, {"key": "Escape", "isComposing": True})
        await expect(page.locator("#task-title")).to_have_value("ni")
        await expect(page.locator("#task-title")).to_be_visible()


@repetition
async def test_a_message_highlights_the_chat_link_of_the_board(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_unread.py and tests/web/test_stale_parts.py."""
    board = site.create_board("Quay")
    agent = site.create_agent(board)
    path = f"/agent/boards/{board['id']}/memory"
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(page.locator("#live[data-state=live]")).to_be_visible()
        await expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()
        await asyncio.to_thread(agent.call, "POST", path, content="Ahoy", tags=["chat"])
        await page.get_by_role("link", name="Chat, 1 new").click()
        await expect(page.get_by_role("log")).to_contain_text("Ahoy")
        await page.go_back()
        await expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()


@repetition
@in_sizes(WIDE, PHONE)
async def test_a_mention_of_a_missing_lead_shows_a_notice(site: LiveSite, size) -> None:
    """A test of this name in tests/web/test_chat.py states it."""
    board = site.create_board("Quay")
    task = site.create_task(board, "Load the ship")
    board_path = f"/boards/{board['id']}"
    boxes = {f"{board_path}/chat": "Message", f"{board_path}/tasks/{task['id']}": "Comment"}
    for address, label in boxes.items():
        async with site.open_page(address, viewport=size) as page:
            box = page.get_by_label(label, exact=True)
            for words, count in [("What now, @lead?", 1), ("Ahoy there", 0), ("Well, @lead?", 1)]:
                await box.fill(words)
                await page.get_by_role("button", name="Send").click()
                await expect(page.get_by_text(words)).to_be_visible()
                await expect(page.get_by_text("@lead was not delivered")).to_have_count(count)
            for theme in select_options("a missing lead", THEMES):
                await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
                assert await list_axe_violations(page) == []
            assert not await list_overflowing(page)
