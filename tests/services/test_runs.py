"""What agents on gateways do is seen while they do it, and never said of one that does nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from kit.clock import now
from kit.errors import NotFound
from kit.paging import Paging
from kit.settings import Settings
from models import Event, EventType, Run, RunStatus, Status, new_id
from services import runs
from services.runs.live import LONGEST_TAIL, Live
from services.runs.tools import MOST_CALLS
from tests.attended import Attended, attended, key_of
from tests.conftest import Transaction
from tests.openclaw.asking import moment
from tests.world import World, a_message, a_task, a_world, token_of

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


@pytest.fixture
async def there(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> AsyncIterator[Attended]:
    async with attended(own_settings, real_transaction, real_world) as there:
        yield there


async def begin(there: Attended, run_id: str = "run-1") -> str:
    """Let the worker begin a run, once somebody listens; return its name on the gateway."""
    worker = key_of(there.world.worker)

    async def listened() -> bool:
        return any(method == "sessions.list" for method, _ in there.fake.calls)

    await there.until(listened)
    await there.fake.step(run_id, worker, "lifecycle", phase="start", startedAt=moment())
    return worker


@asynccontextmanager
async def telling(there: Attended, agent: str, run_id: str) -> AsyncGenerator[None]:
    """Let a run tell something all the time."""

    async def tell() -> None:
        while True:
            await there.fake.step(run_id, agent, "assistant", text="Word by word", delta="word")
            await asyncio.sleep(0.005)

    talking = asyncio.create_task(tell())
    try:
        yield
    finally:
        talking.cancel()
        await asyncio.wait({talking})


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


async def test_what_was_missed_is_taken_up_after_every_connection(there: Attended) -> None:
    worker = key_of(there.world.worker)
    async with there.held():
        await begin(there)
        await begin(there, "run-2")
        await there.until(lambda: _several(there, RUNNING, RUNNING))
        there.fake.refuses = {"code": "UNAVAILABLE", "message": "starting", "close": 1013}
        await there.fake.drop(1012)
        there.fake.ends["run-1"] = {"status": "ok", "terminalReply": {"text": "Meanwhile."}}
        item = {"stream": "item", "data": {**TOOL, "phase": "start"}, "ts": moment()}
        there.fake.going_on[f"agent:{worker}:main"] = {
            "runId": "run-2",
            "text": "Still at it.",
            "startedAt": moment(),
            "events": [item, "nonsense"],
        }
        there.fake.refuses = None
        first, second = await there.until(lambda: _several(there, ENDED, RUNNING))
        second = await there.run(lambda run: run.tool == "exec")
    assert first.tail == "Meanwhile."
    assert second.tail == "Still at it."


async def test_another_process_goes_on_with_what_was_written_down(there: Attended) -> None:
    """A restart in the middle of a run."""
    worker = key_of(there.world.worker)
    async with there.held():
        await begin(there)
        await there.fake.step("run-1", worker, "item", **TOOL, phase="start")
        before = await there.run(lambda run: run.tool == "exec")
    there.fake.going_on[f"agent:{worker}:main"] = {"runId": "run-1", "text": "", "events": []}
    there.fake.calls.clear()
    async with there.held():
        await there.until(lambda: _looked(there))
        await there.fake.step("run-1", worker, "item", **TOOL, phase="end", status="completed")
        run = await there.run(lambda run: run.phase == "thinking")
    assert (run.id, run.started_at, run.status) == (before.id, before.started_at, RUNNING)
    assert [call["status"] for call in run.tool_calls] == ["completed"]


async def test_a_run_that_is_over_and_nobody_knows_how_is_lost(there: Attended) -> None:
    """Market need 13: no status is more than there is evidence for."""
    async with there.held():
        await begin(there)
        await there.run(lambda run: run.status is RUNNING)
        await there.fake.drop(1012)
        run = await there.run(lambda run: run.status is LOST)
        assert run.error == "It is over, and its gateway does not know how it ended."
        await begin(there)
        await there.run(lambda run: run.status is RUNNING)


async def test_a_run_of_which_nothing_is_heard_is_lost_and_taken_up_when_it_is_told_of_again(
    there: Attended,
) -> None:
    async with there.held():
        await begin(there)
        run = await there.run(lambda run: run.status is RUNNING)
    await there.change(run, updated_at=now() - timedelta(minutes=5))
    async with there.transaction() as session:
        assert await runs.lose(session) == 1
    async with there.transaction() as session:
        assert await runs.lose(session) == 0
    [run] = await there.runs()
    assert run.status is LOST
    assert run.error == "Its gateway has told nothing of it for 5 minutes."
    there.fake.calls.clear()
    async with there.held():
        await begin(there)
        run = await there.run(lambda run: run.status is RUNNING)
    assert (run.ended_at, run.error) == (None, None)


async def test_a_run_that_tells_nothing_for_long_goes_on_as_long_as_its_gateway_says_so(
    there: Attended,
) -> None:
    worker = key_of(there.world.worker)
    async with there.held(look_anyway=0.1):
        there.fake.going_on[f"agent:{worker}:main"] = {"runId": "run-1", "text": "", "events": []}
        await begin(there)
        run = await there.run(lambda run: run.status is RUNNING)
        await there.change(run, updated_at=now() - timedelta(minutes=5))
        await there.run(lambda run: run.updated_at > now() - timedelta(minutes=1))
    async with there.transaction() as session:
        assert await runs.lose(session) == 0


async def test_a_run_that_tells_nothing_goes_on_however_much_others_tell(there: Attended) -> None:
    world = there.world
    silent, talks = key_of(world.worker), key_of(world.other_worker)
    there.fake.going_on[f"agent:{silent}:main"] = {"runId": "run-1", "text": "", "events": []}
    async with there.held(look_anyway=0.5):
        await begin(there)
        run = await there.run(lambda run: run.status is RUNNING)

        async def is_confirmed() -> bool:
            [one] = [one for one in await there.runs() if one.id == run.id]
            return one.updated_at > now() - timedelta(minutes=1)

        async with telling(there, talks, "run-2"):
            await there.until(lambda: _several(there, RUNNING, RUNNING))
            await there.change(run, updated_at=now() - timedelta(minutes=5))
            await there.until(is_confirmed)


async def test_a_run_that_is_told_of_goes_on_though_its_gateway_does_not_list_it(
    there: Attended,
) -> None:
    """A list may be older than what was told since."""
    async with there.held(look_anyway=0.1):
        await begin(there)
        await there.run(lambda run: run.status is RUNNING)
        there.fake.calls.clear()
        async with telling(there, key_of(there.world.worker), "run-1"):

            async def looked_thrice() -> bool:
                return [method for method, _ in there.fake.calls].count("sessions.list") > 2

            await there.until(looked_thrice)
        told = await there.events(EventType.RUN_CHANGED)
    assert {event.data["status"] for event in told} == {"running"}


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
        await there.until(lambda: _several(there, RUNNING, RUNNING))
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


def live() -> Live:
    return Live("run-1", "agent:x:main", "x", now())


def take(run: Live, stream: str, **data: Any) -> None:
    run.take("agent", {"stream": stream, "data": data}, now())


def test_no_token_of_ours_is_in_what_is_kept() -> None:
    token = token_of(a_world().worker)
    run = live()
    take(run, "assistant", text=f"I use {token} for that.")
    assert run.tail == "I use mc_agent_*** for that."
    take(run, "command_output", output="x" * (LONGEST_TAIL - 10) + f" {token} and more")
    assert token[15:] not in run.tail
    assert len(run.tail) <= LONGEST_TAIL
    take(run, "item", **TOOL | {"title": f"Exec curl {token}"}, phase="start")
    take(run, "tool", phase="start", toolCallId="c-1", name="exec", args={"command": token})
    take(run, "tool", phase="start", toolCallId="c-2", name="fetch", args={"key": [token]})
    take(run, "lifecycle", phase="error", error=f"{token} is wrong")
    assert token not in str(run)
    assert run.error == "mc_agent_*** is wrong"


def test_only_the_end_is_kept_and_the_last_calls() -> None:
    run = live()
    take(run, "assistant", text="a" * 50_000 + "the end")
    assert len(run.tail) == LONGEST_TAIL
    assert run.tail.endswith("the end")
    for number in range(30):
        take(run, "item", **TOOL | {"toolCallId": f"c-{number}"}, phase="start")
    assert [call.id for call in run.calls] == [f"c-{number}" for number in range(10, 30)]
    assert len(run.calls) == MOST_CALLS


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"stream": 7, "data": 7},
        {"stream": "item", "data": {"kind": "tool", "toolCallId": {}, "title": []}},
        {"stream": "lifecycle", "data": {"phase": "start", "startedAt": 1e300}},
        {"stream": "lifecycle", "data": {"phase": [], "terminalReply": 7}},
        {"stream": "assistant", "data": {"text": "\0\ud800"}},
        {"stream": "usage", "data": {"outputTokens": 2**40}},
        {"state": "final", "message": {"content": [7, {"text": 7}]}},
    ],
)
def test_nothing_that_a_gateway_says_hurts(said: dict[str, Any]) -> None:
    run = live()
    for name in ("agent", "chat", "session.tool", "other"):
        run.take(name, said, now())
    str(run).encode()
    assert "\0" not in str(run.tail)


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


async def _several(there: Attended, *statuses: RunStatus) -> list[Run]:
    found = await there.runs()
    return found if [one.status for one in found] == [*statuses] else []


async def _looked(there: Attended) -> bool:
    return any(method == "chat.history" for method, _ in there.fake.calls)
