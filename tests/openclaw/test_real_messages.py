"""Messages to the agents of a real gateway: `./run test --gateway`.

The fake gateway with turns must behave in the same way.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, DesiredState, Gateway, MessageState
from openclaw import DeviceIdentity, GatewayClient, GatewayEvent, GatewayTarget, RetryPolicy
from services.messages import gateway_turns
from services.messages.gateway_turns import ENDED, RUNNING, STARTED, UNKNOWN, TurnStatus
from tests.support.delivery_gateway import DeliveryGateway, session_key_of
from tests.support.fake_chat_gateway import FakeChatGateway
from tests.support.fake_llm import FailTurn, FakeLlm, LlmAction, LlmTurn
from tests.support.gateway_rows import make_gateway
from tests.support.real_gateway import RealGateway
from tests.support.secret_key import CIPHER
from tests.support.world import World

pytestmark = pytest.mark.skipif(
    not os.environ.get("MC_TEST_GATEWAY"), reason="needs a real gateway: --gateway"
)

RETRY_POLICY = RetryPolicy(total_timeout=120)
MAIN_SESSION = "agent:main:main"
TIMEOUT = 60.0  # seconds; a turn ends within this time even on a busy machine


class BlockableModel:
    """A model that responds at once, except to messages with SLOW, which wait for `unblocked`."""

    def __init__(self) -> None:
        self.unblocked = threading.Event()

    def __call__(self, turn: LlmTurn) -> LlmAction:
        if "SLOW" in turn.message:
            self.unblocked.wait(TIMEOUT)
        return FailTurn("no credit") if "BAD" in turn.message else f"I heard: {turn.message[:60]}"


@pytest.fixture
def blockable_model(model: FakeLlm) -> BlockableModel:
    model.behavior = blockable_model = BlockableModel()
    return blockable_model


@pytest.fixture
def gateway(real_gateway: RealGateway, blockable_model: BlockableModel) -> RealGateway:
    return real_gateway


@dataclass
class AgentSession:
    """A session of a real agent, and the reported results of its turns."""

    client: GatewayClient
    results: list[tuple[str, Any]] = field(default_factory=list)

    async def start_turn(self, content: str, run_id: str) -> gateway_turns.TurnResult:
        return await gateway_turns.start_turn(
            self.client, MAIN_SESSION, content, run_id, deliver=False
        )

    async def check_turn(self, run_id: str) -> gateway_turns.TurnResult | None:
        results = await gateway_turns.check_turns(self.client, MAIN_SESSION, [run_id])
        return results[run_id] if results else None

    async def record_results(self) -> None:
        subscription = self.client.subscribe("chat")
        while True:
            event: GatewayEvent = await subscription.next_event()
            if result := gateway_turns.parse_turn_event(event):
                self.results.append(result)

    async def wait_for_result(self, run_id: str) -> Any:
        """Wait until the end of a turn is reported, and return the first report."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                found = [result for id, result in self.results if id == run_id]
                if found:
                    return found[0]
                await asyncio.sleep(0.05)

    async def restart_gateway(self) -> None:
        """Restart the gateway and wait until it responds again."""
        await self.request_restart()
        await self.wait_restarted()

    async def request_restart(self) -> None:
        """Request a restart, which happens after the current turns of its agents."""
        await self.client.call_with_retry("gateway.restart.request", {"reason": "test"})

    async def wait_restarted(self) -> None:
        """Wait until the connection is lost and the gateway responds again.

        Call no other method of the client between the request and this.
        """
        async with asyncio.timeout(2 * TIMEOUT):
            while self.client.is_connected:
                await asyncio.sleep(0.05)
            while await self.check_turn("nothing") is None:
                await asyncio.sleep(0.5)
                await self.client.get_hello()


@pytest.fixture
async def agent_session(gateway: RealGateway) -> AsyncIterator[AgentSession]:
    target = GatewayTarget(gateway.url, token=gateway.token, device=DeviceIdentity.generate())
    async with GatewayClient(target, retry_policy=RETRY_POLICY) as client:
        await client.get_hello()
        agent_session = AgentSession(client)
        recording = asyncio.create_task(agent_session.record_results())
        yield agent_session
        recording.cancel()


async def test_a_successful_turn_is_reported_and_found_by_its_key(
    agent_session: AgentSession,
) -> None:
    assert await agent_session.start_turn("Hello", "well") == STARTED
    assert await agent_session.wait_for_result("well") == ENDED
    assert await agent_session.start_turn("Hello", "well") == ENDED
    assert await agent_session.check_turn("well") == ENDED
    assert await agent_session.check_turn("never said") == UNKNOWN


async def test_a_failed_turn_is_reported_with_its_reason(agent_session: AgentSession) -> None:
    assert await agent_session.start_turn("BAD", "bad") == STARTED
    result = await agent_session.wait_for_result("bad")
    assert result.status is TurnStatus.FAILED
    assert result.reason
    again = await agent_session.start_turn("BAD", "bad")
    assert again.status is TurnStatus.FAILED
    assert await agent_session.start_turn("Better", "bad.2") == STARTED
    assert await agent_session.wait_for_result("bad.2") == ENDED


async def test_a_message_during_a_turn_is_read_when_the_gateway_reports_it(
    agent_session: AgentSession, blockable_model: BlockableModel, model: FakeLlm
) -> None:
    blockable_model.unblocked.clear()
    assert await agent_session.start_turn("SLOW", "slow") == STARTED
    assert await agent_session.start_turn("And this", "beside") == STARTED
    assert await agent_session.start_turn("SLOW", "slow") == RUNNING
    assert await agent_session.check_turn("slow") == RUNNING
    blockable_model.unblocked.set()
    assert await agent_session.wait_for_result("slow") == ENDED
    await agent_session.wait_for_result("beside")
    async with asyncio.timeout(TIMEOUT):
        while await agent_session.check_turn("beside") != ENDED:
            await asyncio.sleep(0.1)
    assert [turn.message for turn in model.turns if "And this" in turn.message]


async def test_an_aborted_turn_has_failed(
    agent_session: AgentSession, blockable_model: BlockableModel, model: FakeLlm
) -> None:
    blockable_model.unblocked.clear()
    assert await agent_session.start_turn("SLOW again", "stopped") == STARTED
    await wait_for_model_turn(model, "SLOW again")
    await agent_session.client.call_with_retry(
        "chat.abort", {"sessionKey": MAIN_SESSION, "runId": "stopped"}
    )
    assert await agent_session.wait_for_result("stopped") == gateway_turns.TurnResult(
        TurnStatus.FAILED, gateway_turns.STOPPED_REASON
    )
    assert await agent_session.start_turn("SLOW again", "stopped") == gateway_turns.TurnResult(
        TurnStatus.FAILED, gateway_turns.STOPPED_REASON
    )
    blockable_model.unblocked.set()


async def test_a_missing_agent_is_a_permanent_rejection(agent_session: AgentSession) -> None:
    nobody = "agent:nobody:main"
    result = await gateway_turns.start_turn(
        agent_session.client, nobody, "Hello", "to nobody", deliver=False
    )
    assert result.status is TurnStatus.REJECTED
    assert result.reason.startswith("The gateway refused it: ")


async def test_a_message_is_not_repeated_after_a_restart(
    agent_session: AgentSession, model: FakeLlm
) -> None:
    assert await agent_session.start_turn("Only once, please", "once") == STARTED
    assert await agent_session.wait_for_result("once") == ENDED
    await agent_session.restart_gateway()
    assert await agent_session.check_turn("once") == ENDED
    agent_session.results.clear()
    assert await agent_session.start_turn("Only once, please", "once") == STARTED
    assert await agent_session.wait_for_result("once") is None
    assert await agent_session.check_turn("once") == ENDED
    assert len([turn for turn in model.turns if "Only once, please" in turn.message]) == 1


@pytest.fixture
async def agents(
    agent_session: AgentSession,
    gateway: RealGateway,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> list[Agent]:
    """Two agents on the gateway."""
    agents = [isolated_world.lead, isolated_world.worker]
    row = make_gateway(isolated_world.tern, url=gateway.url)
    row.encrypted_token = CIPHER.encrypt(gateway.token, f"gateways.token:{row.id}")
    async with isolated_transaction() as session:
        session.add(row)
        await session.flush()
        for agent in agents:
            agent.gateway_id, agent.openclaw_session_id = row.id, session_key_of(agent)
            agent.desired_state, agent.observed_generation = DesiredState.RUNNING, 1
            await session.merge(agent)
    for agent in agents:
        await agent_session.client.call_with_retry("agents.create", {"name": f"mc-{agent.id}"})
    await wait_until_listed(agent_session.client, [f"mc-{agent.id}" for agent in agents])
    return agents


async def test_messages_are_delivered_in_order_despite_a_restart(
    agent_session: AgentSession,
    agents: list[Agent],
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    model: FakeLlm,
) -> None:
    """Market need 18 and W-43: each message once and in order."""
    async with isolated_transaction() as session:
        row = await session.scalar(select(Gateway))
    assert row
    post = DeliveryGateway(
        FakeChatGateway(), isolated_world, row, isolated_transaction, retry_policy=RETRY_POLICY
    )
    contents = [f"BOARD CHAT\nNumber {number}." for number in range(6)]
    async with post.run_worker():
        for content, agent in product(contents, agents):
            await post.enqueue(content, to=agent)
            if content == contents[3] and agent is agents[0]:
                await wait_for_model_turn(model, contents[0])
                await agent_session.request_restart()
        for agent in agents:
            await post.wait_for_states(
                *[MessageState.ACKNOWLEDGED] * 6, agent=agent, seconds=4 * TIMEOUT
            )
    await agent_session.wait_restarted()  # it may be later than all messages
    for agent in agents:
        params = {"sessionKey": session_key_of(agent), "limit": 200}
        history = (
            await agent_session.client.call_with_retry("chat.history", params, is_idempotent=True)
        )["messages"]
        received = [one["content"] for one in history if one["role"] == "user"]
        assert [text for text in received if text.startswith("BOARD CHAT")] == contents


async def wait_for_model_turn(model: FakeLlm, text: str) -> None:
    """Wait until the model has a turn with this text."""
    async with asyncio.timeout(TIMEOUT):
        while not any(text in turn.message for turn in model.turns):
            await asyncio.sleep(0.05)


async def wait_until_listed(client: GatewayClient, keys: list[str]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while True:
            listed = await client.call_with_retry("agents.list", {}, is_idempotent=True)
            if {*keys} <= {agent["id"] for agent in listed["agents"]}:
                return
            await asyncio.sleep(0.5)
