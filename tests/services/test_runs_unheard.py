"""Whether a run goes on of which nothing is heard: it is looked, taken up again, or lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from kit.clock import now
from models import EventType, RunStatus
from services import runs
from tests.attended import Attended, begin, key_of, several
from tests.openclaw.asking import moment

RUNNING, ENDED, FAILED = RunStatus.RUNNING, RunStatus.ENDED, RunStatus.FAILED
ABORTED, LOST = RunStatus.ABORTED, RunStatus.LOST
TOOL: dict[str, Any] = {"kind": "tool", "toolCallId": "c-1", "name": "exec", "title": "Exec ls"}


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


async def test_what_was_missed_is_taken_up_after_every_connection(there: Attended) -> None:
    worker = key_of(there.world.worker)
    async with there.held():
        await begin(there)
        await begin(there, "run-2")
        await there.until(lambda: several(there, RUNNING, RUNNING))
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
        first, second = await there.until(lambda: several(there, ENDED, RUNNING))
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
            await there.until(lambda: several(there, RUNNING, RUNNING))
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


async def _looked(there: Attended) -> bool:
    return any(method == "chat.history" for method, _ in there.fake.calls)
