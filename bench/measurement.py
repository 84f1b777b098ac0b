"""Measure a call in this process: CPU here and in PostgreSQL, round trips, and bytes."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from bench.client import BROWSER_ENCODINGS, Call, Client
from bench.limit import LimitHandler
from tests.support.round_trips import RoundTripLog, record_round_trips

CallFactory = Callable[[int], Call]  # by the number of the call
TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc
WARM_UP = 100  # calls
COUNTED = 5  # calls


@dataclass(frozen=True)
class Cost:
    """What a request costs."""

    cpu_ms: float
    database_ms: float  # of CPU, by all connections
    limit_ms: float  # of CPU: see limit.py
    statements: float
    round_trips: float  # with BEGIN and COMMIT
    kilobytes: float
    wire_kilobytes: float  # as a browser receives it


class Meter:
    """Measures calls to the application and to the limit in turn."""

    def __init__(self, client: Client, connection: asyncpg.Connection, calls: int, rounds: int):
        self._client, self._connection = client, connection
        self._limit = LimitHandler(connection)
        self._calls, self._rounds = calls, rounds

    async def measure(self, factory: CallFactory, change: str = "") -> Cost:
        """Measure one kind of call in rounds. The cheapest counts: something disturbed the others.

        `change` is a statement that runs before each measured call and is not part of its cost.
        Raises AssertionError for an error response.
        """
        first = await self._client.send_checked(factory(0))
        packed = await self._client.send_checked(_accept_encodings(factory(1)))
        await self._limit.store(first)
        limit = Client(self._limit, {})
        ours, limits, database = [], [], []
        for number in range(2, 2 + WARM_UP):
            await self._client.send_checked(_accept_encodings(factory(number)))
            await limit.send(factory(number))
        for number in range(self._rounds):
            start = 10 + number * self._calls
            before = await read_database_cpu(self._connection)
            ours.append(await self._run(self._client, factory, start, change))
            database.append(
                (await read_database_cpu(self._connection) - before) / self._calls * 1000
            )
            limits.append(await self._run(limit, factory, start))
        log = await self._count(factory)
        return Cost(
            min(ours),
            statistics.median(database),
            min(limits),
            len(log.statements) / COUNTED,
            len(log.repeated) / COUNTED,
            len(first.body) / 1000,
            len(packed.body) / 1000,
        )

    async def _run(
        self, client: Client, factory: CallFactory, start: int, change: str = ""
    ) -> float:
        """Return the milliseconds of CPU of this process for one call."""
        calls = [_accept_encodings(factory(start + number)) for number in range(self._calls)]
        seconds = 0.0
        for call in calls:
            if change:
                await self._connection.execute(change)
            began = time.process_time()
            await client.send(call)
            seconds += time.process_time() - began
        return seconds / self._calls * 1000

    async def _count(self, factory: CallFactory) -> RoundTripLog:
        with record_round_trips() as log:
            for number in range(COUNTED):
                await self._client.send_checked(factory(100_000 + number))
        return log


async def read_database_cpu(connection: asyncpg.Connection) -> float:
    """Return the seconds of CPU that the connections of PostgreSQL have used."""
    rows = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    return sum(read_process_cpu(row["pid"]) for row in rows)


def read_process_cpu(pid: int) -> float:
    """Return the seconds of CPU of a process; 0 if it has ended or this is not Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def find_percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _accept_encodings(call: Call) -> Call:
    """Let a page be compressed as for a browser; API clients rarely ask for it."""
    if call.path.startswith("/api/"):
        return call
    return replace(call, headers=(*call.headers, ("accept-encoding", BROWSER_ENCODINGS)))
