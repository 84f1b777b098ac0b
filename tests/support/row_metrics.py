"""The dashboard's counts computed from all rows, to compare them with those from roll-ups."""

from typing import Any

from sqlalchemy import ARRAY, DateTime, Uuid, bindparam, text

from services.metrics import MetricCounts

DONE = """
    select width_bucket(done_at, edges) as number, count(*),
        avg(extract(epoch from done_at - started_at) / 3600), count(started_at)
    from tasks, given where board_id = any(boards) and status = 'done' and done_at >= edges[1]
    group by 1
"""
MESSAGES = """
    select width_bucket(created_at, edges) as number,
        count(distinct data ->> 'message_id') filter (where type = 'message.failed'),
        count(distinct data ->> 'message_id')
    from activity_events, given
    where board_id = any(boards) and created_at >= edges[1]
        and type in ('message.sent', 'message.acknowledged', 'message.failed')
    group by 1
"""
MOVES = """
    select width_bucket(created_at, edges) as number, data ->> 'left', data ->> 'entered', count(*)
    from activity_events, given
    where board_id = any(boards) and created_at >= edges[1]
        and type in ('task.created', 'task.status_changed', 'task.deleted', 'task.restored')
    group by 1, 2, 3
"""
STATUSES = "select status, count(*) from tasks, given where board_id = any(boards) group by 1"
GIVEN = "with given as (select cast(:edges as timestamptz[]) as edges, cast(:boards as uuid[]) "
TIMES = ARRAY(DateTime(timezone=True))


async def count_from_rows(session: Any, counts: MetricCounts, time: Any, board_ids: Any) -> Any:
    """Return the given counts with those from roll-ups and counters replaced."""

    async def run(query: str, edges: Any = time.edges) -> list[tuple[Any, ...]]:
        statement = text(f"{GIVEN} as boards) {query}").bindparams(
            bindparam("edges", edges, TIMES), bindparam("boards", board_ids, ARRAY(Uuid))
        )
        return [tuple(row) for row in await session.execute(statement)]

    window = await run(MESSAGES, [time.primary.start, time.edges[-1]])
    window_before = await run(MESSAGES, [time.comparison.start, time.primary.start])
    return {
        "statuses": {status: n for status, n in await run(STATUSES)},
        "done": {
            (n, tasks, None if mean is None else float(mean), timed)
            for n, tasks, mean, timed in await run(DONE)
            if n < len(time.edges)
        },
        "messages": {row for row in await run(MESSAGES) if row[0] < len(time.edges)},
        "messages_now": {row[1:] for row in window if row[0] == 1} or {(0, 0)},
        "messages_before": {row[1:] for row in window_before if row[0] == 1} or {(0, 0)},
        "moves": set(await run(MOVES)),
    }
