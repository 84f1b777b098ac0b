"""A fake gateway with the agents of the board Launch, and a worker with its jobs."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.config.settings import Settings
from core.db.engine import ReadPool, TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from models import (
    Agent,
    Event,
    EventType,
    Gateway,
    GatewayRequest,
    RequestState,
    Run,
    RunStatus,
    User,
)
from openclaw import AddressPolicy, RetryPolicy
from services.gateways import GatewayConnector, runs
from services.gateways import requests as gateways_requests
from services.gateways.requests import GatewayAnswer, RequestDetail
from tests.support.fake_gateway import TOKEN
from tests.support.fake_requests_gateway import (
    FakeRequestsGateway,
    run_fake_requests_gateway,
    timestamp_ms,
)
from tests.support.gateway_rows import make_gateway
from tests.support.secret_key import CIPHER
from tests.support.world import World

QUICK_POLICY = RetryPolicy(call_timeout=2.0, first_delay=0.01, max_delay=0.05, operator_delay=0.05)
COLOUR = {
    "questionId": "colour",
    "header": "Colour",
    "question": "Which colour?",
    "options": [{"label": "Blue"}, {"label": "Red", "description": "hot"}],
}
"""A question that an agent asks."""


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class RequestsHarness:
    """The gateway, its worker, and queries of what was stored."""

    fake: FakeRequestsGateway
    world: World
    gateway: Gateway
    transaction: TransactionFactory
    open_read: ReadFactory
    settings: Settings
    listener: PostgresListener = field(default_factory=PostgresListener)
    timeout: float = 30  # seconds
    retry_policy: RetryPolicy = QUICK_POLICY

    @asynccontextmanager
    async def run_worker(
        self, *, poll_interval: float = 30.0, max_stored: int = 1_000
    ) -> AsyncGenerator[None]:
        """Run the gateway jobs of a worker."""
        jobs = [
            gateways_requests.RequestSyncJob(
                self.transaction,
                self.open_read,
                self.listener,
                poll_interval=poll_interval,
                max_stored=max_stored,
            ),
            runs.RunTrackingJob(
                self.transaction, self.open_read, poll_interval=poll_interval, write_interval=0.05
            ),
        ]

        async def ignore_diagnosis(_diagnosis: object) -> None:
            """Ignore it."""

        connector = GatewayConnector(CIPHER, AddressPolicy())
        connection = connector.stay_connected(
            self.gateway, ignore_diagnosis, jobs=jobs, retry_policy=self.retry_policy
        )
        task = asyncio.create_task(connection)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def list_requests(self) -> list[GatewayRequest]:
        async with self.transaction() as session:
            query = select(GatewayRequest).order_by(GatewayRequest.created_at)
            return list(await session.scalars(query))

    async def wait_for_request(self, state: RequestState = RequestState.WAITING) -> GatewayRequest:
        """Wait until there is a request in this state, and return it."""
        found = await self.wait_for(lambda: self._in_state(state))
        return found[-1]

    async def reload(self, request: GatewayRequest) -> GatewayRequest:
        """Return a request as it is stored now."""
        [found] = [one for one in await self.list_requests() if one.id == request.id]
        return found

    async def requests_in(self, *states: RequestState) -> list[GatewayRequest]:
        """Return all requests if they are in these states, otherwise none."""
        found = await self.list_requests()
        return found if [one.state for one in found] == [*states] else []

    async def create_request(
        self, id: str = "a-1", *, agent: str | None = None, command: str = "ls", **more: Any
    ) -> GatewayRequest:
        """Create a request on the gateway, store it with a worker, and stop the worker."""
        agent = agent or agent_key(self.world.worker)
        await self.fake.request_approval(id, command, agent, silently=True, **more)
        async with self.run_worker():
            found = await self.wait_for(lambda: self._with_id(id))
        return found[0]

    async def answer_request(
        self, user: User, request: GatewayRequest, **answer: Any
    ) -> RequestDetail:
        """Answer a request as a user who has seen it."""
        answer.setdefault("sha256", request.sha256)
        async with self.transaction() as session:
            return await gateways_requests.answer_request(
                session, user, request.id, GatewayAnswer(**answer)
            )

    async def has_listed_questions(self) -> bool:
        """Whether a client has listed the questions."""
        return any(method == "question.list" for method, _ in self.fake.calls)

    async def list_runs(self) -> list[Run]:
        async with self.transaction() as session:
            return list(await session.scalars(select(Run).order_by(Run.started_at)))

    async def wait_for_run(self, is_so: Callable[[Run], object]) -> Run:
        """Wait until the last run fulfils a condition, and return it."""

        async def last() -> list[Run]:
            return [run for run in (await self.list_runs())[-1:] if is_so(run)]

        [run] = await self.wait_for(last)
        return run

    async def wait_for(self, found: Callable[[], Any]) -> Any:
        """Wait until the function returns something, and return it."""
        result = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self.timeout):
                while not (result := await found()):
                    await asyncio.sleep(0.02)
        assert result, [(one.state, one.error) for one in await self.list_requests()]
        return result

    async def list_events(self, type: EventType) -> list[Event]:
        async with self.transaction() as session:
            query = select(Event).where(Event.type == type).order_by(Event.seq)
            return list(await session.scalars(query))

    async def update_row(self, what: Any, **values: Any) -> None:
        """Update a row directly."""
        async with self.transaction() as session:
            await session.execute(update(type(what)).filter_by(id=what.id).values(**values))

    async def _with_id(self, id: str) -> list[GatewayRequest]:
        return [one for one in await self.list_requests() if one.request_id == id]

    async def _in_state(self, state: RequestState) -> list[GatewayRequest]:
        return [one for one in await self.list_requests() if one.state is state]


def agent_key(agent: Agent) -> str:
    return f"mc-{agent.id}"


async def begin_run(harness: RequestsHarness, run_id: str = "run-1") -> str:
    """Start a run of the worker agent once somebody listens; return the agent's id there."""
    worker = agent_key(harness.world.worker)

    async def listened() -> bool:
        return any(method == "sessions.list" for method, _ in harness.fake.calls)

    await harness.wait_for(listened)
    await harness.fake.send_run_step(
        run_id, worker, "lifecycle", phase="start", startedAt=timestamp_ms()
    )
    return worker


async def runs_in(harness: RequestsHarness, *statuses: RunStatus) -> list[Run]:
    """Return all runs, oldest first, if they have these statuses; otherwise none."""
    found = await harness.list_runs()
    return found if [one.status for one in found] == [*statuses] else []


async def put_agents_on_gateway(session: AsyncSession, world: World, url: str) -> Gateway:
    """Create a gateway with this address, and move the agents of Launch to it."""
    gateway = make_gateway(world.tern, url=url)
    gateway.encrypted_token = CIPHER.encrypt(TOKEN, f"gateways.token:{gateway.id}")
    session.add(gateway)
    await session.flush()
    for agent in (world.lead, world.worker, world.other_worker):
        values = {"gateway_id": gateway.id, "openclaw_session_id": f"agent:{agent_key(agent)}:main"}
        await session.execute(update(Agent).where(Agent.id == agent.id).values(**values))
    return gateway


@asynccontextmanager
async def run_requests_harness(
    settings: Settings, transaction: TransactionFactory, world: World
) -> AsyncGenerator[RequestsHarness]:
    """Run a fake gateway with the agents of Launch, and a listener for notifications."""
    async with run_fake_requests_gateway() as fake:
        async with transaction() as session:
            gateway = await put_agents_on_gateway(session, world, fake.url)
        read_pool = ReadPool(settings.dsn, 2)
        harness = RequestsHarness(fake, world, gateway, transaction, read_pool.acquire, settings)
        listener_task = asyncio.create_task(harness.listener.listen(settings.dsn))
        await asyncio.wait_for(harness.listener.connected.wait(), 10)
        yield harness
        listener_task.cancel()
        with suppress(asyncio.CancelledError):
            await listener_task
        await read_pool.close()
