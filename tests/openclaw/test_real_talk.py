"""What agents of a real gateway ask, and what they do: `./run test --gateway`."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import Conflict
from kit.settings import Settings
from models import GatewayRequest, RequestState, Run, RunStatus
from openclaw import Budget, Device, GatewayError, Link, Target, Trouble
from tests.attended import Attended, key_of, settle_in
from tests.conftest import Transaction
from tests.openclaw import scripted
from tests.openclaw.asking import Asking
from tests.openclaw.real import Real
from tests.openclaw.scripted import Model, Thought, Turn, Use
from tests.world import SEAL, World

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="a real gateway is asked for with --gateway"
)

PATIENT = Budget(first_rest=0.05, longest_rest=0.5)
LONG = 60  # seconds for whatever a real gateway does
COLOUR: Any = {"id": "colour", "header": "Colour", "question": "Which colour?"}
COLOUR |= {"options": [{"label": "Blue"}, {"label": "Red"}]}


def obedient(turn: Turn) -> Thought:
    """Run what is asked for, or ask a person; then say what came of it."""
    if turn.results:
        return f"Done: {turn.results[-1]}"
    if wish := re.search(r"run: (.*)", turn.told):
        return scripted.Run(wish[1])
    if "ask me" in turn.told:
        return Use("tool_call", {"id": "ask_user", "args": {"questions": [COLOUR]}})
    return "Nothing to do."


@pytest.fixture
def gateway(real_gateway: Real, model: Model) -> Real:
    model.mind = obedient
    return real_gateway


@pytest.fixture
async def link(gateway: Real) -> AsyncIterator[Link]:
    """Somebody else who looks after the gateway, and sends messages."""
    at = Target(gateway.url, token=gateway.token, device=Device.new())
    async with Link(at, budget=Budget(whole=120)) as link:
        yield link


@pytest.fixture
async def there(
    gateway: Real,
    link: Link,
    own_settings: Settings,
    real_transaction: Transaction,
    real_world: World,
) -> AsyncIterator[Attended]:
    async with real_transaction() as session:
        row = await settle_in(session, real_world, gateway.url)
        row.sealed_token = SEAL.close(gateway.token, f"gateways.token:{row.id}")
    key = key_of(real_world.worker)
    await link.call("agents.create", {"name": key, "workspace": str(gateway.state / key)})
    async with asyncio.timeout(LONG):
        while key not in str(await link.call("agents.list", {}, repeatable=True)):
            await asyncio.sleep(0.2)
    await ask_first(link, key)
    there = Attended(
        Asking(), real_world, row, real_transaction, own_settings, patience=LONG, budget=PATIENT
    )
    listening = asyncio.create_task(there.doorbell.listen(own_settings.dsn))
    await asyncio.wait_for(there.doorbell.listening.wait(), 10)
    yield there
    listening.cancel()
    await asyncio.wait({listening})


async def ask_first(link: Link, key: str) -> None:
    """Let an agent run no command that a person has not allowed."""
    mode = {"agents": {"entries": {key: {"tools": {"exec": {"mode": "ask"}}}}}}
    config = await link.call("config.get", {}, repeatable=True)
    await link.call("config.patch", {"raw": json.dumps(mode), "baseHash": config["hash"]})


async def say(link: Link, there: Attended, text: str, *, session: str = "main") -> str:
    """Say something to the worker, and return the id of its run."""
    run_id = f"{text.replace(' ', '-')}-{key_of(there.world.worker)}"
    params = {"sessionKey": f"agent:{key_of(there.world.worker)}:{session}", "message": text}
    said = {**params, "deliver": False, "idempotencyKey": run_id}
    await link.call("chat.send", said, repeatable=True)
    return run_id


async def ended(there: Attended, run_id: str) -> Run:
    return await there.run(lambda run: run.run_id == run_id and run.status != RunStatus.RUNNING)


async def test_a_command_waits_for_a_person_and_runs_once_it_is_allowed(
    there: Attended, link: Link, tmp_path: Path
) -> None:
    world, made = there.world, tmp_path / "made"
    async with there.held():
        await there.until(lambda: _followed(link))
        run_id = await say(link, there, f"run: touch {made}")
        request = await there.request()
        assert request.command == f"touch {made}"
        assert (request.agent_id, request.run_id) == (world.worker.id, run_id)
        assert request.allowed_decisions == ["allow-once", "deny"]
        await there.run(lambda run: run.phase == "waiting")
        assert not made.exists()
        await there.answer(world.bob, request, decision="allow-once")
        request = await there.request(RequestState.ANSWERED)
        run = await ended(there, run_id)
    assert made.exists()
    assert (request.answered_by, request.error) == ("Bob", None)
    assert (run.status, run.agent_id) == (RunStatus.ENDED, world.worker.id)
    assert run.tail.startswith("Done:")
    [call] = run.tool_calls
    assert (call["name"], call["status"]) == ("exec", "completed")


async def test_a_command_that_is_denied_does_not_run_and_the_agent_goes_on(
    there: Attended, link: Link, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    async with there.held():
        run_id = await say(link, there, f"run: touch {made}")
        await there.answer(there.world.alice, await there.request(), decision="deny")
        await there.request(RequestState.ANSWERED)
        run = await ended(there, run_id)
    assert run.status is RunStatus.ENDED
    assert "denied" in run.tail
    assert not made.exists()


async def test_who_is_first_on_the_gateway_has_answered_and_a_run_that_is_stopped_asks_no_more(
    there: Attended, link: Link
) -> None:
    async with there.held():
        run_id = await say(link, there, "run: touch elsewhere")
        request = await there.request()
        params = {"id": request.request_id, "decision": "deny"}
        await link.call("exec.approval.resolve", params, repeatable=True)
        request = await there.request(RequestState.LOST)
        assert request.answer == {"decision": "deny"}
        assert request.answered_by == "Mission Control"  # as the test calls itself, too
        await ended(there, run_id)
        run_id = await say(link, there, "run: touch never")
        await there.request()
        session = f"agent:{key_of(there.world.worker)}:main"
        await link.call("chat.abort", {"sessionKey": session, "runId": run_id})
        await there.request(RequestState.CANCELLED)
        assert (await ended(there, run_id)).status is RunStatus.ABORTED


async def test_a_question_is_answered_and_the_agent_hears_it(there: Attended, link: Link) -> None:
    async with there.held():
        run_id = await say(link, there, "ask me")
        request = await there.request()
        assert [one["question"] for one in request.questions] == ["Which colour?"]
        await there.run(lambda run: run.phase == "waiting")
        await there.answer(there.world.bob, request, answers={"colour": ["Blue"]})
        await there.request(RequestState.ANSWERED)
        run = await ended(there, run_id)
    assert run.status is RunStatus.ENDED
    assert "Blue" in run.tail


async def test_what_waits_when_a_gateway_stops_is_answered_until_it_is_gone_and_then_by_nobody(
    there: Attended, gateway: Real, link: Link, tmp_path: Path
) -> None:
    """Told to stop it waits for answers; of what waits when it is killed nothing ever runs."""
    world, made = there.world, [tmp_path / name for name in "abc"]
    async with there.held():
        runs = [await say(link, there, f"run: touch {path}", session=path.name) for path in made]
        asked = await there.until(lambda: there.several(*[RequestState.WAITING] * 3))
        in_time, late, silent = (
            next(one for one in asked if one.command == f"touch {path}") for path in made
        )
        gateway.tell_to_stop()
        await there.until(lambda: is_closing(link))
        await there.answer(world.bob, in_time, decision="allow-once")
        await there.request(RequestState.ANSWERED)
        await there.until(lambda: asyncio.to_thread(made[0].exists))
        gateway.kill()
        await there.answer(world.bob, late, decision="allow-once")
        await asyncio.to_thread(gateway.start)
        await there.until(lambda: are_cancelled(there, late, silent))
        with pytest.raises(Conflict) as refused:
            await there.answer(world.bob, silent, decision="allow-once")
        await there.until(lambda: are_over(there, runs))
    late, silent = await there.shown(late), await there.shown(silent)
    assert (late.answered_by, late.delivered_at) == ("Bob", None)
    assert late.error == "It was asked no more before the answer arrived."
    assert (silent.answer, silent.answered_by, silent.answered_at) == (None, None, None)
    assert refused.value.code == "request_over"
    assert [path.exists() for path in made] == [True, False, False]


async def is_closing(link: Link) -> bool:
    try:
        await link.ask("health", {})
    except GatewayError as error:
        return error.trouble is Trouble.UNAVAILABLE
    return False


async def are_cancelled(there: Attended, *requests: GatewayRequest) -> bool:
    states = {(await there.shown(one)).state for one in requests}
    return states == {RequestState.CANCELLED}


async def are_over(there: Attended, run_ids: list[str]) -> bool:
    over = {run.run_id for run in await there.runs() if run.status != RunStatus.RUNNING}
    return over >= {*run_ids}


async def _followed(link: Link) -> bool:
    await link.call("health", {}, repeatable=True)
    return True
