"""The chat of a board, in a browser."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.home import Home
from tests.browser.pages import PHONE, WIDE, faults_of, scrolls_sideways


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_people_and_agents_talk_and_see_it_at_once(home: Home, size) -> None:
    board = home.board("Quay")
    agent = home.agent(board)
    path = f"/agent/boards/{board['id']}/memory"

    async def say(words: str) -> None:
        await asyncio.to_thread(agent.call, "POST", path, content=words, tags=["chat"])

    async with home.open(f"/boards/{board['id']}", viewport=size) as page:
        await page.get_by_role("link", name="Chat").click()
        await expect(page.locator("#live[data-state=live]")).to_be_attached()
        await expect(page.get_by_text("Nothing was said yet.")).to_be_visible()
        box = page.get_by_label("Message")
        await box.fill("Where is the ship, @juniper?")
        await box.press("Enter")
        await expect(page.get_by_role("log")).to_contain_text("Where is the ship")
        await expect(box).to_have_value("")
        await box.fill("Half writ")
        await say("It is **in**:\n\n1. port\n2. loaded")
        await expect(page.get_by_role("log")).to_contain_text("loaded")
        await expect(box).to_have_value("Half writ")
        await box.fill("/pause")
        await box.press("Enter")
        await expect(page.locator("#paused")).to_contain_text("Paused by you")
        await expect(page.get_by_role("log")).to_contain_text("Sent to all agents")
        for theme in ("light", "dark"):
            await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
            assert await faults_of(page) == []
        assert not await scrolls_sideways(page)


async def test_a_message_lights_the_chat_on_the_board(home: Home) -> None:
    board = home.board("Quay")
    agent = home.agent(board)
    path = f"/agent/boards/{board['id']}/memory"
    async with home.open(f"/boards/{board['id']}") as page:
        await expect(page.locator("#live[data-state=live]")).to_be_visible()
        await expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()
        await asyncio.to_thread(agent.call, "POST", path, content="Ahoy", tags=["chat"])
        await page.get_by_role("link", name="Chat, 1 new").click()
        await expect(page.get_by_role("log")).to_contain_text("Ahoy")
        await page.go_back()
        await expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()


async def test_the_chat_works_without_scripts(home: Home) -> None:
    board = home.board("Quay")
    here = f"/boards/{board['id']}"
    async with home.open(here, java_script_enabled=False) as page:
        await page.get_by_role("link", name="Chat").click()
        await page.get_by_label("Message").fill("Ahoy")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("log")).to_contain_text("Ahoy")
        await page.get_by_role("link", name="Notes").click()
        await expect(page.get_by_text("No notes yet.")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_that_there_is_no_lead_to_hear_is_said_at_the_box(home: Home, size) -> None:
    board = home.board("Quay")
    task = home.task(board, "Load the ship")
    here = f"/boards/{board['id']}"
    boxes = {f"{here}/chat": "Message", f"{here}/tasks/{task['id']}": "Comment"}
    for address, label in boxes.items():
        async with home.open(address, viewport=size) as page:
            box = page.get_by_label(label, exact=True)
            for words, told in [("What now, @lead?", 1), ("Ahoy there", 0), ("Well, @lead?", 1)]:
                await box.fill(words)
                await page.get_by_role("button", name="Send").click()
                await expect(page.get_by_text(words)).to_be_visible()
                await expect(page.get_by_text("@lead reached nobody")).to_have_count(told)
            for theme in ("light", "dark"):
                await page.evaluate("it => document.documentElement.dataset.theme = it", theme)
                assert await faults_of(page) == []
            assert not await scrolls_sideways(page)
