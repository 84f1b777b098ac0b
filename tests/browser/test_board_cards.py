"""Changes of single tasks on open boards: one card is loaded, whatever the size of the board."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from playwright.async_api import Page, Request, Route, expect

from tests.support.live_site import LiveSite
from tests.support.tiers import repetition

MAX_CARDS = 5  # that are loaded one by one, as in static/parts.js


def record_requests(page: Page) -> Callable[[str], list[str]]:
    """Record the requests of a page, and return a function that lists the paths with a text."""
    paths: list[str] = []

    def note(request: Request) -> None:
        paths.append(request.url.partition("//")[2].partition("/")[2])

    page.on("request", note)
    return lambda text: [path for path in paths if text in path]


async def rename(site: LiveSite, board: dict[str, Any], task: dict[str, Any], title: str) -> None:
    site.update_task(board, task, title=title)


async def test_a_renamed_task_reloads_one_card_which_can_still_be_moved(site: LiveSite) -> None:
    board = site.create_board("Renaming")
    first, second = site.create_task(board, "First"), site.create_task(board, "Second")
    async with site.open_page(f"/boards/{board['id']}") as page:
        requested = record_requests(page)
        for title in ("Renamed once", "Renamed twice"):
            await rename(site, board, first, title)
            await expect(page.locator(f"#task-{first['id']}")).to_contain_text(title)
        assert len(requested("/cards/")) == 2
        assert not requested("/columns")

        await rename(site, board, second, "Renamed too")
        await expect(page.locator(f"#task-{second['id']}")).to_contain_text("Renamed too")
        assert len(requested("/cards/")) == 3

        card = page.locator(f"#task-{second['id']}")
        await card.get_by_role("button", name="Actions for “").click()
        await page.locator("#card-menu").get_by_role("button", name="In progress").click()
        moved = page.locator("#column-in_progress").locator(f"#task-{second['id']}")
        await expect(moved).to_be_visible()


async def test_a_renamed_task_appears_in_a_filter_that_it_fits_now(site: LiveSite) -> None:
    board = site.create_board("Filtered")
    task = site.create_task(board, "Nothing of interest")
    async with site.open_page(f"/boards/{board['id']}?q=lighthouse") as page:
        card = page.locator(f"#task-{task['id']}")
        await expect(card).to_have_count(0)
        await rename(site, board, task, "Paint the lighthouse")
        await expect(card).to_be_visible()
        await rename(site, board, task, "Paint the door")
        await expect(card).to_have_count(0)


def find_agent(site: LiveSite, board: dict[str, Any]) -> dict[str, Any]:
    agents = site.owner.call("GET", "/agents?limit=200")["items"]
    [agent] = [one for one in agents if one["board_id"] == board["id"]]
    return agent


@repetition
async def test_the_state_of_an_agent_reloads_only_its_cards(site: LiveSite) -> None:
    """As a renamed task; tests/live/test_page_stream.py has the states of agents."""
    board, never_called = site.create_board("First calls"), "Its agent has never called"
    agent, other = site.create_agent(board), site.create_task(board, "Of nobody")
    assignee = find_agent(site, board)["id"]
    task = site.create_task(board, "Of the agent", assigned_agent_id=assignee)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        card = page.locator(f"#task-{task['id']}")
        await expect(card).to_contain_text(never_called)
        requested = record_requests(page)
        agent.call("POST", "/agent/heartbeat")
        await expect(card).not_to_contain_text(never_called)
        site.update_task(board, other, title="Of nobody yet")  # after all events of the call
        await expect(page.locator(f"#task-{other['id']}")).to_contain_text("Of nobody yet")
        assert [path.rpartition("/")[2] for path in requested("/cards/")] == [
            *(task["id"], other["id"])
        ]
        assert not requested("/columns")


@repetition
async def test_many_cards_of_an_agent_are_reloaded_with_their_board(site: LiveSite) -> None:
    """Only the number of requests is different from that of few cards."""
    board = site.create_board("Busy agent")
    agent = site.create_agent(board)
    assignee = find_agent(site, board)["id"]
    for number in range(MAX_CARDS + 1):
        site.create_task(board, f"Part {number}", assigned_agent_id=assignee)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        waiting = page.locator("#board-view").get_by_text("Its agent has never called")
        await expect(waiting).to_have_count(MAX_CARDS + 1)
        requested = record_requests(page)
        agent.call("POST", "/agent/heartbeat")
        await expect(waiting).to_have_count(0)
        assert len(requested("/columns")) == 1
        assert not requested("/cards/")


class HeldResponse:
    """Holds the next response to an address with a text back, with the content of that moment."""

    def __init__(self) -> None:
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def hold(self, page: Page, text: str) -> None:
        await page.route(f"**{text}**", self._handle, times=1)

    async def _handle(self, route: Route) -> None:
        response = await route.fetch()
        self.arrived.set()
        await self.released.wait()
        await route.fulfill(response=response)


async def test_an_old_board_does_not_replace_a_newer_card(site: LiveSite) -> None:
    board = site.create_board("Slow board")
    task, other = site.create_task(board, "Old title"), site.create_task(board, "Other")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "/columns")
        site.update_task(board, other, status="review")
        await asyncio.wait_for(held.arrived.wait(), 60)
        site.update_task(board, task, title="New title")
        await expect(page.locator(f"#task-{task['id']}")).to_contain_text("New title")
        held.released.set()
        moved = page.locator("#column-review").locator(f"#task-{other['id']}")
        await expect(moved).to_be_visible()
        await expect(page.locator(f"#task-{task['id']}")).to_contain_text("New title")


async def test_an_old_card_does_not_replace_a_newer_board(site: LiveSite) -> None:
    board = site.create_board("Slow card")
    task, other = site.create_task(board, "First title"), site.create_task(board, "Other")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "/cards/")
        site.update_task(board, task, title="Second title")
        await asyncio.wait_for(held.arrived.wait(), 60)
        site.update_task(board, task, title="Third title", status="review")
        moved = page.locator("#column-review").locator(f"#task-{task['id']}")
        await expect(moved).to_contain_text("Third title")
        async with page.expect_response("**/cards/**"):
            held.released.set()
        site.update_task(board, other, title="Afterwards")  # shown after the old card was discarded
        await expect(page.locator(f"#task-{other['id']}")).to_contain_text("Afterwards")
        await expect(moved).to_contain_text("Third title")


@repetition
async def test_a_move_loads_only_the_card_that_changed(site: LiveSite) -> None:
    """The response is stated in tests/web/test_known_cards.py."""
    board = site.create_board("Small moves")
    tasks = [site.create_task(board, title) for title in ("First", "Second", "Third")]
    async with site.open_page(f"/boards/{board['id']}") as page:
        async with page.expect_response("**/columns**") as response:
            site.update_task(board, tasks[1], status="review")
        text = await (await response.value).text()
        assert "Second" in text
        assert "First" not in text
        moved = page.locator("#column-review").locator(f"#task-{tasks[1]['id']}")
        await expect(moved).to_be_visible()
        titles = page.locator("#column-inbox h3 a")
        await expect(titles).to_have_text(["Third", "First"])


async def test_links_of_cards_that_stay_have_the_new_filter(site: LiveSite) -> None:
    board = site.create_board("Filtered links")
    task, other = site.create_task(board, "Paint the door"), site.create_task(board, "Hang it")
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.keyboard.press("/")
        await page.keyboard.type("door")
        await expect(page.locator(f"#task-{other['id']}")).to_have_count(0)
        link = page.locator(f"#task-{task['id']} h3 a")
        await expect(link).to_have_attribute(
            "href", f"/boards/{board['id']}/tasks/{task['id']}?q=door"
        )
        await link.click()
        await expect(page.locator("#drawer .drawer__body")).to_be_visible()
        await expect(page).to_have_url(re.compile(r"/tasks/[^?]*\?q=door$"))
        await page.get_by_role("link", name="Show all").click()
        await expect(page.locator("#column-inbox h3 a")).to_have_text(["Hang it", "Paint the door"])
        await expect(link).to_have_attribute("href", f"/boards/{board['id']}/tasks/{task['id']}")
        await expect(page).to_have_url(re.compile(rf"/tasks/{task['id']}$"))


async def test_a_link_that_removes_a_filter_unticks_it(site: LiveSite) -> None:
    board = site.create_board("Filters")
    for priority in ("low", "high"):
        site.create_task(board, f"Task {priority}", priority=priority)
    async with site.open_page(f"/boards/{board['id']}") as page:
        await page.locator("#more-filters summary").click()
        await page.get_by_label("High", exact=True).check()
        await expect(page.locator(".card")).to_have_count(1)
        await page.get_by_role("link", name="Show all").click()
        await expect(page.locator(".card")).to_have_count(2)
        await expect(page.locator("#filters [value=high]")).not_to_be_checked()
        await page.get_by_label("Search tasks").fill("Task")
        await expect(page).to_have_url(re.compile(r"\?q=Task$"))


async def test_a_filter_that_answers_late_keeps_the_opened_task(site: LiveSite) -> None:
    board = site.create_board("Late filter")
    task = site.create_task(board, "Paint the door")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "q=door")
        await page.get_by_label("Search tasks").fill("door")
        await asyncio.wait_for(held.arrived.wait(), 60)
        # The field loses the focus to the drawer: it sends another request, which is not held.
        await page.locator(f"#task-{task['id']} h3 a").evaluate("link => link.click()")
        await expect(page.locator("#drawer")).to_contain_text("Paint the door")
        held.released.set()
        await expect(page).to_have_url(re.compile(rf"/tasks/{task['id']}\?q=door$"))
        await expect(page.locator("#drawer")).to_contain_text("Paint the door")


async def test_a_board_that_changed_after_it_named_its_cards_is_completed(site: LiveSite) -> None:
    board = site.create_board("Lost")
    task, other = site.create_task(board, "Is lost"), site.create_task(board, "Moves")
    async with site.open_page(f"/boards/{board['id']}") as page:
        held = HeldResponse()
        await held.hold(page, "/columns")
        site.update_task(board, other, status="review")
        await asyncio.wait_for(held.arrived.wait(), 60)
        await page.evaluate("id => document.getElementById(id).remove()", f"task-{task['id']}")
        held.released.set()
        await expect(page.locator(f"#column-inbox #task-{task['id']}")).to_contain_text("Is lost")
        await expect(page.locator("[data-keep]")).to_have_count(0)

        held = HeldResponse()
        await held.hold(page, "/columns")
        site.update_task(board, other, status="in_progress")
        await asyncio.wait_for(held.arrived.wait(), 60)
        replace = "column => { column.dataset.hash = 'newer'; column.querySelector('ul').remove() }"
        await page.locator("#column-inbox").evaluate(replace)
        held.released.set()
        await expect(page.locator(f"#column-inbox #task-{task['id']}")).to_be_visible()


@repetition
async def test_a_renamed_task_reloads_the_agents_only_if_one_works_on_it(site: LiveSite) -> None:
    """Only the number of requests is less."""
    board = site.create_board("Working")
    site.create_agent(board)
    agent = find_agent(site, board)
    task, other = site.create_task(board, "Is done by an agent"), site.create_task(board, "Waits")
    site.update_task(board, task, status="in_progress", assigned_agent_id=agent["id"])
    async with site.open_page(f"/boards/{board['id']}") as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        requested = record_requests(page)
        await rename(site, board, other, "Still waits")
        await expect(page.locator(f"#task-{other['id']}")).to_contain_text("Still waits")
        assert not requested("/agents-panel")
        async with page.expect_request("**/agents-panel"):
            await rename(site, board, task, "Has another name")
