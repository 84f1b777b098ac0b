"""A worker at rest: each look for work is one statement, and opens no transaction."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import ReadPool, TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadConnection
from models import Agent, RunStatus
from openclaw import GatewayClient
from services import messages, skills
from services.gateways import GatewayJob, requests, runs
from services.gateways.provisioning import Reconciler
from tests.support.fake_gateway import create_target
from tests.support.fake_requests_gateway import run_fake_requests_gateway
from tests.support.gateway_rows import make_gateway, make_gateway_request, make_run
from tests.support.notification_harness import RecordingSender, render
from tests.support.provisioning_harness import BASE_URL, run_provisioning_harness
from tests.support.requests_gateway import put_agents_on_gateway
from tests.support.secret_key import CIPHER
from tests.support.worker_harness import approve, request_approvals, until
from tests.support.world import World
from worker.notification_sender import NotificationSender
from worker.periodic import DueTimeouts, PeriodicTasks, find_due_timeouts

OFFLINE_AFTER = timedelta(minutes=10)
LONG_AGO = timedelta(hours=3)


@dataclass
class RecordedAccess:
    """The database as a job uses it: what it reads, and how many transactions it opens."""

    pool: ReadPool
    transaction: TransactionFactory
    statements: list[str] = field(default_factory=list)
    transaction_count: int = 0

    @asynccontextmanager
    async def open_read(self) -> AsyncGenerator[ReadConnection]:
        async with self.pool.acquire() as connection:
            yield RecordedConnection(connection, self.statements)

    @asynccontextmanager
    async def open_transaction(self) -> AsyncGenerator[AsyncSession]:
        self.transaction_count += 1
        async with self.transaction() as session:
            yield session


@dataclass
class RecordedConnection:
    """A connection that records its statements."""

    connection: ReadConnection
    statements: list[str]

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        self.statements.append(query)
        return await self.connection.fetch(query, *args)


@pytest.fixture
async def access(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> AsyncIterator[RecordedAccess]:
    pool = ReadPool(isolated_settings.dsn, 1)
    yield RecordedAccess(pool, isolated_transaction)
    await pool.close()


@pytest.mark.parametrize(
    "name", ["finalize_approvals", "mark_timeouts", "clean_up_gateways", "send_webhook_payloads"]
)
async def test_a_periodic_task_without_due_work_is_one_statement(
    isolated_settings: Settings, isolated_world: World, access: RecordedAccess, name: str
) -> None:
    """Also if there are a decision that may be undone, and an agent that is rarely awake."""
    [decided, _] = await request_approvals(access.transaction, isolated_world, count=2)
    await approve(access.transaction, isolated_world, decided, undo_seconds=60)
    rarely = {"heartbeat_config": {"every": "24h"}, "status": "online"}
    async with access.transaction() as session:
        await session.execute(update(Agent).values(last_seen_at=now() - LONG_AGO, **rarely))
    tasks = PeriodicTasks(isolated_settings, access.open_transaction, access.open_read)
    next_at = await getattr(tasks, name)()
    assert (len(access.statements), access.transaction_count) == (1, 0)
    assert (next_at is not None) == (name == "finalize_approvals")


async def test_a_sender_without_due_notifications_is_one_statement(access: RecordedAccess) -> None:
    sender = NotificationSender(
        access.open_transaction, access.open_read, CIPHER, RecordingSender(), render
    )
    assert await sender.run_due() is None
    assert (len(access.statements), access.transaction_count) == (1, 0)


@pytest.mark.parametrize("name", ["agents", "runs", "requests"])
async def test_each_timeout_that_has_passed_is_found(
    isolated_world: World, access: RecordedAccess, name: str
) -> None:
    world, past = isolated_world, now() - LONG_AGO
    gateway = make_gateway(world.tern)
    async with access.transaction() as session:
        session.add(gateway)
        await session.flush()
        if name == "agents":
            silent = update(Agent).where(Agent.id == world.worker.id)
            await session.execute(silent.values(last_seen_at=past, status="online"))
        elif name == "runs":
            run = make_run(gateway, world.worker, status=RunStatus.RUNNING)
            run.updated_at = past
            session.add(run)
        else:
            session.add(make_gateway_request(gateway, expires_at=past))
    expected = {"agents": False, "runs": False, "requests": False} | {name: True}
    async with access.open_read() as source:
        assert await find_due_timeouts(source, OFFLINE_AFTER) == DueTimeouts(**expected)


async def test_an_agent_that_checks_in_is_due_at_its_call(
    isolated_transaction: TransactionFactory, isolated_world: World, access: RecordedAccess
) -> None:
    """And a pass without due steps is one statement, apart from the list of agents."""
    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        agent = await harness.create_agent()
        await harness.reconcile_until_idle()
        reconciler = Reconciler(
            access.open_transaction,
            access.open_read,
            PostgresListener(),
            CIPHER,
            BASE_URL,
            clock=lambda: harness.moment,
        )

        async def count_pass() -> tuple[int, int]:
            before = len(access.statements), access.transaction_count
            await reconciler.reconcile(harness.gateway.id, harness.client)
            return len(access.statements) - before[0], access.transaction_count - before[1]

        assert await count_pass() == (1, 1)  # it records which agents the gateway lists
        assert await count_pass() == (1, 0)
        await harness.check_in(agent)
        await count_pass()
        assert (await harness.get_agent(agent)).step is None
        assert await count_pass() == (1, 0)


JobFactory = Callable[..., GatewayJob]

JOBS: dict[str, tuple[JobFactory, int, int]] = {
    "delivery": (messages.create_delivery_job, 1, 1),
    "requests": (requests.RequestSyncJob, 2, 0),
    "runs": (runs.RunTrackingJob, 2, 0),
    "skills": (skills.SkillConfirmationJob, 1, 0),
}
"""The gateway jobs, their different statements, and their transactions after a connect."""


@pytest.mark.parametrize("name", JOBS)
async def test_a_gateway_job_without_work_opens_no_transaction(
    isolated_world: World, access: RecordedAccess, name: str
) -> None:
    """Except that the delivery checks all messages once, because it may have missed events."""
    create_job, statement_count, transaction_count = JOBS[name]
    listener = [] if name == "runs" else [PostgresListener()]
    job = create_job(access.open_transaction, access.open_read, *listener, poll_interval=0.05)
    async with run_fake_requests_gateway() as fake:
        async with access.transaction() as session:
            gateway = await put_agents_on_gateway(session, isolated_world, fake.url)
        async with GatewayClient(create_target(fake)) as client:
            await client.get_hello()
            work = asyncio.ensure_future(job(gateway, client))

            async def has_finished_two_passes() -> bool:
                counts = Counter(access.statements).values()
                return len(counts) == statement_count and min(counts) > 2

            await until(has_finished_two_passes)
            work.cancel()
            await asyncio.wait([work])
    assert len(set(access.statements)) == statement_count
    assert access.transaction_count == transaction_count
