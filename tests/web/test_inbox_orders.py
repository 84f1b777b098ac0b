"""The inbox is ordered and filtered, and identical requests are one row."""

import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core.clock import now
from models import Approval, ApprovalStatus, PolicyVerdict, RiskLevel
from services import approvals, boards
from services.approvals import ApprovalCreate
from services.inbox import WaitingOrder
from tests.conftest import rolled_back_changes
from tests.support.approval_pages import HTMX, stored
from tests.support.board_rows import make_task
from tests.support.plain_browser import PlainPage
from tests.support.tiers import IS_COMPLETE_RUN, select_options
from tests.web.test_decision_form import change_task
from tests.web.test_inbox_pages import read_rows, walk

MIXED = 500 if IS_COMPLETE_RUN else 100  # requests, which are several pages
DECIDABLE = MIXED - MIXED // 50  # those that are not left to another person
KINDS = ["deploy", "Deploy", "task.complete", "rm -rf", "übergabe", "部署", "a" * 200]
RISKS = [*RiskLevel, None]


async def add_mixed(transaction: Any, world: Any, count: int = MIXED) -> list[Approval]:
    """Add approvals with all values by which the inbox is ordered and filtered."""
    chance, start = random.Random(MIXED), now() - timedelta(hours=9)
    left = PolicyVerdict(rule_name="Bob", decider_ids=(world.bob.id,))
    made: list[list[Any]] = []
    for number in range(count):
        board, agent = chance.choice(
            [
                (world.board, world.worker),
                (world.board, world.lead),
                (world.garden, world.gardener),
                (world.garden, None),
            ]
        )
        task = make_task(board, f"Task {number}")
        rows = world.make_approval(
            task,
            created_at=start + timedelta(seconds=number // 3),
            agent_id=agent.id if agent else None,
            action_type=chance.choice(KINDS),
            risk=chance.choice(RISKS),
            confidence=chance.choice([40.0, 90.0]),
            policy_verdict=left if number % 50 == 0 else PolicyVerdict(),
        )
        rows[0].board = board
        made.append([task, *rows])
    async with transaction() as session:
        session.add_all(row for rows in made for row in rows)
    return [rows[1] for rows in made]


def sort_by(order: WaitingOrder, found: list[Approval], world: Any) -> list[str]:
    names = {one.id: one.name for one in (world.worker, world.lead, world.gardener)}
    ranks = {risk: rank for rank, risk in enumerate(reversed(RiskLevel))}

    def key(one: Approval) -> tuple[Any, ...]:
        agent = (one.agent_id is None, names.get(one.agent_id, ""), str(one.agent_id))
        values = {
            WaitingOrder.AGE: (),
            WaitingOrder.RISK: (ranks[one.risk or RiskLevel.HIGH],),
            WaitingOrder.AGENT: agent,
            WaitingOrder.KIND: (one.action_type[:100],),
        }
        is_left = bool(one.policy_verdict.decider_ids)
        return (is_left, *values[order], one.created_at, one.id)

    return [str(one.id) for one in sorted(found, key=key)]


async def test_all_requests_are_on_the_pages_of_each_order(
    alice, transaction, world, subtests: pytest.Subtests
) -> None:
    added = await add_mixed(transaction, world)
    for order in WaitingOrder:
        with subtests.test(order.value):
            pages = [page async for page in walk(alice, f"/approvals?order={order}")]
            rows = [read_rows(page) for page in pages]
            assert [id for page in rows for id in page] == sort_by(order, added, world)
            assert [len(page) for page in rows] == [50] * (MIXED // 50)
            last = re.search(r'rel="prev" href="([^"]*)"', pages[-1])
            assert last
            before = walk(alice, last[1].replace("&amp;", "&"), "prev")
            back = [read_rows(page) async for page in before]
            assert list(reversed(back)) == rows[:-1]


async def test_the_rows_of_the_order_by_risk_name_it(alice, transaction, world) -> None:
    added = {str(one.id): one for one in await add_mixed(transaction, world)}
    page = (await alice.get("/approvals?order=risk")).text
    for id in read_rows(page):
        row = page.split(f'id="approval-{id}"')[1].split("</li>")[0]
        risk = added[id].risk or RiskLevel.HIGH
        assert re.findall(r'class="badge[^>]*>([^<]*)<', row) == [risk.capitalize()]
    assert "badge" not in (await alice.get("/approvals")).text.split('id="approval-')[1]


async def test_after_a_decision_the_next_request_of_the_order_is_shown(
    alice, transaction, world, subtests: pytest.Subtests
) -> None:
    added = await add_mixed(transaction, world)
    for order in WaitingOrder:
        order_of = sort_by(order, added, world)
        with subtests.test(order.value):
            async with rolled_back_changes(transaction):
                for place, following in [(7, 8), (60, 61), (DECIDABLE - 1, 0)]:
                    path = f"/approvals/{order_of[place]}/answers?order={order}"
                    part = (await alice.post(path, data={"status": "rejected"}, headers=HTMX)).text
                    assert f'id="detail-{order_of[following]}"' in part


FILTERS: dict[str, Callable[[Approval, Any], bool]] = {
    "risk=critical&risk=low": lambda one, world: one.risk in ("critical", "low"),
    "risk=high": lambda one, world: one.risk in ("high", None),
    "kind=deploy": lambda one, world: one.action_type == "deploy",
    f"kind=rm+-rf&kind={'a' * 200}": lambda one, world: one.action_type in KINDS[3::3],
    "agent={worker}": lambda one, world: one.agent_id == world.worker.id,
    "agent={worker}&agent={gardener}&risk=medium": lambda one, world: (
        one.agent_id not in (world.lead.id, None) and one.risk == "medium"
    ),
    "board={garden}": lambda one, world: one.board_id == world.garden.id,
    "board={board}&board={garden}&min=80": lambda one, world: one.confidence == 90,
    "agent=x&kind=&risk=none": lambda one, world: True,
}
"""Filters, and the requests that they list."""


async def test_a_filter_lists_what_has_one_of_its_values(
    alice, transaction, world, subtests: pytest.Subtests
) -> None:
    added = await add_mixed(transaction, world)
    names = ("worker", "gardener", "board", "garden")
    for unfilled, is_listed in FILTERS.items():
        query = unfilled.format(**{name: getattr(world, name).id for name in names})
        listed = [one for one in added if is_listed(one, world)]
        with subtests.test(unfilled):
            for order in select_options(unfilled, (WaitingOrder.AGE, WaitingOrder.KIND)):
                pages = [page async for page in walk(alice, f"/approvals?{query}&order={order}")]
                ids = [id for page in pages for id in read_rows(page)]
                assert ids == sort_by(order, listed, world)


async def test_the_filter_of_boards_names_one_or_says_how_many(alice, world) -> None:
    one, other = f"board={world.board.id}", f"board={world.garden.id}"
    for query, words in [("", "All boards"), (one, "Launch"), (f"{one}&{other}", "2 boards")]:
        page = await PlainPage(alice).open(f"/approvals?{query}")
        assert page.part("inbox-board").text == words


async def test_the_filter_offers_agents_and_kinds_of_own_boards(
    alice, bob, charlie, transaction, world
) -> None:
    await add_mixed(transaction, world)
    found = {
        client: (await client.get("/approvals?agent=" + str(world.lead.id))).text
        for client in (alice, bob, charlie)
    }
    assert re.search(rf'name="agent" value="{world.lead.id}" checked> \w+ \(\d+\)', found[alice])
    assert f'name="agent" value="{world.gardener.id}"' in found[alice]
    assert f'name="agent" value="{world.gardener.id}"' not in found[bob]  # who cannot read it
    assert 'name="kind" value="部署"' in found[bob]
    assert 'name="kind"' not in found[charlie]
    assert f'value="{world.lead.id}" checked> Agent without requests (0)' in found[charlie]
    assert read_rows(found[charlie]) == []


EQUAL = 12


async def add_equal(transaction: Any, world: Any, count: int = EQUAL) -> list[Approval]:
    """Request the same of two agents about different tasks, beside other requests."""
    asked: list[Approval] = []
    async with transaction() as session:
        tasks = [world.make_task(f"Task {number}") for number in range(count)]
        session.add_all(tasks)
        await session.flush()
        for number, task in enumerate(tasks):
            requester = world.lead if number % 2 else world.worker
            board = await boards.lock_board(session, requester, world.board.id)
            draft = ApprovalCreate(
                action_type="task.complete",
                confidence=90,
                task_id=task.id,
                payload={"reason": "It is ready.", "n": [1, None]},
            )
            found = await approvals.request_approval(session, requester, board, draft)
            asked.append(found.approval)
    return asked


async def test_equal_requests_are_one_row_that_can_be_expanded(alice, transaction, world) -> None:
    asked = await add_equal(transaction, world)
    ids = [str(one.id) for one in asked]
    page = (await alice.get("/approvals")).text
    assert read_rows(page) == ids[:1]
    assert "12 identical requests" in page
    assert 'id="needs-count">12<' in page
    opened = re.search(r'href="(/approvals\?group=[0-9a-f]{64})"[^>]*aria-expanded="false"', page)
    assert opened
    for path in (opened[1], f"/approvals/{ids[7]}"):  # a request of it opens it
        page = (await alice.get(path)).text
        assert read_rows(page) == ids
        assert re.search(r"Approve 12</button>", page)
    assert f'id="approval-{ids[7]}" data-item data-v="" aria-current="true"' in page


async def test_what_differs_is_not_equal(alice, transaction, world) -> None:
    asked = await add_equal(transaction, world, 2)
    async with transaction() as session:
        board = await boards.lock_board(session, world.worker, world.board.id)
        for kind, payload in [
            ("task.Complete", {"reason": "It is ready.", "n": [1, None]}),
            ("task.complete", {"reason": "It is ready.", "n": [None, 1]}),
        ]:
            draft = ApprovalCreate(action_type=kind, confidence=90, payload=payload)
            found = await approvals.request_approval(session, world.worker, board, draft)
            asked.append(found.approval)
    page = (await alice.get("/approvals")).text
    assert read_rows(page) == [str(asked[0].id), str(asked[2].id), str(asked[3].id)]


async def test_all_equal_requests_are_decided_with_the_hash_of_each(
    alice, transaction, world
) -> None:
    asked = await add_equal(transaction, world)
    page = (await alice.get(f"/approvals?group={asked[0].equality_hash}")).text
    form = page[page.index('<li class="equal"') :].partition("</form>")[0]
    shown = re.findall(r'name="shown" value="([^"]+)"', form)
    assert shown == [f"{one.id}:{one.action_hash}" for one in asked]
    await change_task(transaction, asked[3], description="Other")
    sent = {"shown": shown, "status": "approved"}
    response = await alice.post("/approvals/answers", data=sent, headers=HTMX)
    assert "11 of 12 approved." in response.text
    statuses = [(await stored(transaction, one)).decided_status for one in asked]
    assert statuses.count(ApprovalStatus.APPROVED) == 11
    assert statuses[3] is None


async def test_equal_requests_that_others_decide_are_a_row_of_their_own(
    alice, transaction, world
) -> None:
    asked = await add_equal(transaction, world, 6)
    async with transaction() as session:
        for one in asked[:3]:
            left = PolicyVerdict(rule_name="Bob", decider_ids=(world.bob.id,))
            (await session.get_one(Approval, one.id)).policy_verdict = left
    page = (await alice.get("/approvals")).text
    assert read_rows(page) == [str(asked[3].id), str(asked[0].id)]
    assert page.count("3 identical requests") == 2
    page = (await alice.get(f"/approvals/{asked[1].id}")).text
    assert "Approve 3</button>" not in page


@pytest.mark.parametrize("bad", ["x", "0" * 63, "%00", "é" * 64])
async def test_an_unknown_group_opens_nothing(alice, transaction, world, bad: str) -> None:
    asked = await add_equal(transaction, world, 2)
    page = await alice.get(f"/approvals?group={bad}&order={bad}&start=0.1.{asked[0].id}.{bad}")
    assert read_rows(page.text) == [str(asked[0].id)]


async def test_no_more_equal_requests_are_shown_than_are_decided_at_once(
    alice, transaction, world
) -> None:
    rows: list[Any] = []
    ids: list[UUID] = []
    for number in range(205):
        task = world.make_task(f"Task {number}")
        made = world.make_approval(
            task, equality_hash="e" * 64, created_at=now() - timedelta(seconds=500 - number)
        )
        rows += [task, *made]
        ids.append(made[0].id)
    async with transaction() as session:
        session.add_all(rows)
    page = (await alice.get("/approvals?group=" + "e" * 64)).text
    assert read_rows(page) == [str(id) for id in ids[:200]]
    assert "205 identical requests" in page
    assert "200 are shown. The others follow when these are decided." in page
    shown = re.findall(r'type="hidden" name="shown" value="([^"]+)"', page)
    sent = {"shown": shown, "status": "rejected"}
    page = (await alice.post("/approvals/answers", data=sent, headers=HTMX)).text
    assert "200 rejected" in page
    assert "5 identical requests" in page


async def test_a_decision_without_scripts_keeps_order_and_filter(alice, transaction, world) -> None:
    order = sort_by(WaitingOrder.RISK, await add_mixed(transaction, world), world)
    query = "kind=deploy&risk=low&order=risk"
    rejected = {"status": "rejected"}
    single = await alice.post(f"/approvals/{order[0]}/answers?{query}", data=rejected)
    assert single.headers["Location"].endswith(f"?answered={order[0]}&{query}")
    several = await alice.post(f"/approvals/answers?{query}", data=rejected | {"ids": order[1]})
    assert several.headers["Location"] == f"/approvals?{query}"
    page = (await alice.get(f"/approvals?{query}")).text
    action = re.search(r'action="(/approvals/[0-9a-f-]{36}/answers[^"]*)"', page)
    assert action
    assert action[1].endswith("?kind=deploy&amp;risk=low&amp;order=risk")
