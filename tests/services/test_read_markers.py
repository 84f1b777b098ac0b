"""What people have not read yet: what others said and asked since they were last there."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import NotFound
from kit.paging import Paging
from models import Actor, Approval, ApprovalStatus, Board, Event, Member, ReadKind, ReadMarker, Task
from services import approvals, boards, events, memory, read_markers, tasks
from services.approvals import ApprovalDraft
from tests.world import World, a_task

BASE = "http://mission.test"


@pytest.fixture(autouse=True)
async def at_hand(session: AsyncSession, world: World) -> None:
    """Let the session know the world, so that new rows can be hung on it."""
    session.add_all(vars(world).values())


@pytest.fixture
async def task(session: AsyncSession, world: World) -> Task:
    made = world.task()
    session.add(made)
    await session.flush()
    return made


async def comment(session: AsyncSession, actor: Actor, board: Board, task: Task) -> UUID:
    said = await tasks.comment(session, actor, board, task.id, "Half of it is written.")
    return said.comment.id


async def say(session: AsyncSession, actor: Actor, board: Board, *, tags=("chat",)) -> None:
    place = memory.on_board(await boards.get(session, actor, board.id))
    draft = memory.NoteDraft(content="Hello.", tags=list(tags))
    await memory.write(session, actor, place, draft, base_url=BASE)


async def ask(session: AsyncSession, actor: Actor, board: Board) -> UUID:
    draft = ApprovalDraft(action_type="deploy", confidence=80, payload={"reason": "It is ready."})
    return (await approvals.request(session, actor, board, draft)).approval.id


async def counts(session: AsyncSession, member: Member, **where) -> dict[tuple, int]:
    """Return how much a member has not read, by kind and task."""
    page = await read_markers.unread(session, member, Paging(), **where)
    assert page.total == len(page.items)
    return {(one.kind, one.task_id): one.count for one in page.items}


async def test_what_others_say_and_ask_is_unread_by_place(session, world, task) -> None:
    for _ in range(2):
        await comment(session, world.worker, world.board, task)
    await comment(session, world.bob, world.board, task)
    await say(session, world.worker, world.board)
    await say(session, world.worker, world.board, tags=["decision"])
    await ask(session, world.worker, world.board)
    everything = {
        (ReadKind.APPROVALS, None): 1,
        (ReadKind.CHAT, None): 1,
        (ReadKind.COMMENTS, task.id): 3,
    }
    assert await counts(session, world.alices) == everything
    assert await counts(session, world.ritas) == everything
    assert await counts(session, world.bobs) == {**everything, (ReadKind.COMMENTS, task.id): 2}
    newest, *_ = (await read_markers.unread(session, world.alices, Paging())).items
    assert (newest.kind, newest.seen_seq, newest.seen_at) == (ReadKind.APPROVALS, None, None)


async def test_nobody_hears_of_what_they_may_not_read(session, world, task) -> None:
    elsewhere = a_task(world.garden, "Dig")
    session.add(elsewhere)
    await session.flush()
    await comment(session, world.gardener, world.garden, elsewhere)
    await comment(session, world.worker, world.board, task)
    assert await counts(session, world.bobs) == {(ReadKind.COMMENTS, task.id): 1}
    assert await counts(session, world.danas) == await counts(session, world.charlies) == {}
    garden = await counts(session, world.alices, board_id=world.garden.id)
    assert garden == {(ReadKind.COMMENTS, elsewhere.id): 1}
    assert await counts(session, world.bobs, board_id=world.garden.id) == {}
    assert await counts(session, world.charlies, board_id=world.board.id) == {}


async def test_who_has_been_there_has_read_what_was_there(session, world, task) -> None:
    await comment(session, world.worker, world.board, task)
    await say(session, world.worker, world.board)
    read = await read_markers.mark(
        session, world.alice, world.board, ReadKind.COMMENTS, task_id=task.id
    )
    assert (read.count, read.latest_at) == (0, None)
    assert read.seen_seq == await events.latest(session, world.tern.id)
    assert await counts(session, world.alices) == {(ReadKind.CHAT, None): 1}
    assert (ReadKind.COMMENTS, task.id) in await counts(session, world.bobs)

    await comment(session, world.worker, world.board, task)
    [again, _] = (await read_markers.unread(session, world.alices, Paging())).items
    assert (again.task_id, again.count) == (task.id, 1)
    assert (again.seen_seq, again.seen_at) == (read.seen_seq, read.seen_at)


async def test_a_marker_is_set_to_what_was_seen_and_never_goes_back(session, world, task) -> None:
    said = [await comment(session, world.worker, world.board, task) for _ in range(3)]
    seqs = [
        await session.scalar(select(Event.seq).where(Event.id == comment_id)) for comment_id in said
    ]

    async def left(seen: int | None) -> int:
        place = await read_markers.mark(
            session, world.alice, world.board, ReadKind.COMMENTS, task_id=task.id, seen=seen
        )
        return place.count

    assert [await left(seen) for seen in (0, seqs[0], seqs[1], seqs[0])] == [3, 2, 1, 1]
    assert await left(10**15) == 0
    await comment(session, world.worker, world.board, task)
    assert (await counts(session, world.alices)) == {(ReadKind.COMMENTS, task.id): 1}
    assert len((await session.scalars(select(ReadMarker))).all()) == 1


async def test_each_kind_has_a_marker_of_its_own(session, world, task) -> None:
    await say(session, world.worker, world.board)
    await ask(session, world.worker, world.board)
    await comment(session, world.worker, world.board, task)
    for kind in (ReadKind.CHAT, ReadKind.APPROVALS):
        for _ in range(2):
            assert (await read_markers.mark(session, world.alice, world.board, kind)).count == 0
        assert (kind, None) not in await counts(session, world.alices)
    assert await counts(session, world.alices) == {(ReadKind.COMMENTS, task.id): 1}


async def test_what_is_gone_or_answered_is_read_by_everybody(session, world, task) -> None:
    await comment(session, world.worker, world.board, task)
    asked = await ask(session, world.worker, world.board)
    await approvals.decide(session, world.bob, world.board, asked, ApprovalStatus.REJECTED)
    assert await counts(session, world.alices) == {(ReadKind.COMMENTS, task.id): 1}
    await read_markers.mark(session, world.bob, world.board, ReadKind.COMMENTS, task_id=task.id)
    await tasks.delete(session, world.bob, world.board, task.id)
    assert await counts(session, world.alices) == {}
    assert (await session.scalars(select(ReadMarker))).all() == []


async def test_what_happened_long_ago_or_before_one_came_is_no_news(session, world, task) -> None:
    await comment(session, world.worker, world.board, task)
    await ask(session, world.worker, world.board)
    long_ago = now() - read_markers.RECENT - timedelta(minutes=1)
    await session.execute(update(Member).values(created_at=long_ago))
    await session.refresh(world.alices, ["created_at"])
    asked = select(Approval.id)
    old = update(Event).where(Event.approval_id.in_(asked)).values(created_at=long_ago)
    await session.execute(old)
    assert await counts(session, world.alices) == {(ReadKind.COMMENTS, task.id): 1}
    world.alices.created_at = now() + timedelta(seconds=1)
    assert await counts(session, world.alices) == {}


async def test_a_task_that_is_not_on_the_board_is_not_there(session, world, task) -> None:
    elsewhere = a_task(world.garden, "Dig")
    session.add(elsewhere)
    await session.flush()
    with pytest.raises(NotFound):
        await read_markers.mark(
            session, world.alice, world.board, ReadKind.COMMENTS, task_id=elsewhere.id
        )


async def test_a_board_has_news_until_it_is_looked_at_or_all_of_it_is_read(
    session, world, task
) -> None:
    async def news(member: Member) -> list[str]:
        found = await read_markers.boards_with_news(session, member)
        assert found <= {world.board.id, world.garden.id}
        return sorted(one.name for one in (world.board, world.garden) if one.id in found)

    assert await news(world.alices) == []
    await comment(session, world.bob, world.board, task)
    for member, names in (
        (world.alices, ["Launch"]),
        (world.ritas, ["Launch"]),
        (world.bobs, []),
        (world.danas, []),
        (world.charlies, []),
    ):
        assert await news(member) == names
    await read_markers.mark(session, world.alice, world.board, ReadKind.COMMENTS)
    await read_markers.mark(session, world.rita, world.board, ReadKind.COMMENTS, task_id=task.id)
    assert await news(world.alices) == await news(world.ritas) == []
    assert (ReadKind.COMMENTS, task.id) in await counts(session, world.alices)  # not read, though
    await comment(session, world.worker, world.board, task)
    assert await news(world.alices) == await news(world.ritas) == ["Launch"]


async def test_what_was_said_before_somebody_came_or_long_ago_is_no_news_of_a_board(
    session, world, task
) -> None:
    await comment(session, world.bob, world.board, task)
    world.ritas.created_at = now() + timedelta(minutes=1)
    await session.flush()
    assert await read_markers.boards_with_news(session, world.ritas) == set()
    assert await read_markers.boards_with_news(session, world.alices) == {world.board.id}
    long_ago = now() - read_markers.RECENT - timedelta(minutes=1)
    world.alices.created_at = long_ago - timedelta(days=1)
    await session.execute(update(Event).values(created_at=long_ago))
    assert await read_markers.boards_with_news(session, world.alices) == set()
