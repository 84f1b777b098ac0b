"""Tasks by the day on which they are due."""

from datetime import UTC, datetime, timedelta

import pytest

from models import Status
from services import tasks
from services.tasks import BoardFilters
from services.tasks.board_queries import TASKS_OF_DAY, TASKS_OF_LIST

START = datetime(2026, 11, 1, tzinfo=UTC)
STARTS = [START + timedelta(days=number) for number in range(31)]  # 30 days and the end
TODAY = STARTS[9]


@pytest.fixture
async def found(session, world):
    """Return a function that adds tasks by title and due date, and reads the calendar."""

    async def find(*rows, filters=None, **options):
        made = [
            world.make_task(title, due_at=due_at, **fields)
            for title, due_at, fields in ((*row, {})[:3] for row in rows)
        ]
        session.add_all(made)
        await session.flush()
        filters = filters or BoardFilters()
        found = await tasks.list_due_tasks(session, world.board, filters, STARTS, TODAY, **options)
        return {key: ([task.title for task in one.tasks], one.total) for key, one in found.items()}

    return find


async def test_tasks_are_grouped_by_their_days(found) -> None:
    second = timedelta(seconds=1)
    assert await found(
        ("Before", START - second),
        ("First", START),
        ("End of the first", STARTS[1] - second),
        ("Second", STARTS[1]),
        ("Last", STARTS[-1] - second),
        ("After", STARTS[-1]),
        filters=BoardFilters(unassigned=True),
    ) == {
        tasks.OVERDUE: (["Before", "First", "End of the first", "Second"], 4),
        1: (["First", "End of the first"], 2),
        2: (["Second"], 1),
        30: (["Last"], 1),
    }


async def test_done_tasks_are_neither_overdue_nor_undated(found) -> None:
    done = {"status": Status.DONE}
    assert await found(
        ("Old", STARTS[3], done),
        ("Dated today", TODAY),
        ("Never", None, done),
        ("Some day", None),
    ) == {tasks.UNDATED: (["Some day"], 1), 4: (["Old"], 1), 10: (["Dated today"], 1)}


async def test_urgent_tasks_come_first_and_done_ones_last(found) -> None:
    shown = await found(
        ("Done", TODAY, {"status": Status.DONE, "priority": "high"}),
        ("Low", TODAY, {"priority": "low"}),
        ("Odd", TODAY, {"priority": "odd"}),
        ("High", TODAY, {"priority": "high"}),
    )
    assert shown == {10: (["High", "Low", "Odd", "Done"], 4)}


async def test_a_day_shows_its_first_tasks_until_it_is_opened(found) -> None:
    rows = [(f"Task {number}", TODAY) for number in range(TASKS_OF_DAY + 2)]
    closed = await found(*rows)
    opened = await found(open_day=10)
    assert (len(closed[10][0]), closed[10][1]) == (TASKS_OF_DAY, TASKS_OF_DAY + 2)
    assert len(opened[10][0]) == TASKS_OF_DAY + 2


async def test_lists_show_their_first_tasks(found) -> None:
    shown = await found(*[(f"Task {number}", None) for number in range(TASKS_OF_LIST + 1)])
    assert (len(shown[tasks.UNDATED][0]), shown[tasks.UNDATED][1]) == (
        TASKS_OF_LIST,
        TASKS_OF_LIST + 1,
    )


async def test_filters_apply_to_all_parts(found, world) -> None:
    fields = {"assigned_agent_id": world.worker.id}
    rows = [("Paint it", day, fields) for day in (STARTS[0], TODAY, None)]
    others = [("Paint that", TODAY), ("Sand it", TODAY, fields)]
    filters = BoardFilters(q="paint", assignees=(world.worker.id,))
    assert await found(*rows, *others, filters=filters) == {
        tasks.OVERDUE: (["Paint it"], 1),
        tasks.UNDATED: (["Paint it"], 1),
        1: (["Paint it"], 1),
        10: (["Paint it"], 1),
    }
