"""Agents on gateways: they come there whatever breaks, and nothing is written twice."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from models import Agent, EventType, Step
from services import agents, boards, memory, provisioning
from tests.conftest import Transaction
from tests.openclaw.workshop import After, Before, Fault
from tests.services.yard import BASE_URL, Yard, a_yard
from tests.world import World

READS = {"agents.list", "agents.files.get", "config.get", "cron.list", "cron.scratch.get"}


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
    steps = (Step.CREATE, Step.LISTED, Step.NAME, Step.FILES, Step.HEARTBEAT, Step.SCRATCH)
    assert set(agent.written["done_at"]) == {step.value for step in steps}
    told = await yard.events(EventType.AGENT_PROVISIONED, EventType.AGENT_PROVISION_FAILED)
    assert [event.type for event in told] == [EventType.AGENT_PROVISIONED]


async def test_asking_fifty_times_makes_one_agent_and_writes_nothing_more(yard: Yard) -> None:
    """W-07."""
    agent = await yard.there()
    before, asked = list(yard.workshop.changes), len(yard.workshop.calls)
    for _ in range(50):
        async with yard.transaction() as session:
            await provisioning.ask(session, Agent.id == agent.id)
        await yard.settle()
    assert yard.workshop.changes == before
    assert {method for method, _ in yard.workshop.calls[asked:]} == READS
    assert yard.workshop.listed() == [agent.gateway_key]
    after = await yard.row(agent)
    assert after.observed_generation == after.generation == agent.generation + 50


async def test_what_we_wrote_is_ours_to_write_anew_though_nobody_heard_that_it_was_written(
    yard: Yard,
) -> None:
    """Only what an agent has made of a file is its own."""
    agent, is_lost = await yard.there(), False

    async def call(name: str) -> None:
        async with yard.transaction() as session:
            await agents.change(session, yard.world.alices, agent.id, {"name": name})

    def lose_the_answer(method: str, params: Any) -> Fault:
        nonlocal is_lost
        is_it = method == "agents.files.set" and params["name"] == "IDENTITY.md" and not is_lost
        is_lost = is_lost or is_it
        return After() if is_it else None

    yard.workshop.fault = lose_the_answer
    await call("Rewriter")
    for _ in range(40):
        if not is_lost:
            yard.moment = max(yard.moment, await yard.look() or yard.moment)
    assert is_lost
    assert "Rewriter" in yard.files(agent)["IDENTITY.md"]
    for name in ("Editor", "Printer"):
        await call(name)
        await yard.settle()
        assert name in yard.files(agent)["IDENTITY.md"]


async def test_what_an_agent_writes_while_we_are_about_to_write_stays(yard: Yard) -> None:
    agent = await yard.there()

    def be_quicker(method: str, params: Any) -> Fault:
        if method == "agents.files.set" and params["name"] == "IDENTITY.md":
            yard.files(agent)["IDENTITY.md"] = "I am my own."
        return None

    yard.workshop.fault = be_quicker
    async with yard.transaction() as session:
        await agents.change(session, yard.world.alices, agent.id, {"name": "Editor"})
    await yard.settle()
    assert yard.files(agent)["IDENTITY.md"] == "I am my own."
    assert (await yard.row(agent)).provision_failure is None


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


async def test_who_is_to_be_woken_is_woken_though_it_was_before(yard: Yard) -> None:
    agent = await yard.there()
    yard.moment += timedelta(minutes=1)
    async with yard.transaction() as session:
        await provisioning.ask(session, Agent.id == agent.id, wake=True)
    await yard.settle()
    assert (await yard.row(agent)).step is Step.CHECK_IN
    assert len(await yard.messages(agent)) == 2


async def test_on_a_paused_board_nobody_is_woken_until_it_is_resumed(yard: Yard) -> None:
    loud = {"every": "5m", "quiet": False}
    first = await yard.there("Loud", heartbeat_config=loud)
    key = first.gateway_key or ""
    assert "./mc" in yard.workshop.scratches[key][0]
    await said(yard, "/pause")
    second = await yard.add("Second")
    await yard.settle()
    second = await yard.row(second)
    assert provisioning.state(second, yard.moment) is provisioning.State.PAUSED
    assert [one.kind for one in await yard.messages(second)] == []
    scratch, _ = yard.workshop.scratches[key]
    assert [line for line in scratch.splitlines() if not line.startswith("#")] == []
    await said(yard, "/resume")
    await yard.settle()
    assert (await yard.row(second)).step is Step.CHECK_IN
    assert "WAKE UP" in [one.kind for one in await yard.messages(second)]
    assert "./mc" in yard.workshop.scratches[key][0]


async def said(yard: Yard, command: str) -> None:
    async with yard.transaction() as session:
        board = await boards.hold(session, yard.world.alice, yard.world.garden.id)
        draft = memory.NoteDraft(content=command, tags=["chat"])
        await memory.write(
            session, yard.world.alice, memory.on_board(board), draft, base_url=BASE_URL
        )


async def test_a_heartbeat_costs_nothing_unless_it_is_set_otherwise(yard: Yard) -> None:
    agent = await yard.there()
    key = agent.gateway_key or ""
    scratch, _ = yard.workshop.scratches[key]
    assert [line for line in scratch.splitlines() if not line.startswith("#")] == []
    never = await yard.there("Never", heartbeat_config={"every": "0m"})
    assert yard.workshop.entries[never.gateway_key or ""]["heartbeat"]["every"] == "0m"
    assert never.gateway_key not in yard.workshop.scratches


@pytest.mark.parametrize(
    ("said", "every"),
    [
        ({"every": "10m", "target": "last", "includeReasoning": False}, "10m"),
        ({"every": " 1h30m "}, "5400s"),
        ({"every": "1d"}, "86400s"),
        ({"every": "0s"}, "0m"),
        ({"every": "10ms"}, "1s"),
        ({"every": "1.5h"}, "5400s"),
        ({"every": 5}, "10m"),
        ({"every": "often"}, "10m"),
        ({}, "10m"),
        (None, "10m"),
    ],
)
def test_a_cadence_is_told_to_a_gateway_in_its_own_words(said: object, every: str) -> None:
    assert provisioning.every(Agent(heartbeat_config=said)) == every


async def test_one_who_has_called_lately_or_whom_its_gateway_has_is_there(yard: Yard) -> None:
    agent = await yard.there()
    assert agents.evidence(agent, yard.moment).by is agents.Sign.CALL
    for _ in range(30):
        yard.moment += timedelta(minutes=1)
        await yard.look()
    agent = await yard.row(agent)
    known = agents.evidence(agent, yard.moment)
    assert (known.by, known.at) == (agents.Sign.GATEWAY, yard.moment)
    assert agents.status(agent, yard.moment) == "online"
    later = yard.moment + timedelta(minutes=25)
    assert agents.status(agent, later) == "offline"


async def test_an_agent_comes_back_with_its_gateway(yard: Yard) -> None:
    agent = await yard.there()
    async with yard.transaction() as session:
        await session.execute(update(Agent).values(status="offline", listed_at=None))
    yard.moment += timedelta(minutes=30)
    await yard.look()
    assert (await yard.row(agent)).status == "online"
    [*_, told] = await yard.events(EventType.AGENT_STATUS_CHANGED)
    assert (told.agent_id, told.data["to"]) == (agent.id, "online")
