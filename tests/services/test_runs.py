"""What agents on gateways do is seen while they do it, and never said of one that does nothing."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from kit.clock import now
from kit.errors import NotFound
from kit.paging import Paging
from models import Event, EventType, RunStatus, Status, new_id
from services import runs
from tests.attended import Attended, begin, key_of, several
from tests.conftest import Transaction
from tests.openclaw.asking import moment
from tests.world import World, a_message, a_task

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


async def test_a_run_is_seen_from_its_beginning_to_its_end(there: Attended) -> None:
    async with there.held():
        worker = await begin(there)
        step = there.fake.step
        run = await there.run(lambda run: run.phase == "preparing")
        assert (run.status, run.agent_id) == (RUNNING, there.world.worker.id)
        await step("run-1", worker, "lifecycle", phase="model", model="scripted")
        await there.run(lambda run: run.phase == "thinking")
        await step("run-1", worker, "assistant", text="Let me look.", delta="look.")
        run = await there.run(lambda run: run.phase == "writing")
        assert run.tail == "Let me look."
        await step("run-1", worker, "item", **TOOL, phase="start", status="running")
        args = {"command": "ls -l"}
        tool = {"phase": "start", "name": "exec", "toolCallId": "c-1", "args": args}
        await there.fake.run("session.tool", "run-1", worker, stream="tool", data=tool)
        run = await there.run(lambda run: run.tool_calls and run.tool_calls[0]["detail"])
        assert (run.phase, run.tool, run.tool_title) == ("tool", "exec", "Exec ls")
        assert run.tool_calls[0]["detail"] == "ls -l"
        await step("run-1", worker, "lifecycle", phase="waiting-approval", approvalId="a-1")
        await there.run(lambda run: run.phase == "waiting")
        await step("run-1", worker, "lifecycle", phase="approval-resolved", approvalId="a-1")
        await step("run-1", worker, "command_output", toolCallId="c-1", output="one\ntwo")
        await there.run(lambda run: run.tail == "one\ntwo")
        await step("run-1", worker, "item", **TOOL, phase="end", status="completed")
        await step("run-1", worker, "usage", outputTokens=12)
        reply = {"text": "There are two."}
        end = {"phase": "end", "stopReason": "stop", "endedAt": moment(), "terminalReply": reply}
        await step("run-1", worker, "lifecycle", **end)
        run = await there.run(lambda run: run.status is ENDED)
    assert (run.tail, run.tokens, run.tool, run.error) == ("There are two.", 12, None, None)
    assert [call["status"] for call in run.tool_calls] == ["completed"]
    assert run.ended_at
    assert run.ended_at >= run.started_at
    [begun] = await there.events(EventType.RUN_STARTED)
    [over] = await there.events(EventType.RUN_ENDED)
    between = await there.events(EventType.RUN_CHANGED)
    assert over.data == {"name": "Worker", "status": "ended"}
    assert {event.agent_id for event in (begun, *between, over)} == {there.world.worker.id}
    assert all(begun.seq < event.seq < over.seq for event in between)
    assert between


@pytest.mark.parametrize(
    ("said", "status", "error"),
    [
        ({"state": "error", "errorMessage": "No model."}, FAILED, "No model."),
        ({"state": "aborted", "stopReason": "rpc"}, ABORTED, None),
        ({"state": "final", "message": {"content": [{"text": "Done."}]}}, ENDED, None),
    ],
)
async def test_however_a_run_ends_it_has_ended_for_good(
    there: Attended, said: dict[str, Any], status: RunStatus, error: str | None
) -> None:
    async with there.held():
        worker = await begin(there)
        await there.run(lambda run: run.status is RUNNING)
        await there.fake.run("chat", "run-1", worker, **said)
        run = await there.run(lambda run: run.status is status)
        late = {"phase": "error", "error": "This operation was aborted", "aborted": True}
        await there.fake.step("run-1", worker, "lifecycle", **late)
        await there.fake.step("run-1", worker, "item", **TOOL, phase="end", status="failed")
        await begin(there, "run-2")
        await there.run(lambda run: run.run_id == "run-2")
    run = (await there.runs())[0]
    assert (run.status, run.error, run.tool_calls) == (status, error, [])


async def test_a_run_is_shown_on_the_task_that_its_message_tells_of(there: Attended) -> None:
    world = there.world
    told, in_hand = world.task("Told of"), world.task("In hand")
    in_hand.status, in_hand.assigned_agent_id = Status.IN_PROGRESS, world.worker.id
    message = a_message(world.worker, "TASK ASSIGNED\nDo it.", task_id=told.id)
    async with there.transaction() as session:
        session.add_all([told, in_hand, message])
    async with there.held():
        await begin(there, f"{message.id}.2")
        run = await there.run(lambda run: run.task_id)
        assert run.task_id == told.id
        await begin(there, str(new_id()))
        run = await there.run(lambda run: run.task_id == in_hand.id)
    async with there.transaction() as session:
        page = await runs.of_task(session, world.board, told.id, Paging())
        assert [one.run_id for one in page.items] == [f"{message.id}.2"]
        [(shown, agent)] = await runs.for_task(session, world.board, told.id)
        assert (shown.run_id, agent.id) == (f"{message.id}.2", world.worker.id)
        with pytest.raises(NotFound):
            await runs.of_task(session, world.garden, told.id, Paging())


async def test_a_task_that_is_taken_up_during_a_run_is_what_the_run_is_about(
    there: Attended,
) -> None:
    world = there.world
    task = world.task("Taken up")
    async with there.transaction() as session:
        session.add(task)
    async with there.held():
        worker = await begin(there)
        assert (await there.run(lambda run: run.phase == "preparing")).task_id is None
        await there.change(task, status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
        await there.fake.step("run-1", worker, "lifecycle", phase="model")
        await there.run(lambda run: run.task_id == task.id)


async def test_a_run_is_written_at_most_once_a_second_but_for_what_people_wait_for(
    there: Attended,
) -> None:
    async with there.held():
        worker = await begin(there)
        await there.run(lambda run: run.phase == "preparing")
        before = len(await there.events(EventType.RUN_CHANGED))
        for number in range(300):
            await there.fake.step("run-1", worker, "assistant", text=f"Word {number}")
        await there.run(lambda run: run.tail == "Word 299")
        after = len(await there.events(EventType.RUN_CHANGED))
    assert after - before < 60  # it writes every 0.05 s here


async def test_a_heartbeat_is_a_run_too_though_less_is_told_of_it(there: Attended) -> None:
    async with there.held():
        worker = await begin(there, "run-0")
        changed = {"session": {"status": "running"}}
        await there.fake.run("sessions.changed", "beat", worker, phase="start", **changed)
        await there.run(lambda run: (run.run_id, run.status) == ("beat", RUNNING))
        there.fake.ends["beat"] = {"status": "ok", "terminalReply": {"text": "HEARTBEAT_OK"}}
        await there.fake.run("sessions.changed", "beat", worker, phase="end", **changed)
        run = await there.run(lambda run: run.status is ENDED)
    assert run.tail == "HEARTBEAT_OK"


async def test_of_agents_that_are_not_ours_nothing_is_kept(there: Attended) -> None:
    async with there.held():
        await begin(there)
        await there.fake.step("run-9", "main", "lifecycle", phase="start", startedAt=moment())
        await there.fake.run("chat", "taken-in", key_of(there.world.worker), state="final")
        await begin(there, "run-2")
        await there.until(lambda: several(there, RUNNING, RUNNING))
    assert {run.run_id for run in await there.runs()} == {"run-1", "run-2"}


async def test_an_agent_that_comes_later_is_followed_too(there: Attended) -> None:
    gardener = there.world.gardener
    async with there.held():
        await begin(there)
        values = {
            "gateway_id": there.gateway.id,
            "openclaw_session_id": f"agent:{key_of(gardener)}:main",
        }
        await there.change(gardener, **values)
        await there.fake.drop(1012)

        async def told() -> bool:
            key = key_of(gardener)
            await there.fake.step("run-5", key, "lifecycle", phase="start", startedAt=moment())
            return any(run.agent_id == gardener.id for run in await there.runs())

        await there.until(told)


async def test_what_pages_were_told_of_steps_is_forgotten_and_old_runs_are(
    there: Attended,
) -> None:
    async with there.held():
        await begin(there)
        await there.fake.run("chat", "run-1", key_of(there.world.worker), state="aborted")
        run = await there.run(lambda run: run.status is ABORTED)
    async with there.transaction() as session:
        await runs.forget(session)
    assert await there.events(EventType.RUN_ENDED)
    assert await there.runs()
    long_ago = now() - timedelta(days=31)
    await there.change(run, ended_at=long_ago, started_at=long_ago)
    async with there.transaction() as session:
        await session.execute(update(Event).values(created_at=now() - timedelta(hours=2)))
        kept = await session.scalar(select(func.count()).select_from(Event))
        await runs.forget(session)
        left = await session.scalar(select(func.count()).select_from(Event))
    assert not await there.events(EventType.RUN_ENDED)
    assert not await there.runs()
    assert left is not None
    assert kept is not None
    assert left < kept


async def test_a_gateway_that_does_not_know_runs_is_asked_again_only_now_and_then(
    there: Attended,
) -> None:
    del there.fake.methods["sessions.subscribe"]
    async with there.held():
        await asyncio.sleep(1.5)
    calls = [method for method, _ in there.fake.calls if method == "sessions.subscribe"]
    assert len(calls) == 1


async def test_a_task_for_which_nothing_was_done_has_no_runs(
    transaction: Transaction, world: World
) -> None:
    task = a_task(world.board, "Nothing yet")
    async with transaction() as session:
        session.add(task)
        await session.flush()
        page = await runs.of_task(session, world.board, task.id, Paging(limit=5, offset=3))
        assert (page.total, page.items) == (0, [])
        assert not await runs.for_task(session, world.board, task.id)
        assert (await runs.of_agent(session, world.worker, Paging())).total == 0
        assert await runs.latest(session, world.worker.id) is None
