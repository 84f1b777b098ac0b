"""Concurrent requests, expiries and decisions by two people, many times, with real commits."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict, TooMany
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    Event,
    EventType,
    PolicyEffect,
    PolicyVerdict,
    User,
    new_id,
)
from services import approvals, boards
from services.approval_actions import hash_action
from services.approvals import MAX_PENDING, ApprovalCreate
from tests.support.board_rows import make_agent
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.world import World

PENDING, APPROVED, REJECTED = ApprovalStatus
TWO_PEOPLE = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people")


async def add_approvals(
    transaction: TransactionFactory, board: Board, **fields: Any
) -> Sequence[UUID]:
    """Add an approval for each round."""
    rows: list[dict[str, Any]] = [
        {"id": new_id(), "board_id": board.id, "action_type": "deploy", "confidence": 90}
        | {"requested_hash": hash_action(board.id, "deploy", [], None)}
        | {"status": PENDING, "created_at": now(), "policy_verdict": PolicyVerdict()}
        | fields
        for _ in range(ROUNDS)
    ]
    async with transaction() as session:
        await session.execute(insert(Approval), rows)
    return [row["id"] for row in rows]


async def add_agents(transaction: TransactionFactory, world: World) -> Sequence[Agent]:
    """Add an agent for each round, because the requests of one agent are limited."""
    agents = [make_agent(f"Agent {number}", world.board) for number in range(ROUNDS)]
    async with transaction() as session:
        session.add_all([await session.merge(agent) for agent in agents])
    return agents


def deciding(user: User, id: UUID, status: ApprovalStatus) -> Operation:
    return lambda session: approvals.decide_with_undo(
        session, user, id, status=status, undo_seconds=0
    )


def requesting(requester: Actor, board: Board, reason: str) -> Operation:
    async def request(session: Any) -> UUID:
        locked = await boards.lock_board(session, requester, board.id)
        draft = ApprovalCreate(action_type="deploy", confidence=90, lead_reasoning=reason)
        return (await approvals.request_approval(session, requester, locked, draft)).approval.id

    return request


async def count_events(transaction: TransactionFactory, *types: EventType) -> Counter[UUID | None]:
    """Count the events of these types of each approval."""
    async with transaction() as session:
        query = select(Event.approval_id).where(Event.type.in_(types))
        return Counter(await session.scalars(query))


async def test_two_people_approve_once_each_and_the_second_decides(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Whoever repeats the approval is not the second person."""
    world = isolated_world
    ids = await add_approvals(isolated_transaction, world.board, policy_verdict=TWO_PEOPLE)

    async def approve_four_times(id: UUID) -> None:
        users = [world.alice, world.bob, world.alice, world.bob]
        results = await run_concurrently(
            isolated_transaction, *[deciding(user, id, APPROVED) for user in users]
        )
        errors = [one for one in results if isinstance(one, Exception)]
        assert all(isinstance(one, Conflict) for one in errors), errors

    await run_rounds(ids, approve_four_times, at_once=2)
    async with isolated_transaction() as session:
        stored = (await session.scalars(select(Approval))).all()
    people = {world.alice.id, world.bob.id}
    assert all({one.first_approver_id, one.decided_by_user_id} == people for one in stored)
    for type in (EventType.APPROVAL_FIRST_APPROVED, EventType.APPROVAL_APPROVED):
        assert await count_events(isolated_transaction, type) == Counter(ids)


async def test_one_person_alone_never_approves_for_two(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    ids = await add_approvals(isolated_transaction, world.board, policy_verdict=TWO_PEOPLE)

    async def approve_twice(id: UUID) -> None:
        twice = [deciding(world.alice, id, APPROVED)] * 2
        results = await run_concurrently(isolated_transaction, *twice)
        assert not [one for one in results if isinstance(one, Exception)], results

    await run_rounds(ids, approve_twice)
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(Approval.status))) == {PENDING}
    first = await count_events(isolated_transaction, EventType.APPROVAL_FIRST_APPROVED)
    assert first == Counter(ids)


async def test_a_withdrawn_first_approval_does_not_count(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The second person decides before the first one undoes the approval, or is the first."""
    world = isolated_world
    ids = await add_approvals(isolated_transaction, world.board, policy_verdict=TWO_PEOPLE)

    async def race(id: UUID) -> None:
        async with isolated_transaction() as session:
            await deciding(world.alice, id, APPROVED)(session)
        undone, decided = await run_concurrently(
            isolated_transaction,
            lambda session: approvals.undo_decision(session, world.alice, id),
            deciding(world.bob, id, APPROVED),
        )
        assert not isinstance(decided, Exception), decided
        async with isolated_transaction() as session:
            approval = await session.get_one(Approval, id)
        if isinstance(undone, Conflict):
            assert (approval.status, approval.first_approver_id) == (APPROVED, world.alice.id)
        else:
            assert (approval.status, approval.first_approver_id) == (PENDING, world.bob.id)

    await run_rounds(ids, race)


async def test_a_request_expires_or_is_decided(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Each is final once, whether the decision or one of two workers was first."""
    world = isolated_world
    soon = now() + timedelta(seconds=ROUNDS / 100)
    ids = await add_approvals(isolated_transaction, world.board, expires_at=soon)
    left = set(ids)

    async def expire() -> int:
        count = 0
        while left:
            async with isolated_transaction() as session:
                count += await approvals.finalize_due_approvals(session)
        return count

    async def decide() -> list[UUID]:
        decided = []
        for id in ids:
            [error] = await run_concurrently(
                isolated_transaction, deciding(world.alice, id, APPROVED)
            )
            if not isinstance(error, Exception):
                decided.append(id)
            left.discard(id)
        return decided

    decided, *expired = await asyncio.gather(decide(), expire(), expire())
    async with isolated_transaction() as session:
        sum_of_expired = sum(expired) + await approvals.finalize_due_approvals(session)
    assert len(decided) + sum_of_expired == ROUNDS
    approved = await count_events(isolated_transaction, EventType.APPROVAL_APPROVED)
    rejected = await count_events(isolated_transaction, EventType.APPROVAL_REJECTED)
    assert approved == Counter(decided)
    assert approved + rejected == Counter(ids)


async def test_concurrent_equal_requests_are_one_approval_with_their_count(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    agents = await add_agents(isolated_transaction, isolated_world)

    async def request(agent: Agent) -> None:
        equal = [requesting(agent, isolated_world.board, "It is ready.")] * 4
        results = await run_concurrently(isolated_transaction, *equal)
        assert len(set(results)) == 1, results

    await run_rounds(agents, request, at_once=2)
    async with isolated_transaction() as session:
        query = select(Approval.agent_id, Approval.request_count)
        counts = [tuple(row) for row in await session.execute(query)]
    assert sorted(counts) == sorted((agent.id, 4) for agent in agents)
    requested = await count_events(isolated_transaction, EventType.APPROVAL_REQUESTED)
    assert set(requested.values()) == {1}


async def test_concurrent_requests_never_exceed_the_limit(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Exactly one of three is accepted when one is left, and people are told once."""
    world = isolated_world
    agents = await add_agents(isolated_transaction, world)
    rows = [
        {"id": new_id(), "board_id": world.board.id, "agent_id": agent.id, "confidence": 90}
        | {"action_type": "deploy", "status": PENDING, "created_at": now()}
        for agent in agents
        for _ in range(MAX_PENDING - 1)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(Approval), rows)

    async def request(agent: Agent) -> None:
        async def keep_changes(operation: Operation) -> UUID | TooMany:
            async with isolated_transaction() as session:
                try:
                    return await operation(session)
                except TooMany as error:
                    return error

        reasons = [f"Reason {number}" for number in range(3)]
        results = await asyncio.gather(
            *[keep_changes(requesting(agent, world.board, reason)) for reason in reasons]
        )
        assert sum(isinstance(one, TooMany) for one in results) == 2

    await run_rounds(agents, request, at_once=2)
    async with isolated_transaction() as session:
        query = select(func.count()).where(Approval.agent_id.is_not(None))
        pending = await session.scalars(query.group_by(Approval.agent_id))
        assert set(pending) == {MAX_PENDING}
        held = select(Event.agent_id).where(Event.type == EventType.APPROVAL_REQUESTS_HELD)
        assert Counter(await session.scalars(held)) == Counter(agent.id for agent in agents)


async def test_requests_of_a_user_on_two_boards_do_not_exceed_the_limit(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Exactly one of two is accepted when one is left, although they lock different boards."""
    world, of_user = isolated_world, Approval.requested_by_user_id == isolated_world.alice.id

    async def request(round: int) -> None:
        async with isolated_transaction() as session:
            await session.execute(delete(Approval).where(of_user))
            await session.execute(delete(Event).where(Event.user_id == world.alice.id))
            ids = {"board_id": world.board.id, "requested_by_user_id": world.alice.id}
            row = ids | {"confidence": 90, "action_type": "deploy", "status": PENDING}
            rows = [row | {"id": new_id(), "created_at": now()} for _ in range(MAX_PENDING - 1)]
            await session.execute(insert(Approval), rows)
        results = await run_concurrently(
            isolated_transaction,
            requesting(world.alice, world.board, f"First {round}"),
            requesting(world.alice, world.garden, f"Second {round}"),
        )
        assert sum(isinstance(one, TooMany) for one in results) == 1, results

    await run_rounds(range(ROUNDS), request, at_once=1)
