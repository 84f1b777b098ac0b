"""Many subscribers of a board's event stream: delay, idle cost and memory."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import httpx2

from bench.client import EventStream, StreamRefused, open_stream
from bench.dataset import API, Dataset
from bench.installation import USER
from bench.measurement import find_percentile
from bench.results import Row
from bench.server import ServerProcess

BATCH = 50  # connections that are opened together
EVENTS = 5
EVENT_TIMEOUT = 30.0  # seconds; what arrives later counts as lost
ORIGINAL = {"p50": "5.6 s", "p99": "18.4 s", "idle": "1.0 core (full)", "memory": "196 and 3,000"}
GOALS = {1_000: (40.0, 120.0), 5_000: (300.0, 1_300.0)}  # p50 and p99, in milliseconds


@dataclass(frozen=True)
class StreamFigures:
    """What a number of subscribers cost."""

    opened: int
    refused: int
    delays: list[float]  # milliseconds between the answer to a change and its arrival
    lost: int
    idle_cpu: float  # of a core, more than without them
    idle_statements: float  # a second, more than the server sends without them
    memory_kb: float  # per subscriber
    delivery_cpu: float  # seconds for each event and subscriber, with the change itself


class Subscribers:
    """Open streams of one board, which note when they receive a change."""

    def __init__(self, server: ServerProcess, data: Dataset) -> None:
        self._server, self._data = server, data
        self._path = f"{API}/boards/{data.board}/tasks/stream"
        self._streams: list[EventStream] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._marker = ""
        self._arrivals: list[float] = []
        self.refused = 0

    @property
    def opened(self) -> int:
        """The number of open streams."""
        return len(self._streams)

    async def open(self, count: int) -> None:
        """Open streams in batches."""
        for start in range(0, count, BATCH):
            calls = [
                open_stream(self._server.port, self._path, USER)
                for _ in range(min(BATCH, count - start))
            ]
            for opened in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(opened, EventStream):
                    self._streams.append(opened)
                elif isinstance(opened, StreamRefused | OSError | TimeoutError):
                    self.refused += 1
                else:
                    raise opened
        self._tasks = [asyncio.create_task(self._follow(stream)) for stream in self._streams]

    async def _follow(self, stream: EventStream) -> None:
        async for message in stream.messages():
            if self._marker and self._marker in message.data:
                self._arrivals.append(time.perf_counter())

    async def publish(self, client: httpx2.AsyncClient, number: int) -> list[float]:
        """Rename a task, and return the delays until the subscribers have received it."""
        self._arrivals, self._marker = [], f"Marker {number} of the streams"
        task = self._data.tasks[number % len(self._data.tasks)]
        path = f"{API}/boards/{self._data.board}/tasks/{task}"
        answer = await client.patch(path, json={"title": self._marker}, headers=list(USER))
        answered = time.perf_counter()
        assert answer.status_code == 200, answer.text
        while len(self._arrivals) < self.opened:
            if time.perf_counter() - answered > EVENT_TIMEOUT:
                break
            await asyncio.sleep(0.02)
        return [(at - answered) * 1000 for at in self._arrivals]

    async def close(self) -> None:
        """Close all streams."""
        for stream in self._streams:
            stream.close()
        await asyncio.gather(*self._tasks)


async def measure_streams(
    server: ServerProcess, data: Dataset, count: int, idle_seconds: float
) -> StreamFigures:
    """Wait, open `count` streams of a board, wait again, and change tasks."""
    alone = await server.measure_usage(2 * idle_seconds)
    before = await server.read_usage()
    subscribers = Subscribers(server, data)
    await subscribers.open(count)
    await asyncio.sleep(2)
    opened = await server.read_usage()
    idle = await server.measure_usage(idle_seconds)
    # What repeats does so at most as often as in the time alone, which is twice as long.
    new = Counter(idle.frequent) - Counter(alone.frequent)
    for text, number in new.items():
        print(f"    {number / idle_seconds:6.2f}/s  {text[:120]}", flush=True)
    delays: list[float] = []
    began, start = await server.read_usage(), time.perf_counter()
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        for number in range(EVENTS):
            delays += await subscribers.publish(client, number)
            await asyncio.sleep(0.5)
    used = (await server.read_usage()).subtract(began).cpu
    used -= idle.cpu / idle_seconds * (time.perf_counter() - start)
    await subscribers.close()
    number = max(1, subscribers.opened)
    return StreamFigures(
        opened=subscribers.opened,
        refused=subscribers.refused,
        delays=delays,
        lost=subscribers.opened * EVENTS - len(delays),
        idle_cpu=max(0.0, idle.cpu - alone.cpu / 2) / idle_seconds,
        idle_statements=sum(new.values()) / idle_seconds,
        memory_kb=(opened.memory_kb - before.memory_kb) / number,
        delivery_cpu=max(0.0, used) / max(1, len(delays)),
    )


def build_stream_rows(count: int, figures: StreamFigures) -> list[Row]:
    """Return the rows of the table."""
    name = f"{count:,} subscribers of a board"
    p50, p99 = GOALS.get(count, (None, None))
    found = [find_percentile(figures.delays, share) for share in (0.5, 0.99)]
    lost = {"opened": figures.opened, "refused": figures.refused, "lost": figures.lost}
    return [
        Row("streams", f"{name}: p50", "ms", found[0], goal=p50, original=ORIGINAL["p50"]),
        Row("streams", f"{name}: p99", "ms", found[1], goal=p99, details=lost),
        Row("streams", f"{name}: idle", "core", figures.idle_cpu, goal=0.02),
        Row("streams", f"{name}: idle", "statements/s", figures.idle_statements, goal=0.0),
        Row("streams", f"{name}: memory", "kB each", figures.memory_kb, goal=50.0),
        Row("streams", f"{name}: CPU of a delivery", "ms", 1000 * figures.delivery_cpu),
    ]
