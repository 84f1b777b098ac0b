"""Pages that decide approvals, and undo decisions."""

import re

import pytest
from sqlalchemy import select

from core.clock import now
from models import Approval, ApprovalStatus, Board, Comment, Task, new_id
from tests.support.approval_pages import HTMX, approving, ask, checkbox, selected, stored

__all__ = ["ask"]


async def test_a_decision_shows_the_next_item_and_can_be_undone(alice, ask, transaction) -> None:
    first = await ask("First")
    await ask("Second")

    answered = await alice.post(
        f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX
    )

    assert selected(answered.text) == "Second?"
    assert "Approved. Complete the task “First”?" in answered.text
    assert (await stored(transaction, first)).status is ApprovalStatus.PENDING
    toast = answered.text.split("data-toast")[1]
    assert f'action="/approvals/{first.id}/undoings"' in toast

    undone = await alice.post(f"/approvals/{first.id}/undoings", headers={"HX-Request": "true"})
    assert "Undone" in undone.text
    assert "approvals" in undone.headers["HX-Trigger"]
    assert (await stored(transaction, first)).decided_status is None


@pytest.mark.parametrize("in_series", [False, True])
async def test_an_undone_approval_is_selected_again(alice, ask, world, in_series) -> None:
    first, second = await ask("First"), await ask("Second")
    board = f"board={world.board.id}"
    for page, pushed in [
        (f"/approvals?{board}", None),
        (f"/approvals/{second.id}?{board}", f"/approvals/{first.id}?{board}"),
    ]:
        sent = approving(first)
        await alice.post(f"/approvals/{first.id}/answers", data=sent, headers=HTMX)
        path, fields = f"/approvals/{first.id}/undoings", {}
        if in_series:
            path, fields = "/approvals/undoings", {"series": str(first.id)}
        headers = {"HX-Request": "true", "HX-Current-URL": f"http://mission.test{page}"}
        undone = await alice.post(path, data=fields, headers=headers)
        assert selected(undone.text) == "First?"
        assert undone.headers["HX-Retarget"] == "#inbox"
        assert undone.headers.get("HX-Replace-Url") == pushed


@pytest.mark.parametrize("page", ["/dashboard", "/approvals/{id}/why", "", "//[", "/approvals/x"])
async def test_an_undo_on_another_page_shows_only_a_toast(alice, ask, page) -> None:
    first = await ask("First")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX)
    headers = {"HX-Request": "true", "HX-Current-URL": page.format(id=first.id)}
    undone = await alice.post(f"/approvals/{first.id}/undoings", headers=headers)
    assert undone.status_code == 200
    assert "HX-Retarget" not in undone.headers
    assert 'id="inbox"' not in undone.text


async def test_on_a_phone_the_address_follows_the_next_item(alice, ask, world) -> None:
    first, second = await ask("First"), await ask("Second")
    headers = HTMX | {"HX-Current-URL": f"http://mission.test/approvals/{first.id}"}

    query = f"?board={world.board.id}"
    answered = await alice.post(
        f"/approvals/{first.id}/answers{query}", data={"status": "rejected"}, headers=headers
    )
    assert answered.headers["HX-Replace-Url"] == f"/approvals/{second.id}{query}"
    last = await alice.post(
        f"/approvals/{second.id}/answers", data={"status": "rejected"}, headers=headers
    )
    assert last.headers["HX-Replace-Url"] == "/approvals"
    assert 'data-view="list"' in last.text


async def test_without_htmx_a_decision_redirects_to_the_next_item_with_undo(alice, ask) -> None:
    first, second = await ask("First"), await ask("Second")

    answered = await alice.post(f"/approvals/{first.id}/answers", data=approving(first))

    where = answered.headers["Location"]
    assert where == f"/approvals/{second.id}?answered={first.id}"
    page = (await alice.get(where)).text
    assert selected(page) == "Second?"
    assert f'action="/approvals/{first.id}/undoings"' in page


async def test_a_note_is_stored_and_an_invalid_one_is_shown_again(alice, ask, transaction) -> None:
    first = await ask("First")
    answers = f"/approvals/{first.id}/answers"

    refused = await alice.post(
        answers, data=approving(first) | {"note": "Kept. " + "x" * 10_001}, headers=HTMX
    )
    assert refused.status_code == 422
    assert "Kept. xxx" in refused.text
    assert (await stored(transaction, first)).decided_status is None
    await alice.post(answers, data=approving(first) | {"note": "Well done"}, headers=HTMX)
    assert (await stored(transaction, first)).decision_note == "Well done"


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_the_second_decision_shows_who_decided_first(alice, bob, ask, headers) -> None:
    first = await ask("First")
    await bob.post(f"/approvals/{first.id}/answers", data={"status": "rejected"})

    late = await alice.post(
        f"/approvals/{first.id}/answers", data=approving(first), headers=headers
    )

    assert late.status_code == 409
    assert selected(late.text) == "First?"
    assert "Bob has rejected this already. Your decision was not saved." in late.text
    assert "<b>Bob rejected</b>" in late.text


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}, HTMX])
@pytest.mark.parametrize("action", ["answers", "questions", "undoings"])
async def test_a_refused_action_is_never_a_server_error(alice, ask, action, headers) -> None:
    approval = await ask(status=ApprovalStatus.APPROVED, resolved_at=now())
    sent = approving(approval) | {"question": ""}
    address = f"/approvals/{approval.id}/{action}"
    for _ in range(2):
        refused = await alice.post(address, data=sent, headers=headers)
        assert refused.status_code < 500
        assert refused.status_code not in (404, 405)


@pytest.mark.parametrize(
    ("kind", "status", "title", "sentence"),
    [
        ("task.complete", "approved", "First", "It allows the task to be moved to Done once"),
        ("task.complete", "approved", "Other", "The task changed since, so it does not allow"),
        ("deploy.site", "approved", "First", "It does not allow the task to be moved to Done."),
        ("task.complete", "rejected", "First", ""),
    ],
)
async def test_a_decided_approval_says_what_happens_next(
    alice, ask, world, transaction, kind, status, title, sentence
) -> None:
    async with transaction() as session:
        (await session.get_one(Board, world.board.id)).require_approval_for_done = True
    first = await ask("First", action_type=kind, agent_id=world.worker.id)
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first) | {"status": status})
    async with transaction() as session:
        (await session.get_one(Task, first.task_id)).title = title
    addresses = [f"/approvals/{first.id}", f"/boards/{first.board_id}/tasks/{first.task_id}"]
    pages = [(await alice.get(address)).text for address in addresses]
    async with transaction() as session:
        approval = await session.get_one(Approval, first.id)
        approval.status, approval.resolved_at = ApprovalStatus(status), now()
    pages.append((await alice.get(addresses[0])).text)

    for page, is_final in zip(pages, (False, False, True), strict=True):
        [text] = re.findall(rf'id="next-{first.id}" dir="auto">([^<]*)<', page)
        assert ("becomes final in a few seconds, then Worker receives it." in text) != is_final
        assert ("Next: Worker receives the decision." in text) is is_final
        assert sentence in text
        assert sentence or "Done" not in text


async def test_a_final_decision_can_be_neither_undone_nor_reopened(alice, ask, world) -> None:
    first = await ask("First", status=ApprovalStatus.APPROVED, decided_by_user_id=world.bob.id)
    page = (await alice.get(f"/approvals/{first.id}")).text
    assert "<b>Bob approved</b>" in page
    assert "/undoings" not in page
    assert "Reopen" not in page
    reopened = await alice.post(f"/approvals/{first.id}/reopenings", headers=HTMX)
    assert reopened.status_code == 404


async def test_a_clarification_keeps_the_approval_undecided(alice, ask, transaction, world) -> None:
    first = await ask("First", agent_id=world.worker.id)

    next_page = await alice.post(
        f"/approvals/{first.id}/questions", data={"question": "How sure?"}, headers=HTMX
    )

    assert selected(next_page.text) == "First?"
    assert "Question asked" in next_page.text
    answers = f"/boards/{first.board_id}/tasks/{first.task_id}#conversation"
    assert f'<a href="{answers}"><span class="badge">' in next_page.text
    async with transaction() as session:
        assert await session.scalar(select(Comment.message)) == "@Worker How sure?"
    for bad, words in ((" ", "Write what you want to know."), ("Kept a\0b", "Kept a")):
        refused = await alice.post(
            f"/approvals/{first.id}/questions", data={"question": bad}, headers=HTMX
        )
        assert refused.status_code == 422
        assert refused.headers["HX-Retarget"] == f"#ask-back-{first.id}"
        assert words in refused.text


async def test_several_approvals_are_decided_at_once(alice, ask, transaction) -> None:
    first, _second, third = await ask("First"), await ask("Second"), await ask("Third")
    ids = [str(first.id), str(third.id)]

    answered = await alice.post(
        "/approvals/answers",
        data={"shown": [checkbox(first), checkbox(third)], "status": "approved"},
        headers=HTMX,
    )

    assert "2 approved" in answered.text
    assert selected(answered.text) == "Second?"
    undone = await alice.post(
        "/approvals/undoings", data={"series": ",".join(ids)}, headers={"HX-Request": "true"}
    )
    assert "2 undone" in undone.text
    for one in (first, third):
        assert (await stored(transaction, one)).decided_status is None


async def test_a_repeated_decision_gets_the_same_answer(alice, ask, transaction) -> None:
    first = await ask("First")
    await ask("Second")
    sent = approving(first) | {"note": "Once"}

    once = await alice.post(f"/approvals/{first.id}/answers", data=sent, headers=HTMX)
    decided_at = (await stored(transaction, first)).decided_at
    again = await alice.post(
        f"/approvals/{first.id}/answers", data=sent | {"series": str(first.id)}, headers=HTMX
    )

    assert (once.status_code, again.status_code) == (200, 200)
    assert selected(again.text) == "Second?"
    assert again.text.count("data-toast") == 1
    assert f'name="series" value="{first.id}"' in again.text  # it takes the place of the first
    kept = await stored(transaction, first)
    assert (kept.decided_at, kept.decision_note) == (decided_at, "Once")


async def test_the_toast_of_a_series_undoes_only_own_decisions(alice, bob, ask) -> None:
    first, second, third = await ask("First"), await ask("Second"), await ask("Third")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX)
    await bob.post(f"/approvals/{second.id}/answers", data=approving(second), headers=HTMX)

    answered = await alice.post(
        f"/approvals/{third.id}/answers",
        data={"status": "rejected", "series": f"{first.id},{second.id},{new_id()},x"},
        headers=HTMX,
    )

    assert "1 approved, 1 rejected" in answered.text
    assert f'name="series" value="{first.id},{third.id}"' in answered.text


async def test_a_toast_does_not_offer_to_undo_what_is_too_late_to_undo(
    alice, ask, transaction
) -> None:
    first, second = await ask("First"), await ask("Second")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX)
    async with transaction() as session:
        (await session.get_one(Approval, first.id)).finalizes_at = now()

    answered = await alice.post(
        f"/approvals/{second.id}/answers",
        data=approving(second) | {"series": str(first.id)},
        headers=HTMX,
    )

    assert f'name="series" value="{second.id}"' in answered.text


async def test_undoing_a_series_names_what_is_final(alice, ask, world) -> None:
    final = await ask("Final", status=ApprovalStatus.APPROVED, decided_by_user_id=world.alice.id)
    first = await ask("First")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX)

    undone = await alice.post(
        "/approvals/undoings",
        data={"series": f"{first.id},{final.id}"},
        headers={"HX-Request": "true"},
    )

    assert "Undid 1 of 2; 1 was final.</span>" in undone.text


async def test_undoing_says_how_many_were_final_and_what_else_failed(
    alice, ask, world, transaction
) -> None:
    asked = [await ask(f"Ask {number}") for number in range(10)]
    shown = {"shown": [checkbox(one) for one in asked], "status": "approved"}
    await alice.post("/approvals/answers", data=shown, headers=HTMX)
    async with transaction() as session:
        for one in asked[:3]:
            (await session.get_one(Approval, one.id)).finalizes_at = now()
    series = [str(one.id) for one in asked]
    undone = await alice.post(
        "/approvals/undoings", data={"series": ",".join(series)}, headers=HTMX
    )
    assert "Undid 7 of 10; 3 were final.</span>" in undone.text
    assert f'data-about="{" ".join(series)}"' in undone.text
    undecided = str((await ask("Undecided")).id)
    both = {"series": f"{series[0]},{undecided}"}
    undone = await alice.post("/approvals/undoings", data=both, headers=HTMX)
    assert "Undid 0 of 2; 1 was final. You have decided nothing here" in undone.text


@pytest.mark.parametrize("final_title", ["Final", "Last"])
async def test_the_last_undone_approval_of_a_series_is_selected(
    alice, ask, world, final_title
) -> None:
    by_alice = {"decided_by_user_id": world.alice.id, "status": ApprovalStatus.APPROVED}
    titles = ["Final", "First", "Second", "Last"]
    series = [await ask(one, **by_alice if one == final_title else {}) for one in titles]
    for one in series:
        await alice.post(f"/approvals/{one.id}/answers", data=approving(one), headers=HTMX)
    undone = await alice.post(
        "/approvals/undoings",
        data={"series": ",".join(str(one.id) for one in series)},
        headers={"HX-Request": "true", "HX-Current-URL": "http://mission.test/approvals"},
    )
    assert "Undid 3 of 4; 1 was final." in undone.text
    assert selected(undone.text) == ("Second?" if final_title == "Last" else "Last?")


async def test_no_approval_is_selected_if_none_was_undone(alice, ask, world) -> None:
    final = await ask("Final", status=ApprovalStatus.APPROVED, decided_by_user_id=world.alice.id)
    undone = await alice.post(
        "/approvals/undoings",
        data={"series": str(final.id)},
        headers={"HX-Request": "true", "HX-Current-URL": "http://mission.test/approvals"},
    )
    assert "Undid 0 of 1; 1 was final." in undone.text
    assert selected(undone.text) == ""


async def test_approving_low_confidence_in_bulk_needs_a_confirmation(
    alice, ask, transaction
) -> None:
    sure, doubtful = await ask("Sure"), await ask("Doubtful", confidence=60.0)
    sent = {"shown": [checkbox(sure), checkbox(doubtful)], "status": "approved"}

    confirm = await alice.post("/approvals/answers", data=sent, headers=HTMX)

    assert "Approve 2 requests? 1 has a confidence below 80." in confirm.text
    listed = confirm.text.split('id="confirm-name"')[1]
    assert listed.index("“Doubtful”?") < listed.index("“Sure”?")
    assert (await stored(transaction, sure)).decided_status is None
    await alice.post("/approvals/answers", data=sent | {"sure": "on"}, headers=HTMX)
    assert (await stored(transaction, doubtful)).decided_status is ApprovalStatus.APPROVED


async def test_low_confidence_is_found_among_many_newer_approvals(
    alice, ask, transaction, world
) -> None:
    doubtful = await ask("Doubtful", confidence=60.0)
    async with transaction() as session:
        session.add_all([row for _ in range(200) for row in world.make_approval()])
    sent = {"shown": checkbox(doubtful), "status": "approved"}
    assert (await alice.post("/approvals/answers", data=sent, headers=HTMX)).status_code == 200
    assert (await stored(transaction, doubtful)).decided_status is None


async def test_an_approval_that_cannot_be_decided_shows_the_reason(
    alice, bob, ask, transaction
) -> None:
    first, second = await ask("First"), await ask("Second")
    await bob.post(f"/approvals/{first.id}/answers", data={"status": "rejected"})

    partly = await alice.post(
        "/approvals/answers",
        data={
            "shown": [checkbox(first), checkbox(second), f"{new_id()}:{first.action_hash}"],
            "status": "approved",
        },
        headers=HTMX,
    )

    assert "1 of 3 approved" in partly.text
    assert (await stored(transaction, second)).decided_status is ApprovalStatus.APPROVED
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.REJECTED


async def test_a_series_can_end_with_a_bulk_decision(alice, ask, transaction) -> None:
    first, second, third = await ask("First"), await ask("Second"), await ask("Third")
    answered = await alice.post(
        f"/approvals/{first.id}/answers", data=approving(first), headers=HTMX
    )
    assert f'name="series" value="{first.id}" data-series' in answered.text
    bulk = re.findall(r'<form id="bulk"[^>]*>', (await alice.get("/approvals")).text)
    assert ['hx-include="#toasts [data-series]"' in form for form in bulk] == [True]

    sent = {"shown": [checkbox(second), checkbox(third)], "status": "approved"}
    ended = await alice.post(
        "/approvals/answers", data=sent | {"series": str(first.id)}, headers=HTMX
    )

    assert "3 approved" in ended.text
    [series] = re.findall(r'name="series" value="([^"]*)"', ended.text)
    undone = await alice.post(
        "/approvals/undoings", data={"series": series}, headers={"HX-Request": "true"}
    )
    assert "3 undone" in undone.text
    for one in (first, second, third):
        assert (await stored(transaction, one)).decided_status is None
