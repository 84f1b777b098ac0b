"""What holds the event loop is measured, logged with its name, and kept for `./run doctor`."""

import asyncio
import gc
import logging
import socket
import time
import weakref
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core.clock import now
from core.event_loop import (
    FILE_NAME,
    KEPT,
    MAX_HOLD,
    HoldRecorder,
    LoopHold,
    LoopMonitor,
    MonitoredEventLoop,
    add_hold,
    create_event_loop,
    find_longest_hold,
)
from core.http.middleware import RequestIdMiddleware

LONG = 1.2 * MAX_HOLD


def use_cpu(seconds: float) -> None:
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        pass


def run_monitored(work: Callable[[], Awaitable[Any]]) -> list[LoopHold]:
    """Run a coroutine on an event loop of its own, and return the holds that it reports."""
    holds: list[LoopHold] = []

    async def run() -> None:
        await work()

    with asyncio.Runner(
        loop_factory=lambda: MonitoredEventLoop(LoopMonitor(holds.append))
    ) as runner:
        runner.run(run())
    return holds


async def hold_request(path: str) -> None:
    """Send a request to an application that holds the loop."""

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(0)
        use_cpu(LONG)

    async def transfer(_message: Any = None) -> Any:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await asyncio.create_task(RequestIdMiddleware(app)(scope, transfer, transfer))


def test_a_request_that_holds_the_loop_is_named_without_its_ids() -> None:
    [hold] = run_monitored(lambda: hold_request(f"/boards/{uuid4()}/tasks"))
    assert hold.place == "POST /boards/{id}/tasks (RequestIdMiddleware.__call__)"
    assert LONG <= hold.seconds < 2 * LONG
    assert now() - hold.at < timedelta(minutes=1)


def test_a_named_task_that_holds_the_loop_is_named() -> None:
    async def step() -> None:
        await asyncio.sleep(0)
        use_cpu(LONG)

    async def work() -> None:
        await asyncio.create_task(step(), name="periodic task reminders")

    assert [hold.place for hold in run_monitored(work)] == ["periodic task reminders"]


def test_many_short_callbacks_do_not_count_as_a_hold() -> None:
    async def work() -> None:
        for _ in range(6):
            use_cpu(MAX_HOLD / 2)
            await asyncio.sleep(0)

    assert run_monitored(work) == []


def test_waiting_and_the_collection_of_garbage_do_not_count() -> None:
    kept = [[] for _ in range(1_000_000)]

    async def work() -> None:
        start = time.thread_time()
        while time.thread_time() - start < LONG:
            gc.collect()
        time.sleep(LONG)  # noqa: ASYNC251 - a busy machine makes the thread wait in the same way

    assert run_monitored(work) == []
    assert len(kept) == 1_000_000


def test_data_that_holds_the_loop_has_the_name_of_its_reader() -> None:
    async def work() -> None:
        received = asyncio.get_running_loop().create_future()

        class Reader(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                use_cpu(LONG)
                received.set_result(data)

        ours, theirs = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(Reader, sock=ours)
        asyncio.get_running_loop().call_later(0, theirs.send, b"x")
        await received
        transport.close()
        theirs.close()

    assert [hold.place.split(" ")[:3] for hold in run_monitored(work)] == [
        ["data", "for", "run_monitored.<locals>.run"]
    ]


def test_a_callback_that_fails_is_measured_too() -> None:
    holds: list[LoopHold] = []
    monitor = LoopMonitor(holds.append)

    def fail() -> None:
        use_cpu(LONG)
        raise ValueError("ours")

    monitor.start()
    with pytest.raises(ValueError, match="ours"):
        monitor.run(fail)
    monitor.stop()
    assert len(holds) == 1
    assert monitor._measure_garbage not in gc.callbacks


def test_a_task_that_was_cancelled_is_deleted_without_a_search_for_garbage() -> None:
    cancelled: list[weakref.ref[object]] = []

    async def work() -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        cancelled.append(weakref.ref(task))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    gc.disable()
    try:
        run_monitored(work)
    finally:
        gc.enable()
    assert [one() for one in cancelled] == [None]


def test_a_place_is_logged_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = HoldRecorder(tmp_path)
    with caplog.at_level(logging.WARNING):
        for place in ("GET /a", "GET /a", "GET /b", "GET /a"):
            recorder.record(LoopHold(0.1234, place, now()))
        recorder._logged = {place: (at - 61, n) for place, (at, n) in recorder._logged.items()}
        recorder.record(LoopHold(0.2, "GET /a", now()))
    records = [one for one in caplog.records if one.name == "mission_control.event_loop"]
    assert [record.getMessage() for record in records] == [
        "The event loop was held for 123 ms by GET /a",
        "The event loop was held for 123 ms by GET /b",
        "The event loop was held for 200 ms by GET /a (and 2 more since the last such line)",
    ]


def test_the_longest_hold_of_the_last_24_hours_is_kept(tmp_path: Path) -> None:
    assert find_longest_hold(tmp_path) is None
    holds = [
        LoopHold(seconds, place, now() - KEPT + timedelta(hours=hours))
        for seconds, place, hours in [(9, "old", -1), (3, "first", 1), (5, "second", 2), (4, "", 3)]
    ]
    for hold in holds:
        add_hold(tmp_path, hold)
    assert find_longest_hold(tmp_path) == holds[2]
    assert (tmp_path / FILE_NAME).read_text().count("place") == 2
    (tmp_path / FILE_NAME).write_text("{")
    assert find_longest_hold(tmp_path) is None
    add_hold(tmp_path, holds[3])
    assert find_longest_hold(tmp_path) == holds[3]


def test_a_data_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    add_hold(tmp_path / "missing", LoopHold(1, "", now()))


def test_the_loop_of_a_process_keeps_its_holds_in_the_data_folder(tmp_path: Path) -> None:
    async def work() -> None:
        use_cpu(LONG)

    with asyncio.Runner(loop_factory=lambda: create_event_loop(tmp_path)) as runner:
        runner.run(work())
    hold = find_longest_hold(tmp_path)
    assert hold is not None
    assert hold.place.endswith("work")
