"""Agents on gateways, whatever happens in whatever order: none is ever stuck without a name."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from models import Agent, DesiredState, Step
from services import agents, provisioning
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import After, Before, Fault
from tests.services.yard import Yard, a_yard
from tests.world import World

SLACK = timedelta(seconds=5)  # until somebody looks
SECOND = timedelta(seconds=1)
METHODS = (
    *("agents.list", "agents.create", "agents.update", "agents.files.get", "agents.files.set"),
    *("config.get", "config.patch", "cron.list", "cron.scratch.get", "cron.scratch.set"),
    "agents.delete",
)
UNAVAILABLE = Refused("UNAVAILABLE", "not now")
LATER = Refused("UNAVAILABLE", "rate limit exceeded", retryAfterMs=30_000)
REFUSED = Refused("INVALID_REQUEST", "no")
FORBIDDEN = Refused("FORBIDDEN", "no", details={"code": "MISSING_SCOPE"})
FAULTS: tuple[Fault, ...] = (
    *(Before(1012), Before(1006), After(1012), After(4001)),
    *(UNAVAILABLE, LATER, REFUSED, FORBIDDEN),
)

a_fault = st.tuples(
    st.just("fault"), st.sampled_from(METHODS), st.sampled_from(FAULTS), st.integers(1, 30)
)
a_while = st.tuples(st.just("passes"), st.integers(1, 400))
away = st.tuples(st.just("away"), st.integers(1, 900))
happens = st.sampled_from(
    [("lost",), ("edited",), ("asked",), ("renamed",), ("calls",), ("restarts",), ("dies",)]
)
histories = st.lists(st.one_of(a_fault, a_while, happens, away), max_size=14)


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yield yard


@dataclass
class Story:
    """One agent, and what happens to it. After each moment it is looked at."""

    yard: Yard
    agent: Agent
    left: dict[str, tuple[Fault, int]] = field(default_factory=dict)

    async def goes(self, what: str, *how: Any) -> None:
        """Let something happen."""
        step: Callable[..., Any] = getattr(self, f"_{what}")
        await step(*how)
        await self.is_named()

    async def is_named(self) -> None:
        """Fail if the agent waits for something longer than it should, and does not say so."""
        agent = await self.yard.found(self.agent)
        if agent is None or self.yard.away_since is not None:
            return
        failure = agent.provision_failure
        if failure is not None:
            assert failure["step"]
            assert failure["reason"]
        elif agent.step is not None:
            assert agent.step_deadline_at is not None
            assert self.yard.moment <= agent.step_deadline_at + SLACK, agent.step
        mine = [one for one in self.yard.workshop.entries if one == agent.gateway_key]
        assert len(mine) <= 1

    def fault(self, method: str, _params: object) -> Fault:
        """Give the gateway's answer, if it is not to give its own."""
        fault, times = self.left.get(method, (None, 0))
        if times:
            self.left[method] = (fault, times - 1)
        return fault if times else None

    async def _fault(self, method: str, fault: Fault, times: int) -> None:
        self.left[method] = (fault, times)

    async def _passes(self, seconds: int) -> None:
        until = self.yard.moment + seconds * SECOND
        while self.yard.moment < until:
            more_at = await self.yard.look()
            await self.is_named()
            soon = self.yard.moment + SLACK
            self.yard.moment = max(self.yard.moment, min(more_at or soon, soon, until))
        await self.yard.look()

    async def _away(self, seconds: int) -> None:
        self.yard.is_away = True
        await self.yard.link.close()
        await self._passes(seconds)
        self.yard.is_away = False

    async def _lost(self) -> None:
        key = self.agent.gateway_key or ""
        if key in self.yard.workshop.entries:
            self.yard.workshop.lose(key)

    async def _edited(self) -> None:
        files = self.yard.workshop.files.get(self.agent.gateway_key or "")
        if files:
            files["SOUL.md"] = "I am my own."
            files["AGENTS.md"] += "\nI remember this."

    async def _asked(self) -> None:
        async with self.yard.transaction() as session:
            await provisioning.ask(session, Agent.id == self.agent.id)

    async def _renamed(self) -> None:
        name = f"Writer {self.yard.moment:%H%M%S}"
        async with self.yard.transaction() as session:
            await agents.change(session, self.yard.world.alices, self.agent.id, {"name": name})

    async def _calls(self) -> None:
        await self.yard.call(self.agent)

    async def _restarts(self) -> None:
        await self.yard.workshop.drop(1012)

    async def _dies(self) -> None:
        self.yard.station = self.yard.another()
        await self.yard.station.take_over(self.yard.gateway.id)

    async def calms_down(self) -> None:
        """Let nothing go wrong any more, and the agent answer when it is woken."""
        self.left.clear()
        async with self.yard.transaction() as session:
            await agents.bring(session, self.yard.world.alices, self.agent.id)
        for _ in range(8):
            await self._passes(120)
            if (await self.yard.row(self.agent)).step is Step.CHECK_IN:
                await self._calls()


async def a_story(yard: Yard) -> Story:
    """Begin anew, with one agent that was just asked for."""
    async with yard.transaction() as session:
        await session.execute(delete(Agent).where(Agent.desired_state.is_not(None)))
    for known in (yard.workshop.entries, yard.workshop.files, yard.workshop.scratches):
        known.clear()
    story = Story(yard, await yard.add())
    yard.workshop.fault = story.fault
    return story


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories)
async def test_whatever_happens_no_agent_waits_longer_than_it_says_and_all_of_them_come(
    yard: Yard, history: list[tuple[Any, ...]]
) -> None:
    story = await a_story(yard)
    for what, *how in history:
        await story.goes(what, *how)
    await story.calms_down()
    agent = await yard.row(story.agent)
    assert (agent.step, agent.provision_failure, agent.wants_wake) == (None, None, False)
    assert agent.observed_generation == agent.generation
    assert yard.workshop.listed() == [agent.gateway_key]
    entry = yard.workshop.entries[agent.gateway_key or ""]
    assert (entry["name"], entry["heartbeat"]["every"]) == (agent.name, "10m")
    assert agent.name in yard.files(agent)["IDENTITY.md"]
    assert yard.token(agent)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=histories, after=st.lists(st.one_of(a_fault, a_while, away), max_size=6))
async def test_whatever_happens_who_is_deleted_is_gone_from_its_gateway(
    yard: Yard, before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    story = await a_story(yard)
    for what, *how in before:
        await story.goes(what, *how)
    async with yard.transaction() as session:
        await agents.delete(session, yard.world.alice, story.agent.id)
    gone = await yard.found(story.agent)
    assert gone is None or gone.desired_state is DesiredState.GONE
    for what, *how in after:
        await story.goes(what, *how)
    story.left.clear()
    await story.goes("passes", 900)
    assert await yard.found(story.agent) is None
    assert yard.workshop.listed() == []
