"""Measures a board of a running installation: reading, changing, and how soon a follower hears.

    python -m bench.board --url http://127.0.0.1:8000 --token TOKEN

TOKEN is a person's API token (the settings page makes one). It makes a board of its own with
`--tasks` tasks, calls `--calls` times of each kind, one after the other, and removes the board.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

Step = Callable[[int], Awaitable[object]]
HEARD_WITHIN = 10.0  # seconds after which an event counts as lost


async def main() -> None:
    """Measure, and print a line for each kind of call."""
    options = _options()
    headers = {"Authorization": f"Bearer {options.token}"}
    url = f"{options.url}/api/v1"
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        board = await _answer(
            client, "POST", "/boards", name="Bench", slug="", description="Measured", board_type="x"
        )
        path = f"/boards/{board['id']}"
        tasks = f"{path}/tasks"
        try:
            made = [
                await _answer(client, "POST", tasks, title=f"Task {number}")
                for number in range(options.tasks)
            ]
            ids = [task["id"] for task in made]
            await _measure("list of tasks", options.calls, lambda _: _answer(client, "GET", tasks))
            await _measure(
                "change of a task",
                options.calls,
                lambda n: _answer(
                    client, "PATCH", f"{tasks}/{ids[n % len(ids)]}", title=f"New {n}"
                ),
            )
            await _measure_following(client, tasks, ids[0], options.calls)
        finally:
            await _answer(client, "DELETE", path)


async def _measure_following(
    client: httpx2.AsyncClient, tasks: str, task_id: str, calls: int
) -> None:
    heard: asyncio.Queue[float] = asyncio.Queue()
    following = asyncio.create_task(_follow(client, tasks, heard))
    await asyncio.sleep(1)

    async def change_and_hear(number: int) -> None:
        await _answer(client, "PATCH", f"{tasks}/{task_id}", title=f"Heard {number}")
        await asyncio.wait_for(heard.get(), HEARD_WITHIN)

    await _measure("change until a stream tells of it", calls, change_and_hear)
    following.cancel()


async def _follow(client: httpx2.AsyncClient, tasks: str, heard: asyncio.Queue[float]) -> None:
    async with client.stream("GET", f"{tasks}/stream", timeout=None) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: ") and json.loads(line.removeprefix("data: ")):
                heard.put_nowait(time.perf_counter())


async def _measure(what: str, calls: int, step: Step) -> None:
    took = []
    for number in range(calls):
        start = time.perf_counter()
        await step(number)
        took.append((time.perf_counter() - start) * 1000)
    took.sort()
    p99 = took[int(len(took) * 0.99) - 1] if len(took) > 1 else took[0]
    print(f"{what:36} p50 {statistics.median(took):7.1f} ms   p99 {p99:7.1f} ms   n {calls}")


async def _answer(client: httpx2.AsyncClient, method: str, path: str, **sent: Any) -> Any:
    response = await client.request(method, path, json=sent or None)
    response.raise_for_status()
    return response.json()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.board", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--token", required=True)
    parser.add_argument("--tasks", type=int, default=200, choices=range(1, 1001), metavar="N")
    parser.add_argument("--calls", type=int, default=200, choices=range(2, 2001), metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
