"""Agents that are moved or deleted while somebody waits for their board."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict, Forbidden, Unauthorized
from models import Agent, Member, Status, Task
from services import agents, boards, identity, organizations, tasks
from tests.conftest import Transaction
from tests.race.waiting import somebody_waits
from tests.services.test_tokens import give_token
from tests.world import World

Deed = Callable[[AsyncSession], Awaitable[object]]


async def done_while_waiting(transaction: Transaction, waits: Deed, meanwhile: Deed) -> object:
    """Do something, let it wait for a lock until something else is done, and return how it ends."""

    async def do() -> object:
        async with transaction() as session:
            return await waits(session)

    async with transaction() as session:
        await meanwhile(session)
        waiting = asyncio.create_task(do())
        await somebody_waits(transaction)
    return (await asyncio.gather(waiting, return_exceptions=True))[0]


@pytest.fixture
async def alices(real_transaction: Transaction, real_world: World) -> Member:
    async with real_transaction() as session:
        return await organizations.active(session, real_world.alice)


@pytest.fixture
async def task(real_transaction: Transaction, real_world: World) -> Task:
    async with real_transaction() as session:
        return await session.merge(real_world.task())


def to_the_garden(world: World, alices: Member, agent: Agent) -> Deed:
    return lambda session: agents.change(session, alices, agent.id, {"board_id": world.garden.id})


def away(world: World, agent: Agent) -> Deed:
    return lambda session: agents.delete(session, world.alice, agent.id)


async def test_an_agent_that_is_moved_while_its_claim_waits_gets_nothing(
    real_transaction, real_world, alices, task
) -> None:
    world = real_world

    async def claim(session):
        board = await boards.hold(session, world.worker, world.board.id)
        await tasks.change(session, world.worker, board, task.id, {"status": "in_progress"})

    moving = to_the_garden(world, alices, world.worker)
    refused = await done_while_waiting(real_transaction, claim, moving)
    assert isinstance(refused, Forbidden)
    async with real_transaction() as session:
        assert (await session.get(Task, task.id)).status is Status.INBOX


async def test_an_agent_that_is_deleted_while_its_comment_waits_is_known_no_more(
    real_transaction, real_world, task
) -> None:
    world = real_world

    async def speak(session):
        board = await boards.hold(session, world.worker, world.board.id)
        await tasks.comment(session, world.worker, board, task.id, "I am still here.")

    refused = await done_while_waiting(real_transaction, speak, away(world, world.worker))
    assert isinstance(refused, Unauthorized)


async def test_a_lead_that_is_moved_while_it_waits_leads_no_more(
    real_transaction, real_world, alices, task
) -> None:
    world = real_world

    async def remove(session):
        board = await boards.hold(session, world.lead, world.board.id)
        await tasks.delete(session, world.lead, board, task.id)

    moving = to_the_garden(world, alices, world.lead)
    assert isinstance(await done_while_waiting(real_transaction, remove, moving), Forbidden)


@pytest.mark.parametrize("deed", ["change", "issue_token", "delete"])
async def test_who_waits_for_an_agent_that_is_moved_is_told_to_try_again(
    real_transaction, real_world, alices, deed
) -> None:
    world, id = real_world, real_world.worker.id
    deeds = {
        "change": lambda session: agents.change(session, alices, id, {"name": "Renamed"}),
        "issue_token": lambda session: agents.issue_token(session, alices, id),
        "delete": lambda session: agents.delete(session, world.alice, id),
    }
    moving = to_the_garden(world, alices, world.worker)
    refused = await done_while_waiting(real_transaction, deeds[deed], moving)
    assert isinstance(refused, Conflict)
    assert refused.code == "agent_moved"


async def test_deleting_an_agent_that_is_deleted_meanwhile_is_no_trouble(
    real_transaction, real_world
) -> None:
    going = away(real_world, real_world.worker)
    assert await done_while_waiting(real_transaction, going, going) is None


async def test_a_token_that_is_first_used_while_its_agent_is_deleted_opens_nothing(
    real_transaction, real_world
) -> None:
    worker = real_world.worker
    async with real_transaction() as session:
        new = await give_token(session, worker)

    async def call(session):
        return await identity.agent_with_token(session, new)

    assert await done_while_waiting(real_transaction, call, away(real_world, worker)) is None


async def test_a_first_call_and_a_deletion_at_once_do_not_block_each_other(
    real_transaction, real_world
) -> None:
    world = real_world
    async with real_transaction() as session:
        board = await boards.hold(session, world.alice, world.garden.id)
        made = [
            await agents.create(session, world.alice, board, agents.AgentDraft(name=f"No. {n}"))
            for n in range(60)
        ]

    async def call(token):
        async with real_transaction() as session:
            agent = await identity.agent_with_token(session, token)
            if agent is not None:
                await agents.touch(session, agent)

    async def delete(agent):
        async with real_transaction() as session:
            await agents.delete(session, world.alice, agent.id)

    for agent, token in made:
        await asyncio.gather(delete(agent), call(token))
