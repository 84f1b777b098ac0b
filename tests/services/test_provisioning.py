"""Provisioning: it succeeds whatever is interrupted, and nothing is written twice."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from models import Agent, EventType, ProvisioningStep
from services import agents, boards, desired_state, memory
from services.gateways import provisioning
from tests.support.fake_agents_gateway import Fault, LostAfter, LostBefore
from tests.support.provisioning_harness import (
    BASE_URL,
    ProvisioningHarness,
    harness,
)
from tests.support.tiers import IS_COMPLETE_RUN, repetition

__all__ = ["harness"]

SYNC_REQUESTS = 50 if IS_COMPLETE_RUN else 10
READ_METHODS = {"agents.list", "agents.files.get", "config.get", "cron.list"}


async def test_the_id_of_an_agent_on_its_gateway_never_changes(
    harness: ProvisioningHarness,
) -> None:
    """Contract, agents 14.1 and 14.2."""
    worker, lead = (
        await harness.create_agent(),
        await harness.create_agent("Ada", is_board_lead=True),
    )
    assert worker.openclaw_session_id == f"agent:mc-{worker.id}:main"
    assert worker.gateway_key == f"mc-{worker.id}"
    assert lead.gateway_key == f"lead-{lead.board_id}"
    assert Agent(openclaw_session_id="agent::main").gateway_key is None


async def test_an_agent_is_provisioned_woken_and_checks_in(
    harness: ProvisioningHarness,
) -> None:
    """W-15."""
    made = await harness.create_agent(heartbeat_config={"every": "30m"})
    await harness.reconcile_until_idle()
    agent, key = await harness.get_agent(made), made.gateway_key or ""
    assert (agent.step, agent.observed_generation, agent.provision_failure) == (
        ProvisioningStep.CHECK_IN,
        agent.generation,
        None,
    )
    entry = harness.fake.entries[key]
    assert (entry["name"], entry["workspace"]) == ("Writer", f"/agents/workspace-{key}")
    assert "heartbeat" not in entry
    assert harness.fake.scratches == {}
    assert "Writer" in harness.files_of(agent)["AGENTS.md"]
    [hello] = await harness.list_messages(agent)
    assert (hello.kind, hello.deliver) == ("WAKE UP", True)
    await harness.check_in(agent)
    await harness.reconcile_until_idle()
    agent = await harness.get_agent(agent)
    assert (agent.step, agent.wants_wake, agent.wake_attempts) == (None, False, 0)
    steps = (
        ProvisioningStep.CREATE,
        ProvisioningStep.LISTED,
        ProvisioningStep.NAME,
        ProvisioningStep.FILES,
        ProvisioningStep.HEARTBEAT,
        ProvisioningStep.SCRATCH,
    )
    assert set(agent.provisioning_state.step_times) == {step.value for step in steps}
    received = await harness.list_events(
        EventType.AGENT_PROVISIONED, EventType.AGENT_PROVISION_FAILED
    )
    assert [event.type for event in received] == [EventType.AGENT_PROVISIONED]


async def test_many_sync_requests_create_one_agent_and_write_nothing_more(
    harness: ProvisioningHarness,
) -> None:
    """W-07."""
    agent = await harness.create_online_agent()
    before, calls = list(harness.fake.changes), len(harness.fake.calls)
    for _ in range(SYNC_REQUESTS):
        async with harness.transaction() as session:
            await desired_state.request_sync(session, Agent.id == agent.id)
        await harness.reconcile_until_idle()
    assert harness.fake.changes == before
    assert {method for method, _ in harness.fake.calls[calls:]} == READ_METHODS
    assert harness.fake.listed_agents() == [agent.gateway_key]
    after = await harness.get_agent(agent)
    assert after.observed_generation == after.generation == agent.generation + SYNC_REQUESTS


async def test_our_files_stay_ours_if_the_answer_to_a_write_was_lost(
    harness: ProvisioningHarness,
) -> None:
    """Only changes by the agent itself make a file its own."""
    agent, is_lost = await harness.create_online_agent(), False

    async def call(name: str) -> None:
        async with harness.transaction() as session:
            await agents.update_agent(
                session, harness.world.alice_member, agent.id, agents.AgentUpdate.of(name=name)
            )

    def lose_the_answer(method: str, params: Any) -> Fault:
        nonlocal is_lost
        is_it = method == "agents.files.set" and params["name"] == "IDENTITY.md" and not is_lost
        is_lost = is_lost or is_it
        return LostAfter() if is_it else None

    harness.fake.fault = lose_the_answer
    await call("Rewriter")
    for _ in range(40):
        if not is_lost:
            harness.moment = max(harness.moment, await harness.reconcile_once() or harness.moment)
    assert is_lost
    assert "Rewriter" in harness.files_of(agent)["IDENTITY.md"]
    for name in ("Editor", "Printer"):
        await call(name)
        await harness.reconcile_until_idle()
        assert name in harness.files_of(agent)["IDENTITY.md"]


async def test_a_concurrent_change_by_the_agent_is_kept(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()

    def be_quicker(method: str, params: Any) -> Fault:
        if method == "agents.files.set" and params["name"] == "IDENTITY.md":
            harness.files_of(agent)["IDENTITY.md"] = "I am my own."
        return None

    harness.fake.fault = be_quicker
    async with harness.transaction() as session:
        await agents.update_agent(
            session, harness.world.alice_member, agent.id, agents.AgentUpdate.of(name="Editor")
        )
    await harness.reconcile_until_idle()
    assert harness.files_of(agent)["IDENTITY.md"] == "I am my own."
    assert (await harness.get_agent(agent)).provision_failure is None


@dataclass
class CallInterrupter:
    """Interrupts one call per agent: of one agent the first, of the next the second, and so on.

    Calls for all agents at once are interrupted the first time.
    """

    number_of: dict[str, int]
    spring: Callable[[], Fault]
    counted: Counter[str] = field(default_factory=Counter)

    def __call__(self, method: str, params: object) -> Fault:
        """Count a call."""
        found = re.search(r"(mc|lead)-[0-9a-f-]{36}", str(params))
        whose = method if method == "config.patch" or not found else found[0]
        self.counted[whose] += 1
        is_it = self.counted[whose] == self.number_of.get(whose, 1)
        return self.spring() if is_it else None


@pytest.mark.parametrize(
    "fault",
    [
        LostBefore(),
        pytest.param(LostAfter(4001), marks=repetition),  # as in the next test
        pytest.param(LostAfter(), marks=repetition),
    ],
)
async def test_any_interrupted_call_leads_to_the_same_result(
    harness: ProvisioningHarness, fault: Fault
) -> None:
    """W-26. Every call is interrupted before or after its execution, with several close codes."""
    created = await create_agents(harness)
    harness.fake.fault = make_interrupter(created, lambda: fault)
    await provision_agents(harness, created)
    assert len(harness.fake.connect_params) > len(created)
    for agent in created:
        await require_provisioned(harness, agent)


async def test_another_process_continues_after_any_interruption(
    harness: ProvisioningHarness,
) -> None:
    """W-30. The call is executed, and its answer is lost."""
    created, deaths = await create_agents(harness), 0

    def die() -> Fault:
        nonlocal deaths
        deaths += 1
        working.cancel()
        return None

    harness.fake.fault = make_interrupter(created, die)
    while True:
        working = asyncio.create_task(provision_agents(harness, created))
        try:
            await working
            break
        except asyncio.CancelledError:
            harness.reconciler = harness.new_reconciler()
            await asyncio.sleep(0.01)  # for what was asked, and is done though nobody waits for it
    assert deaths > len(created)
    for agent in created:
        await require_provisioned(harness, agent)


async def create_agents(harness: ProvisioningHarness) -> list[Agent]:
    """Create as many agents as provisioning makes calls for one of them."""
    first = await harness.create_online_agent("Whole")
    calls = [one for one in harness.fake.calls if (first.gateway_key or "") in str(one)]
    return [await harness.create_agent(f"Writer {number}") for number in range(1, len(calls))]


def make_interrupter(created: list[Agent], spring: Callable[[], Fault]) -> CallInterrupter:
    keys = [agent.gateway_key or "" for agent in created]
    return CallInterrupter({key: number for number, key in enumerate(keys, 1)}, spring)


async def provision_agents(harness: ProvisioningHarness, created: list[Agent]) -> None:
    await harness.reconcile_until_idle()
    await harness.check_in(*created)
    await harness.reconcile_until_idle()


async def require_provisioned(harness: ProvisioningHarness, agent: Agent) -> None:
    """Fail unless an agent exists once, is complete, and was written once."""
    agent = await harness.get_agent(agent)
    key = agent.gateway_key or ""
    assert (agent.step, agent.provision_failure, agent.wants_wake) == (None, None, False)
    assert agent.observed_generation == agent.generation
    assert harness.fake.listed_agents().count(key) == 1
    entry = harness.fake.entries[key]
    assert (entry["name"], "heartbeat" in entry) == (agent.name, False)
    assert agent.name in harness.files_of(agent)["IDENTITY.md"]
    assert harness.token_of(agent).startswith("mc_agent_")
    assert len(await harness.list_messages(agent)) == 1
    written = Counter(
        (method, params.get("name", ""))
        for method, params in harness.fake.changes
        if key in str(params)
    )
    assert set(written.values()) == {1}, written


async def test_a_requested_wake_happens_although_the_agent_was_woken_before(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    harness.moment += timedelta(minutes=1)
    async with harness.transaction() as session:
        await desired_state.request_sync(session, Agent.id == agent.id, wake=True)
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(agent)).step is ProvisioningStep.CHECK_IN
    assert len(await harness.list_messages(agent)) == 2


async def test_agents_of_a_paused_board_are_woken_when_it_resumes(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent("First")
    await send_chat_command(harness, "/pause")
    second = await harness.create_agent("Second")
    await harness.reconcile_until_idle()
    second = await harness.get_agent(second)
    assert (
        provisioning.provisioning_status(second, harness.moment)
        is provisioning.ProvisioningStatus.PAUSED
    )
    assert [one.kind for one in await harness.list_messages(second)] == []
    await send_chat_command(harness, "/resume")
    await harness.reconcile_until_idle()
    assert (await harness.get_agent(second)).step is ProvisioningStep.CHECK_IN
    assert "WAKE UP" in [one.kind for one in await harness.list_messages(second)]


async def send_chat_command(harness: ProvisioningHarness, command: str) -> None:
    async with harness.transaction() as session:
        board = await boards.lock_board(session, harness.world.alice, harness.world.garden.id)
        draft = memory.NoteCreate(content=command, tags=["chat"])
        await memory.create_note(
            session, harness.world.alice, memory.board_scope(board), draft, base_url=BASE_URL
        )


async def test_a_recent_call_or_a_listing_makes_an_agent_online(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    assert agents.find_status_evidence(agent, harness.moment).source is agents.StatusSource.CALL
    for _ in range(30):
        harness.moment += timedelta(minutes=1)
        await harness.reconcile_once()
    agent = await harness.get_agent(agent)
    known = agents.find_status_evidence(agent, harness.moment)
    assert (known.source, known.at) == (agents.StatusSource.GATEWAY, harness.moment)
    assert agents.compute_status(agent, None, harness.moment) == "online"
    later = harness.moment + timedelta(minutes=25)
    assert agents.compute_status(agent, None, later) == "offline"


async def test_an_agent_is_online_again_when_its_gateway_returns(
    harness: ProvisioningHarness,
) -> None:
    agent = await harness.create_online_agent()
    async with harness.transaction() as session:
        await session.execute(update(Agent).values(status="offline", listed_at=None))
    harness.moment += timedelta(minutes=30)
    await harness.reconcile_once()
    assert (await harness.get_agent(agent)).status == "online"
    [*_, received] = await harness.list_events(EventType.AGENT_STATUS_CHANGED)
    assert (received.agent_id, received.data["to"]) == (agent.id, "online")


async def test_agents_are_looked_for_again_when_the_clock_was_set_back(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    harness.moment += timedelta(hours=2)
    await harness.reconcile_once()
    harness.moment -= timedelta(hours=1)
    before = len(harness.fake.calls)
    await harness.reconcile_once()
    assert "agents.list" in [method for method, _ in harness.fake.calls[before:]]
