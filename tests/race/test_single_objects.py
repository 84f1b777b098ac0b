"""Objects of which there is one: concurrent creations create one, with real commits."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from cli.migrate import migrate_database
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import AppError, Conflict, NotFound, PreconditionFailed, TooMany
from models import (
    Agent,
    ApprovalPolicy,
    Board,
    DeletedTask,
    Event,
    EventType,
    ExternalIdentity,
    FirstRunLink,
    Member,
    OnboardingSession,
    PolicyEffect,
    PolicyRule,
    Task,
    User,
    new_id,
)
from services import agents, boards, gateways, identity, onboarding, policies, tasks
from services.agents import AgentCreate
from services.gateways import GatewayAgentLink, ListedAgent
from services.identity import ProviderProfile
from services.identity.tokens import MAX_API_TOKENS
from tests.race.test_onboarding import BASE
from tests.support.board_rows import make_board
from tests.support.gateway_rows import make_gateway
from tests.support.people_rows import make_user
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.tiers import repetition
from tests.support.world import World


async def add_boards(transaction: TransactionFactory, world: World) -> Sequence[Board]:
    """Add a board for each round."""
    rows = [make_board(f"Board {number}", world.tern) for number in range(ROUNDS)]
    async with transaction() as session:
        session.add_all(rows)
    return rows


def get_error(results: list[Any], kind: type[AppError]) -> Any:
    """Return the only error of two results."""
    [error] = [one for one in results if isinstance(one, BaseException)]
    assert isinstance(error, kind), error
    return error


async def count_events(transaction: TransactionFactory, type: EventType) -> Counter[Any]:
    async with transaction() as session:
        return Counter(await session.scalars(select(Event.board_id).where(Event.type == type)))


async def test_a_board_gets_one_lead(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    rows = await add_boards(isolated_transaction, isolated_world)

    async def create_two(board: Board) -> None:
        def creating(name: str) -> Operation:
            async def create(session: Any) -> None:
                locked = await boards.lock_board_as_admin(session, isolated_world.alice, board.id)
                draft = AgentCreate(name=name, is_board_lead=True)
                await agents.create_agent(session, isolated_world.alice, locked, draft)

            return create

        results = await run_concurrently(isolated_transaction, creating("Ada"), creating("Bo"))
        assert get_error(results, Conflict).code == "board_lead_exists"

    await run_rounds(rows, create_two)
    created = await count_events(isolated_transaction, EventType.AGENT_CREATED)
    assert created == Counter(board.id for board in rows)


async def test_an_agent_of_a_gateway_is_linked_to_one_of_two_boards(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The boards have different locks."""
    world, gateway = isolated_world, make_gateway(isolated_world.tern)
    async with isolated_transaction() as session:
        session.add(gateway)
    listed = [ListedAgent(f"writer-{number}", f"Writer {number}") for number in range(ROUNDS)]

    async def link_to_both(agent: ListedAgent) -> None:
        def linking(board: Board) -> Operation:
            draft = GatewayAgentLink(gateway_agent_id=agent.id, board_id=board.id)
            return lambda session: gateways.link_agent(
                session, world.alice_member, gateway, listed, draft
            )

        results = await run_concurrently(
            isolated_transaction, linking(world.board), linking(world.garden)
        )
        get_error(results, Conflict)

    await run_rounds(listed, link_to_both)
    async with isolated_transaction() as session:
        linked = select(func.count()).select_from(Agent).where(Agent.is_linked)
        assert await session.scalar(linked) == ROUNDS


async def test_an_onboarding_starts_one_conversation(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-39."""
    rows = await add_boards(isolated_transaction, isolated_world)

    async def start_twice(board: Board) -> None:
        async def start(session: Any) -> None:
            locked = await boards.lock_board(session, isolated_world.alice, board.id)
            await onboarding.start_onboarding(session, isolated_world.alice, locked, base_url=BASE)

        results = await run_concurrently(isolated_transaction, start, start)
        assert results == [None, None]

    await run_rounds(rows, start_twice)
    async with isolated_transaction() as session:
        sessions = await session.scalars(select(OnboardingSession.board_id))
        assert Counter(sessions) == Counter(board.id for board in rows)


async def test_a_task_is_deleted_and_restored_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    rows = [world.make_task(f"Task {number}") for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])

    async def race(task: Task) -> None:
        for operation in (tasks.delete_task, tasks.restore_task):

            async def change(session: Any, operation: Any = operation) -> None:
                board = await boards.lock_board(session, world.alice, world.board.id)
                await operation(session, world.alice, board, task.id)

            get_error(await run_concurrently(isolated_transaction, change, change), NotFound)

    await run_rounds(rows, race)
    for type in (EventType.TASK_DELETED, EventType.TASK_RESTORED):
        assert (await count_events(isolated_transaction, type)).total() == ROUNDS
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Task)) == ROUNDS
        assert await session.scalar(select(func.count()).select_from(DeletedTask)) == 0


async def test_tasks_that_two_people_restore_at_once_are_restored_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    rows = [world.make_task(f"Task {number}") for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])

    async def race(task: Task) -> None:
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await tasks.delete_task(session, world.alice, board, task.id)

        async def restore(session: Any) -> bool:
            board = await boards.lock_board(session, world.bob, world.board.id)
            [result] = await tasks.restore_tasks(session, world.bob, board, [task.id])
            return result.error is None

        results = await run_concurrently(isolated_transaction, restore, restore)
        assert sorted(results) == [False, True]

    await run_rounds(rows, race)


async def test_of_two_first_policies_of_a_board_one_is_stored(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Both replace version 0; the row does not exist, so it cannot be locked."""
    rows = await add_boards(isolated_transaction, isolated_world)

    def replacing(board: Board, effect: PolicyEffect) -> Operation:
        rule = PolicyRule(id=new_id(), name="Rule", effect=effect)
        return lambda session: policies.replace_policy(
            session, isolated_world.alice_member, board, [rule], {0}
        )

    async def replace_twice(board: Board) -> None:
        effects = [PolicyEffect.DENY, PolicyEffect.ASK_TWO]
        replace = [replacing(board, effect) for effect in effects]
        get_error(await run_concurrently(isolated_transaction, *replace), PreconditionFailed)

    await run_rounds(rows, replace_twice)
    async with isolated_transaction() as session:
        stored = await session.execute(select(ApprovalPolicy.board_id, ApprovalPolicy.version))
        assert sorted(tuple(row) for row in stored) == sorted((board.id, 1) for board in rows)


async def test_a_user_has_one_simulation_of_a_policy_at_a_time(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Each transaction has a connection of its own, as it would in another process."""
    world = isolated_world

    async def simulate(session: AsyncSession, member: Member) -> int:
        return (await policies.simulate_policy(session, member, None, [])).total

    async with isolated_transaction() as session:
        await simulate(session, world.alice_member)
        async with isolated_transaction() as other:
            with pytest.raises(TooMany) as raised:
                await simulate(other, world.alice_member)
            assert raised.value.code == "simulation_running"
            await simulate(other, world.bob_member)
    async with isolated_transaction() as session:
        await simulate(session, world.alice_member)


async def test_a_first_call_with_a_provider_creates_one_user(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    until = now() + timedelta(hours=1)

    async def call_thrice(number: int) -> None:
        email, issuer = f"nora{number}@example.com", "https://id.example.com"
        profile = ProviderProfile(issuer, f"nora {number}", email, True, "Nora", until)

        async def call(session: Any) -> Any:
            return (await identity.get_or_create_external_user(session, profile)).id

        assert len(set(await run_concurrently(isolated_transaction, *[call] * 3))) == 1

    await run_rounds(range(ROUNDS), call_thrice, at_once=3)
    async with isolated_transaction() as session:
        for table in (User, ExternalIdentity):
            assert await session.scalar(select(func.count()).select_from(table)) == ROUNDS


@repetition
async def test_servers_that_start_together_migrate_an_empty_database_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory
) -> None:
    async with isolated_transaction() as session:
        await session.execute(text("drop schema public cascade"))
        await session.execute(text("create schema public"))
    versions = await asyncio.gather(*[migrate_database(isolated_settings) for _ in range(4)])
    assert len(set(versions)) == 1
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_of_two_last_tokens_of_a_user_one_is_created(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    rows = [make_user(f"User {number}") for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all(rows)
        for user in rows:
            for _ in range(MAX_API_TOKENS - 1):
                await identity.create_api_token(
                    session, user, identity.ApiTokenCreate(name="script")
                )

    async def create_two(user: User) -> None:
        def create(session: Any) -> Awaitable[object]:
            return identity.create_api_token(session, user, identity.ApiTokenCreate(name="last"))

        results = await run_concurrently(isolated_transaction, create, create)
        assert get_error(results, Conflict).code == "too_many_tokens"

    await run_rounds(rows, create_two)
