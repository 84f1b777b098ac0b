"""Provisioning under random faults: no agent is ever stuck without a reported failure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from models import Agent, DesiredState, ProvisioningStep
from services import agents, desired_state
from services.gateways.provisioning.reconciler import ROSTER_INTERVAL
from tests.support.fake_agents_gateway import Fault, LostAfter, LostBefore
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import (
    ProvisioningHarness,
    harness,
)
from tests.support.tiers import IS_COMPLETE_RUN

__all__ = ["harness"]

MAX_DELAY = timedelta(seconds=5)  # of a status change
SECOND = timedelta(seconds=1)
METHODS = (
    *("agents.list", "agents.create", "agents.update", "agents.files.get", "agents.files.set"),
    *("config.get", "config.patch", "cron.list", "cron.scratch.get", "cron.scratch.set"),
    "agents.delete",
)
UNAVAILABLE = ErrorResponse("UNAVAILABLE", "not now")
RATE_LIMITED = ErrorResponse("UNAVAILABLE", "rate limit exceeded", retryAfterMs=30_000)
REJECTED = ErrorResponse("INVALID_REQUEST", "no")
FORBIDDEN = ErrorResponse("FORBIDDEN", "no", details={"code": "MISSING_SCOPE"})
FAULTS: tuple[Fault, ...] = (
    *(LostBefore(1012), LostBefore(1006), LostAfter(1012), LostAfter(4001)),
    *(UNAVAILABLE, RATE_LIMITED, REJECTED, FORBIDDEN),
)

faults = st.tuples(
    st.just("set_fault"), st.sampled_from(METHODS), st.sampled_from(FAULTS), st.integers(1, 30)
)
pauses = st.tuples(st.just("advance_clock"), st.integers(1, 400))
disconnections = st.tuples(st.just("disconnect"), st.integers(1, 900))
changes = st.sampled_from(
    [
        ("lose_agent",),
        ("edit_file",),
        ("request_sync",),
        ("rename_agent",),
        ("check_in",),
        ("restart_gateway",),
        ("replace_process",),
    ]
)
histories = st.lists(st.one_of(faults, pauses, changes, disconnections), max_size=14)


@dataclass
class Scenario:
    """One agent and the faults that it experiences. After each its status is checked."""

    harness: ProvisioningHarness
    agent: Agent
    left: dict[str, tuple[Fault, int]] = field(default_factory=dict)

    async def apply(self, action: str, *arguments: Any) -> None:
        """Apply a fault or a change."""
        step: Callable[..., Any] = getattr(self, f"_{action}")
        await step(*arguments)
        await self.require_status_is_honest()

    async def require_status_is_honest(self) -> None:
        """Fail if the agent waits longer than allowed without a reported failure."""
        agent = await self.harness.find_agent(self.agent)
        if agent is None or self.harness.unreachable_since is not None:
            return
        failure = agent.provision_failure
        if failure is not None:
            assert failure["step"]
            assert failure["reason"]
        elif agent.step is not None:
            assert agent.step_deadline_at is not None
            assert self.harness.moment <= agent.step_deadline_at + MAX_DELAY, agent.step
        mine = [one for one in self.harness.fake.entries if one == agent.gateway_key]
        assert len(mine) <= 1

    def fault(self, method: str, _params: object) -> Fault:
        """Return the fault for a call, if there is one."""
        fault, times = self.left.get(method, (None, 0))
        if times:
            self.left[method] = (fault, times - 1)
        return fault if times else None

    async def _set_fault(self, method: str, fault: Fault, times: int) -> None:
        self.left[method] = (fault, times)

    async def _advance_clock(self, seconds: int) -> None:
        until = self.harness.moment + seconds * SECOND
        while self.harness.moment < until:
            more_at = await self.harness.reconcile_once()
            await self.require_status_is_honest()
            self.harness.moment = max(self.harness.moment, min(self._find_next(more_at), until))
        await self.harness.reconcile_once()

    def _find_next(self, more_at: datetime | None) -> datetime:
        """Return when a pass may have work again: passes in between change nothing."""
        moment = self.harness.moment
        if self.harness.is_unreachable:
            return datetime.max.replace(tzinfo=UTC)
        if not self.harness.client.is_connected:
            return moment + MAX_DELAY
        next_roster = moment + ROSTER_INTERVAL
        return min(more_at or next_roster, next_roster)

    async def _disconnect(self, seconds: int) -> None:
        self.harness.is_unreachable = True
        await self.harness.client.close()
        await self._advance_clock(seconds)
        self.harness.is_unreachable = False

    async def _lose_agent(self) -> None:
        key = self.agent.gateway_key or ""
        if key in self.harness.fake.entries:
            self.harness.fake.lose_agent(key)

    async def _edit_file(self) -> None:
        files = self.harness.fake.files.get(self.agent.gateway_key or "")
        if files:
            files["SOUL.md"] = "I am my own."
            files["AGENTS.md"] += "\nI remember this."

    async def _request_sync(self) -> None:
        async with self.harness.transaction() as session:
            await desired_state.request_sync(session, Agent.id == self.agent.id)

    async def _rename_agent(self) -> None:
        name = f"Writer {self.harness.moment:%H%M%S}"
        async with self.harness.transaction() as session:
            await agents.update_agent(
                session,
                self.harness.world.alice_member,
                self.agent.id,
                agents.AgentUpdate.of(name=name),
            )

    async def _check_in(self) -> None:
        await self.harness.check_in(self.agent)

    async def _restart_gateway(self) -> None:
        await self.harness.fake.close_connections(1012)

    async def _replace_process(self) -> None:
        self.harness.reconciler = self.harness.new_reconciler()
        await self.harness.reconciler.take_over(self.harness.gateway.id)

    async def recover(self) -> None:
        """End all faults, and let the agent check in when it is woken."""
        self.left.clear()
        async with self.harness.transaction() as session:
            await agents.reprovision_agent(session, self.harness.world.alice_member, self.agent.id)
        for _ in range(8):
            await self._advance_clock(120)
            if (await self.harness.get_agent(self.agent)).step is ProvisioningStep.CHECK_IN:
                await self._check_in()


async def start_scenario(harness: ProvisioningHarness) -> Scenario:
    """Start with one agent that was just requested."""
    async with harness.transaction() as session:
        await session.execute(delete(Agent).where(Agent.desired_state.is_not(None)))
    for state in (harness.fake.entries, harness.fake.files, harness.fake.scratches):
        state.clear()
    scenario = Scenario(harness, await harness.create_agent())
    harness.fake.fault = scenario.fault
    return scenario


@settings(
    max_examples=15 if IS_COMPLETE_RUN else 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(hiscenario=histories)
async def test_all_agents_are_provisioned_in_time_despite_faults(
    harness: ProvisioningHarness, hiscenario: list[tuple[Any, ...]]
) -> None:
    scenario = await start_scenario(harness)
    for action, *arguments in hiscenario:
        await scenario.apply(action, *arguments)
    await scenario.recover()
    agent = await harness.get_agent(scenario.agent)
    assert (agent.step, agent.provision_failure, agent.wants_wake) == (None, None, False)
    assert agent.observed_generation == agent.generation
    assert harness.fake.listed_agents() == [agent.gateway_key]
    entry = harness.fake.entries[agent.gateway_key or ""]
    assert (entry["name"], "heartbeat" in entry) == (agent.name, False)
    assert agent.name in harness.files_of(agent)["IDENTITY.md"]
    assert harness.token_of(agent)


@settings(
    max_examples=8 if IS_COMPLETE_RUN else 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=histories, after=st.lists(st.one_of(faults, pauses, disconnections), max_size=6))
async def test_deleted_agents_are_removed_despite_faults(
    harness: ProvisioningHarness, before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    scenario = await start_scenario(harness)
    for action, *arguments in before:
        await scenario.apply(action, *arguments)
    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, scenario.agent.id)
    gone = await harness.find_agent(scenario.agent)
    assert gone is None or gone.desired_state is DesiredState.GONE
    for action, *arguments in after:
        await scenario.apply(action, *arguments)
    scenario.left.clear()
    await scenario.apply("advance_clock", 900)
    assert await harness.find_agent(scenario.agent) is None
    assert harness.fake.listed_agents() == []
