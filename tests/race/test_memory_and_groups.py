"""Two who change the same note, take the same slug, or let a group go while it is written to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict, Forbidden, NotFound, PreconditionFailed
from models import Board, BoardGroup, Event, EventType, GroupNote, Note
from services import agents, board_groups, boards, memory, organizations
from services.board_groups import GroupDraft
from services.memory import NoteDraft
from tests.conftest import Transaction
from tests.race.test_agents import done_while_waiting
from tests.race.waiting import somebody_waits
from tests.remembering import a_note, grouped
from tests.world import World

Deed = Callable[[AsyncSession], Awaitable[Any]]


async def at_once(transaction: Transaction, *deeds: Deed) -> list[Any]:
    """Do some things at the same time, each in a transaction of its own."""

    async def do(deed: Deed) -> Any:
        async with transaction() as session:
            return await deed(session)

    return await asyncio.gather(*(do(deed) for deed in deeds), return_exceptions=True)


async def test_of_two_who_change_the_same_version_of_a_note_one_is_told_to_read_it_again(
    real_transaction: Transaction, real_world: World
) -> None:
    """R2."""
    async with real_transaction() as session:
        note = a_note(real_world.board)
        session.add(note)

    def saying(content: str) -> Deed:
        async def change(session: AsyncSession) -> None:
            board = await boards.hold(session, real_world.alice, real_world.board.id)
            place = memory.on_board(board)
            held = await memory.hold(session, place, note.id)
            words = {"content": content}
            await memory.change(session, real_world.alice, place, held, words, known={1})

        return change

    ends = await at_once(real_transaction, saying("Monday"), saying("Tuesday"))
    assert sorted(type(end) for end in ends if end is not None) == [PreconditionFailed]
    async with real_transaction() as session:
        kept = await session.get_one(Note, note.id)
        assert (kept.version, kept.content) == (2, ["Monday", "Tuesday"][ends.index(None)])


async def test_a_slug_is_given_to_one_of_two_groups(
    real_transaction: Transaction, real_world: World
) -> None:
    async def create(session: AsyncSession) -> None:
        member = await organizations.active(session, real_world.alice)
        await board_groups.create(session, member, GroupDraft(name="Birds"))

    ends = await at_once(real_transaction, create, create)
    assert [type(end) for end in ends if end is not None] == [Conflict]
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(BoardGroup)) == 1
        created = Event.type == EventType.BOARD_GROUP_CREATED
        assert await session.scalar(select(func.count()).where(created)) == 1


async def test_a_group_may_go_while_its_boards_write_to_it(
    real_transaction: Transaction, real_world: World
) -> None:
    """Whoever writes holds a board and then needs its group; so does whoever deletes it."""
    async with real_transaction() as session:
        group = await grouped(session, real_world.board, real_world.garden)

    def writing(actor: Any, board: Board) -> Deed:
        async def write(session: AsyncSession) -> None:
            held = await boards.hold(session, actor, board.id)
            found = await board_groups.of_board(session, held)
            place = memory.in_group_of(held, found)
            if place.id is not None:
                said = NoteDraft(content="@all, hello")
                await memory.write(session, actor, place, said, base_url="http://mc.test")

        return write

    async def delete(session: AsyncSession) -> None:
        await board_groups.delete(session, real_world.alice, group.id)

    async def by_group(session: AsyncSession) -> None:
        place = memory.in_group(await board_groups.writing(session, real_world.alice, group.id))
        said = NoteDraft(content="@all, hello")
        await memory.write(session, real_world.alice, place, said, base_url="http://mc.test")

    crowd = [writing(real_world.worker, real_world.board) for _ in range(3)]
    crowd += [writing(real_world.gardener, real_world.garden) for _ in range(3)]
    ends = await at_once(real_transaction, *crowd, by_group, delete, by_group)
    assert [end for end in ends if end is not None and not isinstance(end, NotFound)] == []
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(GroupNote)) == 0
        left = await session.scalars(select(Board.board_group_id))
        assert set(left) == {None}


async def test_a_board_that_joins_a_group_while_it_is_deleted_is_let_go_too(
    real_transaction: Transaction, real_world: World
) -> None:
    async with real_transaction() as session:
        group = await grouped(session, real_world.garden)

    async def delete(session: AsyncSession) -> None:
        await board_groups.delete(session, real_world.alice, group.id)

    async def join(session: AsyncSession) -> None:
        board = await boards.hold(session, real_world.alice, real_world.board.id)
        changes = {"board_group_id": group.id}
        await boards.change(session, real_world.alice, board, changes)

    assert await done_while_waiting(real_transaction, delete, join) is None
    async with real_transaction() as session:
        assert (await session.get_one(Board, real_world.board.id)).board_group_id is None
        updated = select(Event).where(Event.type == EventType.BOARD_UPDATED).order_by(Event.seq)
        told = [(e.board_id, e.data["changes"]) for e in await session.scalars(updated)]
    out = {"board_group_id": [str(group.id), None]}
    assert told[0] == (real_world.board.id, {"board_group_id": [None, str(group.id)]})
    assert sorted(told[1:], key=str) == sorted(
        [(real_world.board.id, out), (real_world.garden.id, out)], key=str
    )


async def test_a_lead_that_is_moved_while_it_sets_a_cadence_sets_none(
    real_transaction: Transaction, real_world: World
) -> None:
    async with real_transaction() as session:
        group = await grouped(session, real_world.board)
        alices = await organizations.active(session, real_world.alice)

    async def set_cadence(session: AsyncSession) -> None:
        crews = await board_groups.hold_to_steer(session, real_world.lead, group.id)
        how = {"every": "5m", "include_board_leads": False}
        await board_groups.check_in(session, real_world.lead, crews, **how)

    async def move(session: AsyncSession) -> None:
        away = {"board_id": real_world.garden.id}
        await agents.change(session, alices, real_world.lead.id, away)

    refused = await done_while_waiting(real_transaction, set_cadence, move)
    assert isinstance(refused, Forbidden)


async def test_a_board_is_paused_once_however_many_say_so(
    real_transaction: Transaction, real_world: World
) -> None:
    def pausing(actor: Any) -> Deed:
        async def pause(session: AsyncSession) -> None:
            place = memory.on_board(await boards.hold(session, actor, real_world.board.id))
            word = NoteDraft(content="/pause", tags=["chat"])
            await memory.write(session, actor, place, word, base_url="http://mc.test")

        return pause

    async with real_transaction() as session:
        await pausing(real_world.alice)(session)
        waiting = asyncio.create_task(at_once(real_transaction, pausing(real_world.lead)))
        await somebody_waits(real_transaction)
    assert await waiting == [None]
    async with real_transaction() as session:
        paused = Event.type == EventType.BOARD_PAUSED
        assert await session.scalar(select(func.count()).where(paused)) == 1
