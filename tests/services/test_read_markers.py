"""Unread comments, chat messages and approvals of others."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import NotFound
from core.paging import Paging
from models import Actor, Approval, ApprovalStatus, Board, Event, Member, ReadKind, ReadMarker, Task
from services import approvals, boards, events, memory, presence, tasks
from services.approvals import ApprovalCreate
from tests.support.board_rows import make_task
from tests.support.world import World

BASE_URL = "http://mission.test"


@pytest.fixture(autouse=True)
async def attach_world(session: AsyncSession, world: World) -> None:
    """Add the world to the session, so that new rows can refer to it."""
    session.add_all(vars(world).values())


@pytest.fixture
async def task(session: AsyncSession, world: World) -> Task:
    task = world.make_task()
    session.add(task)
    await session.flush()
    return task


async def add_comment(session: AsyncSession, actor: Actor, board: Board, task: Task) -> UUID:
    created = await tasks.create_comment(session, actor, board, task.id, "Half of it is written.")
    return created.comment.id


async def add_chat_message(
    session: AsyncSession, actor: Actor, board: Board, *, tags=("chat",)
) -> None:
    scope = memory.board_scope(await boards.get_board(session, actor, board.id))
    draft = memory.NoteCreate(content="Hello.", tags=list(tags))
    await memory.create_note(session, actor, scope, draft, base_url=BASE_URL)


async def request_approval(session: AsyncSession, actor: Actor, board: Board) -> UUID:
    draft = ApprovalCreate(action_type="deploy", confidence=80, payload={"reason": "It is ready."})
    return (await approvals.request_approval(session, actor, board, draft)).approval.id


async def count_unread(session: AsyncSession, member: Member, **where) -> dict[tuple, int]:
    """Return the numbers of unread items of a member, by kind and task."""
    page = await presence.list_unread(session, member, Paging(), **where)
    assert page.total == len(page.items)
    return {(one.kind, one.task_id): one.count for one in page.items}


async def test_items_of_others_are_unread_per_place(session, world, task) -> None:
    for _ in range(2):
        await add_comment(session, world.worker, world.board, task)
    await add_comment(session, world.bob, world.board, task)
    await add_chat_message(session, world.worker, world.board)
    await add_chat_message(session, world.worker, world.board, tags=["decision"])
    await request_approval(session, world.worker, world.board)
    everything = {
        (ReadKind.APPROVALS, None): 1,
        (ReadKind.CHAT, None): 1,
        (ReadKind.COMMENTS, task.id): 3,
    }
    assert await count_unread(session, world.alice_member) == everything
    assert await count_unread(session, world.rita_member) == everything
    assert await count_unread(session, world.bob_member) == {
        **everything,
        (ReadKind.COMMENTS, task.id): 2,
    }
    newest, *_ = (await presence.list_unread(session, world.alice_member, Paging())).items
    assert (newest.kind, newest.seen_seq, newest.seen_at) == (ReadKind.APPROVALS, None, None)


async def test_items_of_unreadable_boards_do_not_count(session, world, task) -> None:
    other_task = make_task(world.garden, "Dig")
    session.add(other_task)
    await session.flush()
    await add_comment(session, world.gardener, world.garden, other_task)
    await add_comment(session, world.worker, world.board, task)
    assert await count_unread(session, world.bob_member) == {(ReadKind.COMMENTS, task.id): 1}
    assert (
        await count_unread(session, world.dana_member)
        == await count_unread(session, world.charlie_member)
        == {}
    )
    garden = await count_unread(session, world.alice_member, board_id=world.garden.id)
    assert garden == {(ReadKind.COMMENTS, other_task.id): 1}
    assert await count_unread(session, world.bob_member, board_id=world.garden.id) == {}
    assert await count_unread(session, world.charlie_member, board_id=world.board.id) == {}


async def test_marking_a_place_as_read_clears_its_unread_items(session, world, task) -> None:
    await add_comment(session, world.worker, world.board, task)
    await add_chat_message(session, world.worker, world.board)
    read = await presence.mark_read(
        session, world.alice, world.board, ReadKind.COMMENTS, task_id=task.id
    )
    assert (read.count, read.latest_at) == (0, None)
    assert read.seen_seq == await events.get_last_seq(session, world.tern.id)
    assert await count_unread(session, world.alice_member) == {(ReadKind.CHAT, None): 1}
    assert (ReadKind.COMMENTS, task.id) in await count_unread(session, world.bob_member)

    await add_comment(session, world.worker, world.board, task)
    [again, _] = (await presence.list_unread(session, world.alice_member, Paging())).items
    assert (again.task_id, again.count) == (task.id, 1)
    assert (again.seen_seq, again.seen_at) == (read.seen_seq, read.seen_at)


async def test_marker_never_moves_backwards(session, world, task) -> None:
    comment_ids = [await add_comment(session, world.worker, world.board, task) for _ in range(3)]
    seqs = [
        await session.scalar(select(Event.seq).where(Event.id == comment_id))
        for comment_id in comment_ids
    ]

    async def count_after_marking(seq: int | None) -> int:
        unread = await presence.mark_read(
            session, world.alice, world.board, ReadKind.COMMENTS, task_id=task.id, last_seq=seq
        )
        return unread.count

    assert [await count_after_marking(seq) for seq in (0, seqs[0], seqs[1], seqs[0])] == [
        3,
        2,
        1,
        1,
    ]
    assert await count_after_marking(10**15) == 0
    await add_comment(session, world.worker, world.board, task)
    assert (await count_unread(session, world.alice_member)) == {(ReadKind.COMMENTS, task.id): 1}
    assert len((await session.scalars(select(ReadMarker))).all()) == 1


async def test_each_kind_has_its_own_marker(session, world, task) -> None:
    await add_chat_message(session, world.worker, world.board)
    await request_approval(session, world.worker, world.board)
    await add_comment(session, world.worker, world.board, task)
    for kind in (ReadKind.CHAT, ReadKind.APPROVALS):
        for _ in range(2):
            assert (await presence.mark_read(session, world.alice, world.board, kind)).count == 0
        assert (kind, None) not in await count_unread(session, world.alice_member)
    assert await count_unread(session, world.alice_member) == {(ReadKind.COMMENTS, task.id): 1}


async def test_decided_approvals_and_deleted_tasks_are_not_unread(session, world, task) -> None:
    await add_comment(session, world.worker, world.board, task)
    approval_id = await request_approval(session, world.worker, world.board)
    await approvals.decide_immediately(
        session, world.bob, world.board, approval_id, ApprovalStatus.REJECTED
    )
    assert await count_unread(session, world.alice_member) == {(ReadKind.COMMENTS, task.id): 1}
    await presence.mark_read(session, world.bob, world.board, ReadKind.COMMENTS, task_id=task.id)
    await tasks.delete_task(session, world.bob, world.board, task.id)
    assert await count_unread(session, world.alice_member) == {}
    assert (await session.scalars(select(ReadMarker))).all() == []


async def test_what_was_read_of_a_deleted_task_is_read_when_it_is_restored(
    session, world, task
) -> None:
    await add_comment(session, world.worker, world.board, task)
    await presence.mark_read(session, world.bob, world.board, ReadKind.COMMENTS, task_id=task.id)
    await tasks.delete_task(session, world.bob, world.board, task.id)
    await tasks.restore_task(session, world.bob, world.board, task.id)
    assert await count_unread(session, world.bob_member) == {}
    assert await count_unread(session, world.alice_member) == {(ReadKind.COMMENTS, task.id): 1}


async def test_items_older_than_limit_or_membership_are_not_unread(session, world, task) -> None:
    await add_comment(session, world.worker, world.board, task)
    await request_approval(session, world.worker, world.board)
    long_ago = now() - presence.MAX_UNREAD_AGE - timedelta(minutes=1)
    await session.execute(update(Member).values(created_at=long_ago))
    await session.refresh(world.alice_member, ["created_at"])
    approval_ids = select(Approval.id)
    old = update(Event).where(Event.approval_id.in_(approval_ids)).values(created_at=long_ago)
    await session.execute(old)
    assert await count_unread(session, world.alice_member) == {(ReadKind.COMMENTS, task.id): 1}
    world.alice_member.created_at = now() + timedelta(seconds=1)
    assert await count_unread(session, world.alice_member) == {}


async def test_task_of_another_board_cannot_be_marked(session, world, task) -> None:
    other_task = make_task(world.garden, "Dig")
    session.add(other_task)
    await session.flush()
    with pytest.raises(NotFound):
        await presence.mark_read(
            session, world.alice, world.board, ReadKind.COMMENTS, task_id=other_task.id
        )


async def test_board_has_unread_comments_until_board_or_task_is_marked(
    session, world, task
) -> None:
    async def list_board_names(member: Member) -> list[str]:
        ids = [world.board.id, world.garden.id]
        found = await presence.list_boards_with_unread_comments(session, member, ids)
        assert found <= {world.board.id, world.garden.id}
        return sorted(one.name for one in (world.board, world.garden) if one.id in found)

    assert await list_board_names(world.alice_member) == []
    await add_comment(session, world.bob, world.board, task)
    for member, names in (
        (world.alice_member, ["Launch"]),
        (world.rita_member, ["Launch"]),
        (world.bob_member, []),
        (world.dana_member, []),
        (world.charlie_member, []),
    ):
        assert await list_board_names(member) == names
    await presence.mark_read(session, world.alice, world.board, ReadKind.COMMENTS)
    await presence.mark_read(session, world.rita, world.board, ReadKind.COMMENTS, task_id=task.id)
    assert (
        await list_board_names(world.alice_member)
        == await list_board_names(world.rita_member)
        == []
    )
    assert (ReadKind.COMMENTS, task.id) in await count_unread(
        session, world.alice_member
    )  # the scope itself is still unread
    await add_comment(session, world.worker, world.board, task)
    assert (
        await list_board_names(world.alice_member)
        == await list_board_names(world.rita_member)
        == ["Launch"]
    )


async def test_old_comments_do_not_mark_a_board_as_unread(session, world, task) -> None:
    await add_comment(session, world.bob, world.board, task)
    world.rita_member.created_at = now() + timedelta(minutes=1)
    await session.flush()

    async def list_unread(member: Member) -> set[UUID]:
        ids = [world.board.id]
        return await presence.list_boards_with_unread_comments(session, member, ids)

    assert await list_unread(world.rita_member) == set()
    assert await list_unread(world.alice_member) == {world.board.id}
    long_ago = now() - presence.MAX_UNREAD_AGE - timedelta(minutes=1)
    world.alice_member.created_at = long_ago - timedelta(days=1)
    await session.execute(update(Event).values(created_at=long_ago))
    assert await list_unread(world.alice_member) == set()
