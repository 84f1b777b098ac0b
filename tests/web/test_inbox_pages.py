"""Everything that is pending is reachable in the inbox, and all pages count the same."""

import html
import random
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient

from core.clock import now
from core.db.compiled_statement import CompiledStatement
from models import AgentQuestion, Approval, Board, PolicyEffect, PolicyVerdict, new_id
from services import approvals, boards, inbox, onboarding
from tests.support.approval_pages import HTMX
from tests.support.board_rows import make_task
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_main_agent
from tests.support.statement_counter import count_all_statements
from tests.support.tiers import repetition

PENDING = 250  # requests, which are five pages
LEFT_TO_BOB, APPROVED_FIRST = 7, 5
ROW = re.compile(r'<li class="ask-row" id="[a-z-]+?-([0-9a-f-]{36})" data-item')


async def add_pending(transaction: Any, world: Any, count: int) -> list[Approval]:
    """Add approvals of two boards, with equal times among them; not all can Alice approve."""
    start = now() - timedelta(hours=9)
    named = PolicyVerdict(rule_name="Bob", decider_ids=(world.bob.id,))
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    special: list[dict[str, Any]] = [{"policy_verdict": named}] * LEFT_TO_BOB
    approved = {"first_approver_id": world.alice.id, "first_approved_at": now()}
    approved |= {"action_hash": "0" * 64, "first_approval_hash": "0" * 64}
    special += [{"policy_verdict": two, **approved}] * APPROVED_FIRST
    places = random.Random(count).sample(range(count), len(special))
    by_place = dict(zip(places, special, strict=True))
    made: list[list[Any]] = []
    for number in range(count):
        board: Board = world.garden if number % 3 == 0 else world.board
        task = make_task(board, f"Task {number}")
        at = start + timedelta(seconds=number // 2)
        fields = {"created_at": at, **by_place.get(number, {})}
        rows = world.make_approval(task, **fields)
        rows[0].board = board
        made.append([task, *rows])
    async with transaction() as session:
        session.add_all(row for rows in made for row in rows)
    return [rows[1] for rows in made]


def read_rows(page: str) -> list[str]:
    return ROW.findall(page.partition("Decided today")[0])


def find_page_link(page: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="([^"]*)"', page)
    return html.unescape(found[1]) if found else None


async def walk(client: AsyncClient, address: str, rel: str = "next") -> AsyncIterator[str]:
    following: str | None = address
    while following:
        page = (await client.get(following)).text
        yield page
        following = find_page_link(page, rel)


def sort_as_listed(found: list[Approval], member: Any) -> list[str]:
    def key(one: Approval) -> tuple[Any, ...]:
        verdict = one.policy_verdict
        is_left = bool(verdict.decider_ids) or one.first_approver_id == member.user_id
        return (is_left, one.created_at, one.id)

    return [str(one.id) for one in sorted(found, key=key)]


async def test_all_pending_requests_are_on_the_pages_of_the_inbox(
    alice, transaction, world
) -> None:
    added = await add_pending(transaction, world, PENDING)
    pages = [page async for page in walk(alice, "/approvals")]
    rows = [id for page in pages for id in read_rows(page)]
    assert rows == sort_as_listed(added, world.alice_member)
    assert "201 to 250 of 250" in pages[-1]
    assert len(pages) == 5
    last = find_page_link(pages[-1], "prev")
    assert last
    back = [read_rows(page) async for page in walk(alice, last, "prev")]
    assert [id for rows in reversed(back) for id in rows] == rows[:200]


async def test_no_request_is_missed_while_others_are_decided(
    alice, bob, transaction, world
) -> None:
    added = await add_pending(transaction, world, PENDING)
    order = sort_as_listed(added, world.alice_member)
    on_launch = {str(one.id) for one in added if one.board_id == world.board.id}
    chance, decided, seen = random.Random(PENDING), set(), []
    async for page in walk(alice, "/approvals"):
        shown = read_rows(page)
        seen += shown
        first_of_page = shown[0]
        near = [id for id in order[max(0, len(seen) - 60) : len(seen) + 60] if id in on_launch]
        for id in {first_of_page, *chance.sample(near, 4)} & on_launch - decided:
            response = await bob.post(f"/approvals/{id}/answers", data={"status": "rejected"})
            assert response.status_code == 303
            decided.add(id)
    assert len(seen) == len(set(seen))
    assert decided - set(seen)
    assert [id for id in order if id in set(seen)] == seen
    assert set(order) - decided <= set(seen)


async def test_the_statement_of_the_inbox_is_compiled_before_its_first_use(
    alice, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, create = [0], CompiledStatement.__init__

    def record(self: CompiledStatement, *arguments: Any, **options: Any) -> None:
        create(self, *arguments, **options)
        lengths.append(len(self.text))

    inbox.compile_statements()
    monkeypatch.setattr(CompiledStatement, "__init__", record)
    await alice.get("/approvals")
    await alice.get("/approvals", headers=HTMX)
    assert max(lengths) < 30_000


async def list_numbers(client: AsyncClient, boards: list[Board]) -> dict[str, int]:
    """Return the number of waiting items wherever pages show it; of boards, their sum."""
    inbox, dashboard, listed, part = [
        (await client.get(path, headers=headers)).text
        for path, headers in [
            ("/approvals", {}),
            ("/dashboard", {}),
            ("/boards", {}),
            ("/approvals", HTMX),
        ]
    ]
    rail, _, main = inbox.partition("<main")
    tabs = main[main.index('class="tabbar"') :]
    panel = dashboard[dashboard.index('id="approvals-title"') :]
    table = listed[listed.index("<main") : listed.index('class="tabbar"')]
    of_boards, chips, filtered = 0, 0, 0
    for board in boards:
        entry = rail[rail.index(f'id="rail-board-{board.id}"') :].partition("</a>")[0]
        of_boards += int(re.findall(r'data-n="(\d+)"', entry + ' data-n="0"')[0])
        page = (await client.get(f"/boards/{board.id}")).text
        chips += int(re.findall(r"Needs you <b>(\d+)</b>", page)[0])
        page = (await client.get(f"/approvals?board={board.id}&min=80")).text
        filtered += int(re.findall(r'id="needs-count">(\d+)<', page)[0])
    found = {
        "title": re.findall(r"<title>\((\d+)\)", inbox),
        "heading": re.findall(r'id="needs-count">(\d+)<', inbox),
        "state": re.findall(r'id="waiting-count">(\d+)<', inbox),
        "part": re.findall(r'hx-target="#needs-count"[^>]*><span>(\d+)<', part),
        "rail": re.findall(r'data-needs="(\d+)"', rail),
        "rail lamp": re.findall(r'href="/approvals".*?data-n="(\d+)"', rail),
        "tabs": re.findall(r'href="/approvals".*?data-n="(\d+)"', tabs),
        "sentence": re.findall(r"<mark>(\d+) items? needs? you", dashboard),
        "panel": re.findall(r'data-n="(\d+)"', panel),
    }
    numbers = {name: int(texts[0]) for name, texts in found.items()}
    numbers["boards page"] = sum(map(int, re.findall(r'data-n="(\d+)"', table)))
    return numbers | {"rail of boards": of_boards, "chips": chips, "filtered": filtered}


async def test_all_pages_show_the_same_number_of_waiting_items(
    alice, bob, transaction, world
) -> None:
    added = await add_pending(transaction, world, PENDING)
    gateway = make_gateway(world.tern)
    question = {"content": "Which?", "correlation_id": "1", "created_at": now()}
    ids = {"board_id": world.board.id, "agent_id": world.worker.id}
    async with transaction() as session:
        session.add_all([gateway, make_gateway_request(gateway, world.worker)])
        session.add(AgentQuestion(id=new_id(), **question, **ids))
    numbers = await list_numbers(alice, [world.board, world.garden])
    assert set(numbers.values()) == {PENDING - LEFT_TO_BOB - APPROVED_FIRST + 2}
    on_launch = [one for one in added if one.board_id == world.board.id]
    numbers = await list_numbers(bob, [world.board])
    assert set(numbers.values()) == {len(on_launch) + 2}


@pytest.mark.parametrize("headers", [{}, pytest.param(HTMX, marks=repetition)])
@pytest.mark.parametrize(
    "path",
    [
        *("/approvals", "/approvals?state=decided", "/approvals?board={board}&board={garden}"),
        *("/approvals/{request}", "/boards", "/boards/{board}", "/dashboard"),
    ],
)
async def test_a_page_counts_once_what_waits(
    alice, transaction, world, path: str, headers: dict[str, str]
) -> None:
    [one, *_] = await add_pending(transaction, world, 20)
    here = path.format(board=world.board.id, garden=world.garden.id, request=one.id)
    await alice.get(here, headers=headers)
    with count_all_statements() as statements:
        assert (await alice.get(here, headers=headers)).status_code == 200
    assert sum("undecided_approvals" in one for one in statements) == 1


async def test_a_number_of_requests_needs_no_more_statements(alice, transaction, world) -> None:
    counts = []
    for added in (20, PENDING):
        await add_pending(transaction, world, added)
        await alice.get("/approvals")
        with count_all_statements() as statements:
            assert (await alice.get("/approvals")).status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1]


async def test_a_request_of_a_later_page_is_shown_in_its_list(alice, transaction, world) -> None:
    added = await add_pending(transaction, world, PENDING)
    order = sort_as_listed(added, world.alice_member)
    page = (await alice.get(f"/approvals/{order[123]}")).text
    assert read_rows(page) == order[123:173]
    assert f'id="approval-{order[123]}" data-item data-v="" aria-current="true"' in page
    assert "124 to 173 of 250" in page


async def list_statements(client: AsyncClient, path: str) -> list[str]:
    """Return the statements of a page that was opened before."""
    await client.get(path)
    with count_all_statements() as statements:
        assert (await client.get(path)).status_code == 200
    return statements


def count_pages(statements: list[str]) -> int:
    """Count how often a page of what waits was loaded."""
    return sum("row_number() OVER" in one for one in statements)


async def test_a_page_of_requests_is_loaded_once(alice, transaction, world) -> None:
    added = await add_pending(transaction, world, PENDING)
    order = sort_as_listed(added, world.alice_member)
    second = find_page_link((await alice.get("/approvals")).text, "next")
    assert second
    back_to_first = find_page_link((await alice.get(second)).text, "prev")
    assert back_to_first
    after_the_last = f"start=1.9999999999999999.{order[0]}"
    first = await list_statements(alice, f"/approvals/{order[0]}")
    assert count_pages(first) == 1
    for path in (
        "/approvals",
        second,
        back_to_first,
        f"/approvals/{order[123]}",
        f"/approvals/{order[123]}?{second.partition('?')[2]}",
        f"/approvals?{after_the_last}",
        f"/approvals/{order[123]}?{after_the_last}",
        f"/approvals?selected={order[123]}",
    ):
        statements = await list_statements(alice, path)
        assert count_pages(statements) == 1, path
        if path.startswith("/approvals/"):
            assert len(statements) == len(first), path


@pytest.mark.parametrize("state", ["decided", "gateways"])
async def test_the_tabs_of_decisions_load_nothing_that_waits(
    alice, transaction, world, state
) -> None:
    await add_pending(transaction, world, 60)
    statements = await list_statements(alice, f"/approvals?state={state}")
    assert count_pages(statements) == 0


async def test_a_page_begins_with_a_selected_request_that_is_not_on_it(
    alice, transaction, world
) -> None:
    added = await add_pending(transaction, world, PENDING)
    order = sort_as_listed(added, world.alice_member)
    second = find_page_link((await alice.get("/approvals")).text, "next")
    assert second
    query = second.partition("?")[2]
    for place, first in [(49, 49), (50, 50), (99, 50), (100, 100), (249, 249)]:
        page = (await alice.get(f"/approvals/{order[place]}?{query}")).text
        assert read_rows(page) == order[first : first + 50]
    page = (await alice.get(f"/approvals/{order[49]}")).text
    assert read_rows(page) == order[:50]
    assert (await alice.get(f"/approvals/requests/{order[3]}")).status_code == 404


@pytest.mark.parametrize("is_first", [True, False])
async def test_an_onboarding_has_its_place_among_the_pages(
    alice, transaction, world, is_first: bool
) -> None:
    gateway = make_gateway(world.tern)
    main, *rows = make_main_agent(gateway)
    start = now() + timedelta(hours=1 if is_first else -1)
    asked: list[Any] = []
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([main, *rows])
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        await session.flush()
        board = await boards.lock_board(session, world.alice, world.board.id)
        await onboarding.start_onboarding(session, world.alice, board, base_url="http://mc.test")
        await onboarding.ask_question(session, main, board, {"question": "How much?"})
    async with transaction() as session:
        for number in range(50):
            task = world.make_task(f"Task {number}")
            made = world.make_approval(task, created_at=start + timedelta(seconds=number))
            session.add_all([task, *made])
            asked.append(made[0])
    ids = [str(one.id) for one in asked]
    listed = [read_rows(page) async for page in walk(alice, "/approvals")]
    [own] = {id for rows in listed for id in rows} - set(ids)
    assert listed == ([[own, *ids[:49]], ids[49:]] if is_first else [ids, [own]])
    page = (await alice.get(f"/approvals/{ids[49]}")).text
    assert read_rows(page) == ([own, *ids] if is_first else ids)
    assert find_page_link(page, "prev") is None
    assert is_first or "1 to 50 of 51" in page


async def test_after_the_last_request_of_a_page_the_next_one_is_shown(
    alice, transaction, world
) -> None:
    added = await add_pending(transaction, world, PENDING)
    order = sort_as_listed(added, world.alice_member)
    path = f"/approvals/{order[49]}/answers"
    part = (await alice.post(path, data={"status": "rejected"}, headers=HTMX)).text
    assert f'id="detail-{order[50]}"' in part
    assert f'data-shown="approval-{order[50]}"' in part
    refresh = re.search(r'data-refresh="([^"]*)"', part)  # the page does not contain that row
    assert refresh
    assert order[50] in read_rows((await alice.get(html.unescape(refresh[1]), headers=HTMX)).text)
    last_own = len(order) - LEFT_TO_BOB - APPROVED_FIRST - 1
    path = f"/approvals/{order[last_own]}/answers"
    part = (await alice.post(path, data={"status": "rejected"}, headers=HTMX)).text
    assert f'id="detail-{order[0]}"' in part


@pytest.mark.parametrize("count", [20, PENDING])
async def test_the_board_marks_all_tasks_with_pending_requests(
    bob, transaction, world, count: int
) -> None:
    added = await add_pending(transaction, world, count)
    async with transaction() as session:
        found = await approvals.list_undecided_of_board(session, world.bob_member, world.board)
    on_launch = [one for one in added if one.board_id == world.board.id]
    assert [one.id for one in found] == [
        one.id for one in sorted(on_launch, key=lambda one: (one.created_at, one.id))
    ]
    assert all(one.may_approve for one in found)
    page = (await bob.get(f"/boards/{world.board.id}?view=list")).text
    assert page.count("Needs you</span>") >= min(len(on_launch), 40)
