"""The soak: everything at once for a long time, with outages in between, and what grows meanwhile.

Agents send heartbeats and work on tasks, people decide, subscribers and pages follow boards, and a
gateway is reachable at times only. The database is restarted after a third of the time, and a
backup is written in the middle.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from bench.client import StreamRefused, open_stream
from bench.dataset import API, Dataset, Scale
from bench.installation import USER, DatabaseServer, Person, create_people
from bench.measurement import find_percentile
from bench.results import Row
from bench.server import ServerProcess, open_server, run_program
from bench.viewers import OpenPage
from core.config.settings import Settings
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import TOKEN as GATEWAY_TOKEN
from tests.support.fake_gateway import run_fake_gateway

HEARTBEAT_INTERVAL = 30.0  # seconds
WORK_INTERVAL = 120.0  # seconds in which an agent completes a task; 60 saturate one process
SAMPLE_INTERVAL = 5.0  # seconds
GATEWAY_AGENTS = 5
GATEWAY_UP, GATEWAY_DOWN = 20.0, 5.0  # seconds
RECONNECT_DELAY = 1.0  # seconds, of a stream that has ended
RESTART_AT, BACKUP_AT = 1 / 3, 1 / 2  # of the time
RECOVERY = 15.0  # seconds after a restart in which errors of the database are expected
MAX_REFUSALS = 20  # kinds of them that are printed
MAX_REASON = 100  # characters
MAX_SLOPE = 0.1  # MB a minute
MAX_GROWTH = {"connections": 0.0, "tasks": 5.0, "files": 5.0}  # in the last half


@dataclass(frozen=True)
class Sample:
    """What the server uses at one time."""

    at: float  # seconds since the start of the load
    memory_mb: float
    connections: int
    tasks: int
    files: int
    cpu: float  # seconds since the start of the process


@dataclass
class Journal:
    """What clients have observed."""

    began: float = field(default_factory=time.monotonic)
    durations: dict[str, list[float]] = field(default_factory=dict)  # milliseconds by kind
    failures: Counter[tuple[int, str, str, str]] = field(default_factory=Counter)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: int = 0  # that subscribers have received
    page_requests: int = 0
    reconnections: int = 0
    restarted: tuple[float, float] = (float("inf"), float("inf"))  # begin and end

    @property
    def seconds(self) -> float:
        """How long the load has lasted."""
        return time.monotonic() - self.began

    @property
    def is_restarting(self) -> bool:
        """Whether the database restarts, or has done so a moment ago."""
        begin, end = self.restarted
        return begin <= self.seconds < end + RECOVERY

    def time(self, kind: str, start: float) -> None:
        """Note how long an answer took, unless the database restarts meanwhile."""
        if not self.is_restarting:
            self.durations.setdefault(kind, []).append((time.perf_counter() - start) * 1000)

    def fail(self, kind: str, reason: str) -> None:
        """Note an answer that the server should not have given, or that did not arrive."""
        phase = "restart" if self.is_restarting else "normal"
        self.failures[int(self.seconds), phase, kind, reason] += 1

    async def send(
        self, client: httpx2.AsyncClient, kind: str, method: str, path: str, **options: Any
    ) -> httpx2.Response | None:
        """Send a request; return the response if it is a success."""
        start = time.perf_counter()
        try:
            answer = await client.request(method, f"{API}{path}", **options)
        except httpx2.TransportError as error:
            self.fail(kind, type(error).__name__)
            return None
        self.time(kind, start)
        if answer.is_success:
            return answer
        reason = f"{answer.status_code} {_describe_error(answer)}"
        if answer.status_code >= 500:
            self.fail(kind, reason)
        else:
            self.refusals[kind, reason] += 1
        return None


def _describe_error(answer: httpx2.Response) -> str:
    """Return the code and the text of an error."""
    with suppress(ValueError, AttributeError):
        error = answer.json()
        return f"{error.get('code', '')}: {error.get('detail', '')}"[:MAX_REASON]
    return ""


async def measure_soak(
    database: DatabaseServer, settings: Settings, folder: Path, data: Dataset, scale: Scale
) -> list[Row]:
    """Measure the growth of a server under load, and its errors."""
    # Clients note what an outage means to them; the server would log a line for each of them.
    own: dict[str, Any] = {"data_dir": folder / "soak", "log_level": "ERROR"}
    settings = settings.model_copy(update=own)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    gateway = FakeAgentsGateway()
    async with (
        open_server(settings, folder) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client,
    ):
        people = await create_people(settings, scale.soak_pages)
        workers = await _create_workers(client, data, scale.soak_agents, people)
        async with run_fake_gateway(gateway):
            await _create_gateway_board(client, gateway, min(GATEWAY_AGENTS, scale.soak_agents))
        journal = Journal()
        async with _run_all(
            [
                *(lambda one=one: _work(client, journal, one) for one in workers),
                *_list_followers(server, journal, data, scale.soak_subscribers),
                *_list_pages(client, server, journal, data, people),
                lambda: _flap(gateway),
            ]
        ):
            sampling = asyncio.create_task(_sample(server, settings, journal))
            await _interrupt(database, settings, folder, journal, scale.soak_seconds)
            sampling.cancel()
            samples = await sampling
    _print_failures(journal)
    return _build_rows(journal, samples, scale)


@asynccontextmanager
async def _run_all(works: Sequence[Callable[[], Any]]) -> AsyncGenerator[None]:
    """Run all work beside the block. An exception of it that is not expected ends the benchmark."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for work in works]
        yield
        for task in tasks:
            task.cancel()


@dataclass(frozen=True)
class Worker:
    """An agent with a task of its own."""

    board: str
    task: str
    token: str
    share: float  # of an interval that passes before it begins
    person: Person  # who decides, and moves the task


async def _create_workers(
    client: httpx2.AsyncClient, data: Dataset, count: int, people: Sequence[Person]
) -> list[Worker]:
    async def create(path: str, **body: Any) -> dict[str, Any]:
        answer = await client.post(f"{API}{path}", json=body, headers=list(USER))
        assert answer.is_success, answer.text
        return answer.json()

    workers = []
    for number in range(count):
        board = data.boards[number % len(data.boards)]
        agent = await create("/agents", name=f"Soaked {number}", board_id=board)
        task = await create(
            f"/boards/{board}/tasks", title=f"Work {number}", assigned_agent_id=agent["id"]
        )
        person = people[number % len(people)]
        workers.append(Worker(board, task["id"], agent["token"], number / count, person))
    return workers


async def _work(client: httpx2.AsyncClient, journal: Journal, worker: Worker) -> None:
    """Send heartbeats, and complete a task again and again."""
    agent = {"x-agent-token": worker.token}
    person = worker.person.headers
    task = f"/agent/boards/{worker.board}/tasks/{worker.task}"
    asked = {"action_type": "task.complete", "task_id": worker.task, "confidence": 90}
    rounds = int(WORK_INTERVAL // HEARTBEAT_INTERVAL)
    number, passed = divmod(worker.share * rounds, 1)  # so that the work is spread over the time
    await asyncio.sleep(passed * HEARTBEAT_INTERVAL)
    while True:
        next_at = time.monotonic() + HEARTBEAT_INTERVAL
        number += 1
        send = journal.send
        await send(client, "heartbeat", "POST", "/agent/heartbeat", json={}, headers=agent)
        if number % rounds == 0:
            for status in ("in_progress", "review"):
                body = {"status": status}
                await send(client, "status", "PATCH", task, json=body, headers=agent)
                note = {"message": f"Round {number}: the task is {status}."}
                await send(client, "comment", "POST", f"{task}/comments", json=note, headers=agent)
            body = asked | {"payload": {"reason": f"Round {number} is ready."}}
            path = f"/agent/boards/{worker.board}/approvals"
            request = await send(client, "approval", "POST", path, json=body, headers=agent)
            if request is not None:
                path = f"/boards/{worker.board}/approvals/{request.json()['id']}"
                decision = {"status": "approved"}
                await send(client, "decision", "PATCH", path, json=decision, headers=person)
            path = f"/boards/{worker.board}/tasks/{worker.task}"
            for status in ("done", "inbox"):
                body = {"status": status}
                await send(client, "move", "PATCH", path, json=body, headers=person)
        await asyncio.sleep(max(0.0, next_at - time.monotonic()))


def _list_followers(
    server: ServerProcess, journal: Journal, data: Dataset, count: int
) -> list[Callable[[], Any]]:
    """Return what reads the streams of subscribers, spread over the boards."""

    async def follow(number: int) -> None:
        path = f"{API}/boards/{data.boards[number % len(data.boards)]}/tasks/stream"
        while True:
            try:
                stream = await open_stream(server.port, path, USER)
            except (StreamRefused, OSError) as error:
                journal.fail("subscriber", repr(error)[:MAX_REASON])
                await asyncio.sleep(RECONNECT_DELAY)
                continue
            try:
                async for _message in stream.messages():
                    journal.events += 1
            finally:
                stream.close()
            journal.reconnections += 1
            await asyncio.sleep(RECONNECT_DELAY)

    return [lambda number=number: follow(number) for number in range(count)]


def _list_pages(
    client: httpx2.AsyncClient,
    server: ServerProcess,
    journal: Journal,
    data: Dataset,
    people: Sequence[Person],
) -> list[Callable[[], Any]]:
    """Return what behaves as open pages of boards, each of another person."""

    async def show(number: int) -> None:
        while True:
            page = OpenPage(client, data.boards[number % len(data.boards)], people[number].cookie)
            start = time.perf_counter()
            try:
                await page.open(server.port)
                journal.time("page", start)
                await page.follow()
            except* (httpx2.TransportError, StreamRefused, OSError, AssertionError) as errors:
                journal.fail("page", repr(errors.exceptions[0])[:MAX_REASON])
            finally:
                journal.page_requests += page.requests
                if page.stream:
                    page.stream.close()
            journal.reconnections += 1
            await asyncio.sleep(RECONNECT_DELAY)

    return [lambda number=number: show(number) for number in range(len(people))]


async def _flap(gateway: FakeAgentsGateway) -> None:
    """Run a gateway that is away at times."""
    while True:
        async with run_fake_gateway(gateway):
            await asyncio.sleep(GATEWAY_UP)
        gateway.calls.clear()  # it belongs to the benchmark, whose memory is not measured
        await asyncio.sleep(GATEWAY_DOWN)


async def _create_gateway_board(
    client: httpx2.AsyncClient, gateway: FakeAgentsGateway, agents: int
) -> None:
    async def create(path: str, **body: Any) -> dict[str, Any]:
        answer = await client.post(f"{API}{path}", json=body, headers=list(USER))
        assert answer.is_success, answer.text
        return answer.json()

    address = {"url": gateway.url, "token": GATEWAY_TOKEN, "workspace_root": "/agents"}
    created = await create("/gateways", name="Unsteady", **address)
    board = await create("/boards", name="Unsteady", description="x", gateway_id=created["id"])
    for number in range(agents):
        await create("/agents", name=f"Unsteady {number}", board_id=board["id"])


async def _interrupt(
    database: DatabaseServer, settings: Settings, folder: Path, journal: Journal, seconds: float
) -> None:
    """Wait for the end of the load; restart the database and write a backup meanwhile."""
    await asyncio.sleep(seconds * RESTART_AT - journal.seconds)
    begin = journal.seconds
    journal.restarted = (begin, float("inf"))
    await database.restart()
    journal.restarted = (begin, journal.seconds)
    await asyncio.sleep(max(0.0, seconds * BACKUP_AT - journal.seconds))
    file = folder / "soak.backup"
    backup = await run_program(settings, "-m", "cli", "backup", str(file))
    await backup.communicate()
    if backup.returncode != 0 or not file.exists():
        journal.fail("backup", f"exit status {backup.returncode}")
    await asyncio.sleep(max(0.0, seconds - journal.seconds))


COUNT_CONNECTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid() AND application_name <> 'pg_dump'
"""


async def _sample(server: ServerProcess, settings: Settings, journal: Journal) -> list[Sample]:
    """Return samples of what the server uses, until it is cancelled."""
    samples = []
    with suppress(asyncio.CancelledError):
        while True:
            with suppress(OSError, asyncpg.PostgresError):  # the database is restarting
                connection = await asyncpg.connect(settings.dsn)
                count = await connection.fetchval(COUNT_CONNECTIONS)
                await connection.close()
                used = await server.read_usage()
                samples.append(
                    Sample(
                        at=journal.seconds,
                        memory_mb=used.memory_kb / 1024,
                        connections=count,
                        tasks=used.tasks,
                        files=used.files,
                        cpu=used.cpu,
                    )
                )
            await asyncio.sleep(SAMPLE_INTERVAL)
    return samples


def _print_failures(journal: Journal) -> None:
    """Print every error with its time, and what was refused."""
    for (second, phase, kind, reason), number in sorted(journal.failures.items()):
        print(f"    {second:5} s  {phase:8} {kind:12} {reason}  x {number}", flush=True)
    for (kind, reason), number in journal.refusals.most_common(MAX_REFUSALS):
        print(f"    refused: {kind} {reason}  x {number}", flush=True)


def _build_rows(journal: Journal, samples: list[Sample], scale: Scale) -> list[Row]:
    """Return the figures."""
    half = [one for one in samples if one.at >= scale.soak_seconds / 2]
    parts = [samples[:5], half[:5], samples[-5:]]
    name = (
        f"soak of {scale.soak_seconds / 60:.0f} minutes, {scale.soak_agents} agents,"
        f" {scale.soak_subscribers} subscribers, {scale.soak_pages} pages"
    )
    slope = find_slope([(one.at / 60, one.memory_mb) for one in half])
    details: dict[str, Any] = _describe_parts(parts, "memory_mb")
    rows = [
        Row("soak", f"{name}: memory", "MB a minute", slope, goal=MAX_SLOPE, details=details),
    ]
    for attribute, most in MAX_GROWTH.items():
        details = _describe_parts(parts, attribute)
        growth = details["end"] - details["middle"]
        rows.append(
            Row("soak", f"soak: growth of {attribute}", "", growth, goal=most, details=details)
        )
    for phase, goal in (("normal", 0.0), ("restart", None)):
        failures = [
            {"second": second, "kind": kind, "reason": reason, "number": number}
            for (second, at, kind, reason), number in sorted(journal.failures.items())
            if at == phase
        ]
        count = sum(number for (_, at, _, _), number in journal.failures.items() if at == phase)
        text = "soak: errors" if phase == "normal" else "soak: errors while the database restarts"
        rows.append(Row("soak", text, "", count, goal=goal, details={"failures": failures}))
    for kind, durations in sorted(journal.durations.items()):
        details = {"number": len(durations), "p50_ms": find_percentile(durations, 0.5)}
        p99 = find_percentile(durations, 0.99)
        rows.append(Row("soak", f"soak: {kind}, p99", "ms", p99, details=details))
    cpu = (samples[-1].cpu - samples[0].cpu) / (samples[-1].at - samples[0].at)
    details = {
        "events": journal.events,
        "page_requests": journal.page_requests,
        "reconnections": journal.reconnections,
    }
    rows.append(Row("soak", "soak: CPU", "core", cpu, details=details))
    return rows


def _describe_parts(parts: Sequence[Sequence[Sample]], attribute: str) -> dict[str, float]:
    """Return the medians at the start, in the middle and at the end."""
    return {
        part: statistics.median(getattr(one, attribute) for one in samples)
        for part, samples in zip(("start", "middle", "end"), parts, strict=True)
    }


def find_slope(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much a value grows in a unit of time: the least squares line."""
    times, values = zip(*points, strict=True)
    return statistics.linear_regression(times, values).slope
