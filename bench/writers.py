"""Writers on several boards of one organization, next to the same statements sent raw.

A first run on a copy of the database is timed. A second run on another copy records the statements
of each writer with their arguments. They are then sent by as many plain connections to a third
copy, so that the same locks are taken on the same data.
"""

import asyncio
import time
from collections import defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field

import asyncpg

from bench.client import Call, Client
from bench.dataset import API, Dataset
from bench.installation import DATABASE, USER, DatabaseServer, open_client
from bench.results import Row
from core.config.settings import Settings
from tests.support.round_trips import RoundTrip, listen_to_round_trips

WRITERS = 16  # on as many boards
MIN_SHARE = 0.6  # of the rate of the same statements sent raw
REPLAY_TIMEOUT = 120.0  # seconds
WARM_UP = 2  # writes of each writer that are not timed

Transaction = list[RoundTrip]
current_write: ContextVar[tuple[str, int]] = ContextVar("current_write", default=("", 0))


@dataclass
class Recording:
    """The round trips of each write, by board and number."""

    sent: dict[tuple[str, int], Transaction] = field(default_factory=lambda: defaultdict(list))

    def record(self, one: RoundTrip) -> None:
        """Record a round trip of a writer."""
        write = current_write.get()
        if write[0] and not one.is_one_time:
            self.sent[write].append(one)

    def select_writes(self, board: str, numbers: range) -> Transaction:
        """Return what was sent for some writes of a board."""
        return [one for number in numbers for one in self.sent[board, number]]


async def measure_writers(server: DatabaseServer, data: Dataset, calls: int) -> list[Row]:
    """Measure the rate of writers, and the rate of the statements that they send."""
    timed = range(WARM_UP, WARM_UP + calls)
    settings = await server.copy_database(DATABASE, "bench_writers")
    async with open_client(settings) as client:
        await _write(client, data, range(WARM_UP))
        ours = await _write(client, data, timed)
    problems = await _find_problems(settings, data, timed.stop)
    recording = Recording()
    recorded = await server.copy_database(DATABASE, "bench_writers_recorded")
    async with open_client(recorded) as client:
        with listen_to_round_trips(recording.record):
            await _write(client, data, range(timed.stop))
    raw_settings = await server.copy_database(DATABASE, "bench_writers_raw")
    raw, failed = await _replay(raw_settings, recording, data, timed)
    writers = min(WRITERS, len(data.boards))
    rate, raw_rate = writers * calls / ours, writers * calls / raw
    details = {
        "writes_a_second": rate,
        "raw_writes_a_second": raw_rate,
        "failed_raw_statements": failed,
        "problems": problems or "none",
    }
    name = f"{writers} writers on {writers} boards, share of the rate of raw statements"
    share = rate / raw_rate
    return [
        Row("writers", name, "", share, goal=MIN_SHARE, at_least=True, details=details),
        Row("writers", "lost or reordered writes", "", float(len(problems)), goal=0.0),
    ]


async def _write(client: Client, data: Dataset, numbers: range) -> float:
    """Rename one task of each board again and again; return the seconds until all are done."""

    async def write(board: str) -> None:
        path = f"{API}/boards/{board}/tasks/{data.board_tasks[board]}"
        for number in numbers:
            current_write.set((board, number))
            await client.send_checked(Call("PATCH", path, {"title": f"Write {number}"}, USER))

    start = time.perf_counter()
    await asyncio.gather(*map(write, data.boards[:WRITERS]))
    return time.perf_counter() - start


async def _find_problems(settings: Settings, data: Dataset, writes: int) -> str:
    """Describe boards whose events are not one for each write in the order of the writes."""
    connection = await asyncpg.connect(settings.dsn)
    found = []
    for board in data.boards[:WRITERS]:
        task = data.board_tasks[board]
        title = await connection.fetchval("SELECT title FROM tasks WHERE id = $1", task)
        times = await connection.fetch(
            "SELECT created_at FROM activity_events WHERE task_id = $1 AND type = 'task.updated'"
            " ORDER BY seq DESC LIMIT $2",
            task,
            writes,
        )
        ordered = [row["created_at"] for row in times]
        is_complete = len(ordered) == writes and title == f"Write {writes - 1}"
        if not is_complete or ordered != sorted(ordered, reverse=True):
            found.append(board)
    await connection.close()
    return " ".join(found)


async def _replay(
    settings: Settings, recording: Recording, data: Dataset, timed: range
) -> tuple[float, int]:
    """Send what was recorded; return the seconds of the timed writes, and failed statements."""
    boards = data.boards[:WRITERS]
    connections = [await asyncpg.connect(settings.dsn) for _ in boards]
    seconds, failed = 0.0, 0
    for numbers in (range(timed.start), timed):
        writes = [recording.select_writes(board, numbers) for board in boards]
        start = time.perf_counter()
        async with asyncio.timeout(REPLAY_TIMEOUT):
            failed += sum(await asyncio.gather(*map(_send_raw, connections, writes)))
        seconds = time.perf_counter() - start
    for connection in connections:
        await connection.close()
    return seconds, failed


async def _send_raw(connection: asyncpg.Connection, sent: Transaction) -> int:
    """Send statements one after the other, and return how many failed."""
    failed = 0
    for one in sent:
        try:
            if one.method == "query":
                await connection.execute(one.statement)
            elif one.method == "bind_execute_many":
                await connection.executemany(one.statement, one.arguments)
            else:
                await connection.fetch(one.statement, *one.arguments)
        except asyncpg.PostgresError:
            failed += 1
    return failed
