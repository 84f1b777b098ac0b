"""The decision form sends what the page has shown, and says whether the tasks are completed."""

import re

import pytest

from core.clock import now
from models import (
    ApprovalStatus,
    Board,
    Task,
    TaskDependency,
)
from services import approvals
from tests.support.approval_pages import HTMX, approving, ask, stored
from tests.support.statement_counter import count_statements
from tests.web.test_approval_content import data_part
from web.approvals import presenter

__all__ = ["ask"]


def find_hash(page: str) -> str:
    found = re.search(r'name="action_hash" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


async def change_task(transaction, approval, **changes) -> None:
    async with transaction() as session:
        task = await session.get_one(Task, approval.task_id)
        for name, value in changes.items():
            setattr(task, name, value)


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_content_that_changed_since_it_was_shown_is_not_approved(
    alice, ask, transaction, headers
) -> None:
    first = await ask("First")
    shown = find_hash((await alice.get(f"/approvals/{first.id}")).text)
    await change_task(transaction, first, description="Delete everything")

    sent = {"status": "approved", "action_hash": shown, "note": "Kept"}
    late = await alice.post(f"/approvals/{first.id}/answers", data=sent, headers=headers)

    assert late.status_code == 409
    assert "Read it again, then decide." in late.text
    assert "Delete everything" in late.text
    assert 'value="Kept"' in late.text
    assert (await stored(transaction, first)).decided_status is None
    again = find_hash(late.text)
    assert again != shown
    await alice.post(f"/approvals/{first.id}/answers", data=sent | {"action_hash": again})
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.APPROVED


async def test_changed_content_can_be_rejected(alice, ask, transaction) -> None:
    first = await ask("First")
    shown = find_hash((await alice.get(f"/approvals/{first.id}")).text)
    await change_task(transaction, first, title="Another")
    sent = {"status": "rejected", "action_hash": shown}
    assert (await alice.post(f"/approvals/{first.id}/answers", data=sent)).status_code == 303
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.REJECTED


@pytest.mark.parametrize(
    ("kind", "required", "offered"),
    [("deploy.app", True, True), ("deploy.app", False, False), ("task.complete", True, False)],
)
async def test_a_user_can_say_that_an_approval_completes_its_task(
    alice, ask, transaction, world, kind, required, offered
) -> None:
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        board.require_approval_for_done = required
    first = await ask("First", action_type=kind)
    for address in (
        f"/approvals/{first.id}",
        f"/boards/{first.board_id}/tasks/{first.task_id}",
    ):
        page = (await alice.get(address)).text
        assert ("Also allow moving the task to Done" in page) is offered
    if not offered:
        return
    sent = {"status": "approved", "action_hash": find_hash(page), "completes_tasks": "true"}
    await alice.post(f"/approvals/{first.id}/answers", data=sent)
    assert (await stored(transaction, first)).completes_tasks is True


async def test_without_the_checkbox_another_kind_does_not_complete_the_task(
    alice, ask, transaction
) -> None:
    first = await ask("First", action_type="deploy.app")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first))
    assert not (await stored(transaction, first)).completes_tasks


async def test_every_page_that_decides_shows_the_task_and_what_it_unblocks(
    alice, ask, transaction, world
) -> None:
    first = await ask("First", agent_id=world.worker.id, payload={"title": "Trust me"})
    others = [world.make_task(f"Waiting {n}") for n in range(7)]
    async with transaction() as session:
        session.add_all(others)
        await session.flush()
        for other in others:
            edge = TaskDependency(task_id=other.id, depends_on_task_id=first.task_id)
            edge.board_id, edge.created_at = world.board.id, now()
            session.add(edge)
    await change_task(transaction, first, description="Line one of the task")
    for address in ("/approvals", f"/approvals/{first.id}"):
        part = data_part((await alice.get(address)).text)
        assert "Line one of the task" in part
        assert all(f"Waiting {n}" in part for n in range(7))
        assert "Complete the task “First”?" in part
        assert "of Worker (unverified)" in part
        assert "<strong>Trust me</strong>" in part
    page = (await alice.get(f"/boards/{first.board_id}/tasks/{first.task_id}")).text
    asked = page.partition('class="ask"')[2].partition('class="ask__act"')[0]
    assert all(f"Waiting {n}" in asked for n in range(7))


async def test_the_contents_of_all_approvals_are_loaded_together(ask, transaction, world) -> None:
    ids, member = [(await ask(f"Task {n}")).id for n in range(3)], world.alice_member
    async with transaction() as session:
        connection = await session.connection()
        with count_statements(connection) as listing:
            details = await approvals.list_undecided_approvals(session, member, approval_ids=ids)
        with count_statements(connection) as one:
            await presenter.load_approval_views(session, member, details[:1], set())
        with count_statements(connection) as three:
            views = await presenter.load_approval_views(session, member, details, set())
        with count_statements(connection) as checking:
            assert await presenter.find_unopened(session, member, ids) == {}
    assert len({view.action_hash for view in views}) == 3
    assert len(three) == len(one)
    assert len(checking) == len(listing) + len(three)


async def test_a_decided_approval_cannot_be_reopened_on_a_page(alice, ask, world) -> None:
    over = await ask("First", status=ApprovalStatus.APPROVED, decided_by_user_id=world.bob.id)
    page = (await alice.get(f"/approvals/{over.id}")).text
    assert "<b>Bob approved</b>" in page
    assert "Reopen" not in page
