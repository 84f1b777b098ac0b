"""Several workers, and workers that are killed: each webhook has one id, and none is lost."""

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import WebhookDeliveryState
from services.webhook_endpoints.rules import OUTBOX
from tests.support.secret_key import SECRET_KEY
from tests.support.webhook_receiver import WebhookReceiver, create_worker, receiver
from tests.support.worker_harness import until

__all__ = ["receiver"]

ROOT = Path(__file__).parent.parent.parent
EVENT_COUNT = 40
PROGRAM = """
import asyncio, sys, worker.main
from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
settings = Settings(
    database_url=sys.argv[1], secret_key=sys.argv[2], outbound_allow_private=LOOPBACK_NETWORKS
)
asyncio.run(worker.main.run(settings, asyncio.Event()))
"""


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


async def start_worker(settings: Settings) -> asyncio.subprocess.Process:
    arguments = [settings.database_url, SECRET_KEY]
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments, cwd=ROOT)


async def test_a_delivery_survives_kill_9_during_its_request(
    receiver: WebhookReceiver, isolated_settings: Settings
) -> None:
    """The next worker repeats it after the claim, with the same id."""
    endpoint = await receiver.create_endpoint()
    receiver.host.is_blocked = True
    process = await start_worker(isolated_settings)
    await receiver.record_event()

    async def has_arrived() -> bool:
        return len(receiver.host.received) == 1

    try:
        await until(has_arrived, seconds=30)
    finally:
        process.kill()
        await process.wait()
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
    receiver: WebhookReceiver, isolated_settings: Settings
) -> None:
    """Also to an endpoint that is created while the worker runs."""
    process = await start_worker(isolated_settings)
    try:
        for number in range(3):
            await receiver.create_endpoint()
            await receiver.record_event()
            expected = sum(range(1, number + 2))

            async def has_arrived(expected: int = expected) -> bool:
                return len(receiver.host.received) == expected

            # The first one also waits for the start of the worker; polling would take 15 seconds.
            await until(has_arrived, seconds=12 if number else 60)
    finally:
        process.kill()
        await process.wait()
    assert Counter(list_ids(receiver)).most_common(1)[0][1] == 1
