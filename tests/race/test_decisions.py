"""Two people that decide at the same time, and two agents that ask, with real commits."""

import asyncio
from collections import Counter
from datetime import timedelta

from sqlalchemy import func, insert, select, update

from kit.clock import now
from kit.errors import Conflict
from models import Approval, ApprovalStatus, ApprovalTask, Board, Event, EventType, new_id
from services import approvals, boards, messages, tasks
from services.approvals import ApprovalDraft
from tests.world import a_board, a_member

ROUNDS = 1_000

PENDING, APPROVED, REJECTED = ApprovalStatus


async def some_questions(transaction, board, count, **fields):
    rows = [
        {"id": new_id(), "board_id": board.id, "action_type": "task.complete"}
        | {"confidence": 90, "status": PENDING, "created_at": now()}
        | fields
        for _ in range(count)
    ]
    async with transaction() as session:
        await session.execute(insert(Approval), rows)
    return [row["id"] for row in rows]


async def answer(transaction, user, approval_id, status):
    """Answer in a transaction of one's own, and return the refusal and whom it names, if any."""
    try:
        async with transaction() as session:
            await approvals.answer(session, user, approval_id, status=status, undo_seconds=8)
    except Conflict as refusal:
        return refusal.code, refusal.details["by"]
    return None


async def test_of_two_people_that_answer_at_once_one_decides_and_the_other_hears_who(
    real_transaction, real_world
) -> None:
    world = real_world
    ids = await some_questions(real_transaction, world.board, ROUNDS)
    won_by = {}
    for id in ids:
        heard = await asyncio.gather(
            answer(real_transaction, world.alice, id, APPROVED),
            answer(real_transaction, world.bob, id, REJECTED),
        )
        assert heard in (
            [None, ("already_decided", "Alice")],
            [("already_decided", "Bob"), None],
        )
        won_by[id] = world.alice.id if heard[0] is None else world.bob.id

    async with real_transaction() as session:
        rows = await session.execute(select(Approval.id, Approval.decided_by_user_id))
        assert {id: user_id for id, user_id in rows} == won_by
        told = await session.execute(select(Event.approval_id, Event.user_id).order_by(Event.seq))
        assert [tuple(row) for row in told] == list(won_by.items())


async def test_an_answer_and_its_undoing_and_its_settling_do_not_mix(
    real_transaction, real_world
) -> None:
    """Whoever comes first, an approval ends settled once, or waits again without a trace."""
    world = real_world
    decided = {
        "decided_status": APPROVED,
        "decided_by_user_id": world.bob.id,
        "decided_at": now(),
    }
    ids = await some_questions(
        real_transaction,
        world.board,
        200,
        settles_at=now() + timedelta(days=1),
        **decided,
    )

    async def undo(id):
        try:
            async with real_transaction() as session:
                await approvals.undo(session, world.alice, id)
        except Conflict:
            return False
        return True

    async def settle(id):
        async with real_transaction() as session:
            past = now() - timedelta(seconds=1)
            due = update(Approval).where(Approval.id == id, Approval.settles_at.is_not(None))
            await session.execute(due.values(settles_at=past))
        async with real_transaction() as session:
            return await approvals.settle_due(session)

    for id in ids:
        undone, *settled = await asyncio.gather(undo(id), settle(id), settle(id))
        async with real_transaction() as session:
            approval = await session.get_one(Approval, id)
            assert undone + sum(settled) == 1
            assert approval.status is (PENDING if undone else APPROVED)
            assert (approval.decided_status is None) is undone

    async with real_transaction() as session:
        happened = select(Event.type).where(Event.type.not_in(messages.EVENTS))
        told = Counter(await session.scalars(happened))
        assert sum(told.values()) == len(ids)
        assert set(told) <= {EventType.APPROVAL_UNDONE, EventType.APPROVAL_APPROVED}


async def test_of_many_agents_that_ask_about_a_task_at_once_one_does(
    real_transaction, real_world
) -> None:
    world = real_world
    agents = [world.lead, world.worker, world.other_worker]

    async def ask(agent, task_id):
        try:
            async with real_transaction() as session:
                board = await boards.hold(session, agent, world.board.id)
                draft = ApprovalDraft(
                    action_type="task.complete",
                    confidence=90,
                    task_id=task_id,
                    lead_reasoning="It is done.",
                )
                await approvals.request(session, agent, board, draft)
        except Conflict as refusal:
            return refusal.code
        return None

    for _ in range(100):
        task = world.task()
        async with real_transaction() as session:
            session.add(await session.merge(task))
        codes = await asyncio.gather(*[ask(agent, task.id) for agent in agents])
        assert sorted(codes, key=str) == [None, *["approval_pending_exists"] * 2]

    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Approval)) == 100


async def test_lists_of_answers_in_opposite_order_do_not_block_each_other(
    real_transaction, real_world
) -> None:
    world = real_world
    here = await some_questions(real_transaction, world.board, 60)
    there = await some_questions(real_transaction, world.garden, 60)

    async def answer_all(ids):
        async with real_transaction() as session:
            outcomes = await approvals.answer_many(
                session, world.alice, ids, status=APPROVED, undo_seconds=8
            )
        return sum(one.refusal is None for one in outcomes)

    async with asyncio.timeout(30):
        for n in range(0, 60, 3):
            pairs = [*here[n : n + 3], *there[n : n + 3]]
            assert await asyncio.gather(answer_all(pairs), answer_all(pairs[::-1])) == [6, 6]


async def test_lists_of_answers_for_two_organizations_do_not_block_each_other(
    real_transaction, real_world
) -> None:
    """Each has boards of its own there, so that nothing but the recording keeps them apart."""
    world = real_world
    nest = a_board("Nest", world.plover)
    async with real_transaction() as session:
        everything = {"all_boards_read": True, "all_boards_write": True}
        plover, alice = await session.merge(world.plover), await session.merge(world.alice)
        session.add_all([await session.merge(nest), a_member(plover, alice, **everything)])
    some = [world.board, world.charlies_board, world.garden, nest]
    here, there, garden, nested = [
        await some_questions(real_transaction, board, 20) for board in some
    ]

    async def answer_all(ids):
        async with real_transaction() as session:
            outcomes = await approvals.answer_many(
                session, world.alice, ids, status=APPROVED, undo_seconds=8
            )
        assert [one.approval_id for one in outcomes] == ids
        return sum(one.refusal is None for one in outcomes)

    async with asyncio.timeout(30):
        for ids in zip(here, there, nested, garden, strict=True):
            one, other = list(ids[:2]), list(ids[2:])
            assert await asyncio.gather(answer_all(one), answer_all(other)) == [2, 2]


async def test_nobody_finishes_a_task_on_an_approval_that_is_taken_away_at_that_moment(
    real_transaction, real_world
) -> None:
    """R9: either the task was done first, or the rejection came first, and it is not done."""
    world = real_world
    done, rejected = EventType.TASK_STATUS_CHANGED, EventType.APPROVAL_REJECTED
    rows = [world.task(f"Task {n}") for n in range(100)]
    async with real_transaction() as session:
        session.add_all([await session.merge(task) for task in rows])
        (await session.get_one(Board, world.board.id)).require_approval_for_done = True

    async def finish(task):
        async with real_transaction() as session:
            board = await boards.hold(session, world.worker, world.board.id)
            await tasks.change(session, world.worker, board, task.id, {"status": "done"})

    async def reject(id):
        async with real_transaction() as session:
            board = await boards.hold(session, world.alice, world.board.id)
            await approvals.decide(session, world.alice, board, id, REJECTED)

    async def told_of(task):
        told = select(Event.type).where(Event.task_id == task.id, Event.type.in_([done, rejected]))
        async with real_transaction() as session:
            return (await session.scalars(told.order_by(Event.seq))).all()

    for n, task in enumerate(rows):
        approved = {"task_id": task.id, "status": APPROVED, "resolved_at": now()}
        [id] = await some_questions(real_transaction, world.board, 1, **approved)
        async with real_transaction() as session:
            session.add(ApprovalTask(approval_id=id, task_id=task.id, created_at=now()))
        both = [finish(task), reject(id)]
        outcomes = await asyncio.gather(*both[:: 1 if n % 2 else -1], return_exceptions=True)
        refused = [one.code for one in outcomes if isinstance(one, Conflict)]
        assert refused in ([], ["approval_required"])
        assert outcomes.count(None) == 2 - len(refused)
        assert await told_of(task) == ([rejected] if refused else [done, rejected])
