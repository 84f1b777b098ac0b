"""A harness for provisioning: a fake gateway, a Reconciler, and a clock under control."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, Board, Event, EventType, Gateway, Message
from openclaw import GatewayClient, GatewayError, RetryPolicy
from services import agents, boards, desired_state
from services.agents import AgentCreate
from services.gateways import files as gateways_files
from services.gateways.provisioning import Reconciler, cleanup
from tests.support.fake_agents_gateway import FakeAgentsGateway, run_fake_agents_gateway
from tests.support.fake_gateway import create_target
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.secret_key import CIPHER
from tests.support.world import World

QUICK_POLICY = RetryPolicy(call_timeout=2.0, first_delay=0.01, max_delay=0.05, total_timeout=1.0)
BASE_URL = "https://control.example"
MAX_PASSES = 400  # after so many passes a test fails


@dataclass(repr=False)
class ProvisioningHarness:
    """A board on a fake gateway, and its Reconciler. The tests advance the clock."""

    transaction: TransactionFactory
    world: World
    gateway: Gateway
    fake: FakeAgentsGateway
    client: GatewayClient
    moment: datetime
    is_unreachable: bool = False  # then no connection is attempted
    unreachable_since: datetime | None = None

    def __post_init__(self) -> None:
        """Create the Reconciler."""
        self.reconciler = self.new_reconciler()

    def __repr__(self) -> str:
        """Be short in failure reports."""
        return "a provisioning harness"

    def new_reconciler(self) -> Reconciler:
        """Return a Reconciler like that of another process."""
        return Reconciler(
            self.transaction,
            self.transaction,
            PostgresListener(),
            CIPHER,
            BASE_URL,
            clock=lambda: self.moment,
        )

    def now(self) -> datetime:
        """Return the time of the harness, which is never before the real time."""
        self.moment = max(self.moment, now())
        return self.moment

    async def reconcile_once(self) -> datetime | None:
        """Reconcile once, unless the gateway is unreachable."""
        self.now()
        if not self.client.is_connected:
            self.unreachable_since = self.unreachable_since or self.moment
            if self.is_unreachable:
                return None
            try:
                await self.client.get_hello()
            except GatewayError:
                return None
            await self.reconciler.resume(self.gateway.id, self.moment - self.unreachable_since)
            self.unreachable_since = None
        return await self.reconciler.reconcile(self.gateway.id, self.client)

    async def reconcile_until_idle(self) -> None:
        """Reconcile until only the check-in of an agent is awaited."""
        for _ in range(MAX_PASSES):
            more_at = await self.reconcile_once()
            if more_at is None:
                return
            if more_at - self.moment > timedelta(minutes=2):
                return
            self.moment = max(self.moment, more_at)
        raise AssertionError("It never becomes idle.")

    async def check_in(self, *which: Agent) -> None:
        """Let these agents check in, or all of the gateway."""
        mine = update(Agent).where(Agent.gateway_id == self.gateway.id)
        if which:
            mine = mine.where(Agent.id.in_([one.id for one in which]))
        async with self.transaction() as session:
            await session.execute(mine.values(last_seen_at=self.moment, status="online"))

    async def create_agent(self, name: str = "Writer", **fields: Any) -> Agent:
        """Create an agent on the board."""
        async with self.transaction() as session:
            board = await boards.lock_board(session, self.world.alice, self.world.garden.id)
            draft = AgentCreate(name=name, **fields)
            made, token = await agents.create_agent(session, self.world.alice, board, draft)
        assert token is None
        return made

    async def create_online_agent(self, name: str = "Writer", **fields: Any) -> Agent:
        """Create an agent, provision it, and let it check in."""
        made = await self.create_agent(name, **fields)
        await self.reconcile_until_idle()
        await self.check_in(made)
        await self.reconcile_until_idle()
        return await self.get_agent(made)

    async def get_agent(self, agent: Agent) -> Agent:
        """Return an agent as it is stored."""
        found = await self.find_agent(agent)
        assert found is not None
        return found

    async def find_agent(self, agent: Agent) -> Agent | None:
        """Return an agent, if it is not deleted."""
        async with self.transaction() as session:
            return await session.scalar(select(Agent).where(Agent.id == agent.id))

    async def list_events(self, *types: EventType) -> list[Event]:
        """Return the events of these types."""
        async with self.transaction() as session:
            query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
            return list(await session.scalars(query))

    async def list_messages(self, agent: Agent) -> list[Message]:
        """Return the messages to an agent."""
        async with self.transaction() as session:
            query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
            return list(await session.scalars(query))

    async def get_board(self, id: UUID | None = None) -> Board:
        """Return a board as it is stored."""
        async with self.transaction() as session:
            return await boards.get_board(session, self.world.alice, id or self.world.garden.id)

    async def update_board(self, **changes: object) -> None:
        """Update the board."""
        async with self.transaction() as session:
            board = await boards.lock_board(session, self.world.alice, self.world.garden.id)
            fields = boards.BoardUpdate.of(**changes)
            await boards.update_board(session, self.world.alice, board, fields)

    async def add_own_heartbeat(self, agent: Agent, heartbeat: object) -> None:
        """Give an agent the heartbeat in its entry that earlier versions have written."""
        self.fake.entries[agent.gateway_key or ""]["heartbeat"] = heartbeat
        state = replace(agent.provisioning_state, is_without_heartbeat=False)
        async with self.transaction() as session:
            outdated = update(Agent).where(Agent.id == agent.id)
            await session.execute(outdated.values(provisioning_state=state))

    def files_of(self, agent: Agent) -> dict[str, str]:
        """Return the files of an agent on the gateway."""
        return self.fake.files[agent.gateway_key or ""]

    def token_of(self, agent: Agent) -> str:
        """Return the token in an agent's files."""
        return gateways_files.find_token(self.files_of(agent)["AGENTS.md"])


@asynccontextmanager
async def run_provisioning_harness(
    transaction: TransactionFactory, world: World, **how: Any
) -> AsyncGenerator[ProvisioningHarness]:
    """Run a fake gateway, and move the board Garden to it. Its present agents stay."""
    async with (
        run_fake_agents_gateway(**how) as fake_gateway,
        GatewayClient(create_target(fake_gateway), retry_policy=QUICK_POLICY) as client,
    ):
        async with transaction() as session:
            gateway = make_gateway(world.tern, url=fake_gateway.url)
            session.add(gateway)
            await session.flush()
            session.add_all(make_main_agent(gateway))
            on = update(Board).where(Board.id == world.garden.id)
            await session.execute(on.values(gateway_id=gateway.id))
        await client.get_hello()
        harness = ProvisioningHarness(transaction, world, gateway, fake_gateway, client, now())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desired_state, "now", harness.now)
            patch.setattr(cleanup, "now", harness.now)
            yield harness


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(transaction, world) as harness:
        yield harness
