"""Record the outputs of a checkout, and compare two recordings.

    python tests/support/frozen_outputs.py record --checkout A --data /frozen/data --out /frozen/a
    python tests/support/frozen_outputs.py record --checkout B --data /frozen/data --out /frozen/b
    python tests/support/frozen_outputs.py compare /frozen/a /frozen/b

`record` runs a checkout on copies of a data folder, sends the requests of `DATA.json`, and writes a
file for each output. The worker does not run, so nothing depends on when it works; what the product
computes from the time of day or from days does: record both checkouts on the same day, and not
before the data is half an hour old, when all agents are late. It imports no module of the product.
tests/support/frozen_data.py makes the folder and the requests.

`DATA.json` has the settings in `environment`, the headers and cookies of each caller in `callers`,
and in `runs` the requests of each run, which begins with the data of the folder. A request has
`caller`, `method`, `path`, and optionally `headers`, and `json` or `form`. With `follow`, the
address in `Location` is requested too; `then` is an address with the `{id}` of the response.
An object `{"$repeat": ["x", 3]}` stands for a long text. After each run, the rows that it has
added, changed or removed are recorded.
"""

import argparse
import asyncio
import difflib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

DATABASE_USER = "mc"
DATABASE = "mission_control"
START_TIMEOUT = 120.0  # seconds until the server has to be ready
FLUSH_TIME = 2.0  # seconds until all is stored that a server stores later
STOP_TIMEOUT = 30.0  # seconds until the server has to have stopped
READ_BY_NOBODY = {"alembic_version", "write_checks"}  # tables
FUTURE = 400 * 86_400.0  # seconds after the start in which a time belongs to the recording
SHOWN_LINES, LONGEST_LINE = 40, 300  # of what is printed for each file that differs
VARYING_HEADERS = {"date", "content-length", "connection", "keep-alive", "transfer-encoding"}

UUID_OF = r"(?<![0-9a-f-])[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"
ID = re.compile(UUID_OF % 7)  # it begins with the time at which it was made
TIME_TAG = re.compile(r"<time datetime=\"([^\"]*)\"([^>]*)>[^<]*</time>")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
CLOCK = re.compile(r"(?<![\d:.T-])(\d\d)(?::|%3A)(\d\d)(?![\d:])")
PER_MINUTE = re.compile(r"attempts_in_this_minute")  # refused requests, counted by the clock
CLOCK_MINUTES = 60  # after the start in which a time of day belongs to the recording
EPOCH = re.compile(r"\b(1[0-9]{12})(?:[0-9]{3})?\b")  # milliseconds, or microseconds
HEX = re.compile(r"\b(?:\\\\x)?[0-9a-f]{32,}\b")  # a hash, or bytes
ALWAYS = [
    (re.compile(r"\s*<script\b[^>]*\ssrc=\"/static/[^>]*>\s*</script>"), ""),
    (re.compile(r"(/static/[^\s\"'?]+)\?v=[0-9a-f]+"), r"\1"),
    (re.compile(r"(?:\bvor )?\b\d+ (?:s|min|h|d)\b(?: ago)?|\b\d+(?:秒|分钟|小时|天)前?"), "AGE"),
    (re.compile(r"\bjust now\b|\bgerade eben\b|刚刚"), "AGE"),
    (re.compile(r'(<span class="beat"[^>]* data-p=")\d+'), r"\1PART"),  # since the last call
    (re.compile(r'data-h="\d+"'), 'data-h="HUE"'),  # made of an id that may be new
    (re.compile(r'"period": "\d[^}]*'), "PERIOD "),  # a point of a chart that ends now
    (re.compile(UUID_OF % 4), "RANDOM-ID"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "HASH"),  # versions, and marks around quoted text
    (re.compile(r"(etag: (?:W/)?\")[0-9a-f]+"), r"\1HASH"),
    (re.compile(r"(name=\"form_id\" value=\")[0-9a-f]{32}"), r"\1RANDOM"),
    (re.compile(r"\b(mc_[a-z]+_)[A-Za-z0-9_-]{12,43}"), r"\1TOKEN"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), "WEBHOOK-SECRET"),
    (re.compile(r"\bv2\.[0-9a-f]{8}\.[A-Za-z0-9_=-]+"), "ENCRYPTED"),
    (re.compile(r"\bask-user:[0-9a-f]{12}\b"), "ask-user:RANDOM"),
    (re.compile(r'("since": ")[^"]+'), r"\1TIME"),  # of a simulation: some days before now
    (re.compile(r"(mission_control=|expires=)[^;\s][^;\n]*"), r"\1COOKIE"),
]

SERVE = """
import sys
import cli.process

async def wait(settings, stop):
    await stop.wait()

assert cli.process.run_worker
cli.process.run_worker = wait
from cli import serve
sys.exit(serve.main(sys.argv[1:]))
"""
"""Starts the server as `./run` does, but without the worker."""

SCHEMA_QUERIES = {
    "columns": """
        select format('%s.%s %s%s%s%s', c.relname, a.attname,
            format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then ' not null' else '' end,
            coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''),
            a.attidentity::text || a.attgenerated::text)
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
            and a.attnum > 0 and not a.attisdropped""",
    "constraints": """
        select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        from pg_constraint where connamespace = 'public'::regnamespace""",
    "indexes": "select indexdef from pg_indexes where schemaname = 'public'",
    "enums": "select format('%s %s %s', enumtypid::regtype, enumsortorder, enumlabel) from pg_enum",
    "functions": """
        select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prokind in ('f', 'p')
            and not exists (select from pg_depend where objid = p.oid and deptype = 'e')""",
    "triggers": "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
    "sequences": "select format('%s %s', sequencename, data_type) from pg_sequences",
    "migration": "select version_num from alembic_version",
}

ROUTE_TABLE = """
import starlette.routing
starlette.routing.get_name = lambda endpoint: ""  # leaves only the names that were given
import app
from starlette.applications import Starlette
hints = [(one, getattr(one, "__annotations__", {})) for one in vars(app).values()]
build, types = next(hint for hint in hints if hint[1].get("return") is Starlette)
settings = next(iter(types.values()))

def walk(routes, prefix):
    for route in routes:
        path = prefix + getattr(route, "path", "")
        methods = ",".join(sorted(getattr(route, "methods", None) or ()))
        print(path or "/", methods or type(route).__name__, getattr(route, "name", "") or "-")
        inner = route
        while inner is not None and not getattr(inner, "routes", None):
            inner = getattr(inner, "app", None)
        if inner is not None:
            walk(inner.routes, path.rstrip("/"))

walk(build(settings()).routes, "")
"""


class Normalizer:
    """Replace what differs between two recordings of the same checkout."""

    def __init__(self, started: datetime, port: int) -> None:
        self.started = started
        self.port = port

    def clean(self, text: str) -> str:
        """Return a text without new times, new ids, new secrets, ages, ports and versions."""
        text = text.replace(f"127.0.0.1:{self.port}", "127.0.0.1:PORT")
        text = TIME_TAG.sub(self._time_tag, text)
        text = MOMENT.sub(lambda one: "TIME" if self._is_new_moment(one[0]) else one[0], text)
        text = CLOCK.sub(lambda one: "CLOCK" if self._is_now(one) else one[0], text)
        text = EPOCH.sub(lambda one: "EPOCH" if self._is_new(int(one[1])) else one[0], text)
        text = ID.sub(
            lambda one: "NEW-ID" if self._is_new(UUID(one[0]).int >> 80) else one[0], text
        )
        for pattern, replacement in ALWAYS:
            text = pattern.sub(replacement, text)
        return text

    def clean_row(self, row: str) -> str:
        """Return a row as text without what is random."""
        return self.clean(HEX.sub("HEX", row))

    def _time_tag(self, found: re.Match[str]) -> str:
        attributes = found[2]
        if self._is_new_moment(found[1]):
            attributes = re.sub(r'title="[^"]*"', 'title="TIME"', attributes)
        return f'<time datetime="{found[1]}"{attributes}>AGE</time>'

    def _is_new_moment(self, text: str) -> bool:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return False
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        second = moment.second if text.count(":") > 1 else 59  # minutes are rounded down
        return self._is_new(moment.replace(second=second, microsecond=999_999).timestamp() * 1000)

    def _is_now(self, clock: re.Match[str]) -> bool:
        passed = int(clock[1]) * 60 + int(clock[2]) - self.started.hour * 60 - self.started.minute
        return 0 <= passed % 1440 <= CLOCK_MINUTES

    def _is_new(self, milliseconds: float) -> bool:
        return 0 <= milliseconds / 1000 + 0.001 - self.started.timestamp() <= FUTURE


def record(checkout: Path, data: Path, out: Path, only: list[str], match: str) -> None:
    """Write the outputs of a checkout into a folder.

    `only` has the names of runs, all if it is empty; `match` is what addresses must contain.
    """
    plan = json.loads(Path(f"{data}.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.txt"):
        old.unlink()
    (out / "routes.txt").write_text(route_table(checkout))
    for run, requests in plan["runs"].items():
        if only and run not in only:
            continue
        began = time.monotonic()
        with served(checkout, data, plan["environment"], out / f"{run}.log") as (url, copy, normal):
            if run == next(iter(plan["runs"])):
                (out / "schema.txt").write_text(asyncio.run(read_schema(copy)))
                document = httpx2.get(f"{url}/openapi.json", timeout=60).json()
                (out / "openapi.txt").write_text(json.dumps(document, indent=1, sort_keys=True))
            before = asyncio.run(read_rows(copy))
            with ExitStack() as stack:
                clients = {
                    name: stack.enter_context(httpx2.Client(base_url=url, timeout=60, **caller))
                    for name, caller in plan["callers"].items()
                }
                for client in clients.values():
                    client.headers["X-Request-Id"] = "frozen"
                for number, request in enumerate(requests):
                    if match not in request["path"]:
                        continue
                    answer = normal.clean(send(clients[request["caller"]], request))
                    name = f"{run}-{file_name(number, request)}"
                    (out / name).write_text(answer.replace("><", ">\n<"))
            time.sleep(FLUSH_TIME)
            changed = describe_changes(before, asyncio.run(read_rows(copy)), normal)
            (out / f"{run}-rows.txt").write_text(changed)
        print(f"{run}: {time.monotonic() - began:.0f} s", flush=True)


def route_table(checkout: Path) -> str:
    """Return the path, methods and given name of every route, in order."""
    environment = environment_for(checkout, {})
    command = [checkout / ".venv/bin/python", "-c", ROUTE_TABLE]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"The route table of {checkout} cannot be read:\n{done.stderr}")
    return done.stdout


def environment_for(checkout: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process of the checkout, with nothing set from outside."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    own = {"MC_ENV_FILE": os.devnull, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    return kept | own | settings


@contextmanager
def served(
    checkout: Path, data: Path, settings: dict[str, str], log: Path
) -> Generator[tuple[str, Path, Normalizer]]:
    """Run a checkout on a copy of a data folder; give its address, the copy and a normalizer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="frozen-") as folder, log.open("w") as output:
        Path(folder).chmod(0o711)  # the account of PostgreSQL has to enter it
        copy = Path(folder) / "data"
        subprocess.run(["cp", "-a", str(data), str(copy)], check=True)
        started = datetime.now(UTC)
        server = subprocess.Popen(
            [checkout / ".venv/bin/python", "-c", SERVE, "--port", str(port), "--data", str(copy)],
            cwd=checkout,
            env=environment_for(checkout, settings),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(server, url, log)
            yield url, copy, Normalizer(started, port)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(STOP_TIMEOUT)


def wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Return when the server answers that it is ready; give up with its log otherwise."""
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx2.get(f"{url}/readyz", timeout=10).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"The server did not start:\n{log.read_text()[-4000:]}")


def find_socket(data: Path) -> tuple[str, str]:
    """Return the folder and the port of the socket of a running database."""
    pid_file = next(data.glob("postgres/**/postmaster.pid"))
    _, _, _, port, folder, *_ = pid_file.read_text().splitlines()
    return folder, port


async def connect(data: Path) -> asyncpg.Connection:
    """Connect to the database of a running server."""
    folder, port = find_socket(data)
    return await asyncpg.connect(host=folder, port=int(port), user=DATABASE_USER, database=DATABASE)


async def read_schema(data: Path) -> str:
    """Return the schema of the database as sorted lines."""
    connection = await connect(data)
    try:
        lines = []
        for title, query in SCHEMA_QUERIES.items():
            lines += [f"== {title}", *sorted(row[0] for row in await connection.fetch(query))]
        return "\n".join(lines) + "\n"
    finally:
        await connection.close()


async def read_rows(data: Path) -> Counter[tuple[str, str]]:
    """Return all rows with the names of their tables, as JSON."""
    connection = await connect(data)
    found: Counter[tuple[str, str]] = Counter()
    try:
        for [table] in await connection.fetch(
            "select tablename from pg_tables where schemaname = 'public' order by 1"
        ):
            if table not in READ_BY_NOBODY:
                for [row] in await connection.fetch(f'select to_jsonb(t)::text from "{table}" t'):
                    found[table, row] += 1
        return found
    finally:
        await connection.close()


def describe_changes(
    before: Counter[tuple[str, str]], after: Counter[tuple[str, str]], normalizer: Normalizer
) -> str:
    """Return the rows that were removed, and those that were added; a changed row is both."""
    lines = []
    for sign, rows in (("-", before - after), ("+", after - before)):
        for table, row in rows:
            lines.append(f"{table} {sign} {normalizer.clean_row(row)}")
    return "\n".join(sorted(lines)) + "\n"


def expand(value: Any) -> Any:
    """Return a body with its long texts."""
    if isinstance(value, list):
        return [expand(one) for one in value]
    if isinstance(value, dict):
        if "$repeat" in value:
            unit, count = value["$repeat"]
            return unit * count
        return {name: expand(one) for name, one in value.items()}
    return value


def send(client: httpx2.Client, request: dict[str, Any]) -> str:
    """Send a request and those that follow it, and return the responses as text."""
    method, path, caller = request["method"], request["path"], request["caller"]
    sent: dict[str, Any] = {"headers": request.get("headers", {})}
    if "json" in request:
        sent["json"] = expand(request["json"])
    if "form" in request:
        pairs: dict[str, list[str]] = {}
        for name, value in request["form"]:
            pairs.setdefault(name, []).append(value)
        sent["data"] = pairs
    text, location, id = exchange(client, caller, method, path, **sent)
    if request.get("follow") and location.startswith(("/", str(client.base_url))):
        text += exchange(client, caller, "GET", location)[0]
    if "then" in request and id:
        text += exchange(client, caller, "GET", request["then"].format(id=id))[0]
    return text


def exchange(
    client: httpx2.Client, caller: str, method: str, path: str, **sent: Any
) -> tuple[str, str, str]:
    """Return status, headers and body of a response as text, with its location and its id."""
    id = ""
    with client.stream(method, path, **sent) as response:
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):  # it has no end
            body = "(a stream)"
        elif response.read() and kind.startswith("application/json"):
            value = response.json()
            id = str(value.get("id") or "") if isinstance(value, dict) else ""
            body = json.dumps(value, indent=1, ensure_ascii=False)
        else:
            body = response.text
    told = sorted(f"{name}: {value}" for name, value in response.headers.items())
    told = [line for line in told if line.partition(":")[0] not in VARYING_HEADERS]
    first = [f"{method} {path} as {caller}", str(response.status_code)]
    location = response.headers.get("location") or response.headers.get("hx-redirect", "")
    return "\n".join([*first, *told, "", body, ""]), location, id


def file_name(number: int, request: dict[str, Any]) -> str:
    """Return the name of the file for the answer to a request."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", request["path"].removeprefix("/api/v1"))
    return f"{number:04}-{request['caller']}-{request['method']}{words[:80]}.txt"


def compare(one: Path, other: Path) -> int:
    """Print how two recordings differ, and return how many files do.

    Files that differ in the same lines are printed once.
    """
    sides = [{path.name: path.read_text() for path in at.glob("*.txt")} for at in (one, other)]
    names = sorted(sides[0].keys() | sides[1].keys())
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        before, after = [
            [line for line in side.get(name, "").splitlines() if not PER_MINUTE.search(line)]
            for side in sides
        ]
        if before != after:
            lines = list(difflib.unified_diff(before, after, "", "", "", "", 0, ""))[2:]
            groups.setdefault(tuple(one for one in lines if one[0] != "@"), []).append(name)
    for lines, alike in sorted(groups.items(), key=lambda group: -len(group[1])):
        print(f"\n== {len(alike)} outputs: {', '.join(alike[:3])}")
        print("\n".join(line[:LONGEST_LINE] for line in lines[:SHOWN_LINES]))
        if len(lines) > SHOWN_LINES:
            print(f"... {len(lines) - SHOWN_LINES} more lines")
    different = sum(map(len, groups.values()))
    print(f"\n{len(names)} outputs compared, {different} differ, in {len(groups)} ways.")
    return different or int(not names)


def main() -> int:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(description="Record the outputs of a checkout, and compare.")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="record the outputs of a checkout")
    for name in ("--checkout", "--data", "--out"):
        recording.add_argument(name, type=Path, required=True)
    recording.add_argument("--only", nargs="*", default=[], help="the names of runs")
    recording.add_argument("--match", default="", help="only requests with this in the address")
    comparing = commands.add_parser("compare", help="print how two recordings differ")
    comparing.add_argument("one", type=Path)
    comparing.add_argument("other", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return 1 if compare(given.one, given.other) else 0
    record(given.checkout.resolve(), given.data.resolve(), given.out, given.only, given.match)
    return 0


if __name__ == "__main__":
    sys.exit(main())
