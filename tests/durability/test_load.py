"""Many agents work on one board while many pages are open: all pages end up to date."""

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tiers import IS_COMPLETE_RUN, repetition

AGENTS, PAGES, SECONDS = (50, 20, 15) if IS_COMPLETE_RUN else (6, 3, 2)
PACE = 1.5  # seconds between two calls of an agent, on average
BUSY = 503  # too many concurrent requests for a small machine: try again
AGE = re.compile(r"[^<>]*</time>")  # "2 min": updated by the script of the page
OWNER = {"name": "Olga", "email": "olga@example.com", "password": "correct horse battery"}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    more = {"LOG_LEVEL": "WARNING", "RATE_LIMIT_REQUESTS": "100000"}
    installation = Installation(tmp_path / "data", find_free_port(), LOCAL_AUTH | more)
    yield installation.start()
    installation.stop()


class OpenPage:
    """A page like in a browser: it receives events, and fetches its columns or single cards."""

    def __init__(self, client: httpx2.AsyncClient, board_id: str) -> None:
        self.client = client
        self.board_id = board_id
        self.columns = ""
        self.event_ids: list[int] = []
        self.stale = asyncio.Event()
        self.stale_columns = True
        self.stale_cards: set[str] = set()

    async def listen(self, after: int) -> None:
        url = f"/events?after={after}&board={self.board_id}"
        async with self.client.stream("GET", url, timeout=None) as live:
            assert live.status_code == 200
            async for line in live.aiter_lines():
                if line.startswith("id: "):
                    self.event_ids.append(int(line.removeprefix("id: ")))
                if line.startswith("event: card-"):
                    self.stale_cards.add(line.removeprefix("event: card-"))
                    self.stale.set()
                if line == "event: tasks":
                    self.stale_columns = True
                    self.stale.set()

    async def keep_up_to_date(self) -> None:
        while True:
            await self.stale.wait()
            self.stale.clear()
            cards, self.stale_cards = self.stale_cards, set()
            if self.stale_columns:
                self.stale_columns = False
                self.columns = await self.load_columns()
            else:
                await asyncio.gather(*map(self.reload_card, cards))
            await asyncio.sleep(0.5)  # like the throttle of the page

    async def reload_card(self, task_id: str) -> None:
        """Replace a card in the columns, if it is shown there."""
        answer = await self.client.get(f"/boards/{self.board_id}/cards/{task_id}")
        assert answer.status_code == 200
        card = re.compile(rf'<li class="card[^"]*" id="task-{task_id}".*?</li>', re.DOTALL)
        new = card.search(AGE.sub("</time>", answer.text))
        assert new
        self.columns = card.sub(lambda _: new[0], self.columns)

    async def load_columns(self) -> str:
        answer = await self.client.get(f"/boards/{self.board_id}/columns")
        assert answer.status_code == 200
        return AGE.sub("</time>", answer.text)


async def work(url: str, token: str, board_id: str, stop: asyncio.Event) -> int:
    """Work as an agent: claim, comment and return tasks. Return the number of changes."""
    headers = {"Authorization": f"Bearer {token}"}
    tasks = f"/api/v1/agent/boards/{board_id}/tasks"
    done = 0
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        while not stop.is_set():
            listed = await client.get(tasks)
            if listed.status_code == BUSY:
                continue
            task = random.choice(listed.json()["items"])
            changes: dict[str, Any] = random.choice(
                [{"status": "in_progress"}, {"status": "review"}, {"status": "inbox"}, {}]
            )
            changes["comment"] = f"Number {done}"
            answer = await client.patch(f"{tasks}/{task['id']}", json=changes)
            assert answer.status_code in (200, 403, 409, BUSY), answer.text
            done += answer.status_code == 200
            await asyncio.sleep(PACE * random.uniform(0.5, 1.5))
    return done


def populate(installation: Installation) -> tuple[dict[str, Any], list[str]]:
    """Create a board with tasks and agents, and return it with the tokens of the agents."""
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        api.call("POST", "/auth/bootstrap")
        board = api.create_board(max_agents=AGENTS)
        for number in range(30):
            api.call("POST", f"/boards/{board['id']}/tasks", title=f"Task {number}")
        return board, [
            api.call("POST", "/agents", name=f"Agent {number}", board_id=board["id"])["token"]
            for number in range(AGENTS)
        ]


@repetition
async def test_live_pages_under_load_end_equal_to_a_fresh_load(
    installation: Installation,
) -> None:
    """See tests/live/test_page_stream.py, and tests/browser/test_board_cards.py for pages."""
    board, tokens = populate(installation)
    headers = {"Sec-Fetch-Site": "same-origin"}
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx2.AsyncClient(
        base_url=installation.url, headers=headers, timeout=30, limits=limits
    ) as browser:
        link = installation.link.partition("#")[2]
        signed_in = await browser.post("/first-run", data=OWNER | {"link": link})
        assert signed_in.status_code == 303
        pages = [OpenPage(browser, board["id"]) for _ in range(PAGES)]
        updates = [asyncio.create_task(page.keep_up_to_date()) for page in pages]
        live = [asyncio.create_task(page.listen(0)) for page in pages]
        stop = asyncio.Event()
        workers = [
            asyncio.create_task(work(installation.url, token, board["id"], stop))
            for token in tokens
        ]
        await asyncio.sleep(SECONDS)
        stop.set()
        assert sum(await asyncio.gather(*workers)) > 0
        newest = max(event for page in pages for event in page.event_ids)
        async with asyncio.timeout(60):
            while not all(page.event_ids and page.event_ids[-1] >= newest for page in pages):
                await asyncio.sleep(0.1)
            expected = await pages[0].load_columns()
            while not all(page.columns == expected for page in pages):
                await asyncio.sleep(0.1)
                expected = await pages[0].load_columns()
        for page in pages:
            assert page.event_ids == sorted(page.event_ids)
        for task in [*live, *updates]:
            task.cancel()
        await asyncio.gather(*live, *updates, return_exceptions=True)
