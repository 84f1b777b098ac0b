"""Requests and runs of the agents of a real gateway: `./run test --gateway`."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import GatewayRequest, RequestState, Run, RunStatus
from openclaw import (
    DeviceIdentity,
    ErrorKind,
    GatewayClient,
    GatewayError,
    GatewayTarget,
    RetryPolicy,
)
from tests.support import fake_llm
from tests.support.fake_llm import FakeLlm, LlmAction, LlmTurn, UseTool
from tests.support.fake_requests_gateway import FakeRequestsGateway
from tests.support.real_gateway import RealGateway
from tests.support.requests_gateway import RequestsHarness, agent_key, put_agents_on_gateway
from tests.support.secret_key import CIPHER
from tests.support.stored_world import store_world
from tests.support.world import World

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

RETRY_POLICY = RetryPolicy(first_delay=0.05, max_delay=0.5)
TIMEOUT = 60  # seconds for one step of a real gateway
COLOUR: Any = {"id": "colour", "header": "Colour", "question": "Which colour?"}
COLOUR |= {"options": [{"label": "Blue"}, {"label": "Red"}]}


def follow_instruction(turn: LlmTurn) -> LlmAction:
    """Run the requested command or ask a question; then report the result."""
    if turn.results:
        return f"Done: {turn.results[-1]}"
    if command := re.search(r"run: (.*)", turn.message):
        return fake_llm.RunCommand(command[1])
    if "ask me" in turn.message:
        return UseTool("tool_call", {"id": "ask_user", "args": {"questions": [COLOUR]}})
    return "Nothing to do."


@pytest.fixture
def gateway(real_gateway: RealGateway, model: FakeLlm) -> RealGateway:
    model.behavior = follow_instruction
    return real_gateway


@pytest.fixture
async def client(gateway: RealGateway) -> AsyncIterator[GatewayClient]:
    """Another operator client of the gateway, which sends messages."""
    target = GatewayTarget(gateway.url, token=gateway.token, device=DeviceIdentity.generate())
    async with GatewayClient(target, retry_policy=RetryPolicy(total_timeout=120)) as client:
        yield client


@pytest.fixture
async def own_world(isolated_transaction: TransactionFactory) -> World:
    """Test data with ids of its own: agents stay on the gateway, which all tests share."""
    return await store_world(isolated_transaction)


@pytest.fixture
async def harness(
    gateway: RealGateway,
    client: GatewayClient,
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    own_world: World,
) -> AsyncIterator[RequestsHarness]:
    async with isolated_transaction() as session:
        row = await put_agents_on_gateway(session, own_world, gateway.url)
        row.encrypted_token = CIPHER.encrypt(gateway.token, f"gateways.token:{row.id}")
    key = agent_key(own_world.worker)
    await client.call_with_retry(
        "agents.create", {"name": key, "workspace": str(gateway.state_dir / key)}
    )
    async with asyncio.timeout(TIMEOUT):
        while key not in str(await client.call_with_retry("agents.list", {}, is_idempotent=True)):
            await asyncio.sleep(0.2)
    await require_exec_approval(client, key)
    harness = RequestsHarness(
        FakeRequestsGateway(),
        own_world,
        row,
        isolated_transaction,
        isolated_transaction,
        isolated_settings,
        timeout=TIMEOUT,
        retry_policy=RETRY_POLICY,
    )
    listen_task = asyncio.create_task(harness.listener.listen(isolated_settings.dsn))
    await asyncio.wait_for(harness.listener.connected.wait(), 10)
    yield harness
    listen_task.cancel()
    await asyncio.wait({listen_task})


async def require_exec_approval(client: GatewayClient, key: str) -> None:
    """Configure an agent so that each of its commands needs an approval."""
    mode = {"agents": {"entries": {key: {"tools": {"exec": {"mode": "ask"}}}}}}
    config = await client.call_with_retry("config.get", {}, is_idempotent=True)
    await client.call_with_retry(
        "config.patch", {"raw": json.dumps(mode), "baseHash": config["hash"]}
    )


async def send_message(
    client: GatewayClient, harness: RequestsHarness, text: str, *, session: str = "main"
) -> str:
    """Send a message to the worker and return the id of its run."""
    run_id = f"{text.replace(' ', '-')}-{agent_key(harness.world.worker)}"
    params = {"sessionKey": f"agent:{agent_key(harness.world.worker)}:{session}", "message": text}
    said = {**params, "deliver": False, "idempotencyKey": run_id}
    await client.call_with_retry("chat.send", said, is_idempotent=True)
    return run_id


async def wait_for_end(harness: RequestsHarness, run_id: str) -> Run:
    return await harness.wait_for_run(
        lambda run: run.run_id == run_id and run.status != RunStatus.RUNNING
    )


async def test_a_command_waits_for_its_approval_and_then_runs(
    harness: RequestsHarness, client: GatewayClient, tmp_path: Path
) -> None:
    world, made = harness.world, tmp_path / "made"
    async with harness.run_worker():
        await harness.wait_for(lambda: answers_health(client))
        run_id = await send_message(client, harness, f"run: touch {made}")
        request = await harness.wait_for_request()
        assert request.command == f"touch {made}"
        assert (request.agent_id, request.run_id) == (world.worker.id, run_id)
        assert request.allowed_decisions == ["allow-once", "deny"]
        await harness.wait_for_run(lambda run: run.phase == "waiting")
        assert not made.exists()
        await harness.answer_request(world.bob, request, decision="allow-once")
        request = await harness.wait_for_request(RequestState.ANSWERED)
        run = await wait_for_end(harness, run_id)
    assert made.exists()
    assert (request.answered_by, request.error) == ("Bob", None)
    assert (run.status, run.agent_id) == (RunStatus.ENDED, world.worker.id)
    assert run.tail.startswith("Done:")
    [call] = run.tool_calls
    assert (call["name"], call["status"]) == ("exec", "completed")


async def test_a_denied_command_does_not_run_and_the_agent_continues(
    harness: RequestsHarness, client: GatewayClient, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    async with harness.run_worker():
        run_id = await send_message(client, harness, f"run: touch {made}")
        await harness.answer_request(
            harness.world.alice, await harness.wait_for_request(), decision="deny"
        )
        await harness.wait_for_request(RequestState.ANSWERED)
        run = await wait_for_end(harness, run_id)
    assert run.status is RunStatus.ENDED
    assert "denied" in run.tail
    assert not made.exists()


async def test_the_first_resolution_counts_and_aborting_a_run_cancels_requests(
    harness: RequestsHarness, client: GatewayClient
) -> None:
    async with harness.run_worker():
        run_id = await send_message(client, harness, "run: touch elsewhere")
        request = await harness.wait_for_request()
        params = {"id": request.request_id, "decision": "deny"}
        await client.call_with_retry("exec.approval.resolve", params, is_idempotent=True)
        request = await harness.wait_for_request(RequestState.LOST)
        assert request.answer == {"decision": "deny"}
        assert request.answered_by == "Mission Control"  # the client name of this test as well
        await wait_for_end(harness, run_id)
        run_id = await send_message(client, harness, "run: touch never")
        await harness.wait_for_request()
        session = f"agent:{agent_key(harness.world.worker)}:main"
        await client.call_with_retry("chat.abort", {"sessionKey": session, "runId": run_id})
        await harness.wait_for_request(RequestState.CANCELLED)
        assert (await wait_for_end(harness, run_id)).status is RunStatus.ABORTED


async def test_an_answered_question_reaches_the_agent(
    harness: RequestsHarness, client: GatewayClient
) -> None:
    async with harness.run_worker():
        run_id = await send_message(client, harness, "ask me")
        request = await harness.wait_for_request()
        assert [one["question"] for one in request.questions] == ["Which colour?"]
        await harness.wait_for_run(lambda run: run.phase == "waiting")
        await harness.answer_request(harness.world.bob, request, answers={"colour": ["Blue"]})
        await harness.wait_for_request(RequestState.ANSWERED)
        run = await wait_for_end(harness, run_id)
    assert run.status is RunStatus.ENDED
    assert "Blue" in run.tail


async def test_requests_of_a_stopping_gateway_are_answered_until_it_exits(
    harness: RequestsHarness, gateway: RealGateway, client: GatewayClient, tmp_path: Path
) -> None:
    """A stopping gateway waits for answers; after a kill no waiting command ever runs."""
    world, made = harness.world, [tmp_path / name for name in "abc"]
    async with harness.run_worker():
        runs = [
            await send_message(client, harness, f"run: touch {path}", session=path.name)
            for path in made
        ]
        waiting = await harness.wait_for(lambda: harness.requests_in(*[RequestState.WAITING] * 3))
        in_time, late, silent = (
            next(one for one in waiting if one.command == f"touch {path}") for path in made
        )
        gateway.request_stop()
        await harness.wait_for(lambda: is_closing(client))
        await harness.answer_request(world.bob, in_time, decision="allow-once")
        await harness.wait_for_request(RequestState.ANSWERED)
        await harness.wait_for(lambda: asyncio.to_thread(made[0].exists))
        gateway.kill()
        await harness.answer_request(world.bob, late, decision="allow-once")
        await asyncio.to_thread(gateway.start)
        await harness.wait_for(lambda: are_cancelled(harness, late, silent))
        with pytest.raises(Conflict) as error_info:
            await harness.answer_request(world.bob, silent, decision="allow-once")
        await harness.wait_for(lambda: are_over(harness, runs))
    late, silent = await harness.reload(late), await harness.reload(silent)
    assert (late.answered_by, late.delivered_at) == ("Bob", None)
    assert late.error == "It was withdrawn before the answer arrived."
    assert (silent.answer, silent.answered_by, silent.answered_at) == (None, None, None)
    assert error_info.value.code == "request_closed"
    assert [path.exists() for path in made] == [True, False, False]


async def is_closing(client: GatewayClient) -> bool:
    try:
        await client.call_once("health", {})
    except GatewayError as error:
        return error.kind is ErrorKind.UNAVAILABLE
    return False


async def are_cancelled(harness: RequestsHarness, *requests: GatewayRequest) -> bool:
    states = {(await harness.reload(one)).state for one in requests}
    return states == {RequestState.CANCELLED}


async def are_over(harness: RequestsHarness, run_ids: list[str]) -> bool:
    over = {run.run_id for run in await harness.list_runs() if run.status != RunStatus.RUNNING}
    return over >= {*run_ids}


async def answers_health(client: GatewayClient) -> bool:
    await client.call_with_retry("health", {}, is_idempotent=True)
    return True
