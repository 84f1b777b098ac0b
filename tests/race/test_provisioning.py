"""Two processes that both think they hold a gateway, with real commits: each agent comes once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.doorbell import Doorbell
from kit.errors import Refusal
from models import Agent, EventType, Gateway, GatewayDeparture, Step
from openclaw import Guard, Link
from services import agent_files, agents, gateways, organizations, provisioning
from services.gateways import Carrier
from services.provisioning import Reconciler, rows
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, target
from tests.openclaw.workshop import Fault
from tests.race.waiting import somebody_waits
from tests.services.yard import BASE_URL, QUICK, Yard, a_yard
from tests.world import SEAL, World, a_gateway, a_main

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


async def test_who_asks_for_all_agents_waits_for_the_first_of_them_and_holds_none_meanwhile(
    yard: Yard,
) -> None:
    """Else two that do so would wait for each other, and one would fail."""
    crew = sorted([await yard.add(f"Writer {number}") for number in range(3)], key=lambda a: a.id)
    first, *others = [one.id for one in crew]
    keys = [one.gateway_key or "" for one in crew]
    here = Agent.gateway_id == yard.gateway.id

    async def ask() -> None:
        async with yard.transaction() as session:
            await provisioning.ask(session, here)

    async def note() -> None:
        async with yard.transaction() as session:
            await rows.seen(session, yard.gateway.id, keys, now())

    for work in (ask, note):
        async with yard.transaction() as session:  # so that it is the last that a scan finds
            await session.execute(update(Agent).where(Agent.id == first).values(name="Writer"))
        async with yard.transaction() as session:
            await session.execute(select(Agent.id).where(Agent.id == first).with_for_update())
            racing = asyncio.create_task(work())
            await somebody_waits(yard.transaction)
            query = select(Agent.id).where(Agent.id.in_(others))
            free = await session.scalars(query.with_for_update(skip_locked=True))
            assert set(free) == set(others)
        await racing


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


@pytest.mark.parametrize("calls", [1, 6, 11, 18, 27])
async def test_an_organization_that_goes_while_its_agents_come_leaves_none_there(
    yard: Yard, calls: int
) -> None:
    for number in range(3):
        await yard.add(f"Writer {number}")
    is_time = asyncio.Event()

    def count(_method: str, _params: Any) -> Fault:
        if len(yard.workshop.calls) >= calls:
            is_time.set()
        return None

    async def delete() -> None:
        await is_time.wait()
        async with yard.transaction() as session:
            await organizations.delete_organization(session, yard.world.alices)

    carrier = Carrier(SEAL, Guard(), budget=QUICK)
    async with yard.transaction() as session:
        sealed = carrier.seal(yard.gateway.id, "token", TOKEN)
        await session.execute(update(Gateway).values(sealed_token=sealed))
    yard.workshop.fault = count
    async with asyncio.timeout(30):
        await asyncio.gather(yard.settle(), delete())
    for _ in range(3):
        await gateways.take_leave(yard.transaction, carrier, clock=yard.now)
        yard.moment += timedelta(minutes=2)
    assert yard.workshop.entries == {}
    async with yard.transaction() as session:
        assert await session.scalar(select(GatewayDeparture)) is None


async def test_an_organization_goes_while_its_gateways_go_and_are_looked_at(
    real_transaction: Transaction, real_world: World
) -> None:
    """Nobody waits for the deletion while it waits for them."""
    world, carrier = real_world, Carrier(SEAL, Guard())
    rows = [a_gateway(world.tern, f"Harbour {number}") for number in range(12)]
    async with real_transaction() as session:
        session.add_all(rows)
        await session.flush()
        session.add_all([row for gateway in rows for row in a_main(gateway)])

    async def remove(session: AsyncSession, gateway: Gateway) -> None:
        await gateways.delete(session, world.alices, gateway.id)

    async def rename(session: AsyncSession, gateway: Gateway) -> None:
        changes = {"name": f"New {gateway.name}"}
        await gateways.change(session, world.alices, carrier, gateway.id, changes)

    async def goes(session: AsyncSession, _gateway: Gateway) -> None:
        found = await organizations.membership(session, world.alice, world.tern.id)
        assert found is not None
        await organizations.delete_organization(session, found)

    async def do(deed: Callable[[AsyncSession, Gateway], Awaitable[None]], to: Gateway) -> None:
        async with real_transaction() as session:
            await deed(session, to)

    deeds = [do(deed, to) for to, deed in zip(rows, [remove, rename] * 6, strict=True)]
    ended = await asyncio.gather(*deeds, do(goes, rows[0]), return_exceptions=True)
    assert all(one is None or isinstance(one, Refusal) for one in ended), ended
