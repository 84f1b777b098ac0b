"""A gateway on which the agents of Launch live, and how one sees what becomes of messages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from kit.clock import now
from kit.doorbell import Doorbell
from models import Agent, DesiredState, Event, EventType, Gateway, Message, MessageState
from openclaw import Budget, Guard
from services import messages
from services.gateways import Carrier, Station
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN
from tests.openclaw.talking import Talking, talking
from tests.world import SEAL, World, a_gateway

QUICK = Budget(call=2.0, first_rest=0.01, longest_rest=0.05, rest_for_people=0.05)


@dataclass
class Clock:
    """A clock that a test can put forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """Say what time it is."""
        return now() + self.ahead


@dataclass
class Post:
    """A gateway on which the agents of Launch live, and how one sees what becomes of messages."""

    fake: Talking
    world: World
    gateway: Gateway
    transaction: Transaction
    clock: Clock = field(default_factory=Clock)
    budget: Budget = QUICK

    @asynccontextmanager
    async def carried(
        self, doorbell: Doorbell | None = None, *, every: float = 0.05
    ) -> AsyncGenerator[None]:
        """Let a worker hold the gateway and carry messages."""
        bell = doorbell or Doorbell()
        station = messages.carrying(self.transaction, bell, every=every, clock=self.clock)
        holding = asyncio.create_task(self.hold(station))
        try:
            yield
        finally:
            holding.cancel()
            with suppress(asyncio.CancelledError):
                await holding

    async def hold(self, station: Station) -> None:
        """Hold the gateway until cancelled, and let a station work over it."""

        async def heard(_ladder: object) -> None:
            """Tell nobody."""

        await Carrier(SEAL, Guard()).keep(
            self.gateway, heard, stations=[station], budget=self.budget
        )

    async def write(self, *contents: str, to: Agent | None = None, **more: Any) -> None:
        """Write to an agent, the worker unless it is said."""
        agent = to or self.world.worker
        drafts = [messages.Draft(to=agent, content=content, **more) for content in contents]
        async with self.transaction() as session:
            await messages.queue(session, drafts)

    async def mail(self, agent: Agent | None = None) -> list[Message]:
        query = select(Message).where(Message.agent_id == (agent or self.world.worker).id)
        async with self.transaction() as session:
            return list(await session.scalars(query.order_by(Message.seq)))

    async def states(self, agent: Agent | None = None) -> list[str]:
        return [message.state for message in await self.mail(agent)]

    async def until(
        self, *states: MessageState, agent: Agent | None = None, within: float = 10
    ) -> list[Message]:
        """Wait until an agent's messages stand like this, and return them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while await self.states(agent) != [*states]:
                    await asyncio.sleep(0.02)
        mail = await self.mail(agent)
        told = [(one.state, one.attempts, one.run, one.last_error) for one in mail]
        assert [one.state for one in mail] == [*states], told
        return mail

    async def sent_as(self, run_id: str, *, times: int = 1) -> None:
        """Wait until something was sent under a key, so many times."""
        async with asyncio.timeout(10):
            while self.sends.count(run_id) < times:
                await asyncio.sleep(0.02)

    async def change(self, what: Any, **values: Any) -> None:
        """Change a row behind everybody's back."""
        async with self.transaction() as session:
            await session.execute(update(type(what)).filter_by(id=what.id).values(**values))

    async def times(self, type: EventType) -> int:
        async with self.transaction() as session:
            return len((await session.scalars(select(Event).where(Event.type == type))).all())

    @property
    def sends(self) -> list[str]:
        """The keys under which messages were sent, each time."""
        said = [params for method, params in self.fake.calls if method == "chat.send"]
        return [params["idempotencyKey"] for params in said]

    @property
    def looks(self) -> list[str]:
        """The sessions in which somebody has looked, each time."""
        said = [params for method, params in self.fake.calls if method == "chat.history"]
        return [params["sessionKey"] for params in said]


def session_of(agent: Agent) -> str:
    return f"agent:mc-{agent.id}:main"


@asynccontextmanager
async def a_post(transaction: Transaction, world: World) -> AsyncGenerator[Post]:
    """Let the crew of Launch live on a gateway, where every turn ends well at once."""
    async with talking(is_quick=True) as fake:
        gateway = a_gateway(world.tern, url=fake.url)
        gateway.sealed_token = SEAL.close(TOKEN, f"gateways.token:{gateway.id}")
        crew = [world.lead, world.worker, world.other_worker]
        there = {
            "gateway_id": gateway.id,
            "desired_state": DesiredState.RUNNING,
            "observed_generation": 1,
        }
        async with transaction() as session:
            session.add(gateway)
            await session.flush()
            for agent in crew:
                lives = update(Agent).where(Agent.id == agent.id).values(**there)
                await session.execute(lives.values(openclaw_session_id=session_of(agent)))
        fake.entries.update({f"mc-{agent.id}": {} for agent in crew})
        yield Post(fake, world, gateway, transaction)
