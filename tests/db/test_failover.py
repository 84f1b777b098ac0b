"""The primary dies under load, and its standby takes over."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from cli.command import CommandError
from cli.database_check import check_connections
from core.config.settings import Settings
from core.db.engine import (
    ReadPool,
    connect_directly,
    create_database_engine,
    is_temporary_error,
)
from core.db.transactions import fetch_in_transaction
from tests.support.cuttable_proxy import CuttableProxy, run_cuttable_proxy
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    TIMEOUT,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.postgres_servers import (
    Standby,
    TcpPostgres,
    run_lone_standby,
    run_postgres,
    run_primary_and_standby,
)
from tests.support.tiers import repetition

WRITERS, STREAMS = 6, 4
WRITES = 50  # before the primary is killed, and as many after it
MAX_GAP = 10  # seconds without a confirmed change
HEADERS = {"Authorization": f"Bearer {LOCAL_TOKEN}"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[TcpPostgres, Standby]]:
    with run_primary_and_standby(tmp_path) as servers:
        yield servers


@dataclass
class ConfirmedChanges:
    """Comments that were confirmed, with the time of each, and what answered in between."""

    texts: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refusals: set[int] = field(default_factory=set)
    wanted: int = WRITES
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, text: str) -> None:
        self.texts.append(text)
        self.times.append(time.monotonic())
        if len(self.texts) >= self.wanted:
            self.enough.set()

    def wait_for(self, more: int) -> None:
        """Clear `enough` until there are more changes."""
        self.wanted = len(self.texts) + more
        self.enough.clear()

    @property
    def longest_gap(self) -> float:
        return max(b - a for a, b in zip(self.times, self.times[1:], strict=False))


async def write(url: str, path: str, changes: ConfirmedChanges, stop: asyncio.Event) -> None:
    """Add comments; repeat each with its key until it is confirmed."""
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=HEADERS, timeout=30) as client:
        while not stop.is_set():
            comment = key = str(uuid4())
            while True:
                added = await client.post(
                    path, json={"message": comment}, headers={"Idempotency-Key": key}
                )
                if added.status_code == 200:
                    changes.add(comment)
                    break
                changes.refusals.add(added.status_code)
                await asyncio.sleep(0.1)


@asynccontextmanager
async def follow(url: str, path: str) -> AsyncGenerator[list[str]]:
    """Read a stream of comments, and open it again at the last event as programs do.

    The block gets their texts so far.
    """
    texts: list[str] = []
    started = asyncio.Event()

    async def read() -> None:
        headers = dict(HEADERS)
        async with httpx2.AsyncClient(base_url=f"{url}/api/v1") as client:
            while True:
                async with client.stream("GET", path, headers=headers, timeout=None) as response:
                    started.set()
                    async for line in response.aiter_lines():
                        if line.startswith("id: "):
                            headers["Last-Event-ID"] = line.removeprefix("id: ")
                        if line.startswith("data: "):
                            comment = json.loads(line.removeprefix("data: ")).get("comment")
                            texts.extend([comment["message"]] if comment else [])
                await asyncio.sleep(0.5)

    reading = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), TIMEOUT)
    yield texts
    reading.cancel()


def create_task(installation: Installation) -> tuple[str, str]:
    """Create a task; return the paths of the tasks of its board, and of its comments."""
    with ApiClient(installation.url, LOCAL_TOKEN) as owner:
        owner.call("POST", "/auth/bootstrap")
        tasks = f"/boards/{owner.create_board()['id']}/tasks"
        return tasks, f"{tasks}/{owner.call('POST', tasks, title='Print it')['id']}/comments"


async def run_load(
    installation: Installation, primary: TcpPostgres, standby: Standby, proxy: CuttableProxy
) -> ConfirmedChanges:
    """Write and read streams while the standby replaces the primary; return what was confirmed."""
    tasks, comments = await asyncio.to_thread(create_task, installation)
    changes, stop = ConfirmedChanges(), asyncio.Event()
    async with AsyncExitStack() as stack:
        address = f"{tasks}/stream"
        streams = [
            await stack.enter_async_context(follow(installation.url, address))
            for _ in range(STREAMS)
        ]
        writers = [
            asyncio.create_task(write(installation.url, comments, changes, stop))
            for _ in range(WRITERS)
        ]
        await asyncio.wait_for(changes.enough.wait(), TIMEOUT)
        primary.kill()
        await proxy.move(Settings(database_url=standby.postgres.url))
        await asyncio.to_thread(standby.promote)
        changes.wait_for(WRITES)
        await asyncio.wait_for(changes.enough.wait(), TIMEOUT)
        stop.set()
        await asyncio.gather(*writers)
        async with asyncio.timeout(TIMEOUT):
            while any(len(texts) < len(changes.texts) for texts in streams):
                await asyncio.sleep(0.05)
        for texts in streams:
            assert sorted(texts) == sorted(changes.texts)
    print(f"{len(changes.texts)} changes, {changes.longest_gap:.2f} s without one")
    return changes


async def test_a_standby_is_used_only_when_it_is_the_primary(tmp_path: Path) -> None:
    with run_lone_standby(tmp_path) as standby:
        settings = Settings(database_url=standby.postgres.url)
        engine, pool = create_database_engine(settings), ReadPool(settings.dsn, 1)
        with pytest.raises(CommandError, match="it is a standby server"):
            await check_connections(settings)
        with pytest.raises(ConnectionError, match="standby"):
            async with engine.connect():
                pass
        with pytest.raises(ConnectionError, match="standby"):
            async with pool.acquire():
                pass
        await asyncio.to_thread(standby.promote)
        await check_connections(settings)
        async with engine.begin() as connection:
            await connection.execute(text(WRITE))
        async with pool.acquire() as reader:
            assert len(await reader.fetch("select from write_checks")) == 1
        await engine.dispose()
        await pool.close()


WRITE = """insert into write_checks (id, content, checked_at)
    values (gen_random_uuid(), '', now())"""
BECOME_READ_ONLY = "set session characteristics as transaction read only"


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_a_server_that_became_read_only_is_left(
    isolated_settings: Settings, is_compiled: bool
) -> None:
    engine = create_database_engine(isolated_settings)

    async def write() -> None:
        async with AsyncSession(engine) as session, session.begin():
            if is_compiled:
                await fetch_in_transaction(session, WRITE, [])
            else:
                await session.execute(text(WRITE))

    async with engine.begin() as connection:
        await connection.execute(text(BECOME_READ_ONLY))
    with pytest.raises(DBAPIError) as caught:
        await write()
    assert is_temporary_error(caught.value)
    await write()  # on a new connection
    await engine.dispose()


async def test_the_end_of_a_machine_is_noticed_within_seconds(tmp_path: Path) -> None:
    with run_postgres(tmp_path / "data") as postgres:
        connection = await connect_directly(postgres.url)
        sock = connection._transport.get_extra_info("socket")
        silence = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        idle, interval, count = silence
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert idle + interval * count < MAX_GAP
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < 1000 * MAX_GAP
        await connection.close()


@repetition
@pytest.mark.parametrize("way", ["two hosts", "an address that moves"])
async def test_a_failover_under_load_loses_and_doubles_nothing(
    servers: tuple[TcpPostgres, Standby], tmp_path: Path, way: str
) -> None:
    primary, standby = servers
    async with run_cuttable_proxy(Settings(database_url=primary.url)) as proxy:
        dsn = proxy.settings.dsn
        if way == "two hosts":
            dsn = primary.url.replace("@", f"@{standby.postgres.addresses[0]}:5432,")
        environment = LOCAL_AUTH | {
            "DATABASE_URL": dsn,
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_REQUESTS": "100000",
        }
        installation = Installation(tmp_path / "data", find_free_port(), environment)
        await asyncio.to_thread(installation.start)
        try:
            changes = await run_load(installation, primary, standby, proxy)
        finally:
            await asyncio.to_thread(installation.stop)
    assert changes.refusals <= {503}
    assert changes.longest_gap < MAX_GAP
    connection = await asyncpg.connect(standby.postgres.dsn)
    stored = [row["message"] for row in await connection.fetch("select message from task_comments")]
    await connection.close()
    assert sorted(stored) == sorted(changes.texts)
