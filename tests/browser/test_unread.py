"""What is new shows itself on open pages, and goes as it is read."""

import asyncio

from playwright.async_api import Page, expect

from tests.browser.home import Home
from tests.browser.pages import faults_of
from tests.installation import Api


async def say(agent: Api, board: dict, task: dict, words: str) -> None:
    path = f"/agent/boards/{board['id']}/tasks/{task['id']}/comments"
    await asyncio.to_thread(agent.call, "POST", path, message=words)


async def is_live(page: Page) -> None:
    await expect(page.locator(".live[data-state=live]").first).to_be_visible()


async def test_a_comment_lights_its_board_until_that_is_looked_at(home: Home) -> None:
    board, other = home.board("News"), home.board("Elsewhere")
    task = home.task(board, "Talk about it")
    agent = home.agent(board)
    in_rail = f"#rail-board-{board['id']}"
    await say(agent, board, task, "I begin.")  # so that it is at work before anybody looks
    async with home.open(f"/boards/{board['id']}") as page:
        await page.goto(f"/boards/{other['id']}")
        await is_live(page)
        await expect(page.locator(f"{in_rail} .unread")).to_be_hidden()
        await say(agent, board, task, "It is half done.")
        await expect(page.locator(f"{in_rail}[data-unread] .unread")).to_be_visible()
        assert await faults_of(page) == []
        for there in (board, other):
            await page.goto(f"/boards/{there['id']}")
            await expect(page.locator(f"{in_rail} .unread")).to_be_hidden()


async def test_a_comment_lights_its_card_until_it_is_read(home: Home) -> None:
    board = home.board("News")
    task = home.task(board, "Talk about it")
    agent = home.agent(board)
    async with home.open(f"/boards/{board['id']}") as page:
        await is_live(page)
        card = page.locator(f"#task-{task['id']}")
        await expect(card.locator(".unread")).to_be_hidden()
        await say(agent, board, task, "It is half done.")
        await expect(card.locator(".unread")).to_be_visible()
        await expect(page.locator(f"#rail-board-{board['id']} .unread")).to_be_hidden()
        assert await faults_of(page) == []

        await card.get_by_role("link").first.click()
        await expect(page.locator("#drawer")).to_contain_text("It is half done.")
        await expect(card.locator(".unread")).to_be_hidden()
        await say(agent, board, task, "It is done.")
        await expect(page.locator("#drawer")).to_contain_text("It is done.")
        await expect(card).to_contain_text("2 comments")
        await expect(card.locator(".unread")).to_be_hidden()


async def test_the_line_above_what_is_new_stays_while_more_is_said(home: Home) -> None:
    board = home.board("Line")
    task = home.task(board, "Talk about it")
    agent = home.agent(board)
    there = f"/boards/{board['id']}/tasks/{task['id']}"
    await say(agent, board, task, "One.")
    async with home.open(there) as page:
        await expect(page.get_by_text("One.")).to_be_visible()
    await say(agent, board, task, "Two.")
    async with home.open(there) as page:
        line = page.get_by_text("New since you were here")
        await expect(line).to_be_visible()
        await is_live(page)
        await say(agent, board, task, "Three.")
        await expect(page.get_by_text("Three.")).to_be_visible()
        await expect(line).to_be_visible()
        told = await page.locator("#conversation li").all_inner_texts()
        place = told.index("New since you were here")
        assert "One." in told[place - 1]
        assert "Two." in told[place + 1]
        assert await faults_of(page) == []
