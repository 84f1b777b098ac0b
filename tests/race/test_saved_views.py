"""Concurrent changes of the saved views of a board."""

import asyncio
from contextlib import suppress
from uuid import UUID

from sqlalchemy import func, select

from core.errors import Conflict, Invalid, NotFound
from models import SavedView
from services import boards, saved_views
from services.saved_views import MAX_VIEWS, SavedViewCreate
from tests.support.rounds import ROUNDS, run_rounds


async def try_create(transaction, world, user, name, *, is_shared) -> str | None:
    """Save a view in its own transaction and return the code of the error, if any."""
    try:
        async with transaction() as session:
            board = await boards.get_board(session, user, world.board.id)
            draft = SavedViewCreate(name=name, query="")
            await saved_views.create_saved_view(session, user, board, draft, is_shared=is_shared)
    except (Conflict, Invalid) as error:
        return error.code
    return None


async def test_exactly_one_of_two_views_with_the_same_name_is_saved(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world

    async def race(number: int) -> None:
        is_shared = bool(number % 2)
        users = (world.alice, world.bob if is_shared else world.alice)
        codes = await asyncio.gather(
            *[
                try_create(isolated_transaction, world, user, name, is_shared=is_shared)
                for user, name in zip(users, (f"View {number}", f"VIEW {number}"), strict=True)
            ]
        )
        assert set(codes) == {None, "saved_view_name_taken"}

    await run_rounds(range(ROUNDS), race)


async def test_two_views_at_once_do_not_exceed_the_limit(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    for is_shared in (True, False):
        create = [
            try_create(isolated_transaction, world, world.alice, f"{number}", is_shared=is_shared)
            for number in range(MAX_VIEWS - 1)
        ]
        for one in create:
            assert await one is None
        codes = await asyncio.gather(
            *[
                try_create(isolated_transaction, world, world.alice, name, is_shared=is_shared)
                for name in ("a", "b", "c")
            ]
        )
        assert sorted(map(str, codes)) == ["None", *["too_many_saved_views"] * 2]
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(SavedView)) == 2 * MAX_VIEWS


async def test_a_view_is_deleted_while_it_becomes_a_default_and_is_changed(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world

    async def change(user, view_id: UUID, name: str | None) -> None:
        with suppress(NotFound):
            async with isolated_transaction() as session:
                board = await boards.get_board(session, user, world.board.id)
                view = await saved_views.lock_saved_view(session, user, board, view_id)
                if name is None:
                    await saved_views.delete_saved_view(session, user, board, view)
                    return
                changes = saved_views.SavedViewUpdate.of(name=name, query="view=list")
                await saved_views.update_saved_view(session, user, board, view, changes)

    async def choose(user, view_id: UUID) -> None:
        with suppress(NotFound):
            async with isolated_transaction() as session:
                board = await boards.get_board(session, user, world.board.id)
                await saved_views.set_default_view(session, user, board, view_id)

    async def race(number: int) -> None:
        async with isolated_transaction() as session:
            draft = SavedViewCreate(name=f"View {number}", query="")
            view = await saved_views.create_saved_view(
                session, world.bob, world.board, draft, is_shared=True
            )
        await asyncio.gather(
            choose(world.rita, view.id),
            change(world.alice, view.id, f"Renamed {number}"),
            change(world.bob, view.id, None),
            choose(world.bob, view.id),
        )
        async with isolated_transaction() as session:
            assert await session.get(SavedView, view.id) is None

    await run_rounds(range(ROUNDS), race)
