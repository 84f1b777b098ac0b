"""People lose the right to decide while an approval takes effect, many times, with real commits.

The numbers of the events are in the order of the commits.
"""

import asyncio
from datetime import timedelta
from itertools import cycle
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Forbidden, NotFound
from models import Approval, ApprovalStatus, Event, EventType, Member, PolicyVerdict, User
from services import approvals, boards, identity, organizations
from services.organizations import AccessRights
from tests.race.test_approvals import TWO_PEOPLE, add_approvals, deciding
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.people_rows import make_member, make_user
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.world import World

PENDING, APPROVED, REJECTED = ApprovalStatus


async def add_writers(transaction: TransactionFactory, world: World) -> list[Member]:
    """Add a member with rights on all boards, and an open task, for each round."""
    members = [
        make_member(
            world.tern,
            make_user(f"Writer{number}", world.tern),
            all_boards_read=True,
            all_boards_write=True,
        )
        for number in range(ROUNDS)
    ]
    async with transaction() as session:
        for member in members:
            user = await session.merge(member.user)
            await session.merge(member)
            task = world.make_task(f"Task of {member.user.id}", assigned_user_id=user.id)
            session.add(await session.merge(task))
    return members


def removing(by: Member, member: Member) -> Operation:
    async def remove(session: Any) -> None:
        locked = await organizations.lock_member(session, by, member.id)
        await organizations.remove_member(session, locked)

    return remove


def restricting(by: Member, member: Member) -> Operation:
    async def restrict(session: Any) -> None:
        locked = await organizations.lock_member(session, by, member.id)
        await organizations.change_member_rights(
            session, locked, AccessRights(all_boards_read=True)
        )

    return restrict


def leaving(_by: Member, member: Member) -> Operation:
    return lambda session: identity.delete_account(session, member.user)


ENDS = cycle([removing, restricting, leaving])


async def load_numbers(transaction: TransactionFactory, type: EventType, about: str) -> list[int]:
    """Return the numbers of the events about an approval or about the rights of a user."""
    async with transaction() as session:
        query = select(Event).where(Event.type == type).order_by(Event.seq)
        found = await session.scalars(query)
        return [
            one.seq for one in found if about in (str(one.approval_id), one.data.get("user_id"))
        ]


async def load_end(transaction: TransactionFactory, user_id: UUID) -> int:
    """Return the number of the event with which the rights of a user ended."""
    found = []
    for type in (EventType.MEMBER_REMOVED, EventType.MEMBER_UPDATED):
        found += await load_numbers(transaction, type, str(user_id))
    [number] = found
    return number


async def test_a_first_approval_counts_only_if_it_is_used_before_the_rights_end(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, world = isolated_transaction, isolated_world
    ids = await add_approvals(transaction, world.board, policy_verdict=TWO_PEOPLE)
    writers = await add_writers(transaction, world)

    async def race(one: tuple[int, tuple[UUID, Member]]) -> None:
        number, (id, writer) = one
        end = next(ENDS)
        async with transaction() as session:
            await deciding(writer.user, id, APPROVED)(session)
        both = [end(world.alice_member, writer), deciding(world.bob, id, APPROVED)]
        results = await run_concurrently(transaction, *both[:: 1 if number % 2 else -1])
        assert not [one for one in results if isinstance(one, Exception)], results
        async with transaction() as session:
            approval = await session.get_one(Approval, id)
        ended = await load_end(transaction, writer.user.id)
        if approval.status is APPROVED:
            [approved] = await load_numbers(transaction, EventType.APPROVAL_APPROVED, str(id))
            assert approved < ended
        else:
            assert approval.first_approver_id == world.bob.id
            [lapsed] = await load_numbers(transaction, EventType.APPROVAL_LAPSED, str(id))
            assert lapsed > ended

    await run_rounds(enumerate(zip(ids, writers, strict=True)), race)


async def test_a_person_decides_only_before_the_rights_end(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction, world = isolated_transaction, isolated_world
    ids = await add_approvals(transaction, world.board)
    writers = await add_writers(transaction, world)

    def deciding_in_api(user: User, id: UUID) -> Operation:
        async def decide(session: Any) -> None:
            board = await boards.lock_board(session, user, world.board.id)
            await approvals.decide_immediately(session, user, board, id, APPROVED)

        return decide

    async def race(one: tuple[int, tuple[UUID, Member]]) -> None:
        number, (id, writer) = one
        end = next(ENDS)
        decide = deciding(writer.user, id, APPROVED)
        if number % 3:
            decide = deciding_in_api(writer.user, id)
        both = [end(world.alice_member, writer), decide]
        ended, decided = await run_concurrently(transaction, *both)
        assert not isinstance(ended, Exception), ended
        if isinstance(decided, Exception):
            assert isinstance(decided, Forbidden | NotFound), decided
            return
        [approved] = await load_numbers(transaction, EventType.APPROVAL_APPROVED, str(id))
        assert approved < await load_end(transaction, writer.user.id)

    await run_rounds(enumerate(zip(ids, writers, strict=True)), race)


async def test_a_decision_is_final_only_before_the_rights_end(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Two workers finalize it."""
    transaction, world = isolated_transaction, isolated_world
    ids = await add_approvals(transaction, world.board)
    writers = await add_writers(transaction, world)

    async def race(one: tuple[UUID, Member]) -> None:
        id, writer = one
        end = next(ENDS)
        async with transaction() as session:
            await approvals.decide_with_undo(
                session, writer.user, id, status=APPROVED, undo_seconds=8
            )
        async with transaction() as session:
            due = update(Approval).where(Approval.id == id)
            await session.execute(due.values(finalizes_at=now() - timedelta(seconds=1)))
        results = await run_concurrently(
            transaction,
            approvals.finalize_due_approvals,
            end(world.alice_member, writer),
            approvals.finalize_due_approvals,
        )
        assert not [one for one in results if isinstance(one, Exception)], results
        ended = await load_end(transaction, writer.user.id)
        async with transaction() as session:
            status = await session.scalar(select(Approval.status).where(Approval.id == id))
        is_approved = status is APPROVED
        type = EventType.APPROVAL_APPROVED if is_approved else EventType.APPROVAL_LAPSED
        [number] = await load_numbers(transaction, type, str(id))
        assert (number < ended) is is_approved

    await run_rounds(zip(ids, writers, strict=True), race, at_once=2)


@pytest.mark.parametrize("takes_effect", ["as second", "alone", "as final"])
async def test_a_right_does_not_end_while_its_vote_takes_effect(
    isolated_transaction: TransactionFactory, isolated_world: World, takes_effect: str
) -> None:
    """The approval is locked, so that its change takes as long as the test wants."""
    transaction, world = isolated_transaction, isolated_world
    verdict = TWO_PEOPLE if takes_effect == "as second" else PolicyVerdict()
    [id, *_] = await add_approvals(transaction, world.board, policy_verdict=verdict)
    decide = deciding(world.bob, id, APPROVED)
    if takes_effect == "as second":
        async with transaction() as session:
            await decide(session)
        decide = deciding(world.alice, id, APPROVED)
    if takes_effect == "as final":
        async with transaction() as session:
            await approvals.decide_with_undo(
                session, world.bob, id, status=APPROVED, undo_seconds=8
            )
            (await session.get_one(Approval, id)).finalizes_at = now() - timedelta(seconds=1)
        decide = approvals.finalize_due_approvals

    async with transaction() as holder:
        await holder.execute(select(Approval.id).where(Approval.id == id).with_for_update())
        deciding_now = asyncio.create_task(run_concurrently(transaction, decide))
        await wait_for_lock_waiter(transaction)
        end = removing(world.alice_member, world.bob_member)
        removing_now = asyncio.create_task(run_concurrently(transaction, end))
        await wait_for_lock_waiter(transaction, count=2, unless=removing_now)
    results = [*await deciding_now, *await removing_now]
    assert not [one for one in results if isinstance(one, Exception)], results
    [approved] = await load_numbers(transaction, EventType.APPROVAL_APPROVED, str(id))
    assert approved < await load_end(transaction, world.bob.id)


async def test_a_decision_and_the_deletion_of_its_account_do_not_deadlock(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Charlie is alone in Plover, which is deleted with the account."""
    transaction, world = isolated_transaction, isolated_world
    async with transaction() as session:
        board = await boards.lock_board(session, world.charlie, world.charlies_board.id)
        leave = leaving(world.alice_member, world.charlie_member)
        leaving_now = asyncio.create_task(run_concurrently(transaction, leave))
        await wait_for_lock_waiter(transaction)
        await organizations.lock_memberships(session, [board.organization_id])
    assert await leaving_now == [None]
