"""A worker that was overtaken by another change overwrites nothing."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, OrphanedGatewayAgent, ProvisioningStep
from services import agents, desired_state
from services.gateways.provisioning import Reconciler
from tests.support.fake_gateway import ErrorResponse
from tests.support.provisioning_harness import (
    BASE_URL,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.tiers import repetition
from tests.support.world import World

COMPARED_COLUMNS = (
    *("gateway_id", "desired_state", "generation", "observed_generation", "step"),
    *(
        "step_attempts",
        "next_step_at",
        "provision_failure",
        "provisioning_state",
        "wants_wake",
        "woken_at",
    ),
)

Overtakes = Callable[[ProvisioningHarness, Agent], Awaitable[None]]


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    """A harness in which everything has the same time, so times distinguish nothing."""
    async with run_provisioning_harness(transaction, world) as harness:
        harness.moment += timedelta(hours=1)
        yield harness


def make_overtaken_worker(
    harness: ProvisioningHarness, then: Callable[[], Awaitable[None]]
) -> Reconciler:
    """Return a worker that has loaded its work when another change happens."""
    opened = 0

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession]:
        nonlocal opened
        opened += 1
        if opened == 2:
            await then()
        async with harness.transaction() as session:
            yield session

    return Reconciler(
        transaction,
        harness.transaction,
        PostgresListener(),
        CIPHER,
        BASE_URL,
        clock=lambda: harness.moment,
    )


async def request_sync(harness: ProvisioningHarness, agent: Agent) -> None:
    async with harness.transaction() as session:
        await desired_state.request_sync(session, Agent.id == agent.id)


async def advance_in_other_process(harness: ProvisioningHarness, _agent: Agent) -> None:
    await harness.new_reconciler().reconcile(harness.gateway.id, harness.client)


async def postpone_in_other_process(harness: ProvisioningHarness, _agent: Agent) -> None:
    harness.fake.fault = lambda _method, _params: ErrorResponse("UNAVAILABLE", "not now")
    await harness.new_reconciler().reconcile(harness.gateway.id, harness.client)
    harness.fake.fault = lambda _method, _params: None


async def delete_agent(harness: ProvisioningHarness, agent: Agent) -> None:
    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, agent.id)


async def move_to_no_gateway(harness: ProvisioningHarness, _agent: Agent) -> None:
    await harness.update_board(gateway_id=None)


def compared_values(agent: Agent | None) -> dict[str, Any] | None:
    return {name: getattr(agent, name) for name in COMPARED_COLUMNS} if agent else None


async def create_agent_at_step(harness: ProvisioningHarness, step: ProvisioningStep) -> Agent:
    """Create an agent whose next step is this one."""
    agent = (
        await harness.create_online_agent()
        if step is ProvisioningStep.REMOVE
        else await harness.create_agent()
    )
    if step is ProvisioningStep.REMOVE:
        await delete_agent(harness, agent)
    for _ in range(40):
        agent = await harness.get_agent(agent)
        if agent.step is step:
            break
        harness.moment = max(harness.moment, await harness.reconcile_once() or harness.moment)
    assert agent.step is step
    if step is ProvisioningStep.CHECK_IN:
        await harness.check_in(agent)
    return await harness.get_agent(agent)


OVERTAKES: list[Overtakes] = [
    *(request_sync, advance_in_other_process, postpone_in_other_process),
    *(delete_agent, move_to_no_gateway),
]
GATEWAY_STEPS = [step for step in ProvisioningStep if step is not ProvisioningStep.REMOVE]
OVERTAKEN = [
    pytest.param(step, overtakes, marks=() if place == number % len(OVERTAKES) else repetition)
    for number, step in enumerate(GATEWAY_STEPS)
    for place, overtakes in enumerate(OVERTAKES)
]
"""Each step with each change; in every run each step with one of them."""


@pytest.mark.parametrize(
    ("step", "overtakes"), [*OVERTAKEN, (ProvisioningStep.REMOVE, postpone_in_other_process)]
)
async def test_an_overtaken_worker_does_not_change_the_agent(
    harness: ProvisioningHarness, step: ProvisioningStep, overtakes: Overtakes
) -> None:
    """A process that has lost its lease may continue for a moment."""
    agent = await create_agent_at_step(harness, step)
    now_so: list[Any] = []

    async def then() -> None:
        await overtakes(harness, agent)
        now_so.append(compared_values(await harness.find_agent(agent)))
        now_so.append(len(await harness.list_messages(agent)))

    await make_overtaken_worker(harness, then).reconcile(harness.gateway.id, harness.client)
    found = await harness.find_agent(agent)
    assert [compared_values(found), len(await harness.list_messages(agent))] == now_so


@pytest.mark.parametrize("step", [ProvisioningStep.CREATE, ProvisioningStep.FILES])
@pytest.mark.parametrize("overtakes", [delete_agent, move_to_no_gateway])
async def test_no_file_is_written_for_an_agent_that_has_moved(
    harness: ProvisioningHarness, step: ProvisioningStep, overtakes: Overtakes
) -> None:
    agent = await create_agent_at_step(harness, step)
    before: list[int] = []

    async def then() -> None:
        await overtakes(harness, agent)
        before.append(len(harness.fake.changes))

    await make_overtaken_worker(harness, then).reconcile(harness.gateway.id, harness.client)
    assert harness.fake.changes[before[0] :] == []


async def test_an_overtaken_worker_does_not_remove_the_successor(
    harness: ProvisioningHarness,
) -> None:
    """Successive leads of a board have the same id on their gateway."""
    old = await harness.create_online_agent("Ada", is_board_lead=True)
    left = {"gateway_id": harness.gateway.id, "agent_key": old.gateway_key}
    async with harness.transaction() as session:
        session.add(
            OrphanedGatewayAgent(**left, next_try_at=harness.moment, created_at=harness.moment)
        )
        await session.execute(delete(Agent).where(Agent.id == old.id))
    new = await harness.create_agent("Ada", is_board_lead=True)
    assert new.gateway_key == old.gateway_key
    await make_overtaken_worker(harness, harness.reconcile_until_idle).reconcile(
        harness.gateway.id, harness.client
    )
    assert harness.fake.listed_agents() == [new.gateway_key]
    assert [method for method, _ in harness.fake.changes].count("agents.delete") == 1
