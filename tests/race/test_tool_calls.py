"""Answers to tool calls, at the moment of their decision, with real commits."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.paging import Paging
from models import Approval, ApprovalStatus, ToolAnswer
from services import approvals, tool_calls
from services.tool_calls import GrantScope, HeldCall, ToolReply
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.tool_calls import answer_held, ask, prepare
from tests.support.world import World

ALLOW = ToolAnswer.ALLOW


class Race:
    """The calls of one session for each round."""

    def __init__(self, transaction: TransactionFactory, world: World, number: int) -> None:
        self.transaction, self.world = transaction, world
        self.session_key = f"session-{number}"

    def asking(self) -> Operation:
        call = prepare(session_id=self.session_key)
        return lambda session: ask(session, self.world.worker, call)

    async def ask(self) -> ToolReply | HeldCall:
        async with self.transaction() as session:
            return await self.asking()(session)

    async def hold(self) -> HeldCall:
        held = await self.ask()
        assert isinstance(held, HeldCall)
        return held

    def deciding(self, held: HeldCall) -> Operation:
        return lambda session: approvals.decide_with_undo(
            session,
            self.world.alice,
            held.approval_id,
            status=ApprovalStatus.APPROVED,
            undo_seconds=0,
        )

    async def decide(self, held: HeldCall, *, age: timedelta = timedelta()) -> None:
        """Approve a call, `age` ago."""
        async with self.transaction() as session:
            await self.deciding(held)(session)
            approval = update(Approval).where(Approval.id == held.approval_id)
            await session.execute(approval.values(resolved_at=now() - age))

    async def count_left(self, held: HeldCall) -> int:
        """Return how many further calls get the decision: the held one, and the next."""
        [answer] = await run_concurrently(self.transaction, answering(held))
        return count_allowed([answer, await self.ask()])


def answering(held: HeldCall) -> Operation:
    return lambda session: answer_held(session, held)


def abandoning(held: HeldCall) -> Operation:
    return lambda session: tool_calls.abandon_calls(session, [held], is_cut=True)


def count_allowed(results: list[object]) -> int:
    assert not [one for one in results if isinstance(one, BaseException)], results
    return sum(isinstance(one, ToolReply) and one.answer is ALLOW for one in results)


RaceFactory = Callable[[int], Race]


@pytest.fixture
def race(isolated_transaction: TransactionFactory, isolated_world: World) -> RaceFactory:
    return lambda number: Race(isolated_transaction, isolated_world, number)


async def test_one_of_two_next_calls_gets_a_late_decision(race: RaceFactory) -> None:
    async def run(number: int) -> None:
        one = race(number)
        held = await one.hold()
        await run_concurrently(one.transaction, abandoning(held))
        await one.decide(held)
        results = await run_concurrently(one.transaction, one.asking(), one.asking())
        assert count_allowed(results) == 1

    await run_rounds(range(ROUNDS), run)


async def test_a_decision_answers_one_call_though_the_connection_closes(
    race: RaceFactory,
) -> None:
    async def run(number: int) -> None:
        one = race(number)
        held = await one.hold()
        both = [one.deciding(held), abandoning(held)]
        await run_concurrently(one.transaction, *both[:: 1 if number % 2 else -1])
        assert await one.count_left(held) == 1

    await run_rounds(range(ROUNDS), run)


async def test_a_slow_server_and_the_next_call_do_not_both_get_the_decision(
    race: RaceFactory,
) -> None:
    async def run(number: int) -> None:
        one = race(number)
        held = [await one.hold() for _ in range(3)]
        await one.decide(held[0], age=timedelta(seconds=2))

        async def answer_all(session: AsyncSession) -> int:
            replies = await tool_calls.answer_held_calls(session, held[::-1])
            return count_allowed(list(replies.values()))

        answered, late = await run_concurrently(one.transaction, answer_all, one.asking())
        assert (answered, count_allowed([late])) in [(len(held), 0), (0, 1)]

    await run_rounds(range(ROUNDS), run)


async def test_a_revoked_permission_allows_no_later_call(race: RaceFactory) -> None:
    async def run(number: int) -> None:
        one = race(number)
        held = await one.hold()
        async with one.transaction() as session:
            await tool_calls.approve_for(
                session, one.world.alice, held.approval_id, GrantScope.SESSION, undo_seconds=0
            )
            grant_id = await find_grant_id(session, one.world, held)
        await run_concurrently(one.transaction, answering(held))

        def revoking(session: AsyncSession) -> Awaitable[None]:
            return tool_calls.end_grant(session, one.world.alice, one.world.worker, grant_id)

        results = await run_concurrently(one.transaction, revoking, one.asking())
        assert count_allowed(results) <= 1
        assert count_allowed([await one.ask()]) == 0

    await run_rounds(range(ROUNDS), run)


async def find_grant_id(session, world: World, held: HeldCall) -> UUID:
    page = await tool_calls.list_grants(session, world.worker, Paging())
    return next(one.grant.id for one in page.items if one.grant.approval_id == held.approval_id)


async def test_calls_in_parallel_with_one_id_get_one_answer(race: RaceFactory) -> None:
    async def run(number: int) -> None:
        one = race(number)
        call = prepare("ls", session_id=one.session_key, tool_use_id="toolu_1")
        asking = [lambda session: ask(session, one.world.worker, call)] * 3
        assert count_allowed(await run_concurrently(one.transaction, *asking)) == 1

    await run_rounds(range(ROUNDS), run)
