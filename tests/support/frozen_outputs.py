"""Record the outputs of a checkout, and compare two recordings.

`record` runs a checkout on a copy of a data folder, sends the requests of the addresses file, and
writes a file for each output. It imports no module of the product. The addresses file is JSON:
`environment` has settings, `callers` has the headers of each caller, and `requests` has objects
with `caller`, `method`, `path`, and optionally `headers`, `json` or `form`.
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
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

DATABASE_USER = "mc"
DATABASE = "mission_control"
START_TIMEOUT = 120.0  # seconds until the server has to be ready
STOP_TIMEOUT = 30.0  # seconds until the server has to have stopped
SETTLING = 8.0  # seconds in which the worker does what was due when it started
FUTURE = 30 * 86_400.0  # seconds after the start in which a time belongs to the recording
SHOWN_LINES, LONGEST_LINE = 40, 300  # of what is printed for each file that differs
VARYING_HEADERS = {"date", "content-length", "connection", "keep-alive", "transfer-encoding"}

UUID_OF = r"\b[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b"
ID = re.compile(UUID_OF % 7)  # it begins with the time at which it was made
TIME_TAG = re.compile(r"<time datetime=\"([^\"]*)\"([^>]*)>[^<]*</time>")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
EPOCH = re.compile(r"\b(1[0-9]{12})(?:[0-9]{3})?\b")  # milliseconds, or microseconds
ALWAYS = [
    (re.compile(r"\s*<script\b[^>]*\ssrc=\"/static/[^>]*>\s*</script>"), ""),
    (re.compile(r"(/static/[^\s\"'?]+)\?v=[0-9a-f]+"), r"\1"),
    (re.compile(r"\b\d+ (?:s|min|h|d)\b(?: ago)?|\bjust now\b"), "AGE"),
    (re.compile(r"(It is |since |saved=)\d\d(?::|%3A)\d\d"), r"\1CLOCK"),
    (re.compile(r'data-h="\d+"'), 'data-h="HUE"'),  # made of an id that may be new
    (re.compile(r'"period": "\d[^}]*'), "PERIOD "),  # a point of a chart that ends now
    (re.compile(UUID_OF % 4), "RANDOM-ID"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "HASH"),  # versions, and marks around quoted text
    (re.compile(r"\b(mc_[a-z]+_)[A-Za-z0-9_-]{12,43}"), r"\1TOKEN"),
    (re.compile(r"(mission_control=|expires=)[^;\s][^;\n]*"), r"\1COOKIE"),
]

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
        text = EPOCH.sub(lambda one: "EPOCH" if self._is_new(int(one[1])) else one[0], text)
        text = ID.sub(
            lambda one: "NEW-ID" if self._is_new(UUID(one[0]).int >> 80) else one[0], text
        )
        for pattern, replacement in ALWAYS:
            text = pattern.sub(replacement, text)
        return text

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
        return self._is_new(moment.replace(microsecond=999_999).timestamp() * 1000)

    def _is_new(self, milliseconds: float) -> bool:
        return 0 <= milliseconds / 1000 + 0.001 - self.started.timestamp() <= FUTURE


def record(checkout: Path, data: Path, out: Path, addresses: Path) -> None:
    """Write all outputs of a checkout into a folder."""
    plan = json.loads(addresses.read_text())
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.txt"):
        old.unlink()
    (out / "routes.txt").write_text(route_table(checkout))
    log = out / "server.log"
    with served(checkout, data, plan["environment"], log) as (url, copy, normalizer):
        time.sleep(SETTLING)
        pid_file = next(copy.glob("postgres/**/postmaster.pid"))
        _, _, _, port, folder, *_ = pid_file.read_text().splitlines()
        (out / "schema.txt").write_text(asyncio.run(schema(folder, int(port))))
        document = httpx2.get(f"{url}/openapi.json").json()
        (out / "openapi.txt").write_text(json.dumps(document, indent=1, sort_keys=True))
        with httpx2.Client(base_url=url, timeout=60) as client:
            for number, request in enumerate(plan["requests"]):
                answer = normalizer.clean(answer_to(client, request, plan["callers"]))
                (out / file_name(number, request)).write_text(answer.replace("><", ">\n<"))


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
            ["./run", "--port", str(port), "--data", str(copy)],
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
            if httpx2.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"The server did not start:\n{log.read_text()[-4000:]}")


async def schema(folder: str, port: int) -> str:
    """Return the schema of the database whose socket is in a folder, as sorted lines."""
    connection = await asyncpg.connect(
        host=folder, port=port, user=DATABASE_USER, database=DATABASE
    )
    try:
        lines = []
        for title, query in SCHEMA_QUERIES.items():
            lines += [f"== {title}", *sorted(row[0] for row in await connection.fetch(query))]
        return "\n".join(lines) + "\n"
    finally:
        await connection.close()


def answer_to(client: httpx2.Client, request: dict[str, Any], callers: dict[str, Any]) -> str:
    """Send one request, and return its status, headers and body as text; JSON is indented."""
    headers = {"X-Request-Id": "frozen"} | callers[request["caller"]] | request.get("headers", {})
    method, path = request["method"], request["path"]
    sent, form = request.get("json"), request.get("form")
    with client.stream(method, path, json=sent, data=form, headers=headers) as response:
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):  # it has no end
            body = "(a stream)"
        elif response.read() and kind.startswith("application/json"):
            body = json.dumps(response.json(), indent=1, ensure_ascii=False)
        else:
            body = response.text
    told = sorted(f"{name}: {value}" for name, value in response.headers.items())
    told = [line for line in told if line.partition(":")[0] not in VARYING_HEADERS]
    first = [f"{method} {path} as {request['caller']}", str(response.status_code)]
    return "\n".join([*first, *told, "", body, ""])


def file_name(number: int, request: dict[str, Any]) -> str:
    """Return the name of the file for the answer to a request."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", request["path"].removeprefix("/api/v1"))
    return f"{number:04}-{request['caller']}-{request['method']}{words[:80]}.txt"


def compare(one: Path, other: Path) -> int:
    """Print how two recordings differ, and return how many files do."""
    sides = [{path.name: path.read_text() for path in at.glob("*.txt")} for at in (one, other)]
    names = sorted(sides[0].keys() | sides[1].keys())
    different = [name for name in names if sides[0].get(name) != sides[1].get(name)]
    for name in different:
        before, after = [side.get(name, "").splitlines() for side in sides]
        lines = list(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", "", "", 1, ""))
        print("\n".join(line[:LONGEST_LINE] for line in lines[:SHOWN_LINES]))
        if len(lines) > SHOWN_LINES:
            print(f"... {len(lines) - SHOWN_LINES} more lines")
    print(f"{len(names)} outputs compared, {len(different)} differ.")
    return len(different) or int(not names)


def main() -> int:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(description="Record the outputs of a checkout, and compare.")
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="record the outputs of a checkout")
    for name in ("--checkout", "--data", "--out"):
        recording.add_argument(name, type=Path, required=True)
    recording.add_argument("--addresses", type=Path, help="the requests (else DATA.json)")
    comparing = commands.add_parser("compare", help="print how two recordings differ")
    comparing.add_argument("one", type=Path)
    comparing.add_argument("other", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return 1 if compare(given.one, given.other) else 0
    addresses = given.addresses or Path(f"{given.data.resolve()}.json")
    record(given.checkout.resolve(), given.data.resolve(), given.out, addresses)
    return 0


if __name__ == "__main__":
    sys.exit(main())
