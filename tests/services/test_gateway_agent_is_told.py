"""Who looks after a gateway knows which boards it serves, without anybody asking for it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import delete, select

from models import Agent, Gateway
from services import agents, boards
from services.boards import BoardDraft
from tests.conftest import Transaction
from tests.services.yard import Yard, a_yard
from tests.world import World, a_gateway


@dataclass
class Posts:
    """Two gateways with an agent each that looks after it; the first is in the yard."""

    yard: Yard
    other: Gateway

    async def told(self) -> str:
        """Return what the agent of the first is told, when all that is asked for is done."""
        await self.yard.settle()
        return self.yard.workshop.files[f"mc-gateway-{self.yard.gateway.id}"]["AGENTS.md"]

    async def asked(self, gateway: Gateway) -> int:
        """Return how often the agent of a gateway was to be told something."""
        mine = (Agent.gateway_id == gateway.id) & Agent.board_id.is_(None)
        async with self.yard.transaction() as session:
            return await session.scalar(select(Agent.generation).where(mine)) or 0


@pytest.fixture
async def posts(transaction: Transaction, world: World) -> AsyncIterator[Posts]:
    async with a_yard(transaction, world) as yard:
        other = a_gateway(world.tern, name="Elsewhere")
        async with transaction() as session:
            session.add(other)
            await session.flush()
            await session.execute(delete(Agent).where(Agent.gateway_id == yard.gateway.id))
            for gateway in (yard.gateway, other):
                await agents.add_main(session, gateway)
        await yard.settle()
        yield Posts(yard, other)


async def test_a_board_that_is_made_on_a_gateway_is_told(posts: Posts, world: World) -> None:
    draft = BoardDraft(name="Orchard", description="Trees", gateway_id=posts.yard.gateway.id)
    async with posts.yard.transaction() as session:
        await boards.create(session, world.alices, draft)
    assert "Orchard" in await posts.told()


async def test_a_board_that_is_called_otherwise_is_told(posts: Posts) -> None:
    assert "Garden" in await posts.told()
    await posts.yard.change_board(name="Greenhouse")
    told = await posts.told()
    assert "Greenhouse" in told
    assert "Garden" not in told


async def test_a_board_that_moves_is_told_to_both_gateways(posts: Posts) -> None:
    await posts.yard.change_board(gateway_id=posts.other.id)
    assert "Garden" not in await posts.told()
    assert await posts.asked(posts.other) == 2
    await posts.yard.change_board(gateway_id=posts.yard.gateway.id)
    assert "Garden" in await posts.told()
    assert await posts.asked(posts.other) == 3


async def test_a_board_that_is_on_no_gateway_any_more_is_told(posts: Posts) -> None:
    await posts.yard.change_board(gateway_id=None)
    assert "Garden" not in await posts.told()


async def test_a_board_that_is_deleted_is_told(posts: Posts, world: World) -> None:
    async with posts.yard.transaction() as session:
        board = await boards.hold(session, world.alice, world.garden.id)
        await boards.delete(session, world.alice, board)
    assert "Garden" not in await posts.told()


async def test_neither_is_another_gateway_asked_nor_for_what_is_not_told(posts: Posts) -> None:
    await posts.yard.change_board(slug="the-garden")
    await posts.yard.change_board(name="Greenhouse")
    assert await posts.asked(posts.yard.gateway) == 2
    assert await posts.asked(posts.other) == 1
