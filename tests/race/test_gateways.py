"""Races about gateways: deletion while a board joins, leases, and one address for two."""

import asyncio
from datetime import timedelta

import pytest

from core.db.engine import TransactionFactory
from core.errors import Conflict, Invalid
from models import Gateway
from openclaw import AddressPolicy
from services import boards, gateways
from services.gateways import GatewayConnector, GatewayCreate
from tests.support.gateway_rows import make_gateway, make_main_agent, make_run
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.secret_key import CIPHER
from tests.support.world import World


@pytest.fixture
async def gateway(isolated_transaction: TransactionFactory, isolated_world: World) -> Gateway:
    made = make_gateway(isolated_world.tern)
    async with isolated_transaction() as session:
        session.add(made)
        await session.flush()
        session.add_all(make_main_agent(made))
    return made


async def move_board_to_gateway(
    transaction: TransactionFactory, world: World, gateway: Gateway
) -> None:
    async with transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        changes = boards.BoardUpdate.of(gateway_id=gateway.id)
        await boards.update_board(session, world.alice, board, changes)


async def delete_gateway(transaction: TransactionFactory, world: World, gateway: Gateway) -> None:
    async with transaction() as session:
        await gateways.delete_gateway(session, world.alice_member, gateway.id)


async def test_a_board_cannot_join_a_gateway_during_its_deletion(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway
) -> None:
    async with isolated_transaction() as session:
        await gateways.delete_gateway(session, isolated_world.alice_member, gateway.id)
        racing = asyncio.create_task(
            move_board_to_gateway(isolated_transaction, isolated_world, gateway)
        )
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Invalid) as refused:
        await racing
    assert refused.value.code == "gateway_not_found"


async def test_a_gateway_that_gets_a_board_is_not_deleted(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway
) -> None:
    async with isolated_transaction() as session:
        board = await boards.lock_board(session, isolated_world.alice, isolated_world.board.id)
        changes = boards.BoardUpdate.of(gateway_id=gateway.id)
        await boards.update_board(session, isolated_world.alice, board, changes)
        racing = asyncio.create_task(delete_gateway(isolated_transaction, isolated_world, gateway))
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "gateway_in_use"


async def test_leases_do_not_wait_for_transactions_that_store_runs(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway
) -> None:
    async with isolated_transaction() as writing:
        writing.add(make_run(gateway, isolated_world.worker))
        await writing.flush()
        async with asyncio.timeout(5), isolated_transaction() as session:
            [mine], _ = await gateways.acquire_leases(session, "a worker", timedelta(seconds=20))
    assert (mine.id, mine.lease_holder) == (gateway.id, "a worker")


async def test_two_gateways_do_not_get_one_address(
    isolated_transaction: TransactionFactory, isolated_world: World, gateway: Gateway
) -> None:
    connector = GatewayConnector(CIPHER, AddressPolicy())
    draft = GatewayCreate(name="First", url="ws://10.0.0.1:18789", workspace_root="/agents")

    async def create(draft: GatewayCreate) -> None:
        async with isolated_transaction() as session:
            member = isolated_world.alice_member
            await gateways.create_gateway(session, member, connector, draft)

    async with isolated_transaction() as session:
        member = isolated_world.alice_member
        await gateways.create_gateway(session, member, connector, draft)
        racing = asyncio.create_task(create(draft.model_copy(update={"name": "Second"})))
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "gateway_address_taken"
