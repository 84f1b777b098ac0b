"""Metrics of all processes with a data folder, in the text format of Prometheus.

Each process counts in its memory, and writes its values to a file of the data folder every few
seconds. `/metrics` adds the files of all processes. The lock of a file shows that its process is
alive: the counts of one that has ended stay in the sums, its gauges do not, also after kill -9.
docs/decisions/monitoring.md gives the reasons.
"""

import asyncio
import fcntl
import json
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from core.version import VERSION

PREFIX = "mission_control"
FOLDER_NAME = "metrics"  # in the data folder
PUBLISH_INTERVAL = 5.0  # seconds
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER = "other"  # the label of what is not known beforehand
LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
HOLDS = (0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

LOCK_TIMEOUT = 1.0  # seconds until the lock of the folder belongs to a stopped process

log = logging.getLogger(__name__)

REGISTRY = CollectorRegistry()
"""The metrics of this process."""

REQUESTS = Counter(
    f"{PREFIX}_requests_total",
    "Responses by route, method and class of the status.",
    ("route", "method", "status"),
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    f"{PREFIX}_request_seconds",
    "Duration of requests that are not streams and do not wait, by route.",
    ("route",),
    buckets=LATENCIES,
    registry=REGISTRY,
)
REJECTIONS = Counter(
    f"{PREFIX}_rejections_total",
    "Requests that a limit has rejected.",
    ("limit",),
    registry=REGISTRY,
)
EVENT_LAG = Histogram(
    f"{PREFIX}_event_lag_seconds",
    "From the recording of an event until subscribers get it; of several events, that of the"
    " oldest.",
    buckets=LATENCIES,
    registry=REGISTRY,
)
LOOP_HOLDS = Histogram(
    f"{PREFIX}_event_loop_hold_seconds",
    "CPU time of callbacks that held the event loop for more than 0.1 s.",
    buckets=HOLDS,
    registry=REGISTRY,
)
OPEN_STREAMS = Gauge(f"{PREFIX}_open_streams", "Open event streams.", registry=REGISTRY)
POOL_SIZE = Gauge(
    f"{PREFIX}_pool_size",
    "The maximum number of connections of a pool.",
    ("pool",),
    registry=REGISTRY,
)
POOL_USED = Gauge(
    f"{PREFIX}_pool_used", "Connections of a pool in use.", ("pool",), registry=REGISTRY
)
POOL_WAITING = Gauge(
    f"{PREFIX}_pool_waiting",
    "Requests that wait for a connection of a pool.",
    ("pool",),
    registry=REGISTRY,
)
_INFO = Gauge(f"{PREFIX}_info", "Processes by version.", ("version",), registry=REGISTRY)
_MEMORY = Gauge(
    f"{PREFIX}_process_resident_memory_bytes",
    "Memory of a process.",
    ("process",),
    registry=REGISTRY,
)
_START_TIME = Gauge(
    f"{PREFIX}_process_start_time_seconds",
    "When a process started, as Unix time.",
    ("process",),
    registry=REGISTRY,
)

_request_counters: dict[tuple[str, str, int], Counter] = {}
_request_histograms: dict[str, Histogram] = {}


def count_request(route: str, method: str, status: int, seconds: float | None) -> None:
    """Count a response; `seconds` is None if its duration says nothing, as that of a stream."""
    key = route, method, status // 100
    counter = _request_counters.get(key)
    if counter is None:
        name = method if method in METHODS else OTHER
        counter = REQUESTS.labels(route, name, f"{status // 100}xx" if status else OTHER)
        if name != OTHER:
            _request_counters[key] = counter
    counter.inc()
    if seconds is None:
        return
    histogram = _request_histograms.get(route)
    if histogram is None:
        histogram = _request_histograms[route] = REQUEST_SECONDS.labels(route)
    histogram.observe(seconds)


def read_memory() -> int:
    """Return how many bytes of memory this process uses; without /proc, the most it has used."""
    with suppress(OSError), open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class MetricSums:
    """The metrics of several processes, added."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, str], float]]] = {}

    def add(self, families: Iterable[Any], *, is_alive: bool = True) -> None:
        """Add the metrics of a process; of one that has ended, without its gauges."""
        for name, type, text, samples in families:
            if type == "gauge" and not is_alive:
                continue
            _, _, sums = self._families.setdefault(name, (type, text, {}))
            for sample, labels, value in samples:
                key = sample, json.dumps(labels)
                sums[key] = sums.get(key, 0.0) + value

    def list_values(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and values of a gauge."""
        _, _, sums = self._families.get(name, ("", "", {}))
        return [(json.loads(labels), value) for (_sample, labels), value in sums.items()]

    def to_json(self) -> list[Any]:
        """Return the metrics in the form of a file."""
        return [
            [name, type, text, [[key, json.loads(labels), value] for (key, labels), value in sums]]
            for name, type, text, sums in (
                (name, type, text, sums.items())
                for name, (type, text, sums) in self._families.items()
            )
        ]

    def to_metrics(self) -> Generator[Metric]:
        """Yield the metrics in the form of the library."""
        for name, (type, text, sums) in sorted(self._families.items()):
            metric = Metric(name, text, type)
            for (sample, labels), value in sums.items():
                metric.add_sample(sample, json.loads(labels), value)
            yield metric


class MetricsFolder:
    """The files of the processes with a data folder.

    A folder without a living process is emptied, so that the counters of an installation begin at
    zero when it starts.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER_NAME
        self._id = ""
        self._lock_file: TextIO | None = None
        self._writing = threading.Lock()

    @asynccontextmanager
    async def share(self) -> AsyncGenerator[None]:
        """Take part during the block. A folder that cannot be used is logged."""
        process = f"{socket.gethostname()}:{os.getpid()}"
        _INFO.labels(VERSION).set(1)
        _MEMORY.labels(process).set_function(read_memory)
        _START_TIME.labels(process).set(time.time())
        opening = asyncio.create_task(asyncio.to_thread(self._open))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            with suppress(OSError):
                await opening  # a thread cannot be cancelled
            self._close()
            raise
        except OSError as error:
            log.warning("The metrics cannot be shared with other processes: %s", error)
            yield
            return
        publishing = asyncio.create_task(self._publish_repeatedly())
        try:
            yield
        finally:
            publishing.cancel()
            with suppress(OSError):
                self.publish()  # the last values, for the other processes
            self._close()

    def _open(self) -> None:
        with self._lock_folder():
            if all(_has_ended(lock) for lock in self._folder.glob("*.lock")):
                for file in self._folder.glob("*.*"):
                    file.unlink()
            self._id = uuid4().hex
            self._lock_file = (self._folder / f"{self._id}.lock").open("w")
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.publish()

    def _close(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    async def _publish_repeatedly(self) -> None:
        is_reported = False
        while True:
            await asyncio.sleep(PUBLISH_INTERVAL)
            try:
                await asyncio.to_thread(self.publish)
                is_reported = False
            except OSError as error:
                if not is_reported:
                    log.warning("The metrics cannot be written: %s", error)
                is_reported = True

    def publish(self) -> None:
        """Write the values of this process. Raises OSError."""
        with self._writing:
            self._write(f"{self._id}.json", _list_families())

    def collect(self) -> MetricSums:
        """Return the sums of all processes; only of this one if the folder cannot be used."""
        if self._lock_file is not None:
            with suppress(OSError):
                self.publish()
                with self._lock_folder() as is_locked:
                    return self._add_files(may_replace=is_locked)
        sums = MetricSums()
        sums.add(_list_families())
        return sums

    def count_processes(self) -> int:
        """Return how many processes are alive."""
        with suppress(OSError):
            return sum(not _has_ended(lock) for lock in self._folder.glob("*.lock"))
        return 1

    def _add_files(self, *, may_replace: bool) -> MetricSums:
        """Add all files, and replace those of processes that have ended by their sum.

        The sum names what it contains, so that nothing counts twice after a kill in between.
        """
        sums, ended = MetricSums(), MetricSums()
        known = _read_file(self._folder / "ended.json") or {"ids": [], "families": []}
        ended.add(known["families"])
        new = []
        for lock in self._folder.glob("*.lock"):
            file, id = lock.with_suffix(".json"), lock.stem
            has_ended = _has_ended(lock)
            if has_ended:
                new.append(id)
            if id not in known["ids"] and (families := _read_file(file)) is not None:
                (ended if has_ended else sums).add(families, is_alive=not has_ended)
        if new and may_replace:
            self._write("ended.json", {"ids": new, "families": ended.to_json()})
            for id in new:
                (self._folder / f"{id}.json").unlink(missing_ok=True)
                (self._folder / f"{id}.lock").unlink(missing_ok=True)
        sums.add(ended.to_json())
        return sums

    def _write(self, name: str, content: object) -> None:
        temporary = self._folder / f"{name}.{self._id}"
        temporary.write_text(json.dumps(content))
        temporary.replace(self._folder / name)

    @contextmanager
    def _lock_folder(self) -> Generator[bool]:
        """Lock the folder for the block; yields false if a stopped process has the lock."""
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_TIMEOUT
        with (self._folder / "folder").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        yield False
                        return
                    time.sleep(0.01)
                else:
                    yield True
                    return


def _has_ended(lock: Path) -> bool:
    """Return whether the process of a lock file has ended: the system has released its lock."""
    with suppress(OSError), lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    return False


def _read_file(file: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(file.read_text())
    return None


def _list_families() -> list[Any]:
    return [
        [
            metric.name,
            metric.type,
            metric.documentation,
            [
                [sample.name, sample.labels, sample.value]
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        ]
        for metric in REGISTRY.collect()
    ]


def render_metrics(sums: MetricSums, others: Iterable[Metric]) -> bytes:
    """Return the metrics in the text format, with others that are not of a process."""
    registry = CollectorRegistry()
    registry.register(_Collected([*sums.to_metrics(), *others]))
    return generate_latest(registry)


class _Collected(Collector):
    """Metrics that are computed already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
