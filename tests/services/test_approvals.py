"""Approvals: what is asked, what is decided, and what is written down of it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text, update

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from kit.paging import Paging
from models import Approval, ApprovalStatus, Comment, Event, EventType
from services import approvals, boards, messages
from services.approvals import ApprovalDraft
from tests.world import a_task

PENDING, APPROVED, REJECTED = ApprovalStatus


async def events(session) -> list[Event]:
    """Return what happened, but for what was told of it."""
    happened = select(Event).where(Event.type.not_in(messages.EVENTS))
    return list(await session.scalars(happened.order_by(Event.seq)))


async def types(session) -> list[EventType]:
    return [event.type for event in await events(session)]


async def add(session, world, *tasks, **fields) -> Approval:
    rows = world.approval(*tasks, agent_id=world.worker.id, **fields)
    session.add_all([*tasks, *rows])
    await session.flush()
    return rows[0]


async def answer(session, user, approval, status=APPROVED, *, note=None, undo_seconds=8):
    return await approvals.answer(
        session, user, approval.id, status=status, note=note, undo_seconds=undo_seconds
    )


async def let_time_pass(session, approval) -> None:
    """Let the time to take an answer back be over."""
    past = now() - timedelta(milliseconds=1)
    await session.execute(
        update(Approval).where(Approval.id == approval.id).values(settles_at=past)
    )


def draft(**fields) -> ApprovalDraft:
    given: dict[str, Any] = {
        "action_type": "task.complete",
        "confidence": 90.5,
        "lead_reasoning": " It is done. ",
    }
    return ApprovalDraft(**(given | fields))


async def request(session, actor, world, **fields):
    board = await boards.hold(session, actor, world.board.id)
    return await approvals.request(session, actor, board, draft(**fields))


class TestAsking:
    async def test_an_agent_asks_about_tasks_and_it_is_written_down(self, session, world) -> None:
        first, second = world.task("Write"), world.task("Check")
        session.add_all([first, second])

        asked = await request(session, world.worker, world, task_ids=[second.id, first.id])

        approval = asked.approval
        assert (approval.status, approval.resolved_at) == (PENDING, None)
        assert (approval.agent_id, asked.asked_by) == (world.worker.id, "Worker")
        assert approval.payload == {"reason": "It is done."}
        assert (asked.task_ids, asked.task_titles) == ([second.id, first.id], ["Check", "Write"])
        assert approval.task_id == second.id
        assert asked.question == "Complete the task “Check” and 1 more?"
        [event] = await events(session)
        assert event.type is EventType.APPROVAL_REQUESTED
        assert (event.approval_id, event.task_id) == (approval.id, second.id)
        assert (event.agent_id, event.user_id) == (world.worker.id, None)
        assert event.data["confidence"] == 90.5
        assert event.data["titles"] == ["Check", "Write"]

    async def test_who_asks_is_the_caller_and_nobody_else(self, session, world) -> None:
        """S4."""
        asked = await request(session, world.alice, world)
        assert (asked.approval.agent_id, asked.approval.requested_by_user_id) == (
            None,
            world.alice.id,
        )
        assert asked.asked_by == "Alice"

    async def test_an_agent_cannot_ask_for_what_is_decided_already(self, session, world) -> None:
        for actor, refusal in [(world.worker, Forbidden), (world.alice, Invalid)]:
            with pytest.raises(refusal):
                await request(session, actor, world, status=APPROVED)
        assert await events(session) == []

    async def test_tasks_of_other_boards_are_not_found_and_not_named(self, session, world) -> None:
        """S3."""
        mine, secret = world.task("Mine"), a_task(world.garden, "Secret")
        session.add_all([mine, secret])
        unknown = uuid4()

        with pytest.raises(NotFound) as refused:
            await request(session, world.worker, world, task_ids=[mine.id, secret.id, unknown])

        assert refused.value.details == {"missing_task_ids": [str(secret.id), str(unknown)]}
        assert "Secret" not in refused.value.message
        assert (await session.scalars(select(Approval))).all() == []

    async def test_a_task_has_one_pending_question_at_most(self, session, world) -> None:
        tasks = [world.task("One"), world.task("Two"), world.task("Three")]
        one = await add(session, world, tasks[0])
        two = await add(session, world, tasks[1])
        await add(session, world, tasks[2], status=REJECTED)

        with pytest.raises(Conflict) as refused:
            await request(session, world.worker, world, task_ids=[task.id for task in tasks])

        pairs = sorted([(str(tasks[0].id), str(one.id)), (str(tasks[1].id), str(two.id))])
        assert refused.value.code == "approval_pending_exists"
        assert refused.value.details["conflicts"] == [
            {"task_id": task_id, "approval_id": approval_id} for task_id, approval_id in pairs
        ]
        await request(session, world.worker, world, task_ids=[tasks[2].id])

    async def test_a_question_about_no_task_can_always_be_asked(self, session, world) -> None:
        await request(session, world.worker, world)
        await request(session, world.worker, world)
        assert len((await session.scalars(select(Approval))).all()) == 2

    async def test_a_stranger_cannot_ask(self, session, world) -> None:
        with pytest.raises(NotFound):
            await request(session, world.charlie, world)
        with pytest.raises(NotFound):
            await request(session, world.charlies_worker, world)
        with pytest.raises(Forbidden):
            await request(session, world.rita, world)


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


class TestAskingBack:
    async def test_a_question_goes_to_the_task_and_the_approval_stays_open(self, session, world):
        approval = await add(session, world, world.task())

        detail = await approvals.ask_back(session, world.bob, approval.id, question=" Why now? ")

        [comment] = await session.scalars(select(Comment))
        assert (comment.message, comment.user_id) == ("@Worker Why now?", world.bob.id)
        assert approval.asked_back_at is not None
        assert detail.is_waiting
        assert await types(session) == [EventType.TASK_COMMENT, EventType.APPROVAL_ASKED_BACK]

    async def test_it_needs_words_a_task_and_an_open_question(self, session, world) -> None:
        alone, answered = await add(session, world), await add(session, world, world.task())
        await answer(session, world.alice, answered)
        for approval, question, refusal in [
            (answered, " ", Invalid),
            (alone, "Why?", Invalid),
            (answered, "Why?", Conflict),
        ]:
            with pytest.raises(refusal):
                await approvals.ask_back(session, world.bob, approval.id, question=question)
        assert (await session.scalars(select(Comment))).all() == []


class TestLists:
    async def test_a_board_lists_its_approvals_newest_first(self, session, world) -> None:
        first = await add(session, world, world.task("A"), created_at=now() - timedelta(hours=1))
        second = await add(session, world, world.task("B"), status=APPROVED)
        page = await approvals.listed(session, world.board, Paging(limit=1))
        assert ([one.approval for one in page.items], page.total) == ([second], 2)
        page = await approvals.listed(session, world.board, Paging(), status=PENDING)
        assert [(one.approval, one.task_titles) for one in page.items] == [(first, ["A"])]
        assert (await approvals.listed(session, world.garden, Paging())).total == 0

    async def test_agents_find_an_answer_that_can_be_taken_back_still_pending(self, session, world):
        approval = await add(session, world)
        await answer(session, world.bob, approval)
        page = await approvals.listed(session, world.board, Paging(), status=PENDING)
        assert [one.approval for one in page.items] == [approval]

    async def test_what_waits_is_seen_by_whoever_reads_the_board(self, session, world) -> None:
        approval = await add(session, world, world.task("Write"))
        [in_garden] = world.approval()
        in_garden.board = world.garden
        session.add(in_garden)
        await session.flush()
        for member, seen in [
            (world.alices, 2),
            (world.bobs, 1),
            (world.ritas, 1),
            (world.danas, 0),
            (world.charlies, 0),
        ]:
            assert len(await approvals.waiting(session, member)) == seen
            assert await approvals.waiting_count(session, member) == seen
        [detail] = await approvals.waiting(session, world.alices, board_id=world.board.id)
        assert detail.approval is approval
        assert (detail.board.name, detail.asked_by) == ("Launch", "Worker")
        assert await approvals.waiting_by_board(session, world.alices) == {
            world.board.id: 1,
            world.garden.id: 1,
        }
        assert await approvals.waiting(session, world.bobs, board_id=world.garden.id) == []

    async def test_what_was_answered_moves_from_waiting_to_decided(self, session, world) -> None:
        approval = await add(session, world)
        old = await add(session, world, status=REJECTED, resolved_at=now() - timedelta(days=3))
        await answer(session, world.bob, approval)
        assert await approvals.waiting(session, world.alices) == []
        assert await approvals.waiting_by_board(session, world.alices) == {}
        [today] = await approvals.decided_today(session, world.alices)
        assert (today.approval, today.decided_by) == (approval, "Bob")
        page = await approvals.decided(session, world.alices, Paging())
        assert [one.approval for one in page.items] == [approval, old]
        assert (await approvals.decided(session, world.charlies, Paging())).items == []

    async def test_one_question_is_found_by_who_may_read_it(self, session, world) -> None:
        approval = await add(session, world)
        assert (await approvals.detail_for(session, world.ritas, approval.id)).approval is approval
        with pytest.raises(NotFound):
            await approvals.detail_for(session, world.charlies, approval.id)
        with pytest.raises(Forbidden):
            await approvals.detail_for(session, world.danas, approval.id)

    async def test_a_board_counts_what_is_pending_on_it_and_on_its_tasks(self, session, world):
        task, other = world.task("A"), world.task("B")
        await add(session, world, task, status=REJECTED)
        await add(session, world, task)
        await add(session, world)
        session.add(other)
        await session.flush()
        counts = await approvals.counts(session, world.board, [task.id, other.id])
        assert counts.pending == 2
        assert counts.of_tasks == {task.id: (2, 1), other.id: (0, 0)}
