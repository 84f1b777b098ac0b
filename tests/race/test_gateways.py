"""Races about gateways: one that goes while something comes to it, and one that is claimed."""

import asyncio
from datetime import timedelta

import pytest

from kit.errors import Conflict, Invalid
from models import Gateway
from services import boards, gateways
from tests.conftest import Transaction
from tests.race.waiting import somebody_waits
from tests.world import World, a_gateway, a_main, a_run


@pytest.fixture
async def gateway(real_transaction: Transaction, real_world: World) -> Gateway:
    made = a_gateway(real_world.tern)
    async with real_transaction() as session:
        session.add(made)
        await session.flush()
        session.add_all(a_main(made))
    return made


async def put_on(transaction: Transaction, world: World, gateway: Gateway) -> None:
    async with transaction() as session:
        board = await boards.hold(session, world.alice, world.board.id)
        await boards.change(session, world.alice, board, {"gateway_id": gateway.id})


async def remove(transaction: Transaction, world: World, gateway: Gateway) -> None:
    async with transaction() as session:
        await gateways.delete(session, world.alices, gateway.id)


async def test_a_board_that_comes_to_a_gateway_while_that_is_removed_is_refused(
    real_transaction: Transaction, real_world: World, gateway: Gateway
) -> None:
    async with real_transaction() as session:
        await gateways.delete(session, real_world.alices, gateway.id)
        racing = asyncio.create_task(put_on(real_transaction, real_world, gateway))
        await somebody_waits(real_transaction)
    with pytest.raises(Invalid) as refused:
        await racing
    assert refused.value.code == "gateway_not_found"


async def test_a_gateway_to_which_a_board_comes_while_it_is_removed_stays(
    real_transaction: Transaction, real_world: World, gateway: Gateway
) -> None:
    async with real_transaction() as session:
        board = await boards.hold(session, real_world.alice, real_world.board.id)
        await boards.change(session, real_world.alice, board, {"gateway_id": gateway.id})
        racing = asyncio.create_task(remove(real_transaction, real_world, gateway))
        await somebody_waits(real_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "gateway_in_use"


async def test_a_gateway_is_claimed_while_somebody_writes_down_a_run_on_it(
    real_transaction: Transaction, real_world: World, gateway: Gateway
) -> None:
    async with real_transaction() as writing:
        writing.add(a_run(gateway, real_world.worker))
        await writing.flush()
        async with asyncio.timeout(5), real_transaction() as session:
            [mine] = await gateways.claim(session, "a worker", timedelta(seconds=20))
    assert (mine.id, mine.held_by) == (gateway.id, "a worker")
