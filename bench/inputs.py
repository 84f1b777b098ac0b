"""Measure the figures of capacity.py: what a request of each kind and an open stream use."""

import gc
import statistics
from pathlib import Path

import asyncpg

from bench import results
from bench.capacity import Cost, Inputs
from bench.client import Client
from bench.dataset import Dataset, Scale
from bench.installation import DatabaseServer, open_client
from bench.measurement import CallFactory, Meter, read_database_cpu
from bench.requests import list_api_calls, list_page_calls
from bench.results import Row
from bench.server import open_server
from bench.streams import measure_streams
from bench.writers import measure_writers
from core.config.settings import Settings

SUBSCRIBERS = 500
MORE_CALLS = 10  # times those of a round, so that their rows fill pages of the database
FIRST_NUMBER = 1_000_000  # differs from the calls that were measured before
READ_SIZE = "SELECT pg_database_size(current_database())"
READ_LOG = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
LIST_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"


async def measure_inputs(
    server: DatabaseServer, settings: Settings, folder: Path, data: Dataset, scale: Scale
) -> Inputs:
    """Measure all figures of the calculation."""
    costs = await _measure_costs(settings, data, scale)
    count = min(SUBSCRIBERS, scale.subscribers[0])
    async with open_server(settings, folder) as process:
        memory = (await process.read_usage()).memory_kb / 1024
        figures = await measure_streams(process, data, count, scale.idle_seconds)
        connection_mb = await _read_connection_memory(settings)
    [writers, _] = await measure_writers(server, data, scale.calls)
    return Inputs(
        commit=results.find_commit(),
        measured_at=results.format_now(),
        machine=results.describe_machine(),
        costs=costs,
        delivery_ms=figures.delivery_cpu * 1000,
        subscriber_core=figures.idle_cpu / count,
        subscriber_kb=max(figures.memory_kb, 0.0),
        process_mb=memory,
        connection_mb=connection_mb,
        organization_changes=writers.details["raw_writes_a_second"],
    )


async def _measure_costs(settings: Settings, data: Dataset, scale: Scale) -> dict[str, Cost]:
    """Measure one request of each kind, in this process."""
    calls = list_api_calls(data) | list_page_calls(data)
    names = {
        "heartbeat": "agent: heartbeat",
        "read": "agent: tasks",
        "status": "agent: PATCH status",
        "comment": "agent: comment",
        "page": "page board",
        "card": "fragment card",
    }
    costs = {}
    connection = await asyncpg.connect(settings.dsn)
    async with open_client(settings) as client:
        gc.collect()
        gc.freeze()  # as the server does
        meter = Meter(client, connection, scale.calls, scale.rounds)
        for kind, name in names.items():
            cost = await meter.measure(calls[name])
            number = MORE_CALLS * scale.calls
            costs[kind] = await _measure_database(
                client, connection, calls[name], number, cost.cpu_ms
            )
        gc.unfreeze()
    await connection.close()
    return costs


async def _measure_database(
    client: Client, connection: asyncpg.Connection, factory: CallFactory, count: int, cpu_ms: float
) -> Cost:
    """Measure what many calls use of the database, whose CPU is counted in steps of 10 ms.

    The versions of rows that are replaced make room for others: they are removed before.
    """
    await connection.execute("VACUUM")
    size, log = await connection.fetchval(READ_SIZE), await connection.fetchval(READ_LOG)
    cpu = await read_database_cpu(connection)
    for number in range(count):
        await client.send_checked(factory(FIRST_NUMBER + number))
    cpu = await read_database_cpu(connection) - cpu
    logged = await connection.fetchval(READ_LOG) - log
    await connection.execute("VACUUM")
    grown = await connection.fetchval(READ_SIZE) - size
    is_change = factory(0).method != "GET" and grown >= count  # else it is what others left
    return Cost(
        cpu_ms,
        max(0.0, cpu) * 1000 / count,
        float(grown) / count if is_change else 0.0,
        float(logged) / count if is_change else 0.0,
    )


async def _read_connection_memory(settings: Settings) -> float:
    """Return the MB that a connection of the server has allocated in PostgreSQL, the median."""
    connection = await asyncpg.connect(settings.dsn)
    rows = await connection.fetch(f"{LIST_BACKENDS} AND pid <> pg_backend_pid()")
    await connection.close()
    return statistics.median(_read_own_memory(row["pid"]) for row in rows)


def _read_own_memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def build_rows(found: Inputs) -> list[Row]:
    """Return the figures that no other part has in the table."""
    rows = []
    for kind, cost in found.costs.items():
        if cost.stored_bytes:
            name = f"{kind} of a task by an agent: bytes in the database"
            details = {"log": cost.log_bytes}
            rows.append(Row("inputs", name, "bytes", cost.stored_bytes, details=details))
        rows.append(Row("inputs", f"{kind}, in the database", "ms CPU", cost.database_ms))
    name = "a connection in PostgreSQL: memory"
    return [*rows, Row("inputs", name, "MB", found.connection_mb)]
