"""The first of two approvals: the rule of the pages, and its statement that counts."""

import pytest
from sqlalchemy import literal, select

from models import Approval, Member, PolicyEffect, PolicyVerdict, Role
from services import approvals
from services.policies import (
    has_approved_first_query,
    may_approve_query,
    needs_other_approver,
)
from tests.support.approval_helpers import add_approval

SAME, OTHER = "a" * 64, "b" * 64  # hashes of an action


@pytest.mark.parametrize(
    ("approver", "first_hash", "action_hash", "contents", "is_first"),
    [
        ("alice", SAME, SAME, [], True),
        ("alice", SAME, SAME, ["same"], True),
        ("alice", SAME, SAME, ["not stored"], True),
        ("alice", SAME, SAME, ["same", "not stored"], True),
        ("alice", SAME, SAME, ["changed"], False),
        ("alice", SAME, SAME, ["same", "changed"], False),
        ("alice", SAME, SAME, ["not stored", "changed"], False),
        ("alice", SAME, OTHER, ["same"], False),
        ("alice", SAME, OTHER, ["changed"], False),
        ("alice", None, None, ["same"], True),
        ("alice", None, SAME, ["same"], False),
        ("alice", SAME, None, ["same"], False),
        ("bob", SAME, SAME, ["same"], False),
        ("bob", SAME, SAME, ["changed"], False),
        (None, None, None, ["same"], False),
        (None, None, SAME, ["same"], False),
    ],
)
async def test_pages_and_counts_agree_who_approved_first(
    session, world, approver, first_hash, action_hash, contents, is_first
) -> None:
    tasks = [world.make_task(f"Task {number}") for number, _ in enumerate(contents)]
    approval, *links = world.make_approval(
        *tasks,
        action_hash=action_hash,
        first_approval_hash=first_hash,
        first_approver_id=getattr(world, approver).id if approver else None,
    )
    for link, content in zip(links, contents, strict=True):
        if content == "not stored":  # as before the contents of approvals were stored
            link.content = link.content_hash = None
        if content == "changed":
            link.task.description = "Other"
    session.add_all([*tasks, approval, *links])
    await session.flush()

    member = world.alice_member
    [detail] = await approvals.list_undecided_approvals(session, member, approval_ids=[approval.id])
    counted = select(Approval.id).where(has_approved_first_query())
    found = list(await session.scalars(counted, {"user_id": member.user_id}))
    assert approvals.has_approved_first(detail, member.user_id) is is_first
    assert found == ([approval.id] if is_first else [])


async def test_an_approval_of_a_deleted_task_is_unchanged(session, world) -> None:
    task = world.make_task("Task")
    hashes = {"action_hash": SAME, "first_approval_hash": SAME}
    ids = [
        (await add_approval(session, world, task, first_approver_id=world.alice.id, **hashes)).id
    ]
    await session.delete(task)
    await session.flush()
    session.expire_all()
    member = world.alice_member
    [detail] = await approvals.list_undecided_approvals(session, member, approval_ids=ids)
    counted = select(Approval.id).where(has_approved_first_query())
    assert approvals.has_approved_first(detail, world.alice.id)
    assert await session.scalar(counted, {"user_id": world.alice.id}) == detail.approval.id


def list_verdicts(world) -> list[PolicyVerdict]:
    """Return verdicts that differ in who may approve."""
    named = [(), (world.alice.id,), (world.bob.id, world.dana.id)]
    verdicts = [
        PolicyVerdict(effect=effect, decider_role=role, decider_ids=ids)
        for effect in (PolicyEffect.ASK_ONE, PolicyEffect.ASK_TWO)
        for role in Role
        for ids in named
    ]
    return [PolicyVerdict(), *verdicts]


@pytest.mark.parametrize("requester", [None, "alice", "bob"])
@pytest.mark.parametrize("approver", [None, "alice", "bob"])
async def test_pages_and_statements_agree_who_may_approve(
    session, world, requester, approver
) -> None:
    added = [
        await add_approval(
            session,
            world,
            requested_by_user_id=getattr(world, requester).id if requester else None,
            first_approver_id=getattr(world, approver).id if approver else None,
            policy_verdict=verdict,
        )
        for verdict in list_verdicts(world)
    ]
    ids = [one.id for one in added]
    details = await approvals.list_undecided_approvals(
        session, world.alice_member, approval_ids=ids
    )
    members = [world.alice_member, world.bob_member, world.dana_member]
    allowed = {
        (detail.approval.id, member.user_id)
        for detail in details
        for member in members
        if approvals.may_approve(detail, member)
    }
    of_members = Member.user_id.in_([member.user_id for member in members])
    query = select(Approval.id, Member.user_id).where(may_approve_query(Member.user_id), of_members)
    found = {tuple(row) for row in await session.execute(query)}
    assert found == allowed
    for member in members:
        left = select(Approval.id).where(needs_other_approver())
        others = set(await session.scalars(left, {"user_id": member.user_id}))
        assert others == {id for id in ids if (id, member.user_id) not in allowed}
    assert len(details) == 19
    assert 0 < len(allowed) < len(details) * len(members)


async def test_who_has_left_the_organization_may_not_approve(session, world) -> None:
    await add_approval(session, world)
    allowed = select(Approval.id).where(may_approve_query(literal(world.charlie.id)))
    assert await session.scalar(allowed) is None
