"""The sidebar has pinned and recent boards, and costs the same with many boards."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Invalid, NotFound
from core.paging import PagePlace, Paging
from models import Board, BoardShortcut, Member
from services import agents, boards, sidebar, tasks
from services.sidebar import (
    MAX_COUNTED_AGENTS,
    MAX_OPENED,
    MAX_PINS,
    MAX_RECENT,
    MAX_WAITING,
    SidebarBoard,
    SidebarData,
)
from tests.support.board_rows import make_agent, make_board, make_task
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.round_trips import RoundTrip, record_round_trips
from tests.support.world import World

SCANNED = re.compile(r"Scan.*rows=([\d.]+) loops=(\d+)")
APPROVALS = """
    insert into approvals (id, board_id, action_type, confidence, status, created_at)
    select gen_random_uuid(), :board_id, 'note', 90, 'pending', now()
    from generate_series(1, :count)
"""


@pytest.fixture
async def many(session: AsyncSession, world: World) -> Sequence[Board]:
    """Twenty boards more, by name."""
    found = [make_board(f"Board {number:02}", world.tern) for number in range(20)]
    session.add_all(found)
    await session.flush()
    return found


async def load(session: AsyncSession, member: Member, board: Board | None = None) -> SidebarData:
    return await sidebar.load_sidebar(session, member, board_id=board.id if board else None)


async def open_boards(session: AsyncSession, member: Member, opened: Sequence[Board]) -> None:
    for board in opened:
        await sidebar.record_opening(session, member, board.id)


def names(found: Sequence[SidebarBoard]) -> list[str]:
    return [board.name for board in found]


async def test_the_boards_opened_last_are_recent_and_stay_in_their_places(
    session, world, many
) -> None:
    member = world.alice_member
    before = await load(session, member)
    assert (before.board_count, names(before.recent)) == (22, names(many[:MAX_RECENT]))
    await open_boards(session, member, [*many[12:], world.garden])
    recent = (await load(session, member)).recent
    assert names(recent) == [*names(many[13:]), "Garden"]
    await open_boards(session, member, [many[15]])
    after = await load(session, member)
    assert (names(after.recent), after.last_opened_id) == (names(recent), many[15].id)
    assert many[3].name in names((await load(session, member, many[3])).recent)


async def test_a_person_who_was_just_removed_has_no_organizations(session, world) -> None:
    await session.delete(world.bob_member)  # after the request was allowed
    await session.flush()
    assert (await load(session, world.bob_member)).organizations == []


async def test_pinned_boards_are_in_the_order_of_the_user(session, world, many) -> None:
    member = world.alice_member
    await open_boards(session, member, many[:3])
    pins = [many[2], world.garden, many[7]]
    await sidebar.pin_boards(session, member, [board.id for board in (*pins, many[2])])
    await sidebar.pin_boards(session, member, [world.board.id, world.garden.id])
    assert names((await load(session, member)).pinned) == [
        "Board 02",
        "Garden",
        "Board 07",
        "Launch",
    ]
    first, second, third, fourth = (board.id for board in (*pins, world.board))
    for board_id, to, expected in (
        (first, "down", [second, first, third, fourth]),
        (fourth, "up", [second, first, fourth, third]),
        (second, "up", [second, first, fourth, third]),
        (third, "down", [second, first, fourth, third]),
        (third, second, [third, second, first, fourth]),
        (third, "end", [second, first, fourth, third]),
        (first, first, [second, first, fourth, third]),
        (first, many[9].id, [second, fourth, third, first]),
    ):
        await sidebar.move_pin(session, member, board_id, to)
        found = (await load(session, member)).pinned
        assert [board.id for board in found] == expected, to
    shown = await load(session, member)
    assert not set(shown.pinned) & set(shown.recent)
    await sidebar.unpin_boards(session, member, [world.garden.id, many[9].id])
    shown = await load(session, member)
    assert ("Garden" in names(shown.recent), len(shown.pinned)) == (True, 3)
    with pytest.raises(NotFound):
        await sidebar.move_pin(session, member, world.garden.id, "up")


async def test_only_readable_boards_can_be_pinned_and_are_shown(session, world) -> None:
    hidden = [world.garden.id, world.charlies_board.id]
    with pytest.raises(NotFound):
        await sidebar.pin_boards(session, world.bob_member, hidden)
    await sidebar.pin_boards(session, world.bob_member, [*hidden, world.board.id])
    assert names((await load(session, world.bob_member)).pinned) == ["Launch"]
    await session.delete(await session.merge(world.bob_access))
    await session.flush()
    shown = await load(session, world.bob_member, world.board)
    assert (shown.boards, shown.board_count) == ((), 0)
    with pytest.raises(NotFound):
        await sidebar.move_pin(session, world.bob_member, world.board.id, "up")


async def test_pins_and_openings_have_a_limit(session, world) -> None:
    found = [make_board(f"Board {number:03}", world.tern) for number in range(MAX_OPENED + 2)]
    session.add_all(found)
    await session.flush()
    member = world.alice_member
    await sidebar.pin_boards(session, member, [board.id for board in found[:MAX_PINS]])
    with pytest.raises(Invalid) as refused:
        await sidebar.pin_boards(session, member, [world.board.id])
    assert refused.value.code == "too_many_pins"
    await sidebar.unpin_boards(session, member, [board.id for board in found])
    await open_boards(session, member, found)
    kept = select(BoardShortcut.board_id).where(BoardShortcut.user_id == member.user_id)
    assert set(await session.scalars(kept)) == {board.id for board in found[2:]}


async def test_boards_on_which_something_waits_are_shown_or_counted(session, world, many) -> None:
    member = world.alice_member
    await open_boards(session, member, many[:MAX_RECENT])
    for number, board in enumerate(many[10:16]):
        numbers = {"board_id": board.id, "count": number + 1}
        await session.execute(text(APPROVALS), numbers)
    shown = await load(session, member)
    late = [board.name for board in many[16 - MAX_WAITING : 16]]
    assert names(shown.recent) == [*late, *names(many[MAX_RECENT - MAX_WAITING : MAX_RECENT])]
    assert len(shown.recent) == MAX_RECENT
    assert (shown.other_waiting_count, shown.waiting.total) == (1 + 2, 21)
    await sidebar.pin_boards(session, member, [many[10].id])
    assert (await load(session, member)).other_waiting_count == 2


async def test_opened_boards_that_are_not_shown_are_noticed_if_they_are_unread(
    session, world, many
) -> None:
    member = world.alice_member
    await open_boards(session, member, [many[0], *many[4:14]])
    for board in (many[0], many[13], many[19]):
        task = make_task(board, "Count")
        agent = make_agent("Nuthatch", board)
        session.add_all([task, agent])
        await session.flush()
        locked = await boards.lock_board(session, agent, board.id)
        await tasks.create_comment(session, agent, locked, task.id, "Counted.")
    shown = await load(session, member)
    assert [board.name for board in shown.recent if board.has_unread] == ["Board 13"]
    assert shown.other_unread_count == 1  # the first board; the last one was never opened


async def test_the_agents_that_their_list_shows_are_counted(session, world) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    session.add_all(make_main_agent(gateway))
    await session.flush()
    for member in (world.alice_member, world.bob_member):
        listed = await agents.list_agent_page(session, member, 50, PagePlace())
        shown = await load(session, member)
        assert shown.agent_count == listed.total


async def test_many_agents_are_not_counted_one_by_one(session, world) -> None:
    few = await load(session, world.alice_member)
    assert (few.agent_count, few.has_more_agents) == (4, False)
    session.add_all([make_agent(f"A{n}", world.board) for n in range(MAX_COUNTED_AGENTS)])
    await session.flush()
    counted = await load(session, world.alice_member)
    assert (counted.agent_count, counted.has_more_agents) == (MAX_COUNTED_AGENTS + 1, True)


@pytest.mark.parametrize("name", ["alice", "bob"])
async def test_one_statement_loads_the_sidebar_of_many_boards(session, world, name) -> None:
    member = getattr(world, f"{name}_member")
    await open_boards(session, member, [world.board])
    more = [make_board(f"Board {number:04}", world.tern) for number in range(1_000)]
    session.add_all(more)
    await session.flush()
    if name == "alice":
        await sidebar.pin_boards(session, member, [board.id for board in more[:10]])
        await open_boards(session, member, more[10:40])
    for table in ("boards", "board_shortcuts", "board_counts", "agents"):
        await session.execute(text(f"analyze {table}"))
    await session.execute(text("set local enable_seqscan = off"))
    with record_round_trips() as many:
        shown = await load(session, member)
    assert shown.board_count == {"alice": 1002, "bob": 1}[name]
    statements = [sent for sent in many.all if sent.is_statement]
    assert len(statements) == 1
    # The boards are counted, and compared with those on which something waits.
    assert count_scanned(await explain(session, statements)) < 2_500
    with record_round_trips() as listed:
        await boards.list_board_page(session, member, Paging(50))
    [plan] = await explain(session, [sent for sent in listed.all if sent.is_statement])
    assert ("ix_boards_names" in plan) == (name == "alice")
    assert count_scanned([plan]) < 4_000


async def explain(session: AsyncSession, statements: Sequence[RoundTrip]) -> list[str]:
    connection: Any = await (await session.connection()).get_raw_connection()
    plans = []
    for sent in statements:
        explained = f"explain (analyze, costs off, timing off) {sent.statement}"
        rows = await connection.driver_connection.fetch(explained, *sent.arguments)
        plans.append("\n".join(row[0] for row in rows))
        assert "Seq Scan" not in plans[-1]
    return plans


def count_scanned(plans: Sequence[str]) -> float:
    """Return how many rows the statements have read from tables and indexes."""
    found = [one for plan in plans for one in SCANNED.findall(plan)]
    return sum(float(rows) * int(loops) for rows, loops in found)
