"""Agents that are moved or deleted while another request waits for their board."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import Conflict, Forbidden, Unauthorized
from models import Agent, Board, Member, Status, Task
from services import agents, boards, desired_state, organizations, tasks
from tests.services.test_agent_tokens import add_token
from tests.support.board_rows import make_agent
from tests.support.credentials import authenticate_agent
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.world import World

Deed = Callable[[AsyncSession], Awaitable[object]]


async def run_while_waiting(
    transaction: TransactionFactory, waits: Deed, meanwhile: Deed
) -> object:
    """Run `waits`, which waits for a lock until `meanwhile` is done, and return its result."""

    async def do() -> object:
        async with transaction() as session:
            return await waits(session)

    async with transaction() as session:
        await meanwhile(session)
        waiting = asyncio.create_task(do())
        await wait_for_lock_waiter(transaction)
    return (await asyncio.gather(waiting, return_exceptions=True))[0]


@pytest.fixture
async def alices(isolated_transaction: TransactionFactory, isolated_world: World) -> Member:
    async with isolated_transaction() as session:
        return await organizations.get_or_create_active_membership(session, isolated_world.alice)


@pytest.fixture
async def task(isolated_transaction: TransactionFactory, isolated_world: World) -> Task:
    async with isolated_transaction() as session:
        return await session.merge(isolated_world.make_task())


def to_the_garden(world: World, alices: Member, agent: Agent) -> Deed:
    return lambda session: agents.update_agent(
        session, alices, agent.id, agents.AgentUpdate.of(board_id=world.garden.id)
    )


def away(world: World, agent: Agent) -> Deed:
    return lambda session: agents.delete_agent(session, world.alice, agent.id)


async def test_an_agent_moved_during_its_claim_gets_no_task(
    isolated_transaction, isolated_world, alices, task
) -> None:
    world = isolated_world

    async def claim(session):
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.update_task(
            session, world.worker, board, task.id, tasks.TaskUpdate.of(status="in_progress")
        )

    moving = to_the_garden(world, alices, world.worker)
    rejected = await run_while_waiting(isolated_transaction, claim, moving)
    assert isinstance(rejected, Forbidden)
    async with isolated_transaction() as session:
        assert (await session.get(Task, task.id)).status is Status.INBOX


async def test_an_agent_deleted_during_its_comment_is_unauthorized(
    isolated_transaction, isolated_world, task
) -> None:
    world = isolated_world

    async def speak(session):
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.create_comment(session, world.worker, board, task.id, "I am still here.")

    rejected = await run_while_waiting(isolated_transaction, speak, away(world, world.worker))
    assert isinstance(rejected, Unauthorized)


async def test_a_lead_moved_during_its_request_has_no_lead_rights(
    isolated_transaction, isolated_world, alices, task
) -> None:
    world = isolated_world

    async def remove(session):
        board = await boards.lock_board(session, world.lead, world.board.id)
        await tasks.delete_task(session, world.lead, board, task.id)

    moving = to_the_garden(world, alices, world.lead)
    assert isinstance(await run_while_waiting(isolated_transaction, remove, moving), Forbidden)


@pytest.mark.parametrize("operation", ["change", "issue_token", "delete"])
async def test_changing_an_agent_moved_meanwhile_is_a_conflict(
    isolated_transaction, isolated_world, alices, operation
) -> None:
    world, id = isolated_world, isolated_world.worker.id
    operations = {
        "change": lambda session: agents.update_agent(
            session, alices, id, agents.AgentUpdate.of(name="Renamed")
        ),
        "issue_token": lambda session: agents.issue_token(session, alices, id),
        "delete": lambda session: agents.delete_agent(session, world.alice, id),
    }
    moving = to_the_garden(world, alices, world.worker)
    rejected = await run_while_waiting(isolated_transaction, operations[operation], moving)
    assert isinstance(rejected, Conflict)
    assert rejected.code == "agent_moved"


async def test_deleting_an_agent_deleted_meanwhile_is_no_error(
    isolated_transaction, isolated_world
) -> None:
    going = away(isolated_world, isolated_world.worker)
    assert await run_while_waiting(isolated_transaction, going, going) is False


async def test_a_token_used_during_its_agents_deletion_is_rejected(
    isolated_transaction, isolated_world
) -> None:
    worker = isolated_world.worker
    async with isolated_transaction() as session:
        new = await add_token(session, worker)

    async def call(session):
        return await authenticate_agent(session, new)

    assert await run_while_waiting(isolated_transaction, call, away(isolated_world, worker)) is None


async def test_a_first_call_and_a_deletion_do_not_deadlock(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    async with isolated_transaction() as session:
        board = await boards.lock_board(session, world.alice, world.garden.id)
        created = [
            await agents.create_agent(
                session, world.alice, board, agents.AgentCreate(name=f"No. {n}")
            )
            for n in range(60)
        ]

    async def call(token):
        async with isolated_transaction() as session:
            agent = await authenticate_agent(session, token)
            if agent is not None:
                await agents.touch_agent(session, agent)

    async def delete(agent):
        async with isolated_transaction() as session:
            await agents.delete_agent(session, world.alice, agent.id)

    for agent, token in created:
        await asyncio.gather(delete(agent), call(token))


async def test_agents_of_several_boards_are_changed_in_their_order(
    isolated_transaction, isolated_world
) -> None:
    """The last agent of the first board has a greater id than that of the second board."""
    world = isolated_world
    boards_of = {
        world.board.id: (world.board, world.worker),
        world.garden.id: (world.garden, world.gardener),
    }
    (first, _), (second, early) = (boards_of[id] for id in sorted(boards_of))
    async with isolated_transaction() as session:
        late = await session.merge(make_agent("Late", first))

    async def set_interval(session: AsyncSession) -> object:
        group = boards.GroupAgents(
            [
                (await session.get_one(Agent, agent.id), await session.get_one(Board, board_id))
                for agent, board_id in ((early, second.id), (late, first.id))
            ]
        )
        return await agents.set_group_heartbeat_interval(
            session, world.alice, group, every="5m", include_board_leads=True
        )

    async def do() -> object:
        async with isolated_transaction() as session:
            return await set_interval(session)

    async with isolated_transaction() as session:
        await desired_state.lock_agents(session, Agent.id == late.id)
        changing = asyncio.create_task(do())
        await wait_for_lock_waiter(isolated_transaction)
        await desired_state.lock_agents(session, Agent.id == early.id)
    assert await changing == [early.id, late.id]
