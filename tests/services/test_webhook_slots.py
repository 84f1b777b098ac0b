"""Slow receivers of one organization do not delay the webhooks of another one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.http.outbound import OutboundClient, OutboundOutcome, OutboundRequest, OutboundResult
from models import Member, WebhookDelivery, WebhookDeliveryState
from services.webhook_endpoints import delivery_worker
from services.webhook_endpoints.delivery_worker import MAX_OF_ORGANIZATION, DeliverySlots
from tests.support.webhook_receiver import create_worker
from tests.support.webhook_rows import make_delivery, make_endpoint
from tests.support.world import World


class SlowClient(OutboundClient):
    """Gets no response from hosts named `slow`; all others accept everything."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = asyncio.Semaphore(0), asyncio.Semaphore(0)  # requests so far
        self.slow_count = 0

    async def send(
        self, request: OutboundRequest, *, allows_private: bool = False
    ) -> OutboundResult:
        """Wait for ever, or return that the request was delivered."""
        if "slow" in (urlsplit(request.url).hostname or ""):
            self.slow_count += 1
            self.slow.release()
            await asyncio.Event().wait()
        self.fast.release()
        return OutboundResult(OutboundOutcome.DELIVERED, 204)


async def add_endpoint(
    transaction: TransactionFactory, owner: Member, host: str, count: int
) -> None:
    """Add an endpoint with deliveries that are due."""
    endpoint = make_endpoint(
        owner.organization, owner_user_id=owner.user_id, url=f"https://{host}/", last_seq=1_000
    )
    state, at = WebhookDeliveryState.PENDING, now()
    async with transaction() as session:
        session.add(endpoint)
        await session.flush()
        for _ in range(count):
            due = make_delivery(endpoint, state=state, attempts=0, next_attempt_at=at)
            session.add(due)


async def test_slow_receivers_do_not_delay_another_organization(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, client = isolated_transaction, SlowClient()
    for number in range(20):
        await add_endpoint(
            transaction, isolated_world.alice_member, f"slow{number}.example", count=4
        )
    await add_endpoint(transaction, isolated_world.charlie_member, "fast.example", count=6)
    worker, stop = create_worker(isolated_settings, transaction, client=client), asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(20):
        for _ in range(6):
            await client.fast.acquire()
        for _ in range(MAX_OF_ORGANIZATION):
            await client.slow.acquire()
    async with transaction() as session:
        claimed = await session.scalar(select(func.count()).where(WebhookDelivery.attempts > 0))
    stop.set()
    await running
    assert client.slow_count == MAX_OF_ORGANIZATION
    assert claimed == MAX_OF_ORGANIZATION + 6  # what waits for a slot is not claimed


class FailingClaims:
    """Transactions in which the first claims fail when they are committed."""

    def __init__(self, transaction: TransactionFactory, count: int) -> None:
        self._transaction, self._left = transaction, count
        self.failed = asyncio.Semaphore(0)  # claims so far

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncSession]:
        async with self._transaction() as session:
            yield session
            is_claim = any(isinstance(row, WebhookDelivery) for row in session.dirty)
            if self._left and is_claim:
                self._left -= 1
                self.failed.release()
                raise ConnectionResetError("The connection was lost during the commit.")


async def test_a_claim_that_is_not_committed_keeps_no_slot(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    owner, client = isolated_world.alice_member, SlowClient()
    failing_count = MAX_OF_ORGANIZATION // 4  # each takes four slots
    failing = FailingClaims(isolated_transaction, failing_count)
    worker = create_worker(isolated_settings, failing.begin, client=client)
    for number in range(failing_count):
        await add_endpoint(isolated_transaction, owner, f"fast{number}.example", count=4)
    await worker.start_work()
    async with asyncio.timeout(20):
        for _ in range(failing_count):
            await failing.failed.acquire()
        await add_endpoint(isolated_transaction, owner, "fast.example", count=1)
        await worker.start_work()
        await client.fast.acquire()
    stop = asyncio.Event()
    stop.set()
    await worker.run(stop)  # ends the tasks that wait after their error


class BrokenClient(OutboundClient):
    """Fails at the first request, and answers no other one before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.waits, self.answers = asyncio.Event(), asyncio.Event()

    async def send(
        self, request: OutboundRequest, *, allows_private: bool = False
    ) -> OutboundResult:
        """Raise an error, or wait."""
        self.count += 1
        if self.count == 1:
            raise ZeroDivisionError
        self.waits.set()
        await self.answers.wait()
        return OutboundResult(OutboundOutcome.DELIVERED, 204)


async def test_an_endpoint_is_busy_until_all_its_requests_have_ended(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if one of them fails with an error of the program."""
    monkeypatch.setattr(delivery_worker, "ERROR_DELAY", 0)
    client = BrokenClient()
    worker = create_worker(isolated_settings, isolated_transaction, client=client)
    await add_endpoint(isolated_transaction, isolated_world.alice_member, "fast.example", count=2)
    await worker.start_work()
    idle = asyncio.create_task(worker.wait_idle())
    async with asyncio.timeout(20):
        await client.waits.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not idle.done()
        client.answers.set()
        await idle
    async with isolated_transaction() as session:
        states = await session.scalars(
            select(WebhookDelivery.state).order_by(WebhookDelivery.number)
        )
        assert set(states) == {WebhookDeliveryState.PENDING, WebhookDeliveryState.DELIVERED}


@pytest.mark.parametrize(
    ("error", "has_traceback"), [(ZeroDivisionError(), True), (ConnectionRefusedError(), False)]
)
async def test_an_error_of_the_program_is_logged_with_its_place(
    settings: Settings, caplog: pytest.LogCaptureFixture, error: Exception, has_traceback: bool
) -> None:
    """An outage of the database is not."""
    stop = asyncio.Event()

    @asynccontextmanager
    async def fail() -> AsyncGenerator[AsyncSession]:
        stop.set()
        raise error
        yield

    await create_worker(settings, fail).run(stop)
    [record] = caplog.records
    assert record.message.startswith("Webhooks cannot be delivered now: ")
    assert bool(record.exc_info) is has_traceback


async def test_whoever_waits_takes_no_slot_of_another_organization() -> None:
    slow, fast = uuid4(), uuid4()
    slots = DeliverySlots(total=3, of_organization=2)
    assert await slots.take(slow, 4) == 2
    waiting = asyncio.create_task(slots.take(slow, 4))
    await asyncio.sleep(0)
    assert await slots.take(fast, 4) == 1
    assert not waiting.done()
    slots.release(fast)
    slots.release(slow, 2)
    assert await waiting == 2
