"""How the time of reads and pages depends on the amount of data, and agents' calls on agents."""

import statistics
from dataclasses import replace

import asyncpg

from bench.client import BROWSER_ENCODINGS, Call, Client
from bench.dataset import Dataset, Scale, copy_events, copy_id, copy_rows
from bench.installation import open_client
from bench.measurement import Cost, Meter, time_call
from bench.requests import list_api_calls, list_page_calls
from bench.results import Row
from core.config.settings import Settings

MAX_GROWTH = 1.5  # of the time of a read with many times the data
MAX_AGENT_GROWTH = 1.2  # "the same", within the noise of a measurement
NOT_FLAT = {"GET snapshot"}  # contains all tasks, so it may grow linearly
SHIFT = "- interval '7 hours' * n"
DECIDED = {"status": "'approved'", "resolved_at": f"t.created_at {SHIFT}"}
PAGE_SIZE = 200  # of approvals, and of the history of a task
SEQ_STEP = 1_000_000  # between two copies of the events of a task


async def measure_growth(
    few: Settings, many: Settings, data: Dataset, scale: Scale, word: str
) -> list[Row]:
    """Measure the median time of reads in a database, and in one with many times the data.

    Calls to the two are made in turn, so that both meet the same load of the machine.
    """
    for settings, factor in ((few, 1), (many, scale.factor)):
        connection = await asyncpg.connect(settings.dsn)
        await fill_pages(connection, data)
        await multiply_data(connection, factor)
        await connection.close()
    rows = []
    async with open_client(few) as client, open_client(many) as other:
        for name, call in _list_reads(data, word).items():
            before, after = await _time_in_turn([client, other], call, scale.calls)
            rows.append(
                Row(
                    "growth",
                    f"{scale.factor} x the data: {name}",
                    "x p50",
                    after / before,
                    goal=None if name in NOT_FLAT else MAX_GROWTH,
                    details={"p50_before_ms": before, "p50_after_ms": after},
                )
            )
    return rows


def _list_reads(data: Dataset, word: str) -> dict[str, Call]:
    calls = {**list_api_calls(data), **list_page_calls(data)}
    made = {name: factory(0) for name, factory in calls.items() if word in name}
    encodings = ("accept-encoding", BROWSER_ENCODINGS)
    return {
        name: replace(call, headers=(*call.headers, encodings))
        for name, call in made.items()
        if call.method == "GET"
    }


async def _time_in_turn(clients: list[Client], call: Call, calls: int) -> list[float]:
    """Return the median time of a call of each client, in milliseconds."""
    durations: list[list[float]] = [[] for _ in clients]
    for number in range(calls + 1):
        for client, measured in zip(clients, durations, strict=True):
            milliseconds = await time_call(client, call)
            if number > 0:  # the first prepares statements
                measured.append(milliseconds)
    return [statistics.median(measured) for measured in durations]


async def fill_pages(connection: asyncpg.Connection, data: Dataset) -> None:
    """Fill the pages of approvals, and of the history of the task that is read.

    Otherwise a read with more data returns more rows, and its time says nothing about the growth.
    """
    await copy_rows(
        connection,
        "approvals",
        PAGE_SIZE // max(1, len(data.tasks) // 5),
        DECIDED | {"id": "gen_random_uuid()"},
    )
    older = {"id": "gen_random_uuid()", "seq": f"t.seq - {SEQ_STEP} * n"}
    condition = f"t.task_id = '{data.tasks[0]}'"
    await copy_rows(connection, "activity_events", PAGE_SIZE, older, condition=condition)


async def multiply_data(connection: asyncpg.Connection, factor: int) -> None:
    """Add copies of all tasks, comments, notes, approvals and events, as an older history."""
    copies = factor - 1
    task = {"task_id": copy_id("task_id")}
    await copy_rows(
        connection,
        "tasks",
        copies,
        {column: f"t.{column} {SHIFT}" for column in ("updated_at", "done_at", "started_at")},
    )
    await copy_rows(connection, "task_comments", copies, task)
    await copy_rows(connection, "tag_assignments", copies, task)
    await copy_rows(
        connection,
        "task_dependencies",
        copies,
        task | {"depends_on_task_id": copy_id("depends_on_task_id")},
    )
    await copy_rows(connection, "board_memory", copies)
    await copy_rows(connection, "approvals", copies, task | DECIDED)
    link = {"approval_id": copy_id("approval_id")}
    await copy_rows(connection, "approval_task_links", copies, task | link)
    await copy_events(connection, copies)
    await connection.execute("VACUUM ANALYZE", timeout=600)


async def multiply_agents(connection: asyncpg.Connection, factor: int) -> None:
    """Add copies of all agents and their tokens."""
    copies = factor - 1
    await copy_rows(connection, "agents", copies, {"is_board_lead": "false"})
    token = {
        "agent_id": copy_id("agent_id"),
        "prefix": "left(md5(t.prefix || n), length(t.prefix))",
        "secret_hash": "md5(t.secret_hash || n)",
    }
    await copy_rows(connection, "agent_tokens", copies, token)
    await connection.execute("VACUUM ANALYZE", timeout=600)


async def measure_many_agents(
    few: Settings, many: Settings, data: Dataset, scale: Scale
) -> list[Row]:
    """Measure the calls of an agent with few agents, and with many."""
    connections = [await asyncpg.connect(settings.dsn) for settings in (few, many)]
    await multiply_agents(connections[1], scale.many_agents // scale.agents)
    rows = []
    async with open_client(few) as client, open_client(many) as other:
        meters = [
            Meter(one, connection, scale.calls, scale.rounds)
            for one, connection in zip((client, other), connections, strict=True)
        ]
        for name, factory in list_api_calls(data).items():
            if name.startswith("agent:"):
                costs = [await meter.measure(factory) for meter in meters]
                rows.append(_compare_agents(name, costs, scale))
    for connection in connections:
        await connection.close()
    return rows


def _compare_agents(name: str, costs: list[Cost], scale: Scale) -> Row:
    """Return the row of a call; the CPU of PostgreSQL is included."""
    before, after = (cost.cpu_ms + cost.database_ms for cost in costs)
    return Row(
        "agents",
        f"{scale.many_agents:,} agents: {name}",
        f"x CPU of {scale.agents}",
        after / before,
        goal=MAX_AGENT_GROWTH,
        details={"cpu_before_ms": before, "cpu_after_ms": after},
    )
