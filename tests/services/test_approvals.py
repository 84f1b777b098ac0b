"""Approvals are requested, clarified and listed."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.paging import Paging
from models import Approval, Comment, EventType, Status
from services import approvals, boards
from services.approvals import ApprovalCreate, ApprovalDetail
from services.inbox import WaitingFilter, WaitingItems, load_waiting_items
from tests.support.approval_helpers import (
    APPROVED,
    PENDING,
    REJECTED,
    add_approval,
    decide_approval,
    list_event_types,
    list_recorded_events,
)
from tests.support.board_rows import make_task
from tests.support.statement_counter import count_statements


def make_request(**fields) -> ApprovalCreate:
    given: dict[str, Any] = {
        "action_type": "task.complete",
        "confidence": 90.5,
        "lead_reasoning": " It is done. ",
    }
    return ApprovalCreate(**(given | fields))


async def request_approval(session, actor, world, **fields):
    board = await boards.lock_board(session, actor, world.board.id)
    return await approvals.request_approval(session, actor, board, make_request(**fields))


class TestRequests:
    async def test_agent_request_for_tasks_is_recorded(self, session, world) -> None:
        first, second = world.make_task("Write"), world.make_task("Check")
        session.add_all([first, second])

        detail = await request_approval(
            session, world.worker, world, task_ids=[second.id, first.id]
        )

        approval = detail.approval
        assert (approval.status, approval.resolved_at) == (PENDING, None)
        assert (approval.agent_id, detail.requester_name) == (world.worker.id, "Worker")
        assert approval.payload == {"reason": "It is done."}
        assert (detail.task_ids, detail.task_titles) == ([second.id, first.id], ["Check", "Write"])
        assert approval.task_id == second.id
        assert detail.question == "Complete the task “Check” and 1 more?"
        [event] = await list_recorded_events(session)
        assert event.type is EventType.APPROVAL_REQUESTED
        assert (event.approval_id, event.task_id) == (approval.id, second.id)
        assert (event.agent_id, event.user_id) == (world.worker.id, None)
        assert event.data["confidence"] == 90.5
        assert event.data["titles"] == ["Check", "Write"]

    async def test_requester_is_always_the_caller(self, session, world) -> None:
        """S4."""
        detail = await request_approval(session, world.alice, world)
        assert (detail.approval.agent_id, detail.approval.requested_by_user_id) == (
            None,
            world.alice.id,
        )
        assert detail.requester_name == "Alice"

    async def test_request_cannot_be_created_as_decided(self, session, world) -> None:
        for actor, error in [(world.worker, Forbidden), (world.alice, Invalid)]:
            with pytest.raises(error):
                await request_approval(session, actor, world, status=APPROVED)
        assert await list_recorded_events(session) == []

    async def test_tasks_of_other_boards_are_reported_as_missing(self, session, world) -> None:
        """S3."""
        mine, secret = world.make_task("Mine"), make_task(world.garden, "Secret")
        session.add_all([mine, secret])
        unknown = uuid4()

        with pytest.raises(NotFound) as raised:
            await request_approval(
                session, world.worker, world, task_ids=[mine.id, secret.id, unknown]
            )

        assert raised.value.details == {"missing_task_ids": [str(secret.id), str(unknown)]}
        assert "Secret" not in raised.value.message
        assert (await session.scalars(select(Approval))).all() == []

    async def test_task_has_at_most_one_pending_approval(self, session, world) -> None:
        tasks = [world.make_task("One"), world.make_task("Two"), world.make_task("Three")]
        one = await add_approval(session, world, tasks[0])
        two = await add_approval(session, world, tasks[1])
        await add_approval(session, world, tasks[2], status=REJECTED)

        with pytest.raises(Conflict) as raised:
            await request_approval(
                session, world.worker, world, task_ids=[task.id for task in tasks]
            )

        pairs = sorted([(str(tasks[0].id), str(one.id)), (str(tasks[1].id), str(two.id))])
        assert raised.value.code == "approval_pending_exists"
        assert raised.value.details["conflicts"] == [
            {"task_id": task_id, "approval_id": approval_id} for task_id, approval_id in pairs
        ]
        await request_approval(session, world.worker, world, task_ids=[tasks[2].id])

    async def test_different_approvals_without_task_are_independent(self, session, world) -> None:
        await request_approval(session, world.worker, world)
        await request_approval(session, world.worker, world, lead_reasoning="Another reason.")
        assert len((await session.scalars(select(Approval))).all()) == 2

    async def test_actor_without_write_access_cannot_request(self, session, world) -> None:
        with pytest.raises(NotFound):
            await request_approval(session, world.charlie, world)
        with pytest.raises(NotFound):
            await request_approval(session, world.charlies_worker, world)
        with pytest.raises(Forbidden):
            await request_approval(session, world.rita, world)


class TestClarification:
    async def test_clarification_is_a_comment_and_approval_stays_pending(self, session, world):
        approval = await add_approval(session, world, world.make_task())

        detail = await approvals.request_clarification(
            session, world.bob, approval.id, question=" Why now? "
        )

        [comment] = await session.scalars(select(Comment))
        assert (comment.message, comment.user_id) == ("@Worker Why now?", world.bob.id)
        assert approval.clarification_requested_at is not None
        assert detail.is_undecided
        assert await list_event_types(session) == [
            EventType.TASK_COMMENT,
            EventType.APPROVAL_CLARIFICATION_REQUESTED,
        ]

    async def test_clarification_needs_text_task_and_undecided_approval(
        self, session, world
    ) -> None:
        without_task, decided = (
            await add_approval(session, world),
            await add_approval(session, world, world.make_task()),
        )
        await decide_approval(session, world.alice, decided)
        for approval, question, error in [
            (decided, " ", Invalid),
            (without_task, "Why?", Invalid),
            (decided, "Why?", Conflict),
        ]:
            with pytest.raises(error):
                await approvals.request_clarification(
                    session, world.bob, approval.id, question=question
                )
        assert (await session.scalars(select(Comment))).all() == []


def list_approvals(found: WaitingItems) -> list[ApprovalDetail]:
    """Return the approvals that wait."""
    details = (one.detail for one in found.page.items)
    return [one for one in details if isinstance(one, ApprovalDetail)]


class TestLists:
    async def test_board_lists_approvals_newest_first(self, session, world) -> None:
        first = await add_approval(
            session, world, world.make_task("A"), created_at=now() - timedelta(hours=1)
        )
        second = await add_approval(session, world, world.make_task("B"), status=APPROVED)
        page = await approvals.list_board_approvals(session, world.board, Paging(limit=1))
        assert ([item.approval for item in page.items], page.total) == ([second], 2)
        page = await approvals.list_board_approvals(session, world.board, Paging(), status=PENDING)
        assert [(item.approval, item.task_titles) for item in page.items] == [(first, ["A"])]
        assert (await approvals.list_board_approvals(session, world.garden, Paging())).total == 0

    async def test_undoable_decision_is_listed_as_pending_for_agents(self, session, world):
        approval = await add_approval(session, world)
        await decide_approval(session, world.bob, approval)
        page = await approvals.list_board_approvals(session, world.board, Paging(), status=PENDING)
        assert [item.approval for item in page.items] == [approval]

    async def test_undecided_approvals_are_visible_to_readers_of_the_board(
        self, session, world
    ) -> None:
        approval = await add_approval(session, world, world.make_task("Write"))
        [in_garden] = world.make_approval()
        in_garden.board = world.garden
        session.add(in_garden)
        await session.flush()
        for member, count in [
            (world.alice_member, 2),
            (world.bob_member, 1),
            (world.rita_member, 1),
            (world.dana_member, 0),
            (world.charlie_member, 0),
        ]:
            found = await load_waiting_items(session, member)
            assert (len(found.page.items), found.page.total) == (count, count)
            ids = [approval.id, in_garden.id]
            listed = await approvals.list_undecided_approvals(session, member, approval_ids=ids)
            assert len(listed) == count
        found = await load_waiting_items(
            session, world.alice_member, listed=WaitingFilter([world.board.id])
        )
        [detail] = list_approvals(found)
        assert detail.approval.id == approval.id
        assert (detail.board.name, detail.requester_name) == ("Launch", "Worker")
        found = await load_waiting_items(
            session, world.bob_member, listed=WaitingFilter([world.garden.id])
        )
        assert found.page.items == []

    async def test_decision_moves_approval_to_the_decided_list(self, session, world) -> None:
        approval = await add_approval(session, world)
        old = await add_approval(
            session, world, status=REJECTED, resolved_at=now() - timedelta(days=3)
        )
        await decide_approval(session, world.bob, approval)
        found = await load_waiting_items(session, world.alice_member)
        assert found.page.items == []
        [today] = found.decided_approvals
        assert (today.approval.id, today.decider_name) == (approval.id, "Bob")
        page = await approvals.list_decided_approvals(session, world.alice_member, Paging())
        assert [item.approval for item in page.items] == [approval, old]
        assert (
            await approvals.list_decided_approvals(session, world.charlie_member, Paging())
        ).items == []

    async def test_what_waits_is_read_with_one_statement(self, session, world) -> None:
        waiting, decided = [await add_approval(session, world) for _ in range(2)]
        await decide_approval(session, world.bob, decided)
        await session.flush()
        with count_statements(await session.connection()) as statements:
            found = await load_waiting_items(session, world.alice_member)
        assert len(statements) == 1
        assert [one.approval.id for one in list_approvals(found)] == [waiting.id]
        assert [one.approval.id for one in found.decided_approvals] == [decided.id]

    async def test_approval_is_found_by_readers_of_its_board(self, session, world) -> None:
        approval = await add_approval(session, world)
        assert (
            await approvals.get_member_approval(session, world.rita_member, approval.id)
        ).approval is approval
        with pytest.raises(NotFound):
            await approvals.get_member_approval(session, world.charlie_member, approval.id)
        with pytest.raises(Forbidden):
            await approvals.get_member_approval(session, world.dana_member, approval.id)

    async def test_pending_approvals_are_counted_for_board_and_tasks(self, session, world):
        task, other = world.make_task("A"), world.make_task("B")
        await add_approval(session, world, task, status=REJECTED)
        await add_approval(session, world, task)
        await add_approval(session, world)
        session.add(other)
        await session.flush()
        counts = await approvals.count_approvals(session, world.board, [task.id, other.id])
        assert counts.pending == 2
        assert counts.by_task == {task.id: (2, 1), other.id: (0, 0)}


async def test_a_task_that_is_done_needs_no_approval_to_complete_it(session, world) -> None:
    done, begun = world.make_task("Done", status=Status.DONE), world.make_task("Begun")
    session.add_all([done, begun])
    await session.flush()
    for actor in (world.worker, world.alice):
        for kind in ("task.complete", "Mark-Done"):
            with pytest.raises(Conflict) as refused:
                await request_approval(
                    session, actor, world, action_type=kind, task_ids=[begun.id, done.id]
                )
            assert refused.value.code == "task_is_done"
            assert refused.value.details["task_ids"] == [str(done.id)]
    assert await list_recorded_events(session) == []
    await request_approval(session, world.worker, world, action_type="deploy", task_id=done.id)


async def test_a_repeated_request_is_found_after_its_task_was_done(session, world) -> None:
    task = world.make_task("Begun")
    session.add(task)
    await session.flush()
    given = {"action_type": "task.complete", "task_id": task.id}
    approval = (await request_approval(session, world.worker, world, **given)).approval
    task.status = Status.DONE
    repeated = await request_approval(session, world.worker, world, **given)
    assert (repeated.approval.id, repeated.approval.request_count) == (approval.id, 2)
