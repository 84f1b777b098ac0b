"""Run the server as a process of its own that reports what it has used.

    python -P -m bench.server SOCKET --port PORT

The process serves like `./run`, and also answers on a Unix socket with its CPU time, memory, round
trips to PostgreSQL and garbage collections.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.command import load_settings
from cli.server_process import run_server
from core.config.settings import Settings
from tests.support.installation import ROOT, find_free_port
from tests.support.round_trips import RoundTrip, listen_to_round_trips

START_TIMEOUT = 60  # seconds
MIN_PAUSE = 1.0  # milliseconds; the shorter ones are many, and would use memory themselves


@dataclass(frozen=True)
class Usage:
    """What a server process has used since its start."""

    cpu: float  # seconds
    memory_kb: int
    traced_kb: float  # of Python objects, if the process traces them; 0 otherwise
    tasks: int  # of asyncio
    files: int  # that are open, with connections
    threads: int
    statements: int
    round_trips: int
    frequent: dict[str, int]  # texts of statements with their numbers, most frequent first
    pauses: list[list[float]]
    """Of garbage collection since the report before this one, from MIN_PAUSE on: time of the end,
    generation, milliseconds. The server forgets them: it measures its own memory."""

    def subtract(self, earlier: "Usage") -> "Usage":
        """Return the use since an earlier report; of what is in use, the difference."""
        frequent = Counter(self.frequent)
        frequent.subtract(earlier.frequent)
        return Usage(
            self.cpu - earlier.cpu,
            self.memory_kb - earlier.memory_kb,
            self.traced_kb - earlier.traced_kb,
            self.tasks - earlier.tasks,
            self.files - earlier.files,
            self.threads - earlier.threads,
            self.statements - earlier.statements,
            self.round_trips - earlier.round_trips,
            {text: number for text, number in frequent.most_common() if number > 0},
            self.pauses,
        )


class _Recorder:
    """Counts round trips and garbage collections of this process."""

    def __init__(self) -> None:
        self._statements = self._round_trips = 0
        self._frequent: Counter[str] = Counter()
        self._pauses: list[tuple[float, int, float]] = []
        self._began = 0.0

    def count(self, sent: RoundTrip) -> None:
        if sent.is_one_time:  # not needed by a connection that has run the statement before
            return
        self._round_trips += 1
        self._statements += sent.is_statement
        self._frequent[f"{sent.method}: {' '.join(sent.statement.split())[:160]}"] += 1

    def time_collection(self, phase: str, info: dict[str, int]) -> None:
        at = time.perf_counter()
        milliseconds = (at - self._began) * 1000
        if phase == "start":
            self._began = at
        elif milliseconds >= MIN_PAUSE:
            self._pauses.append((time.time(), info["generation"], milliseconds))

    async def report(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        usage = {
            "cpu": time.process_time(),
            "memory_kb": read_memory(os.getpid()),
            "traced_kb": _read_traced_memory(),
            "tasks": len(asyncio.all_tasks()),
            "files": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "statements": self._statements,
            "round_trips": self._round_trips,
            "frequent": self._frequent,
            "pauses": self._pauses,
        }
        self._pauses = []
        writer.write(json.dumps(usage).encode())
        writer.close()


def _read_traced_memory() -> float:
    if not tracemalloc.is_tracing():
        return 0.0
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1000


def read_memory(pid: int) -> int:
    """Return the resident memory of a process in kB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class ServerProcess:
    """A server that runs until the end of the context."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, socket: Path) -> None:
        self.process, self.port, self._socket = process, port, socket
        self.url = f"http://127.0.0.1:{port}"

    async def read_usage(self) -> Usage:
        """Return what the process has used."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        content = await reader.read()
        writer.close()
        return Usage(**json.loads(content))

    async def measure_usage(self, seconds: float) -> Usage:
        """Return what the process uses in this time."""
        before = await self.read_usage()
        await asyncio.sleep(seconds)
        return (await self.read_usage()).subtract(before)


@asynccontextmanager
async def open_server(
    settings: Settings, folder: Path, *, is_traced: bool = False
) -> AsyncGenerator[ServerProcess, None]:
    """Start a server on a database, and wait until it is ready."""
    port, socket = find_free_port(), folder / "control"
    socket.unlink(missing_ok=True)
    command = [*(("-X", "tracemalloc") if is_traced else ()), "-m", "bench.server", str(socket)]
    process = await start_process(settings, *command, port=port)
    try:
        await wait_until_ready(process)
        yield ServerProcess(process, port, socket)
    finally:
        await stop_process(process)


async def start_process(settings: Settings, *command: str, port: int) -> asyncio.subprocess.Process:
    """Start a program with these settings in its environment."""
    return await run_program(settings, *command, "--port", str(port))


async def run_program(settings: Settings, *command: str) -> asyncio.subprocess.Process:
    """Run Python with these arguments, and with the settings in its environment."""
    given = settings.model_dump(include=settings.model_fields_set, mode="json")
    environment = {name.upper(): str(value) for name, value in given.items()}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *command),
        cwd=ROOT,
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **environment,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "MC_ENV_FILE": os.devnull,
        },
        stdout=asyncio.subprocess.PIPE,
    )


async def wait_until_ready(process: asyncio.subprocess.Process) -> None:
    """Wait until the server prints that it is ready."""
    assert process.stdout is not None
    async with asyncio.timeout(START_TIMEOUT):
        while not (line := await process.stdout.readline()).startswith(b"Ready."):
            assert line, "the server has ended"


async def stop_process(process: asyncio.subprocess.Process) -> None:
    """Stop a server that was started here."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()


def main() -> None:
    """Serve until a stop signal arrives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    options.host = options.data = None
    recorder = _Recorder()

    @asynccontextmanager
    async def answer(_settings: Settings) -> AsyncGenerator[None, None]:
        server = await asyncio.start_unix_server(recorder.report, options.socket)
        gc.callbacks.append(recorder.time_collection)
        yield
        server.close()

    with listen_to_round_trips(recorder.count):
        run_server(load_settings(options), companion=answer)


if __name__ == "__main__":
    main()
