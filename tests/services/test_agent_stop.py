"""The stop of all agents with a real worker: runs are aborted, and nothing more is sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, MessageState
from services import messages, organizations
from services.gateways.runs import jobs
from services.organizations import AgentStop
from tests.support.delivery_gateway import DeliveryGateway, run_delivery_gateway, session_key_of
from tests.support.fake_gateway import ErrorResponse, NoAnswer
from tests.support.tiers import repetition
from tests.support.worker_harness import NOTIFIED_ONLY, running_worker
from tests.support.world import World

STOP_TIMEOUT = 5  # seconds, in which a stop takes effect
ACKNOWLEDGED, FAILED, QUEUED = MessageState.ACKNOWLEDGED, MessageState.FAILED, MessageState.QUEUED


@pytest.fixture
async def delivery(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[DeliveryGateway]:
    async with run_delivery_gateway(isolated_transaction, isolated_world) as delivery:
        delivery.fake.ends_turns_at_once = False
        delivery.fake.files |= {key: {} for key in delivery.fake.entries}
        yield delivery


async def stop(delivery: DeliveryGateway) -> AgentStop:
    member = delivery.world.alice_member
    async with delivery.transaction() as session:
        return await organizations.stop_agents(
            session, member, organizations.AgentStopCreate(reason="A test")
        )


async def resume(delivery: DeliveryGateway) -> None:
    async with delivery.transaction() as session:
        await organizations.resume_agents(session, delivery.world.alice_member)


def watch_calls(delivery: DeliveryGateway, method: str) -> asyncio.Event:
    """Return an event that is set when the gateway receives a call."""
    handler, received = delivery.fake.handlers[method], asyncio.Event()

    def handle(params: dict[str, object]) -> object:
        received.set()
        return handler(params)

    delivery.fake.handlers[method] = handle
    return received


async def test_a_stop_aborts_runs_and_holds_messages_within_five_seconds(
    delivery: DeliveryGateway, isolated_settings: Settings
) -> None:
    sent, aborted = watch_calls(delivery, "chat.send"), watch_calls(delivery, "chat.abort")
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await delivery.enqueue("BOARD CHAT\nFirst.")
        await asyncio.wait_for(sent.wait(), 15)
        await stop(delivery)
        await delivery.enqueue("BOARD CHAT\nSecond.", "BOARD CHAT\nThird.")
        await asyncio.wait_for(aborted.wait(), STOP_TIMEOUT)
        first, *_ = await delivery.wait_for_states(FAILED, QUEUED, QUEUED)
        assert first.last_error == "Its turn was stopped before it was complete."
        assert delivery.sent_run_ids == [str(first.id)]

        delivery.fake.ends_turns_at_once = True
        await resume(delivery)
        await delivery.wait_for_states(FAILED, ACKNOWLEDGED, ACKNOWLEDGED, seconds=30)
    assert delivery.fake.received_messages == [
        "BOARD CHAT\nFirst.",
        "BOARD CHAT\nSecond.",
        "BOARD CHAT\nThird.",
    ]


async def test_a_run_that_begins_during_a_stop_is_aborted(
    delivery: DeliveryGateway, isolated_settings: Settings
) -> None:
    """Such as a message that was claimed before the stop, or a heartbeat of the gateway."""
    aborted = watch_calls(delivery, "chat.abort")
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await stop(delivery)
        key = session_key_of(delivery.world.worker)
        delivery.fake.sessions_of["late"] = key
        delivery.fake.active[key] = "late"
        delivery.fake.active["agent:somebody-else:main"] = "not ours"
        await asyncio.wait_for(aborted.wait(), STOP_TIMEOUT)
    calls = [
        params["sessionKey"] for method, params in delivery.fake.calls if method == "chat.abort"
    ]
    assert set(calls) == {key}


@pytest.mark.parametrize("failure", [pytest.param("error", marks=repetition), "no answer"])
async def test_a_run_that_cannot_be_aborted_does_not_protect_others(
    delivery: DeliveryGateway,
    isolated_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    """Nor do those on the first pages of the gateway's list protect those on the last."""
    monkeypatch.setattr(jobs, "MAX_ABORTS", 2)
    monkeypatch.setattr(jobs, "ABORT_TIMEOUT", 0.05)
    worker = session_key_of(delivery.world.worker).removesuffix(":main")
    keys = [f"{worker}:{number}" for number in range(5)]
    abort, aborted, is_last = delivery.fake.handlers["chat.abort"], set(), asyncio.Event()

    def handle(params: dict[str, Any]) -> object:
        if params["sessionKey"] == keys[0]:
            raise ErrorResponse("UNAVAILABLE", "Not now.") if failure == "error" else NoAnswer
        aborted.add(params["sessionKey"])
        if len(aborted) == len(keys) - 1:
            is_last.set()
        return abort(params)

    delivery.fake.handlers["chat.abort"] = handle
    delivery.fake.max_page_size = 2
    delivery.fake.sessions_of |= {f"run {key}": key for key in keys}
    delivery.fake.active |= {key: f"run {key}" for key in keys}
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY):
        await stop(delivery)
        await asyncio.wait_for(is_last.wait(), STOP_TIMEOUT)
    assert aborted == set(keys[1:])


async def test_an_agent_is_not_woken_during_a_stop(
    delivery: DeliveryGateway, isolated_settings: Settings
) -> None:
    """Its files are written meanwhile; it is woken after the resume."""
    worker = delivery.world.worker
    await delivery.update_row(worker, wants_wake=True)

    async def read() -> tuple[int, int]:
        async with delivery.transaction() as session:
            agent = await session.get_one(Agent, worker.id)
            return agent.generation, agent.observed_generation

    async def kinds() -> list[str]:
        return [message.kind for message in await delivery.list_messages()]

    await stop(delivery)
    async with running_worker(isolated_settings, intervals=NOTIFIED_ONLY), asyncio.timeout(30):
        while len(set(await read())) > 1:
            await asyncio.sleep(0.02)
        assert await kinds() == []
        await resume(delivery)
        while await kinds() != [messages.templates.WAKE_UP_KIND]:
            await asyncio.sleep(0.02)
    async with delivery.transaction() as session:
        query = select(Agent.wants_wake).where(Agent.id == worker.id)
        assert await session.scalar(query) is True  # until it has checked in
