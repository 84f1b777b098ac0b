"""The first steps of a new installation, by its first user and its first agent."""

import asyncio
import re

from playwright.async_api import Browser, BrowserContext, Page, expect

from tests.support.full_site import THEMES
from tests.support.installation import ApiClient, Installation
from tests.support.live_site import APPROVE
from tests.support.page_checks import (
    PHONE,
    list_axe_violations,
    list_overflowing,
    new_context,
)
from tests.support.tiers import repetition, select_options

OWNER = {"name": "Olga Ruiz", "email": "olga@example.com", "password": "correct horse battery"}
RULE = "require_review_before_done"


async def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        await page.locator(f"[name={name}]").first.fill(value)


async def looks_well(page: Page) -> None:
    """No fault that axe finds, and nothing that scrolls sideways.

    The pages that can also be opened later are checked by tests/browser/pages.
    """
    await page.wait_for_load_state()
    for theme in select_options(await page.title(), THEMES):
        await page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert await list_axe_violations(page) == [], (page.url, theme)
    assert not await list_overflowing(page), page.url


async def first_steps(page: Page, installation: Installation) -> tuple[str, str]:
    """Create the owner, an organization, a board and an agent; return the agent's id and token."""
    await page.goto(installation.link)
    await looks_well(page)
    await fill(page, **OWNER)
    await page.get_by_role("button", name="Become the owner").click()
    await fill(page, name="Tern")
    await page.get_by_role("button", name="Save and continue").click()
    await page.locator("#board-about summary").click()
    await fill(page, name="Launch", objective="Ship it", description="All about the launch")
    await page.locator("#board-rules summary").click()
    await page.locator(f"[name={RULE}]").check()
    await looks_well(page)
    await page.get_by_role("button", name="Create board and continue").click()
    await page.locator("#program summary").click()
    await fill(page, name="Juniper", role="Writer")
    await looks_well(page)
    await page.get_by_role("button", name="Add agent and continue").click()
    shown = await page.locator("main").inner_text()
    token = re.search(r"mc_agent_[\w-]+", shown)
    board = re.search(r"/boards/([0-9a-f-]{36})", await page.content())
    assert token
    assert board
    return board[1], token[0]


@repetition
async def test_the_first_steps_from_installation_to_a_decision(
    browser: Browser, installation: Installation, tab: Page
) -> None:
    """See tests/web/test_without_scripts.py, and the tests of each step."""
    board_id, token = await first_steps(tab, installation)
    with ApiClient(installation.url, token) as agent:
        await _hour(browser, installation, tab, agent, board_id)


async def _hour(
    browser: Browser, installation: Installation, tab: Page, agent: ApiClient, board_id: str
) -> None:
    board = f"/agent/boards/{board_id}"

    await expect(tab.get_by_text("Juniper is connected.")).to_have_count(0)
    agent.call("POST", "/agent/heartbeat")
    await expect(tab.get_by_text("Juniper is connected.")).to_be_visible()
    await tab.get_by_role("link", name="Open the board").click()
    await expect(tab.get_by_role("heading", level=1)).to_have_text("Launch")

    await _closed_door(browser, installation)
    assert [one["id"] for one in agent.call("GET", "/agent/boards")["items"]] == [board_id]
    [task] = agent.call("GET", f"{board}/tasks")["items"]
    path = f"{board}/tasks/{task['id']}"

    agent.client.patch(path, json={"status": "in_progress"}).raise_for_status()
    card = tab.locator(f"#task-{task['id']}")
    await expect(tab.locator("[data-status=in_progress]").locator(card)).to_be_visible()

    await card.get_by_role("link", name=task["title"]).click()
    drawer = tab.locator("#drawer")
    await expect(drawer.get_by_role("heading", name=task["title"])).to_be_visible()
    agent.call("POST", f"{path}/comments", message="I begin with the **outline**.")
    await expect(drawer.get_by_text("I begin with the outline.")).to_be_visible()

    answer = agent.client.patch(path, json={"status": "done"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "review_required"
    await tab.keyboard.press("Escape")  # an open task marks its notifications as read
    await expect(drawer).to_be_hidden()

    agent.client.patch(path, json={"status": "review"}).raise_for_status()
    await expect(tab.locator("[data-status=review]").locator(card)).to_be_visible()
    approval = agent.call(
        "POST",
        f"{board}/approvals",
        action_type="task.complete",
        task_id=task["id"],
        confidence=91,
        payload={"title": "Say hello to everybody?", "reason": "It is a friendly thing."},
    )
    overview = tab.get_by_role("navigation", name="Overview")
    await expect(overview.get_by_role("link", name="Needs you 1 waiting")).to_be_visible()
    await expect(overview.get_by_role("link", name="Notifications 1 unread")).to_be_visible()
    await expect(tab).to_have_title(re.compile(r"^\(1\)"))

    await tab.goto("/approvals")
    await tab.get_by_role("button", name=APPROVE).first.click()
    await expect(tab.locator("#toasts [data-undo]")).to_be_visible()
    await _settled(agent, board, approval["id"])

    agent.client.patch(path, json={"status": "done"}).raise_for_status()
    await tab.goto(f"/boards/{board_id}?done=1")
    await expect(tab.locator("[data-status=done]").locator(card)).to_be_visible()


async def _closed_door(browser: Browser, installation: Installation) -> None:
    """The link is dead, and no page offers a stranger to become an owner."""
    context = await new_context(browser, installation, viewport=PHONE)
    page = await context.new_page()
    for address in (installation.link, "/first-run", "/sign-in", "/welcome", "/"):
        await page.goto(address)
        await expect(page.get_by_role("button", name="Become the owner")).to_have_count(0)
    await context.close()


async def _settled(agent: ApiClient, board: str, approval_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            [approval] = agent.call("GET", f"{board}/approvals")["items"]
            assert approval["id"] == approval_id
            if approval["status"] == "approved":
                return
            await asyncio.sleep(0.02)


async def test_the_first_page_saves_the_time_zone_of_the_browser(bob: BrowserContext) -> None:
    page = await bob.new_page()
    async with page.expect_response("**/settings/time-zone") as saved:
        await page.goto("/boards")
    assert (await saved.value).status == 204
    await page.goto("/settings")
    await expect(page.get_by_text("there now.")).to_be_visible()
