"""Several workers, and workers that are killed: each webhook has one id, and none is lost."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import WebhookDeliveryState
from services.webhook_endpoints.rules import OUTBOX
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.webhook_receiver import WebhookReceiver, create_worker, receiver
from tests.support.worker_harness import until, worker_process

__all__ = ["receiver"]

EVENT_COUNT = 40 if IS_COMPLETE_RUN else 10


def list_ids(receiver: WebhookReceiver) -> list[str]:
    return [headers["webhook-id"] for headers, _ in receiver.list_received()]


async def test_concurrent_workers_deliver_each_event_once(
    receiver: WebhookReceiver, isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    endpoints = [await receiver.create_endpoint() for _ in range(2)]
    workers = [create_worker(isolated_settings, isolated_transaction) for _ in range(3)]

    async def work() -> None:
        for worker in workers * 10:
            await worker.start_work()
            await asyncio.sleep(0)
        for worker in workers:
            await worker.wait_idle()

    for _ in range(EVENT_COUNT // 2):
        await receiver.record_event()
    await work()
    for _ in range(EVENT_COUNT // 2):
        await receiver.record_event()
        await work()
    assert len(receiver.host.received) == EVENT_COUNT * len(endpoints)
    assert Counter(list_ids(receiver)).most_common(1)[0][1] == 1
    deliveries = await receiver.list_deliveries()
    assert {str(one.id) for one in deliveries} == set(list_ids(receiver))
    assert {(one.state, one.attempts) for one in deliveries} == {
        (WebhookDeliveryState.DELIVERED, 1)
    }


async def test_a_delivery_survives_kill_9_during_its_request(
    receiver: WebhookReceiver, isolated_settings: Settings, tmp_path: Path
) -> None:
    """The next worker repeats it after the claim, with the same id."""
    endpoint = await receiver.create_endpoint()
    receiver.host.is_blocked = True

    async def has_arrived() -> bool:
        return len(receiver.host.received) == 1

    with worker_process(isolated_settings, tmp_path):
        await receiver.record_event()
        await until(has_arrived, seconds=30)
    receiver.host.is_blocked = False
    receiver.host.unblocked.set()
    [delivery] = await receiver.list_deliveries()
    assert (delivery.state, delivery.attempts) == (WebhookDeliveryState.PENDING, 1)
    await receiver.record_event(title="Another")
    await receiver.deliver()
    assert len(receiver.host.received) == 2  # the claim is not over
    await receiver.deliver(OUTBOX.claim_duration + timedelta(seconds=5))
    ids = list_ids(receiver)
    assert ids[0] == ids[2] == str(delivery.id)
    assert len(set(ids)) == 2
    states = {(one.state, one.attempts) for one in await receiver.list_deliveries()}
    assert states == {(WebhookDeliveryState.DELIVERED, 1), (WebhookDeliveryState.DELIVERED, 2)}
    assert len(receiver.verify(endpoint)) == 3


async def test_a_worker_delivers_at_once_when_an_event_is_recorded(
    receiver: WebhookReceiver, isolated_settings: Settings, tmp_path: Path
) -> None:
    """Also to an endpoint that is created while the worker runs."""
    with worker_process(isolated_settings, tmp_path):
        for number in range(3):
            await receiver.create_endpoint()
            await receiver.record_event()
            expected = sum(range(1, number + 2))

            async def has_arrived(expected: int = expected) -> bool:
                return len(receiver.host.received) == expected

            # The first one also waits for the start of the worker; polling would take 15 seconds.
            await until(has_arrived, seconds=12 if number else 60)
    assert Counter(list_ids(receiver)).most_common(1)[0][1] == 1
