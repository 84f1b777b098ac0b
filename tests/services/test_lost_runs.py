"""Silent runs: they are confirmed, continued, or lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from core.clock import now
from models import EventType, RunStatus
from services.gateways import runs
from tests.support.fake_requests_gateway import timestamp_ms
from tests.support.requests_gateway import RequestsHarness, agent_key, begin_run, runs_in

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


@asynccontextmanager
async def sender(harness: RequestsHarness, agent: str, run_id: str) -> AsyncGenerator[None]:
    """Send events of a run all the time."""

    async def send_events() -> None:
        while True:
            await harness.fake.send_run_step(
                run_id, agent, "assistant", text="Word by word", delta="word"
            )
            await asyncio.sleep(0.005)

    talking = asyncio.create_task(send_events())
    try:
        yield
    finally:
        talking.cancel()
        await asyncio.wait({talking})


async def test_missed_runs_are_loaded_after_every_connect(harness: RequestsHarness) -> None:
    worker = agent_key(harness.world.worker)
    async with harness.run_worker():
        await begin_run(harness)
        await begin_run(harness, "run-2")
        await harness.wait_for(lambda: runs_in(harness, RUNNING, RUNNING))
        harness.fake.connect_error = {"code": "UNAVAILABLE", "message": "starting", "close": 1013}
        await harness.fake.close_connections(1012)
        harness.fake.ends["run-1"] = {"status": "ok", "terminalReply": {"text": "Meanwhile."}}
        item = {"stream": "item", "data": {**TOOL, "phase": "start"}, "ts": timestamp_ms()}
        harness.fake.active_runs[f"agent:{worker}:main"] = {
            "runId": "run-2",
            "text": "Still at it.",
            "startedAt": timestamp_ms(),
            "events": [item, "nonsense"],
        }
        harness.fake.connect_error = None
        first, second = await harness.wait_for(lambda: runs_in(harness, ENDED, RUNNING))
        second = await harness.wait_for_run(lambda run: run.tool == "exec")
    assert first.tail == "Meanwhile."
    assert second.tail == "Still at it."


async def test_another_process_continues_stored_runs(harness: RequestsHarness) -> None:
    """A restart during a run."""
    worker = agent_key(harness.world.worker)
    async with harness.run_worker():
        await begin_run(harness)
        await harness.fake.send_run_step("run-1", worker, "item", **TOOL, phase="start")
        before = await harness.wait_for_run(lambda run: run.tool == "exec")
    harness.fake.active_runs[f"agent:{worker}:main"] = {"runId": "run-1", "text": "", "events": []}
    harness.fake.calls.clear()
    async with harness.run_worker():
        await harness.wait_for(lambda: _has_listed_sessions(harness))
        await harness.fake.send_run_step(
            "run-1", worker, "item", **TOOL, phase="end", status="completed"
        )
        run = await harness.wait_for_run(lambda run: run.phase == "thinking")
    assert (run.id, run.started_at, run.status) == (before.id, before.started_at, RUNNING)
    assert [call["status"] for call in run.tool_calls] == ["completed"]


async def test_a_run_that_ended_unseen_is_lost(harness: RequestsHarness) -> None:
    """Market need 13: a status needs evidence."""
    async with harness.run_worker():
        await begin_run(harness)
        await harness.wait_for_run(lambda run: run.status is RUNNING)
        await harness.fake.close_connections(1012)
        run = await harness.wait_for_run(lambda run: run.status is LOST)
        assert run.error == "It has ended, and its gateway does not know how."
        await begin_run(harness)
        await harness.wait_for_run(lambda run: run.status is RUNNING)


async def test_a_silent_run_is_lost_and_continued_when_it_is_reported(
    harness: RequestsHarness,
) -> None:
    async with harness.run_worker():
        await begin_run(harness)
        run = await harness.wait_for_run(lambda run: run.status is RUNNING)
    await harness.update_row(run, updated_at=now() - timedelta(minutes=5))
    async with harness.transaction() as session:
        assert await runs.mark_lost_runs(session) == 1
    async with harness.transaction() as session:
        assert await runs.mark_lost_runs(session) == 0
    [run] = await harness.list_runs()
    assert run.status is LOST
    assert run.error == "Its gateway has not reported it for 5 minutes."
    harness.fake.calls.clear()
    async with harness.run_worker():
        await begin_run(harness)
        run = await harness.wait_for_run(lambda run: run.status is RUNNING)
    assert (run.ended_at, run.error) == (None, None)


async def test_a_silent_run_stays_running_while_the_gateway_lists_it(
    harness: RequestsHarness,
) -> None:
    worker = agent_key(harness.world.worker)
    async with harness.run_worker(poll_interval=0.1):
        harness.fake.active_runs[f"agent:{worker}:main"] = {
            "runId": "run-1",
            "text": "",
            "events": [],
        }
        await begin_run(harness)
        run = await harness.wait_for_run(lambda run: run.status is RUNNING)
        await harness.update_row(run, updated_at=now() - timedelta(minutes=5))
        await harness.wait_for_run(lambda run: run.updated_at > now() - timedelta(minutes=1))
    async with harness.transaction() as session:
        assert await runs.mark_lost_runs(session) == 0


async def test_a_silent_run_stays_running_among_busy_ones(
    harness: RequestsHarness,
) -> None:
    world = harness.world
    silent, talks = agent_key(world.worker), agent_key(world.other_worker)
    harness.fake.active_runs[f"agent:{silent}:main"] = {"runId": "run-1", "text": "", "events": []}
    async with harness.run_worker(poll_interval=0.5):
        await begin_run(harness)
        run = await harness.wait_for_run(lambda run: run.status is RUNNING)

        async def is_confirmed() -> bool:
            [one] = [one for one in await harness.list_runs() if one.id == run.id]
            return one.updated_at > now() - timedelta(minutes=1)

        async with sender(harness, talks, "run-2"):
            await harness.wait_for(lambda: runs_in(harness, RUNNING, RUNNING))
            await harness.update_row(run, updated_at=now() - timedelta(minutes=5))
            await harness.wait_for(is_confirmed)


async def test_a_run_with_events_stays_running_without_being_listed(
    harness: RequestsHarness,
) -> None:
    """A list may be older than later events."""
    async with harness.run_worker(poll_interval=0.1):
        await begin_run(harness)
        await harness.wait_for_run(lambda run: run.status is RUNNING)
        harness.fake.calls.clear()
        async with sender(harness, agent_key(harness.world.worker), "run-1"):

            async def has_polled_three_times() -> bool:
                return [method for method, _ in harness.fake.calls].count("sessions.list") > 2

            await harness.wait_for(has_polled_three_times)
        events = await harness.list_events(EventType.RUN_CHANGED)
    assert {event.data["status"] for event in events} == {"running"}


async def _has_listed_sessions(harness: RequestsHarness) -> bool:
    return any(method == "chat.history" for method, _ in harness.fake.calls)
