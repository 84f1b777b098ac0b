"""Several workers that deliver the messages of one gateway concurrently, with real commits."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, EventType, MessageState
from services import messages
from tests.support.delivery_gateway import DeliveryGateway, run_delivery_gateway, session_key_of
from tests.support.rounds import ROUNDS
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

MESSAGE_COUNT = 15 if IS_COMPLETE_RUN else 5
NOTIFIED = EventType.TASK_ASSIGNEE_NOTIFIED


@pytest.fixture
async def delivery(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[DeliveryGateway]:
    async with run_delivery_gateway(isolated_transaction, isolated_world) as delivery:
        yield delivery


@pytest.fixture
def agents(delivery: DeliveryGateway) -> list[Agent]:
    return [delivery.world.lead, delivery.world.worker, delivery.world.other_worker]


async def test_concurrent_workers_send_each_message_once_and_in_order(
    delivery: DeliveryGateway, agents: list[Agent]
) -> None:
    """A worker that has lost its lease may continue for a moment."""
    contents = [f"TASK ASSIGNED\n{number}" for number in range(MESSAGE_COUNT)]
    for content, agent in product(contents, agents):
        await delivery.enqueue(content, to=agent, on_delivered=NOTIFIED)
    async with delivery.run_worker(), delivery.run_worker(), delivery.run_worker():
        for agent in agents:
            await delivery.wait_for_states(
                *[MessageState.ACKNOWLEDGED] * MESSAGE_COUNT, agent=agent, seconds=40
            )
    assert delivery.fake.max_connections == 3
    assert [delivery.fake.messages_in(session_key_of(agent)) for agent in agents] == [contents] * 3
    assert Counter(delivery.sent_run_ids).most_common(1)[0][1] == 1
    for type in (NOTIFIED, EventType.MESSAGE_SENT, EventType.MESSAGE_ACKNOWLEDGED):
        assert await delivery.count_events(type) == 3 * MESSAGE_COUNT


async def test_a_message_enqueued_while_a_worker_finishes_is_sent(
    delivery: DeliveryGateway, isolated_settings: Settings
) -> None:
    contents = [f"BOARD CHAT\n{number}" for number in range(ROUNDS + 1)]
    left, writing = contents[1:], asyncio.Lock()

    @asynccontextmanager
    async def slowly() -> AsyncGenerator[AsyncSession]:
        """Open a transaction; then enqueue the next message if none is pending."""
        async with delivery.transaction() as session:
            yield session
        await asyncio.sleep(0.1)
        async with writing:
            is_time = left and {*await delivery.list_states()} == {MessageState.ACKNOWLEDGED}
            if is_time:
                await delivery.enqueue(left.pop(0))
        if is_time:
            await asyncio.sleep(0.5)

    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(isolated_settings.dsn))
    worker = asyncio.create_task(
        delivery.run_job(messages.create_delivery_job(slowly, slowly, listener, poll_interval=60))
    )
    try:
        await delivery.enqueue(contents[0])
        await delivery.wait_for_states(*[MessageState.ACKNOWLEDGED] * len(contents), seconds=40)
    finally:
        worker.cancel()
        listening.cancel()
        await asyncio.wait({worker, listening})
    assert delivery.fake.received_messages == contents


async def test_after_a_pause_nothing_is_sent_to_the_agents(
    delivery: DeliveryGateway, agents: list[Agent]
) -> None:
    for agent in agents:
        await delivery.enqueue(*[f"BOARD CHAT\n{number}" for number in range(50)], to=agent)
    async with delivery.run_worker():
        while len(delivery.sent_run_ids) < MESSAGE_COUNT:
            await asyncio.sleep(0.005)
        await delivery.update_row(delivery.world.board, paused_at=now())
        await asyncio.sleep(0.3)  # for attempts that have started
        sent = len(delivery.sent_run_ids)
        await asyncio.sleep(0.5)  # others are sent in a hundredth of it
    assert MESSAGE_COUNT <= len(delivery.sent_run_ids) == sent < 3 * 50
