"""What follows runs over the connection to a gateway: hears of them, and writes down how they go.

It hears as fast as the gateway tells, and writes at most once a second for each run, but for
changes that people wait for: another phase, a tool that is called, the end.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Gateway, RunStatus
from openclaw import Event, GatewayError, Link, Trouble, watch
from services.runs import asking, keeping
from services.runs.keeping import OPEN, Runner
from services.runs.live import ENDS, OF_LIFECYCLE, Live, moment

NAMES = ("agent", "chat", "session.tool", "sessions.changed")
LOOK_ANYWAY = 20.0  # seconds between two looks at which runs go on, however much is told
WRITE_EVERY = 1.0  # seconds between two writes for one run
REST = 1.0  # seconds after a look that a gateway has not answered
LOOK_AGAIN = 5.0  # seconds between two looks whether an agent is ours
REMEMBERED = 500  # runs that are over, of which something may still be told
MOST = 200  # runs followed at once: a gateway may tell of ever new ones
ENDS_OF_CHAT = ("final", "error", "aborted")  # told also of what another run has taken in
NO_MORE = (Trouble.REJECTED, Trouble.MISSING_SCOPE)
NOBODY_KNOWS = "It is over, and its gateway does not know how it ended."
TOO_MANY = f"Its gateway told of more than {MOST} runs at once, and the oldest are not followed."

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]


class Station:
    """Follows the runs of our agents on gateways."""

    def __init__(
        self,
        transaction: Transaction,
        *,
        look_anyway: float = LOOK_ANYWAY,
        write_every: float = WRITE_EVERY,
    ) -> None:
        self._transaction = transaction
        self._look_anyway = look_anyway
        self._write_every = write_every

    async def __call__(self, gateway: Gateway, link: Link) -> None:
        """Follow a gateway's runs until cancelled."""
        desk = Desk(self._transaction, gateway, link)
        async with asyncio.TaskGroup() as group:
            looks = {"every": self._look_anyway, "rest": self._rest}
            group.create_task(watch(link, NAMES, look=desk.look, take=desk.take, **looks))
            group.create_task(desk.write_on(self._write_every))

    def _rest(self, error: GatewayError) -> float:
        """Return how long to wait after a refusal, in seconds: some of them stay."""
        return self._look_anyway if error.trouble in NO_MORE else REST


class Desk:
    """The runs of one gateway that go on, in memory."""

    def __init__(self, transaction: Transaction, gateway: Gateway, link: Link) -> None:
        self._transaction = transaction
        self._gateway = gateway
        self._link = link
        self._lives: dict[str, Live] = {}
        self._over: deque[str] = deque(maxlen=REMEMBERED)
        self._heard: set[str] = set()  # runs of which something was told since the last look
        self._runners: dict[str, Runner] = {}
        self._looked = float("-inf")
        self._written: dict[str, float] = {}
        self._news = asyncio.Event()

    async def look(self, has_missed: bool) -> None:
        """See which runs go on, take up what was missed of them, and end what is over.

        Where nothing was missed, a run goes on of which something was told since the last look,
        though the gateway may not list it yet.
        """
        spared, self._heard = set() if has_missed else self._heard, set()
        await asking.subscribe(self._link)
        await self._take_up()
        going_on = await self._catch_up()
        for live in list(self._lives.values()):
            if live.is_running and live.run_id not in going_on | spared:
                await self._end(live)
        async with self._transaction() as session:
            await keeping.confirm(session, self._gateway.id, going_on)
        self._news.set()

    async def take(self, event: Event) -> None:
        """Take an event, if it is about a run of an agent of ours."""
        said = event.payload
        live = await self._live(said) if isinstance(said.get("runId"), str) else None
        if live is None:
            return
        self._heard.add(live.run_id)
        if event.name == "sessions.changed":
            await self._take_phase(live, said)
        else:
            live.take(event.name, said, moment(said.get("ts")) or now())
        if live.is_news:
            self._news.set()

    async def write_on(self, every: float) -> None:
        """Write down what is new, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), every)
            self._news.clear()
            await self.write(every)

    async def write(self, every: float) -> None:
        """Write down what is new of those runs of which nothing was written for so many seconds."""
        clock = time.monotonic()
        due = [
            live
            for live in self._lives.values()
            if live.is_changed
            and (live.is_news or clock - self._written.get(live.run_id, 0.0) >= every)
            and live.agent_key in self._runners
        ]
        for live in due:
            live.is_news = live.is_changed = False
            self._written[live.run_id] = clock
        if due:
            async with self._transaction() as session:
                lives = [(live, self._runners[live.agent_key]) for live in due]
                await keeping.write(session, self._gateway, lives)
        for live in due:
            if not live.is_running and not live.is_changed:
                self._forget(live)

    async def _take_up(self) -> None:
        """Take up the runs that were written down as going on, perhaps by another process."""
        async with self._transaction() as session:
            await self._load_runners(session)
            rows = await keeping.open_runs(session, self._gateway.id)
        known = {runner.id: runner for runner in self._runners.values()}
        lives = self._lives.values()
        self._lives = {one.run_id: one for one in lives if one.agent_key in self._runners}
        for row in rows:
            if row.run_id not in self._lives and row.agent_id in known:
                self._lives[row.run_id] = Live.of(row, known[row.agent_id].key)
        self._give_up()

    async def _catch_up(self) -> set[str]:
        """Let runs take what was missed of them, and return the ids of those that go on."""
        going_on = set()
        async for run in asking.going_on(self._link, self._runners):
            live = await self._live(run)
            if live is not None:
                asking.catch_up(live, run, now())
                going_on.add(live.run_id)
        return going_on

    async def _take_phase(self, live: Live, said: Mapping[str, Any]) -> None:
        """Take what is told of the runs of which nothing else is: those of heartbeats."""
        phase = str(said.get("phase"))
        if phase in ENDS and live.is_running:
            at = moment(said.get("ts")) or now()
            if not await asking.how_it_ended(self._link, live, at):
                live.end(RunStatus.ENDED if phase == "end" else RunStatus.FAILED, at)
        elif phase in OF_LIFECYCLE and live.phase is None:
            live.take("agent", {"stream": "lifecycle", "data": {"phase": phase}}, now())

    async def _end(self, live: Live) -> None:
        """End a run that does not go on, as far as the gateway knows how."""
        if not await asking.how_it_ended(self._link, live, now()):
            live.end(RunStatus.LOST, now(), NOBODY_KNOWS)

    async def _live(self, said: Mapping[str, Any]) -> Live | None:
        """Return the run that something is told of; None if it is over, or no agent's of ours."""
        run_id, key = str(said["runId"]), key_of(said)
        is_end = said.get("state") in ENDS_OF_CHAT and run_id not in self._lives
        if run_id in self._over or is_end or not await self._is_ours(key):
            return None
        if run_id not in self._lives:
            live = await self._meet(run_id, key, said)
            if live is None:
                self._over.append(run_id)
                return None
            self._lives[run_id] = live
            self._give_up()
        return self._lives[run_id]

    async def _meet(self, run_id: str, key: str, said: Mapping[str, Any]) -> Live | None:
        """Return a run that is new here: it may have been written down by another process."""
        async with self._transaction() as session:
            rows = await keeping.open_runs(session, self._gateway.id, [run_id])
        for row in rows:
            return Live.of(row, key) if row.status in OPEN else None
        begun = moment(said.get("startedAt")) or moment(said.get("ts")) or now()
        return Live(run_id, str(said.get("sessionKey") or ""), key, begun)

    async def _is_ours(self, key: str) -> bool:
        """Say whether an agent is ours. Now and then it is looked whether it has become so."""
        if key not in self._runners and time.monotonic() - self._looked > LOOK_AGAIN:
            async with self._transaction() as session:
                await self._load_runners(session)
        return key in self._runners

    async def _load_runners(self, session: AsyncSession) -> None:
        self._runners = await keeping.runners(session, self._gateway.id)
        self._looked = time.monotonic()

    def _give_up(self) -> None:
        """Give up the oldest of too many runs for good: taken up again, each puts out another."""
        running = [live for live in self._lives.values() if live.is_running]
        for live in running[:-MOST]:
            live.end(RunStatus.LOST, now(), TOO_MANY)
            self._over.append(live.run_id)

    def _forget(self, live: Live) -> None:
        """Let go of a run that is over. One that was lost may be found again."""
        if live.status is not RunStatus.LOST:
            self._over.append(live.run_id)
        self._lives.pop(live.run_id, None)
        self._written.pop(live.run_id, None)


def key_of(said: Mapping[str, Any]) -> str:
    """Return by which name the gateway knows the agent of a run."""
    agent_id = said.get("agentId")
    if isinstance(agent_id, str):
        return agent_id
    parts = str(said.get("sessionKey") or "").split(":")
    return parts[1] if len(parts) > 1 else ""
