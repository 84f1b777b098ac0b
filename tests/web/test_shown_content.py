"""A page approves only what it has shown: each form sends the hash of it."""

import html
import re

import pytest

from models import ApprovalStatus, PolicyEffect, PolicyVerdict, Task
from tests.support.approval_pages import HTMX, ask, checkbox, stored

__all__ = ["ask"]

TWO_PEOPLE = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Two people")
SHOWN, EDITED = "Pay 10 EUR to ACME", "Pay 99999 EUR to EVE"
REQUIRED = "This form does not say what it showed."
CHANGED = "The content of this request has changed. Read it again, then decide."
UNSEEN = (
    "The list does not show all of it, or the content may have changed after the request. Open the"
    " request and read it, then approve."
)


def read_fields(form: str) -> dict[str, list[str]]:
    """Return the hidden fields and the checkboxes of forms, without the ids of the forms."""
    fields: dict[str, list[str]] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = re.search(r'name="(\w+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and value and ('type="hidden"' in tag or "data-pick" in tag):
            fields.setdefault(name[1], []).append(html.unescape(value[1]))
    fields.pop("form_id", None)
    return fields


async def read_decision_form(client, approval) -> dict[str, list[str]]:
    page = (await client.get(f"/approvals/{approval.id}")).text
    return read_fields(page.partition('class="decide__note"')[2].partition("</form>")[0])


async def read_bulk_form(client) -> dict[str, list[str]]:
    """Return what the form of the list sends if all approvals are selected."""
    page = (await client.get("/approvals")).text
    return read_fields(page.partition('aria-label="Needs you"')[2].partition("</section>")[0])


async def edit(client, approval, **changes) -> None:
    path = f"/boards/{approval.board_id}/tasks/{approval.task_id}/changes"
    assert (await client.post(path, data=changes)).status_code < 400


async def approve(client, approval, form=None, **fields):
    """Approve with the form of a page, by default of the current one."""
    sent = form or await read_decision_form(client, approval)
    path = f"/approvals/{approval.id}/answers"
    return await client.post(path, data=sent | {"status": "approved"} | fields, headers=HTMX)


async def approve_selected(client, form, **fields):
    sent = form | {"status": "approved"} | fields
    return await client.post("/approvals/answers", data=sent, headers=HTMX)


@pytest.mark.parametrize("in_bulk", [True, False])
async def test_an_edit_by_the_first_person_is_not_approved_unseen(
    alice, bob, ask, transaction, in_bulk
) -> None:
    approval = await ask("Pay", policy_verdict=TWO_PEOPLE, task_fields={"description": SHOWN})
    bulk, single = await read_bulk_form(alice), await read_decision_form(alice, approval)
    await edit(bob, approval, description=EDITED)
    assert (await approve(bob, approval)).status_code == 200

    if in_bulk:
        refused = await approve_selected(alice, bulk)
    else:
        refused = await approve(alice, approval, single)
        assert refused.status_code == 409
    assert CHANGED in html.unescape(refused.text)
    assert EDITED in refused.text
    kept = await stored(transaction, approval)
    assert (kept.decided_status, kept.status) == (None, ApprovalStatus.PENDING)
    assert (await approve(alice, approval)).status_code == 200
    assert (await stored(transaction, approval)).decided_status is ApprovalStatus.APPROVED


@pytest.mark.parametrize("in_bulk", [True, False])
async def test_a_form_from_before_an_undone_approval_approves_nothing(
    alice, ask, transaction, in_bulk
) -> None:
    approval = await ask("Pay", task_fields={"description": SHOWN})
    bulk, single = await read_bulk_form(alice), await read_decision_form(alice, approval)
    await edit(alice, approval, description=EDITED)
    await approve(alice, approval)
    await alice.post(f"/approvals/{approval.id}/undoings", headers=HTMX)

    refused = await (approve_selected(alice, bulk) if in_bulk else approve(alice, approval, single))
    assert CHANGED in html.unescape(refused.text)
    assert (await stored(transaction, approval)).decided_status is None


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("action_hash", [None, "", " "])
async def test_a_form_without_the_hash_approves_nothing(
    alice, ask, transaction, headers, action_hash
) -> None:
    approval = await ask("First")
    fields = {} if action_hash is None else {"action_hash": action_hash}
    for status in ("approved", "completed"):
        sent = fields | {"status": status, "note": "Kept"}
        path = f"/approvals/{approval.id}/answers"
        refused = await alice.post(path, data=sent, headers=headers)
        assert refused.status_code == 422
        assert REQUIRED in refused.text
        assert 'value="Kept"' in refused.text
    assert (await stored(transaction, approval)).decided_status is None


async def test_a_form_of_a_task_needs_the_hash_too(alice, ask, transaction) -> None:
    approval = await ask("First")
    headers = HTMX | {"HX-Target": f"section#ask-{approval.id}"}
    path = f"/approvals/{approval.id}/answers"
    refused = await alice.post(path, data={"status": "approved"}, headers=headers)
    assert (refused.status_code, REQUIRED in refused.text) == (422, True)
    task = (await alice.get(f"/boards/{approval.board_id}/tasks/{approval.task_id}")).text
    form = read_fields(task.partition('class="ask__act"')[2].partition("</form>")[0])
    decided = await alice.post(path, data=form | {"status": "approved"}, headers=headers)
    assert decided.status_code == 200
    assert (await stored(transaction, approval)).decided_status is ApprovalStatus.APPROVED


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_a_selection_with_one_missing_hash_approves_nothing(
    alice, ask, transaction, headers
) -> None:
    first, second = await ask("First"), await ask("Second")
    sent = {"shown": [checkbox(first), str(second.id)], "status": "approved"}
    refused = await alice.post("/approvals/answers", data=sent, headers=headers)
    assert (refused.status_code, REQUIRED in refused.text) == (422, True)
    for one in (first, second):
        assert (await stored(transaction, one)).decided_status is None


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_a_selection_of_a_form_without_hashes_can_only_be_rejected(
    alice, ask, transaction, headers
) -> None:
    first = await ask("First")
    sent = {"ids": str(first.id), "status": "approved"}
    for sure in ({}, {"sure": "on"}):
        refused = await alice.post("/approvals/answers", data=sent | sure, headers=headers)
        assert (refused.status_code, REQUIRED in refused.text) == (422, True)
    assert (await stored(transaction, first)).decided_status is None
    rejected = await alice.post(
        "/approvals/answers", data=sent | {"status": "rejected"}, headers=headers
    )
    assert rejected.status_code in (200, 303)
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.REJECTED


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize("status", ["approved", "rejected"])
async def test_a_decision_about_nothing_asks_for_a_selection(alice, ask, headers, status) -> None:
    await ask("First")
    refused = await alice.post("/approvals/answers", data={"status": status}, headers=headers)
    assert refused.status_code == 422
    assert "Select at least one request, then decide." in refused.text


async def test_a_rejection_needs_no_hash(alice, ask, transaction) -> None:
    first, second = await ask("First"), await ask("Second")
    await alice.post(f"/approvals/{first.id}/answers", data={"status": "rejected"})
    await alice.post("/approvals/answers", data={"shown": str(second.id), "status": "rejected"})
    for one in (first, second):
        assert (await stored(transaction, one)).decided_status is ApprovalStatus.REJECTED


async def test_each_checkbox_has_the_hash_of_its_own_approval(alice, ask, transaction) -> None:
    first, second = await ask("First"), await ask("Second")
    shown = dict(one.split(":") for one in (await read_bulk_form(alice))["shown"])
    assert set(shown) == {str(first.id), str(second.id)}
    swapped = [f"{first.id}:{shown[str(second.id)]}", f"{second.id}:{shown[str(second.id)]}"]
    partly = await approve_selected(alice, {"shown": swapped})
    assert "1 of 2 approved." in partly.text
    assert (await stored(transaction, first)).decided_status is None
    assert (await stored(transaction, second)).decided_status is ApprovalStatus.APPROVED


@pytest.mark.parametrize("value", ["x", "x:y", ":", ""])
async def test_a_malformed_selection_is_rejected(alice, ask, transaction, value) -> None:
    first = await ask("First")
    sent = {"shown": value, "status": "approved"}
    refused = await alice.post("/approvals/answers", data=sent, headers=HTMX)
    assert refused.status_code == 422
    assert (await stored(transaction, first)).decided_status is None


async def test_one_approval_selected_with_two_hashes_is_rejected(alice, ask, transaction) -> None:
    first = await ask("First")
    [value] = (await read_bulk_form(alice))["shown"]
    twice = await approve_selected(alice, {"shown": [value, f"{first.id}:{'0' * 64}"]})
    assert twice.status_code == 422
    assert (await stored(transaction, first)).decided_status is None
    assert (await approve_selected(alice, {"shown": [value, value]})).status_code == 200
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.APPROVED


async def test_the_list_does_not_approve_a_change_that_it_does_not_show(
    alice, bob, ask, transaction
) -> None:
    """Only the title of a task is in the list, so changed content has to be opened."""
    changed = await ask("Changed", task_fields={"description": SHOWN})
    bound = await ask("Bound", policy_verdict=TWO_PEOPLE, task_fields={"description": SHOWN})
    same = await ask("Same", task_fields={"description": SHOWN})
    for one in (changed, bound):
        await edit(bob, one, description=EDITED)
    await approve(bob, bound)

    page = (await alice.get("/approvals")).text
    assert page.count("Changed since the request</span>") >= 2
    partly = await approve_selected(alice, await read_bulk_form(alice))
    assert "1 of 3 approved." in partly.text
    for text in (CHANGED, UNSEEN):
        assert text in html.unescape(partly.text)
    for one in (changed, bound):
        assert (await stored(transaction, one)).decided_status is None
        assert (await approve(alice, one)).status_code == 200
    for one in (changed, bound, same):
        assert (await stored(transaction, one)).decided_status is ApprovalStatus.APPROVED


async def test_a_page_says_that_approved_content_is_not_what_was_requested(alice, bob, ask) -> None:
    approval = await ask("Pay", policy_verdict=TWO_PEOPLE, task_fields={"description": SHOWN})
    notice = "The task was changed after the request. You see its current content."
    assert notice not in (await alice.get(f"/approvals/{approval.id}")).text
    await edit(bob, approval, description=EDITED)
    await approve(bob, approval)
    for at in (
        f"/approvals/{approval.id}",
        f"/boards/{approval.board_id}/tasks/{approval.task_id}",
    ):
        assert notice in (await alice.get(at)).text


async def test_the_confirmation_sends_the_hashes_of_the_selection(
    alice, bob, ask, transaction
) -> None:
    doubtful = await ask("Doubtful", confidence=60.0, task_fields={"description": SHOWN})
    form = await read_bulk_form(alice)
    asked = (await approve_selected(alice, form)).text
    confirmation = read_fields(asked.partition('id="confirm-name"')[2])
    assert confirmation["shown"] == form["shown"]
    await edit(bob, doubtful, description=EDITED)
    await approve_selected(alice, confirmation)
    assert (await stored(transaction, doubtful)).decided_status is None
    await edit(bob, doubtful, description=SHOWN)
    await approve_selected(alice, confirmation)
    assert (await stored(transaction, doubtful)).decided_status is ApprovalStatus.APPROVED


async def test_a_hash_of_other_letter_case_is_the_same(alice, ask, transaction) -> None:
    approval = await ask("First")
    form = await read_decision_form(alice, approval)
    [shown] = form["action_hash"]
    for _ in range(2):  # also repeated
        decided = await approve(alice, approval, form, action_hash=shown.upper())
        assert decided.status_code == 200
    assert (await stored(transaction, approval)).decided_status is ApprovalStatus.APPROVED


async def test_content_that_changes_while_a_page_loads_is_not_approved(
    alice, ask, transaction, world
) -> None:
    """The headline and the hash are read one after the other."""
    from services import approvals
    from web.approvals import presenter

    approval = await ask("Pay ACME")
    member = world.alice_member
    async with transaction() as session:
        ids = [approval.id]
        [detail] = await approvals.list_undecided_approvals(session, member, approval_ids=ids)
        (await session.get_one(Task, approval.task_id)).title = "Pay EVE"
        await session.flush()
        [view] = await presenter.load_approval_views(session, member, [detail], set())
    assert "Pay ACME" in view.question
    assert view.action_hash == ""
