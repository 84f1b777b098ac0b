"""One round at a gateway: it is asked whom it has, and each agent that is due takes one step."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, GatewayLeftover, Step
from openclaw import GatewayError, Link, Trouble, advise
from services import events, messages
from services.provisioning import rows, rules, steps, telling
from services.provisioning.rules import Change, Fault
from services.provisioning.steps import At, Done, Listed, Outcome, Papers, Written

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]
Write = Callable[[], Papers]
Library = Callable[
    [AsyncSession, Sequence[Agent], Mapping[UUID, str]], Awaitable[Mapping[UUID, Write]]
]
"""Finds what agents are to be given to read, with these tokens in it; it is written when asked."""

HERE = (Step.WAKE, Step.CHECK_IN)
"""The steps for which the gateway is not asked: messages are carried by others."""

THERE = (Step.NAME, Step.FILES, Step.HEARTBEAT, Step.SCRATCH)
"""The steps that can be taken only for an agent that the gateway has."""

PASSING = frozenset({Trouble.CLOSED, Trouble.RESTARTING, Trouble.STARTING_UP})
"""After these the gateway is there again soon, by itself: nobody counts them."""

FINAL = frozenset({Trouble.MISSING_SCOPE, Trouble.TOO_LARGE})
"""These stay until somebody does something."""

NO_PAPERS = Papers("", (), lambda _there, _last: (), "", "")
UNEXPECTED = Fault("unexpected", "Something went wrong here; the server's log says what.")
NOT_THERE = Fault("not_listed", "The gateway does not have the agent any more.")
COMING = Fault("coming", "The gateway may be about to have the agent.", counts=False)
TAKEN = Fault("place_taken", "Another agent has its place there, and has to be removed first.")

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """An agent that is due, with what it is to be given."""

    agent: Agent
    token: str
    is_paused: bool
    write: Write | None = None

    def with_papers(self, write: Write | None) -> "Prepared":
        """Return the same with what it is to read."""
        return replace(self, write=write)

    def papers(self) -> Papers:
        """Write what it is to read."""
        assert self.write is not None
        return self.write()


class Round:
    """One round at a gateway. No transaction is open while the gateway is asked."""

    def __init__(
        self, transaction: Transaction, link: Link, work: rows.Work, clock: Callable[[], datetime]
    ) -> None:
        self._transaction = transaction
        self._link = link
        self._work = work
        self._clock = clock

    async def go(self, due: Sequence[Prepared]) -> None:
        """Take the steps that need no gateway: who is woken, and who has checked in."""
        for one in due:
            if one.agent.step is Step.CHECK_IN:
                await self._check_in(one)
            elif one.agent.step is Step.WAKE:
                await self._wake(one)

    async def go_there(self, due: Sequence[Prepared], *, note: bool) -> bool:
        """Take the other steps. Say whether it was noted whom the gateway has, if it is to be."""
        due = [one for one in due if one.agent.step not in HERE]
        listed = await self._asked(lambda: Listed.by(self._link))
        if isinstance(listed, Fault):
            for one in due:
                await self._settle(one, listed)
            for leftover in self._work.leftovers:
                await self._put_off(leftover, listed)
            return False
        if note:
            await self._note(listed)
        for leftover in self._work.leftovers:
            await self._clear(listed, leftover)
        await self._take_all(due, listed)
        return note

    async def _take_all(self, due: Sequence[Prepared], listed: Listed) -> None:
        """Take a step of each, for as long as there is a connection."""
        together = [one for one in due if _beats(one, listed)]
        for one in due:
            if one not in together and self._link.is_up:
                await self._take(one, listed)
        if together and self._link.is_up:
            await self._beat(together)

    async def _note(self, listed: Listed) -> None:
        """Write down whom the gateway has, and have made anew whom it has lost."""
        moment, gateway_id, keys = self._clock(), self._work.gateway.id, listed.names.keys()
        async with self._transaction() as session:
            back = await rows.seen(session, gateway_id, keys, moment)
            missing = await rows.missing(session, gateway_id, keys, moment)
            happened = [telling.back(agent) for agent in back]
            for agent in missing:
                happened += await self._changed(session, agent, rules.lost(agent, moment))
            await telling.record(session, happened)

    async def _take(self, one: Prepared, listed: Listed) -> None:
        """Take one step of an agent that takes it alone."""
        step = one.agent.step
        if step is Step.REMOVE:
            await self._remove(one, listed)
        elif step in THERE and not listed.has(one.agent):
            await self._miss(one)
        elif step is Step.CREATE and one.agent.gateway_key in self._work.taken:
            await self._settle(one, TAKEN)
        else:
            await self._settle(one, await self._stepped(one, listed))

    async def _stepped(self, one: Prepared, listed: Listed) -> Outcome:
        async def intend(written: Written) -> bool:
            async with self._transaction() as session:
                return await rows.advance(session, one.agent, {"written": written}) is not None

        async def step() -> Outcome:
            papers = one.papers() if one.write else NO_PAPERS
            at = At(one.agent, self._link, listed, papers, intend, one.is_paused)
            return await steps.STEPS[one.agent.step or Step.CREATE](at)

        return await self._asked(step)

    async def _beat(self, together: Sequence[Prepared]) -> None:
        agents = [one.agent for one in together]
        outcomes = await self._asked(lambda: steps.heartbeats(self._link, agents))
        if isinstance(outcomes, Fault):
            outcomes = [outcomes] * len(together)
        for one, outcome in zip(together, outcomes, strict=True):
            await self._settle(one, outcome)

    async def _wake(self, one: Prepared) -> None:
        """Write to an agent that it is to begin; it has to check in by the deadline."""
        if one.is_paused:
            await self._change(one.agent, rules.nothing())
            return
        said = await self._asked(_written(one))
        if isinstance(said, Fault):
            await self._settle(one, said)
            return
        async with self._transaction() as session:
            change = rules.onward(one.agent, self._clock())
            if await rows.advance(session, one.agent, change) is not None:
                await messages.queue(session, [telling.hello(one.agent, said.first_message)])

    async def _check_in(self, one: Prepared) -> None:
        """See whether an agent that was woken has called."""
        agent, moment = one.agent, self._clock()
        called = rules.checked_in(agent)
        await self._change(
            agent, rules.onward(agent, moment) if called else rules.silent(agent, moment)
        )

    async def _remove(self, one: Prepared, listed: Listed) -> None:
        """Have an agent removed, and with it its row."""
        key = one.agent.gateway_key or ""
        had = await self._asked(lambda: steps.remove(self._link, listed, key))
        if had is False and rules.may_be_coming(one.agent, self._clock()):
            had = COMING
        if isinstance(had, Fault):
            await self._settle(one, had)
            return
        async with self._transaction() as session:
            if await rows.remove(session, one.agent):
                await telling.record(session, [telling.removed(one.agent)])

    async def _clear(self, listed: Listed, leftover: GatewayLeftover) -> None:
        """Have removed what is left of an agent whose row is gone."""
        async with self._transaction() as session:
            if not await rows.is_left(session, leftover):
                return
        key = leftover.agent_key
        had = await self._asked(lambda: steps.remove(self._link, listed, key))
        if had is False and self._clock() < leftover.created_at + rules.COMING:
            had = COMING
        if isinstance(had, Fault):
            await self._put_off(leftover, had)
            return
        async with self._transaction() as session:
            await rows.forget(session, leftover)

    async def _put_off(self, leftover: GatewayLeftover, fault: Fault) -> None:
        rest = timedelta(seconds=rules.rest(leftover.attempts + 1))
        async with self._transaction() as session:
            await rows.put_off(session, leftover, fault.reason, self._clock() + rest)

    async def _miss(self, one: Prepared) -> None:
        """Look again for an agent that the gateway had a moment ago; make it anew if it is gone."""
        deadline = one.agent.step_deadline_at
        if deadline is None or self._clock() >= deadline:
            await self._change(one.agent, rules.lost(one.agent, self._clock()))
        else:
            await self._settle(one, NOT_THERE)

    async def _settle(self, one: Prepared, outcome: Outcome) -> None:
        """Write down what came of a step."""
        moment = self._clock()
        if isinstance(outcome, Done):
            onward = rules.onward(one.agent, moment, is_paused=one.is_paused)
            written = rules.noted(one.agent, outcome.written, moment)
            await self._change(one.agent, onward | {"written": written})
        elif isinstance(outcome, Fault):
            await self._change(one.agent, rules.again(one.agent, moment, outcome))

    async def _change(self, agent: Agent, change: Change) -> None:
        async with self._transaction() as session:
            await telling.record(session, await self._changed(session, agent, change))

    async def _changed(
        self, session: AsyncSession, agent: Agent, change: Change
    ) -> list[events.Happened]:
        told = telling.of(agent, change)
        return told if await rows.advance(session, agent, change) is not None else []

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer | Fault:
        """Ask the gateway; what goes wrong becomes a fault, so that whatever it is has a name."""
        try:
            return await ask()
        except GatewayError as error:
            return fault(error, self._work.gateway.url)
        except (SQLAlchemyError, OSError):  # the database is away
            raise
        except Exception:
            log.exception("A step at the gateway %s", self._work.gateway.id)
            return UNEXPECTED


def _beats(one: Prepared, listed: Listed) -> bool:
    """Say whether an agent takes its step together with others, by one change of the config."""
    return one.agent.step is Step.HEARTBEAT and listed.has(one.agent)


def fault(error: GatewayError, url: str) -> Fault:
    """Say what was in the way at a gateway."""
    sentence, command = advise(error, url)
    return Fault(
        error.trouble.value,
        sentence,
        command,
        after=error.retry_after,
        counts=error.trouble not in PASSING,
        is_final=error.trouble in FINAL or "issues" in error.details,
    )


def _written(one: Prepared) -> Callable[[], Awaitable[Papers]]:
    async def write() -> Papers:
        return one.papers()

    return write
