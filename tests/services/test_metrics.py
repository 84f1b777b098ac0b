"""Metrics: what is counted, where it falls, and that it is the truth."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.clock import now
from kit.errors import Forbidden, NotFound
from models import Board, BoardGroup, Event, EventType, Status, Task, new_id
from services import metrics, tasks
from services.metrics.periods import RANGES, Bucket, timeline
from services.tasks import TaskDraft
from tests.services.test_task_reading import counting
from tests.world import a_task

NOON = datetime(2026, 3, 18, 12, 30, tzinfo=UTC)  # a Wednesday
HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))
COUNTS = {
    "24h": {25},
    "3d": {4},
    "7d": {8},
    "14d": {15},
    "1m": {31},
    "3m": {13, 14},
    "6m": {26, 27},
    "1y": {12, 13},  # 12 on the last day of a leap year alone
}


@given(at=MOMENTS, range=st.sampled_from(list(RANGES.values())))
def test_time_is_cut_without_gaps_and_nothing_lies_in_two_places(at, range) -> None:
    time = timeline(range, at)
    assert time.comparison.end == time.primary.start
    assert time.primary.end == at
    assert time.primary.end - time.primary.start == range.duration
    edges = time.edges
    assert edges == sorted(edges)
    for window in (time.comparison, time.primary):
        assert len(window.periods) in COUNTS[range.key]
        assert window.periods[0] <= window.start <= window.periods[-1] <= window.end + HOUR
        assert window.periods[-1] <= window.end


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [
        ("24h", datetime(2026, 3, 17, 12), datetime(2026, 3, 18, 12)),
        ("3d", datetime(2026, 3, 15), datetime(2026, 3, 18)),
        ("1m", datetime(2026, 2, 16), datetime(2026, 3, 18)),
        ("3m", datetime(2025, 12, 15), datetime(2026, 3, 16)),
        ("1y", datetime(2025, 3, 1), datetime(2026, 3, 1)),
    ],
)
def test_buckets_begin_at_hours_days_mondays_and_firsts(key, first, last) -> None:
    periods = timeline(RANGES[key], NOON).primary.periods
    assert (periods[0], periods[-1]) == (first.replace(tzinfo=UTC), last.replace(tzinfo=UTC))
    if RANGES[key].bucket is Bucket.WEEK:
        assert {period.weekday() for period in periods} == {0}


def test_a_moment_between_two_windows_belongs_to_the_later_one() -> None:
    """C13."""
    time = timeline(RANGES["24h"], NOON.replace(minute=0))
    assert time.comparison.periods[-1] == time.primary.periods[0] == time.primary.start
    assert len(time.comparison.periods) == len(time.primary.periods) == 25


def done(world, ago, took=None, **fields):
    """Make a task of Launch that was done a while before noon, having taken some time."""
    at = NOON - ago
    started = None if took is None else at - took
    fields = {"status": Status.DONE, "done_at": at, "started_at": started} | fields
    return world.task(**fields)


def event(world, type, ago, **data):
    """Make an event of Launch, a while before noon."""
    return Event(
        id=new_id(),
        type=type,
        organization_id=world.tern.id,
        board_id=world.board.id,
        data=data,
        created_at=NOON - ago,
    )


def moved(world, ago, left, entered):
    type = EventType.TASK_STATUS_CHANGED if left and entered else EventType.TASK_CREATED
    if not entered:
        type = EventType.TASK_DELETED
    ends = {"left": left, "entered": entered}
    return event(world, type, ago, **{name: where for name, where in ends.items() if where})


async def shown(session, world, range_key="24h", member=None, at=NOON, **where):
    await session.flush()
    return await metrics.dashboard(session, member or world.alices, range_key, at, **where)


def values(series):
    """Return the points that are not 0, by their hour before the last one."""
    last = len(series.points) - 1
    return {last - n: point.value for n, point in enumerate(series.points) if point.value}


async def test_what_was_done_is_counted_where_it_was_done(session, world) -> None:
    """All of them were changed later, which moves nothing (C13); one was taken up again."""
    again = world.task(status=Status.INBOX, started_at=NOON - 3 * HOUR)
    session.add_all(
        [
            done(world, timedelta(0)),
            done(world, 2 * HOUR),
            done(world, 2 * HOUR + timedelta(minutes=29), 3 * HOUR),
            done(world, 2 * HOUR, 1 * HOUR),
            done(world, 24 * HOUR),  # the first moment of the window, and no other's
            done(world, 24 * HOUR + timedelta(microseconds=1)),
            done(world, 48 * HOUR),
            done(world, 48 * HOUR + timedelta(microseconds=1)),
            done(world, -HOUR),
            again,
        ]
    )
    seen = await shown(session, world)
    assert values(seen.throughput.primary) == {0: 1, 2: 3, 24: 1}
    assert values(seen.throughput.comparison) == {0: 1, 24: 1}
    assert values(seen.cycle_time.primary) == {2: 2.0}
    assert seen.throughput.primary.points[-1].period == NOON.replace(minute=0)


async def test_the_median_is_of_seven_days_whatever_the_range(session, world) -> None:
    """C13."""
    assert (await shown(session, world)).kpis.median_cycle_time_hours_7d is None
    day = 24 * HOUR
    session.add_all([done(world, n * day, took * HOUR) for n, took in [(2, 1), (3, 5), (6, 9)]])
    session.add_all([done(world, 8 * day, 100 * HOUR), done(world, day)])
    for key in RANGES:
        assert (await shown(session, world, key)).kpis.median_cycle_time_hours_7d == 5


async def test_what_is_under_way_is_how_many_stood_there_when_a_bucket_was_over(
    session, world
) -> None:
    minute = timedelta(minutes=1)
    session.add_all(
        [
            world.task(status=Status.DONE),
            world.task(status=Status.REVIEW),
            world.task(status=Status.INBOX),  # older than all that is told
            world.task(status=Status.REVIEW),  # not there yet
            moved(world, -HOUR, None, "review"),
            moved(world, 30 * HOUR, None, "inbox"),
            moved(world, 5 * HOUR, None, "inbox"),
            moved(world, 4 * HOUR, "inbox", "in_progress"),
            moved(world, 4 * HOUR - minute, "inbox", "in_progress"),
            moved(world, 2 * HOUR, "in_progress", "done"),
            moved(world, minute, "in_progress", "review"),
            moved(world, 3 * HOUR, None, "review"),
            moved(world, HOUR, "review", None),  # it was deleted
            event(world, EventType.TASK_UPDATED, HOUR),
        ]
    )
    seen = await shown(session, world)
    points = [
        (point.inbox, point.in_progress, point.review, point.done)
        for point in seen.wip.primary.points
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
    older = [(point.inbox, point.done) for point in seen.wip.comparison.points]
    assert older[0] == (1, 0)
    assert older[-1] == (2, 0)


async def test_what_really_happens_to_tasks_is_what_was_under_way(session, world) -> None:
    """Every way into a status and out of it is told, so that it can be taken back."""
    actor, board = world.alice, world.board
    for status in Status:
        await tasks.create(session, actor, board, TaskDraft(title="Here", status=status))
    gone = (
        await tasks.create(session, actor, board, TaskDraft(title="Gone", status="review"))
    ).task
    first = (await tasks.create(session, actor, board, TaskDraft(title="First"))).task
    draft = TaskDraft(title="Then", depends_on_task_ids=[first.id])
    then = (await tasks.create(session, actor, board, draft)).task
    await tasks.delete(session, actor, board, gone.id)
    await tasks.change(session, actor, board, first.id, {"status": "done"})
    await tasks.change(session, world.worker, board, then.id, {"status": "in_progress"})
    await tasks.change(session, actor, board, first.id, {"status": "inbox"})
    await tasks.restore(session, actor, board, gone.id)
    await tasks.delete(session, actor, board, first.id)
    seen = await shown(session, world, at=now() + HOUR)
    last = seen.wip.primary.points[-1]
    assert (last.inbox, last.in_progress, last.review, last.done) == (2, 1, 2, 1)
    for point in (*seen.wip.comparison.points, *seen.wip.primary.points[:-3]):
        assert (point.inbox, point.in_progress, point.review, point.done) == (0, 0, 0, 0)


async def test_what_fails_is_a_share_of_the_messages_that_came_to_an_end(session, world) -> None:
    """Comments do not thin it (C13), and neither do messages that still wait."""
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
    session.add_all([event(world, type, ago, message_id=id) for type, ago, id in happened])
    session.add(event(world, EventType.TASK_COMMENT, minute))
    seen = await shown(session, world)
    assert values(seen.error_rate.primary) == {0: 50, 3: 100}
    assert values(seen.error_rate.comparison) == {}
    assert seen.kpis.error_rate_pct == 60


async def test_kpis_tell_how_things_stand(session, world) -> None:
    session.add_all([world.task(status=status) for status in ("inbox", "inbox", "in_progress")])
    session.add_all([a_task(world.garden, "Weed", status="review")])
    (await session.merge(world.worker)).last_seen_at = NOON - 25 * HOUR
    for agent, ago in [(world.lead, 0), (world.worker, 25), (world.other_worker, 24)]:
        (await session.get_one(type(agent), agent.id)).last_seen_at = NOON - ago * HOUR
    (await session.get_one(type(world.gardener), world.gardener.id)).last_seen_at = None
    kpis = (await shown(session, world)).kpis
    assert (kpis.inbox_tasks, kpis.in_progress_tasks, kpis.review_tasks) == (2, 1, 1)
    assert (kpis.tasks_in_progress, kpis.done_tasks, kpis.error_rate_pct) == (1, 0, 0)
    assert kpis.active_agents == 2
    assert (await shown(session, world, "3d")).kpis.active_agents == 3


async def test_one_sees_the_boards_that_one_reads(session, world) -> None:
    session.add_all([world.task(), a_task(world.garden, "Weed"), a_task(world.charlies_board, "x")])
    group = BoardGroup(
        id=new_id(), organization_id=world.tern.id, name="G", slug="g", created_at=NOON,
        updated_at=NOON,
    )  # fmt: skip
    session.add(group)
    await session.flush()
    (await session.get_one(Board, world.garden.id)).board_group_id = group.id
    launch, garden = world.board.id, world.garden.id
    for member, where, tasks_seen in [
        (world.alices, {}, 2),
        (world.bobs, {}, 1),
        (world.danas, {}, 0),
        (world.charlies, {}, 1),
        (world.alices, {"board_id": garden}, 1),
        (world.alices, {"group_id": group.id}, 1),
        (world.alices, {"group_id": group.id, "board_id": garden}, 1),
        (world.alices, {"group_id": group.id, "board_id": launch}, 0),
        (world.alices, {"group_id": new_id()}, 0),
        (world.bobs, {"group_id": group.id}, 0),
        (world.charlies, {"group_id": group.id}, 0),
    ]:
        kpis = (await shown(session, world, member=member, **where)).kpis
        assert kpis.inbox_tasks == tasks_seen, (member.user.name, where)
    for member, board_id, refusal in [
        (world.bobs, garden, Forbidden),
        (world.danas, garden, Forbidden),
        (world.danas, world.charlies_board.id, NotFound),
        (world.alices, world.charlies_board.id, NotFound),
        (world.charlies, launch, NotFound),
        (world.danas, new_id(), NotFound),
    ]:
        with pytest.raises(refusal):
            await shown(session, world, member=member, board_id=board_id)


async def test_all_of_it_is_one_statement(session, world) -> None:
    """P9."""
    session.add_all([done(world, n * HOUR, HOUR) for n in range(50)])
    await session.flush()
    for key in RANGES:
        with counting(await session.connection()) as statements:
            await shown(session, world, key, board_id=world.board.id)
        assert len(statements) == 1


async def times(session, world, *changes):
    """Make a task, change it as told, and return its times of being started and done."""
    made = await tasks.create(session, world.alice, world.board, TaskDraft(title="Write"))
    kept = []
    for actor, change in changes:
        await tasks.change(session, actor, world.board, made.task.id, change)
        task = await session.get_one(Task, made.task.id)
        kept.append((task.started_at, task.done_at))
    return kept


async def test_a_task_is_started_once_and_done_for_as_long_as_it_is(session, world) -> None:
    """W-58. C2, C3: by whoever and however it is started."""
    starts = {"status": "in_progress", "assigned_agent_id": world.worker.id}
    kept = await times(
        session,
        world,
        (world.lead, starts),
        (world.worker, {"status": "in_progress"}),
        (world.worker, {"status": "review"}),
        (world.lead, {"status": "inbox"}),
        (world.worker, {"status": "in_progress"}),
        (world.worker, {"status": "done"}),
        (world.alice, {"title": "Written"}),
        (world.alice, {"status": "inbox"}),
        (world.worker, {"status": "done"}),
    )
    started, _ = kept[0]
    assert started is not None
    assert {one for one, _ in kept} == {started}
    ends = [ended for _, ended in kept]
    assert ends[:5] == [None] * 5
    assert ends[5] is not None
    assert ends[6] == ends[5]
    assert ends[7] is None
    assert ends[8] is not None
    assert ends[8] > ends[5]


async def test_a_task_may_be_born_started_or_done(session, world) -> None:
    """W-58."""
    for status, is_started, is_done in [
        ("inbox", False, False),
        ("in_progress", True, False),
        ("review", False, False),
        ("done", False, True),
    ]:
        draft = TaskDraft(title="Write", status=status)
        task = (await tasks.create(session, world.alice, world.board, draft)).task
        assert (task.started_at is not None, task.done_at is not None) == (is_started, is_done)
