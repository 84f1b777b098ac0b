"""The notifications of a user: what is listed, counted, marked as read and deleted."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import NotFound
from core.paging import Paging
from models import BoardAccess, Member, Notification, NotificationKind, Role, User, new_id
from services import boards, counters, memory, notifications
from services.memory import NoteCreate
from services.notifications import KindGroup, NotificationFilters, OpenedPage
from services.notifications.commands import select_old_notifications
from services.notifications.rules import ADMIN_KINDS
from tests.support.board_rows import make_notification
from tests.support.memory_rows import create_group_of
from tests.support.query_plans import explain
from tests.support.world import World

Kind = NotificationKind
EVERYTHING = NotificationFilters()
UNREAD = NotificationFilters(is_unread=True)


async def add(session: AsyncSession, world: World, user: User, **fields: Any) -> Notification:
    """Add a notification of a mention on the board Launch."""
    notification = make_notification(world.board, user, **fields)
    session.add(notification)
    await session.flush()
    return notification


async def list_ids(
    session: AsyncSession, world: World, filters: NotificationFilters = EVERYTHING
) -> list[UUID]:
    """Return the ids that Bob sees."""
    page = await notifications.list_notifications(session, world.bob_member, Paging(50), filters)
    assert page.total == len(page.items)
    return [entry.notification.id for entry in page.items]


async def test_what_changed_last_comes_first(session: AsyncSession, world: World) -> None:
    old = await add(session, world, world.bob, updated_at=now() - timedelta(hours=2))
    new = await add(session, world, world.bob, updated_at=now() - timedelta(hours=1))
    await add(session, world, world.alice)
    assert await list_ids(session, world) == [new.id, old.id]


async def test_a_notification_is_listed_with_names(session: AsyncSession, world: World) -> None:
    await add(session, world, world.bob, actor_user_id=world.alice.id)
    await add(session, world, world.bob, actor_agent_id=world.worker.id, board_id=None)
    await add(session, world, world.bob, actor_agent_id=new_id())
    page = await notifications.list_notifications(session, world.bob_member, Paging(50), EVERYTHING)
    names = [(entry.board.name if entry.board else None, entry.actor_name) for entry in page.items]
    expected = [
        (world.board.name, None),
        (None, world.worker.name),
        (world.board.name, world.alice.display_name),
    ]
    assert names == expected


async def test_a_board_that_the_user_lost_hides_its_notifications(
    session: AsyncSession, world: World
) -> None:
    hidden = await add(session, world, world.bob, board_id=world.garden.id)
    shown = await add(session, world, world.bob)
    assert await list_ids(session, world) == [shown.id]
    assert await notifications.count_unread(session, world.bob_member) == 1
    with pytest.raises(NotFound):
        await notifications.mark_read(session, world.bob_member, hidden.id)
    await notifications.mark_all_read(session, world.bob_member, EVERYTHING)
    session.add(
        BoardAccess(
            id=new_id(),
            organization_member_id=world.bob_member.id,
            board_id=world.garden.id,
            can_read=True,
            created_at=now(),
            updated_at=now(),
        )
    )
    await session.flush()
    assert await notifications.count_unread(session, world.bob_member) == 1


async def test_a_former_admin_sees_nothing_that_is_for_admins(
    session: AsyncSession, world: World
) -> None:
    about_all: dict[str, Any] = {"board_id": None, "data": {"name": "Workshop"}}
    session.add_all(
        make_notification(world.board, user, kind=kind, **about_all)
        for user in (world.dana, world.alice)
        for kind in (*ADMIN_KINDS, NotificationKind.AGENTS_STOPPED)
    )
    await session.flush()
    count = len(ADMIN_KINDS) + 1
    assert await notifications.count_unread(session, world.dana_member) == count
    demoted = update(Member).where(Member.id == world.dana_member.id)
    await session.execute(demoted.values(role=Role.MEMBER))
    assert await notifications.count_unread(session, world.dana_member) == 1
    assert await notifications.count_unread(session, world.alice_member) == count


async def test_only_invitations_are_shown_in_other_organizations(
    session: AsyncSession, world: World
) -> None:
    of_plover = {"organization_id": world.plover.id, "board_id": None}
    await add(session, world, world.bob, kind=Kind.AGENTS_STOPPED, **of_plover)
    invitation = await add(session, world, world.bob, kind=Kind.INVITATION, **of_plover)
    assert await list_ids(session, world) == [invitation.id]
    assert await notifications.count_unread(session, world.bob_member) == 1


async def test_filters_narrow_the_list(session: AsyncSession, world: World) -> None:
    read = await add(session, world, world.bob, read_at=now())
    resolved = await add(session, world, world.bob, resolved_at=now())
    decision = await add(session, world, world.bob, kind=Kind.APPROVAL_PENDING)
    without_board = await add(session, world, world.bob, kind=Kind.AGENTS_STOPPED, board_id=None)
    assert await list_ids(session, world, UNREAD) == [without_board.id, decision.id]
    of_tasks = NotificationFilters(group=KindGroup.TASKS)
    assert await list_ids(session, world, of_tasks) == [resolved.id, read.id]
    of_board = NotificationFilters(is_unread=True, board_id=world.board.id)
    assert await list_ids(session, world, of_board) == [decision.id]


async def test_reading_one_can_be_taken_back(session: AsyncSession, world: World) -> None:
    notification = await add(session, world, world.bob)
    entry = await notifications.mark_read(session, world.bob_member, notification.id)
    assert entry.notification.read_at is not None
    assert notification.key is not None
    assert await notifications.count_unread(session, world.bob_member) == 0
    await notifications.mark_read(session, world.bob_member, notification.id, is_read=False)
    assert await notifications.count_unread(session, world.bob_member) == 1


async def test_one_that_merges_loses_its_key_when_it_is_read(
    session: AsyncSession, world: World
) -> None:
    one = await add(session, world, world.bob, merges=True)
    other = await add(session, world, world.bob, merges=True)
    await notifications.mark_read(session, world.bob_member, one.id)
    await notifications.mark_all_read(session, world.bob_member, EVERYTHING)
    await session.refresh(other)
    assert (one.key, other.key) == (None, None)


async def test_others_notifications_are_not_found(session: AsyncSession, world: World) -> None:
    of_alice = await add(session, world, world.alice)
    with pytest.raises(NotFound):
        await notifications.get_notification(session, world.bob_member, of_alice.id)
    with pytest.raises(NotFound):
        await notifications.mark_read(session, world.bob_member, of_alice.id)
    await notifications.mark_all_read(session, world.bob_member, EVERYTHING)
    await session.refresh(of_alice)
    assert of_alice.read_at is None


async def test_marking_all_as_read_keeps_to_the_filter(session: AsyncSession, world: World) -> None:
    await add(session, world, world.bob)
    stop = await add(session, world, world.bob, kind=Kind.AGENTS_STOPPED, board_id=None)
    filters = NotificationFilters(group=KindGroup.TASKS)
    assert await notifications.mark_all_read(session, world.bob_member, filters) == 1
    assert await list_ids(session, world, UNREAD) == [stop.id]
    assert await notifications.mark_all_read(session, world.bob_member, filters) == 0


@pytest.mark.parametrize(
    "place", ["task", "approval", "request", "agent", "gateway", "chat", "note"]
)
async def test_opening_the_object_reads_its_notifications(
    session: AsyncSession, world: World, place: str
) -> None:
    id = new_id()
    cases: dict[str, tuple[dict[str, Any], OpenedPage]] = {
        "task": ({"task_id": id}, OpenedPage(task_id=id)),
        "approval": (
            {"approval_id": id, "kind": Kind.APPROVAL_PENDING},
            OpenedPage(approval_id=id),
        ),
        "request": (
            {"data": {"request_id": str(id)}, "kind": Kind.APPROVAL_PENDING},
            OpenedPage(named_id=id),
        ),
        "agent": ({"agent_id": id, "kind": Kind.AGENT_HELD}, OpenedPage(agent_id=id)),
        "gateway": ({"gateway_id": id, "kind": Kind.GATEWAY_AWAY}, OpenedPage(gateway_id=id)),
        "chat": ({"kind": Kind.QUESTION}, OpenedPage(chat_board_id=world.board.id)),
        "note": ({"data": {"memory_id": str(id)}}, OpenedPage(note_ids=[new_id(), id])),
    }
    fields, page = cases[place]
    about = await add(session, world, world.bob, **fields)
    of_alice = await add(session, world, world.alice, **fields)
    other = await add(session, world, world.bob, task_id=new_id())
    assert await notifications.has_unread_about(session, world.bob, page)
    assert await notifications.mark_page_read(session, world.bob, page) == 1
    assert not await notifications.has_unread_about(session, world.bob, page)
    await session.refresh(about)
    await session.refresh(of_alice)
    assert about.read_at is not None
    assert of_alice.read_at is None
    assert await list_ids(session, world, UNREAD) == [other.id]


async def test_a_mention_in_a_deleted_message_is_not_unread(
    session: AsyncSession, world: World
) -> None:
    board = await boards.lock_board(session, world.alice, world.board.id)
    scope, draft = memory.board_scope(board), NoteCreate(content="@Bob, look", tags=["chat"])
    note = await memory.create_note(session, world.alice, scope, draft, base_url="http://x")
    assert await notifications.count_unread(session, world.bob_member) == 1
    await memory.delete_note(session, world.alice, scope, note)
    assert await notifications.count_unread(session, world.bob_member) == 0


async def test_a_group_that_the_user_lost_hides_its_notifications(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.board)
    fields = {"board_id": None, "board_group_id": group.id}
    shown = await add(session, world, world.bob, **fields)
    assert await list_ids(session, world) == [shown.id]
    await session.delete(await session.merge(world.bob_access))
    await session.flush()
    assert await list_ids(session, world) == []
    assert await notifications.count_unread(session, world.bob_member) == 0


async def test_old_notifications_are_found_by_indexes(session: AsyncSession, world: World) -> None:
    plan = await explain(session, select_old_notifications(now()))
    assert "ix_notifications_done" in plan
    assert "ix_notifications_updated_at" in plan


async def test_old_notifications_are_deleted_once_they_are_done(
    session: AsyncSession, world: World
) -> None:
    old, recent = now() - timedelta(days=91), now() - timedelta(days=89)
    very_old = now() - timedelta(days=366)
    await add(session, world, world.bob, updated_at=old, read_at=old)
    await add(session, world, world.bob, updated_at=old, resolved_at=old)
    await add(session, world, world.bob, updated_at=very_old)  # nobody has read it for a year
    kept = [
        await add(session, world, world.bob, updated_at=old, read_at=recent),
        await add(session, world, world.bob, updated_at=recent, read_at=recent),
        await add(session, world, world.bob, updated_at=old),
    ]
    assert await notifications.delete_old_notifications(session) == 3
    assert sorted(await session.scalars(select(Notification.id))) == sorted(one.id for one in kept)
    assert await session.scalar(select(func.count()).select_from(Notification)) == 3
    assert await counters.repair_counters(session) == []


async def test_the_deletion_of_old_notifications_waits_for_no_writer(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Those with a counter that a writer holds are deleted with the next batch."""
    world, old = isolated_world, now() - timedelta(days=91)
    async with isolated_transaction() as session:
        for user in (world.alice, world.bob):
            await add(session, world, user, updated_at=old, read_at=old)
    async with isolated_transaction() as writer:
        await add(writer, world, world.bob)
        async with isolated_transaction() as session:
            assert await notifications.delete_old_notifications(session) == 1
    async with isolated_transaction() as session:
        assert await notifications.delete_old_notifications(session) == 1
