"""Concurrent changes of the boards that a user has in the sidebar."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Invalid, NotFound
from services import boards, sidebar
from services.sidebar import MAX_PINS
from tests.support.board_rows import make_board
from tests.support.rounds import ROUNDS, run_rounds


async def test_pins_at_once_do_not_exceed_the_limit(isolated_transaction, isolated_world) -> None:
    member = isolated_world.alice_member
    found = [make_board(f"Board {number}", isolated_world.tern) for number in range(MAX_PINS + 2)]
    async with isolated_transaction() as session:
        session.add_all(found)
    ids = [board.id for board in found]

    async def pin(board_ids: list[UUID]) -> str:
        try:
            async with isolated_transaction() as session:
                await sidebar.pin_boards(session, member, board_ids)
        except Invalid as error:
            return error.code
        return ""

    async def race(_: int) -> None:
        assert await pin(ids[: MAX_PINS - 1]) == ""
        codes = await asyncio.gather(*[pin([id]) for id in ids[MAX_PINS - 1 :]])
        assert sorted(codes) == ["", "too_many_pins", "too_many_pins"]
        async with isolated_transaction() as session:
            assert len(await sidebar.list_pinned_ids(session, member)) == MAX_PINS
            await sidebar.unpin_boards(session, member, ids)

    await run_rounds(range(ROUNDS), race, at_once=1)


async def test_a_board_is_deleted_while_it_is_pinned_moved_and_opened(
    isolated_transaction, isolated_world
) -> None:
    world, member = isolated_world, isolated_world.alice_member

    async def change(action: Callable[[AsyncSession], Awaitable[object]]) -> None:
        with suppress(NotFound):
            async with isolated_transaction() as session:
                await action(session)

    async def race(number: int) -> None:
        board = make_board(f"Round {number}", world.tern)
        async with isolated_transaction() as session:
            session.add(board)
            await session.flush()
            await sidebar.pin_boards(session, member, [board.id, world.board.id])

        async def delete(session: AsyncSession) -> None:
            locked = await boards.lock_board(session, world.alice, board.id)
            await boards.delete_board(session, world.alice, locked)

        pins = [board.id, world.garden.id]
        await asyncio.gather(
            change(delete),
            change(lambda session: sidebar.pin_boards(session, member, pins)),
            change(lambda session: sidebar.move_pin(session, member, board.id, "down")),
            change(lambda session: sidebar.record_opening(session, member, board.id)),
        )
        async with isolated_transaction() as session:
            shown = await sidebar.load_sidebar(session, member)
            assert board.id not in {one.id for one in shown.boards}
            await sidebar.unpin_boards(session, member, [world.board.id, world.garden.id])

    await run_rounds(range(ROUNDS), race, at_once=1)
