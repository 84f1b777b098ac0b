"""Approvals are decided, by agents' API at once and on a page with time to take it back."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from models import Approval, Comment, EventType
from services import approvals, boards
from tests.services.decisions import APPROVED, PENDING, REJECTED, add, answer, events, types


async def let_time_pass(session, approval) -> None:
    """Let the time to take an answer back be over."""
    past = now() - timedelta(milliseconds=1)
    await session.execute(
        update(Approval).where(Approval.id == approval.id).values(settles_at=past)
    )


class TestDecidingAtOnce:
    async def decide(self, session, world, approval, status, user=None):
        user = user or world.alice
        board = await boards.hold(session, user, world.board.id)
        return await approvals.decide(session, user, board, approval.id, status)

    async def test_every_way_is_open_and_each_is_written_down_once(self, session, world) -> None:
        approval = await add(session, world, world.task())
        for status in (APPROVED, APPROVED, REJECTED, PENDING, PENDING, REJECTED):
            detail = await self.decide(session, world, approval, status)
            assert detail.approval.status is status
            assert (detail.approval.resolved_at is None) == (status is PENDING)
        assert await types(session) == [
            EventType.APPROVAL_APPROVED,
            EventType.APPROVAL_REJECTED,
            EventType.APPROVAL_REOPENED,
            EventType.APPROVAL_REJECTED,
        ]

    async def test_the_same_decision_again_changes_nothing(self, session, world) -> None:
        approval = await add(session, world, world.task())
        await self.decide(session, world, approval, APPROVED, world.bob)
        resolved_at = approval.resolved_at
        detail = await self.decide(session, world, approval, APPROVED)
        assert (approval.resolved_at, detail.decided_by) == (resolved_at, "Bob")

    async def test_a_body_without_a_status_changes_nothing(self, session, world) -> None:
        approval = await add(session, world)
        detail = await self.decide(session, world, approval, None)
        assert detail.approval.status is PENDING
        assert await events(session) == []

    async def test_back_to_pending_forgets_who_decided(self, session, world) -> None:
        approval = await add(session, world)
        await self.decide(session, world, approval, REJECTED)
        await self.decide(session, world, approval, PENDING)
        assert approval.decided_status is approval.decided_by_user_id is approval.decided_at is None

    async def test_back_to_pending_needs_a_task_that_nothing_waits_for(self, session, world):
        task = world.task()
        decided = await add(session, world, task, status=APPROVED)
        pending = await add(session, world, task)
        with pytest.raises(Conflict) as refused:
            await self.decide(session, world, decided, PENDING)
        assert refused.value.details["conflicts"] == [
            {"task_id": str(task.id), "approval_id": str(pending.id)}
        ]
        assert decided.status is APPROVED

    async def test_it_may_settle_an_answer_of_a_page_or_replace_it(self, session, world) -> None:
        same = await add(session, world)
        await answer(session, world.bob, same)
        await self.decide(session, world, same, APPROVED)
        assert (same.status, same.decided_by_user_id, same.settles_at) == (
            APPROVED,
            world.bob.id,
            None,
        )
        other = await add(session, world)
        await answer(session, world.bob, other)
        await self.decide(session, world, other, REJECTED)
        assert (other.status, other.decided_by_user_id) == (REJECTED, world.alice.id)

    async def test_an_approval_of_another_board_is_not_found(self, session, world) -> None:
        approval = await add(session, world)
        garden = await boards.hold(session, world.alice, world.garden.id)
        with pytest.raises(NotFound):
            await approvals.decide(session, world.alice, garden, approval.id, APPROVED)


class TestAnsweringOnAPage:
    async def test_an_answer_is_seen_by_people_and_not_yet_by_agents(self, session, world) -> None:
        approval = await add(session, world, world.task())

        detail = await answer(session, world.bob, approval, note=" Go on. ")

        assert (approval.status, approval.resolved_at) == (PENDING, None)
        assert (detail.answer, detail.decided_by) == (APPROVED, "Bob")
        assert (detail.is_waiting, detail.is_settling) == (False, True)
        assert approval.decision_note == "Go on."
        assert approval.settles_at
        assert timedelta(seconds=7) < approval.settles_at - now() <= timedelta(seconds=8)
        assert await types(session) == [EventType.APPROVAL_DECIDED]

    async def test_an_answer_puts_its_settling_on_the_queue(self, session, world) -> None:
        approval = await add(session, world)
        await answer(session, world.bob, approval)
        [row] = (await session.execute(text("select * from pgqueuer"))).mappings()
        assert row["entrypoint"] == "settle_approvals"
        assert str(world.board.id) in row["payload"].decode()
        late = row["execute_after"] - approval.settles_at
        assert timedelta(seconds=-0.1) < late < timedelta(seconds=0.1)

    async def test_what_is_taken_back_in_time_leaves_no_trace_for_agents(self, session, world):
        approval = await add(session, world, world.task())
        await answer(session, world.bob, approval, REJECTED, note="No.")

        detail = await approvals.undo(session, world.alice, approval.id)

        assert detail.is_waiting
        assert (approval.decision_note, approval.decided_at, approval.settles_at) == (
            None,
            None,
            None,
        )
        await let_time_pass(session, approval)
        assert await approvals.settle_due(session) == 0
        assert await types(session) == [EventType.APPROVAL_DECIDED, EventType.APPROVAL_UNDONE]
        assert (await session.scalars(select(Comment))).all() == []

    async def test_afterwards_it_settles_once_and_the_note_is_a_comment(self, session, world):
        """C11."""
        task = world.task()
        approval = await add(session, world, task)
        await answer(session, world.bob, approval, REJECTED, note="Not before Friday.")
        assert await approvals.settle_due(session) == 0

        await let_time_pass(session, approval)
        assert await approvals.boards_with_due(session) == [world.board.id]
        assert await approvals.settle_due(session, board_id=world.garden.id) == 0
        assert await approvals.settle_due(session) == 1
        assert await approvals.settle_due(session) == 0

        assert approval.status is REJECTED
        assert approval.resolved_at is not None
        assert approval.settles_at is None
        [comment] = await session.scalars(select(Comment))
        assert (comment.message, comment.user_id) == ("Not before Friday.", world.bob.id)
        assert await types(session) == [
            EventType.APPROVAL_DECIDED,
            EventType.TASK_COMMENT,
            EventType.APPROVAL_REJECTED,
        ]
        settled = (await events(session))[-1]
        assert settled.user_id == world.bob.id
        assert settled.data["note"] == "Not before Friday."

    async def test_it_settles_too_when_whoever_decided_is_gone(self, session, world) -> None:
        approval = await add(session, world, world.task())
        await answer(session, world.bob, approval, note="Go.")
        await session.delete(world.bobs_access)
        await session.delete(world.bobs)
        await session.flush()
        await session.execute(text("delete from users where id = :id").bindparams(id=world.bob.id))
        await let_time_pass(session, approval)
        assert await approvals.settle_due(session) == 1
        assert (approval.status, (await events(session))[-1].user_id) == (APPROVED, None)

    async def test_without_time_to_take_it_back_it_settles_at_once(self, session, world) -> None:
        approval = await add(session, world, world.task())
        detail = await answer(session, world.bob, approval, undo_seconds=0, note="Go.")
        assert (detail.approval.status, detail.decided_by) == (APPROVED, "Bob")
        assert await types(session) == [EventType.TASK_COMMENT, EventType.APPROVAL_APPROVED]

    @pytest.mark.parametrize("settled", [False, True])
    async def test_who_comes_second_hears_who_was_first(self, session, world, settled) -> None:
        approval = await add(session, world)
        await answer(session, world.bob, approval)
        if settled:
            await let_time_pass(session, approval)
            await approvals.settle_due(session)
        before = await types(session)
        for status in (REJECTED, APPROVED):
            with pytest.raises(Conflict) as refused:
                await answer(session, world.alice, approval, status)
            assert refused.value.code == "already_decided"
            assert refused.value.details == {"by": "Bob", "status": "approved"}
        with pytest.raises(Conflict):
            await answer(session, world.bob, approval, REJECTED)
        assert await types(session) == before

    async def test_the_same_click_twice_is_one_answer(self, session, world) -> None:
        approval = await add(session, world)
        await answer(session, world.bob, approval)
        settles_at = approval.settles_at
        detail = await answer(session, world.bob, approval)
        assert (detail.answer, approval.settles_at) == (APPROVED, settles_at)
        assert await types(session) == [EventType.APPROVAL_DECIDED]

    async def test_too_late_is_too_late_and_then_it_is_reopened(self, session, world) -> None:
        approval = await add(session, world)
        await answer(session, world.bob, approval)
        await let_time_pass(session, approval)
        with pytest.raises(Conflict) as refused:
            await approvals.undo(session, world.bob, approval.id)
        assert refused.value.code == "too_late_to_undo"
        await approvals.settle_due(session)
        with pytest.raises(Conflict):
            await approvals.undo(session, world.bob, approval.id)

        detail = await approvals.reopen(session, world.alice, approval.id)

        assert detail.is_waiting
        assert (approval.status, approval.resolved_at) == (PENDING, None)
        assert (await types(session))[-1] is EventType.APPROVAL_REOPENED
        await answer(session, world.alice, approval, REJECTED)

    async def test_a_note_that_cannot_be_kept_is_refused_beside_its_field(self, session, world):
        approval = await add(session, world)
        for note in ("x" * 10_001, "nul \0"):
            with pytest.raises(Invalid) as refused:
                await answer(session, world.bob, approval, note=note)
            assert refused.value.field == "note"
        with pytest.raises(Invalid):
            await answer(session, world.bob, approval, PENDING)

    async def test_several_are_answered_each_for_itself(self, session, world) -> None:
        mine = [await add(session, world) for _ in range(2)]
        taken = await add(session, world)
        await answer(session, world.alice, taken, REJECTED)
        [hidden] = world.approval()
        hidden.board = world.garden
        session.add(hidden)
        await session.flush()
        unknown = uuid4()
        ids = [mine[0].id, unknown, taken.id, hidden.id, mine[1].id, mine[1].id]

        outcomes = await approvals.answer_many(
            session, world.bob, ids, status=APPROVED, undo_seconds=8
        )

        assert [one.approval_id for one in outcomes] == ids[:5]
        codes = [one.refusal.code if one.refusal else None for one in outcomes]
        assert codes == [
            None,
            "approval_not_found",
            "already_decided",
            "board_read_forbidden",
            None,
        ]
        assert [one.decided_status for one in mine] == [APPROVED, APPROVED]
        assert (taken.decided_status, hidden.decided_status) == (REJECTED, None)

    async def test_a_stranger_finds_no_question_and_a_reader_only_reads(self, session, world):
        approval = await add(session, world)
        for actor, refusal in [(world.charlie, NotFound), (world.rita, Forbidden)]:
            for deed in (
                answer(session, actor, approval),
                approvals.undo(session, actor, approval.id),
                approvals.reopen(session, actor, approval.id),
                approvals.ask_back(session, actor, approval.id, question="Why?"),
            ):
                with pytest.raises(refusal):
                    await deed
        missing = await refusal_of(answer(session, world.alice, Approval(id=uuid4())))
        foreign = await refusal_of(answer(session, world.charlie, approval))
        assert (missing.code, missing.message) == (foreign.code, foreign.message)
        assert await events(session) == []


async def refusal_of(deed) -> NotFound:
    with pytest.raises(NotFound) as refused:
        await deed
    return refused.value
