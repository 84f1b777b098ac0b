"""Who is reminded of an approval that two people must approve: those who can still approve it."""

from collections.abc import Sequence
from datetime import time, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import (
    Approval,
    ApprovalStatus,
    ChannelKind,
    Message,
    Notification,
    NotificationKind,
    NotificationSettings,
    PolicyEffect,
    PolicyVerdict,
    User,
    new_id,
)
from services import approvals, boards, notifications, tasks
from services.approvals import ApprovalCreate
from services.notifications.escalations import next_escalation_query
from tests.support.approval_helpers import decide_approval
from tests.support.notification_harness import NotificationHarness, harness
from tests.support.world import World
from worker.periodic import PeriodicTasks

__all__ = ["harness"]

Kind = NotificationKind
DECISION_KINDS = (Kind.APPROVAL_PENDING, Kind.APPROVAL_UNDECIDED)
LONG = timedelta(minutes=61)
TWO = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Careful")


async def request_approval(
    session: AsyncSession, world: World, requester: User | None = None, *, with_task: bool = False
) -> Approval:
    """Request an approval that two of those who may write to Launch must approve."""
    actor = requester or world.worker
    task = world.make_task("Deploy")
    session.add(task)
    await session.flush()
    board = await boards.lock_board(session, actor, world.board.id)
    draft = ApprovalCreate(
        action_type="deploy",
        confidence=90,
        task_id=task.id if with_task else None,
        lead_reasoning="It is ready.",
    )
    approval = (await approvals.request_approval(session, actor, board, draft)).approval
    approval.policy_verdict = TWO
    await session.flush()
    return approval


async def remind(session: AsyncSession) -> None:
    """Let time pass, and remind people."""
    earlier = Approval.created_at - LONG
    await session.execute(update(Approval).values(created_at=earlier))
    assert await approvals.remind_of_approvals(session) == 1


async def list_notified(session: AsyncSession, *kinds: Kind) -> Sequence[tuple[str, Kind]]:
    """Return the names of the users with open notifications, and the kinds."""
    query = select(User.name, Notification.kind).join(User, User.id == Notification.user_id)
    query = query.where(Notification.kind.in_(kinds), Notification.resolved_at.is_(None))
    return sorted((name or "", kind) for name, kind in await session.execute(query))


KINDS = [ChannelKind.EMAIL, ChannelKind.PUSH, ChannelKind.SLACK, ChannelKind.NTFY]


@pytest.mark.parametrize("kind", KINDS)
async def test_no_channel_reminds_who_has_approved_first(
    harness: NotificationHarness, kind: ChannelKind
) -> None:
    world = harness.world
    for user, name in [(world.alice, "Alice"), (world.bob, "Bob")]:
        await harness.add_channel(user, name, kind)
    async with harness.transaction() as session:
        approval = await request_approval(session, world)
        messages = await session.scalar(select(func.count()).select_from(Message))
    async with harness.transaction() as session:
        await decide_approval(session, world.alice, approval)
    async with harness.transaction() as session:
        await remind(session)
        assert await session.scalar(select(func.count()).select_from(Message)) == messages
    await harness.run()
    assert harness.titles("Alice") == []
    assert sorted(harness.titles("Bob")) == sorted(DECISION_KINDS)


async def test_a_first_approval_ends_the_notifications_of_its_user_only(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world)
    await remind(session)
    everything = [(name, kind) for name in ("Alice", "Bob") for kind in DECISION_KINDS]
    assert await list_notified(session, *DECISION_KINDS) == everything
    await decide_approval(session, world.alice, approval)
    assert await list_notified(session, *DECISION_KINDS) == everything[2:]

    await decide_approval(session, world.bob, approval)
    assert await list_notified(session, *DECISION_KINDS) == []
    await approvals.undo_decision(session, world.bob, approval.id)
    assert await list_notified(session, *DECISION_KINDS) == everything[2:]
    await approvals.undo_decision(session, world.alice, approval.id)
    assert await list_notified(session, *DECISION_KINDS) == everything


async def change_task(session: AsyncSession, world: World, approval: Approval) -> None:
    board = await boards.lock_board(session, world.bob, world.board.id)
    assert approval.task_id
    await tasks.update_task(
        session, world.bob, board, approval.task_id, tasks.TaskUpdate.of(title="Deploy all")
    )


async def test_who_approved_other_content_is_reminded(session: AsyncSession, world: World) -> None:
    approval = await request_approval(session, world, with_task=True)
    await decide_approval(session, world.alice, approval)
    await change_task(session, world, approval)
    await remind(session)
    reminded = [("Alice", Kind.APPROVAL_UNDECIDED), ("Bob", Kind.APPROVAL_UNDECIDED)]
    assert await list_notified(session, Kind.APPROVAL_UNDECIDED) == reminded


async def test_a_first_approval_of_changed_content_concerns_the_former_first_user(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world, with_task=True)
    await decide_approval(session, world.alice, approval)
    await change_task(session, world, approval)
    contents = await approvals.load_current_contents(session, [approval.id])
    shown = approvals.hash_current_action(approval, contents[approval.id])
    await approvals.decide_with_undo(
        session,
        world.bob,
        approval.id,
        status=ApprovalStatus.APPROVED,
        action_hash=shown,
        undo_seconds=8,
    )
    assert approval.first_approver_id == world.bob.id
    assert await list_notified(session, *DECISION_KINDS) == [("Alice", Kind.APPROVAL_PENDING)]
    await remind(session)
    assert await list_notified(session, Kind.APPROVAL_UNDECIDED) == [
        ("Alice", Kind.APPROVAL_UNDECIDED)
    ]


@pytest.mark.parametrize(
    ("effect", "reminded"),
    [(PolicyEffect.ASK_TWO, ["Bob"]), (PolicyEffect.ASK_ONE, ["Alice", "Bob"])],
)
async def test_a_requester_who_may_not_approve_is_not_reminded(
    session: AsyncSession, world: World, effect: PolicyEffect, reminded: list[str]
) -> None:
    approval = await request_approval(session, world, world.alice)
    approval.policy_verdict = PolicyVerdict(effect=effect, rule_name="Careful")
    await remind(session)
    notified = await list_notified(session, Kind.APPROVAL_UNDECIDED)
    assert [name for name, _ in notified] == reminded


async def test_who_approved_other_content_is_told_and_reminded_again(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world, with_task=True)
    await decide_approval(session, world.alice, approval)
    await remind(session)
    of_bob = [("Bob", kind) for kind in DECISION_KINDS]
    assert await list_notified(session, *DECISION_KINDS) == of_bob
    of_alice = Notification.user_id == world.alice.id
    await session.execute(update(Notification).where(of_alice).values(read_at=now()))
    assert not await approvals.has_outdated_first_approvals(session)

    await change_task(session, world, approval)
    assert await approvals.has_outdated_first_approvals(session)
    assert [await approvals.reopen_outdated_first_approvals(session) for _ in range(2)] == [1, 0]
    assert await list_notified(session, *DECISION_KINDS) == [
        ("Alice", Kind.APPROVAL_PENDING),
        *of_bob,
    ]
    unread = select(func.count()).where(of_alice, Notification.read_at.is_(None))
    assert await session.scalar(unread) == 1
    await remind(session)
    everything = [("Alice", kind) for kind in DECISION_KINDS] + of_bob
    assert await list_notified(session, *DECISION_KINDS) == everything

    await decide_approval(session, world.bob, approval, ApprovalStatus.REJECTED)
    assert not await approvals.has_outdated_first_approvals(session)
    assert await list_notified(session, *DECISION_KINDS) == []


async def test_a_worker_finds_first_approvals_of_other_content(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
) -> None:
    world, transaction = isolated_world, isolated_transaction
    async with transaction() as session:
        approval = await request_approval(session, world, with_task=True)
        await decide_approval(session, world.alice, approval)
    async with transaction() as session:
        await change_task(session, world, approval)
    await PeriodicTasks(isolated_settings, transaction, transaction).follow_up()
    async with transaction() as session:
        open_ones = [(name, Kind.APPROVAL_PENDING) for name in ("Alice", "Bob")]
        assert await list_notified(session, *DECISION_KINDS) == open_ones


async def test_undoing_a_decision_of_changed_content_concerns_the_former_first_user(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world, with_task=True)
    await decide_approval(session, world.alice, approval)
    await change_task(session, world, approval)
    await decide_approval(session, world.bob, approval, ApprovalStatus.REJECTED)
    await approvals.undo_decision(session, world.bob, approval.id)
    open_ones = [(name, Kind.APPROVAL_PENDING) for name in ("Alice", "Bob")]
    assert await list_notified(session, *DECISION_KINDS) == open_ones


async def escalate_to_alice(session: AsyncSession, world: World) -> int:
    """Notify Alice of what Bob has not dealt with, and count it."""
    if await session.scalar(select(NotificationSettings.id)) is None:
        settings = NotificationSettings(
            id=new_id(),
            user_id=world.bob.id,
            organization_id=world.tern.id,
            digest_at=time(8),
            updated_at=now(),
            escalate_to_user_id=world.alice.id,
            escalate_after_minutes=60,
        )
        session.add(settings)
        await session.flush()
    earlier = Notification.created_at - LONG
    await session.execute(update(Notification).values(created_at=earlier))
    next_at = await session.scalar(select(next_escalation_query()))
    count = await notifications.escalate(session)
    assert (next_at is None) == (count == 0)  # otherwise workers would look for it all the time
    return count


async def test_an_approval_is_not_escalated_to_who_has_approved_first(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world)
    await decide_approval(session, world.alice, approval)
    assert await escalate_to_alice(session, world) == 0
    await approvals.undo_decision(session, world.alice, approval.id)
    assert await escalate_to_alice(session, world) == 1


async def test_an_approval_is_escalated_to_who_approved_other_content(
    session: AsyncSession, world: World
) -> None:
    approval = await request_approval(session, world, with_task=True)
    await decide_approval(session, world.alice, approval)
    await change_task(session, world, approval)
    assert await escalate_to_alice(session, world) == 1


@pytest.mark.parametrize("effect", [PolicyEffect.ASK_TWO, PolicyEffect.ASK_ONE])
async def test_an_approval_is_not_escalated_to_a_requester_who_may_not_approve(
    session: AsyncSession, world: World, effect: PolicyEffect
) -> None:
    approval = await request_approval(session, world, world.alice)
    approval.policy_verdict = PolicyVerdict(effect=effect, rule_name="Careful")
    await session.flush()
    assert await escalate_to_alice(session, world) == (effect is PolicyEffect.ASK_ONE)


@pytest.mark.parametrize("is_named", [False, True])
async def test_an_approval_is_escalated_only_to_who_may_approve_it(
    session: AsyncSession, world: World, *, is_named: bool
) -> None:
    approval = await request_approval(session, world)
    ids = (world.bob.id, *((world.alice.id,) if is_named else ()))
    approval.policy_verdict = PolicyVerdict(rule_name="Careful", decider_ids=ids)
    await session.flush()
    assert await escalate_to_alice(session, world) == is_named
