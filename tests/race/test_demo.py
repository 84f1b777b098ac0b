"""The demo starts while its boards are in use."""

import asyncio

from cli import demo_data
from services import agents, boards, organizations
from tests.support.lock_waiter import wait_for_lock_waiter


async def test_the_demo_locks_its_boards_before_recording_events(
    isolated_transaction, isolated_world
) -> None:
    """Otherwise it could deadlock with a request that has locked a board and records an event."""
    world = isolated_world
    async with isolated_transaction() as session:
        member = await organizations.get_or_create_active_membership(session, world.alice)

    async def start():
        async with isolated_transaction() as session:
            return await demo_data.issue_demo_tokens(session, member, ["Worker", "Gardener"])

    async def work_on(board, agent):
        async with isolated_transaction() as session:
            await boards.lock_board(session, world.alice, board.id)
            starting = asyncio.create_task(start())
            await wait_for_lock_waiter(isolated_transaction)
            await agents.issue_token(session, member, agent.id)
        return await starting

    for board, agent in [(world.board, world.worker), (world.garden, world.gardener)]:
        cast = await work_on(board, agent)
        assert {(one.name, one.board_id) for one in cast} == {
            ("Worker", world.board.id),
            ("Gardener", world.garden.id),
        }
