"""The note of a decision that was undone is in the form again, for the same decision."""

import re
from html import unescape

import pytest

from core.clock import now
from models import Approval, ApprovalStatus, PolicyEffect, PolicyVerdict
from services import approvals
from tests.support.approval_pages import HTMX, approving, ask, stored
from tests.web.test_decision_form import change_task, find_hash

__all__ = ["ask"]


def find_note(page: str) -> str | None:
    found = re.search(r'name="note"[^>]* value="([^"]*)"', page)
    return found[1] if found else None


@pytest.mark.parametrize("effect", [PolicyEffect.ASK_ONE, PolicyEffect.ASK_TWO])
@pytest.mark.parametrize("in_series", [False, True])
async def test_the_note_of_an_undone_decision_is_in_the_form_again(
    alice, bob, ask, effect, in_series
) -> None:
    first = await ask("First", policy_verdict=PolicyVerdict(effect=effect, rule_name="Rule"))
    at = f"/approvals/{first.id}"
    assert find_note((await alice.get(at)).text) == ""
    sent = approving(first) | {"note": 'Only "A" & <b>'}
    await alice.post(f"{at}/answers", data=sent, headers=HTMX)
    undo, fields = f"{at}/undoings", {}
    if in_series:
        undo, fields = "/approvals/undoings", {"series": str(first.id)}
    from_toast = HTMX | {"HX-Target": "form"}
    assert (await alice.post(undo, data=fields, headers=from_toast)).status_code == 200

    for headers in ({}, HTMX):
        page = (await alice.get(f"/approvals?selected={first.id}", headers=headers)).text
        assert find_note(page) == "Only &#34;A&#34; &amp; &lt;b&gt;"
        # A draft from before the decision, in another browser, does not replace it.
        assert f'data-draft="note-{first.id}"' not in page
    assert find_note((await bob.get(at)).text) == ""

    await alice.post(f"{at}/answers", data={"status": "rejected"}, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)
    await bob.post(f"{at}/answers", data={"status": "rejected"}, headers=HTMX)
    await bob.post(f"{at}/undoings", headers=HTMX)
    assert find_note((await alice.get(at)).text) == "Only &#34;A&#34; &amp; &lt;b&gt;"
    assert find_note((await bob.get(at)).text) == ""


async def test_undoing_a_wrong_approval_keeps_the_note_of_the_rejection(
    alice, undone_rejection, transaction
) -> None:
    at = f"/approvals/{undone_rejection.id}"
    sent = read_fields((await alice.get(at)).text) | {"status": "approved"}
    await alice.post(f"{at}/answers", data=sent, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)
    page = (await alice.get(at)).text
    assert find_note(page) == "Too  expensive."
    assert f"{HINT} a rejection." in page


@pytest.fixture
async def first_approval(alice, ask) -> Approval:
    """An approval that Alice approved with a note, as the first of two people."""
    two = PolicyVerdict(effect=PolicyEffect.ASK_TWO, rule_name="Rule")
    asked: Approval = await ask("First", policy_verdict=two)
    sent = approving(asked) | {"note": "Looks good"}
    await alice.post(f"/approvals/{asked.id}/answers", data=sent, headers=HTMX)
    return asked


async def test_a_note_of_a_first_approval_is_not_offered_for_its_rejection(
    alice, first_approval
) -> None:
    assert find_note((await alice.get(f"/approvals/{first_approval.id}")).text) == ""


async def test_a_note_about_other_content_is_not_offered(
    alice, bob, first_approval, transaction
) -> None:
    at = f"/approvals/{first_approval.id}"
    await change_task(transaction, first_approval, description="Other")
    page = (await alice.get(at)).text
    assert 'value="approved"' in page
    assert find_note(page) == ""
    sent = {"status": "approved", "note": "Also good", "action_hash": find_hash(page)}
    await bob.post(f"{at}/answers", data=sent, headers=HTMX)
    await bob.post(f"{at}/undoings", headers=HTMX)
    assert find_note((await bob.get(at)).text) == "Also good"
    assert find_note((await alice.get(at)).text) == ""


async def test_the_note_of_a_second_rejection_that_another_undid_is_offered(
    alice, bob, first_approval
) -> None:
    at = f"/approvals/{first_approval.id}"
    sent = {"status": "rejected", "note": "Not good"}
    await bob.post(f"{at}/answers", data=sent, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)  # that of Bob
    assert find_note((await bob.get(at)).text) == "Not good"
    await alice.post(f"{at}/undoings", headers=HTMX)  # her own one
    assert find_note((await alice.get(at)).text) == "Looks good"


async def test_the_own_note_is_offered_if_both_approvals_are_undone(
    alice, bob, first_approval
) -> None:
    at = f"/approvals/{first_approval.id}"
    sent = approving(first_approval) | {"note": "Also good"}
    await bob.post(f"{at}/answers", data=sent, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)
    assert find_note((await alice.get(at)).text) == "Looks good"


HINT = "Unless you change it, it is sent only with"


def read_fields(page: str) -> dict[str, str]:
    """Return what the decision form of a page sends if the user changes nothing."""
    form = page.partition('id="answer-')[2].partition("</form>")[0]
    fields = re.findall(r'<input[^>]* name="(\w+)"[^>]* value="([^"]*)"', form)
    return {name: unescape(value) for name, value in fields if not name.startswith("form_")}


@pytest.fixture
async def undone_rejection(alice, ask) -> Approval:
    """An approval that Alice rejected with a note before she undid that."""
    asked: Approval = await ask("First")
    at = f"/approvals/{asked.id}"
    sent = {"status": "rejected", "note": "Too  expensive."}
    await alice.post(f"{at}/answers", data=sent, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)
    return asked


@pytest.mark.parametrize(
    ("decision", "changes", "stored_note"),
    [
        ("approved", {}, None),
        ("completed", {}, None),
        ("rejected", {}, "Too  expensive."),
        ("approved", {"note": "Now it is cheap."}, "Now it is cheap."),
        ("rejected", {"note": ""}, None),
        ("approved", {"note": " Too expensive.\r\n"}, None),
    ],
)
async def test_a_restored_note_goes_only_with_the_same_decision(
    alice, undone_rejection, transaction, decision, changes, stored_note
) -> None:
    at = f"/approvals/{undone_rejection.id}"
    page = (await alice.get(at)).text
    fields = read_fields(page)
    assert fields["note"] == "Too  expensive."
    assert f"{HINT} a rejection." in page
    sent = fields | changes | {"status": decision}
    assert (await alice.post(f"{at}/answers", data=sent)).status_code == 303
    assert (await stored(transaction, undone_rejection)).decision_note == stored_note


async def test_a_typed_note_is_sent_with_any_decision(alice, ask, transaction) -> None:
    first = await ask("First")
    at = f"/approvals/{first.id}"
    sent = {"status": "rejected", "note": "Same"}
    await alice.post(f"{at}/answers", data=sent, headers=HTMX)
    undone = await alice.post(f"{at}/undoings", headers=HTMX)
    assert HINT in undone.text
    await alice.post(f"{at}/answers", data=approving(first) | {"note": "Same"}, headers=HTMX)
    assert (await stored(transaction, first)).decision_note == "Same"


async def test_an_unknown_restored_decision_is_an_error_of_the_form(
    alice, undone_rejection, transaction
) -> None:
    sent = approving(undone_rejection) | {"note": "Hm", "restored_status": "maybe"}
    path = f"/approvals/{undone_rejection.id}/answers"
    assert (await alice.post(path, data=sent)).status_code == 422
    assert (await stored(transaction, undone_rejection)).decided_status is None


async def test_a_user_who_decided_again_has_no_note_to_restore(
    alice, first_approval, transaction
) -> None:
    at = f"/approvals/{first_approval.id}"
    await alice.post(f"{at}/undoings", headers=HTMX)
    await alice.post(f"{at}/answers", data=approving(first_approval), headers=HTMX)
    await change_task(transaction, first_approval, description="Other")
    page = (await alice.get(at)).text
    assert 'value="approved"' in page
    assert find_note(page) == ""


async def test_undoing_the_decision_of_another_does_not_undo_a_first_approval(
    alice, bob, first_approval, transaction
) -> None:
    at = f"/approvals/{first_approval.id}"
    await bob.post(f"{at}/answers", data={"status": "rejected", "note": "No"}, headers=HTMX)
    await alice.post(f"{at}/undoings", headers=HTMX)
    await change_task(transaction, first_approval, description="Other")
    page = (await alice.get(at)).text
    assert 'value="approved"' in page
    assert find_note(page) == ""
    assert find_note((await bob.get(at)).text) == "No"


async def test_the_note_of_an_undone_decision_is_removed_by_the_final_one_of_another(
    alice, bob, undone_rejection, transaction
) -> None:
    at = f"/approvals/{undone_rejection.id}/answers"
    await bob.post(at, data=approving(undone_rejection), headers=HTMX)
    assert (await stored(transaction, undone_rejection)).undone_note == "Too  expensive."
    async with transaction() as session:
        (await session.get_one(Approval, undone_rejection.id)).finalizes_at = now()
    async with transaction() as session:
        assert await approvals.finalize_due_approvals(session) == 1
    final = await stored(transaction, undone_rejection)
    assert (final.status, final.undone_note) == (ApprovalStatus.APPROVED, None)
    assert (final.undone_by_user_id, final.undone_status) == (None, None)
