"""Rows of the inbox appear, move and disappear one by one."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Page, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.browser.test_approvals import ApprovalScenario, expect_toast, press_decision_key
from tests.browser.test_inbox_keys import add_requests, board, expect_open
from tests.support.live_site import LiveSite, headline
from tests.support.tiers import repetition

__all__ = ["board"]


def record_lists(page: Page) -> list[str]:
    """Return a list to which the addresses of loaded lists and items are added."""
    loaded: list[str] = []
    is_list = re.compile(r"/approvals(\?|/[0-9a-f-]{36}(\?|$)|$)")

    def record(request: Any) -> None:
        if request.method == "GET" and is_list.search(request.url):
            loaded.append(request.url)

    page.on("request", record)
    return loaded


async def expect_live(page: Page) -> None:
    await expect(page.locator(".live[data-state=live]").first).to_be_visible()


async def test_decisions_change_one_row_and_show_the_next_request(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    ids = await add_requests(database, board, 60)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        await expect_live(page)
        await expect_open(page, {"id": ids[0]})
        loaded = record_lists(page)
        for place in range(3):
            await press_decision_key(page, "r")
            await expect_open(page, {"id": ids[place + 1]})
            await expect(page.locator(f"#decided-rows #approval-{ids[place]}")).to_be_visible()
        await expect(page.get_by_text("1 to 47 of 57")).to_be_visible()
        await expect(page.locator("#waiting-count")).to_have_text("57")
        await expect(page.locator("#rail")).to_have_attribute("data-needs", re.compile("^\\d+$"))
        assert loaded == []
        decided = page.locator("#decided-rows > [data-item]")
        await expect(decided.first).to_have_id(f"approval-{ids[2]}")


async def test_the_last_decision_of_a_page_loads_the_next_page(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    ids = await add_requests(database, board, 52)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        await expect_live(page)
        await page.locator(f"#approval-{ids[49]} a").click()
        await expect_open(page, {"id": ids[49]})
        await press_decision_key(page, "r")
        await expect_open(page, {"id": ids[50]})
        await expect(page.locator("[data-rows] > [data-item]")).to_have_count(50)


async def test_requests_of_others_appear_and_move_without_the_list(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "One by one", "One?", "Two?", "Three?")
    one, two, _three = scenario.approvals
    async with site.open_page(scenario.list) as page:
        await expect_live(page)
        await expect_open(page, one)
        loaded = record_lists(page)
        task = site.create_task(scenario.board, "Four")
        four = site.request_approval(scenario.agent, scenario.board, task, "Four?")
        rows = page.locator("[data-rows] > [data-item]")
        await expect(rows).to_have_count(4)
        await expect(rows.nth(3)).to_have_id(f"approval-{four['id']}")
        body = {"ids": [two["id"]], "status": "rejected"}
        site.owner.client.post("/approvals/decisions", json=body).raise_for_status()
        await expect(page.locator(f"#decided-rows #approval-{two['id']}")).to_be_visible()
        await expect(rows).to_have_count(3)
        await expect(page.locator("#waiting-count")).to_have_text("3")
        assert loaded == []
        await expect_open(page, one)
        await page.get_by_label(f"Select: {headline('Four?')}").check()
        bar = page.get_by_role("toolbar")
        await bar.get_by_role("button", name="Reject 1").click()
        await expect_toast(page, "1 rejected")


async def test_a_change_of_a_task_loads_only_the_row_of_its_request(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Task changes", "One?", "Two?", "Three?")
    one, two, _three = scenario.approvals
    ours = {one["id"] for one in scenario.approvals}
    requested: set[str] = set()

    def record(request: Any) -> None:
        if "/approvals/rows" in request.url:  # also for requests of earlier tests that become final
            requested.update(ours & {*parse_qs(urlsplit(request.url).query)["id"]})

    async with site.open_page(scenario.list) as page:
        await expect_live(page)
        await expect_open(page, one)
        page.on("request", record)
        loaded = record_lists(page)
        other = site.create_task(scenario.board, "Not in the inbox")
        site.update_task(scenario.board, other, title="Renamed")
        site.update_task(scenario.board, scenario.tasks[1], title="Another title")
        row = page.locator(f"[data-rows] #approval-{two['id']}")
        await expect(row.get_by_text("Changed since the request")).to_be_visible()
        assert (requested, loaded) == ({two["id"]}, [])
        await expect_open(page, one)
        site.update_task(scenario.board, scenario.tasks[0], title="Title of the open one")
        changed = page.locator("#detail").get_by_text("Title of the open one")
        await expect(changed.first).to_be_visible()
        assert requested == {two["id"]}


@repetition
async def test_equal_requests_arrive_as_one_row(site: LiveSite) -> None:
    """The steps are stated in tests/web/test_inbox_orders.py and tests/web/test_inbox_rows.py."""
    board = site.create_board("Equal")
    agents = [site.create_agent(board, f"Oak {number}") for number in range(3)]
    fields: dict[str, Any] = {"action_type": "deploy", "confidence": 90, "payload": {"reason": "R"}}
    path = f"/agent/boards/{board['id']}/approvals"
    agents[0].call("POST", path, **fields)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        await expect_live(page)
        rows = page.locator("[data-rows] > [data-item]")
        await expect(rows).to_have_count(1)
        for agent in agents[1:]:
            agent.call("POST", path, **fields)
        link = page.get_by_role("link", name="3 identical requests")
        await expect(link).to_be_visible()
        await expect(rows).to_have_count(1)
        await link.click()
        await expect(rows).to_have_count(3)
        await page.get_by_role("button", name="Approve 3").click()
        await expect_toast(page, "3 approved")
        await expect(rows).to_have_count(0)
