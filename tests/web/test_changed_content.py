"""Approvals whose tasks have changed: what was reviewed is shown beside what there is now."""

import re

from models import PolicyEffect, PolicyVerdict, Task
from tests.support.approval_pages import HTMX, approving, ask

__all__ = ["ask"]

CHANGE = (
    r'<dt[^>]*>(\w+)</dt><dd[^>]*><span class="dim">(\w+): </span>(.*?)<br>'
    r".*?Now: </span>(.*?)</dd>"
)


def list_changes(page: str) -> list[tuple[str, ...]]:
    """Return the changes that a page shows: field, what the old value is, old and current value."""
    found = re.findall(CHANGE, page, re.DOTALL)
    return [tuple(re.sub(r"<[^>]*>", "", text) for text in row) for row in found]


async def change_task(transaction, approval, **changes) -> None:
    async with transaction() as session:
        task = await session.get_one(Task, approval.task_id)
        for name, value in changes.items():
            setattr(task, name, value)


async def test_requested_and_current_values_are_shown(alice, ask, transaction, world) -> None:
    approval = await ask("First")
    task_page = f"/boards/{approval.board_id}/tasks/{approval.task_id}"
    assert list_changes((await alice.get(task_page)).text) == []
    async with transaction() as session:
        session.add_all(world.make_custom_field(default_value="L"))
    await change_task(transaction, approval, title="<b>Other</b>", description="All of it")
    for address in (f"/approvals/{approval.id}", task_page):
        page = (await alice.get(address)).text
        assert "Changed since the request" in page
        assert list_changes(page) == [
            ("Title", "Requested", "First", "&lt;b&gt;Other&lt;/b&gt;"),
            ("Description", "Requested", "empty", "All of it"),
            ("Size", "Requested", "empty", "L"),
        ]


async def test_after_a_rejection_the_requested_values_are_shown(alice, ask, transaction) -> None:
    approval = await ask("First")
    await change_task(transaction, approval, description="Kept")
    await alice.post(f"/approvals/{approval.id}/answers", data={"status": "rejected"})
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert list_changes(page) == [("Description", "Requested", "empty", "Kept")]


async def test_after_an_approval_the_approved_values_are_shown(alice, ask, transaction) -> None:
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Careful")
    for fields in ({}, {"policy_verdict": two}):
        approval = await ask("First", **fields)
        at = f"/approvals/{approval.id}"
        await alice.post(f"{at}/answers", data=approving(approval), headers=HTMX)
        assert list_changes((await alice.get(at)).text) == []
        await change_task(transaction, approval, title="Second")
        page = (await alice.get(at)).text
        assert "Changed since the approval" in page
        assert list_changes(page) == [("Title", "Approved", "First", "Second")]


async def test_nothing_is_claimed_about_content_that_was_not_stored(
    alice, ask, transaction
) -> None:
    approval = await ask("First", has_stored_content=False)
    await change_task(transaction, approval, title="Second")
    page = (await alice.get(f"/approvals/{approval.id}")).text
    assert "Changed since" not in page
    assert list_changes(page) == []


async def test_a_long_requested_value_must_be_opened_before_an_approval(
    alice, ask, transaction
) -> None:
    approval = await ask("First", task_fields={"description": "x" * 10_001})
    await change_task(transaction, approval, description="Short")
    at = f"/approvals/{approval.id}"
    assert "The content of 1 task is cut." in (await alice.get(at)).text
    refused = await alice.post(f"{at}/answers", data=approving(approval), headers=HTMX)
    assert (refused.status_code, "did not show everything" in refused.text) == (422, True)
    assert "x" * 10_001 in (await alice.get(f"{at}?all=1")).text.replace("<wbr>", "")
