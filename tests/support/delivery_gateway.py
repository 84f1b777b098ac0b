"""A fake gateway with the agents of the board Launch, and checks for the delivery of messages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, DesiredState, Event, EventType, Gateway, Message, MessageState
from openclaw import AddressPolicy, RetryPolicy
from services import messages
from services.gateways import GatewayConnector, GatewayJob
from services.messages import gateway_delivery, rules
from tests.support.fake_chat_gateway import FakeChatGateway, run_fake_chat_gateway
from tests.support.fake_gateway import TOKEN
from tests.support.gateway_rows import make_gateway
from tests.support.secret_key import CIPHER
from tests.support.world import World

QUICK = RetryPolicy(call_timeout=2.0, first_delay=0.01, max_delay=0.05, operator_delay=0.05)
SPEED = 10
"""By so much the worker delivers faster than in production: a retry begins after 0.1 s, not 1."""


@dataclass
class OffsetClock:
    """A clock that a test can set forward."""

    offset: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """Return the time."""
        return now() + self.offset


@dataclass
class DeliveryGateway:
    """A fake gateway with the agents of the board Launch, and their messages."""

    fake: FakeChatGateway
    world: World
    gateway: Gateway
    transaction: TransactionFactory
    clock: OffsetClock = field(default_factory=OffsetClock)
    retry_policy: RetryPolicy = QUICK

    @asynccontextmanager
    async def run_worker(
        self, listener: PostgresListener | None = None, *, poll_interval: float = 0.05
    ) -> AsyncGenerator[None]:
        """Deliver messages to the gateway in this context."""
        listener = listener or PostgresListener()
        job = messages.create_delivery_job(
            self.transaction,
            self.transaction,
            listener,
            poll_interval=poll_interval,
            clock=self.clock,
        )
        worker = asyncio.create_task(self.run_job(job))
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker

    async def run_job(self, job: GatewayJob) -> None:
        """Stay connected to the gateway and run a job until cancelled."""

        async def ignore(_diagnosis: object) -> None:
            """Ignore the result of the connection checks."""

        await GatewayConnector(CIPHER, AddressPolicy()).stay_connected(
            self.gateway, ignore, jobs=[job], retry_policy=self.retry_policy
        )

    async def enqueue(self, *contents: str, to: Agent | None = None, **more: Any) -> None:
        """Enqueue messages to an agent, by default to the worker."""
        agent = to or self.world.worker
        outgoing = [
            messages.OutgoingMessage(to=agent, content=content, **more) for content in contents
        ]
        async with self.transaction() as session:
            await messages.enqueue_messages(session, outgoing)

    async def list_messages(self, agent: Agent | None = None) -> list[Message]:
        query = select(Message).where(Message.agent_id == (agent or self.world.worker).id)
        async with self.transaction() as session:
            return list(await session.scalars(query.order_by(Message.seq)))

    async def list_states(self, agent: Agent | None = None) -> list[str]:
        return [message.state for message in await self.list_messages(agent)]

    async def wait_for_states(
        self, *states: MessageState, agent: Agent | None = None, seconds: float = 10
    ) -> list[Message]:
        """Wait until the messages of an agent have these states, and return them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.list_states(agent) != [*states]:
                    await asyncio.sleep(0.02)
        found = await self.list_messages(agent)
        details = [(one.state, one.attempts, one.turn_number, one.last_error) for one in found]
        assert [one.state for one in found] == [*states], details
        return found

    async def wait_for_error(self, text: str) -> None:
        """Wait until the last attempt to send the first message has failed with an error."""
        async with asyncio.timeout(10):
            while (await self.list_messages())[0].last_error != text:
                await asyncio.sleep(0.02)

    async def wait_for_send(self, run_id: str, *, times: int = 1) -> None:
        """Wait until a message was sent with a run id a number of times."""
        async with asyncio.timeout(10):
            while self.sent_run_ids.count(run_id) < times:
                await asyncio.sleep(0.02)

    async def update_row(self, what: Any, **values: Any) -> None:
        """Update a row directly in the database."""
        async with self.transaction() as session:
            await session.execute(update(type(what)).filter_by(id=what.id).values(**values))

    async def count_events(self, type: EventType) -> int:
        async with self.transaction() as session:
            return len((await session.scalars(select(Event).where(Event.type == type))).all())

    @property
    def sent_run_ids(self) -> list[str]:
        """The run id of each send."""
        sends = [params for method, params in self.fake.calls if method == "chat.send"]
        return [params["idempotencyKey"] for params in sends]

    @property
    def checked_sessions(self) -> list[str]:
        """The session of each status check."""
        checks = [params for method, params in self.fake.calls if method == "chat.history"]
        return [params["sessionKey"] for params in checks]


def session_key_of(agent: Agent) -> str:
    return f"agent:mc-{agent.id}:main"


@asynccontextmanager
async def run_delivery_gateway(
    transaction: TransactionFactory, world: World
) -> AsyncGenerator[DeliveryGateway]:
    """Put the agents of Launch on a fake gateway where every turn succeeds immediately.

    The delays between two attempts, and between two passes, are a tenth of the real ones.
    """
    async with run_fake_chat_gateway(ends_turns_at_once=True) as fake:
        gateway = make_gateway(world.tern, url=fake.url)
        gateway.encrypted_token = CIPHER.encrypt(TOKEN, f"gateways.token:{gateway.id}")
        agents = [world.lead, world.worker, world.other_worker]
        fields = {
            "gateway_id": gateway.id,
            "desired_state": DesiredState.RUNNING,
            "observed_generation": 1,
        }
        async with transaction() as session:
            session.add(gateway)
            await session.flush()
            for agent in agents:
                placed = update(Agent).where(Agent.id == agent.id).values(**fields)
                await session.execute(placed.values(openclaw_session_id=session_key_of(agent)))
        fake.entries.update({f"mc-{agent.id}": {} for agent in agents})
        with pytest.MonkeyPatch.context() as patch:
            delays = [delay / SPEED for delay in rules.OUTBOX.retry_delays]
            patch.setattr(rules.OUTBOX, "retry_delays", delays)
            debounce = gateway_delivery.DEBOUNCE_DELAY / SPEED
            patch.setattr(gateway_delivery, "DEBOUNCE_DELAY", debounce)
            yield DeliveryGateway(fake, world, gateway, transaction)
