"""Carrying messages to the agents of a gateway, for as long as that is held.

It goes by what is in the database, so it may be cut off anywhere and begun again by another
process. docs/decisions/carrying.md says how, and what a gateway does with what it gets.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import Doorbell
from models import Gateway, MessageState
from openclaw import Link, Subscription
from services.messages import handovers, turns
from services.messages.ears import Ears
from services.messages.handovers import Letter

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

AT_ONCE = 4  # agents that are spoken to at the same time
LOOK_ANYWAY = 15.0  # seconds
TRY_AGAIN = 2.0  # seconds after which a gateway is asked again that did not tell
REST = 5.0  # seconds after which an agent is served again whose mail has failed
DEBOUNCE = 0.2  # seconds, in which several rings become one

log = logging.getLogger(__name__)


def carrying(
    transaction: Transaction,
    doorbell: Doorbell,
    *,
    every: float = LOOK_ANYWAY,
    clock: Callable[[], datetime] = now,
) -> Callable[[Gateway, Link], Awaitable[None]]:
    """Make what carries the messages of any gateway that is held: a station."""

    async def carry(gateway: Gateway, link: Link) -> None:
        with doorbell.hear(str(gateway.organization_id)) as ringing:
            await _Post(gateway, link, transaction, ringing, clock).run(every)

    return carry


class _Post:
    """The post of one gateway: a lane for each agent that has mail, which ends with the mail."""

    def __init__(
        self,
        gateway: Gateway,
        link: Link,
        transaction: Transaction,
        ringing: asyncio.Event,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._link = link
        self._transaction = transaction
        self._ringing = ringing
        self._clock = clock
        self._hands = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[UUID, bool] = {}  # by agent; whether there was more mail meanwhile
        self._ears = Ears()
        self._minded = 0  # the losses of events after which all that is out was doubted

    async def run(self, every: float) -> None:
        """Carry until cancelled."""
        listening = self._link.subscribe("chat")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(listening))
                while True:
                    await self._go_round(group)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._ringing.wait(), every)
                    await asyncio.sleep(DEBOUNCE)
        finally:
            listening.close()

    async def _listen(self, listening: Subscription) -> None:
        """Hear how turns end."""
        while True:
            if self._ears.hear(await listening.next()):
                self._ringing.set()

    async def _go_round(self, group: asyncio.TaskGroup) -> None:
        """Write down what was heard, and see that each agent that has mail has its lane."""
        await self._link.up()
        self._ringing.clear()
        await self._note_ends()
        await self._doubt()
        async with self._transaction() as session:
            found = await handovers.agents_with_mail(session, self._gateway.id, self._clock())
        for agent_id in found:
            if agent_id not in self._lanes:
                group.create_task(self._serve(agent_id))
            self._lanes[agent_id] = agent_id in self._lanes

    async def _note_ends(self) -> None:
        """Write down how turns ended, but for those that nobody knows yet to have begun."""
        ends, self._ears.ends = self._ears.ends, {}
        if ends:
            async with self._transaction() as session:
                early = await handovers.note_ends(session, self._gateway.id, ends, self._clock())
            self._ears.ends = {id: ends[id] for id in early} | self._ears.ends

    async def _doubt(self) -> None:
        """Have that looked at of which events told too little, or of which some were lost."""
        ears = self._ears
        losses, doubtful, sessions = ears.losses, set(ears.doubtful), set(ears.sessions)
        if losses == self._minded and not (doubtful or sessions):
            return
        only = (doubtful, sessions) if losses == self._minded else None
        async with self._transaction() as session:
            await handovers.doubt(session, self._gateway.id, self._clock(), only)
        self._minded = losses
        ears.doubtful -= doubtful
        ears.sessions -= sessions

    async def _serve(self, agent_id: UUID) -> None:
        """Do all that there is to do for an agent. What goes wrong with one is its own affair."""
        try:
            while await self._step(agent_id):
                pass
        except Exception as error:
            log.warning("The mail of agent %s: %s", agent_id, error, exc_info=True)
            await asyncio.sleep(REST)
        if self._lanes.pop(agent_id):
            self._ringing.set()

    async def _step(self, agent_id: UUID) -> bool:
        """Do the next thing for an agent, and rest if need be; say whether there was one."""
        await self._link.up()
        async with self._hands:
            rest = await self._next(agent_id)
        if rest is None:
            return False
        await asyncio.sleep(rest)
        return True

    async def _next(self, agent_id: UUID) -> float | None:
        """Look after what an agent was sent, then send what is next; return how long to rest."""
        await self._doubt()
        if not await self._look(agent_id):
            return TRY_AGAIN
        async with self._transaction() as session:
            at = self._clock()
            letter = await handovers.take_out(session, self._gateway.id, agent_id, at)
        return await self._send(letter) if letter else None

    async def _look(self, agent_id: UUID) -> bool:
        """Look what became of what an agent was sent; say whether the gateway told."""
        async with self._transaction() as session:
            at = self._clock()
            letters = await handovers.handed_over(session, self._gateway.id, agent_id, at)
        if not letters:
            return True
        keys = [letter.message.run_id for letter in letters]
        found = await turns.look(self._link, letters[0].session_key, keys)
        if found is None:
            return False
        unknown = [one for one in letters if found[one.message.run_id] == turns.UNKNOWN]
        ends = {
            one.message.id: (one.message.run_id, found[one.message.run_id])
            for one in letters
            if one not in unknown
        }
        async with self._transaction() as session:
            await handovers.note_ends(session, self._gateway.id, ends, self._clock())
        for letter in unknown:
            await self._ask_again(letter)
        return True

    async def _ask_again(self, letter: Letter) -> None:
        """Say again what nobody knows to be known: who has it, does not hear it twice."""
        async with self._transaction() as session:
            may = await handovers.take_again(session, letter, self._clock())
        if may:
            await self._send(letter)

    async def _send(self, letter: Letter) -> float:
        """Send a message, write down what came of it, and return how long to rest then."""
        sent = letter.message
        turn = await turns.begin(
            self._link, letter.session_key, sent.content, sent.run_id, deliver=sent.deliver
        )
        at = self._clock()
        async with self._transaction() as session:
            message = await handovers.note_attempt(session, letter, turn, at)
        if self._ears.has_news_of(message.id, sent.run_id):
            self._ringing.set()
        rests = message.state is MessageState.QUEUED and message.due_at is not None
        return max(0.0, (message.due_at - at).total_seconds()) if rests else 0.0
