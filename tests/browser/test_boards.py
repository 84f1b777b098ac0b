"""The list of boards, the settings of a board, and its deletion, in a browser."""

import re

from playwright.async_api import expect

from tests.support.live_site import LiveSite
from tests.support.page_checks import choose


async def test_boards_are_filtered_and_sorted(site: LiveSite) -> None:
    for name in ("Wharf A", "Wharf B"):
        site.create_board(name)
    async with site.open_page("/boards") as page:
        names = page.locator("#boards tbody th a.n")
        await page.get_by_label("Search boards").press_sequentially("wharf")
        await expect(names).to_have_text(["Wharf A", "Wharf B"])
        await expect(page).to_have_url(re.compile("q=wharf"))
        order = page.get_by_role("columnheader", name="Board", exact=True)
        await order.get_by_role("link").click()
        await expect(names).to_have_text(["Wharf B", "Wharf A"])
        await expect(order).to_have_attribute("aria-sort", "descending")
        await page.reload()
        await expect(names).to_have_text(["Wharf B", "Wharf A"])
        await page.get_by_label("Search boards").fill("wharf c")
        await page.get_by_role("link", name="Show all boards").click()
        await expect(page.get_by_label("Search boards")).to_have_value("")


async def test_all_settings_of_a_board_are_changed_and_it_is_deleted(site: LiveSite) -> None:
    board = site.create_board("Slipway")
    group = site.owner.call("POST", "/board-groups", name="Shipyard", description="All slips")
    address = f"/boards/{board['id']}/settings"
    async with site.open_page(address) as page:
        about, goal, agents = (page.locator(f"#{name}") for name in ("about", "goal", "agents"))
        await about.get_by_label("Name", exact=True).fill("Slipway 2")
        await about.get_by_label("Description").fill("Where ships are built.")
        await choose(about.get_by_role("button", name="Group"), "Shipyard")
        await about.get_by_role("button", name="Save").click()
        await expect(page.locator("#saved")).to_contain_text("Saved")

        await goal.get_by_label("Ends when its objective is reached").check()
        await goal.get_by_label("Measure 1", exact=True).fill("Ships")
        await goal.get_by_label("Target of measure 1").fill("3")
        await goal.get_by_label("Target date").fill("2030-05-01")
        await goal.get_by_role("button", name="Save").click()
        objective = goal.get_by_label("Objective", exact=True)
        await expect(objective).to_have_attribute("aria-invalid", "true")
        await objective.fill("Launch three ships.")
        await goal.get_by_role("button", name="Save").click()
        await expect(page.locator("#saved")).to_contain_text("Saved")

        await agents.get_by_label("Maximum workers").fill("4")
        await agents.get_by_role("button", name="Save").click()
        await expect(agents.get_by_label("Maximum workers")).to_have_value("4")
        rules = page.locator("#rules input[role=switch]")
        for position in range(await rules.count()):  # each is saved at once
            async with page.expect_response(lambda it: it.request.method == "POST"):
                await rules.nth(position).click()
    found = site.owner.call("GET", f"/boards/{board['id']}")
    expected = {
        "name": "Slipway 2",
        "description": "Where ships are built.",
        "board_group_id": group["id"],
        "board_type": "goal",
        "objective": "Launch three ships.",
        "success_metrics": {"Ships": "3"},
        "max_agents": 4,
    }
    assert found | expected == found
    assert found["target_date"].startswith("2030-05-01")
    names = [name for name in board if name.startswith(("require_", "block_", "comment_", "only_"))]
    assert len(names) >= 4
    assert all(found[name] != board[name] for name in names), names
    async with site.open_page(address) as page:
        await page.get_by_label("Type its name to delete it").fill("Slipway 2")
        await page.get_by_role("button", name="Delete board").click()
        await expect(page).to_have_url(re.compile("/boards$"))
        await expect(page.locator("#boards").get_by_text("Slipway 2")).to_have_count(0)
