"""Writers of one organization whose requests go to one, two and four server processes.

The rates are measured in turn, so that their ratios mean something on a busy machine. The CPU of a
write and the sessions that wait for a lock say why they differ.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import mean, median
from typing import Any

import asyncpg

from bench.dataset import API, Dataset
from bench.installation import DATABASE, USER, DatabaseServer
from bench.measurement import read_database_cpu
from bench.results import Row
from bench.server import ServerProcess, open_server

WRITERS = 16  # on as many boards
PROCESSES = (1, 2, 4)
ROUNDS = 3
SAMPLE_INTERVAL = 0.05  # seconds
ANSWER_TIMEOUT = 60.0  # seconds; a server that takes longer hangs
GOAL = 0.95
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"


@dataclass(frozen=True)
class Round:
    """What some processes did in some seconds."""

    rate: float  # writes a second
    server_cpu: float  # ms of a write
    database_cpu: float  # ms of a write
    waiting: float  # sessions that waited for a lock, on average


async def measure_shared_writes(
    server: DatabaseServer, data: Dataset, folder: Path, seconds: float
) -> list[Row]:
    """Measure the rate of the same writers with several processes."""
    settings = await server.copy_database(DATABASE, "bench_shared_writes")
    rounds: dict[int, list[Round]] = {count: [] for count in PROCESSES}
    async with AsyncExitStack() as stack:
        servers = []
        for number in range(max(PROCESSES)):
            own = folder / f"process_{number}"
            own.mkdir()
            started = settings.model_copy(update={"data_dir": own})
            servers.append(await stack.enter_async_context(open_server(started, own)))
        connection = await asyncpg.connect(settings.dsn)
        stack.push_async_callback(connection.close)
        for measured in (False, *[True] * ROUNDS):  # the first is not counted
            for count, results in rounds.items():
                result = await _run_round(connection, servers[:count], data, seconds)
                results += [result] if measured else []
    writers = min(WRITERS, len(data.boards))
    one = median(result.rate for result in rounds[1])
    return [
        Row(
            *("writers", f"{writers} writers, processes: {count}, share of the rate of one", ""),
            median(result.rate for result in results) / one,
            goal=GOAL if count == 2 else None,
            at_least=True,
            details=_describe(results),
        )
        for count, results in rounds.items()
    ]


def _describe(results: Sequence[Round]) -> dict[str, Any]:
    return {
        "writes_a_second": median(result.rate for result in results),
        "server_cpu_ms": median(result.server_cpu for result in results),
        "database_cpu_ms": median(result.database_cpu for result in results),
        "sessions_waiting_for_locks": mean(result.waiting for result in results),
    }


async def _run_round(
    connection: asyncpg.Connection, servers: Sequence[ServerProcess], data: Dataset, seconds: float
) -> Round:
    before = [(await server.read_usage()).cpu for server in servers]
    database_before = await read_database_cpu(connection)
    start = time.perf_counter()
    until = start + seconds
    writers = [
        _write(server, data, board, until)
        for server, board in zip(cycle(servers), data.boards[:WRITERS], strict=False)
    ]
    waiting, *written = await asyncio.gather(_count_waiting(connection, until), *writers)
    elapsed, done = time.perf_counter() - start, sum(written)
    after = [(await server.read_usage()).cpu for server in servers]
    database_cpu = await read_database_cpu(connection) - database_before
    return Round(
        done / elapsed,
        1000 * (sum(after) - sum(before)) / done,
        1000 * database_cpu / done,
        waiting,
    )


async def _write(server: ServerProcess, data: Dataset, board: str, until: float) -> int:
    """Rename a task of a board again and again; return how often. The client costs little CPU."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    done = 0
    while time.perf_counter() < until:
        body = json.dumps({"title": f"Write {done} at {time.time()}"})
        head = [
            f"PATCH {API}/boards/{board}/tasks/{data.board_tasks[board]} HTTP/1.1",
            *("host: bench", "content-type: application/json", f"content-length: {len(body)}"),
            *(f"{name}: {value}" for name, value in USER),
        ]
        writer.write("\r\n".join([*head, "", body]).encode())
        async with asyncio.timeout(ANSWER_TIMEOUT):
            received = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert received.startswith(b"http/1.1 200 "), received
            length = received.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        done += 1
    writer.close()
    return done


async def _count_waiting(connection: asyncpg.Connection, until: float) -> float:
    """Return how many sessions wait for a lock, on average."""
    counts = []
    while time.perf_counter() < until:
        counts.append(await connection.fetchval(WAITING))
        await asyncio.sleep(SAMPLE_INTERVAL)
    return mean(counts)
