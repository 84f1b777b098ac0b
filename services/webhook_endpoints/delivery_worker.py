"""Deliver webhooks: create deliveries of new events, and send what is due.

Several workers may run. Each endpoint has one task in a process, and each organization a part of
the requests, so that a slow receiver delays only its own deliveries.

Deliveries are claimed and results recorded in short transactions; requests are sent between them.
A claim makes a delivery due again later, so a worker that is killed leaves it to the next one, with
the same id.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory, is_temporary_error
from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory
from core.errors import Conflict
from core.http.outbound import OutboundClient, OutboundOutcome, OutboundRequest, OutboundResult
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import build_signed_headers
from models import (
    EndpointState,
    Event,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
)
from services import audit
from services.outbox import is_outdated
from services.webhook_endpoints.commands import (
    OWNER_HAS_ACCESS,
    TOPIC,
    decrypt_secrets,
    disable_endpoint,
)
from services.webhook_endpoints.deliveries import create_deliveries
from services.webhook_endpoints.rules import OUTBOX, apply_result, update_health

POLL_INTERVAL = 30.0  # seconds without a notification
MIN_DELAY = 0.2  # seconds between two looks, however many events are recorded
ERROR_DELAY = 5.0  # seconds after a pass, or the work for an endpoint, has failed
MAX_REQUESTS = 64  # at a time in one process
MAX_OF_ORGANIZATION = 8

log = logging.getLogger(__name__)


class EndpointWork(NamedTuple):
    """What is to be done for an enabled endpoint."""

    endpoint_id: UUID
    organization_id: UUID
    has_events: bool  # that were not looked at
    due_at: datetime | None  # of the next attempt
    has_access: bool  # the owner; if not, the endpoint is to be disabled


_WORK: Query[EndpointWork] = Query(
    select(
        WebhookEndpoint.id,
        WebhookEndpoint.organization_id,
        select(Event.id)
        .where(
            Event.organization_id == WebhookEndpoint.organization_id,
            Event.seq > WebhookEndpoint.last_seq,
        )
        .exists(),
        select(func.min(WebhookDelivery.next_attempt_at))
        .where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            WebhookDelivery.next_attempt_at.is_not(None),
        )
        .correlate(WebhookEndpoint)
        .scalar_subquery(),
        OWNER_HAS_ACCESS,
    ).where(WebhookEndpoint.state == EndpointState.ENABLED),
    EndpointWork._make,
)


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that one worker attempts. `error` is the result if it cannot be sent."""

    id: UUID
    endpoint_id: UUID
    attempts: int
    request: OutboundRequest = field(repr=False)
    allows_private: bool = False
    error: OutboundResult | None = None


class DeliverySlots:
    """Slots for the deliveries that one process sends at a time.

    A slot is taken before a delivery is claimed, so that a claim cannot end while its request
    waits. An organization has a part of the slots: receivers that do not answer delay only their
    organization.
    """

    def __init__(
        self, total: int = MAX_REQUESTS, of_organization: int = MAX_OF_ORGANIZATION
    ) -> None:
        self._all = asyncio.Semaphore(total)
        self._of_organization: defaultdict[UUID, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(of_organization)
        )

    async def take(self, organization_id: UUID, max_count: int) -> int:
        """Wait for a slot of an organization, and take further ones that are free.

        Returns how many were taken. Whoever waits takes none of another organization meanwhile.
        """
        own, count = self._of_organization[organization_id], 0
        while not count or (count < max_count and not own.locked() and not self._all.locked()):
            await own.acquire()
            await self._all.acquire()
            count += 1
        return count

    def release(self, organization_id: UUID, count: int = 1) -> None:
        """Give slots back."""
        for _ in range(count):
            self._all.release()
            self._of_organization[organization_id].release()


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
        self._slots = DeliverySlots()
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
            is_fault = not is_temporary_error(error)
            log.warning("Webhooks cannot be delivered now: %r", error, exc_info=is_fault)
            return ERROR_DELAY, topics
        due = [one.due_at for one in work if one.due_at and one.endpoint_id not in self._tasks]
        delay = (min(due) - self._clock()).total_seconds() if due else POLL_INTERVAL
        delay = min(max(delay, MIN_DELAY), POLL_INTERVAL)
        return delay, {TOPIC, *(str(one.organization_id) for one in work)}

    async def start_work(self) -> Sequence[EndpointWork]:
        """Look at all endpoints once, and start a task for each one with work."""
        async with self._open_read() as source:
            work = await _WORK.fetch(source)
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
                has_events = True
                while has_events:
                    async with self._transaction() as session:
                        has_events = await create_deliveries(
                            session, work.endpoint_id, self._base_url
                        )
                has_more = await self._send_due(work)
        except Exception as error:
            log.warning(
                "The deliveries of webhook %s could not be sent: %r",
                work.endpoint_id,
                error,
                exc_info=True,
            )
            await asyncio.sleep(ERROR_DELAY)
        finally:
            del self._tasks[work.endpoint_id]
            self._wake_up.set()

    async def _send_due(self, work: EndpointWork) -> bool:
        """Send due deliveries, as many as there are slots; return whether there were any."""
        organization_id = work.organization_id
        claimed: Sequence[ClaimedDelivery] = ()
        # At most 4 of one endpoint at a time: a slow one leaves slots to the others.
        count = await self._slots.take(organization_id, 4)
        try:
            async with self._transaction() as session:
                found = await claim_deliveries(
                    session, self._cipher, work.endpoint_id, self._clock(), count
                )
            claimed = found  # a failed commit claims nothing
        finally:
            self._slots.release(organization_id, count - len(claimed))
        sent = (self._send(one, organization_id) for one in claimed)
        # All of them end here: while one is sent, no second task of the endpoint starts.
        results = await asyncio.gather(*sent, return_exceptions=True)
        for error in results:
            if error is not None:
                raise error
        return bool(claimed)

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


async def claim_deliveries(
    session: AsyncSession, cipher: SecretCipher, endpoint_id: UUID, at: datetime, limit: int
) -> Sequence[ClaimedDelivery]:
    """Claim the due deliveries of an enabled endpoint, oldest first, and count the attempts.

    Nothing is claimed if the owner of the endpoint may not read its boards any more.
    """
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.id == endpoint_id,
        WebhookEndpoint.state == EndpointState.ENABLED,
        OWNER_HAS_ACCESS,
    )
    endpoint = await session.scalar(query)
    if endpoint is None:
        return []
    is_due = WebhookDelivery.next_attempt_at <= at
    oldest = (
        select(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, is_due)
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.number)
    )
    locked = oldest.limit(limit).with_for_update(skip_locked=True)
    due = (await session.scalars(locked)).all()
    if not due:
        return []
    first_id = await audit.find_first_organization_id(session)
    # The first organization may use the allowed private addresses.
    is_first = first_id == endpoint.organization_id
    deliveries = []
    for delivery in due:
        OUTBOX.claim(delivery, at)
        error, headers = None, {}
        try:
            secrets = decrypt_secrets(cipher, endpoint, at)
            headers = build_signed_headers(str(delivery.id), at, delivery.payload, secrets)
        except Conflict as conflict:
            error = OutboundResult(OutboundOutcome.NOT_SENT, detail=conflict.code)
        request = OutboundRequest(endpoint.url, delivery.payload.encode(), headers)
        deliveries.append(
            ClaimedDelivery(delivery.id, endpoint_id, delivery.attempts, request, is_first, error)
        )
    return deliveries


async def record_result(
    session: AsyncSession, claimed: ClaimedDelivery, result: OutboundResult, at: datetime
) -> None:
    """Record the result of an attempt, and disable the endpoint if it fails for too long.

    If another worker has made a later attempt, only a success is recorded.
    """
    of_endpoint = select(WebhookEndpoint).where(WebhookEndpoint.id == claimed.endpoint_id)
    endpoint = await session.scalar(of_endpoint.with_for_update())
    locked = await OUTBOX.lock(session, [claimed.id])
    if endpoint is None or not locked or locked[0].state is WebhookDeliveryState.DELIVERED:
        return
    if is_outdated(locked[0], claimed.attempts, is_success=result.is_delivered):
        return
    apply_result(locked[0], result, at)
    if update_health(endpoint, result, at):
        await disable_endpoint(session, endpoint, at)
