"""A gateway on which the agents of Launch live, and a worker that attends to it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import Doorbell
from kit.settings import Settings
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
from openclaw import Budget, Guard
from services import gateway_requests, runs
from services.gateway_requests import RequestDetail, Wish
from services.gateways import Carrier
from tests.conftest import Transaction
from tests.openclaw.asking import Asking, asking, moment
from tests.openclaw.fake import TOKEN
from tests.world import SEAL, World, a_gateway

QUICK = Budget(call=2.0, first_rest=0.01, longest_rest=0.05, rest_for_people=0.05)
COLOUR = {
    "questionId": "colour",
    "header": "Colour",
    "question": "Which colour?",
    "options": [{"label": "Blue"}, {"label": "Red", "description": "hot"}],
}
"""A question that an agent asks."""


def hash_of(said: str) -> str:
    return hashlib.sha256(said.encode()).hexdigest()


@dataclass
class Attended:
    """The gateway, and how one sees what became of what it told."""

    fake: Asking
    world: World
    gateway: Gateway
    transaction: Transaction
    settings: Settings
    doorbell: Doorbell = field(default_factory=Doorbell)
    patience: float = 30  # seconds
    budget: Budget = QUICK

    @asynccontextmanager
    async def held(self, *, look_anyway: float = 30.0) -> AsyncGenerator[None]:
        """Let a worker hold the gateway, and attend to it."""
        stations = [
            gateway_requests.Station(self.transaction, self.doorbell, look_anyway=look_anyway),
            runs.Station(self.transaction, look_anyway=look_anyway, write_every=0.05),
        ]

        async def heard(_ladder: object) -> None:
            """Tell nobody."""

        carrier = Carrier(SEAL, Guard())
        keeping = carrier.keep(self.gateway, heard, stations=stations, budget=self.budget)
        holding = asyncio.create_task(keeping)
        try:
            yield
        finally:
            holding.cancel()
            with suppress(asyncio.CancelledError):
                await holding

    async def requests(self) -> list[GatewayRequest]:
        async with self.transaction() as session:
            query = select(GatewayRequest).order_by(GatewayRequest.created_at)
            return list(await session.scalars(query))

    async def request(self, state: RequestState = RequestState.WAITING) -> GatewayRequest:
        """Wait until there is a request in a state, and return it."""
        found = await self.until(lambda: self._in(state))
        return found[-1]

    async def shown(self, request: GatewayRequest) -> GatewayRequest:
        """Return a request as it is now."""
        [found] = [one for one in await self.requests() if one.id == request.id]
        return found

    async def several(self, *states: RequestState) -> list[GatewayRequest]:
        """Return all requests if they are in these states, else none."""
        found = await self.requests()
        return found if [one.state for one in found] == [*states] else []

    async def asked(
        self, id: str = "a-1", *, agent: str | None = None, command: str = "ls", **more: Any
    ) -> GatewayRequest:
        """Let something be asked, and the gateway be left alone again."""
        agent = agent or key_of(self.world.worker)
        await self.fake.ask(id, command, agent, silently=True, **more)
        async with self.held():
            found = await self.until(lambda: self._of(id))
        return found[0]

    async def answer(self, user: User, request: GatewayRequest, **wish: Any) -> RequestDetail:
        """Answer a request as somebody who has seen it."""
        wish.setdefault("sha256", request.sha256)
        async with self.transaction() as session:
            return await gateway_requests.answer(session, user, request.id, Wish(**wish))

    async def listened(self) -> bool:
        """Whether somebody has asked the gateway what it asks."""
        return any(method == "question.list" for method, _ in self.fake.calls)

    async def runs(self) -> list[Run]:
        async with self.transaction() as session:
            return list(await session.scalars(select(Run).order_by(Run.started_at)))

    async def run(self, is_so: Callable[[Run], object]) -> Run:
        """Wait until the last run is so, and return it."""

        async def last() -> list[Run]:
            return [run for run in (await self.runs())[-1:] if is_so(run)]

        [run] = await self.until(last)
        return run

    async def until(self, found: Callable[[], Any]) -> Any:
        """Wait until something is found, and return it."""
        result = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                while not (result := await found()):
                    await asyncio.sleep(0.02)
        assert result, [(one.state, one.error) for one in await self.requests()]
        return result

    async def events(self, type: EventType) -> list[Event]:
        async with self.transaction() as session:
            query = select(Event).where(Event.type == type).order_by(Event.seq)
            return list(await session.scalars(query))

    async def change(self, what: Any, **values: Any) -> None:
        """Change a row behind everybody's back."""
        async with self.transaction() as session:
            await session.execute(update(type(what)).filter_by(id=what.id).values(**values))

    async def _of(self, id: str) -> list[GatewayRequest]:
        return [one for one in await self.requests() if one.request_id == id]

    async def _in(self, state: RequestState) -> list[GatewayRequest]:
        return [one for one in await self.requests() if one.state is state]


def key_of(agent: Agent) -> str:
    return f"mc-{agent.id}"


async def begin(there: Attended, run_id: str = "run-1") -> str:
    """Let the worker begin a run, once somebody listens; return its name on the gateway."""
    worker = key_of(there.world.worker)

    async def listened() -> bool:
        return any(method == "sessions.list" for method, _ in there.fake.calls)

    await there.until(listened)
    await there.fake.step(run_id, worker, "lifecycle", phase="start", startedAt=moment())
    return worker


async def several(there: Attended, *statuses: RunStatus) -> list[Run]:
    """Return all runs if they stand so, oldest first; else none."""
    found = await there.runs()
    return found if [one.status for one in found] == [*statuses] else []


async def settle_in(session: AsyncSession, world: World, url: str) -> Gateway:
    """Let the crew of Launch live on a gateway at some address."""
    gateway = a_gateway(world.tern, url=url)
    gateway.sealed_token = SEAL.close(TOKEN, f"gateways.token:{gateway.id}")
    session.add(gateway)
    await session.flush()
    for agent in (world.lead, world.worker, world.other_worker):
        values = {"gateway_id": gateway.id, "openclaw_session_id": f"agent:{key_of(agent)}:main"}
        await session.execute(update(Agent).where(Agent.id == agent.id).values(**values))
    return gateway


@asynccontextmanager
async def attended(
    settings: Settings, transaction: Transaction, world: World
) -> AsyncGenerator[Attended]:
    """Let a gateway run on which the crew of Launch live, with a doorbell that rings."""
    async with asking() as fake:
        async with transaction() as session:
            gateway = await settle_in(session, world, fake.url)
        there = Attended(fake, world, gateway, transaction, settings)
        listening = asyncio.create_task(there.doorbell.listen(settings.dsn))
        await asyncio.wait_for(there.doorbell.listening.wait(), 10)
        yield there
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
