"""Runs are tracked while they are active, and no idle agent appears as working."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import NotFound
from core.paging import Paging
from models import Event, EventType, RunStatus, Status, new_id
from services.gateways import runs
from tests.support.board_rows import make_message, make_task
from tests.support.fake_requests_gateway import timestamp_ms
from tests.support.requests_gateway import RequestsHarness, agent_key, begin_run, runs_in
from tests.support.world import World

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


async def test_a_run_is_tracked_from_its_start_to_its_end(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        worker = await begin_run(harness)
        step = harness.fake.send_run_step
        run = await harness.wait_for_run(lambda run: run.phase == "preparing")
        assert (run.status, run.agent_id) == (RUNNING, harness.world.worker.id)
        await step("run-1", worker, "lifecycle", phase="model", model="scripted")
        await harness.wait_for_run(lambda run: run.phase == "thinking")
        await step("run-1", worker, "assistant", text="Let me look.", delta="look.")
        run = await harness.wait_for_run(lambda run: run.phase == "writing")
        assert run.tail == "Let me look."
        await step("run-1", worker, "item", **TOOL, phase="start", status="running")
        args = {"command": "ls -l"}
        tool = {"phase": "start", "name": "exec", "toolCallId": "c-1", "args": args}
        await harness.fake.send_run_event("session.tool", "run-1", worker, stream="tool", data=tool)
        run = await harness.wait_for_run(lambda run: run.tool_calls and run.tool_calls[0]["detail"])
        assert (run.phase, run.tool, run.tool_title) == ("tool", "exec", "Exec ls")
        assert run.tool_calls[0]["detail"] == "ls -l"
        await step("run-1", worker, "lifecycle", phase="waiting-approval", approvalId="a-1")
        await harness.wait_for_run(lambda run: run.phase == "waiting")
        await step("run-1", worker, "lifecycle", phase="approval-resolved", approvalId="a-1")
        await step("run-1", worker, "command_output", toolCallId="c-1", output="one\ntwo")
        await harness.wait_for_run(lambda run: run.tail == "one\ntwo")
        await step("run-1", worker, "item", **TOOL, phase="end", status="completed")
        await step("run-1", worker, "usage", outputTokens=12)
        reply = {"text": "There are two."}
        end = {
            "phase": "end",
            "stopReason": "stop",
            "endedAt": timestamp_ms(),
            "terminalReply": reply,
        }
        await step("run-1", worker, "lifecycle", **end)
        run = await harness.wait_for_run(lambda run: run.status is ENDED)
    assert (run.tail, run.tokens, run.tool, run.error) == ("There are two.", 12, None, None)
    assert [call["status"] for call in run.tool_calls] == ["completed"]
    assert run.ended_at
    assert run.ended_at >= run.started_at
    [begun] = await harness.list_events(EventType.RUN_STARTED)
    [over] = await harness.list_events(EventType.RUN_ENDED)
    between = await harness.list_events(EventType.RUN_CHANGED)
    assert over.data == {"name": "Worker", "status": "ended"}
    assert {event.agent_id for event in (begun, *between, over)} == {harness.world.worker.id}
    assert all(begun.seq < event.seq < over.seq for event in between)
    assert between


WIDE = "".join(chr(0x20000 + 7919 * n % 42_000) for n in range(1_000))
"""A text of 4,000 bytes, which PostgreSQL cannot compress so that it fits into an index."""


@pytest.mark.parametrize("run_id", ["run\0", "run" * 1_000, WIDE])
async def test_a_run_whose_id_cannot_be_stored_hides_no_other(
    harness: RequestsHarness, run_id: str
) -> None:
    async with harness.run_worker():
        worker = await begin_run(harness, run_id)
        await harness.fake.send_run_step(run_id, worker, "lifecycle", phase="model")
        await begin_run(harness)
        run = await harness.wait_for_run(lambda run: run.status is RUNNING)
    assert run.run_id == "run-1"


@pytest.mark.parametrize(
    ("payload", "status", "error"),
    [
        ({"state": "error", "errorMessage": "No model."}, FAILED, "No model."),
        ({"state": "aborted", "stopReason": "rpc"}, ABORTED, None),
        ({"state": "final", "message": {"content": [{"text": "Done."}]}}, ENDED, None),
    ],
)
async def test_the_end_of_a_run_is_final(
    harness: RequestsHarness, payload: dict[str, Any], status: RunStatus, error: str | None
) -> None:
    async with harness.run_worker():
        worker = await begin_run(harness)
        await harness.wait_for_run(lambda run: run.status is RUNNING)
        await harness.fake.send_run_event("chat", "run-1", worker, **payload)
        run = await harness.wait_for_run(lambda run: run.status is status)
        late = {"phase": "error", "error": "This operation was aborted", "aborted": True}
        await harness.fake.send_run_step("run-1", worker, "lifecycle", **late)
        await harness.fake.send_run_step(
            "run-1", worker, "item", **TOOL, phase="end", status="failed"
        )
        await begin_run(harness, "run-2")
        await harness.wait_for_run(lambda run: run.run_id == "run-2")
    run = (await harness.list_runs())[0]
    assert (run.status, run.error, run.tool_calls) == (status, error, [])


async def test_a_run_belongs_to_the_task_of_its_message(harness: RequestsHarness) -> None:
    world = harness.world
    events, in_hand = world.make_task("Told of"), world.make_task("In hand")
    in_hand.status, in_hand.assigned_agent_id = Status.IN_PROGRESS, world.worker.id
    message = make_message(world.worker, "TASK ASSIGNED\nDo it.", task_id=events.id)
    async with harness.transaction() as session:
        session.add_all([events, in_hand, message])
    async with harness.run_worker():
        await begin_run(harness, f"{message.id}.2")
        run = await harness.wait_for_run(lambda run: run.task_id)
        assert run.task_id == events.id
        await begin_run(harness, str(new_id()))
        run = await harness.wait_for_run(lambda run: run.task_id == in_hand.id)
    async with harness.transaction() as session:
        page = await runs.list_task_runs(session, world.board, events.id, Paging())
        assert [one.run_id for one in page.items] == [f"{message.id}.2"]
        [(shown, agent)] = await runs.list_current_task_runs(session, world.board, events.id)
        assert (shown.run_id, agent.id) == (f"{message.id}.2", world.worker.id)
        with pytest.raises(NotFound):
            await runs.list_task_runs(session, world.garden, events.id, Paging())


async def test_a_run_belongs_to_the_task_that_the_agent_starts_in_it(
    harness: RequestsHarness,
) -> None:
    world = harness.world
    task = world.make_task("Taken up")
    async with harness.transaction() as session:
        session.add(task)
    async with harness.run_worker():
        worker = await begin_run(harness)
        assert (await harness.wait_for_run(lambda run: run.phase == "preparing")).task_id is None
        await harness.update_row(task, status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
        await harness.fake.send_run_step("run-1", worker, "lifecycle", phase="model")
        await harness.wait_for_run(lambda run: run.task_id == task.id)


async def test_run_changes_are_stored_once_a_second_unless_urgent(
    harness: RequestsHarness,
) -> None:
    async with harness.run_worker():
        worker = await begin_run(harness)
        await harness.wait_for_run(lambda run: run.phase == "preparing")
        before = len(await harness.list_events(EventType.RUN_CHANGED))
        for number in range(300):
            await harness.fake.send_run_step("run-1", worker, "assistant", text=f"Word {number}")
        await harness.wait_for_run(lambda run: run.tail == "Word 299")
        after = len(await harness.list_events(EventType.RUN_CHANGED))
    assert after - before < 60  # it writes every 0.05 s here


async def test_heartbeats_are_runs_with_fewer_events(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        worker = await begin_run(harness, "run-0")
        changed = {"session": {"status": "running"}}
        await harness.fake.send_run_event(
            "sessions.changed", "beat", worker, phase="start", **changed
        )
        await harness.wait_for_run(lambda run: (run.run_id, run.status) == ("beat", RUNNING))
        harness.fake.ends["beat"] = {"status": "ok", "terminalReply": {"text": "HEARTBEAT_OK"}}
        await harness.fake.send_run_event(
            "sessions.changed", "beat", worker, phase="end", **changed
        )
        run = await harness.wait_for_run(lambda run: run.status is ENDED)
    assert run.tail == "HEARTBEAT_OK"


async def test_runs_of_unknown_agents_are_not_stored(harness: RequestsHarness) -> None:
    async with harness.run_worker():
        await begin_run(harness)
        await harness.fake.send_run_step(
            "run-9", "main", "lifecycle", phase="start", startedAt=timestamp_ms()
        )
        await harness.fake.send_run_event(
            "chat", "taken-in", agent_key(harness.world.worker), state="final"
        )
        await begin_run(harness, "run-2")
        await harness.wait_for(lambda: runs_in(harness, RUNNING, RUNNING))
    assert {run.run_id for run in await harness.list_runs()} == {"run-1", "run-2"}


async def test_the_first_run_of_an_agent_added_later_is_tracked(harness: RequestsHarness) -> None:
    gardener = harness.world.gardener
    key = agent_key(gardener)
    async with harness.run_worker():
        await begin_run(harness)
        await harness.wait_for(lambda: runs_in(harness, RUNNING))
        values = {"gateway_id": harness.gateway.id, "openclaw_session_id": f"agent:{key}:main"}
        await harness.update_row(gardener, **values)
        start = {"phase": "start", "startedAt": timestamp_ms()}
        await harness.fake.send_run_step("run-5", key, "lifecycle", **start)
        await harness.fake.send_run_event("chat", "run-5", key, state="aborted")
        run = await harness.wait_for_run(lambda run: run.status is ABORTED)
    assert run.agent_id == gardener.id


async def test_agents_are_not_loaded_for_each_event_of_foreign_ones(
    harness: RequestsHarness,
) -> None:
    reads: list[Any] = []
    open_read = harness.open_read

    def open_counted_read() -> Any:
        reads.append(open_read())
        return reads[-1]

    harness.open_read = open_counted_read
    async with harness.run_worker():
        await begin_run(harness)
        for number in range(100):
            for key in ("main", f"other-{number}"):
                await harness.fake.send_run_step("run-9", key, "lifecycle", phase="start")
        await begin_run(harness, "run-2")
        await harness.wait_for(lambda: runs_in(harness, RUNNING, RUNNING))
    assert len(reads) < 60


async def test_old_run_events_and_runs_are_deleted(
    harness: RequestsHarness,
) -> None:
    async with harness.run_worker():
        await begin_run(harness)
        await harness.fake.send_run_event(
            "chat", "run-1", agent_key(harness.world.worker), state="aborted"
        )
        run = await harness.wait_for_run(lambda run: run.status is ABORTED)
    async with harness.transaction() as session:
        await runs.delete_old_runs(session, keep_days=30)
    assert await harness.list_events(EventType.RUN_ENDED)
    assert await harness.list_runs()
    long_ago = now() - timedelta(days=31)
    await harness.update_row(run, ended_at=long_ago, started_at=long_ago, updated_at=long_ago)
    async with harness.transaction() as session:
        await session.execute(update(Event).values(created_at=now() - timedelta(hours=2)))
        kept = await session.scalar(select(func.count()).select_from(Event))
        await runs.delete_old_runs(session, keep_days=30)
        left = await session.scalar(select(func.count()).select_from(Event))
    assert not await harness.list_events(EventType.RUN_ENDED)
    assert not await harness.list_runs()
    assert left is not None
    assert kept is not None
    assert left < kept


async def test_a_gateway_without_runs_is_polled_rarely(
    harness: RequestsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateways.runs.jobs.RETRY_DELAY", 0.1)
    del harness.fake.handlers["sessions.subscribe"]
    async with harness.run_worker():
        await asyncio.sleep(0.5)
    calls = [method for method, _ in harness.fake.calls if method == "sessions.subscribe"]
    assert len(calls) == 1


async def test_a_task_without_runs_has_an_empty_list(
    transaction: TransactionFactory, world: World
) -> None:
    task = make_task(world.board, "Nothing yet")
    async with transaction() as session:
        session.add(task)
        await session.flush()
        page = await runs.list_task_runs(session, world.board, task.id, Paging(limit=5, offset=3))
        assert (page.total, page.items) == (0, [])
        assert not await runs.list_current_task_runs(session, world.board, task.id)
        assert (await runs.list_agent_runs(session, world.worker, Paging())).total == 0
        assert await runs.find_latest_run(session, world.worker.id) is None
