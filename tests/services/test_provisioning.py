"""Agents on gateways: they come there whatever breaks, and nothing is written twice."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from models import Agent, EventType, Step
from services import provisioning
from tests.conftest import Transaction
from tests.openclaw.workshop import After, Before, Fault
from tests.services.yard import Yard, a_yard
from tests.world import World


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        yield yard


async def test_an_agent_is_known_on_its_gateway_by_a_name_that_never_changes(yard: Yard) -> None:
    """Contract, agents 14.1 and 14.2."""
    worker, lead = await yard.add(), await yard.add("Ada", is_board_lead=True)
    assert worker.openclaw_session_id == f"agent:mc-{worker.id}:main"
    assert worker.gateway_key == f"mc-{worker.id}"
    assert lead.gateway_key == f"lead-{lead.board_id}"
    assert Agent(openclaw_session_id="agent::main").gateway_key is None


async def test_an_agent_comes_to_its_gateway_is_woken_and_checks_in(yard: Yard) -> None:
    """W-15."""
    made = await yard.add(heartbeat_config={"every": "30m"})
    await yard.settle()
    agent, key = await yard.row(made), made.gateway_key or ""
    assert (agent.step, agent.observed_generation, agent.provision_failure) == (
        Step.CHECK_IN,
        agent.generation,
        None,
    )
    entry = yard.workshop.entries[key]
    assert (entry["name"], entry["workspace"]) == ("Writer", f"/agents/workspace-{key}")
    assert entry["heartbeat"] == {"every": "30m", "target": "none"}
    assert yard.workshop.scratches[key][0].startswith("# ")
    assert "Writer" in yard.files(agent)["AGENTS.md"]
    [hello] = await yard.messages(agent)
    assert (hello.kind, hello.deliver) == ("WAKE UP", True)
    await yard.call(agent)
    await yard.settle()
    agent = await yard.row(agent)
    assert (agent.step, agent.wants_wake, agent.wake_attempts) == (None, False, 0)
    told = await yard.events(EventType.AGENT_PROVISIONED, EventType.AGENT_PROVISION_FAILED)
    assert [event.type for event in told] == [EventType.AGENT_PROVISIONED]


async def test_asking_fifty_times_makes_one_agent_and_writes_nothing_more(yard: Yard) -> None:
    """W-07."""
    agent = await yard.there()
    before = list(yard.workshop.changes)
    for _ in range(50):
        async with yard.transaction() as session:
            await provisioning.ask(session, Agent.id == agent.id)
        await yard.settle()
    assert yard.workshop.changes == before
    assert yard.workshop.listed() == [agent.gateway_key]
    after = await yard.row(agent)
    assert after.observed_generation == after.generation == agent.generation + 50


@dataclass
class Trap:
    """Cuts off a call of each agent: of one its first, of the next its second, and so on.

    What is asked for all agents at once is cut off the first time that it is asked.
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


@pytest.mark.parametrize("fault", [Before(), After(), After(4001)])
async def test_whatever_call_is_cut_off_it_comes_out_as_if_none_were(
    yard: Yard, fault: Fault
) -> None:
    """W-26. Lost before it is done, or after; by a restart, or by another policy: at every call."""
    crew = await a_crew(yard)
    yard.workshop.fault = trap(crew, lambda: fault)
    await brought(yard, crew)
    assert len(yard.workshop.connects) > len(crew)
    for agent in crew:
        await is_as_wanted(yard, agent)


async def test_whenever_its_process_dies_another_one_goes_on(yard: Yard) -> None:
    """W-30. The call at which it dies is done, and nobody heard of it."""
    crew, deaths = await a_crew(yard), 0

    def die() -> Fault:
        nonlocal deaths
        deaths += 1
        working.cancel()
        return None

    yard.workshop.fault = trap(crew, die)
    while True:
        working = asyncio.create_task(brought(yard, crew))
        try:
            await working
            break
        except asyncio.CancelledError:
            yard.station = yard.another()
            await asyncio.sleep(0.01)  # for what was asked, and is done though nobody waits for it
    assert deaths > len(crew)
    for agent in crew:
        await is_as_wanted(yard, agent)


async def a_crew(yard: Yard) -> list[Agent]:
    """Have as many agents made as one of them asks the gateway for something."""
    first = await yard.there("Whole")
    asked = [one for one in yard.workshop.calls if (first.gateway_key or "") in str(one)]
    return [await yard.add(f"Writer {number}") for number in range(1, len(asked))]


def trap(crew: list[Agent], spring: Callable[[], Fault]) -> Trap:
    keys = [agent.gateway_key or "" for agent in crew]
    return Trap({key: number for number, key in enumerate(keys, 1)}, spring)


async def brought(yard: Yard, crew: list[Agent]) -> None:
    await yard.settle()
    await yard.call(*crew)
    await yard.settle()


async def is_as_wanted(yard: Yard, agent: Agent) -> None:
    """Fail unless an agent is there once, with all it is to have, and was written once."""
    agent = await yard.row(agent)
    key = agent.gateway_key or ""
    assert (agent.step, agent.provision_failure, agent.wants_wake) == (None, None, False)
    assert agent.observed_generation == agent.generation
    assert yard.workshop.listed().count(key) == 1
    entry = yard.workshop.entries[key]
    assert (entry["name"], entry["heartbeat"]["every"]) == (agent.name, "10m")
    assert agent.name in yard.files(agent)["IDENTITY.md"]
    assert yard.token(agent).startswith("mc_agent_")
    assert key in yard.workshop.scratches
    assert len(await yard.messages(agent)) == 1
    written = Counter(
        (method, params.get("name", ""))
        for method, params in yard.workshop.changes
        if key in str(params)
    )
    assert set(written.values()) == {1}, written
