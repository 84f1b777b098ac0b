"""Steps of an onboarding in a browser, and what its agent receives."""

import re
from typing import Any

from playwright.async_api import Page, expect

from tests.support.installation import ApiClient
from tests.support.onboarding_stages import make_draft, post_agent_message
from tests.support.page_checks import choose

COUNT_PREVIEWS = """
let count = 0;
document.addEventListener("htmx:config:request", (event) => {
    if (event.target.id === "preview") document.documentElement.dataset.previews = ++count;
});
"""
"""Counts the requests for the preview of a review in an attribute of the page."""


def board_in(page: Page) -> dict[str, str]:
    found = re.search(r"/boards/([0-9a-f-]{36})", page.url)
    assert found
    return {"id": found[1]}


def fetch_messages(asker: ApiClient, board: dict[str, str]) -> list[str]:
    """Return the messages to the agent about a board, and acknowledge them."""
    waiting = asker.call("GET", "/agent/messages")["items"]
    mine = [one for one in waiting if one["board_id"] == board["id"]]
    for one in mine:
        asker.call("POST", f"/agent/messages/{one['id']}/ack")
    return [one["content"] for one in mine]


async def describe_board(page: Page, name: str, gateway: str) -> dict[str, str]:
    """Create a board on a gateway whose agent asks the first question."""
    await page.goto("/boards/new")
    await page.get_by_label("Name").fill(name)
    await choose(page.locator("#field-gateway_id"), gateway)
    await page.get_by_role("button", name="Create board").click()
    await expect(page.get_by_text("Thinking about the first question")).to_be_visible()
    return board_in(page)


def own_words(page: Page, question: str) -> Any:
    """Return the field for a free-text answer to the open question."""
    return page.get_by_role("group", name=question).get_by_label("Your own words")


def locate_brief(page: Page) -> Any:
    return page.get_by_role("list", name="Answered so far")


async def open_review(page: Page, asker: ApiClient, board: dict[str, str]) -> None:
    post_agent_message(asker, board, **make_draft())
    await page.get_by_role("link", name="Review the draft").click()
    await expect(page.locator("#preview")).to_contain_text("What Ava gets")
