"""A server process: its start, its memory, its latency, and what it does at rest."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import httpx2

from bench.dataset import API, Dataset
from bench.installation import USER
from bench.measurement import find_percentile
from bench.results import Row
from bench.server import (
    open_server,
    start_process,
    stop_process,
    wait_until_ready,
)
from core.config.settings import Settings
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import TOKEN as GATEWAY_TOKEN
from tests.support.installation import find_free_port

STARTS = 3
GATEWAY_AGENTS = 20
PROVISIONING_TIMEOUT = 240  # seconds
SETTLE_SECONDS = 15  # after the last agent has called
READS_PER_SECOND = 20
MAX_PRINTED = 15  # statements
AGENT_TOKEN = re.compile(r"AUTH_TOKEN=(mc_agent_[\w-]+)")


async def measure_start(settings: Settings) -> list[Row]:
    """Measure the start of the server while the database is up."""
    durations = []
    for _ in range(STARTS):
        start = time.perf_counter()
        process = await start_process(settings, "-m", "cli", port=find_free_port())
        try:
            await wait_until_ready(process)
            durations.append(time.perf_counter() - start)
        finally:
            await stop_process(process)
    name = "start with the database up"
    return [Row("processes", name, "s", min(durations), goal=1.2, original="2.8")]


async def measure_memory(
    settings: Settings, folder: Path, data: Dataset, requests: int
) -> list[Row]:
    """Measure the memory after the start, and after requests of all kinds."""
    board = f"/boards/{data.board}"
    session = dict(data.session)
    calls: list[tuple[str, dict[str, str]]] = [
        (f"{API}{board}/tasks?limit=50", dict(USER)),
        (f"{API}{board}/snapshot", dict(USER)),
        (f"{API}/activity?limit=200", dict(USER)),
        (board, session),
        (f"{board}/tasks/{data.tasks[0]}", session),
    ]
    async with open_server(settings, folder) as server:
        idle = (await server.read_usage()).memory_kb
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:

            async def request_in_turn(first: int) -> None:
                for number in range(first, requests, 4):
                    path, headers = calls[number % len(calls)]
                    (await client.get(path, headers=headers)).raise_for_status()

            await asyncio.gather(*map(request_in_turn, range(4)))
        loaded = (await server.read_usage()).memory_kb
    return [
        Row("processes", "memory idle", "MB", idle / 1024, goal=120, original="162"),
        Row("processes", "memory after load", "MB", loaded / 1024, goal=150, original="174"),
    ]


async def measure_latency(
    settings: Settings, folder: Path, data: Dataset, seconds: float
) -> list[Row]:
    """Measure a list of tasks 20 times a second, and the pauses of garbage collection."""
    path = f"{API}/boards/{data.board}/tasks?limit=50"
    async with (
        open_server(settings, folder) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60, headers=list(USER)) as client,
    ):
        for _ in range(20):
            (await client.get(path)).raise_for_status()
        before = await server.read_usage()
        durations: list[float] = []

        async def read(at: float) -> None:
            await asyncio.sleep(at)
            start = time.perf_counter()
            (await client.get(path)).raise_for_status()
            durations.append((time.perf_counter() - start) * 1000)

        number = int(seconds * READS_PER_SECOND)
        await asyncio.gather(*[read(n / READS_PER_SECOND) for n in range(number)])
        used = (await server.read_usage()).subtract(before)
    pauses = [pause for _, _, pause in used.pauses]
    full = [pause for _, generation, pause in used.pauses if generation == 2]
    details = {
        "p50_ms": find_percentile(durations, 0.5),
        "max_ms": max(durations),
        "collections": len(pauses),
        "full_collections": len(full),
        "longest_collection_ms": max(pauses, default=0.0),
    }
    name = f"GET tasks?limit=50, {READS_PER_SECOND} a second: p99"
    return [Row("latency", name, "ms", find_percentile(durations, 0.99), details=details)]


async def measure_rest(settings: Settings, folder: Path, seconds: float, agents: int) -> list[Row]:
    """Count the statements of a server with a gateway and idle agents."""
    async with (
        run_fake_agents_gateway() as gateway,
        open_server(settings, folder) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        await _create_agents(client, gateway, agents)
        await asyncio.sleep(min(SETTLE_SECONDS, seconds))
        before = await server.read_usage()
        await asyncio.sleep(seconds)
        used = (await server.read_usage()).subtract(before)
    details: dict[str, Any] = {"core": used.cpu / seconds, "statements": used.statements / seconds}
    name = f"at rest, 1 gateway, {agents} idle agents"
    for text, number in list(used.frequent.items())[:MAX_PRINTED]:
        print(f"    {number / seconds:6.2f}/s  {text[:120]}", flush=True)
    trips = used.round_trips / seconds
    return [Row("rest", name, "round trips/s", trips, goal=1.0, details=details)]


async def _create_agents(
    client: httpx2.AsyncClient, gateway: FakeAgentsGateway, count: int
) -> None:
    """Create agents on a gateway, wait until they are woken, and let each call once."""

    async def post(path: str, **fields: Any) -> dict[str, Any]:
        answer = await client.post(f"{API}{path}", json=fields, headers=list(USER))
        answer.raise_for_status()
        return answer.json()

    address = {"url": gateway.url, "token": GATEWAY_TOKEN, "workspace_root": "/agents"}
    created = await post("/gateways", name="Measured", **address)
    board = await post(
        "/boards", name="Gateway", description="x", gateway_id=created["id"], max_agents=count + 1
    )
    for number in range(count):
        await post("/agents", name=f"Idle {number}", board_id=board["id"])
    async with asyncio.timeout(PROVISIONING_TIMEOUT):
        while True:
            if len({session for session, _ in gateway.sent_messages}) >= count:
                break
            await asyncio.sleep(0.5)
    for token in _find_tokens(gateway):  # a call before an agent is woken would not count
        headers = {"x-agent-token": token}
        answer = await client.post(f"{API}/agent/heartbeat", json={}, headers=headers)
        answer.raise_for_status()


def _find_tokens(gateway: FakeAgentsGateway) -> set[str]:
    """Return the tokens in the files of the agents."""
    texts = ["\n".join(files.values()) for files in gateway.files.values()]
    return {found[1] for text in texts if (found := AGENT_TOKEN.search(text))}
