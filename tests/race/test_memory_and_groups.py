"""Concurrent changes of notes, groups and paused boards."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from core.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from models import Board, BoardGroup, Event, EventType, GroupNote, Note
from services import agents, boards, memory, organizations
from services.boards import BoardGroupCreate
from services.memory import NoteCreate, NoteUpdate
from tests.race.test_agents import run_while_waiting
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.memory_rows import create_group_of, make_note
from tests.support.rounds import run_concurrently
from tests.support.world import World

Action = Callable[[AsyncSession], Awaitable[Any]]


async def test_of_two_updates_of_one_note_version_one_fails(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R2."""
    async with isolated_transaction() as session:
        note = make_note(isolated_world.board)
        session.add(note)

    def updating_note(content: str) -> Action:
        async def change(session: AsyncSession) -> None:
            board = await boards.lock_board(session, isolated_world.alice, isolated_world.board.id)
            scope = memory.board_scope(board)
            locked_note = await memory.lock_note(session, scope, note.id)
            changes = NoteUpdate.of(content=content)
            await memory.update_note(
                session, isolated_world.alice, scope, locked_note, changes, known={1}
            )

        return change

    results = await run_concurrently(
        isolated_transaction, updating_note("Monday"), updating_note("Tuesday")
    )
    assert sorted(type(result) for result in results if result is not None) == [PreconditionFailed]
    async with isolated_transaction() as session:
        kept = await session.get_one(Note, note.id)
        assert (kept.version, kept.content) == (2, ["Monday", "Tuesday"][results.index(None)])


async def test_concurrent_groups_cannot_get_the_same_slug(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async def create(session: AsyncSession) -> None:
        member = await organizations.get_or_create_active_membership(session, isolated_world.alice)
        await boards.create_group(session, member, BoardGroupCreate(name="Birds"))

    results = await run_concurrently(isolated_transaction, create, create)
    assert [type(result) for result in results if result is not None] == [Conflict]
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(BoardGroup)) == 1
        created = Event.type == EventType.BOARD_GROUP_CREATED
        assert await session.scalar(select(func.count()).where(created)) == 1


async def test_group_can_be_deleted_while_its_boards_write_to_it(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Writing a note and deleting a group both lock the boards before the group."""
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.board, isolated_world.garden)

    def writing_note(actor: Any, board: Board) -> Action:
        async def write_note(session: AsyncSession) -> None:
            locked = await boards.lock_board(session, actor, board.id)
            group_of_board = await boards.find_group_of_board(session, locked)
            scope = memory.board_group_scope(locked, group_of_board)
            if scope.id is not None:
                draft = NoteCreate(content="@all, hello")
                await memory.create_note(session, actor, scope, draft, base_url="http://mc.test")

        return write_note

    async def delete(session: AsyncSession) -> None:
        await boards.delete_group(session, isolated_world.alice, group.id)

    async def write_to_group(session: AsyncSession) -> None:
        scope = memory.group_scope(await boards.lock_group(session, isolated_world.alice, group.id))
        draft = NoteCreate(content="@all, hello")
        await memory.create_note(
            session, isolated_world.alice, scope, draft, base_url="http://mc.test"
        )

    writers = [writing_note(isolated_world.worker, isolated_world.board) for _ in range(3)]
    writers += [writing_note(isolated_world.gardener, isolated_world.garden) for _ in range(3)]
    results = await run_concurrently(
        isolated_transaction, *writers, write_to_group, delete, write_to_group
    )
    assert [
        result for result in results if result is not None and not isinstance(result, NotFound)
    ] == []
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(GroupNote)) == 0
        left = await session.scalars(select(Board.board_group_id))
        assert set(left) == {None}


async def test_board_that_joins_a_group_being_deleted_leaves_it(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.garden)

    async def delete(session: AsyncSession) -> None:
        await boards.delete_group(session, isolated_world.alice, group.id)

    async def join(session: AsyncSession) -> None:
        board = await boards.lock_board(session, isolated_world.alice, isolated_world.board.id)
        changes = boards.BoardUpdate.of(board_group_id=group.id)
        await boards.update_board(session, isolated_world.alice, board, changes)

    assert await run_while_waiting(isolated_transaction, delete, join) is None
    async with isolated_transaction() as session:
        assert (await session.get_one(Board, isolated_world.board.id)).board_group_id is None
        updated = select(Event).where(Event.type == EventType.BOARD_UPDATED).order_by(Event.seq)
        recorded = [(e.board_id, e.data["changes"]) for e in await session.scalars(updated)]
    removed = {"board_group_id": [str(group.id), None]}
    assert recorded[0] == (isolated_world.board.id, {"board_group_id": [None, str(group.id)]})
    assert sorted(recorded[1:], key=str) == sorted(
        [(isolated_world.board.id, removed), (isolated_world.garden.id, removed)], key=str
    )


async def test_lead_moved_while_setting_group_heartbeat_gets_forbidden(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        group = await create_group_of(session, isolated_world.board)
        alices = await organizations.get_or_create_active_membership(session, isolated_world.alice)

    async def set_heartbeat(session: AsyncSession) -> None:
        group_agents = await boards.lock_group_agents_as_manager(
            session, isolated_world.lead, group.id
        )
        options = {"every": "5m", "include_board_leads": False}
        await agents.set_group_heartbeat_interval(
            session, isolated_world.lead, group_agents, **options
        )

    async def move(session: AsyncSession) -> None:
        changes = {"board_id": isolated_world.garden.id}
        await agents.update_agent(
            session, alices, isolated_world.lead.id, agents.AgentUpdate.parse(changes)
        )

    error = await run_while_waiting(isolated_transaction, set_heartbeat, move)
    assert isinstance(error, Forbidden)


async def test_concurrent_pause_commands_record_one_event(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    def pausing_board(actor: Any) -> Action:
        async def pause(session: AsyncSession) -> None:
            scope = memory.board_scope(
                await boards.lock_board(session, actor, isolated_world.board.id)
            )
            command = NoteCreate(content="/pause", tags=["chat"])
            await memory.create_note(session, actor, scope, command, base_url="http://mc.test")

        return pause

    async with isolated_transaction() as session:
        await pausing_board(isolated_world.alice)(session)
        waiting = asyncio.create_task(
            run_concurrently(isolated_transaction, pausing_board(isolated_world.lead))
        )
        await wait_for_lock_waiter(isolated_transaction)
    assert await waiting == [None]
    async with isolated_transaction() as session:
        paused = Event.type == EventType.BOARD_PAUSED
        assert await session.scalar(select(func.count()).where(paused)) == 1
