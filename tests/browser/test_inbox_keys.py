"""In the inbox, the row with the ring and the request that is shown are always the same."""

import asyncio
import os
import random
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from playwright.async_api import Page, Route, expect
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from core.clock import now
from models import Approval, ApprovalStatus, Event, EventType, new_id
from tests.browser.test_approvals import ApprovalScenario, expect_toast, press_decision_key
from tests.support.board_rows import hash_request
from tests.support.live_site import LiveSite, headline
from tests.support.tiers import IS_COMPLETE_RUN, repetition

SEED_VARIABLE = "INBOX_KEYS_SEED"  # repeats the presses of a failed run
PRESSES, MIN_DECISIONS = (1_000, 25) if IS_COMPLETE_RUN else (50, 2)
MAX_PRESSES = 4 * PRESSES  # until there are MIN_DECISIONS
FIRST_REQUESTS = 60
WEIGHTS = {
    "j": 26,
    "k": 16,
    "a": 10,
    "r": 8,
    "open": 10,
    "z": 6,
    "row": 8,
    "button": 3,
    "arrives": 4,
    "decided": 3,
    "settles": 6,
}
# When a form that decides is submitted, before the scripts of the page know of it, this records
# the row with the ring and the request that is shown. Each press also passes the half second that
# the page waits before it accepts a decision.
RECORD = """(() => {
  const now = Date.now.bind(Date);
  let passed = 0;
  Date.now = () => now() + passed;
  window.submitted = [];
  window.requests = 0;
  addEventListener("htmx:before:request", () => { requests++; });
  addEventListener("htmx:finally:request", () => { requests--; });
  const idOf = (element) => element?.id.replace(/^[a-z]+-/, "") ?? "";
  window.readView = () => {
    const current = [...document.querySelectorAll("#inbox [data-item][aria-current=true]")];
    const focused = document.activeElement.closest("#inbox [data-item]");
    return {
      ring: idOf(focused ?? current[0]),
      current: current.map(idOf).join(),
      shown: idOf(document.querySelector("#detail .detail__in")),
    };
  };
  addEventListener("keydown", () => { passed += 600; }, true);
  addEventListener("pointerdown", () => { passed += 600; }, true);
  addEventListener("submit", (event) => {
    const [, id] = event.target.getAttribute("action").match(/approvals\\/([^/]+)\\/answers/) ?? [];
    if (id) window.submitted.push({ id, ...window.readView() });
  }, true);
})()"""
PLACE_OF_ROW = """(chance) => {
  const links = [...document.querySelectorAll("#inbox [data-item] h3 a")];
  const link = links[Math.floor(chance * links.length)];
  link?.scrollIntoView({ block: "nearest" });
  const { x, y } = link?.getBoundingClientRect() ?? { x: 0, y: 0 };
  return [x + 4, y + 4];
}"""
PLACE_OF_BUTTON = """(value) => {
  const button = document.querySelector(`#detail .decide button[value=${value}]`);
  const { x, y } = button?.getBoundingClientRect() ?? {};
  return button && [x + 4, y + 4];
}"""
IS_SETTLED = """() => requests <= 0 && !document.querySelector("#inbox [aria-busy=true]")"""


class Presses:
    """Presses at random, and requests that arrive or are decided elsewhere meanwhile."""

    def __init__(self, site: LiveSite, page: Page, board: dict[str, Any], seed: int) -> None:
        self.site, self.page, self.board = site, page, board
        self.random = random.Random(seed)
        self.agents = [site.create_agent(board, f"Agent {number}") for number in range(5)]
        self.arrived = 0
        self.waiting: list[str] = []  # decided elsewhere, the newest first

    async def press(self, what: str) -> None:
        if len(what) == 1:
            await self.page.keyboard.press(what)
        else:
            await getattr(self, f"_press_{what}")()

    async def _press_row(self) -> None:
        x, y = await self.page.evaluate(PLACE_OF_ROW, self.random.random())
        await self.page.mouse.click(x, y)

    async def _press_button(self) -> None:
        value = self.random.choice(["approved", "rejected"])
        if place := await self.page.evaluate(PLACE_OF_BUTTON, value):
            await self.page.mouse.click(*place)

    async def _press_arrives(self) -> None:
        self.arrived += 1  # of different agents, because the requests of one agent are limited
        made = await asyncio.to_thread(
            self.agents[self.arrived % len(self.agents)].call,
            "POST",
            f"/agent/boards/{self.board['id']}/approvals",
            action_type="deploy",
            confidence=90,
            payload={"reason": f"It is tested {self.arrived} times."},
        )
        self.waiting.append(made["id"])

    async def _press_decided(self) -> None:
        opened = (await self.page.evaluate("readView()"))["shown"]
        ids = [*self.waiting[-1:], *([opened] if self.random.random() < 0.5 else [])]
        del self.waiting[-1:]
        body = {"ids": [id for id in ids if id], "status": "rejected"}
        await asyncio.to_thread(self.site.owner.client.post, "/approvals/decisions", json=body)

    async def _press_open(self) -> None:
        """Decide what is open, when it is shown."""
        await self._press_settles()
        await self.page.keyboard.press(self.random.choice("ar"))

    async def _press_settles(self) -> None:
        await self.page.wait_for_function(IS_SETTLED)


async def add_requests(database: AsyncEngine, board: dict[str, Any], count: int) -> list[str]:
    """Add requests of the last hours, and return their ids, the oldest first."""
    start = now() - timedelta(hours=3)
    made = [
        Approval(
            id=new_id(),
            board_id=UUID(board["id"]),
            action_type=f"deploy.version{number}",
            confidence=90.0,
            payload={"reason": f"Version {number} is tested."},
            status=ApprovalStatus.PENDING,
            created_at=start + timedelta(seconds=number),
        )
        for number in range(count)
    ]
    for one in made:
        one.action_hash = one.requested_hash = hash_request(one, [])
    async with AsyncSession(database, expire_on_commit=False) as session, session.begin():
        session.add_all(made)
    return [str(one.id) for one in made]


@pytest.fixture
def board(site: LiveSite) -> Iterator[dict[str, Any]]:
    """Create a board, and delete it with its many requests, because the tests share the site."""
    board = site.create_board("Many requests")
    yield board
    site.owner.call("DELETE", f"/boards/{board['id']}")


@repetition
async def test_a_decision_is_about_the_row_with_the_ring_that_is_shown(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    """The tests below state it for each of the situations that these presses combine."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(2**32))
    print(f"Repeat these presses with {SEED_VARIABLE}={seed}")
    added = await add_requests(database, board, FIRST_REQUESTS)
    async with site.open_page("/boards") as page:
        await page.add_init_script(RECORD)
        await page.goto(f"/approvals?board={board['id']}")
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        presses = Presses(site, page, board, seed)
        presses.waiting = added[FIRST_REQUESTS // 2 :]
        chosen = presses.random.choices([*WEIGHTS], [*WEIGHTS.values()], k=MAX_PRESSES)
        for number, what in enumerate(chosen):
            # On a slow machine more presses come while a request still loads, and decide nothing.
            if number >= PRESSES and await has_decisions(database, board, MIN_DECISIONS):
                break
            await presses.press(what)
        await page.wait_for_function(IS_SETTLED)
        submitted, view = await page.evaluate("[window.submitted, window.readView()]")
    decided = await list_decided_ids(database, board)
    assert len(decided) >= MIN_DECISIONS
    mixed = [
        one
        for one in submitted
        # Without a row, the request was decided elsewhere: what is shown is not decided again.
        if one["shown"] != one["id"] or one["ring"] not in ("", one["id"])
    ]
    assert not mixed
    # Such a request may have been submitted with its row before.
    assert not Counter(decided) - Counter(one["id"] for one in submitted if one["ring"])
    assert view["ring"] == view["current"] == view["shown"]


async def list_decided_ids(database: AsyncEngine, board: dict[str, Any]) -> list[str]:
    """Return the approval of each decision that was made on a page of the board."""
    query = select(Event.approval_id).where(
        Event.board_id == UUID(board["id"]), Event.type == EventType.APPROVAL_DECIDED
    )
    async with AsyncSession(database) as session:
        return [str(id) for id in await session.scalars(query)]


async def has_decisions(database: AsyncEngine, board: dict[str, Any], count: int) -> bool:
    return len(await list_decided_ids(database, board)) >= count


class HeldResponses:
    """Holds the responses with requests of the inbox until the test lets them pass."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.held: list[Route] = []

    async def hold(self, approval_id: str) -> None:
        pattern = f"**/approvals/{approval_id}*"
        await self.page.route(pattern, lambda route: self.held.append(route))

    async def expect_held(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.held) < count:
                await asyncio.sleep(0)

    async def pass_all(self) -> None:
        for route in self.held:
            await route.continue_()


async def expect_open(page: Page, approval: dict[str, Any]) -> None:
    """Wait until the ring is on the row of an approval, and its content is shown."""
    await expect(page.locator("#inbox [aria-current=true]")).to_have_id(
        f"approval-{approval['id']}"
    )
    await expect(page.locator("#detail:not([aria-busy]) .detail__in")).to_have_id(
        f"detail-{approval['id']}"
    )


async def test_j_and_k_open_the_request_that_they_reach(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Opened by keys", "One?", "Two?", "Three?")
    one, two, three = scenario.approvals
    async with site.open_page("/boards") as page:
        await page.goto(scenario.list)
        await expect_open(page, one)
        entries = await page.evaluate("history.length")
        for key, reached in [("j", two), ("j", three), ("j", three), ("k", two)]:
            await page.keyboard.press(key)
            await expect_open(page, reached)
            row = page.locator(f"#approval-{reached['id']}")
            await expect(row.get_by_role("link")).to_be_focused()
            await expect(row).to_be_in_viewport(ratio=1)
        await expect(page).to_have_url(re.compile(f"/approvals/{two['id']}"))
        assert await page.evaluate("history.length") == entries
        await press_decision_key(page, "a")
        await expect_toast(page, f"Approved. {headline('Two?')}")
        await page.go_back()
        await expect(page).to_have_url(re.compile("/boards$"))


async def test_nothing_is_decided_while_a_request_loads(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Still loading", "One?", "Two?")
    one, two = scenario.approvals
    async with site.open_page(scenario.list) as page:
        responses = HeldResponses(page)
        await responses.hold(two["id"])
        await expect(page.locator('#detail [data-key="a"]')).to_be_enabled()
        await page.keyboard.press("j")
        await responses.expect_held(1)
        await expect(page.locator("#detail")).to_have_attribute("aria-busy", "true")
        for key in "arq":
            await page.keyboard.press(key)
            await expect(page.get_by_text("Ignored: the request is still loading.")).to_be_visible()
        for button in await page.locator("#detail [data-decides]").all():
            await expect(button).to_be_disabled()
            await button.evaluate("button => button.click()")
        await page.keyboard.press("k")
        await expect_open(page, one)
        await responses.pass_all()
        await page.keyboard.press("j")
        await responses.expect_held(2)
        await responses.held.pop().continue_()
        await expect_open(page, two)
        assert scenario.statuses() == ["pending", "pending"]
        await press_decision_key(page, "r")
        await expect_toast(page, f"Rejected. {headline('Two?')}")


async def test_a_late_response_is_not_shown_under_another_row(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Late response", "One?", "Two?", "Three?")
    _, two, three = scenario.approvals
    async with site.open_page(scenario.list) as page:
        responses = HeldResponses(page)
        await responses.hold(two["id"])
        await page.get_by_role("link", name=headline("Two?"), exact=True).click()
        await responses.expect_held(1)
        await page.get_by_role("link", name=headline("Three?"), exact=True).click()
        await expect_open(page, three)
        await responses.pass_all()
        task = site.create_task(scenario.board, "Four")
        site.request_approval(scenario.agent, scenario.board, task, "Four?")
        await expect(page.locator("#inbox [data-item]")).to_have_count(4)
        await expect_open(page, three)


async def test_a_request_that_cannot_be_loaded_is_not_open(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Cut off while loading", "One?", "Two?")
    one, two = scenario.approvals
    async with site.open_page(scenario.list) as page:
        # A list that is loaded when the page connects would show the request instead.
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        await page.route(f"**/approvals/{two['id']}*", lambda route: route.abort())
        await page.keyboard.press("j")
        await expect(page.get_by_role("alert")).to_contain_text("Not loaded. Try again.")
        await expect_open(page, one)
        await press_decision_key(page, "a")
        await expect_toast(page, f"Approved. {headline('One?')}")


async def test_a_key_decides_nothing_if_the_focus_is_on_another_row(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Focus elsewhere", "One?", "Two?")
    one, two = scenario.approvals
    async with site.open_page(scenario.list) as page:
        await expect(page.locator('#detail [data-key="a"]')).to_be_enabled()
        await page.locator(f"#approval-{two['id']} a").focus()
        await page.keyboard.press("a")
        await expect(page.get_by_text("Ignored: another request is open.")).to_be_visible()
        await expect_open(page, one)
        await page.keyboard.press("Enter")
        await expect_open(page, two)
        await press_decision_key(page, "a")
        await expect_toast(page, f"Approved. {headline('Two?')}")


async def test_j_goes_on_after_a_request_that_somebody_else_decided(site: LiveSite) -> None:
    scenario = ApprovalScenario(site, "Decided by others", "One?", "Two?", "Three?")
    one, two, three = scenario.approvals
    async with site.open_page(scenario.list) as page:
        await expect(page.locator(".live[data-state=live]").first).to_be_visible()
        await page.keyboard.press("j")
        await expect_open(page, two)
        body = {"ids": [two["id"]], "status": "rejected"}
        site.owner.client.post("/approvals/decisions", json=body).raise_for_status()
        await expect(page.locator(f"#approval-{two['id']}[data-decided]")).to_be_visible()
        await expect_open(page, two)
        await page.keyboard.press("j")
        await expect_open(page, three)
        await page.keyboard.press("k")
        await expect_open(page, one)


@repetition
async def test_j_opens_questions_of_workers_beside_the_list(site: LiveSite) -> None:
    """J opens the requests of agents in the same way."""
    board = site.create_board("Questions by keys")
    agent = site.create_agent(board)
    path = f"/boards/{board['id']}"
    site.owner.call("PATCH", path, workers_may_ask_people=True)
    for content in ("Which colour?", "Which brush?"):
        agent.call("POST", f"/agent{path}/gateway/main/ask-user", content=content)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        rows = page.locator("#inbox [data-item]")
        await page.keyboard.press("j")
        last = rows.nth(1)
        await expect(last).to_have_attribute("aria-current", "true")
        content = await last.get_by_role("link").inner_text()
        await expect(page.locator("#detail:not([aria-busy])")).to_contain_text(content)
        await page.reload()
        await expect(page.locator("#detail")).to_contain_text(content)
        await last.get_by_role("link").click()
        await expect(page).to_have_url(re.compile("/questions/"))


async def test_j_and_k_go_on_to_the_rows_of_the_next_page(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    ids = await add_requests(database, board, 60)
    async with site.open_page("/boards") as page:
        await page.goto(f"/approvals?board={board['id']}")
        entries = await page.evaluate("history.length")
        await page.locator(f"#approval-{ids[49]} a").click()
        await expect_open(page, {"id": ids[49]})
        for key, place in [("j", 50), ("j", 51), ("k", 50), ("k", 49), ("j", 50)]:
            await page.keyboard.press(key)
            await expect_open(page, {"id": ids[place]})
            row = page.locator(f"#approval-{ids[place]}")
            await expect(row.get_by_role("link")).to_be_focused()
            await expect(row).to_be_in_viewport(ratio=1)
        assert await page.evaluate("history.length") == entries + 1  # of the click


async def test_a_selection_contains_only_rows_of_the_page(
    site: LiveSite, database: AsyncEngine, board: dict[str, Any]
) -> None:
    ids = await add_requests(database, board, 60)
    async with site.open_page(f"/approvals?board={board['id']}") as page:
        boxes, bar = page.locator("input[data-pick]"), page.get_by_role("toolbar")
        await boxes.first.check()
        await boxes.nth(49).click(modifiers=["Shift"])
        await expect(bar.get_by_role("button", name="Approve 50")).to_be_visible()
        await boxes.nth(9).click(modifiers=["Shift"])
        await expect(bar.get_by_role("button", name="Approve 9", exact=True)).to_be_visible()
        await expect(page.locator("input[data-pick]:checked")).to_have_count(9)
        await page.get_by_role("link", name="Next", exact=True).click()
        await expect_open(page, {"id": ids[50]})
        await expect(page.locator("input[data-pick]:checked")).to_have_count(0)
        await expect(bar).to_be_hidden()
        await expect(page.get_by_text("51 to 60 of 60")).to_be_visible()
        await boxes.nth(1).check()
        await bar.get_by_role("button", name="Reject 1").click()
        await expect_toast(page, "1 rejected")
    assert await list_decided_ids(database, board) == [ids[51]]
