"""Concurrent decisions and approval requests, with real commits."""

import asyncio
import itertools
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from core.clock import now
from core.errors import Conflict
from models import Approval, ApprovalStatus, Board, Event, EventType, Task, new_id
from services import approvals, boards, tasks
from services.approval_actions import hash_action
from services.approvals import ApprovalCreate
from tests.support.board_helpers import MESSAGE_EVENTS
from tests.support.board_rows import make_board, make_link
from tests.support.people_rows import make_member
from tests.support.rounds import ROUNDS, ROUNDS_FOR_ALL_OUTCOMES, run_rounds

PENDING, APPROVED, REJECTED = ApprovalStatus


async def add_approvals(transaction, board, count, **fields):
    requested_hash = hash_action(board.id, "task.complete", [], None)
    rows = [
        {"id": new_id(), "board_id": board.id, "action_type": "task.complete"}
        | {
            "requested_hash": requested_hash,
            "confidence": 90,
            "status": PENDING,
            "created_at": now(),
        }
        | fields
        for _ in range(count)
    ]
    async with transaction() as session:
        await session.execute(insert(Approval), rows)
    return [row["id"] for row in rows]


async def decide_on_page(session, user, board, approval_id, status):
    await approvals.decide_with_undo(session, user, approval_id, status=status, undo_seconds=8)


async def decide_in_api(session, user, board, approval_id, status):
    locked = await boards.lock_board(session, user, board.id)
    await approvals.decide_immediately(session, user, locked, approval_id, status)


async def decide_in_bulk(session, user, board, approval_id, status):
    [result] = await approvals.decide_many_with_undo(
        session, user, [approval_id], status=status, undo_seconds=0
    )
    if result.error:
        raise result.error


INTERFACES = (decide_on_page, decide_in_api, decide_in_bulk)


async def decide(transaction, action, user, board, approval_id, status):
    """Decide in a separate transaction; return the code and decider of a conflict, if any."""
    try:
        async with transaction() as session:
            await action(session, user, board, approval_id, status)
    except Conflict as error:
        return error.code, error.details["by"]
    return None


async def test_of_two_concurrent_decisions_the_second_gets_a_conflict(
    isolated_transaction, isolated_world
) -> None:
    """One decision per approval, whichever interfaces the two people use."""
    world = isolated_world
    pairs = itertools.cycle(itertools.product(INTERFACES, repeat=2))
    ids = await add_approvals(isolated_transaction, world.board, ROUNDS)
    won_by = {}

    async def decide_twice(one):
        id, (first, second) = one
        results = await asyncio.gather(
            decide(isolated_transaction, first, world.alice, world.board, id, APPROVED),
            decide(isolated_transaction, second, world.bob, world.board, id, REJECTED),
        )
        assert results in (
            [None, ("already_decided", "Alice")],
            [("already_decided", "Bob"), None],
        )
        won_by[id] = world.alice.id if results[0] is None else world.bob.id

    await run_rounds(zip(ids, pairs, strict=False), decide_twice)
    async with isolated_transaction() as session:
        rows = await session.execute(select(Approval.id, Approval.decided_by_user_id))
        assert {id: user_id for id, user_id in rows} == won_by
        query = select(Event.approval_id, Event.user_id)
        query = query.where(Event.type.not_in(MESSAGE_EVENTS))
        recorded = await session.execute(query)
        assert Counter(tuple(row) for row in recorded) == Counter(won_by.items())


async def test_concurrent_undo_and_finalization_exclude_each_other(
    isolated_transaction, isolated_world
) -> None:
    """An approval is either finalized once or undone without a trace."""
    world = isolated_world
    decided = {
        "decided_status": APPROVED,
        "decided_by_user_id": world.bob.id,
        "decided_at": now(),
    }
    ids = await add_approvals(
        isolated_transaction,
        world.board,
        ROUNDS,
        finalizes_at=now() + timedelta(days=1),
        **decided,
    )

    async def undo(id):
        try:
            async with isolated_transaction() as session:
                await approvals.undo_decision(session, world.alice, id)
        except Conflict:
            return False
        return True

    async def finalize(id):
        async with isolated_transaction() as session:
            past = now() - timedelta(seconds=1)
            due = update(Approval).where(Approval.id == id, Approval.finalizes_at.is_not(None))
            await session.execute(due.values(finalizes_at=past))
        async with isolated_transaction() as session:
            return await approvals.finalize_due_approvals(session)

    for id in ids:  # one after the other, because a worker finalizes all that is due
        undone, *finalized = await asyncio.gather(undo(id), finalize(id), finalize(id))
        async with isolated_transaction() as session:
            approval = await session.get_one(Approval, id)
            assert undone + sum(finalized) == 1
            assert approval.status is (PENDING if undone else APPROVED)
            assert (approval.decided_status is None) is undone

    async with isolated_transaction() as session:
        query = select(Event.type).where(Event.type.not_in(MESSAGE_EVENTS))
        types = Counter(await session.scalars(query))
        assert sum(types.values()) == len(ids)
        assert set(types) <= {EventType.APPROVAL_UNDONE, EventType.APPROVAL_APPROVED}


async def test_of_concurrent_requests_for_a_task_one_succeeds(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    requesters = [world.alice, world.bob, world.alice]

    async def request_approval(requester, task_id, reason):
        try:
            async with isolated_transaction() as session:
                board = await boards.lock_board(session, requester, world.board.id)
                draft = ApprovalCreate(
                    action_type="task.complete",
                    confidence=90,
                    task_id=task_id,
                    lead_reasoning=reason,
                )
                await approvals.request_approval(session, requester, board, draft)
        except Conflict as error:
            return error.code
        return None

    rows = [world.make_task(f"Task {n}") for n in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])

    async def request_for(task):
        reasons = enumerate(requesters)  # identical requests of a user are one
        codes = await asyncio.gather(
            *[request_approval(one, task.id, f"Reason {number}.") for number, one in reasons]
        )
        assert sorted(codes, key=str) == [None, *["approval_pending_exists"] * 2]

    await run_rounds(rows, request_for)
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Approval)) == ROUNDS


async def test_bulk_decisions_in_opposite_order_do_not_deadlock(
    isolated_transaction, isolated_world
) -> None:
    world = isolated_world
    here = await add_approvals(isolated_transaction, world.board, 60)
    elsewhere = await add_approvals(isolated_transaction, world.garden, 60)

    async def decide_all(ids):
        async with isolated_transaction() as session:
            results = await approvals.decide_many_with_undo(
                session, world.alice, ids, status=APPROVED, undo_seconds=8
            )
        return sum(one.error is None for one in results)

    async with asyncio.timeout(30):
        for n in range(0, 60, 3):
            pairs = [*here[n : n + 3], *elsewhere[n : n + 3]]
            assert await asyncio.gather(decide_all(pairs), decide_all(pairs[::-1])) == [6, 6]


async def test_bulk_decisions_for_two_organizations_do_not_deadlock(
    isolated_transaction, isolated_world
) -> None:
    """The lists have no board in common, so only recording the events can block them."""
    world = isolated_world
    nest = make_board("Nest", world.plover)
    async with isolated_transaction() as session:
        full_access = {"all_boards_read": True, "all_boards_write": True}
        plover, alice = await session.merge(world.plover), await session.merge(world.alice)
        session.add_all([await session.merge(nest), make_member(plover, alice, **full_access)])
    all_boards = [world.board, world.charlies_board, world.garden, nest]
    here, elsewhere, garden, nested = [
        await add_approvals(isolated_transaction, board, 20) for board in all_boards
    ]

    async def decide_all(ids):
        async with isolated_transaction() as session:
            results = await approvals.decide_many_with_undo(
                session, world.alice, ids, status=APPROVED, undo_seconds=8
            )
        assert [one.approval_id for one in results] == ids
        return sum(one.error is None for one in results)

    async with asyncio.timeout(30):
        for ids in zip(here, elsewhere, nested, garden, strict=True):
            one, other = list(ids[:2]), list(ids[2:])
            assert await asyncio.gather(decide_all(one), decide_all(other)) == [2, 2]


async def test_task_is_not_done_with_a_concurrent_rejection(
    isolated_transaction, isolated_world
) -> None:
    """R9: either the task is done before the rejection of a later request, or it is not done."""
    world = isolated_world
    done, rejected = EventType.TASK_STATUS_CHANGED, EventType.APPROVAL_REJECTED
    rows = [world.make_task(f"Task {n}") for n in range(ROUNDS_FOR_ALL_OUTCOMES)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])
        (await session.get_one(Board, world.board.id)).require_approval_for_done = True

    async def finish(task):
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.worker, world.board.id)
            await tasks.update_task(
                session, world.worker, board, task.id, tasks.TaskUpdate.of(status="done")
            )

    async def reject(id):
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, world.alice, world.board.id)
            await approvals.decide_immediately(session, world.alice, board, id, REJECTED)

    async def list_event_types(task):
        query = select(Event.type).where(Event.task_id == task.id, Event.type.in_([done, rejected]))
        async with isolated_transaction() as session:
            return (await session.scalars(query.order_by(Event.seq))).all()

    is_done_first = []

    async def race(one):
        n, task = one
        approved = {"task_id": task.id, "status": APPROVED, "resolved_at": now()}
        [old] = await add_approvals(isolated_transaction, world.board, 1, **approved)
        [new] = await add_approvals(isolated_transaction, world.board, 1, task_id=task.id)
        async with isolated_transaction() as session:
            for id in (old, new):
                approval = await session.get_one(Approval, id)
                session.add(make_link(approval, await session.get_one(Task, task.id)))
        both = [finish(task), reject(new)]
        results = await asyncio.gather(*both[:: 1 if n % 2 else -1], return_exceptions=True)
        conflicts = [one.code for one in results if isinstance(one, Conflict)]
        assert conflicts in ([], ["approval_required"])
        assert results.count(None) == 2 - len(conflicts)
        assert await list_event_types(task) == ([rejected] if conflicts else [done, rejected])
        is_done_first.append(not conflicts)

    await run_rounds(enumerate(rows), race)
    assert set(is_done_first) == {True, False}


async def test_an_approval_is_used_by_one_of_two_concurrent_moves(
    isolated_transaction, isolated_world
) -> None:
    """Each move follows a return to the inbox, so each needs an approval of its own."""
    world = isolated_world
    world.board.require_approval_for_done = True
    rows = [world.make_task(f"Task {n}") for n in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])
        for task in rows:
            approval, link = world.make_approval(task, status=APPROVED)
            session.add(await session.merge(approval))
            session.add(await session.merge(link))

    async def move(task, actor, *statuses):
        for status in statuses:
            async with isolated_transaction() as session:
                board = await boards.lock_board(session, actor, world.board.id)
                await tasks.update_task(
                    session, actor, board, task.id, tasks.TaskUpdate.of(status=status)
                )

    async def race(task):
        moves = [move(task, actor, "done", "inbox") for actor in (world.alice, world.bob)]
        results = await asyncio.gather(*moves, return_exceptions=True)
        assert sum(isinstance(one, Conflict) for one in results) <= 1
        with pytest.raises(Conflict):
            await move(task, world.alice, "inbox", "done")

    await run_rounds(rows, race)
    async with isolated_transaction() as session:
        query = select(func.count()).where(Event.data["approval_id"].is_not(None))
        assert await session.scalar(query) == len(rows)
