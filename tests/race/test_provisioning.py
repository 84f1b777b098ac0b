"""Several processes at one gateway, with real commits: each agent is created once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.errors import AppError
from models import Agent, EventType, Gateway, GatewayCleanup, ProvisioningStep
from openclaw import AddressPolicy, GatewayClient
from services import agents, desired_state, gateways, organizations
from services.gateways import GatewayConnector, provisioning
from services.gateways.provisioning import Reconciler, store
from tests.support.fake_agents_gateway import Fault
from tests.support.fake_gateway import TOKEN, create_target
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.provisioning_harness import (
    BASE_URL,
    QUICK_POLICY,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.tiers import IS_COMPLETE_RUN, repetition
from tests.support.world import World

AGENT_COUNT = 4


@pytest.fixture
async def harness(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        yield harness


async def run_process(harness: ProvisioningHarness, created: list[Agent]) -> None:
    """Run a process with a connection of its own until all agents are provisioned."""
    reconciler = Reconciler(
        harness.transaction,
        harness.transaction,
        PostgresListener(),
        CIPHER,
        BASE_URL,
    )
    async with (
        GatewayClient(create_target(harness.fake), retry_policy=QUICK_POLICY) as client,
        asyncio.timeout(60),
    ):
        await client.get_hello()
        while any(
            [
                (await harness.get_agent(agent)).step is not ProvisioningStep.CHECK_IN
                for agent in created
            ]
        ):
            await reconciler.reconcile(harness.gateway.id, client)
            await asyncio.sleep(0.01)


async def test_three_reconcilers_send_each_heartbeat_message_once(
    harness: ProvisioningHarness,
) -> None:
    loud = {"every": "1h", "quiet": False}
    created = [await harness.create_online_agent(f"{n}", heartbeat_config=loud) for n in range(4)]
    async with harness.transaction() as session:
        mine = update(Agent).where(Agent.id.in_([agent.id for agent in created]))
        await session.execute(mine.values(next_heartbeat_at=harness.now()))
    reconcilers = [harness.new_reconciler() for _ in range(3)]
    await asyncio.gather(
        *(one.reconcile(harness.gateway.id, harness.client) for one in reconcilers)
    )
    for agent in created:
        kinds = Counter(message.kind for message in await harness.list_messages(agent))
        assert kinds["HEARTBEAT"] == 1


async def test_three_reconcilers_create_and_wake_each_agent_once(
    harness: ProvisioningHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has lost its lease may continue for a moment."""
    monkeypatch.setattr("services.gateways.provisioning.state_machine.FIRST_RETRY_DELAY", 0.1)
    created = [await harness.create_agent(f"Writer {number}") for number in range(AGENT_COUNT)]
    created.append(await harness.create_agent("Lead", is_board_lead=True))
    await asyncio.gather(*(run_process(harness, created) for _ in range(3)))
    for agent in created:
        row = await harness.get_agent(agent)
        assert (row.step, row.wake_attempts, row.provision_failure) == (
            ProvisioningStep.CHECK_IN,
            1,
            None,
        )
        assert len(await harness.list_messages(agent)) == 1
    assert sorted(harness.fake.listed_agents()) == sorted(one.gateway_key or "" for one in created)
    made = Counter(method for method, _ in harness.fake.changes)
    assert (made["agents.create"], made["agents.delete_agent"]) == (len(created), 0)
    assert len(await harness.list_events(EventType.AGENT_PROVISIONED)) == len(created)


async def test_syncs_of_all_agents_lock_them_in_order(
    harness: ProvisioningHarness,
) -> None:
    """Otherwise two such commands could deadlock, and one would fail."""
    created = sorted(
        [await harness.create_agent(f"Writer {number}") for number in range(3)], key=lambda a: a.id
    )
    first, *others = [one.id for one in created]
    keys = [one.gateway_key or "" for one in created]
    here = Agent.gateway_id == harness.gateway.id

    async def request_all() -> None:
        async with harness.transaction() as session:
            await desired_state.request_sync(session, here)

    async def note() -> None:
        async with harness.transaction() as session:
            await store.record_listed_agents(session, harness.gateway.id, keys, now())

    for work in (request_all, note):
        async with harness.transaction() as session:  # so that it is the last that a scan finds
            await session.execute(update(Agent).where(Agent.id == first).values(name="Writer"))
        async with harness.transaction() as session:
            await session.execute(select(Agent.id).where(Agent.id == first).with_for_update())
            racing = asyncio.create_task(work())
            await wait_for_lock_waiter(harness.transaction)
            query = select(Agent.id).where(Agent.id.in_(others))
            free = await session.scalars(query.with_for_update(skip_locked=True))
            assert set(free) == set(others)
        await racing


async def test_an_agent_deleted_during_provisioning_is_removed(
    harness: ProvisioningHarness,
) -> None:
    for number in range(12) if IS_COMPLETE_RUN else (1, 5, 9):
        agent = await harness.create_agent(f"Writer {number}")

        async def leave(agent=agent, number=number) -> None:
            await asyncio.sleep(number * 0.01)
            async with harness.transaction() as session:
                await agents.delete_agent(session, harness.world.alice, agent.id)

        await asyncio.gather(harness.reconcile_until_idle(), leave())
        await harness.reconcile_until_idle()
        assert await harness.find_agent(agent) is None
    assert harness.fake.listed_agents() == []


@pytest.mark.parametrize(
    "calls", [1, 11, 27, *(pytest.param(one, marks=repetition) for one in (6, 18))]
)
async def test_deleting_an_organization_removes_agents_being_created(
    harness: ProvisioningHarness, calls: int
) -> None:
    for number in range(3):
        await harness.create_agent(f"Writer {number}")
    is_time = asyncio.Event()

    def count(_method: str, _params: Any) -> Fault:
        if len(harness.fake.calls) >= calls:
            is_time.set()
        return None

    async def delete() -> None:
        await is_time.wait()
        async with harness.transaction() as session:
            await organizations.delete_organization(
                session, harness.world.alice_member, signed_in_at=now()
            )

    connector = GatewayConnector(CIPHER, AddressPolicy(), retry_policy=QUICK_POLICY)
    async with harness.transaction() as session:
        encrypted = connector.encrypt(harness.gateway.id, "token", TOKEN)
        await session.execute(update(Gateway).values(encrypted_token=encrypted))
    harness.fake.fault = count
    async with asyncio.timeout(30):
        await asyncio.gather(harness.reconcile_until_idle(), delete())
    for _ in range(3):
        await provisioning.run_cleanup(
            harness.transaction, connector, open_read=harness.transaction, clock=harness.now
        )
        harness.moment += timedelta(minutes=2)
    assert harness.fake.entries == {}
    async with harness.transaction() as session:
        assert await session.scalar(select(GatewayCleanup)) is None


async def test_an_organization_is_deleted_during_deletions_of_its_gateways(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """No transaction waits for the deletion while the deletion waits for it."""
    world, connector = isolated_world, GatewayConnector(CIPHER, AddressPolicy())
    rows = [make_gateway(world.tern, f"Harbour {number}") for number in range(12)]
    async with isolated_transaction() as session:
        session.add_all(rows)
        await session.flush()
        session.add_all([row for gateway in rows for row in make_main_agent(gateway)])

    async def remove(session: AsyncSession, gateway: Gateway) -> None:
        await gateways.delete_gateway(session, world.alice_member, gateway.id)

    async def rename(session: AsyncSession, gateway: Gateway) -> None:
        changes = gateways.GatewayUpdate.of(name=f"New {gateway.name}")
        await gateways.update_gateway(session, world.alice_member, connector, gateway.id, changes)

    async def goes(session: AsyncSession, _gateway: Gateway) -> None:
        found = await organizations.find_membership(session, world.alice, world.tern.id)
        assert found is not None
        await organizations.delete_organization(session, found, signed_in_at=now())

    async def do(change: Callable[[AsyncSession, Gateway], Awaitable[None]], to: Gateway) -> None:
        async with isolated_transaction() as session:
            await change(session, to)

    deeds = [do(change, to) for to, change in zip(rows, [remove, rename] * 6, strict=True)]
    ended = await asyncio.gather(*deeds, do(goes, rows[0]), return_exceptions=True)
    assert all(one is None or isinstance(one, AppError) for one in ended), ended
