"""Decisions on pages: there is time to undo them, then they are final."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound
from models import DECISIONS_TOPIC, Approval, Comment, EventType, PolicyVerdict, Role
from services import approvals
from tests.support.approval_helpers import (
    APPROVED,
    PENDING,
    REJECTED,
    add_approval,
    decide_approval,
    list_event_types,
    list_recorded_events,
)
from tests.support.round_trips import record_round_trips
from tests.support.statement_counter import count_statements


async def end_undo_time(session, approval) -> None:
    """Let the undo time of a decision end."""
    past = now() - timedelta(milliseconds=1)
    await session.execute(
        update(Approval).where(Approval.id == approval.id).values(finalizes_at=past)
    )


class TestUndoableDecisions:
    async def test_undoable_decision_is_visible_to_users_only(self, session, world) -> None:
        approval = await add_approval(session, world, world.make_task())

        detail = await decide_approval(session, world.bob, approval, note=" Go on. ")

        assert (approval.status, approval.resolved_at) == (PENDING, None)
        assert (detail.shown_status, detail.decider_name) == (APPROVED, "Bob")
        assert (detail.is_undecided, detail.can_undo) == (False, True)
        assert approval.decision_note == "Go on."
        assert approval.finalizes_at
        assert timedelta(seconds=7) < approval.finalizes_at - now() <= timedelta(seconds=8)
        assert await list_event_types(session) == [EventType.APPROVAL_DECIDED]

    async def test_decision_wakes_the_workers_and_is_scheduled(self, session, world) -> None:
        approval = await add_approval(session, world)
        with record_round_trips() as log:
            await decide_approval(session, world.bob, approval)

        notified = [sent.arguments for sent in log.all if "pg_notify" in sent.statement]
        assert any(DECISIONS_TOPIC in str(values) for values in notified)
        assert await approvals.find_next_finalization(session) == approval.finalizes_at

    async def test_undone_decision_leaves_no_trace_for_agents(self, session, world):
        approval = await add_approval(session, world, world.make_task())
        await decide_approval(session, world.bob, approval, REJECTED, note="No.")

        detail = await approvals.undo_decision(session, world.alice, approval.id)

        assert detail.is_undecided
        assert (approval.decision_note, approval.decided_at, approval.finalizes_at) == (
            None,
            None,
            None,
        )
        await end_undo_time(session, approval)
        assert await approvals.finalize_due_approvals(session) == 0
        assert await list_event_types(session) == [
            EventType.APPROVAL_DECIDED,
            EventType.APPROVAL_UNDONE,
        ]
        assert (await session.scalars(select(Comment))).all() == []

    async def test_decision_is_finalized_once_with_note_as_comment(self, session, world):
        """C11."""
        task = world.make_task()
        approval = await add_approval(session, world, task)
        await decide_approval(session, world.bob, approval, REJECTED, note="Not before Friday.")
        assert await approvals.finalize_due_approvals(session) == 0

        await end_undo_time(session, approval)
        assert await approvals.list_boards_with_due_approvals(session) == [world.board.id]
        assert await approvals.finalize_due_approvals(session, board_id=world.garden.id) == 0
        assert await approvals.finalize_due_approvals(session) == 1
        assert await approvals.finalize_due_approvals(session) == 0

        assert approval.status is REJECTED
        assert approval.resolved_at is not None
        assert approval.finalizes_at is None
        [comment] = await session.scalars(select(Comment))
        assert (comment.message, comment.user_id) == ("Not before Friday.", world.bob.id)
        assert await list_event_types(session) == [
            EventType.APPROVAL_DECIDED,
            EventType.TASK_COMMENT,
            EventType.APPROVAL_REJECTED,
        ]
        finalized = (await list_recorded_events(session))[-1]
        assert finalized.user_id == world.bob.id
        assert finalized.data["note"] == "Not before Friday."

    async def test_decision_of_deleted_user_is_not_finalized(self, session, world) -> None:
        approval = await add_approval(session, world, world.make_task())
        await decide_approval(session, world.bob, approval, note="Go.")
        await session.delete(world.bob_access)
        await session.delete(world.bob_member)
        await session.flush()
        await session.execute(text("delete from users where id = :id").bindparams(id=world.bob.id))
        await end_undo_time(session, approval)
        assert await approvals.finalize_due_approvals(session) == 1
        lapsed = (await list_recorded_events(session))[-1]
        assert (lapsed.type, lapsed.user_id) == (EventType.APPROVAL_LAPSED, None)
        assert (approval.status, approval.decided_status) == (PENDING, None)

    async def test_decision_without_undo_time_is_finalized_immediately(
        self, session, world
    ) -> None:
        approval = await add_approval(session, world, world.make_task())
        detail = await decide_approval(session, world.bob, approval, undo_seconds=0, note="Go.")
        assert (detail.approval.status, detail.decider_name) == (APPROVED, "Bob")
        assert await list_event_types(session) == [
            EventType.TASK_COMMENT,
            EventType.APPROVAL_APPROVED,
        ]

    @pytest.mark.parametrize("is_finalized", [False, True])
    async def test_second_decision_is_rejected_with_the_first_decider(
        self, session, world, is_finalized
    ) -> None:
        approval = await add_approval(session, world)
        await decide_approval(session, world.bob, approval)
        if is_finalized:
            await end_undo_time(session, approval)
            await approvals.finalize_due_approvals(session)
        before = await list_event_types(session)
        for status in (REJECTED, APPROVED):
            with pytest.raises(Conflict) as raised:
                await decide_approval(session, world.alice, approval, status)
            assert raised.value.code == "already_decided"
            assert (raised.value.details["by"], raised.value.details["status"]) == (
                "Bob",
                "approved",
            )
        with pytest.raises(Conflict):
            await decide_approval(session, world.bob, approval, REJECTED)
        assert await list_event_types(session) == before

    async def test_repeated_undoable_decision_is_recorded_once(self, session, world) -> None:
        approval = await add_approval(session, world)
        await decide_approval(session, world.bob, approval)
        finalizes_at = approval.finalizes_at
        detail = await decide_approval(session, world.bob, approval)
        assert (detail.shown_status, approval.finalizes_at) == (APPROVED, finalizes_at)
        assert await list_event_types(session) == [EventType.APPROVAL_DECIDED]

    async def test_a_final_decision_cannot_be_undone(self, session, world) -> None:
        approval = await add_approval(session, world)
        await decide_approval(session, world.bob, approval)
        await end_undo_time(session, approval)
        with pytest.raises(Conflict) as raised:
            await approvals.undo_decision(session, world.bob, approval.id)
        assert raised.value.code == "too_late_to_undo"
        await approvals.finalize_due_approvals(session)
        with pytest.raises(Conflict):
            await approvals.undo_decision(session, world.bob, approval.id)
        assert approval.status is APPROVED

    async def test_a_decision_is_an_approval_or_a_rejection(self, session, world) -> None:
        approval = await add_approval(session, world)
        with pytest.raises(Invalid):
            await decide_approval(session, world.bob, approval, PENDING)

    async def test_bulk_decision_handles_each_approval_independently(self, session, world) -> None:
        mine = [await add_approval(session, world) for _ in range(2)]
        taken = await add_approval(session, world)
        await decide_approval(session, world.alice, taken, REJECTED)
        [hidden] = world.make_approval()
        hidden.board = world.garden
        session.add(hidden)
        await session.flush()
        unknown = uuid4()
        ids = [mine[0].id, unknown, taken.id, hidden.id, mine[1].id, mine[1].id]

        results = await approvals.decide_many_with_undo(
            session, world.bob, ids, status=APPROVED, undo_seconds=8
        )

        assert [one.approval_id for one in results] == ids[:5]
        codes = [one.error.code if one.error else None for one in results]
        assert codes == [
            None,
            "approval_not_found",
            "already_decided",
            "board_read_forbidden",
            None,
        ]
        assert [one.decided_status for one in mine] == [APPROVED, APPROVED]
        assert (taken.decided_status, hidden.decided_status) == (REJECTED, None)

    @pytest.mark.parametrize("undo_seconds", [8, 0])
    async def test_a_bulk_decision_of_many_needs_as_many_statements_as_one(
        self, session, world, undo_seconds
    ) -> None:
        only_owners = PolicyVerdict(decider_role=Role.OWNER)
        made = [await add_approval(session, world) for _ in range(21)]
        for approval in made:
            approval.policy_verdict = only_owners
        await session.flush()
        numbers = []
        for ids in ([made[0].id], [one.id for one in made[1:]]):
            with count_statements(await session.connection()) as statements:
                results = await approvals.decide_many_with_undo(
                    session, world.alice, ids, status=APPROVED, undo_seconds=undo_seconds
                )
            assert [one.error for one in results] == [None] * len(ids)
            numbers.append(statements)
        assert len(numbers[0]) == len(numbers[1]), numbers[1]

    async def test_decisions_require_write_access(self, session, world):
        approval = await add_approval(session, world)
        for actor, error in [(world.charlie, NotFound), (world.rita, Forbidden)]:
            for action in (
                decide_approval(session, actor, approval),
                approvals.undo_decision(session, actor, approval.id),
                approvals.request_clarification(session, actor, approval.id, question="Why?"),
            ):
                with pytest.raises(error):
                    await action
        missing = await catch_not_found(decide_approval(session, world.alice, Approval(id=uuid4())))
        foreign = await catch_not_found(decide_approval(session, world.charlie, approval))
        assert (missing.code, missing.message) == (foreign.code, foreign.message)
        assert await list_recorded_events(session) == []


async def catch_not_found(action) -> NotFound:
    with pytest.raises(NotFound) as raised:
        await action
    return raised.value
