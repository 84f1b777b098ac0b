"""Permissions of users and agents on boards."""

from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden, NotFound, Unauthorized
from models import Actor, Agent, Board, BoardAccess, Member
from services import boards
from tests.support.gateway_rows import make_gateway
from tests.support.world import World

NOTHING, READ, WRITE, ADMIN = "nothing", "read", "write", "admin"

PERMISSIONS = [
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
"""The permission of each actor; None if the board does not exist for the actor."""


async def find_permission(session: AsyncSession, actor: Actor, board: Board) -> str | None:
    """Return the highest permission of an actor on a board."""
    granted = NOTHING
    for permission, get_board in [
        (READ, boards.get_board),
        (WRITE, boards.lock_board),
        (ADMIN, boards.lock_board_as_admin),
    ]:
        try:
            assert (await get_board(session, actor, board.id)).id == board.id
        except NotFound:
            return None
        except Forbidden:
            return granted
        granted = permission
    return granted


@pytest.mark.parametrize(("actor_name", "board_name", "permission"), PERMISSIONS)
async def test_actor_has_exactly_the_granted_permissions(
    session: AsyncSession, world: World, actor_name: str, board_name: str, permission: str | None
) -> None:
    actor, board = getattr(world, actor_name), getattr(world, board_name)
    assert await find_permission(session, actor, board) == permission
    ids = boards.readable_board_ids_query(actor, board.organization_id)
    listed = board.id in (await session.scalars(ids)).all()
    assert listed == (permission in (READ, WRITE, ADMIN))


async def test_unknown_board_is_not_found(session: AsyncSession, world: World) -> None:
    for actor in (world.alice, world.worker):
        with pytest.raises(NotFound):
            await boards.get_board(session, actor, uuid4())


async def test_write_access_includes_read_access(session: AsyncSession, world: World) -> None:
    write_only = update(BoardAccess).where(BoardAccess.board_id == world.board.id)
    await session.execute(write_only.values(can_read=False, can_write=True))
    assert await find_permission(session, world.rita, world.board) == WRITE
    flags = update(Member).where(Member.id == world.dana_member.id).values(all_boards_write=True)
    await session.execute(flags)
    assert await find_permission(session, world.dana, world.garden) == ADMIN


async def test_read_access_to_all_boards_allows_no_changes(
    session: AsyncSession, world: World
) -> None:
    flags = update(Member).where(Member.id == world.dana_member.id).values(all_boards_read=True)
    await session.execute(flags)
    assert await find_permission(session, world.dana, world.garden) == READ


async def test_revoked_access_takes_effect(session: AsyncSession, world: World) -> None:
    await session.execute(delete(BoardAccess).where(BoardAccess.board_id == world.board.id))
    assert await find_permission(session, world.bob, world.board) == NOTHING
    await session.execute(delete(Member).where(Member.id == world.bob_member.id))
    assert await find_permission(session, world.bob, world.board) is None


async def test_gateway_agent_may_change_only_boards_of_its_gateway(
    session: AsyncSession, world: World
) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    agent = (await session.scalars(select(Agent).where(Agent.id == world.lead.id))).one()
    agent.board_id = None
    await session.flush()
    assert await find_permission(session, agent, world.board) == NOTHING
    agent.gateway_id = gateway.id
    for board in (world.board, world.charlies_board):
        assign = update(Board).where(Board.id == board.id).values(gateway_id=gateway.id)
        await session.execute(assign)
    await session.flush()
    assert await find_permission(session, agent, world.board) == WRITE
    assert await find_permission(session, agent, world.garden) == NOTHING
    assert await find_permission(session, agent, world.charlies_board) is None


async def test_a_deleted_agent_of_a_gateway_may_not_work(
    session: AsyncSession, world: World
) -> None:
    """Its deletion does not wait for the boards of the gateway."""
    deleted = Agent(id=uuid4(), organization_id=world.tern.id)
    with pytest.raises(Unauthorized):
        await boards.check_agent_may_work(session, world.board, deleted)
