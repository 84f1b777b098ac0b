"""Two who speak in an onboarding, or confirm it, at the same time, with real commits."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict
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
from services.onboarding import Confirmed, Goal, Seen
from tests.conftest import Transaction
from tests.world import World, a_board, a_gateway, a_main, an_access

ROUNDS = 30
BASE = "http://mission.test"
QUESTION = {"question": "Why?", "options": [{"id": "1", "label": "Fun"}]}

Deed = Callable[[AsyncSession, Board], Awaitable[Any]]


async def one(transaction: Transaction, actor: Actor, board: Board, deed: Deed) -> str | None:
    """Do something on a board in a transaction of one's own, and return how it was refused."""
    try:
        async with transaction() as session:
            await deed(session, await boards.hold(session, actor, board.id))
    except Conflict as refusal:
        return refusal.code
    return None


async def with_a_gateway(transaction: Transaction, world: World) -> Agent:
    """Put Launch on a gateway, and return the agent that looks after it."""
    gateway = a_gateway(world.tern)
    rows = a_main(gateway)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(rows)
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
    main: Agent = rows[0]
    return main


async def test_a_conversation_that_is_started_twice_at_once_is_one(
    real_transaction: Transaction, real_world: World
) -> None:
    """W-39: and the agent is briefed once; the other start only reminds it."""
    world = real_world
    await with_a_gateway(real_transaction, world)

    async def start(session: AsyncSession, board: Board) -> None:
        await onboarding.start(session, world.alice, board, base_url=BASE)

    starts = [one(real_transaction, world.alice, world.board, start) for _ in range(5)]
    assert await asyncio.gather(*starts) == [None] * 5
    async with real_transaction() as session:
        for model, count in ((OnboardingSession, 1), (OnboardingMessage, 1), (Message, 2)):
            assert await session.scalar(select(func.count()).select_from(model)) == count


async def test_nothing_is_lost_of_what_two_say_at_once(
    real_transaction: Transaction, real_world: World
) -> None:
    """W-39."""
    world = real_world
    main = await with_a_gateway(real_transaction, world)

    async def start(session: AsyncSession, board: Board) -> None:
        await onboarding.start(session, world.alice, board, base_url=BASE)

    async def ask(session: AsyncSession, board: Board) -> None:
        await onboarding.ask(session, main, board, QUESTION)

    async def answer(session: AsyncSession, board: Board) -> None:
        await onboarding.answer(session, world.alice, board, "Fun")

    await one(real_transaction, world.alice, world.board, start)
    for _ in range(20):
        said = [(main, ask), (world.alice, answer)]
        refused = await asyncio.gather(
            *[one(real_transaction, actor, world.board, deed) for actor, deed in said]
        )
        assert refused == [None, None]
    async with real_transaction() as session:
        said = await session.scalars(select(OnboardingMessage.role))
        assert sorted(said) == ["assistant"] * 20 + ["user"] * 21


async def confirmed(
    transaction: Transaction, user: User, board: Board, *, alone: bool
) -> Confirmed | str:
    goal = Goal(board_type="general", objective=f"As {user.name} wants it")
    try:
        async with transaction() as session:
            held = await boards.hold(session, user, board.id)
            if alone:
                return await onboarding.confirm_alone(session, user, held, goal, seen=Seen())
            return await onboarding.confirm(session, user, held, goal)
    except Conflict as refusal:
        return refusal.code


async def test_of_two_people_that_confirm_at_once_one_does_and_there_is_one_lead(
    real_transaction: Transaction, real_world: World
) -> None:
    """W-13: with a conversation that was started, and without."""
    world = real_world
    new = [a_board(f"Race {number}", world.tern) for number in range(ROUNDS)]
    async with real_transaction() as session:
        session.add_all(new)
        await session.flush()
        session.add_all([an_access(world.danas, board, can_write=True) for board in new])
    for place, board in enumerate(new):
        alone = place % 2 == 0
        if not alone:
            async with real_transaction() as session:
                held = await boards.hold(session, world.alice, board.id)
                await onboarding.start(session, world.alice, held, base_url=BASE)
        heard = await asyncio.gather(
            confirmed(real_transaction, world.alice, board, alone=alone),
            confirmed(real_transaction, world.dana, board, alone=alone),
        )
        refusals = [one for one in heard if isinstance(one, str)]
        [done] = [one for one in heard if isinstance(one, Confirmed)]
        assert refusals == ["onboarding_moved_on" if alone else "onboarding_over"]
        assert done.token

    ids = [board.id for board in new]
    async with real_transaction() as session:
        leads = await session.scalars(select(Agent).where(Agent.board_id.in_(ids)))
        assert Counter(lead.board_id for lead in leads) == dict.fromkeys(ids, 1)
        tokens = select(func.count()).join_from(AgentToken, Agent).where(Agent.board_id.in_(ids))
        assert await session.scalar(tokens) == ROUNDS
        goals = await session.scalars(select(Board.objective).where(Board.id.in_(ids)))
        assert all((goal or "").startswith("As ") for goal in goals)
