"""Who may read, change and look after which board."""

from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound
from models import Actor, Agent, Board, BoardAccess, Member
from services import boards
from tests.world import World, a_gateway

NOTHING, READ, WRITE, ADMIN = "nothing", "read", "write", "admin"

RIGHTS = [
    ("alice", "board", ADMIN),
    ("alice", "garden", ADMIN),
    ("alice", "charlies_board", None),
    ("bob", "board", WRITE),
    ("bob", "garden", NOTHING),
    ("bob", "charlies_board", None),
    ("rita", "board", READ),
    ("rita", "garden", NOTHING),
    ("dana", "board", NOTHING),
    ("charlie", "board", None),
    ("charlie", "garden", None),
    ("charlie", "charlies_board", ADMIN),
    ("lead", "board", WRITE),
    ("worker", "board", WRITE),
    ("worker", "garden", NOTHING),
    ("worker", "charlies_board", None),
    ("gardener", "board", NOTHING),
    ("charlies_worker", "board", None),
]
"""What each may do; None where the board does not exist for them."""


async def may(session: AsyncSession, actor: Actor, board: Board) -> str | None:
    """Try all ways to a board, and say how far this actor came."""
    came = NOTHING
    for far, way in [(READ, boards.get), (WRITE, boards.hold), (ADMIN, boards.hold_as_admin)]:
        try:
            assert (await way(session, actor, board.id)).id == board.id
        except NotFound:
            return None
        except Forbidden:
            return came
        came = far
    return came


@pytest.mark.parametrize(("who", "where", "right"), RIGHTS)
async def test_each_may_do_on_a_board_what_they_were_given(
    session: AsyncSession, world: World, who: str, where: str, right: str | None
) -> None:
    actor, board = getattr(world, who), getattr(world, where)
    assert await may(session, actor, board) == right
    ids = boards.readable(actor, board.organization_id)
    listed = board.id in (await session.scalars(ids)).all()
    assert listed == (right in (READ, WRITE, ADMIN))


async def test_a_board_that_never_was_is_not_found(session: AsyncSession, world: World) -> None:
    for actor in (world.alice, world.worker):
        with pytest.raises(NotFound):
            await boards.get(session, actor, uuid4())


async def test_the_right_to_change_includes_the_right_to_read(
    session: AsyncSession, world: World
) -> None:
    write_only = update(BoardAccess).where(BoardAccess.board_id == world.board.id)
    await session.execute(write_only.values(can_read=False, can_write=True))
    assert await may(session, world.rita, world.board) == WRITE
    flags = update(Member).where(Member.id == world.danas.id).values(all_boards_write=True)
    await session.execute(flags)
    assert await may(session, world.dana, world.garden) == ADMIN


async def test_who_reads_all_boards_changes_none(session: AsyncSession, world: World) -> None:
    flags = update(Member).where(Member.id == world.danas.id).values(all_boards_read=True)
    await session.execute(flags)
    assert await may(session, world.dana, world.garden) == READ


async def test_a_right_that_is_taken_away_is_gone(session: AsyncSession, world: World) -> None:
    await session.execute(delete(BoardAccess).where(BoardAccess.board_id == world.board.id))
    assert await may(session, world.bob, world.board) == NOTHING
    await session.execute(delete(Member).where(Member.id == world.bobs.id))
    assert await may(session, world.bob, world.board) is None


async def test_an_agent_of_a_gateway_works_on_the_boards_of_that_gateway_alone(
    session: AsyncSession, world: World
) -> None:
    found = a_gateway(world.tern)
    session.add(found)
    await session.flush()
    gateway = found.id
    main = (await session.scalars(select(Agent).where(Agent.id == world.lead.id))).one()
    main.board_id = None
    await session.flush()
    assert await may(session, main, world.board) == NOTHING
    main.gateway_id = gateway
    for board in (world.board, world.charlies_board):
        serves = update(Board).where(Board.id == board.id).values(gateway_id=gateway)
        await session.execute(serves)
    await session.flush()
    assert await may(session, main, world.board) == WRITE
    assert await may(session, main, world.garden) == NOTHING
    assert await may(session, main, world.charlies_board) is None
