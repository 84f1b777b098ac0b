"""A crowd on one board: many agents write, many pages are open, and every page ends true."""

import asyncio
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.installation import LOCAL, LOCAL_TOKEN, Api, Installation, free_port

AGENTS = 50
PAGES = 20
SECONDS = float(os.environ.get("MC_CROWD_SECONDS", "15"))
PACE = 1.5  # seconds between two calls of an agent, on average
BUSY = 503  # the app asks to be asked again: there are many at once, and maybe little machine
AGE = re.compile(r"[^<>]*</time>")  # "2 min": the page's own script renews it as time goes by
OWNER = {"name": "Olga", "email": "olga@example.com", "password": "correct horse battery"}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    more = {"LOG_LEVEL": "WARNING", "RATE_LIMIT_REQUESTS": "100000"}
    installation = Installation(tmp_path / "data", free_port(), LOCAL | more)
    yield installation.start()
    installation.stop()


class OpenPage:
    """A page as a browser keeps it: it listens, and fetches its columns when they are stale."""

    def __init__(self, client: httpx2.AsyncClient, board_id: str) -> None:
        self.client = client
        self.board_id = board_id
        self.columns = ""
        self.heard: list[int] = []
        self.stale = asyncio.Event()

    async def listen(self, seen: int) -> None:
        url = f"/events?after={seen}&board={self.board_id}"
        async with self.client.stream("GET", url, timeout=None) as live:
            assert live.status_code == 200
            async for line in live.aiter_lines():
                if line.startswith("id: "):
                    self.heard.append(int(line.removeprefix("id: ")))
                if line == "event: tasks":
                    self.stale.set()

    async def keep_true(self) -> None:
        while True:
            await self.stale.wait()
            self.stale.clear()
            self.columns = await self.fresh()
            await asyncio.sleep(0.5)  # as the page's throttle

    async def fresh(self) -> str:
        answer = await self.client.get(f"/boards/{self.board_id}/columns")
        assert answer.status_code == 200
        return AGE.sub("</time>", answer.text)


async def work(url: str, token: str, board_id: str, stop: asyncio.Event) -> int:
    """Work as an agent: claim what is free, talk, hand over; count what was answered."""
    headers = {"Authorization": f"Bearer {token}"}
    tasks = f"/api/v1/agent/boards/{board_id}/tasks"
    done = 0
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        while not stop.is_set():
            listed = await client.get(tasks)
            if listed.status_code == BUSY:
                continue
            task = random.choice(listed.json()["items"])
            wanted: dict[str, Any] = random.choice(
                [{"status": "in_progress"}, {"status": "review"}, {"status": "inbox"}, {}]
            )
            wanted["comment"] = f"Number {done}"
            answer = await client.patch(f"{tasks}/{task['id']}", json=wanted)
            assert answer.status_code in (200, 403, 409, BUSY), answer.text
            done += answer.status_code == 200
            await asyncio.sleep(PACE * random.uniform(0.5, 1.5))
    return done


def populated(installation: Installation) -> tuple[dict[str, Any], list[str]]:
    """Make a board with tasks and agents, and return it with the agents' tokens."""
    with Api(installation.url, LOCAL_TOKEN) as api:
        api.call("POST", "/auth/bootstrap")
        board = api.board(max_agents=AGENTS)
        for number in range(30):
            api.call("POST", f"/boards/{board['id']}/tasks", title=f"Task {number}")
        return board, [
            api.call("POST", "/agents", name=f"Agent {number}", board_id=board["id"])["token"]
            for number in range(AGENTS)
        ]


async def test_every_page_of_a_crowded_board_ends_equal_to_a_fresh_load(
    installation: Installation,
) -> None:
    board, tokens = populated(installation)
    headers = {"Sec-Fetch-Site": "same-origin"}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(
        base_url=installation.url, headers=headers, timeout=30, limits=limits
    ) as browser:
        link = installation.link.partition("link=")[2]
        came_in = await browser.post("/first-run", data=OWNER | {"link": link})
        assert came_in.status_code == 303
        pages = [OpenPage(browser, board["id"]) for _ in range(PAGES)]
        kept = [asyncio.create_task(page.keep_true()) for page in pages]
        live = [asyncio.create_task(page.listen(0)) for page in pages]
        stop = asyncio.Event()
        crowd = [
            asyncio.create_task(work(installation.url, token, board["id"], stop))
            for token in tokens
        ]
        await asyncio.sleep(SECONDS)
        stop.set()
        assert sum(await asyncio.gather(*crowd)) > 0
        newest = max(event for page in pages for event in page.heard)
        async with asyncio.timeout(60):
            while not all(page.heard and page.heard[-1] >= newest for page in pages):
                await asyncio.sleep(0.1)
            truth = await pages[0].fresh()
            while not all(page.columns == truth for page in pages):
                await asyncio.sleep(0.1)
                truth = await pages[0].fresh()
        for page in pages:
            assert page.heard == sorted(page.heard)
        for task in [*live, *kept]:
            task.cancel()
        await asyncio.gather(*live, *kept, return_exceptions=True)
