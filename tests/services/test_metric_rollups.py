"""The dashboard reads hourly roll-ups, and shows what a count of all rows shows."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select

from models import Event, EventType, MessageHour, Status, Task, new_id
from services import counters
from services.metrics import RANGES, build_timeline, load_counts
from tests.support.row_metrics import count_from_rows
from tests.support.tiers import repetition

AT = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)
ALIGNED = AT.replace(minute=0)
STATUSES = [status.value for status in Status]
ENDS = (EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED, EventType.MESSAGE_FAILED)


def random_moment(dice: random.Random, at: datetime) -> datetime:
    """Return a moment that is often near an edge of a window of 24 h, 3 d or 7 d."""
    edge = at - dice.choice((0, 0, 1, 1, 2, 3, 6, 7, 14)) * timedelta(days=1)
    near = timedelta(minutes=dice.choice((-61, -29, -1, 0, 0, 1, 29, 61)))
    if dice.random() < 0.3:
        return at - timedelta(seconds=dice.randrange(40 * 86_400))
    return edge + near + timedelta(microseconds=dice.choice((-1, 0, 1)))


def build_events(dice: random.Random, world, at, count=250):
    for number in range(count):
        is_garden = number % 7 == 0  # a message belongs to one board
        message = {"message_id": f"{'g' if is_garden else 'm'}{dice.randrange(40)}"}
        left, entered = dice.choice(STATUSES), dice.choice(STATUSES)
        yield {
            "id": new_id(),
            "organization_id": world.tern.id,
            "board_id": world.garden.id if is_garden else world.board.id,
            "type": dice.choice(ENDS) if number % 2 else EventType.TASK_STATUS_CHANGED,
            "data": message if number % 2 else {"left": left, "entered": entered},
            "created_at": random_moment(dice, at),
        }


def build_tasks(dice: random.Random, world, at, count=80):
    for number in range(count):
        done_at = random_moment(dice, at)
        took = timedelta(seconds=dice.choice((7, 1_800, 5_000, 86_400, 900_000)))
        yield {
            "id": new_id(),
            "board_id": world.garden.id if number % 7 == 0 else world.board.id,
            "title": "x",
            "status": dice.choice(STATUSES[2:]),
            "priority": "low",
            "done_at": done_at,
            "started_at": done_at - took if number % 5 else None,
            "created_at": at,
            "updated_at": at,
        }


@pytest.mark.parametrize(
    ("seed", "at"),
    [
        pytest.param(0, AT, id="within an hour"),
        pytest.param(1, ALIGNED, id="at a full hour"),
        *(
            pytest.param(seed, at, marks=repetition)
            for seed, at in [(0, ALIGNED), (1, AT), (2, AT), (2, ALIGNED)]
        ),
    ],
)
async def test_rollups_count_what_the_rows_contain(session, world, seed, at) -> None:
    """Events arrive in any order, and some are deleted again."""
    dice = random.Random(seed)
    rows = list(build_events(dice, world, at))
    for start in range(0, len(rows), 10):
        await session.execute(insert(Event), rows[start : start + 10])
    await session.execute(insert(Task), list(build_tasks(dice, world, at)))
    for number in range(0, 40, 5):
        gone = Event.data["message_id"].astext == f"m{number}"
        await session.execute(delete(Event).where(gone, Event.created_at > at - timedelta(days=2)))
    short = (await session.scalars(select(Task).where(Task.status == Status.DONE))).all()
    for task in short[::3]:
        task.status, task.done_at = Status.INBOX, None
    await session.flush()
    member = world.alice_member
    for key in RANGES:
        time = build_timeline(RANGES[key], at)
        found = await load_counts(session, member, time, board_id=None, group_id=None)
        expected = await count_from_rows(session, found, time, [world.board.id, world.garden.id])
        last = len(time.edges)
        assert {s: n for s, n in found.statuses.items() if n} == expected["statuses"]
        assert {tuple(row) for row in found.done if row[0] < last} == expected["done"]
        assert {tuple(row) for row in found.messages} == expected["messages"]
        assert {found.messages_now} == expected["messages_now"]
        assert {found.messages_before} == expected["messages_before"]
        assert {tuple(row) for row in found.moves} == expected["moves"]
    assert await counters.repair_counters(session) == []


async def test_a_message_that_completes_twice_in_an_hour_is_one_message(session, world) -> None:
    rows = [
        {
            "id": new_id(),
            "organization_id": world.tern.id,
            "board_id": world.board.id,
            "type": type,
            "data": {"message_id": "m"},
            "created_at": AT + timedelta(hours=hours),
        }
        for type, hours in [(ENDS[0], 0), (ENDS[1], 0), (ENDS[2], 5)]
    ]
    for row in rows:
        await session.execute(insert(Event), [row])
    query = select(MessageHour.only_failed, MessageHour.hour, MessageHour.previous_hour)
    found = await session.execute(query.where(MessageHour.count > 0))
    first, last = ALIGNED, ALIGNED + timedelta(hours=5)
    assert {tuple(row) for row in found} == {
        (False, first, None),
        (False, first, first),
        (False, last, first),
        (True, last, None),
    }
