"""The parts of the benchmark: each measures on a copy of the database."""

import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench import agents, browser, capacity, growth, inputs, load, processes, soak, writers
from bench.dataset import QUICK, Dataset, Scale
from bench.hooks import measure_hooks
from bench.installation import DATABASE, DatabaseServer, open_client
from bench.measurement import Meter
from bench.requests import measure_pages, measure_requests
from bench.results import Row
from bench.retention import measure_retention
from bench.server import open_server
from bench.shared_writes import measure_shared_writes
from bench.streams import build_stream_rows, measure_streams
from bench.viewers import measure_viewers
from core.config.settings import Settings

REST_PERIODS = 3  # of the idle time, because what repeats does so every 15 to 30 s


@dataclass(frozen=True)
class Run:
    """What a part of the benchmark may use."""

    server: DatabaseServer
    data: Dataset
    scale: Scale
    folder: Path
    word: str  # of the names of the requests to measure

    @asynccontextmanager
    async def open_copy(self, name: str) -> AsyncGenerator[Settings, None]:
        """Copy the database for one part, and remove the copy at the end."""
        yield await self.server.copy_database(DATABASE, f"bench_{name}")
        await self.server.drop_database(f"bench_{name}")


async def measure_calls(run: Run) -> list[Row]:
    """Measure requests and pages in this process."""
    async with run.open_copy("calls") as settings, open_client(settings) as client:
        connection = await asyncpg.connect(settings.dsn)
        gc.collect()
        gc.freeze()  # as the server does
        meter = Meter(client, connection, run.scale.calls, run.scale.rounds)
        rows = await measure_requests(meter, run.data, run.word)
        rows += await measure_pages(meter, run.data, run.word)
        gc.unfreeze()
        await connection.close()
    return rows


async def measure_open_pages(run: Run) -> list[Row]:
    """Measure what one renamed task costs while many pages are open."""
    async with (
        run.open_copy("viewers") as settings,
        open_server(settings, run.folder) as server,
    ):
        return await measure_viewers(server, settings, run.data, run.scale)


async def measure_subscribers(run: Run) -> list[Row]:
    """Measure many subscribers of a board."""
    rows = []
    for count in run.scale.subscribers:
        async with (
            run.open_copy("streams") as settings,
            open_server(settings, run.folder) as server,
        ):
            seconds = 1.5 * run.scale.idle_seconds  # what repeats does so in half a minute
            figures = await measure_streams(server, run.data, count, seconds)
        rows += build_stream_rows(count, figures)
    return rows


async def measure_tool_calls(run: Run) -> list[Row]:
    """Measure the tool calls of coding agents."""
    async with run.open_copy("hooks") as settings:
        return await measure_hooks(settings, run.folder, run.data, run.scale)


async def measure_process(run: Run) -> list[Row]:
    """Measure start and memory of a server."""
    async with run.open_copy("process") as settings:
        rows = await processes.measure_start(settings)
        requests = 20 * run.scale.calls
        return rows + await processes.measure_memory(settings, run.folder, run.data, requests)


async def measure_latency(run: Run) -> list[Row]:
    """Measure the slowest answers of a server that has little to do."""
    async with run.open_copy("latency") as settings:
        seconds = run.scale.idle_seconds
        return await processes.measure_latency(settings, run.folder, run.data, seconds)


async def measure_rest(run: Run) -> list[Row]:
    """Measure a server that nobody uses."""
    async with run.open_copy("rest") as settings:
        seconds, agents = REST_PERIODS * run.scale.idle_seconds, run.scale.gateway_agents
        return await processes.measure_rest(settings, run.folder, seconds, agents)


async def measure_load(run: Run) -> list[Row]:
    """Measure the load of a working day."""
    async with run.open_copy("load") as settings:
        seconds, viewers = run.scale.load_seconds, run.scale.viewers
        agents = 4 * viewers
        return await load.measure_load(settings, run.folder, run.data, seconds, agents, 2 * viewers)


async def measure_soak(run: Run) -> list[Row]:
    """Measure what grows while everything is used for a long time."""
    async with run.open_copy("soak") as settings:
        return await soak.measure_soak(run.server, settings, run.folder, run.data, run.scale)


async def measure_growth(run: Run) -> list[Row]:
    """Measure every read and page with much more of everything."""
    return await growth.measure_growth(run.server, run.scale, run.word)


async def measure_agents(run: Run) -> list[Row]:
    """Measure the calls of agents while there are many."""
    async with run.open_copy("few") as few, run.open_copy("many") as many:
        return await agents.measure_many_agents(few, many, run.data, run.scale)


async def measure_writers(run: Run) -> list[Row]:
    """Measure writers on several boards of one organization."""
    rows = await writers.measure_writers(run.server, run.data, run.scale.calls)
    return rows + await measure_shared_writes(
        run.server, run.data, run.folder, run.scale.writer_seconds
    )


async def measure_inputs(run: Run) -> list[Row]:
    """Measure the figures of the calculation in capacity.py, and store them with the results."""
    async with run.open_copy("inputs") as settings:
        found = await inputs.measure_inputs(run.server, settings, run.folder, run.data, run.scale)
    if run.scale is not QUICK:
        found.write()
        capacity.update_document()
    return inputs.build_rows(found)


async def measure_deletion(run: Run) -> list[Row]:
    """Measure the deletion of old events."""
    async with run.open_copy("retention") as settings:
        return await measure_retention(settings, run.scale.events // 5)


async def measure_browser(run: Run) -> list[Row]:
    """Measure a board page in a browser, if there is one."""
    async with (
        run.open_copy("browser") as settings,
        open_server(settings, run.folder) as server,
    ):
        return await browser.measure_browser(server, run.data)


Part = Callable[[Run], Awaitable[list[Row]]]

PARTS: dict[str, Part] = {
    "calls": measure_calls,
    "agents": measure_agents,
    "growth": measure_growth,
    "writers": measure_writers,
    "viewers": measure_open_pages,
    "streams": measure_subscribers,
    "hooks": measure_tool_calls,
    "process": measure_process,
    "latency": measure_latency,
    "rest": measure_rest,
    "load": measure_load,
    "retention": measure_deletion,
    "browser": measure_browser,
    "inputs": measure_inputs,
    "soak": measure_soak,
}
LONG = {"soak"}  # they run if they are named
PRINTED = {"calls", "growth"}  # they print each figure when it is measured
