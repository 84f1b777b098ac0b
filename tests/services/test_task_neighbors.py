"""Previous and next lead through all tasks of a board, in the order in which it shows them."""

import random
import re
import threading
from datetime import timedelta
from itertools import product
from operator import attrgetter
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.paging import PagePlace
from models import Board, Status, Task, new_id, rank_at
from services import tasks
from services.tasks import BoardFilters, BoardOrder, TaskNeighbors, board_queries
from services.tasks.board_queries import ORDERS
from tests.support.round_trips import record_round_trips
from tests.support.statement_counter import count_statements
from tests.support.tiers import repetition
from tests.support.world import World

COUNT = 20
SHOWN = (Status.INBOX, Status.IN_PROGRESS, Status.REVIEW)


async def add_tasks(session: AsyncSession, world: World) -> None:
    """Add tasks of all columns with equal and missing values."""
    chance, moment = random.Random(7), now()
    agents = [None, world.worker.id, world.other_worker.id]
    dates = [None, moment, moment + timedelta(days=1)]
    rows = [
        {
            "id": new_id(),
            "board_id": world.board.id,
            "title": f"Task {number % 7}",
            "status": chance.choice([*SHOWN, Status.DONE]),
            "priority": chance.choice(["low", "medium", "high", "odd"]),
            "assigned_agent_id": chance.choice(agents),
            "due_at": chance.choice(dates),
            "rank": rank_at(moment + timedelta(seconds=chance.randrange(100))),
            "created_at": moment - timedelta(hours=number % 5),
            "updated_at": moment - timedelta(hours=number % 3),
        }
        for number in range(COUNT)
    ]
    await session.execute(insert(Task), rows)
    review = [row["id"] for row in rows if row["status"] is Status.REVIEW]
    approval = world.make_approval(await session.get_one(Task, review[1]))
    session.add_all(approval)
    await session.flush()


async def list_shown_ids(
    session: AsyncSession, board: Board, filters: BoardFilters, order: BoardOrder
) -> list[list[UUID]]:
    """Return the ids of the tasks of each column, as the board shows them."""
    columns = await tasks.list_board_columns(session, board, filters, order)
    shown = {column.status: [card.id for card in column.cards] for column in columns}
    return [shown[status] for status in order.statuses]


LOW = BoardFilters(priorities=("low",))


@pytest.mark.parametrize("key", ORDERS)
@pytest.mark.parametrize(
    ("is_reversed", "in_sections", "filters"),
    [
        *((False, False, BoardFilters()), (True, True, LOW)),
        *(
            pytest.param(*places, filters, marks=repetition)
            for places, filters in product([(False, True), (True, False)], [BoardFilters(), LOW])
        ),
        pytest.param(True, True, BoardFilters(), marks=repetition),
        pytest.param(False, False, LOW, marks=repetition),
    ],
)
async def test_places_agree_with_what_the_board_shows(
    session: AsyncSession,
    world: World,
    key: str,
    is_reversed: bool,
    in_sections: bool,
    filters: BoardFilters,
) -> None:
    await add_tasks(session, world)
    order = BoardOrder(key, is_reversed, in_sections, SHOWN)
    columns = await list_shown_ids(session, world.board, filters, order)
    ids = [id for column in columns for id in column]
    around = zip(ids, [None, *ids[:-1]], [*ids[1:], None], strict=True)
    for id, previous_id, next_id in around:
        task = await session.get_one(Task, id)
        found = await tasks.find_neighbors(session, world.board, task, filters, order)
        assert found == TaskNeighbors(previous_id, next_id)
    for column in columns:
        for index, id in enumerate(column):
            shown = (world.board, id, filters, order)
            assert await tasks.count_tasks_before(session, *shown) == index


async def test_neighbors_are_found_in_one_statement(session: AsyncSession, world: World) -> None:
    await add_tasks(session, world)
    shown = (BoardFilters(), BoardOrder(statuses=SHOWN))
    [column, other, *_] = await list_shown_ids(session, world.board, *shown)
    around = zip(column, [None, *column[:-1]], [*column[1:], other[0]], strict=True)
    for id, previous_id, next_id in around:
        task = await session.get_one(Task, id)
        with count_statements(await session.connection()) as statements:
            found = await tasks.find_neighbors(session, world.board, task, *shown)
        assert found == TaskNeighbors(previous_id, next_id)
        assert len(statements) == 1


async def test_a_column_is_not_read_if_one_before_it_has_a_neighbor(
    session: AsyncSession, world: World
) -> None:
    await add_tasks(session, world)
    shown = (BoardFilters(), BoardOrder("title", statuses=(*SHOWN, Status.DONE)))
    [*_, column, done] = await list_shown_ids(session, world.board, *shown)
    connection: Any = await (await session.connection()).get_raw_connection()
    for id, reads_done in ((column[0], False), (column[-1], True)):
        task = await session.get_one(Task, id)
        with record_round_trips() as log:
            found = await tasks.find_neighbors(session, world.board, task, *shown)
        assert found is not None
        assert (found.next_id == done[0]) == reads_done
        [sent] = filter(attrgetter("is_statement"), log.all)
        explained = f"explain (analyze, costs off, timing off) {sent.statement}"
        rows = await connection.driver_connection.fetch(explained, *sent.arguments)
        plan = "\n".join(row[0] for row in rows)
        scans = re.findall(r"\((never executed|actual rows).*\n *(?:\S.*\n *)??.*'done'", plan)
        assert ("actual rows" in scans) == reads_done, plan


async def test_no_query_is_built_in_the_event_loop(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set of many filters takes 0.2 s, and there is any number of sets."""
    build = board_queries._build_conditions
    built_in = []

    def observe(*shape: Any) -> Any:
        built_in.append(threading.current_thread())
        return build(*shape)

    monkeypatch.setattr(board_queries, "_build_conditions", observe)
    await add_tasks(session, world)
    task = await session.scalar(select(Task).where(Task.status == Status.INBOX).limit(1))
    assert task is not None
    board, order, start = world.board, BoardOrder(), now()
    filters = BoardFilters(q=" ".join(map(str, range(17))))  # no other test has so many words
    days = board_queries.DayStarts(*[start] * len(board_queries.DayStarts._fields))
    grouping, in_groups = board_queries.TaskGrouping.ASSIGNEE, (filters, order, days)
    await board_queries.list_board_columns(session, board, filters, order)
    await board_queries.list_task_groups(session, board, grouping, *in_groups)
    await board_queries.list_matching_ids(session, board, grouping, *in_groups, limit=1)
    await board_queries.list_group_page(session, board, grouping, None, *in_groups, PagePlace())
    await board_queries.count_group(session, board, grouping, None, filters, days)
    await board_queries.list_due_tasks(session, board, filters, [start, start], start)
    await tasks.find_neighbors(session, board, task, filters, order)
    await tasks.count_tasks_before(session, board, task.id, filters, order)
    assert len(built_in) >= 6
    assert threading.current_thread() not in built_in


async def test_a_task_that_has_moved_meanwhile_has_no_neighbors(
    session: AsyncSession, world: World
) -> None:
    await add_tasks(session, world)
    shown = (BoardFilters(), BoardOrder(statuses=SHOWN))
    [[id, *_], *_] = await list_shown_ids(session, world.board, *shown)
    task = await session.get_one(Task, id)
    moved = update(Task).where(Task.id == id).values(status=Status.REVIEW)
    await session.execute(moved, execution_options={"synchronize_session": False})
    assert task.status is Status.INBOX
    assert await tasks.find_neighbors(session, world.board, task, *shown) is None


async def test_a_task_that_is_not_shown_has_no_place(session: AsyncSession, world: World) -> None:
    await add_tasks(session, world)
    order, any_filters = BoardOrder("due", statuses=SHOWN), BoardFilters()
    done = world.make_task("Done", status=Status.DONE)
    low = world.make_task("Low", priority="low")
    session.add_all([done, low])
    await session.flush()
    missing = world.make_task("Missing")
    high = BoardFilters(priorities=("high",))
    for task, filters in ((done, any_filters), (low, high), (missing, any_filters)):
        assert await tasks.find_neighbors(session, world.board, task, filters, order) is None
        shown = (world.board, task.id, filters, order)
        assert await tasks.count_tasks_before(session, *shown) is None
