"""Votes count when a decision takes effect: whoever may no longer decide has no vote."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from core.clock import now
from models import (
    Approval,
    BoardAccess,
    Comment,
    Event,
    EventType,
    Member,
    Message,
    Notification,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    Role,
    new_id,
)
from services import approvals, boards, identity, policies
from tests.support.approval_helpers import (
    APPROVED,
    PENDING,
    REJECTED,
    add_approval,
    decide_approval,
    list_event_types,
)
from tests.support.people_rows import make_board_access
from tests.support.tiers import repetition

ONE = PolicyVerdict(effect=PolicyEffect.ASK_ONE, rule_name="One admin", decider_role=Role.ADMIN)
TWO = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two admins", decider_role=Role.ADMIN)
ENDS = ("left", "reads", "demoted", "deleted")
LAPSED, FIRST = EventType.APPROVAL_LAPSED, EventType.APPROVAL_FIRST_APPROVED


@pytest.fixture(autouse=True)
async def admins(session, world):
    """Bob and Rita are admins who may change the board, like Alice, who owns everything."""
    for member in (world.bob_member, world.rita_member):
        member.role = Role.ADMIN
        session.add(member)
    world.rita_access.can_write = True
    session.add(world.rita_access)
    await session.flush()


async def end_rights(session, member, how) -> None:
    """Take the right to decide from a member."""
    if how == "left":
        await session.execute(delete(Member).where(Member.id == member.id))
    elif how == "reads":
        access = await session.scalars(
            select(BoardAccess).where(BoardAccess.organization_member_id == member.id)
        )
        for one in access:
            one.can_write = False
    elif how == "demoted":
        member.role = Role.MEMBER
    else:
        await identity.delete_account(session, member.user)
    await session.flush()


async def decide_in_api(session, user, approval, status=APPROVED, **fields):
    board = await boards.lock_board(session, user, approval.board_id)
    return await approvals.decide_immediately(session, user, board, approval.id, status, **fields)


async def decide_in_bulk(session, user, approval, status=APPROVED):
    [result] = await approvals.decide_many_with_undo(
        session, user, [approval.id], status=status, undo_seconds=8
    )
    assert result.error is None
    return result.detail


async def finalize(session, approval) -> Approval:
    """End the undo time of a decision, and finalize it."""
    await session.refresh(approval)
    approval.finalizes_at = now() - timedelta(seconds=1)
    await session.flush()
    assert await approvals.finalize_due_approvals(session) == 1
    await session.refresh(approval)
    return approval


async def list_lapses(session) -> list[dict[str, Any]]:
    """Return the data of the events about votes that count no longer."""
    found = await session.scalars(select(Event).where(Event.type == LAPSED).order_by(Event.seq))
    return [{name: one.data[name] for name in ("answer", "lapsed_user_id")} for one in found]


@pytest.mark.parametrize(
    ("how", "decide"),
    [
        *((how, decide_approval) for how in ENDS),
        *(("left", decide_in_api), ("reads", decide_in_bulk)),
        *(pytest.param(how, decide_in_api, marks=repetition) for how in ENDS[1:]),
        *(
            pytest.param(how, decide_in_bulk, marks=repetition)
            for how in ("left", "demoted", "deleted")
        ),
    ],
)
async def test_the_second_person_is_the_first_if_the_first_may_not_decide(
    session, world, how, decide
) -> None:
    approval = await add_approval(session, world, world.make_task(), policy_verdict=TWO)
    bob_id = world.bob.id
    await decide_approval(session, world.bob, approval, note="By Bob")
    await end_rights(session, world.bob_member, how)

    detail = await decide(session, world.alice, approval)
    await session.refresh(approval)
    assert (approval.status, approval.decided_status) == (PENDING, None)
    assert (approval.first_approver_id, detail.first_approver) == (world.alice.id, world.alice)
    assert approval.first_approval_note is None
    lapsed_id = None if how == "deleted" else bob_id
    assert (approval.lapsed_user_id, approval.lapsed_status) == (lapsed_id, APPROVED)
    assert (await list_event_types(session))[-2:] == [LAPSED, FIRST]
    recorded_id = str(lapsed_id) if lapsed_id else None
    assert await list_lapses(session) == [{"answer": "approved", "lapsed_user_id": recorded_id}]

    await decide(session, world.alice, approval)  # a repetition changes nothing
    await session.refresh(approval)
    assert approval.decided_status is None
    await decide(session, world.rita, approval)
    await session.refresh(approval)
    assert approval.decided_status is APPROVED
    assert (approval.lapsed_user_id, approval.lapsed_status) == (None, None)


async def test_the_first_person_can_add_to_their_approval(session, world) -> None:
    approval = await add_approval(session, world, world.make_task(), policy_verdict=TWO)
    for fields in ({"note": "By Bob"}, {"completes_tasks": True}, {}, {"note": "By Bob"}):
        await decide_in_api(session, world.bob, approval, **fields)
    await session.refresh(approval)
    assert (approval.first_approval_note, approval.first_approval_completes_tasks) == (
        "By Bob",
        True,
    )
    assert (await list_event_types(session)).count(FIRST) == 2
    await decide_in_api(session, world.alice, approval, completes_tasks=True)
    await session.refresh(approval)
    assert approval.completes_tasks


async def test_a_first_approval_counts_if_the_right_to_decide_is_back(session, world) -> None:
    approval = await add_approval(session, world, policy_verdict=TWO)
    await decide_approval(session, world.bob, approval)
    await end_rights(session, world.bob_member, "demoted")
    world.bob_member.role = Role.ADMIN
    await session.flush()
    await decide_approval(session, world.alice, approval)
    assert (approval.decided_status, approval.first_approver_id) == (APPROVED, world.bob.id)
    assert await list_lapses(session) == []


@pytest.mark.parametrize(
    ("how", "status"),
    [
        *((how, APPROVED) for how in ENDS),
        ("left", REJECTED),
        *(pytest.param(how, REJECTED, marks=repetition) for how in ENDS[1:]),
    ],
)
async def test_a_decision_does_not_take_effect_without_the_right_to_decide(
    session, world, how, status
) -> None:
    """The right ends in the time in which the decision can be undone."""
    expiring = replace(ONE, expires_after=3600)
    task = world.make_task(assigned_agent_id=world.worker.id)
    approval = await add_approval(session, world, task, policy_verdict=expiring)
    bob_id = world.bob.id
    await decide_approval(session, world.bob, approval, status, note="Go.")
    await end_rights(session, world.bob_member, how)

    await finalize(session, approval)
    assert (approval.status, approval.decided_status, approval.decided_by_user_id) == (
        *(PENDING, None),
        None,
    )
    assert (approval.finalizes_at, approval.resolved_at, approval.decision_note) == (None,) * 3
    assert approval.expires_at == approval.created_at + timedelta(hours=1)
    lapsed_id = None if how == "deleted" else bob_id
    assert (approval.lapsed_user_id, approval.lapsed_status) == (lapsed_id, status)
    recorded_id = str(lapsed_id) if lapsed_id else None
    assert await list_lapses(session) == [{"answer": status, "lapsed_user_id": recorded_id}]
    for effect in (Message, Comment):
        assert list(await session.scalars(select(effect))) == []

    await decide_approval(session, world.alice, approval, status)
    await finalize(session, approval)
    assert (approval.status, approval.lapsed_status) == (status, None)


async def test_an_owner_whom_the_policy_excludes_still_rejects(session, world) -> None:
    named = PolicyVerdict(rule_name="Bob", decider_ids=(world.bob.id,))
    approval = await add_approval(session, world, policy_verdict=named)
    await decide_approval(session, world.alice, approval, REJECTED)
    assert (await finalize(session, approval)).status is REJECTED


async def test_a_decision_of_the_policy_does_not_lapse(session, world) -> None:
    at = now() - timedelta(seconds=1)
    approval = await add_approval(session, world, policy_verdict=TWO, expires_at=at)
    assert await approvals.finalize_due_approvals(session) == 1
    assert approval.status is REJECTED
    assert await list_lapses(session) == []


@pytest.mark.parametrize("how", ENDS)
async def test_the_second_approval_becomes_the_first_if_that_lapses(session, world, how) -> None:
    approval = await add_approval(session, world, policy_verdict=TWO)
    bob_id = world.bob.id
    await decide_approval(session, world.bob, approval, note="By Bob")
    await decide_approval(session, world.alice, approval, note="By Alice")
    decided_at = approval.decided_at
    await end_rights(session, world.bob_member, how)

    await finalize(session, approval)
    assert (approval.status, approval.decided_status) == (PENDING, None)
    assert (approval.first_approver_id, approval.first_approval_note) == (
        world.alice.id,
        "By Alice",
    )
    assert approval.first_approved_at == decided_at
    assert approval.lapsed_user_id == (None if how == "deleted" else bob_id)
    await decide_approval(session, world.alice, approval)
    assert approval.decided_status is None
    await decide_approval(session, world.rita, approval)
    assert (await finalize(session, approval)).status is APPROVED


@pytest.mark.parametrize(
    ("how", "both"),
    [
        *((how, False) for how in ENDS),
        ("deleted", True),
        *(pytest.param(how, True, marks=repetition) for how in ENDS[:-1]),
    ],
)
async def test_the_first_approval_waits_for_another_if_the_second_lapses(
    session, world, how, both
) -> None:
    approval = await add_approval(session, world, policy_verdict=TWO)
    await decide_approval(session, world.rita, approval)
    await decide_approval(session, world.bob, approval)
    bob_id, rita_id = world.bob.id, world.rita.id
    await end_rights(session, world.bob_member, how)
    if both:
        await end_rights(session, world.rita_member, "demoted")

    await finalize(session, approval)
    assert (approval.decided_status, approval.first_approver_id) == (None, rita_id)
    assert approval.lapsed_user_id == (None if how == "deleted" else bob_id)
    await decide_approval(session, world.alice, approval)
    if both:
        assert (approval.decided_status, approval.first_approver_id) == (None, world.alice.id)
        assert approval.lapsed_user_id == rita_id
    else:
        assert (await finalize(session, approval)).status is APPROVED


@pytest.mark.parametrize("how", ENDS)
async def test_ending_the_undo_time_counts_the_votes_again(session, world, how) -> None:
    approval = await add_approval(session, world, policy_verdict=TWO)
    await decide_approval(session, world.bob, approval)
    await decide_approval(session, world.alice, approval)
    await end_rights(session, world.bob_member, how)
    await decide_in_api(session, world.alice, approval)
    await session.refresh(approval)
    assert (approval.status, approval.first_approver_id) == (PENDING, world.alice.id)
    assert approval.decided_status is None


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_vote_to_complete_tasks_needs_the_right_to_complete_them(
    session, world, is_first
) -> None:
    """The rule about completions is stricter than that of the request."""
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    rule = PolicyRule(
        id=new_id(),
        name="Completion",
        effect=PolicyEffect.ASK_ONE,
        kinds=("task.complete",),
        decider_role=Role.ADMIN,
    )
    task = world.make_task()
    approval = await add_approval(session, world, task, policy_verdict=two, action_type="deploy")
    board = await boards.lock_board(session, world.alice, world.board.id)
    await policies.replace_policy(session, world.alice_member, board, [rule])
    order = (world.bob, world.alice) if is_first else (world.alice, world.bob)
    for user in order:
        await approvals.decide_with_undo(
            session, user, approval.id, status=APPROVED, completes_tasks=True, undo_seconds=8
        )
    await end_rights(session, world.bob_member, "demoted")
    await finalize(session, approval)
    assert (approval.status, approval.first_approver_id) == (PENDING, world.alice.id)
    assert approval.lapsed_user_id == world.bob.id
    assert approval.first_approval_completes_tasks is True
    await decide_approval(session, world.bob, approval)  # without completing tasks
    assert (approval.decided_status, approval.completes_tasks) == (APPROVED, False)


async def test_a_lapsed_decision_notifies_those_who_can_decide_now(session, world) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    board = await boards.lock_board(session, world.worker, world.board.id)
    draft = approvals.ApprovalCreate(
        action_type="deploy", confidence=90, task_ids=[task.id], lead_reasoning="Ready."
    )
    detail = await approvals.request_approval(session, world.worker, board, draft)
    approval = detail.approval
    approval.reminded_at = now()

    async def list_open() -> set[Any]:
        found = select(Notification.user_id).where(Notification.resolved_at.is_(None))
        return set(await session.scalars(found))

    waiting = await list_open()
    assert {world.alice.id, world.bob.id, world.rita.id} <= waiting
    await decide_approval(session, world.bob, approval)
    assert await list_open() == set()
    await end_rights(session, world.bob_member, "reads")
    await finalize(session, approval)
    assert world.alice.id in await list_open()
    assert approval.reminded_at is None


async def test_a_new_member_can_be_asked_after_a_lapse(session, world) -> None:
    """The rights of everybody are those of the moment."""
    approval = await add_approval(session, world, policy_verdict=ONE)
    await decide_approval(session, world.bob, approval)
    await end_rights(session, world.bob_member, "demoted")
    await finalize(session, approval)
    world.dana_member.role = Role.ADMIN
    session.add(make_board_access(world.dana_member, world.board, can_write=True))
    await session.flush()
    await decide_approval(session, world.dana, approval)
    assert (await finalize(session, approval)).status is APPROVED
