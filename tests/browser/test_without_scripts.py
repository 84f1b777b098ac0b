"""Everything works without scripts, by forms and links."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, expect

from tests.support.installation import ApiClient, Installation
from tests.support.live_site import OWNER, LiveSite, headline
from tests.support.page_checks import PHONE, WIDE, new_context


@asynccontextmanager
async def plain(site: LiveSite, address: str) -> AsyncGenerator[Page]:
    """Open a page of the owner without scripts."""
    page = await site.new_tab(java_script_enabled=False)
    await page.goto(address)
    yield page
    await page.context.close()


def column(page: Page, status: str):
    return page.locator(f"#column-{status}")


async def test_the_first_steps_without_scripts(
    browser: Browser, installation: Installation
) -> None:
    context = await new_context(browser, installation, java_script_enabled=False)
    page = await context.new_page()
    await page.goto(installation.link)
    await page.locator("[name=link]").fill(installation.link)  # browsers keep the part after the #
    await page.get_by_role("button", name="Open").click()
    for name, value in OWNER.items():
        await page.locator(f"[name={name}]").fill(value)
    await page.get_by_role("button", name="Become the owner").click()
    await page.locator("[name=name]").fill("Tern")
    await page.get_by_role("button", name="Save and continue").click()
    await page.locator("[name=name]").fill("Launch")
    await page.locator("[name=description]").fill("All about the launch")
    await page.get_by_role("button", name="Create board and continue").click()
    await page.locator("[name=name]").fill("Juniper")
    await page.get_by_role("button", name="Add agent and continue").click()
    token = re.search(r"mc_agent_[\w-]+", await page.locator("main").inner_text())
    assert token

    await expect(page.get_by_text("Juniper is connected.")).to_have_count(0)
    with ApiClient(installation.url, token[0]) as agent:
        agent.call("POST", "/agent/heartbeat")
    await page.get_by_role("link", name="Check again").click()
    await expect(page.get_by_text("Juniper is connected.")).to_be_visible()
    await page.get_by_role("link", name="Open the board").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Launch")
    await expect(column(page, "inbox")).to_contain_text("Say hello")
    await context.close()


async def test_signing_in_and_out_without_scripts(site: LiveSite) -> None:
    context = await new_context(site.browser, site.installation, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/agents")
    await page.get_by_label("E-mail").fill(OWNER["email"])
    await page.get_by_label("Password", exact=True).fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_label("E-mail")).to_have_value(OWNER["email"])
    await expect(page.locator("#field-password-error")).to_be_visible()

    await page.get_by_label("Password", exact=True).fill(OWNER["password"])
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(re.compile("/agents$"))
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await page.goto("/boards")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    await context.close()


async def test_a_board_and_moving_a_task_without_scripts(site: LiveSite) -> None:
    async with plain(site, "/boards") as page:
        await page.get_by_role("link", name="New board").first.click()
        await page.get_by_label("Name").fill("Plain work")
        await page.get_by_label("Description").fill("Done by forms")
        if await (gateway := page.get_by_label("Gateway")).count():  # another test has created one
            await gateway.select_option("")
        await page.get_by_role("button", name="Create board").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Plain work")

        await page.get_by_role("link", name="New task N").click()
        await page.get_by_label("Title").fill("Paint the door")
        await page.get_by_label("Priority").select_option("high")
        await page.get_by_role("button", name="Add task").click()
        card = page.locator(".card", has_text="Paint the door")
        await expect(column(page, "inbox").locator(card)).to_be_visible()

        await card.hover()
        await card.get_by_role("button", name="Actions for “").click()
        properties = page.get_by_role("complementary", name="Properties")
        await properties.locator("summary", has_text="Status:").click()
        await properties.get_by_role("button", name="Review").click()
        await page.get_by_label("Breadcrumb").get_by_role("link", name="Plain work").click()
        await expect(column(page, "review").locator(card)).to_be_visible()

        await card.get_by_role("link", name="Paint the door").click()
        await properties.locator("summary", has_text="Status:").click()
        await properties.get_by_role("button", name="Done").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Needs an approval.")
        await page.get_by_role("button", name="Approve and move to Done").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Paint the door")
        await expect(properties.locator("summary", has_text="Status:")).to_contain_text("Done")
        await expect(page.get_by_text("approved: Complete the task")).to_be_visible()


async def test_filters_list_and_done_column_without_scripts(site: LiveSite) -> None:
    board = site.create_board("Plain filters")
    site.create_task(board, "Paint the door")
    site.update_task(board, site.create_task(board, "Hang the sign"), status="done")
    async with plain(site, f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="Expand Done: 1 task").click()
        await expect(column(page, "done")).to_contain_text("Hang the sign")
        await page.get_by_label("Filter tasks").fill("door")
        await page.get_by_role("button", name="Filter", exact=True).click()
        await expect(page.get_by_text("Hang the sign")).to_have_count(0)
        await expect(column(page, "inbox")).to_contain_text("Paint the door")
        await page.get_by_role("link", name="List", exact=True).click()
        await expect(page.locator("tr[data-item]")).to_have_count(1)
        await page.get_by_role("link", name="Show all").click()
        await expect(page.locator("tr[data-item]")).to_have_count(2)


async def test_changing_commenting_and_restoring_a_task_without_scripts(site: LiveSite) -> None:
    board = site.create_board("Plain task")
    task = site.create_task(board, "Paint the door")
    async with plain(site, f"/boards/{board['id']}") as page:
        await page.get_by_role("link", name="Paint the door").click()
        properties = page.get_by_role("complementary", name="Properties")
        await properties.locator("summary", has_text="Priority:").click()
        await properties.get_by_role("button", name="High").click()
        await expect(properties.locator("summary", has_text="Priority:")).to_contain_text("High")

        await page.locator("#edit-title > summary").click()
        await page.get_by_label("Title", exact=True).fill("Paint the green door")
        await page.get_by_role("button", name="Save").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Paint the green door")
        await page.locator("#edit-text > summary").click()
        await page.get_by_label("Description").fill("Twice.")
        await page.locator("#edit-text").get_by_role("button", name="Save").click()
        await expect(page.locator("#task-prose")).to_have_text("Twice.")

        await page.get_by_label("Comment", exact=True).fill("The paint is **here**.")
        await page.get_by_role("button", name="Send").click()
        await expect(page.locator("#conversation")).to_contain_text("The paint is here.")

        await page.locator("#task-actions > summary").click()
        await page.get_by_role("button", name="Delete task").click()
        await expect(page.get_by_text("Task deleted")).to_be_visible()
        assert site.list_tasks(board) == {}
        await page.get_by_role("button", name="Undo").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Paint the green door")
    assert site.list_tasks(board)["Paint the green door"]["id"] == task["id"]
    assert site.list_tasks(board)["Paint the green door"]["priority"] == "high"


async def test_deciding_undoing_and_deciding_again_without_scripts(site: LiveSite) -> None:
    board = site.create_board("Plain questions")
    agent, task = site.create_agent(board), site.create_task(board, "Print the poster")
    site.request_approval(agent, board, task, "Print it in red?")
    path = f"/agent/boards/{board['id']}/approvals"
    async with plain(site, f"/approvals?board={board['id']}") as page:
        await page.get_by_label("Note for Juniper").fill("Please.")
        await page.get_by_role("button", name="Approve (agent moves it) A", exact=True).click()
        await page.locator("#toasts").get_by_role("button", name="Undo").click()
        await expect(page.get_by_role("button", name="Reject R")).to_be_visible()
        [approval] = agent.call("GET", path)["items"]
        assert approval["status"] == "pending"

        await page.get_by_role("button", name="Reject R").click()
        await expect(page.get_by_text(f"Rejected. {headline('Print the poster')}")).to_be_visible()
    async with asyncio.timeout(30):
        while agent.call("GET", path)["items"][0]["status"] != "rejected":
            await asyncio.sleep(0.1)


async def test_bulk_decisions_without_scripts(site: LiveSite) -> None:
    board = site.create_board("Plain questions, several")
    agent = site.create_agent(board)
    for title in ("One", "Two"):
        site.request_approval(agent, board, site.create_task(board, title), title)
    async with plain(site, f"/approvals?board={board['id']}") as page:
        for title in ("One", "Two"):
            await page.get_by_label(f"Select: {headline(title)}").check()
        async with page.expect_event(
            "response", lambda response: response.request.method == "POST"
        ):
            await page.get_by_role("button", name="Approve", exact=True).click()
        await page.goto(f"/approvals?board={board['id']}")
        await expect(page.get_by_text("You approved · ")).to_have_count(2)


async def test_settings_of_users_and_boards_without_scripts(site: LiveSite) -> None:
    board = site.create_board("Plain rules", require_review_before_done=False)
    async with plain(site, "/settings") as page:
        await page.get_by_label("Preferred name").fill("Olly")
        await page.get_by_role("button", name="Save").first.click()
        await expect(page.locator("#saved")).to_contain_text("Saved")
        await expect(page.get_by_label("Preferred name")).to_have_value("Olly")
        await page.get_by_label("Preferred name").fill("")  # other tests use the name of the owner
        await page.get_by_role("button", name="Save").first.click()
        await expect(page.get_by_label("Preferred name")).to_have_value("")

        await page.goto(f"/boards/{board['id']}/settings")
        await page.locator("[name=require_review_before_done]").check()
        await page.get_by_role("button", name="Save the rules").click()
        await expect(page.locator("[name=require_review_before_done]")).to_be_checked()
    found = site.owner.call("GET", f"/boards/{board['id']}")
    assert found["require_review_before_done"] is True


async def test_the_search_opens_without_scripts(site: LiveSite) -> None:
    for size, name in ((WIDE, "Search…"), (PHONE, "Search")):
        page = await site.new_tab(java_script_enabled=False, viewport=size)
        await page.goto("/activity")
        await page.get_by_role("link", name=name, exact=True).locator("visible=true").first.click()
        await expect(page.get_by_role("searchbox")).to_be_visible()
        assert page.url.endswith("/search")
        await page.context.close()
