"""How long the deletion of old events takes, and how long it keeps writers waiting."""

import time
from statistics import median, quantiles

import asyncpg
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.results import Row
from core.config.settings import Settings
from services import retention
from tests.support.round_trips import RoundTrip, listen_to_round_trips

MAX_LOCK_MS = 50.0  # for which writers of an organization may wait
LOCK = "pg_advisory_xact_lock"
INSERT_OLD = """  -- the numbers of the data begin above them: see bench/dataset.py
    insert into activity_events
        (id, seq, type, organization_id, board_id, task_id, agent_id, data, created_at)
    select gen_random_uuid(), number,
        (array['task.created', 'task.status_changed', 'message.queued', 'message.sent',
            'message.acknowledged', 'agent.status_changed'])[1 + number % 6],
        board.organization_id, board.id, gen_random_uuid(),
        (select id from agents limit 1),
        jsonb_build_object('message_id', (number / 6)::text, 'left', 'inbox', 'entered', 'done'),
        now() - interval '400 days' + number * interval '1 second'
    from generate_series(1, $1) number
    join lateral (
        select * from (select *, row_number() over () - 1 as place, count(*) over () from boards) b
        where place = number % count
    ) board on true
"""
INSERT_ORIGINS = """
    insert into event_origins (id, actor_kind, credential)
    select id, 'agent', 'token' from activity_events where type like 'message.%'
    on conflict do nothing
"""


async def measure_retention(settings: Settings, events: int) -> list[Row]:
    """Delete so many old events, as the worker does."""
    connection = await asyncpg.connect(settings.dsn)
    await connection.execute(INSERT_OLD, events)
    await connection.execute(INSERT_ORIGINS)
    await connection.execute("vacuum analyze")
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    locked, began = list[float](), time.perf_counter()
    has_more = True
    while has_more:
        began_at = list[float]()

        def note_lock(sent: RoundTrip, began_at: list[float] = began_at) -> None:
            if LOCK in sent.statement and sent.is_statement:
                began_at.append(time.perf_counter())

        with listen_to_round_trips(note_lock):
            async with transaction() as session:
                has_more = await retention.delete_old_events(session, keep_days=365)
        locked += [1000 * (time.perf_counter() - at) for at in began_at]
    seconds = time.perf_counter() - began
    left = "select count(*) from activity_events where created_at < now() - interval '365 days'"
    kept = await connection.fetchval(left)
    await engine.dispose()
    await connection.close()
    name = f"deletion of {events - kept:,} old events"
    return [
        Row("retention", f"{name}, a million", "s", seconds * 1_000_000 / events),
        Row("retention", f"{name}, lock of a batch, median", "ms", median(locked)),
        Row(
            *("retention", f"{name}, lock of a batch, 99 of 100", "ms"),
            quantiles(locked, n=100)[-1],
            goal=MAX_LOCK_MS,
        ),
        Row("retention", f"{name}, longest lock of a batch", "ms", max(locked)),
    ]
