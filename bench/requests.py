"""Measure the CPU of requests in this process, next to the limit of the stack.

    ./run bench [--calls N] [--tasks N] [--only WORD] [--json FILE]

The application runs in this process on an embedded PostgreSQL with new data. Each request is sent
as an ASGI call, so that only the server's own work is measured; the parsing of HTTP is not part of
it. The limit is a handler that reads the same bytes with one asyncpg statement and sends them.
Numbers of two machines, or of two days, cannot be compared; ratios within one run can.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Engine, event, select
from starlette.types import Message

from app import build_app
from cli.migrate import migrate_database
from core.config.settings import Settings
from embedded_postgres.instance import EmbeddedPostgres
from models import User
from services import identity
from web.auth.viewer import SESSION_COOKIE

TOKEN = "a token that is longer than fifty characters, as it has to be"  # noqa: S105
ROUNDS = 5  # the median of several rounds is reported
HIGH = 1_000_000


@dataclass(frozen=True)
class Reply:
    """The response to an ASGI call."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Measurement:
    """What one request costs the server's process."""

    name: str
    cpu_ms: float
    limit_ms: float  # of sending the same bytes
    statements: float
    kilobytes: float


class Client:
    """Sends requests to the application without a network."""

    def __init__(self, app: Any, state: dict[str, Any]) -> None:
        self._app, self.state, self.cookie = app, state, ""

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request with the API token, or with the cookie if there is one."""
        content = b"" if body is None else json.dumps(body).encode()
        path, _, query = path.partition("?")
        if path.startswith("/api"):
            headers = {"authorization": f"Bearer {TOKEN}", **headers}
        given = {"host": "bench.test", "content-type": "application/json", **headers}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("bench.test", 80),
            "state": dict(self.state),
        }
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def collect(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, collect)
        received = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        data = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(sent[0]["status"], received, data)


@asynccontextmanager
async def open_client(folder: Path) -> AsyncGenerator[tuple[Client, asyncpg.Connection], None]:
    """Start a database and the application, and yield a client and a plain connection."""
    postgres = EmbeddedPostgres(folder / "data", tuning={"fsync": "off"})
    dsn = await asyncio.to_thread(postgres.start)
    try:
        settings = Settings(
            database_url=dsn,
            secret_key=TOKEN,
            auth_mode="local",
            local_auth_token=TOKEN,
            rate_limit_requests=HIGH,
            rate_limit_pages=HIGH,
        )
        await migrate_database(settings)
        app = build_app(settings)
        connection: asyncpg.Connection = await asyncpg.connect(settings.dsn)
        async with app.router.lifespan_context(app) as state:
            yield Client(app, dict(state or {})), connection
        await connection.close()
    finally:
        await asyncio.to_thread(postgres.stop)


async def create_board(client: Client, tasks: int) -> tuple[str, list[str]]:
    """Create a board with tasks, tags, dependencies and comments; return its id and theirs."""
    board = await _create(client, "/boards", name="Bench", description="Measured")
    path = f"/boards/{board}"
    tags = [await _create(client, "/tags", name=f"Tag {n}") for n in range(4)]
    ids: list[str] = []
    for number in range(tasks):
        fields = {"description": f"**Task** {number} of the benchmark. " * 4, "tag_ids": tags[:2]}
        depends = ids[-1:] if number % 5 == 0 else []
        title = f"Task number {number}"
        task = await _create(
            client, f"{path}/tasks", title=title, depends_on_task_ids=depends, **fields
        )
        ids.append(task)
    for task in ids[:50]:
        await _create(client, f"{path}/tasks/{task}/comments", message="A comment.")
    return board, ids


async def _create(client: Client, path: str, **body: Any) -> str:
    reply = await client.send("POST", f"/api/v1{path}", body)
    assert reply.status < 300, (path, reply)
    return str(json.loads(reply.body)["id"])


def list_cases(board: str, ids: Sequence[str]) -> dict[str, Callable[[int], tuple[Any, ...]]]:
    """Return the measured requests by name; each is a function of the number of the call."""
    path, page = f"/api/v1/boards/{board}", f"/boards/{board}"
    reads = {
        "GET boards": "/api/v1/boards",
        "GET board": path,
        "GET tasks?limit=50": f"{path}/tasks?limit=50",
        "GET task": f"{path}/tasks/{ids[0]}",
        "GET comments": f"{path}/tasks/{ids[0]}/comments",
        "GET snapshot": f"{path}/snapshot",
        "GET activity": "/api/v1/activity?limit=200",
        "GET approvals": f"{path}/approvals",
        "GET agents": "/api/v1/agents",
        "page board": page,
        "fragment columns": f"{page}/columns",
        "fragment card": f"{page}/cards/{ids[0]}",
        "page task": f"{page}/tasks/{ids[0]}",
        "page approvals": "/approvals",
    }
    cases: dict[str, Callable[[int], tuple[Any, ...]]] = {
        name: (lambda _, address=address: ("GET", address)) for name, address in reads.items()
    }
    cases["PATCH task"] = lambda n: (
        "PATCH",
        f"{path}/tasks/{ids[n % len(ids)]}",
        {"title": f"Renamed {n} {time.monotonic_ns()}"},
    )
    cases["POST task"] = lambda n: ("POST", f"{path}/tasks", {"title": f"New {n}"})
    return cases


async def measure(
    client: Client,
    connection: asyncpg.Connection,
    name: str,
    case: Callable[[int], tuple[Any, ...]],
    calls: int,
) -> Measurement:
    """Measure one request and its limit. Raises AssertionError for an error response."""
    cookie = {"cookie": client.cookie} if client.cookie else {}
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    async def call(number: int) -> Reply:
        return await client.send(*case(number), **cookie)

    reply = await call(0)
    assert reply.status < 300, (name, reply.status, reply.body[:300])
    await connection.execute("create temp table if not exists bodies (body text)")
    await connection.execute("delete from bodies")
    await connection.execute("insert into bodies values ($1)", reply.body.decode())

    async def send_same_bytes(_: int) -> Reply:
        body = await connection.fetchval("select body from bodies limit 1")
        return Reply(200, {}, body.encode())

    cpu = await _measure_cpu(call, calls)
    event.listen(Engine, "before_cursor_execute", count)
    for number in range(5):
        await call(number)
    event.remove(Engine, "before_cursor_execute", count)
    limit = await _measure_cpu(send_same_bytes, calls)
    return Measurement(name, cpu, limit, statements / 5, len(reply.body) / 1000)


async def _measure_cpu(call: Callable[[int], Awaitable[Reply]], calls: int) -> float:
    """Return the median over several rounds of the milliseconds of CPU of one call."""
    for number in range(10):
        await call(number)
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for number in range(calls):
            await call(number)
        rounds.append((time.process_time() - start) / calls * 1000)
    return statistics.median(rounds)


async def run_benchmark(options: argparse.Namespace, folder: Path) -> list[Measurement]:
    """Measure all requests, and print a line for each."""
    measured = []
    async with open_client(folder) as (client, connection):
        board, ids = await create_board(client, options.tasks)
        client.cookie = await sign_in(client)
        print(f"{'':24} {'CPU ms':>8} {'limit':>8} {'ratio':>6} {'statements':>11} {'kB':>8}")
        for name, case in list_cases(board, ids).items():
            if options.only not in name:
                continue
            one = await measure(client, connection, name, case, options.calls)
            measured.append(one)
            print(
                f"{one.name:24} {one.cpu_ms:8.2f} {one.limit_ms:8.2f} "
                f"{one.cpu_ms / one.limit_ms:6.1f} {one.statements:11.1f} {one.kilobytes:8.1f}",
                flush=True,
            )
    return measured


async def sign_in(client: Client) -> str:
    """Start a session of the owner, and return the cookie."""
    async with client.state["transaction_factory"]() as session:
        user = (await session.scalars(select(User))).one()
        secret = await identity.start_session(session, user, user_agent=None, ip=None)
    return f"{SESSION_COOKIE}={secret}"


def main(arguments: list[str]) -> int:
    """Run the benchmark; write the results as JSON if a file is named."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("--calls", type=int, default=100, choices=range(1, 2001), metavar="N")
    parser.add_argument("--tasks", type=int, default=200, choices=range(10, 1001), metavar="N")
    parser.add_argument("--only", default="", metavar="WORD", help="only requests with this word")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mission-control-bench-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs with another account if this is root
        measured = asyncio.run(run_benchmark(options, Path(folder)))
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")
    return 0
