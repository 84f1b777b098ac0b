"""The demo starts while people work in it."""

import asyncio

from services import agents, boards, demo, organizations
from tests.race.waiting import somebody_waits


async def test_the_demo_holds_its_boards_before_it_records_anything(
    real_transaction, real_world
) -> None:
    """Else somebody who holds a board and is about to record would wait for it, and it for them."""
    world = real_world
    async with real_transaction() as session:
        member = await organizations.active(session, world.alice)

    async def start():
        async with real_transaction() as session:
            return await demo.players(session, member, ["Worker", "Gardener"])

    async def work_on(board, agent):
        async with real_transaction() as session:
            await boards.hold(session, world.alice, board.id)
            starting = asyncio.create_task(start())
            await somebody_waits(real_transaction)
            await agents.issue_token(session, member, agent.id)
        return await starting

    for board, agent in [(world.board, world.worker), (world.garden, world.gardener)]:
        cast = await work_on(board, agent)
        assert {(one.name, one.board_id) for one in cast} == {
            ("Worker", world.board.id),
            ("Gardener", world.garden.id),
        }
