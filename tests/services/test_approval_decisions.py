"""Approvals are decided immediately (API), with notes, and with the rights of that moment."""

import asyncio

import pytest
from sqlalchemy import select

from core.clock import format_naive_utc
from core.errors import Conflict, Forbidden, NotFound
from models import Approval, BoardAccess, Comment, EventType, Message
from services import approvals, boards
from tests.support.approval_helpers import (
    APPROVED,
    PENDING,
    REJECTED,
    add_approval,
    decide_approval,
    list_event_types,
    list_recorded_events,
)
from tests.support.lock_waiter import wait_for_lock_waiter


class TestImmediateDecisions:
    async def decide(self, session, world, approval, status, user=None, **fields):
        user = user or world.alice
        board = await boards.lock_board(session, user, world.board.id)
        return await approvals.decide_immediately(
            session, user, board, approval.id, status, **fields
        )

    async def refuse(self, session, world, approval, status, user=None, **fields) -> Conflict:
        with pytest.raises(Conflict) as raised:
            await self.decide(session, world, approval, status, user, **fields)
        return raised.value

    async def test_a_decision_is_final_for_everybody(self, session, world) -> None:
        """The original allowed approved, rejected and pending after each other."""
        approval = await add_approval(session, world, world.make_task())
        await self.decide(session, world, approval, APPROVED, world.bob, note="Fine.")
        for user in (world.alice, world.bob):
            for status in (REJECTED, PENDING):
                assert approval.decided_at
                error = await self.refuse(session, world, approval, status, user)
                assert error.code == "already_decided"
                assert error.details == {
                    "by": "Bob",
                    "status": "approved",
                    "decided_at": format_naive_utc(approval.decided_at),
                }
        await self.refuse(session, world, approval, APPROVED, world.alice)
        assert (approval.status, approval.decision_note) == (APPROVED, "Fine.")
        assert (await list_event_types(session))[1:] == [EventType.APPROVAL_APPROVED]

    async def test_repeated_decision_of_the_same_user_changes_nothing(self, session, world) -> None:
        approval = await add_approval(session, world, world.make_task())
        await self.decide(session, world, approval, APPROVED, note="Fine.")
        before = (approval.resolved_at, approval.decided_at, approval.decision_note)
        events = await list_event_types(session)
        for fields in ({}, {"note": " Fine. "}, {"note": None}, {"note": " "}):
            detail = await self.decide(session, world, approval, APPROVED, **fields)
            assert (approval.resolved_at, approval.decided_at, approval.decision_note) == before
            assert detail.decider_name == "Alice"
        error = await self.refuse(session, world, approval, APPROVED, note="Another reason.")
        assert error.code == "already_decided"
        assert approval.decision_note == "Fine."
        assert await list_event_types(session) == events

    async def test_missing_status_and_pending_change_nothing(self, session, world) -> None:
        approval = await add_approval(session, world)
        for status in (None, PENDING):
            detail = await self.decide(session, world, approval, status)
            assert detail.approval.status is PENDING
        assert await list_recorded_events(session) == []

    async def test_immediate_decision_respects_an_undoable_one(self, session, world) -> None:
        approval = await add_approval(session, world)
        await decide_approval(session, world.bob, approval)
        for user, status in [(world.alice, APPROVED), (world.alice, REJECTED)]:
            error = await self.refuse(session, world, approval, status, user)
            assert error.details["by"] == "Bob"
        await self.refuse(session, world, approval, PENDING, world.bob)
        await self.decide(session, world, approval, APPROVED, world.bob)
        assert (approval.status, approval.finalizes_at) == (APPROVED, None)

    async def test_approval_of_another_board_is_not_found(self, session, world) -> None:
        approval = await add_approval(session, world)
        garden = await boards.lock_board(session, world.alice, world.garden.id)
        with pytest.raises(NotFound):
            await approvals.decide_immediately(session, world.alice, garden, approval.id, APPROVED)


class TestNotes:
    """A decision with a note is one message, although the note is also a comment."""

    async def test_the_requester_gets_one_message_with_decision_and_note(
        self, session, world
    ) -> None:
        task = world.make_task(assigned_agent_id=world.worker.id)
        approval = await add_approval(session, world, task)
        await decide_approval(session, world.bob, approval, REJECTED, note="No!", undo_seconds=0)
        [message] = await session.scalars(
            select(Message).where(Message.agent_id == world.worker.id)
        )
        assert message.kind == "APPROVAL RESOLVED"
        assert "Decision: rejected" in message.content
        assert "No!" in message.content
        [comment] = await session.scalars(select(Comment))
        assert comment.message == "No!"

    async def test_other_recipients_of_the_note_are_notified(self, session, world) -> None:
        task = world.make_task(assigned_agent_id=world.other_worker.id)
        approval = await add_approval(session, world, task)
        await decide_approval(session, world.bob, approval, REJECTED, note="No!", undo_seconds=0)
        kinds = await session.execute(select(Message.agent_id, Message.kind))
        assert {tuple(row) for row in kinds} == {
            (world.other_worker.id, "NEW TASK COMMENT"),
            (world.worker.id, "APPROVAL RESOLVED"),
            (world.lead.id, "APPROVAL RESOLVED"),
        }

    async def test_a_lead_that_has_the_task_gets_one_message(self, session, world) -> None:
        task = world.make_task(assigned_agent_id=world.lead.id)
        approval = await add_approval(session, world, task)
        await decide_approval(session, world.bob, approval, note="@lead go.", undo_seconds=0)
        kinds = await session.scalars(select(Message.kind).where(Message.agent_id == world.lead.id))
        assert kinds.all() == ["APPROVAL RESOLVED"]


async def decide_many(session, user, approval) -> None:
    """Decide an approval as one of several, and raise its error."""
    [result] = await approvals.decide_many_with_undo(
        session, user, [approval.id], status=APPROVED, undo_seconds=8
    )
    if result.error:
        raise result.error


async def test_rights_that_end_while_a_decision_waits_are_respected(
    isolated_transaction, isolated_world
) -> None:
    """The rights at the moment of the decision count, not those when the request began."""
    world = isolated_world
    rows = world.make_approval()
    async with isolated_transaction() as session:
        session.add_all([await session.merge(row) for row in rows])

    async def decide(action):
        async with isolated_transaction() as session:
            return await action(session)

    approval = rows[0]
    undo = approvals.undo_decision
    for action in (
        lambda session: decide_approval(session, world.bob, approval),
        lambda session: undo(session, world.bob, approval.id),
        lambda session: decide_many(session, world.bob, approval),
    ):
        async with isolated_transaction() as session:
            await boards.lock_board(session, world.alice, world.board.id)
            waiting = asyncio.create_task(decide(action))
            await wait_for_lock_waiter(isolated_transaction)
            access = await session.get_one(BoardAccess, world.bob_access.id)
            access.can_write = False
        with pytest.raises(Forbidden, match="not change it"):
            await waiting
        async with isolated_transaction() as session:
            stored = await session.get_one(Approval, approval.id)
            assert stored.decided_status is None
            (await session.get_one(BoardAccess, world.bob_access.id)).can_write = True
