"""Pages say why an approval counts no longer: its person may not decide any more."""

import html
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from core.clock import now
from models import (
    Approval,
    ApprovalStatus,
    BoardAccess,
    Member,
    PolicyEffect,
    PolicyVerdict,
    Task,
)
from services import approvals, identity
from tests.support.approval_pages import HTMX, approving, ask, checkbox, stored

__all__ = ["ask"]

TWO = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people")
BOBS_FIRST = "The first approval by Bob no longer counts, because Bob may no longer decide here."
BOBS = "The approval by Bob no longer counts, because Bob may no longer decide here."
NOW_FIRST = "Your approval is now the first of two: Complete the task “First”?"
ONE_MORE = "One more person must approve it."


async def approve(client, approval, **fields):
    path = f"/approvals/{approval.id}/answers"
    return await client.post(path, data=approving(approval) | fields, headers=HTMX)


async def remove(transaction, member) -> None:
    async with transaction() as session:
        await session.execute(delete(Member).where(Member.id == member.id))


async def read_pages(client, approval) -> list[str]:
    """Return the page of an approval and that of its task."""
    task = f"/boards/{approval.board_id}/tasks/{approval.task_id}"
    pages = [(await client.get(at)).text for at in (f"/approvals/{approval.id}", task)]
    return [html.unescape(page) for page in pages]


async def finalize(transaction, approval) -> None:
    async with transaction() as session:
        due = update(Approval).where(Approval.id == approval.id)
        await session.execute(due.values(finalizes_at=now() - timedelta(seconds=1)))
    async with transaction() as session:
        await approvals.finalize_due_approvals(session)


@pytest.mark.parametrize("in_bulk", [True, False])
async def test_a_page_says_why_the_first_approval_counts_no_longer(
    alice, bob, ask, transaction, world, in_bulk
) -> None:
    approval = await ask("First", policy_verdict=TWO)
    await approve(bob, approval)
    for page in await read_pages(alice, approval):
        assert ONE_MORE in page
        assert BOBS_FIRST not in page
    await remove(transaction, world.bob_member)
    for page in await read_pages(alice, approval):
        assert BOBS_FIRST in page
        assert ONE_MORE not in page

    if in_bulk:
        sent = {"shown": checkbox(approval), "status": "approved"}
        answer = await alice.post("/approvals/answers", data=sent, headers=HTMX)
        assert "You approved 1, and one more person must approve it." in answer.text
    else:
        answer = await approve(alice, approval)
        assert NOW_FIRST in html.unescape(answer.text)
    assert BOBS in answer.text.split("data-toast")[1]
    kept = await stored(transaction, approval)
    assert (kept.first_approver_id, kept.decided_status) == (world.alice.id, None)
    for page in await read_pages(alice, approval):
        assert BOBS in page
        assert "<b>You</b> approved" in page
        assert ONE_MORE in page


async def test_without_scripts_the_next_page_says_why(alice, bob, ask, transaction, world) -> None:
    approval = await ask("First", policy_verdict=TWO)
    await approve(bob, approval)
    await remove(transaction, world.bob_member)
    path = f"/approvals/{approval.id}/answers"
    answered = await alice.post(path, data=approving(approval))
    page = html.unescape((await alice.get(answered.headers["Location"])).text)
    assert f"{BOBS} {NOW_FIRST}" in page


async def test_the_last_step_is_not_offered_to_who_becomes_the_first(
    alice, bob, ask, transaction, world
) -> None:
    approval = await ask("First", policy_verdict=TWO)
    await approve(bob, approval)
    assert 'value="completed"' in (await alice.get(f"/approvals/{approval.id}")).text
    await remove(transaction, world.bob_member)
    assert 'value="completed"' not in (await alice.get(f"/approvals/{approval.id}")).text
    await approve(alice, approval, status="completed")
    assert (await stored(transaction, approval)).decided_status is None


async def test_the_last_step_is_not_offered_after_a_change(alice, bob, ask, transaction) -> None:
    """Two people have to approve what there is now."""
    approval = await ask("First", policy_verdict=TWO)
    await approve(bob, approval)
    is_last = ('value="completed"', "task stays open")
    for page in await read_pages(alice, approval):
        assert all(text in page for text in is_last)
    async with transaction() as session:
        (await session.get_one(Task, approval.task_id)).description = "Changed"
    for page in await read_pages(alice, approval):
        assert not any(text in page for text in is_last)


@pytest.mark.parametrize("status", ["approved", "rejected"])
async def test_a_page_says_why_a_decision_did_not_take_effect(
    alice, bob, ask, transaction, world, status
) -> None:
    approval = await ask("First")
    await approve(bob, approval, status=status)
    async with transaction() as session:
        reading = update(BoardAccess).where(BoardAccess.id == world.bob_access.id)
        await session.execute(reading.values(can_write=False))
    await finalize(transaction, approval)
    kind = "approval" if status == "approved" else "rejection"
    for client in (alice, bob):
        for page in await read_pages(client, approval):
            assert BOBS.replace("approval", kind) in page
            assert "Bob approved" not in page
    await approve(alice, approval, status=status)
    for page in await read_pages(alice, approval):
        assert "by Bob no longer counts" not in page
    await finalize(transaction, approval)
    assert (await stored(transaction, approval)).status is ApprovalStatus(status)


async def test_a_person_whose_account_was_deleted_is_not_named(
    alice, bob, ask, transaction, world
) -> None:
    first, alone = await ask("First", policy_verdict=TWO), await ask("Alone")
    await approve(bob, first)
    await approve(bob, alone)
    async with transaction() as session:
        await identity.delete_account(session, world.bob)
    await finalize(transaction, alone)
    for page in await read_pages(alice, first):
        assert "The first approval no longer counts, because that account was deleted." in page
    for page in await read_pages(alice, alone):
        assert "An approval no longer counts, because that account was deleted." in page


async def test_the_history_of_a_task_names_a_lapsed_decision(
    alice, bob, ask, transaction, world
) -> None:
    approval = await ask("First")
    await approve(bob, approval)
    await remove(transaction, world.bob_member)
    await finalize(transaction, approval)
    words = "A decision no longer counts, because its person may no longer decide"
    assert words in (await read_pages(alice, approval))[1]
    assert words in (await alice.get("/activity")).text
