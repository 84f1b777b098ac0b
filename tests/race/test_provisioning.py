"""Two processes that both think they hold a gateway, with real commits: each agent comes once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from kit.doorbell import Doorbell
from models import Agent, EventType, Step
from openclaw import Link
from services import agent_files, agents
from services.provisioning import Reconciler
from tests.conftest import Transaction
from tests.openclaw.fake import target
from tests.services.yard import BASE_URL, QUICK, Yard, a_yard
from tests.world import SEAL, World

CREW = 4


@pytest.fixture
async def yard(real_transaction: Transaction, real_world: World) -> AsyncIterator[Yard]:
    async with a_yard(real_transaction, real_world) as yard:
        yield yard


async def works(yard: Yard, crew: list[Agent]) -> None:
    """Let a process work over a connection of its own until all have come."""
    station = Reconciler(yard.transaction, Doorbell(), SEAL, agent_files.library(BASE_URL))
    async with Link(target(yard.workshop), budget=QUICK) as link, asyncio.timeout(60):
        await link.hello()
        while any([(await yard.row(agent)).step is not Step.CHECK_IN for agent in crew]):
            await station.look(yard.gateway.id, link)
            await asyncio.sleep(0.01)


async def test_of_three_stations_at_one_gateway_each_agent_is_made_and_woken_once(
    yard: Yard,
) -> None:
    """One whose lease was lost may work on for a moment."""
    crew = [await yard.add(f"Writer {number}") for number in range(CREW)]
    crew.append(await yard.add("Lead", is_board_lead=True))
    await asyncio.gather(*(works(yard, crew) for _ in range(3)))
    for agent in crew:
        row = await yard.row(agent)
        assert (row.step, row.wake_attempts, row.provision_failure) == (Step.CHECK_IN, 1, None)
        assert len(await yard.messages(agent)) == 1
    assert sorted(yard.workshop.listed()) == sorted(one.gateway_key or "" for one in crew)
    made = Counter(method for method, _ in yard.workshop.changes)
    assert (made["agents.create"], made["agents.delete"]) == (len(crew), 0)
    assert len(await yard.events(EventType.AGENT_PROVISIONED)) == len(crew)


async def test_who_is_deleted_while_it_comes_is_not_left_there(yard: Yard) -> None:
    for number in range(12):
        agent = await yard.add(f"Writer {number}")

        async def leave(agent=agent, number=number) -> None:
            await asyncio.sleep(number * 0.01)
            async with yard.transaction() as session:
                await agents.delete(session, yard.world.alice, agent.id)

        await asyncio.gather(yard.settle(), leave())
        await yard.settle()
        assert await yard.found(agent) is None
    assert yard.workshop.listed() == []
