"""The load of a working day: many agents with heartbeats, and many open pages."""

import asyncio
from pathlib import Path

import httpx2

from bench.dataset import API, Dataset
from bench.installation import USER
from bench.results import Row
from bench.server import open_server
from bench.viewers import open_pages
from core.config.settings import Settings

HEARTBEAT_INTERVAL = 30.0  # seconds
OPENING_SECONDS = 20.0  # until the pages have loaded what they show of each other's viewers
WARM_UP_SECONDS = 40.0  # until each agent has called: its first call is an event for all pages
AGENTS_PER_BOARD = 10
MAX_GROWTH = 5.0  # MB; a flat memory varies by less


async def measure_load(
    settings: Settings, folder: Path, data: Dataset, seconds: float, agents: int, pages: int
) -> list[Row]:
    """Measure the CPU and the memory of a server with agents and open pages."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        open_server(settings, folder) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client,
    ):
        tokens = await _create_agents(client, data, agents)
        opened, following = await open_pages(client, server, settings, data.board, pages)
        await asyncio.sleep(min(OPENING_SECONDS, seconds))
        beats = [
            asyncio.create_task(_send_heartbeats(client, token, number / agents))
            for number, token in enumerate(tokens)
        ]
        await asyncio.sleep(min(WARM_UP_SECONDS, seconds))
        before = await server.read_usage()
        await asyncio.sleep(seconds / 2)
        middle = await server.read_usage()
        await asyncio.sleep(seconds / 2)
        after = await server.read_usage()
        for beat in beats:
            beat.cancel()
        results = await asyncio.gather(*beats, return_exceptions=True)
        for page in opened:
            if page.stream:
                page.stream.close()
        await asyncio.gather(*following)
    errors = [one for one in results if not isinstance(one, asyncio.CancelledError)]
    assert errors == [], errors[:3]
    used = after.subtract(before)
    details = {"seconds": seconds, "statements_a_second": used.statements / seconds}
    name = f"{agents} agents every {HEARTBEAT_INTERVAL:.0f} s, {pages} open pages"
    growth = (after.memory_kb - middle.memory_kb) / 1024
    return [
        Row("load", f"{name}: CPU", "core", used.cpu / seconds, goal=0.25, details=details),
        Row("load", f"{name}: growth in the second half", "MB", growth, goal=MAX_GROWTH),
    ]


async def _create_agents(client: httpx2.AsyncClient, data: Dataset, count: int) -> list[str]:
    tokens = []
    for number in range(count):
        board = data.boards[number // AGENTS_PER_BOARD % len(data.boards)]
        body = {"name": f"Working {number}", "board_id": board}
        made = await client.post(f"{API}/agents", json=body, headers=list(USER))
        made.raise_for_status()
        tokens.append(made.json()["token"])
    return tokens


async def _send_heartbeats(client: httpx2.AsyncClient, token: str, share: float) -> None:
    """Send a heartbeat every 30 seconds; `share` of the interval passes before the first."""
    await asyncio.sleep(share * HEARTBEAT_INTERVAL)
    while True:
        headers = {"x-agent-token": token}
        answer = await client.post(f"{API}/agent/heartbeat", json={}, headers=headers)
        answer.raise_for_status()
        await asyncio.sleep(HEARTBEAT_INTERVAL)
