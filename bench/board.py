"""Measure the API of a running installation: reads, changes and the delay of event streams.

    python -m bench.board --url http://127.0.0.1:8000 --token TOKEN

TOKEN is a user's API token (created on the settings page). The benchmark creates a board with
`--tasks` tasks, makes `--calls` calls of each kind, one after the other, and deletes the board.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

MeasuredCall = Callable[[int], Awaitable[object]]
EVENT_TIMEOUT = 10.0  # seconds; a later event counts as lost


async def main() -> None:
    """Measure each kind of call and print a line for it."""
    options = _parse_options()
    headers = {"Authorization": f"Bearer {options.token}"}
    url = f"{options.url}/api/v1"
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        board = await _call_api(
            client, "POST", "/boards", name="Bench", slug="", description="Measured", board_type="x"
        )
        path = f"/boards/{board['id']}"
        tasks = f"{path}/tasks"
        try:
            created = [
                await _call_api(client, "POST", tasks, title=f"Task {number}")
                for number in range(options.tasks)
            ]
            ids = [task["id"] for task in created]
            await _measure(
                "list of tasks", options.calls, lambda _: _call_api(client, "GET", tasks)
            )
            await _measure(
                "change of a task",
                options.calls,
                lambda n: _call_api(
                    client, "PATCH", f"{tasks}/{ids[n % len(ids)]}", title=f"New {n}"
                ),
            )
            await _measure_stream_delay(client, tasks, ids[0], options.calls)
        finally:
            await _call_api(client, "DELETE", path)


async def _measure_stream_delay(
    client: httpx2.AsyncClient, tasks: str, task_id: str, calls: int
) -> None:
    received: asyncio.Queue[float] = asyncio.Queue()
    follow_task = asyncio.create_task(_follow_stream(client, tasks, received))
    await asyncio.sleep(1)

    async def change_and_wait(number: int) -> None:
        await _call_api(client, "PATCH", f"{tasks}/{task_id}", title=f"Change {number}")
        await asyncio.wait_for(received.get(), EVENT_TIMEOUT)

    await _measure("change until the stream sends it", calls, change_and_wait)
    follow_task.cancel()


async def _follow_stream(
    client: httpx2.AsyncClient, tasks: str, received: asyncio.Queue[float]
) -> None:
    async with client.stream("GET", f"{tasks}/stream", timeout=None) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: ") and json.loads(line.removeprefix("data: ")):
                received.put_nowait(time.perf_counter())


async def _measure(label: str, calls: int, call: MeasuredCall) -> None:
    durations = []
    for number in range(calls):
        start = time.perf_counter()
        await call(number)
        durations.append((time.perf_counter() - start) * 1000)
    durations.sort()
    p99 = durations[int(len(durations) * 0.99) - 1] if len(durations) > 1 else durations[0]
    print(f"{label:36} p50 {statistics.median(durations):7.1f} ms   p99 {p99:7.1f} ms   n {calls}")


async def _call_api(client: httpx2.AsyncClient, method: str, path: str, **body: Any) -> Any:
    response = await client.request(method, path, json=body or None)
    response.raise_for_status()
    return response.json()


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.board", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", required=True)
    parser.add_argument("--tasks", type=int, default=200, choices=range(1, 1001), metavar="N")
    parser.add_argument("--calls", type=int, default=200, choices=range(2, 2001), metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
