"""Three servers on one database: one is killed, frozen, or loses the database.

The others take over its gateway within ten seconds, and the clients of its streams continue there.
Nothing is lost, and nothing is done twice.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Gateway
from tests.support.cuttable_proxy import CuttableProxy, run_cuttable_proxy
from tests.support.fake_agents_gateway import Fault
from tests.support.fake_chat_gateway import FakeChatGateway, run_fake_chat_gateway
from tests.support.fake_gateway import TOKEN
from tests.support.installation import LOCAL_AUTH, LOCAL_TOKEN, Installation, find_free_port
from tests.support.tiers import repetition

SERVERS = 3
LINES = [f"Line {number}." for number in range(12)]
INTERRUPTED_SEND = 4  # the number of the send during which the server is interrupted
MAX_TAKEOVER = 10.0  # seconds
SILENCE = 17.0  # seconds after which a client connects again; the server sends every 15 s
TIMEOUT = 90  # seconds
HEADERS = {"Authorization": f"Bearer {LOCAL_TOKEN}"}

pytestmark = repetition


@dataclass
class Server:
    """A server with a connection of its own to the database."""

    installation: Installation
    line: CuttableProxy
    pid: int

    @property
    def address(self) -> str:
        return f"{self.installation.url}/api/v1"


@dataclass
class Servers:
    """All servers, and a client that uses another one when one fails, as behind a balancer."""

    all: list[Server]
    client: httpx2.AsyncClient
    healthy: list[Server] = field(default_factory=list)

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        """Send a request, again to the next server while there is no answer."""
        headers = {"Idempotency-Key": f'"{time.monotonic_ns()}"'} if method == "POST" else {}
        async with asyncio.timeout(TIMEOUT):
            while True:
                server = (self.healthy or self.all)[0]
                self.healthy = [*(self.healthy or self.all)[1:], server]
                try:
                    response = await self.client.request(
                        method, f"{server.address}{path}", json=fields or None, headers=headers
                    )
                except httpx2.HTTPError:
                    self.healthy = [one for one in self.healthy if one is not server]
                    continue
                if response.status_code in (409, 503):  # 409: the first attempt still runs
                    await asyncio.sleep(0.1)
                    continue
                assert response.status_code == 200, response.text
                return response.json()


@dataclass
class Follower:
    """Follows the tasks of a board, first at one server, after an interruption at the next one."""

    servers: list[Server]
    board_id: str
    received: list[tuple[int, str]] = field(default_factory=list)  # event number and title
    connections: int = 0

    async def run(self) -> None:
        server = self.servers[0]
        async with httpx2.AsyncClient(timeout=SILENCE) as client:
            while True:
                with suppress(httpx2.HTTPError):
                    await self._follow(client, server)
                await asyncio.sleep(0.2)
                server = self.servers[(self.servers.index(server) + 1) % len(self.servers)]

    async def _follow(self, client: httpx2.AsyncClient, server: Server) -> None:
        last = {"Last-Event-ID": str(self.received[-1][0])} if self.received else {}
        address = f"{server.address}/boards/{self.board_id}/tasks/stream"
        async with client.stream("GET", address, headers=HEADERS | last) as response:
            self.connections += response.status_code == 200
            message: dict[str, str] = {}
            async for text in response.aiter_lines():
                name, _, value = text.partition(": ")
                if name in ("id", "data"):
                    message[name] = value
                elif not text and "data" in message and "id" in message:
                    task = json.loads(message["data"])["task"]
                    self.received.append((int(message["id"]), task["title"]))
                    message = {}


@pytest.fixture
async def servers(isolated_settings: Settings, tmp_path: Path) -> AsyncGenerator[Servers]:
    async with AsyncExitStack() as stack:
        started = []
        for number in range(SERVERS):
            line = await stack.enter_async_context(run_cuttable_proxy(isolated_settings))
            folder = tmp_path / f"server {number}"
            folder.mkdir()
            environment = LOCAL_AUTH | {
                "DATABASE_URL": line.settings.database_url,
                "SECRET_KEY": "one key for all servers " * 2,
                "LOG_LEVEL": "WARNING",
            }
            installation = Installation(folder / "data", find_free_port(), environment)
            await asyncio.to_thread(installation.start)
            stack.push_async_callback(asyncio.to_thread, stop_server, installation)
            assert installation.process is not None
            started.append(Server(installation, line, installation.process.pid))
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=HEADERS, timeout=5))
        yield Servers(started, client, list(started))


def stop_server(installation: Installation) -> None:
    if installation.process is not None:
        installation.unfreeze()
        installation.stop()


async def wait_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.05)


async def create_board(servers: Servers, fake: FakeChatGateway) -> tuple[dict[str, Any], str]:
    """Create a board with a lead on the gateway, and return it with the session of the lead."""
    await servers.call("POST", "/auth/bootstrap")
    fields: Any = {"name": "Workshop", "url": fake.url, "workspace_root": "/agents", "token": TOKEN}
    gateway = await servers.call("POST", "/gateways", **fields)
    about: Any = {"name": "Launch", "slug": "", "description": "For tests", "board_type": "general"}
    board = await servers.call(
        "POST", "/boards", **about, gateway_id=gateway["id"], require_approval_for_done=False
    )
    await servers.call("POST", "/agents", name="Ada", board_id=board["id"], is_board_lead=True)
    session = f"agent:lead-{board['id']}:main"
    await wait_until(lambda: fake.messages_in(session))  # the wake-up message
    return board, session


async def find_holder(servers: Servers, transaction: TransactionFactory) -> Server:
    """Return the server that has the lease of the gateway."""
    async with transaction() as session:
        name = await session.scalar(select(Gateway.lease_holder))
    pid = int(str(name).rsplit("-", 2)[1])
    return next(one for one in servers.all if one.pid == pid)


@asynccontextmanager
async def create_tasks(servers: Servers, board_id: str) -> AsyncGenerator[list[str]]:
    """Create tasks one after the other during the block; yield the titles of those created."""
    titles: list[str] = []
    ending = asyncio.Event()

    async def create() -> None:
        while not ending.is_set():
            title = f"Task {len(titles)}"
            await servers.call("POST", f"/boards/{board_id}/tasks", title=title)
            titles.append(title)
            await asyncio.sleep(0.1)

    creating = asyncio.create_task(create())
    try:
        yield titles
    finally:
        ending.set()
        await creating


@pytest.mark.parametrize("fault", ["kill -9", "frozen", "no database"])
async def test_others_take_over_and_nothing_is_lost_or_done_twice(
    servers: Servers, isolated_transaction: TransactionFactory, fault: str
) -> None:
    async with run_fake_chat_gateway(ends_turns_at_once=True) as fake:
        board, session = await create_board(servers, fake)
        holder = await find_holder(servers, isolated_transaction)
        interrupt = {
            "kill -9": holder.installation.kill,
            "frozen": holder.installation.freeze,
            "no database": holder.line.cut,
        }[fault]
        sent: list[str] = []
        interrupted_at = 0.0

        def interrupt_once(method: str, params: dict[str, Any]) -> Fault:
            nonlocal interrupted_at
            if method == "chat.send" and params["message"].startswith("BOARD CHAT"):
                sent.append(params["message"])
                if len(sent) == INTERRUPTED_SEND:
                    interrupt()
                    interrupted_at = time.monotonic()
            return None

        order = [servers.all[number:] + servers.all[:number] for number in range(SERVERS)]
        followers = [Follower(one, board["id"]) for one in order]
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(one.run()) for one in followers]
            await wait_until(lambda: all(one.connections for one in followers))
            async with create_tasks(servers, board["id"]) as titles:
                await wait_until(lambda: all(one.received for one in followers))
                for line in ["/pause", *LINES, "/resume"]:
                    path = f"/boards/{board['id']}/memory"
                    fake.fault = interrupt_once if line == "/resume" else fake.fault
                    await servers.call("POST", path, content=line, tags=["chat"])
                await wait_until(lambda: interrupted_at)
                connections = fake.connection_count
                await wait_until(lambda: fake.connection_count > connections)
                takeover = time.monotonic() - interrupted_at
                await wait_until(lambda: len(list_lines(fake, session)) >= len(LINES))
                await wait_until(lambda: sum(one.connections for one in followers) > SERVERS)
            if fault == "frozen":
                holder.installation.unfreeze()
            elif fault == "no database":
                await holder.line.restore()
            await servers.call("POST", f"/boards/{board['id']}/tasks", title="Last")
            await wait_until(lambda: all(one.received[-1][1] == "Last" for one in followers))
            for task in following:
                task.cancel()

        assert takeover <= MAX_TAKEOVER
        assert list_lines(fake, session) == LINES
        for follower in followers:
            assert [title for _, title in follower.received] == [*titles, "Last"]
            assert sorted(follower.received) == follower.received
        stored = await servers.call("GET", f"/boards/{board['id']}/tasks?limit=200")
        assert stored["total"] == len(titles) + 1
        async with isolated_transaction() as transaction:
            checks = await transaction.scalar(select(Gateway.checks))
        assert checks
        assert {one["state"] for one in checks} == {"ok"}
        assert await find_holder(servers, isolated_transaction) is not holder


def list_lines(fake: FakeChatGateway, session: str) -> list[str]:
    """Return the lines that the session of the lead has received, in order."""
    chats = [one for one in fake.messages_in(session) if one.startswith("BOARD CHAT")]
    return [line for text in chats for line in LINES if line in text]
