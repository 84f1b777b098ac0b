"""A gateway with agents for tests: they are brought there, step by step, and time is ours."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from kit.clock import now
from kit.doorbell import Doorbell
from models import Agent, Board, Event, EventType, Gateway, Message
from openclaw import Budget, GatewayError, Link
from services import agent_files, agents, boards
from services.agents import AgentDraft
from services.provisioning import Reconciler, asking, leaving
from tests.conftest import Transaction
from tests.openclaw.fake import target
from tests.openclaw.workshop import Workshop, working
from tests.world import SEAL, World, a_gateway, a_main

QUICK = Budget(call=2.0, first_rest=0.01, longest_rest=0.05, whole=1.0)
BASE_URL = "https://control.example"
STUCK = 400  # looks after which something goes in circles


@dataclass(repr=False)
class Yard:
    """A board on a gateway, and what brings its agents there. Nobody waits for the clock."""

    transaction: Transaction
    world: World
    gateway: Gateway
    workshop: Workshop
    link: Link
    moment: datetime
    is_away: bool = False  # so nobody need try to reach it
    away_since: datetime | None = None

    def __post_init__(self) -> None:
        """Take a station."""
        self.station = self.another()

    def __repr__(self) -> str:
        """Be short, for who tells of what went wrong."""
        return "a yard"

    def another(self) -> Reconciler:
        """Return a station of another process."""
        library = agent_files.library(BASE_URL)
        return Reconciler(self.transaction, Doorbell(), SEAL, library, clock=lambda: self.moment)

    def now(self) -> datetime:
        """Return what time it is here: hours may pass at once, and none comes back."""
        self.moment = max(self.moment, now())
        return self.moment

    async def look(self) -> datetime | None:
        """Let the station look once. While the gateway is away, it does not."""
        self.now()
        if not self.link.is_up:
            self.away_since = self.away_since or self.moment
            if self.is_away:
                return None
            try:
                await self.link.hello()
            except GatewayError:
                return None
            await self.station.is_back(self.gateway.id, self.moment - self.away_since)
            self.away_since = None
        return await self.station.look(self.gateway.id, self.link)

    async def settle(self) -> None:
        """Let it look until nothing is to be done before a deadline that only an agent can meet."""
        for _ in range(STUCK):
            more_at = await self.look()
            if more_at is None:
                return
            if more_at - self.moment > timedelta(minutes=2):
                return
            self.moment = max(self.moment, more_at)
        raise AssertionError("It goes on and on.")

    async def call(self, *which: Agent) -> None:
        """Let agents check in, or all of the gateway."""
        mine = update(Agent).where(Agent.gateway_id == self.gateway.id)
        if which:
            mine = mine.where(Agent.id.in_([one.id for one in which]))
        async with self.transaction() as session:
            await session.execute(mine.values(last_seen_at=self.moment, status="online"))

    async def add(self, name: str = "Writer", **fields: Any) -> Agent:
        """Have an agent made on the board."""
        lead = fields.pop("is_board_lead", False)
        async with self.transaction() as session:
            board = await boards.hold(session, self.world.alice, self.world.garden.id)
            draft = AgentDraft(name=name, **fields)
            made, token = await agents.create(
                session, self.world.alice, board, draft, is_board_lead=lead
            )
        assert token is None
        return made

    async def there(self, name: str = "Writer", **fields: Any) -> Agent:
        """Have an agent made that is there and has checked in."""
        made = await self.add(name, **fields)
        await self.settle()
        await self.call(made)
        await self.settle()
        return await self.row(made)

    async def row(self, agent: Agent) -> Agent:
        """Return an agent as it is in the database."""
        found = await self.found(agent)
        assert found is not None
        return found

    async def found(self, agent: Agent) -> Agent | None:
        """Return an agent, if it is still there."""
        async with self.transaction() as session:
            return await session.scalar(select(Agent).where(Agent.id == agent.id))

    async def events(self, *types: EventType) -> list[Event]:
        """Return what was recorded of these kinds."""
        async with self.transaction() as session:
            query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
            return list(await session.scalars(query))

    async def messages(self, agent: Agent) -> list[Message]:
        """Return what was written to an agent."""
        async with self.transaction() as session:
            query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
            return list(await session.scalars(query))

    async def board(self, id: UUID | None = None) -> Board:
        """Return the board as it is."""
        async with self.transaction() as session:
            return await boards.get(session, self.world.alice, id or self.world.garden.id)

    async def change_board(self, **changes: object) -> None:
        """Change the board."""
        async with self.transaction() as session:
            board = await boards.hold(session, self.world.alice, self.world.garden.id)
            await boards.change(session, self.world.alice, board, changes)

    def files(self, agent: Agent) -> dict[str, str]:
        """Return the files that an agent has there."""
        return self.workshop.files[agent.gateway_key or ""]

    def token(self, agent: Agent) -> str:
        """Return the token in an agent's files."""
        return agent_files.token_in(self.files(agent)["AGENTS.md"])


@asynccontextmanager
async def a_yard(transaction: Transaction, world: World, **how: Any) -> AsyncGenerator[Yard]:
    """Put the board Garden on a gateway; who was on it before stays where it was."""
    async with working(**how) as workshop, Link(target(workshop), budget=QUICK) as link:
        async with transaction() as session:
            gateway = a_gateway(world.tern, url=workshop.url)
            session.add(gateway)
            await session.flush()
            session.add_all(a_main(gateway))
            on = update(Board).where(Board.id == world.garden.id)
            await session.execute(on.values(gateway_id=gateway.id))
        await link.hello()
        yard = Yard(transaction, world, gateway, workshop, link, now())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asking, "now", yard.now)
            patch.setattr(leaving, "now", yard.now)
            yield yard
