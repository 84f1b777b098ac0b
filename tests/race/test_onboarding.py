"""Two who speak in an onboarding at the same time, with real commits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict
from models import Actor, Agent, Board, Message, OnboardingMessage, OnboardingSession
from services import boards, onboarding
from tests.conftest import Transaction
from tests.world import World, a_gateway, a_main

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
