"""The event loop of the server and of the worker, with a monitor of how long it is held.

While a callback runs, nothing else does: no other request, stream or connection. What counts is
the CPU time of the loop's thread, so that a busy machine does not look like a mistake of ours.
"""

import asyncio
import fcntl
import gc
import json
import logging
import re
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import get_ident
from typing import Any

import uvloop

from core.clock import now
from core.http.middleware import current_request
from core.metrics import LOOP_HOLDS

MAX_HOLD = 0.1  # seconds of CPU time
REPEAT_INTERVAL = 60.0  # seconds in which one place has one line in the log
MAX_PLACES = 1_000  # of which the time of the last line is known
FILE_NAME = "event_loop.json"  # in the data folder
KEPT = timedelta(hours=24)

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
DEFAULT_TASK_NAME = re.compile(r"Task-\d+")

log = logging.getLogger("mission_control.event_loop")


@dataclass(frozen=True)
class LoopHold:
    """A callback that held the event loop."""

    seconds: float  # of CPU, without the collection of garbage
    place: str  # the request or the task
    at: datetime  # when it ended


class LoopMonitor:
    """Measures the callbacks of an event loop, and reports those that take more than `limit`.

    The CPU time is read at most once in `precision` seconds. The time between two callbacks is
    measured too: in it uvloop calls the protocols of connections that have received data.
    """

    def __init__(
        self,
        report: Callable[[LoopHold], None],
        *,
        limit: float = MAX_HOLD,
        precision: float = 0.01,  # seconds: how often the CPU time is read by a call of the system
    ) -> None:
        self._report = report
        self._limit = limit
        self._precision = precision
        self._thread = 0
        self._garbage_seconds = self._garbage_start = 0.0
        self._ended = self._read_at = self._cpu = 0.0

    def start(self) -> None:
        """Begin to measure the thread of the caller."""
        self._thread = get_ident()
        gc.callbacks.append(self._measure_garbage)
        self._ended = self._read_at = time.perf_counter()
        self._cpu = self._read_cpu()

    def stop(self) -> None:
        """End the measurement."""
        with suppress(ValueError):
            gc.callbacks.remove(self._measure_garbage)

    def run(self, callback: Callable[..., object], *args: object) -> None:
        """Run a callback, and report it if it holds the loop."""
        started = time.perf_counter()
        if started - self._ended > self._limit:
            self._check(started, started - self._ended, callback, args, "data for ")
        try:
            callback(*args)
        finally:
            self._ended = ended = time.perf_counter()
            if ended - started > self._limit:
                self._check(ended, ended - started, callback, args)
            elif ended - self._read_at > self._precision:
                self._read_at = ended
                self._cpu = self._read_cpu()
            # The traceback of a task's error keeps this frame, which would keep the task.
            del callback, args

    def _check(
        self,
        at: float,
        duration: float,
        callback: Callable[..., object],
        args: tuple[object, ...],
        prefix: str = "",
    ) -> None:
        cpu = self._read_cpu()
        seconds = min(cpu - self._cpu, duration)
        self._read_at, self._cpu = at, cpu
        if seconds > self._limit:
            self._report(LoopHold(seconds, prefix + _describe_place(callback, args), now()))

    def _read_cpu(self) -> float:
        return time.thread_time() - self._garbage_seconds

    def _measure_garbage(self, phase: str, _info: dict[str, int]) -> None:
        if get_ident() != self._thread:
            return
        if phase == "start":
            self._garbage_start = time.thread_time()
        else:
            self._garbage_seconds += time.thread_time() - self._garbage_start


def _describe_place(callback: Callable[..., object], args: tuple[object, ...]) -> str:
    """Name the request that is handled, and the task or function that is run for it."""
    if args and isinstance(args[0], asyncio.Handle):
        callback = args[0]._callback
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        name = task.get_name()
        if DEFAULT_TASK_NAME.fullmatch(name):
            name = getattr(task.get_coro(), "__qualname__", name)
    else:
        name = getattr(callback, "__qualname__", type(callback).__name__)
    request = current_request.get()
    if request is None:
        return name
    method, path = request
    return f"{method} {ID.sub('{id}', path)[:200]} ({name})"


class HoldRecorder:
    """Logs holds of the event loop, and keeps the longest ones in the data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._logged: dict[str, tuple[float, int]] = {}  # when, and how many since then

    def record(self, hold: LoopHold) -> None:
        """Log a hold, unless its place was logged less than a minute ago, and keep it."""
        LOOP_HOLDS.observe(hold.seconds)
        add_hold(self._data_dir, hold)
        at = time.monotonic()
        logged_at, omitted = self._logged.get(hold.place, (None, 0))
        if logged_at is not None and at - logged_at < REPEAT_INTERVAL:
            self._logged[hold.place] = (logged_at, omitted + 1)
            return
        more = f" (and {omitted} more since the last such line)" if omitted else ""
        milliseconds = round(hold.seconds * 1000)
        log.warning(
            "The event loop was held for %s ms by %s%s",
            milliseconds,
            hold.place,
            more,
            extra={"facts": {"ms": milliseconds, "place": hold.place, "omitted": omitted}},
        )
        if len(self._logged) >= MAX_PLACES:
            self._logged.clear()
        self._logged[hold.place] = (at, 0)


def add_hold(data_dir: Path, hold: LoopHold) -> None:
    """Add a hold to the file of the data folder, which all processes share.

    The file has those of the last 24 hours that are longer than all later ones.
    """
    with suppress(OSError), (data_dir / FILE_NAME).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # never waits for a stopped process
        file.seek(0)
        longer = [one for one in _parse_holds(file.read()) if one.seconds > hold.seconds]
        file.truncate(0)
        file.write(json.dumps([asdict(one) for one in [*longer, hold]], default=str))


def find_longest_hold(data_dir: Path) -> LoopHold | None:
    """Return the longest hold in the last 24 hours of all processes with a data folder."""
    with suppress(OSError), (data_dir / FILE_NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        return next(iter(_parse_holds(file.read())), None)
    return None


def _parse_holds(text: str) -> list[LoopHold]:
    """Return the holds of the last 24 hours, the longest first."""
    with suppress(ValueError, KeyError, TypeError):
        holds = [
            LoopHold(one["seconds"], one["place"], datetime.fromisoformat(one["at"]))
            for one in json.loads(text)
        ]
        return [one for one in holds if one.at > now() - KEPT]
    return []


class MonitoredEventLoop(uvloop.Loop):
    """An event loop that measures its callbacks.

    Steps of tasks and callbacks of futures go through `call_soon`.
    """

    def __init__(self, monitor: LoopMonitor) -> None:
        super().__init__()
        self._monitor = monitor
        self._run_measured = monitor.run

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in the next turn, measured."""
        return super().call_soon(self._run_measured, callback, *args, context=context)

    def run_forever(self) -> None:
        """Measure while the loop runs."""
        self._monitor.start()
        try:
            super().run_forever()
        finally:
            self._monitor.stop()


def create_event_loop(data_dir: Path) -> MonitoredEventLoop:
    """Create the event loop of a process that works with a data folder."""
    return MonitoredEventLoop(LoopMonitor(HoldRecorder(data_dir).record))
