"""Approve and complete the tasks of an approval in one step."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.clock import now
from models import (
    Approval,
    ApprovalStatus,
    Board,
    Event,
    EventType,
    PolicyEffect,
    PolicyVerdict,
    Status,
    Task,
    TaskDependency,
)
from services import approvals, boards
from tests.support.approval_pages import HTMX, approving, ask, stored

__all__ = ["ask"]

OFFERED = 'value="completed"'


@pytest.fixture
def finalize(transaction):
    """End the undo time of an approval, and finalize it as the worker does."""

    async def finalize(approval: Approval) -> None:
        async with transaction() as session:
            row = await session.get_one(Approval, approval.id)
            row.finalizes_at = now() - timedelta(seconds=1)
            await session.flush()
            await approvals.finalize_due_approvals(session)

    return finalize


@pytest.fixture
async def gated_board(transaction, world) -> None:
    """Require an approval before a task of the board is done."""
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_approval_for_done = True


@pytest.fixture
def task_of(transaction):
    async def task_of(approval: Approval) -> Task:
        async with transaction() as session:
            return await session.get_one(Task, approval.task_id)

    return task_of


async def decide(client, approval: Approval, **data: str):
    path = f"/approvals/{approval.id}/answers"
    return await client.post(
        path, data=approving(approval) | {"status": "completed"} | data, headers=HTMX
    )


@pytest.mark.usefixtures("gated_board")
async def test_the_task_is_completed_when_the_approval_is_final(
    bob, ask, finalize, task_of, transaction, world
) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    assert OFFERED in (await bob.get(f"/approvals/{approval.id}")).text

    assert (await decide(bob, approval)).status_code == 200
    assert (await task_of(approval)).status is Status.INBOX
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "then the task is moved to Done." in page

    await finalize(approval)
    assert (await task_of(approval)).status is Status.DONE
    assert (
        "It was used to move the task to Done." in (await bob.get(f"/approvals/{approval.id}")).text
    )
    async with transaction() as session:
        found = (await session.scalars(select(Event).order_by(Event.seq))).all()
    approved, moved = [one for one in found if one.type is not EventType.MESSAGE_QUEUED][-2:]
    assert approved.type is EventType.APPROVAL_APPROVED
    assert moved.type is EventType.TASK_STATUS_CHANGED
    assert moved.user_id == world.bob.id
    assert moved.data["approval_id"] == str(approval.id)


async def test_a_plain_approval_does_not_move_the_task(bob, ask, finalize, task_of) -> None:
    approval = await ask("First")
    await decide(bob, approval, status="approved")
    await finalize(approval)
    assert (await task_of(approval)).status is Status.INBOX


async def test_an_undone_decision_does_not_move_the_task(
    bob, ask, finalize, task_of, transaction
) -> None:
    approval = await ask("First")
    await decide(bob, approval)
    await bob.post(f"/approvals/{approval.id}/undoings", headers=HTMX)
    await decide(bob, approval, status="approved")
    await finalize(approval)
    assert (await task_of(approval)).status is Status.INBOX
    assert not (await stored(transaction, approval)).moves_tasks_to_done


@pytest.mark.parametrize("is_gated", [True, False])
async def test_a_task_that_changes_before_the_approval_is_final_is_not_moved(
    bob, ask, finalize, task_of, transaction, world, is_gated
) -> None:
    approval = await ask("First")
    await decide(bob, approval)
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_approval_for_done = is_gated
        (await session.get_one(Task, approval.task_id)).title = "Something else"
    await finalize(approval)

    row = await stored(transaction, approval)
    assert (row.status, row.completion_error) == (ApprovalStatus.APPROVED, "task_changed")
    assert (await task_of(approval)).status is Status.INBOX
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "The task was not moved to Done: The task was changed after the approval." in page


async def test_a_rule_that_stops_the_task_is_named(
    bob, ask, finalize, task_of, transaction, world
) -> None:
    approval = await ask("First")
    await decide(bob, approval)
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_review_before_done = True
    await finalize(approval)

    row = await stored(transaction, approval)
    assert (row.status, row.completion_error) == (ApprovalStatus.APPROVED, "review_required")
    assert (await task_of(approval)).status is Status.INBOX
    page = (await bob.get(f"/approvals/{approval.id}")).text
    assert "The task was not moved to Done: " in page


async def test_it_is_offered_only_where_it_can_work(bob, ask, transaction, world) -> None:
    for_two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two")
    others = [
        await ask("For two", policy_verdict=for_two),
        await ask("Other kind", action_type="deploy"),
        await ask("Done already", task_fields={"status": Status.DONE}),
        blocked := await ask("Blocked"),
    ]
    async with transaction() as session:
        blocker = world.make_task("Blocker")
        session.add(blocker)
        await session.flush()
        session.add(
            TaskDependency(
                board_id=world.board.id,
                task_id=blocked.task_id,
                depends_on_task_id=blocker.id,
                created_at=now(),
            )
        )
    for approval in others:
        assert OFFERED not in (await bob.get(f"/approvals/{approval.id}")).text

    reviewed = await ask("Reviewed", task_fields={"status": Status.REVIEW})
    started = await ask("Started", task_fields={"status": Status.IN_PROGRESS})
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_review_before_done = True
    assert OFFERED in (await bob.get(f"/approvals/{reviewed.id}")).text
    assert OFFERED not in (await bob.get(f"/approvals/{started.id}")).text


@pytest.mark.usefixtures("gated_board")
@pytest.mark.parametrize("in_bulk", [False, True])
async def test_a_repeated_final_decision_completes_the_task(
    bob, ask, task_of, transaction, world, in_bulk
) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    await decide(bob, approval)
    status = ApprovalStatus.APPROVED
    async with transaction() as session:
        if in_bulk:
            await approvals.decide_many_with_undo(
                session, world.bob, [approval.id], status=status, undo_seconds=0
            )
        else:
            board = await boards.lock_board(session, world.bob, world.board.id)
            await approvals.decide_immediately(session, world.bob, board, approval.id, status)
    assert (await stored(transaction, approval)).status is status
    assert (await task_of(approval)).status is Status.DONE


async def test_members_who_only_read_are_refused(rita, charlie, ask, transaction) -> None:
    approval = await ask("First")
    assert OFFERED not in (await rita.get(f"/approvals/{approval.id}")).text
    assert (await decide(rita, approval)).status_code == 403
    assert (await decide(charlie, approval)).status_code == 404
    assert (await stored(transaction, approval)).decided_status is None


async def test_an_unknown_decision_is_refused(bob, ask, transaction) -> None:
    approval = await ask("First")
    assert (await decide(bob, approval, status="finished")).status_code == 422
    assert (await stored(transaction, approval)).decided_status is None


def list_buttons(page: str) -> list[str]:
    """Return the texts of the buttons that approve something, without their keys."""
    found = re.findall(r'name="status" value="(?:approved|completed)"[^>]*>(.*?)</button>', page)
    texts = [re.sub(r"<(svg|kbd).*?</\1>|<[^>]*>", "", one).strip() for one in found]
    return sorted({text for text in texts if "Approve" in text})


async def test_buttons_say_who_moves_the_task(bob, ask, world) -> None:
    by_agent = await ask("First", agent_id=world.worker.id)
    by_user = await ask("Second", requested_by_user_id=world.alice.id)
    of_other_kind = await ask("Third", agent_id=world.worker.id, action_type="deploy")
    done = await ask("Fourth", agent_id=world.worker.id, task_fields={"status": Status.DONE})
    both = "Approve and move to Done"
    for approval, expected in [
        (by_agent, ["Approve (agent moves it)", both]),
        (by_user, ["Approve (task stays open)", both]),
        (of_other_kind, ["Approve"]),
        (done, ["Approve"]),
    ]:
        task = f"/boards/{approval.board_id}/tasks/{approval.task_id}"
        for path in (task, f"/approvals/{approval.id}"):
            shown = list_buttons((await bob.get(path)).text.split("data-bulk")[-1])
            assert [one for one in shown if one in expected] == expected, path
            assert not [one for one in shown if "(" in one and one not in expected]


async def test_the_key_a_never_moves_the_task(bob, ask, world) -> None:
    approval = await ask("First", agent_id=world.worker.id)
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}"
    for path in (task, f"/approvals/{approval.id}"):
        page = (await bob.get(path)).text
        assert OFFERED in page
        keys = re.findall(r'name="status" value="(\w+)"[^>]* data-key="a"', page)
        assert keys == ["approved"]
        assert page.count('data-key="a"') == 1


async def test_a_selection_says_how_many_tasks_agents_move(bob, ask, world) -> None:
    by_agent = await ask("First", agent_id=world.worker.id, confidence=60)
    await ask("Second", requested_by_user_id=world.alice.id)
    await ask("Third", agent_id=world.worker.id, action_type="deploy")
    two_people = PolicyVerdict(effect=PolicyEffect.ASK_TWO)
    await ask("Fourth", agent_id=world.worker.id, policy_verdict=two_people)
    is_done = {"status": Status.DONE}
    await ask("Fifth", agent_id=world.worker.id, confidence=60, task_fields=is_done)
    page = (await bob.get("/approvals")).text
    assert re.findall(r'data-completes="([^"]*)"', page) == [str(by_agent.task_id)]

    selected = re.findall(r'name="shown" value="([^"]+)"[^>]* data-pick', page)
    assert len(selected) == 5
    sent = {"shown": selected, "status": "approved"}
    asked = (await bob.post("/approvals/answers", data=sent, headers=HTMX)).text
    assert "Agents then move 1 task to Done." in asked
