"""Who brings agents to their gateway: it looks what is asked for, and goes on where it has to.

It works over the one connection to a gateway that is held, one step of each agent at a time. It
may be stopped anywhere, and another process goes on; two at once do each step once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import Doorbell
from kit.sealing import Seal
from models import Gateway, Step
from openclaw import Link
from services.provisioning import rows, tokens
from services.provisioning.round import HERE, Library, Prepared, Round, Transaction

LOOK_ANYWAY = 5.0  # seconds after which we look, though nothing rang
SETTLE = 0.2  # seconds in which several rings become one
BREATH = 0.02  # seconds between two rounds, however much there is to do
LISTED_EVERY = timedelta(seconds=60)  # how often we look whom a gateway has

NEEDS_PAPERS = (Step.CREATE, Step.FILES, Step.SCRATCH, Step.WAKE)


class Reconciler:
    """A station: what the agents of each gateway are becomes what they are to be."""

    def __init__(
        self,
        transaction: Transaction,
        doorbell: Doorbell,
        seal: Seal,
        library: Library,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._transaction = transaction
        self._doorbell = doorbell
        self._seal = seal
        self._library = library
        self._clock = clock
        self._listed_at: dict[UUID, datetime] = {}

    async def __call__(self, gateway: Gateway, link: Link) -> None:
        """Work for a gateway until cancelled. While it is away, nobody's time passes."""
        await self.take_over(gateway.id)
        with self._doorbell.hear(str(gateway.organization_id)) as ringing:
            while True:
                if not link.is_up:
                    await self._until_up(gateway.id, link)
                ringing.clear()
                more_at = await self.look(gateway.id, link)
                with suppress(TimeoutError):
                    await asyncio.wait_for(ringing.wait(), self._rest(more_at))
                    await asyncio.sleep(SETTLE)

    async def take_over(self, gateway_id: UUID) -> None:
        """Begin with a gateway: what nobody was there to do in time gets time again."""
        async with self._transaction() as session:
            await rows.take_over(session, gateway_id, self._clock())

    async def is_back(self, gateway_id: UUID, after: timedelta) -> None:
        """Begin again with a gateway: the time for which it was away does not count."""
        async with self._transaction() as session:
            await rows.give_time(session, gateway_id, after)
            await rows.try_again(session, gateway_id, self._clock())

    async def look(self, gateway_id: UUID, link: Link) -> datetime | None:
        """Take the next step of each agent that has one, and say when there will be more."""
        moment = self._clock()
        async with self._transaction() as session:
            work = await rows.work(session, gateway_id, moment)
            if work is None:
                return None
            prepared = await self._prepared(session, work)
        round = Round(self._transaction, link, work, self._clock)
        await round.go(prepared)
        listed_at = self._listed_at.get(gateway_id)
        is_time = listed_at is None or moment - listed_at >= LISTED_EVERY
        if is_time or work.leftovers or any(one.agent.step not in HERE for one in prepared):
            is_noted = await round.go_there(prepared, note=is_time)
            self._listed_at |= {gateway_id: moment} if is_noted else {}
        return moment if prepared or work.leftovers else work.more_at

    async def _prepared(self, session: AsyncSession, work: rows.Work) -> Sequence[Prepared]:
        """Find what the agents that are due are to be given."""
        with_files = [one.agent for one in work.due if one.agent.step is Step.FILES]
        given = await tokens.given(session, self._seal, with_files) if with_files else {}
        due = [
            Prepared(*given.get(one.agent.id, (one.agent, "")), is_paused=one.is_paused)
            for one in work.due
            if one.agent.step is not Step.FILES or one.agent.id in given
        ]
        readers = [one.agent for one in due if one.agent.step in NEEDS_PAPERS]
        news = {one.agent.id: one.token for one in due}
        papers = await self._library(session, readers, news) if readers else {}
        return [one.with_papers(papers.get(one.agent.id)) for one in due]

    async def _until_up(self, gateway_id: UUID, link: Link) -> None:
        since = self._clock()
        await link.up()
        await self.is_back(gateway_id, self._clock() - since)

    def _rest(self, more_at: datetime | None) -> float:
        if more_at is None:
            return LOOK_ANYWAY
        return min(max((more_at - self._clock()).total_seconds(), BREATH), LOOK_ANYWAY)
