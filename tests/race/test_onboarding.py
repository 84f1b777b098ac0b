"""Concurrent messages and confirmations in an onboarding, with real commits."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import (
    Actor,
    Agent,
    AgentToken,
    Board,
    Message,
    OnboardingMessage,
    OnboardingSession,
    User,
)
from services import boards, onboarding
from services.onboarding import ConfirmedBoard, ExpectedState, OnboardingGoal
from tests.support.board_rows import make_board
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.people_rows import make_board_access
from tests.support.rounds import ROUNDS, run_rounds
from tests.support.world import World

BASE = "http://mission.test"
QUESTION = {"question": "Why?", "options": [{"id": "1", "label": "Fun"}]}

Operation = Callable[[AsyncSession, Board], Awaitable[Any]]


async def run_on_board(
    transaction: TransactionFactory, actor: Actor, board: Board, operation: Operation
) -> str | None:
    """Run an operation on a locked board in its own transaction. Return the code of a conflict."""
    try:
        async with transaction() as session:
            await operation(session, await boards.lock_board(session, actor, board.id))
    except Conflict as error:
        return error.code
    return None


async def add_gateway(transaction: TransactionFactory, world: World) -> Agent:
    """Put the board Launch on a gateway, and return the main agent."""
    gateway = make_gateway(world.tern)
    rows = make_main_agent(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
    main: Agent = rows[0]
    return main


async def test_two_concurrent_starts_create_one_conversation(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-39: the agent gets one briefing; the other starts only remind it."""
    world = isolated_world
    await add_gateway(isolated_transaction, world)

    async def start(session: AsyncSession, board: Board) -> None:
        await onboarding.start_onboarding(session, world.alice, board, base_url=BASE)

    starts = [run_on_board(isolated_transaction, world.alice, world.board, start) for _ in range(5)]
    assert await asyncio.gather(*starts) == [None] * 5
    async with isolated_transaction() as session:
        for model, count in ((OnboardingSession, 1), (OnboardingMessage, 1), (Message, 2)):
            assert await session.scalar(select(func.count()).select_from(model)) == count


async def test_two_concurrent_messages_are_both_saved(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-39."""
    world = isolated_world
    main = await add_gateway(isolated_transaction, world)

    async def start(session: AsyncSession, board: Board) -> None:
        await onboarding.start_onboarding(session, world.alice, board, base_url=BASE)

    async def ask(session: AsyncSession, board: Board) -> None:
        await onboarding.ask_question(session, main, board, QUESTION)

    async def answer(session: AsyncSession, board: Board) -> None:
        await onboarding.answer_question(session, world.alice, board, "Fun")

    await run_on_board(isolated_transaction, world.alice, world.board, start)
    for _ in range(20):
        operations = [(main, ask), (world.alice, answer)]
        conflicts = await asyncio.gather(
            *[
                run_on_board(isolated_transaction, actor, world.board, operation)
                for actor, operation in operations
            ]
        )
        assert conflicts == [None, None]
    async with isolated_transaction() as session:
        roles = await session.scalars(select(OnboardingMessage.role))
        assert sorted(roles) == ["assistant"] * 20 + ["user"] * 21


async def confirm(
    transaction: TransactionFactory, user: User, board: Board, *, without_agent: bool
) -> ConfirmedBoard | str:
    goal = OnboardingGoal(board_type="general", objective=f"As {user.name} wants it")
    try:
        async with transaction() as session:
            locked = await boards.lock_board(session, user, board.id)
            if without_agent:
                return await onboarding.confirm_without_agent(
                    session, user, locked, goal, expected=ExpectedState()
                )
            return await onboarding.confirm_goal(session, user, locked, goal)
    except Conflict as error:
        return error.code


async def test_two_concurrent_confirmations_create_one_lead(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """W-13: with and without a conversation."""
    world = isolated_world
    new_boards = [make_board(f"Race {number}", world.tern) for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all(new_boards)
        await session.flush()
        session.add_all(
            [make_board_access(world.dana_member, board, can_write=True) for board in new_boards]
        )

    async def race(one: tuple[int, Board]) -> None:
        index, board = one
        without_agent = index % 2 == 0
        if not without_agent:
            async with isolated_transaction() as session:
                locked = await boards.lock_board(session, world.alice, board.id)
                await onboarding.start_onboarding(session, world.alice, locked, base_url=BASE)
        results = await asyncio.gather(
            confirm(isolated_transaction, world.alice, board, without_agent=without_agent),
            confirm(isolated_transaction, world.dana, board, without_agent=without_agent),
        )
        conflicts = [one for one in results if isinstance(one, str)]
        [done] = [one for one in results if isinstance(one, ConfirmedBoard)]
        assert conflicts == ["onboarding_changed" if without_agent else "onboarding_ended"]
        assert done.token

    await run_rounds(enumerate(new_boards), race)
    ids = [board.id for board in new_boards]
    async with isolated_transaction() as session:
        leads = await session.scalars(select(Agent).where(Agent.board_id.in_(ids)))
        assert Counter(lead.board_id for lead in leads) == dict.fromkeys(ids, 1)
        tokens = select(func.count()).join_from(AgentToken, Agent).where(Agent.board_id.in_(ids))
        assert await session.scalar(tokens) == ROUNDS
        goals = await session.scalars(select(Board.objective).where(Board.id.in_(ids)))
        assert all((goal or "").startswith("As ") for goal in goals)
