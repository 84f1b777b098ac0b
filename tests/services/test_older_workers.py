"""A worker that was overtaken at a gateway writes nothing over what is so by now."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import Doorbell
from models import Agent, GatewayLeftover, Step
from services import agent_files, agents, provisioning
from services.provisioning import Reconciler
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.services.yard import BASE_URL, Yard, a_yard
from tests.world import SEAL, World

KEPT = (
    *("gateway_id", "desired_state", "generation", "observed_generation", "step"),
    *("step_attempts", "next_step_at", "provision_failure", "written", "wants_wake", "woken_at"),
)

Overtakes = Callable[[Yard, Agent], Awaitable[None]]


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    """A yard in which all happens at the same moment: times tell nobody apart."""
    async with a_yard(transaction, world) as yard:
        yard.moment += timedelta(hours=1)
        yield yard


def overtaken(yard: Yard, then: Callable[[], Awaitable[None]]) -> Reconciler:
    """Return a worker that has looked what is to be done, when something else happens first."""
    opened = 0

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession]:
        nonlocal opened
        opened += 1
        if opened == 2:
            await then()
        async with yard.transaction() as session:
            yield session

    library = agent_files.library(BASE_URL)
    return Reconciler(transaction, Doorbell(), SEAL, library, clock=lambda: yard.moment)


async def is_asked_for_anew(yard: Yard, agent: Agent) -> None:
    async with yard.transaction() as session:
        await provisioning.ask(session, Agent.id == agent.id)


async def is_brought_on_by_another(yard: Yard, _agent: Agent) -> None:
    await yard.another().look(yard.gateway.id, yard.link)


async def is_put_off_by_another(yard: Yard, _agent: Agent) -> None:
    yard.workshop.fault = lambda _method, _params: Refused("UNAVAILABLE", "not now")
    await yard.another().look(yard.gateway.id, yard.link)
    yard.workshop.fault = lambda _method, _params: None


async def is_deleted(yard: Yard, agent: Agent) -> None:
    async with yard.transaction() as session:
        await agents.delete(session, yard.world.alice, agent.id)


async def lives_elsewhere(yard: Yard, _agent: Agent) -> None:
    await yard.change_board(gateway_id=None)


def kept(agent: Agent | None) -> dict[str, Any] | None:
    return {name: getattr(agent, name) for name in KEPT} if agent else None


async def brought_to(yard: Yard, step: Step) -> Agent:
    """Have an agent made that is to take this step next."""
    agent = await yard.there() if step is Step.REMOVE else await yard.add()
    if step is Step.REMOVE:
        await is_deleted(yard, agent)
    for _ in range(40):
        agent = await yard.row(agent)
        if agent.step is step:
            break
        yard.moment = max(yard.moment, await yard.look() or yard.moment)
    assert agent.step is step
    if step is Step.CHECK_IN:
        await yard.call(agent)
    return await yard.row(agent)


OVERTAKES: list[Overtakes] = [
    *(is_asked_for_anew, is_brought_on_by_another, is_put_off_by_another),
    *(is_deleted, lives_elsewhere),
]
ON_THE_WAY = [(step, one) for step in Step if step is not Step.REMOVE for one in OVERTAKES]


@pytest.mark.parametrize(("step", "overtakes"), [*ON_THE_WAY, (Step.REMOVE, is_put_off_by_another)])
async def test_a_worker_that_was_overtaken_leaves_an_agent_as_it_is_by_now(
    yard: Yard, step: Step, overtakes: Overtakes
) -> None:
    """One whose lease was lost may go on for a moment."""
    agent = await brought_to(yard, step)
    now_so: list[Any] = []

    async def then() -> None:
        await overtakes(yard, agent)
        now_so.append(kept(await yard.found(agent)))
        now_so.append(len(await yard.messages(agent)))

    await overtaken(yard, then).look(yard.gateway.id, yard.link)
    found = await yard.found(agent)
    assert [kept(found), len(await yard.messages(agent))] == now_so


@pytest.mark.parametrize("step", [Step.CREATE, Step.FILES])
@pytest.mark.parametrize("overtakes", [is_deleted, lives_elsewhere])
async def test_what_could_be_taken_for_another_s_is_not_written_for_who_is_not_wanted_there(
    yard: Yard, step: Step, overtakes: Overtakes
) -> None:
    agent = await brought_to(yard, step)
    before: list[int] = []

    async def then() -> None:
        await overtakes(yard, agent)
        before.append(len(yard.workshop.changes))

    await overtaken(yard, then).look(yard.gateway.id, yard.link)
    assert yard.workshop.changes[before[0] :] == []


async def test_a_worker_that_was_overtaken_does_not_remove_who_has_the_place_by_now(
    yard: Yard,
) -> None:
    """Two leads of a board, one after the other, have one key on their gateway."""
    old = await yard.there("Ada", is_board_lead=True)
    left = {"gateway_id": yard.gateway.id, "agent_key": old.gateway_key}
    async with yard.transaction() as session:
        session.add(GatewayLeftover(**left, next_try_at=yard.moment, created_at=yard.moment))
        await session.execute(delete(Agent).where(Agent.id == old.id))
    new = await yard.add("Ada", is_board_lead=True)
    assert new.gateway_key == old.gateway_key
    await overtaken(yard, yard.settle).look(yard.gateway.id, yard.link)
    assert yard.workshop.listed() == [new.gateway_key]
    assert [method for method, _ in yard.workshop.changes].count("agents.delete") == 1
