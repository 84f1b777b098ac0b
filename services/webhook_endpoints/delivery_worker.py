"""Deliver webhooks: create deliveries of new events, and send what is due.

Several workers may run. Each endpoint has one task in a process, and each organization a part of
the requests, so that a slow receiver delays only its own deliveries.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from uuid import UUID

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from core.http.outbound import OutboundClient
from core.security.encryption import SecretCipher
from services.webhook_endpoints.deliveries import TOPIC, create_deliveries
from services.webhook_endpoints.delivery_store import (
    ClaimedDelivery,
    EndpointWork,
    claim_deliveries,
    list_work,
    record_result,
)
from services.webhook_endpoints.request_slots import RequestSlots

POLL_INTERVAL = 30.0  # seconds without a notification
MIN_DELAY = 0.2  # seconds between two looks, however many events are recorded
ERROR_DELAY = 5.0  # seconds after a pass, or the work for an endpoint, has failed
MAX_CLAIMED = 4  # deliveries of one endpoint at a time

log = logging.getLogger(__name__)


class WebhookDeliveryWorker:
    """Delivers the webhooks of all organizations until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        *,
        client: OutboundClient | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._base_url = settings.base_url
        self._cipher = SecretCipher(settings)
        self._client = client or OutboundClient.from_settings(settings)
        self._clock = clock
        self._transaction = transaction
        self._open_read = open_read
        self._listener = listener
        self._wake_up = asyncio.Event()
        self._slots = RequestSlots()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; a request that is interrupted is repeated after its claim."""
        subscriptions = ExitStack()
        topics: set[str] = set()
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                self._wake_up.clear()
                delay, needed = await self._look_for_work(topics)
                if needed != topics:
                    subscriptions.close()
                    topics = needed
                    for topic in topics:
                        subscriptions.enter_context(self._listener.subscribe(topic, self._wake_up))
                    continue  # what was recorded before the subscription
                await self._wait(stopping, delay)
        finally:
            subscriptions.close()
            for task in (stopping, *self._tasks.values()):
                task.cancel()
            await asyncio.gather(stopping, *self._tasks.values(), return_exceptions=True)

    async def _look_for_work(self, topics: set[str]) -> tuple[float, set[str]]:
        """Start what is due; return after how many seconds to look again, and the topics."""
        try:
            work = await self.start_work()
        except Exception as error:
            log.warning("Webhooks cannot be delivered now: %r", error)
            return ERROR_DELAY, topics
        due = [one.due_at for one in work if one.due_at and one.endpoint_id not in self._tasks]
        delay = (min(due) - self._clock()).total_seconds() if due else POLL_INTERVAL
        delay = min(max(delay, MIN_DELAY), POLL_INTERVAL)
        return delay, {TOPIC, *(str(one.organization_id) for one in work)}

    async def start_work(self) -> Sequence[EndpointWork]:
        """Look at all endpoints once, and start a task for each one with work."""
        async with self._open_read() as source:
            work = await list_work(source)
        at = self._clock()
        for one in work:
            is_due = one.has_events or (one.due_at is not None and one.due_at <= at)
            if (is_due or not one.has_access) and one.endpoint_id not in self._tasks:
                task = asyncio.create_task(self._process(one))
                self._tasks[one.endpoint_id] = task
        return work

    async def wait_idle(self) -> None:
        """Wait until the tasks that are running now have ended."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _process(self, work: EndpointWork) -> None:
        """Do what is to be done for an endpoint. An error does not affect the others."""
        has_more = True
        try:
            while has_more:
                await self._create_deliveries(work.endpoint_id)
                has_more = await self._send_due(work)
        except Exception as error:
            log.warning("The webhook %s: %r", work.endpoint_id, error, exc_info=True)
            await asyncio.sleep(ERROR_DELAY)
        finally:
            del self._tasks[work.endpoint_id]
            self._wake_up.set()

    async def _create_deliveries(self, endpoint_id: UUID) -> None:
        has_more = True
        while has_more:
            async with self._transaction() as session:
                has_more = await create_deliveries(session, endpoint_id, self._base_url)

    async def _send_due(self, work: EndpointWork) -> bool:
        """Send due deliveries, as many as there are slots; return whether there were any."""
        organization_id = work.organization_id
        claimed: Sequence[ClaimedDelivery] = ()
        count = await self._slots.take(organization_id, MAX_CLAIMED)
        try:
            claimed = await self._claim(work.endpoint_id, count)
        finally:
            self._slots.release(organization_id, count - len(claimed))
        await asyncio.gather(*(self._send(one, organization_id) for one in claimed))
        return bool(claimed)

    async def _claim(self, endpoint_id: UUID, limit: int) -> Sequence[ClaimedDelivery]:
        async with self._transaction() as session:
            return await claim_deliveries(session, self._cipher, endpoint_id, self._clock(), limit)

    async def _send(self, claimed: ClaimedDelivery, organization_id: UUID) -> None:
        """Send a claimed delivery in its slot, and record the result."""
        try:
            result = claimed.error or await self._client.send(
                claimed.request, allows_private=claimed.allows_private
            )
        finally:
            self._slots.release(organization_id)
        async with self._transaction() as session:
            await record_result(session, claimed, result, self._clock())

    async def _wait(self, stopping: asyncio.Task[bool], seconds: float) -> None:
        """Wait for a notification or the end, at least MIN_DELAY and at most so many seconds."""
        await asyncio.wait([stopping], timeout=MIN_DELAY)
        woken = asyncio.create_task(self._wake_up.wait())
        try:
            await asyncio.wait(
                [stopping, woken], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            woken.cancel()
