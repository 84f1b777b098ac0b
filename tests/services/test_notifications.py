"""Notifications are created in the transaction of their cause, once, for those concerned."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    ApprovalStatus,
    EventType,
    Notification,
    NotificationKind,
    NotificationPreference,
    Role,
    User,
    new_id,
)
from services import approvals, boards, identity, notifications, organizations
from services.approvals import ApprovalCreate
from services.events import NewEvent, record_events
from services.notifications import Audience, NewNotification
from services.organizations import InviteCreate
from tests.support.memory_rows import create_group_of
from tests.support.people_rows import make_board_access, make_user
from tests.support.world import World

Kind = NotificationKind


def make_mention(world: World, *users: User, **fields: Any) -> NewNotification:
    given: dict[str, Any] = {
        "user_ids": [user.id for user in users],
        "board": world.board,
        "data": {"title": "Write"},
    }
    return NewNotification(Kind.MENTION, world.tern.id, "comment:1", **(given | fields))


async def list_notified(
    session: AsyncSession, kind: Kind, *, unread_only: bool = False
) -> list[UUID]:
    """Return the users with a notification of a kind that is not resolved."""
    query = select(Notification.user_id).where(
        Notification.kind == kind, Notification.resolved_at.is_(None)
    )
    if unread_only:
        query = query.where(Notification.read_at.is_(None))
    return sorted(await session.scalars(query))


def ids(*users: User) -> list[UUID]:
    return sorted(user.id for user in users)


async def request_approval(session: AsyncSession, world: World, actor: Any = None) -> UUID:
    actor = actor or world.worker
    board = await boards.lock_board(session, actor, world.board.id)
    draft = ApprovalCreate(action_type="deploy", confidence=90, lead_reasoning="It is ready.")
    detail = await approvals.request_approval(session, actor, board, draft)
    return detail.approval.id


async def test_only_those_who_may_read_the_board_are_notified(
    session: AsyncSession, world: World
) -> None:
    people = (world.bob, world.rita, world.dana, world.charlie)
    await notifications.notify(session, [make_mention(world, *people)])
    assert await list_notified(session, Kind.MENTION) == ids(world.bob, world.rita)


async def test_the_actor_is_not_notified(session: AsyncSession, world: World) -> None:
    await notifications.notify(
        session, [make_mention(world, world.bob, world.rita, actor=world.bob)]
    )
    assert await list_notified(session, Kind.MENTION) == ids(world.rita)


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (Audience.WRITERS, ("alice", "bob")),
        (Audience.ADMINS, ("alice",)),  # Dana may not read the board
        (Audience.MEMBERS, ("alice", "bob", "rita")),
    ],
)
async def test_an_audience_is_those_who_may_read_the_board(
    session: AsyncSession, world: World, audience: Audience, expected: tuple[str, ...]
) -> None:
    await notifications.notify(session, [make_mention(world, audience=audience)])
    people = [getattr(world, name) for name in expected]
    assert await list_notified(session, Kind.MENTION) == ids(*people)


async def test_the_same_cause_notifies_once(session: AsyncSession, world: World) -> None:
    for _ in range(3):
        await notifications.notify(session, [make_mention(world, world.bob)])
    [found] = await session.scalars(select(Notification))
    assert found.count == 1
    await session.execute(update(Notification).values(read_at=now()))
    await notifications.notify(session, [make_mention(world, world.bob)])
    assert await session.scalar(select(func.count()).select_from(Notification)) == 1


async def test_causes_in_one_statement_are_one_notification(
    session: AsyncSession, world: World
) -> None:
    for merges in (False, True):
        new = make_mention(world, world.bob, world.rita, merges=merges)
        await notifications.notify(session, [new, replace(new, key="comment:2"), new])
    assert await list_notified(session, Kind.MENTION) == sorted(2 * ids(world.bob, world.rita))


async def test_causes_merge_until_they_are_resolved(session: AsyncSession, world: World) -> None:
    again = make_mention(world, world.bob, merges=True)
    for title in ("One", "Two"):
        data = {"title": title}
        await notifications.notify(session, [replace(again, data=data)])
    [found] = await session.scalars(select(Notification))
    assert (found.count, found.data) == (2, data)
    await notifications.resolve(session, [Kind.MENTION], [again.key])
    await notifications.notify(session, [again])
    counts = await session.scalars(select(Notification.count).order_by(Notification.created_at))
    assert sorted(counts) == [1, 2]


@pytest.mark.parametrize("is_for_board", [False, True])
async def test_a_kind_that_is_switched_off_is_not_unread(
    session: AsyncSession, world: World, is_for_board: bool
) -> None:
    def prefer(is_enabled: bool, board_id: UUID | None) -> NotificationPreference:
        return NotificationPreference(
            id=new_id(),
            user_id=world.bob.id,
            organization_id=world.tern.id,
            kind=Kind.MENTION,
            board_id=board_id,
            is_enabled=is_enabled,
        )

    if is_for_board:
        session.add_all([prefer(True, None), prefer(False, world.board.id)])
    else:
        session.add_all([prefer(False, None), prefer(False, world.garden.id)])
    await notifications.notify(session, [make_mention(world, world.bob, world.rita)])
    assert await list_notified(session, Kind.MENTION, unread_only=True) == ids(world.rita)


async def test_an_approval_notifies_deciders_until_it_is_decided(
    session: AsyncSession, world: World
) -> None:
    approval_id = await request_approval(session, world)
    assert await list_notified(session, Kind.APPROVAL_PENDING) == ids(world.alice, world.bob)
    await approvals.decide_with_undo(
        session, world.bob, approval_id, status=ApprovalStatus.APPROVED, undo_seconds=60
    )
    assert await list_notified(session, Kind.APPROVAL_PENDING) == []
    await approvals.undo_decision(session, world.bob, approval_id)
    assert await list_notified(session, Kind.APPROVAL_PENDING) == ids(world.alice, world.bob)


async def test_the_requester_is_notified_of_the_decision(
    session: AsyncSession, world: World
) -> None:
    approval_id = await request_approval(session, world, world.bob)
    assert await list_notified(session, Kind.APPROVAL_PENDING) == ids(world.alice)
    board = await boards.lock_board(session, world.alice, world.board.id)
    await approvals.decide_immediately(
        session, world.alice, board, approval_id, status=ApprovalStatus.REJECTED
    )
    assert await list_notified(session, Kind.DECIDED) == ids(world.bob)


def agent_event(world: World, type: EventType, agent: Agent, **data: object) -> NewEvent:
    return NewEvent(
        type,
        None,
        organization_id=world.tern.id,
        board=world.board,
        subject=agent,
        data={"name": agent.name, **data},
    )


async def test_an_agent_that_is_back_needs_nobody(session: AsyncSession, world: World) -> None:
    status = EventType.AGENT_STATUS_CHANGED
    left = agent_event(world, status, world.worker, **{"from": "online", "to": "offline"})
    back = agent_event(world, status, world.worker, **{"from": "offline", "to": "online"})
    await record_events(session, [left])
    assert await list_notified(session, Kind.AGENT_OFFLINE) == ids(world.alice, world.bob)
    await record_events(session, [back])
    assert await list_notified(session, Kind.AGENT_OFFLINE) == []


async def test_a_stop_notifies_all_members_but_who_stopped(
    session: AsyncSession, world: World
) -> None:
    await organizations.stop_agents(
        session, world.alice_member, organizations.AgentStopCreate(reason="Too many mails")
    )
    expected = ids(world.bob, world.rita, world.dana)
    assert await list_notified(session, Kind.AGENTS_STOPPED) == expected
    await organizations.resume_agents(session, world.alice_member)
    assert await list_notified(session, Kind.AGENTS_STOPPED) == []


async def test_an_invitation_notifies_the_user_with_the_address(
    session: AsyncSession, world: World
) -> None:
    draft = InviteCreate(invited_email=world.charlie.email or "")
    await organizations.create_invite(session, world.alice_member, draft)
    assert await list_notified(session, Kind.INVITATION) == ids(world.charlie)
    await organizations.create_invite(session, world.alice_member, draft)  # replaces the first one
    counts = select(Notification.count).where(Notification.kind == Kind.INVITATION)
    assert (await session.scalars(counts)).all() == [2]


@pytest.mark.parametrize("end", ["revoked", "accepted"])
async def test_an_invitation_that_is_over_resolves_its_notification(
    session: AsyncSession, world: World, end: str
) -> None:
    other = make_user("Olga")
    session.add(other)
    await session.flush()
    for user in (world.charlie, other):
        invite, token = await organizations.create_invite(
            session, world.alice_member, InviteCreate(invited_email=user.email or "")
        )
    assert await list_notified(session, Kind.INVITATION) == ids(world.charlie, other)
    if end == "revoked":
        await organizations.revoke_invite(session, world.alice_member, invite.id)
    else:
        await organizations.accept_invite(session, other, token)
    assert await list_notified(session, Kind.INVITATION) == ids(world.charlie)


@pytest.mark.parametrize("end", ["account", "demoted", "removed", "rule"])
async def test_an_invitation_by_somebody_who_may_not_invite_any_more_is_over(
    session: AsyncSession, world: World, end: str
) -> None:
    world.dana_member.role = Role.ADMIN
    await session.flush()
    draft = InviteCreate(invited_email=world.charlie.email or "", role=Role.ADMIN)
    await organizations.create_invite(session, world.dana_member, draft, signed_in_at=now())
    assert await list_notified(session, Kind.INVITATION) == ids(world.charlie)
    if end == "account":
        await identity.delete_account(session, world.dana)
    elif end == "rule":
        await organizations.set_only_owners_appoint_admins(
            session, world.alice_member, True, signed_in_at=now()
        )
    else:
        locked = await organizations.lock_member(session, world.alice_member, world.dana_member.id)
        if end == "demoted":
            await organizations.change_member_role(session, locked, Role.MEMBER)
        else:
            await organizations.remove_member(session, locked)
    assert await list_notified(session, Kind.INVITATION) == []


async def test_only_who_can_read_a_board_of_a_group_is_notified_of_it(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.garden)
    mention = make_mention(world, world.alice, world.bob, world.dana, board=None, group=group)
    await notifications.notify(session, [mention])
    assert await list_notified(session, Kind.MENTION) == ids(world.alice)
    session.add(make_board_access(world.bob_member, world.garden))
    await session.flush()
    await notifications.notify(session, [replace(mention, key="comment:2")])
    assert await list_notified(session, Kind.MENTION) == ids(world.alice, world.alice, world.bob)


async def test_nothing_is_left_of_a_transaction_that_fails(
    transaction: TransactionFactory, world: World
) -> None:
    async def fail() -> None:
        async with transaction() as session:
            await request_approval(session, world)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with transaction() as session:
        assert await list_notified(session, Kind.APPROVAL_PENDING) == []


async def test_causes_at_the_same_time_notify_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world, transaction = isolated_world, isolated_transaction

    async def notify() -> None:
        async with transaction() as session:
            await notifications.notify(session, [make_mention(world, world.bob, world.rita)])

    await asyncio.gather(*(notify() for _ in range(8)))
    async with transaction() as session:
        assert await list_notified(session, Kind.MENTION) == ids(world.bob, world.rita)
