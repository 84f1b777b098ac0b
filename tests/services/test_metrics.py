"""Metrics: what is counted, and in which bucket."""

from datetime import UTC, datetime, timedelta

import pytest

from core.clock import now
from core.errors import Forbidden, NotFound
from models import Board, BoardGroup, Event, EventType, Status, new_id
from services import metrics, tasks
from services.metrics import RANGES, WindowTotals
from services.tasks import TaskCreate
from tests.support.app_on_transactions import ReadsOn
from tests.support.board_rows import make_task
from tests.support.statement_counter import count_statements

NOON = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)  # a Wednesday
HOUR = timedelta(hours=1)


def add_done_task(world, ago, took=None, **fields):
    """Create a task of Launch that was done some time before noon, and how long it took."""
    at = NOON - ago
    started = None if took is None else at - took
    fields = {"status": Status.DONE, "done_at": at, "started_at": started} | fields
    return world.make_task(**fields)


def add_event(world, type, ago, **data):
    """Create an event of Launch some time before noon."""
    return Event(
        id=new_id(),
        type=type,
        organization_id=world.tern.id,
        board_id=world.board.id,
        data=data,
        created_at=NOON - ago,
    )


def add_move(world, ago, left, entered):
    type = EventType.TASK_STATUS_CHANGED if left and entered else EventType.TASK_CREATED
    if not entered:
        type = EventType.TASK_DELETED
    ends = {"left": left, "entered": entered}
    return add_event(world, type, ago, **{name: where for name, where in ends.items() if where})


async def load(session, world, range_key="24h", member=None, at=NOON, **where):
    await session.flush()
    return await metrics.load_dashboard(
        session, member or world.alice_member, range_key, at, **where
    )


def values(series):
    """Return the points that are not 0, by their hour before the last one."""
    last = len(series.points) - 1
    return {last - n: point.value for n, point in enumerate(series.points) if point.value}


async def test_done_tasks_are_counted_in_the_bucket_of_their_end(session, world) -> None:
    """Later changes do not move them (C13); one task was reopened."""
    again = world.make_task(status=Status.INBOX, started_at=NOON - 3 * HOUR)
    session.add_all(
        [
            add_done_task(world, timedelta(0)),
            add_done_task(world, 2 * HOUR),
            add_done_task(world, 2 * HOUR + timedelta(minutes=29), 3 * HOUR),
            add_done_task(world, 2 * HOUR, 1 * HOUR),
            add_done_task(world, 24 * HOUR),  # the first moment of the window, and no other's
            add_done_task(world, 24 * HOUR + timedelta(microseconds=1)),
            add_done_task(world, 48 * HOUR),
            add_done_task(world, 48 * HOUR + timedelta(microseconds=1)),
            add_done_task(world, -HOUR),
            again,
        ]
    )
    loaded = await load(session, world)
    assert values(loaded.throughput.primary) == {0: 1, 2: 3, 24: 1}
    assert values(loaded.throughput.comparison) == {0: 1, 24: 1}
    assert values(loaded.cycle_time.primary) == {2: 2.0}
    assert loaded.throughput.primary.points[-1].period == NOON.replace(minute=0)


async def test_the_median_covers_seven_days_for_every_range(session, world) -> None:
    """C13."""
    assert (await load(session, world)).kpis.median_cycle_time_hours_7d is None
    day = 24 * HOUR
    session.add_all(
        [add_done_task(world, n * day, took * HOUR) for n, took in [(2, 1), (3, 5), (6, 9)]]
    )
    session.add_all([add_done_task(world, 8 * day, 100 * HOUR), add_done_task(world, day)])
    for key in RANGES:
        assert (await load(session, world, key)).kpis.median_cycle_time_hours_7d == 5


async def test_the_median_has_ten_decimal_places_on_every_connection(transaction, world) -> None:
    async with transaction() as session:
        session.add(add_done_task(world, HOUR, timedelta(minutes=11)))
        written = await load(session, world)
    async with ReadsOn(transaction).acquire() as reader:
        read = await metrics.load_dashboard(reader, world.alice_member, "24h", NOON)
    for loaded in (written, read):
        assert repr(loaded.kpis.median_cycle_time_hours_7d) == "0.1833333333"


async def test_work_in_progress_counts_tasks_at_the_end_of_a_bucket(session, world) -> None:
    minute = timedelta(minutes=1)
    session.add_all(
        [
            world.make_task(status=Status.DONE),
            world.make_task(status=Status.REVIEW),
            world.make_task(status=Status.INBOX),  # older than all that is told
            world.make_task(status=Status.REVIEW),  # not there yet
            add_move(world, -HOUR, None, "review"),
            add_move(world, 30 * HOUR, None, "inbox"),
            add_move(world, 5 * HOUR, None, "inbox"),
            add_move(world, 4 * HOUR, "inbox", "in_progress"),
            add_move(world, 4 * HOUR - minute, "inbox", "in_progress"),
            add_move(world, 2 * HOUR, "in_progress", "done"),
            add_move(world, minute, "in_progress", "review"),
            add_move(world, 3 * HOUR, None, "review"),
            add_move(world, HOUR, "review", None),  # it was deleted
            add_event(world, EventType.TASK_UPDATED, HOUR),
        ]
    )
    loaded = await load(session, world)
    points = [
        (point.inbox, point.in_progress, point.review, point.done)
        for point in loaded.wip.primary.points
    ]
    assert points[-7:] == [
        (2, 0, 0, 0),
        (3, 0, 0, 0),
        (1, 2, 0, 0),
        (1, 2, 1, 0),
        (1, 1, 1, 1),
        (1, 1, 0, 1),
        (1, 0, 1, 1),
    ]
    older = [(point.inbox, point.done) for point in loaded.wip.comparison.points]
    assert older[0] == (1, 0)
    assert older[-1] == (2, 0)


async def test_work_in_progress_follows_the_events_of_tasks(session, world) -> None:
    """Every change of a task's status is recorded, so that it can be reverted."""
    actor, board = world.alice, world.board
    for status in Status:
        await tasks.create_task(session, actor, board, TaskCreate(title="Here", status=status))
    deleted = (
        await tasks.create_task(session, actor, board, TaskCreate(title="Gone", status="review"))
    ).task
    first = (await tasks.create_task(session, actor, board, TaskCreate(title="First"))).task
    draft = TaskCreate(title="Then", depends_on_task_ids=[first.id])
    then = (await tasks.create_task(session, actor, board, draft)).task
    await tasks.delete_task(session, actor, board, deleted.id)
    await tasks.update_task(session, actor, board, first.id, tasks.TaskUpdate.of(status="done"))
    await tasks.update_task(
        session, world.worker, board, then.id, tasks.TaskUpdate.of(status="in_progress")
    )
    await tasks.update_task(session, actor, board, first.id, tasks.TaskUpdate.of(status="inbox"))
    await tasks.restore_task(session, actor, board, deleted.id)
    await tasks.delete_task(session, actor, board, first.id)
    loaded = await load(session, world, at=now() + HOUR)
    last = loaded.wip.primary.points[-1]
    assert (last.inbox, last.in_progress, last.review, last.done) == (2, 1, 2, 1)
    for point in (*loaded.wip.comparison.points, *loaded.wip.primary.points[:-3]):
        assert (point.inbox, point.in_progress, point.review, point.done) == (0, 0, 0, 0)


async def test_the_error_rate_is_the_share_of_failed_messages(session, world) -> None:
    """Neither comments (C13) nor waiting messages change it."""
    sent, taken, failed, queued = (
        EventType.MESSAGE_SENT,
        EventType.MESSAGE_ACKNOWLEDGED,
        EventType.MESSAGE_FAILED,
        EventType.MESSAGE_QUEUED,
    )
    minute = timedelta(minutes=1)
    happened = [
        (sent, 0 * HOUR, "a"),
        (taken, 0 * HOUR, "a"),
        (taken, minute, "b"),
        (failed, minute, "c"),
        (failed, minute * 2, "c"),
        (failed, minute * 3, "d"),
        (sent, minute, "d"),
        (queued, minute, "e"),
        (failed, 3 * HOUR, "f"),
        (taken, 25 * HOUR, "g"),
    ]
    session.add_all([add_event(world, type, ago, message_id=id) for type, ago, id in happened])
    session.add(add_event(world, EventType.TASK_COMMENT, minute))
    loaded = await load(session, world)
    assert values(loaded.error_rate.primary) == {0: 50, 3: 100}
    assert values(loaded.error_rate.comparison) == {}
    assert loaded.kpis.error_rate_pct == 60


async def test_totals_describe_the_whole_window_and_the_one_before(session, world) -> None:
    """A message that was completed in several buckets of a window counts once."""
    session.add_all(
        [
            add_done_task(world, HOUR, 4 * HOUR),
            add_done_task(world, 2 * HOUR, 2 * HOUR),
            add_done_task(world, 3 * HOUR),
            add_done_task(world, 30 * HOUR, 9 * HOUR),
        ]
    )
    sent, failed = EventType.MESSAGE_SENT, EventType.MESSAGE_FAILED
    happened = [(sent, 1, "a"), (failed, 2, "b"), (failed, 25, "b"), (sent, 26, "c")]
    happened += [(sent, 28, "c"), (sent, 29, "d"), (failed, 31, "d"), (sent, 49, "e")]
    session.add_all([add_event(world, type, n * HOUR, message_id=id) for type, n, id in happened])
    loaded = await load(session, world)
    assert loaded.totals == WindowTotals(3, 3.0, 50.0)
    assert loaded.totals_before == WindowTotals(1, 9.0, 200 / 3)
    nothing = await load(session, world, at=NOON - 90 * HOUR)
    assert nothing.totals == nothing.totals_before == WindowTotals(0, None, None)


async def test_kpis_show_the_current_values(session, world) -> None:
    session.add_all(
        [world.make_task(status=status) for status in ("inbox", "inbox", "in_progress")]
    )
    session.add_all([make_task(world.garden, "Weed", status="review")])
    (await session.merge(world.worker)).last_seen_at = NOON - 25 * HOUR
    for agent, ago in [(world.lead, 0), (world.worker, 25), (world.other_worker, 24)]:
        (await session.get_one(type(agent), agent.id)).last_seen_at = NOON - ago * HOUR
    (await session.get_one(type(world.gardener), world.gardener.id)).last_seen_at = None
    kpis = (await load(session, world)).kpis
    assert (kpis.inbox_tasks, kpis.in_progress_tasks, kpis.review_tasks) == (2, 1, 1)
    assert (kpis.tasks_in_progress, kpis.done_tasks, kpis.error_rate_pct) == (1, 0, 0)
    assert kpis.active_agents == 2
    assert (await load(session, world, "3d")).kpis.active_agents == 3


async def test_the_dashboard_counts_only_readable_boards(session, world) -> None:
    session.add_all(
        [world.make_task(), make_task(world.garden, "Weed"), make_task(world.charlies_board, "x")]
    )
    group = BoardGroup(
        id=new_id(), organization_id=world.tern.id, name="G", slug="g", created_at=NOON,
        updated_at=NOON,
    )  # fmt: skip
    session.add(group)
    await session.flush()
    (await session.get_one(Board, world.garden.id)).board_group_id = group.id
    launch, garden = world.board.id, world.garden.id
    for member, where, tasks_seen in [
        (world.alice_member, {}, 2),
        (world.bob_member, {}, 1),
        (world.dana_member, {}, 0),
        (world.charlie_member, {}, 1),
        (world.alice_member, {"board_id": garden}, 1),
        (world.alice_member, {"group_id": group.id}, 1),
        (world.alice_member, {"group_id": group.id, "board_id": garden}, 1),
        (world.alice_member, {"group_id": group.id, "board_id": launch}, 0),
        (world.alice_member, {"group_id": new_id()}, 0),
        (world.bob_member, {"group_id": group.id}, 0),
        (world.charlie_member, {"group_id": group.id}, 0),
    ]:
        kpis = (await load(session, world, member=member, **where)).kpis
        assert kpis.inbox_tasks == tasks_seen, (member.user.name, where)
    for member, board_id, error in [
        (world.bob_member, garden, Forbidden),
        (world.dana_member, garden, Forbidden),
        (world.dana_member, world.charlies_board.id, NotFound),
        (world.alice_member, world.charlies_board.id, NotFound),
        (world.charlie_member, launch, NotFound),
        (world.dana_member, new_id(), NotFound),
    ]:
        with pytest.raises(error):
            await load(session, world, member=member, board_id=board_id)


async def test_the_dashboard_takes_one_statement(session, world) -> None:
    """P9."""
    session.add_all([add_done_task(world, n * HOUR, HOUR) for n in range(50)])
    await session.flush()
    for key in RANGES:
        with count_statements(await session.connection()) as statements:
            await load(session, world, key, board_id=world.board.id)
        assert len(statements) == 1
