"""Approvals: what is asked, asked back, and listed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from kit.paging import Paging
from models import Approval, Comment, EventType
from services import approvals, boards
from services.approvals import ApprovalDraft
from tests.services.decisions import APPROVED, PENDING, REJECTED, add, answer, events, types
from tests.world import a_task


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
