"""The round trips to PostgreSQL that a request needs, with BEGIN and COMMIT."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, Status, User
from tests.support.live_server import run_server
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.round_trips import record_round_trips
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

CALLS = 5  # the least counts, because the server also sends statements between requests
API = "/api/v1"


@dataclass(frozen=True)
class Server:
    """A running server with the test data, and a task on the board."""

    url: str
    world: World
    task_path: str
    card_path: str

    async def count(
        self, caller: User | Agent, method: str, path: str, body: Any = None, *, page: bool = False
    ) -> int:
        """Return the round trips of a request that was sent before."""
        cookies = {SESSION_COOKIE: cookie_secret(caller)} if isinstance(caller, User) else {}
        token = {"Authorization": f"Bearer {token_secret(caller)}"}
        client = httpx2.AsyncClient(
            base_url=self.url,
            cookies=cookies if page else {},
            headers={} if page else token,
            timeout=20,
        )
        counts = []
        async with client:
            for number in range(CALLS + 1):
                with record_round_trips() as log:
                    sent = body(number) if callable(body) else body
                    response = await client.request(method, path, json=sent)
                assert response.status_code == 200, response.text
                counts.append(len(log.repeated))
        return min(counts[1:])


@pytest.fixture
async def server(
    isolated_settings: Settings, isolated_world: World, isolated_transaction: TransactionFactory
) -> AsyncIterator[Server]:
    world = isolated_world
    task = world.make_task("Write the notes")
    async with isolated_transaction() as session:
        session.add(task)
    async with run_server(isolated_settings) as url:
        board = f"/boards/{world.board.id}"
        yield Server(url, world, f"{board}/tasks/{task.id}", f"{board}/cards/{task.id}")


async def test_reads_of_the_api_need_three(server: Server) -> None:
    world = server.world
    for path in ("/boards", f"/boards/{world.board.id}/tasks", "/activity", "/agents"):
        assert await server.count(world.alice, "GET", API + path) <= 3, path
    path = f"{API}/agent/boards/{world.board.id}/tasks"
    assert await server.count(world.worker, "GET", path) <= 3


async def test_writes_of_the_api_need_ten(server: Server) -> None:
    world, task = server.world, API + server.task_path
    tasks = f"{API}/boards/{world.board.id}/tasks"

    def rename(number: int) -> dict[str, str]:
        return {"title": f"Title {number}"}

    assert await server.count(world.alice, "PATCH", task, rename) <= 10
    assert await server.count(world.alice, "POST", tasks, rename) <= 10
    assert await server.count(world.alice, "POST", f"{task}/comments", {"message": "Hello"}) <= 10
    own_task = f"{API}/agent{server.task_path}"

    def move(number: int) -> dict[str, str]:
        return {"status": "inbox" if number % 2 else "in_progress"}

    # one more than other writes: those who watch the task are notified
    assert await server.count(world.worker, "PATCH", own_task, move) <= 11
    heartbeat = f"{API}/agent/heartbeat"
    assert await server.count(world.worker, "POST", heartbeat, {"status": "healthy"}) <= 3


async def test_a_filled_board_needs_no_more(
    server: Server, isolated_transaction: TransactionFactory
) -> None:
    world, board = server.world, f"/boards/{server.world.board.id}"
    rows = [world.make_task(f"Task {n}", status=status) for status in Status for n in range(20)]
    async with isolated_transaction() as session:
        session.add_all(rows)
    assert await server.count(world.alice, "GET", board, page=True) <= 12
    assert await server.count(world.alice, "GET", f"{board}/columns", page=True) <= 8


async def test_pages_need_few(server: Server) -> None:
    alice, board = server.world.alice, f"/boards/{server.world.board.id}"
    comments = f"{API}/agent{server.task_path}/comments"
    await server.count(server.world.worker, "POST", comments, {"message": "Alice has not read it"})
    assert await server.count(alice, "GET", board, page=True) <= 12
    assert await server.count(alice, "GET", f"{board}/columns", page=True) <= 8
    assert await server.count(alice, "GET", server.card_path, page=True) <= 6
    assert await server.count(alice, "GET", server.task_path, page=True) <= 18
    assert await server.count(alice, "GET", "/approvals", page=True) <= 6
