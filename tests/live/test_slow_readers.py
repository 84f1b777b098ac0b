"""A user whose programs request much and read nothing does not use up the server's memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

import httpx2
import pytest
import uvicorn

import app
from core.clock import now
from core.config.settings import Settings
from core.http import unsent_bytes
from core.http.server_protocol import LimitedHttpProtocol
from core.http.unsent_bytes import STALL_TIMEOUT
from models import Task, TokenScope, new_id
from services import identity
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.unread_connection import UnreadConnection
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

TOKENS, CONNECTIONS = (20, 6) if IS_COMPLETE_RUN else (8, 3)  # of each token
TASKS, LENGTH = 30, 100_000  # characters of each description
RESPONSE = TASKS * LENGTH  # bytes, and a little more
MAX_OF_CALLER = 3 * RESPONSE
STILL_LOADING = "Too much of what you opened before is still being loaded. Try again in 5 s."
TIMEOUT = 60  # maximum seconds to wait for the server


@asynccontextmanager
async def run_server(settings: Settings) -> AsyncGenerator[tuple[uvicorn.Server, int]]:
    config = uvicorn.Config(
        app.build_app(settings), port=0, log_config=None, http=LimitedHttpProtocol, backlog=2048
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    [port] = [socket.getsockname()[1] for socket in server.servers[0].sockets]
    try:
        async with asyncio.timeout(TIMEOUT):
            yield server, port
    finally:
        server.force_exit = server.should_exit = True
        await running


def count_unsent_bytes(server: uvicorn.Server) -> int:
    """Return how many bytes of responses the process has, without what is counted."""
    opened = list(server.server_state.connections)
    return sum(one.transport.get_write_buffer_size() for one in opened)


@pytest.fixture
async def tokens(isolated_transaction, isolated_world: World) -> list[str]:
    """Tokens of a member that may only read. The board has large tasks."""
    world = isolated_world
    async with isolated_transaction() as session:
        for number in range(TASKS):
            task = Task(
                id=new_id(),
                board_id=world.board.id,
                title=f"Task {number}",
                description="#" * LENGTH,
                created_at=now(),
                updated_at=now(),
            )
            session.add(task)
        await session.flush()
        made = [
            await identity.create_api_token(
                session, world.bob, identity.ApiTokenCreate(name="x", scope=TokenScope.READ)
            )
            for _ in range(TOKENS - 1)
        ]
    return [token_secret(world.bob), *(secret for _, secret in made)]


async def test_programs_that_do_not_read_leave_memory_and_slots_to_others(
    monkeypatch: pytest.MonkeyPatch,
    isolated_settings: Settings,
    isolated_world: World,
    tokens: list[str],
) -> None:
    monkeypatch.setattr(unsent_bytes, "MAX_OF_CALLER", MAX_OF_CALLER)
    world = isolated_world
    path = f"/api/v1/boards/{world.board.id}/tasks?limit=200"
    async with run_server(isolated_settings) as (server, port):
        base = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=base, timeout=TIMEOUT) as client:
            with ExitStack() as stack:
                unread = []
                for token in tokens:
                    for _ in range(CONNECTIONS):
                        connection = stack.enter_context(UnreadConnection(port))
                        unread.append(connection)
                        connection.send("GET", path, Authorization=f"Bearer {token}")
                alice = {"Authorization": f"Bearer {token_secret(world.alice)}"}
                page = {"Cookie": f"{SESSION_COOKIE}={cookie_secret(world.alice)}"}
                largest = own = 0
                while server.server_state.total_requests < own + len(unread):
                    assert (await client.get("/api/v1/users/me", headers=alice)).status_code == 200
                    assert (await client.get("/boards", headers=page)).status_code == 200
                    own += 2
                    largest = max(largest, count_unsent_bytes(server))
                assert len((await client.get(path, headers=alice)).content) > RESPONSE
                assert RESPONSE < largest <= MAX_OF_CALLER

                statuses = Counter([await one.read_status() for one in unread])
                assert statuses.keys() == {200, 429}
                assert 1 <= statuses[200] <= 4
                plain = {"Authorization": f"Bearer {tokens[0]}", "Accept-Encoding": "identity"}
                refused = await client.get(path, headers=plain)
                assert refused.status_code == 429
                assert refused.headers["Retry-After"] == "5"
                assert refused.json()["code"] == "responses_not_read"

                with monkeypatch.context() as lower:  # above it nothing of the user is handled
                    lower.setattr(unsent_bytes, "MAX_OF_CALLER", RESPONSE // 2)
                    session = {"Cookie": f"{SESSION_COOKIE}={cookie_secret(world.bob)}"}
                    for small, headers, status in (
                        ("/api/v1/users/me", {"Authorization": f"Bearer {tokens[1]}"}, 429),
                        ("/boards", session, 429),
                        ("/api/v1/users/me", alice, 200),
                    ):
                        assert (await client.get(small, headers=headers)).status_code == status
                    page_of_bob = await client.get("/boards", headers=session)
                    assert page_of_bob.headers["Retry-After"] == "5"
                    assert STILL_LOADING in page_of_bob.text

                unsent = server.lifespan.state["unsent_bytes"]
                assert unsent.count(f"user {world.bob.id}") == unsent.total
                assert unsent.total == count_unsent_bytes(server)
                unsent.check_connections(0)
                unsent.check_connections(STALL_TIMEOUT)
                while unsent.total:
                    await asyncio.sleep(0)
                assert len((await client.get(path, headers=plain)).content) > RESPONSE
        while server.server_state.connections:
            await asyncio.sleep(0)
        assert (unsent.total, count_unsent_bytes(server)) == (0, 0)
