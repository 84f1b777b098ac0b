"""What a user sees of an approval: everything, or a note and a button that does not work yet."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any

import pytest

from models import ApprovalStatus, Task
from services.approvals.rules import MAX_JSON_LENGTH
from tests.support.approval_pages import HTMX, approving, ask, checkbox, stored
from tests.support.cpu_time import limit_cpu
from tests.support.tiers import repetition
from tests.web.test_gateway_requests import TWO, gateway
from tests.web.test_gateway_requests import ask as ask_on_gateway
from web.approvals import presenter
from web.approvals.payload import COMPLETE

__all__ = ["ask", "ask_on_gateway", "gateway"]

LONG_DIFF = "@@ -0,0 +1,12340 @@\n" + "".join(f"+line {n}\n" for n in range(12_339))
HIDDEN = "\u202e"
LONG: dict[str, tuple[dict[str, Any], str]] = {
    "diff": ({"diff": LONG_DIFF}, "Showing 500 of 12,340 lines."),
    "several diffs": (
        {"changes": [{"file": f"f{n}", "diff": "@@ -1 +1 @@\n-a\n+b"} for n in range(200)]},
        "Showing 500 of 600 lines.",
    ),
    "rows": ({f"key{n}": n for n in range(101)}, "Showing 100 of 101 values."),
    "changes": ({"changes": {f"key{n}": [1, 2] for n in range(300)}}, "Showing 100 of 300 values."),
    "value": (
        {"command": "x" * 2_001},
        "Showing the first 2,000 characters of 1 longer text.",
    ),
    "nested value": (
        {"plan": {"steps": ["delete"] * 1_000}},
        "Showing the first 2,000 characters of 1 longer text.",
    ),
    "key": ({"k" * 3_000: 1}, "Showing the first 2,000 characters of 1 longer text."),
}


def find_button(page: str, status: str) -> str:
    found = re.search(
        rf'<button[^>]*name="status" value="{status}" data-decides="[0-9a-f-]+"[^>]*>', page
    )
    assert found
    return found[0]


def data_part(page: str) -> str:
    """Return the selected item without the complete request as text."""
    return page.partition('id="detail"')[2].partition('id="raw-')[0]


@pytest.mark.parametrize("name", LONG)
async def test_long_content_has_to_be_opened_before_it_is_approved(
    name: str, alice, ask: Callable[..., Any], transaction
) -> None:
    payload, note = LONG[name]
    first = await ask("First", payload=payload)
    path = f"/approvals/{first.id}"

    for address in (path, f"/boards/{first.board_id}/tasks/{first.task_id}"):
        page = (await alice.get(address)).text
        assert note in page
        assert f'href="{path}?all=1"' in page
        assert " disabled" in find_button(page, "approved")
        assert " disabled" not in find_button(page, "rejected")
    for headers in ({}, HTMX):
        refused = await alice.post(
            f"{path}/answers", data=approving(first) | {"note": "Kept"}, headers=headers
        )
        assert refused.status_code == 422
        assert "This page did not show everything." in refused.text
        assert 'value="Kept"' in refused.text
    bulk = {"shown": checkbox(first), "status": "approved", "sure": "on"}
    assert (
        "This page did not show everything."
        in (await alice.post("/approvals/answers", data=bulk, headers=HTMX)).text
    )
    assert (await stored(transaction, first)).decided_status is None

    whole = (await alice.get(f"{path}?all=1")).text
    assert " disabled" not in find_button(whole, "approved")
    complete = re.search(r'name="complete" value="(\w+)"', whole)
    assert complete
    sent = approving(first) | {"complete": complete[1]}
    assert (await alice.post(f"{path}/answers", data=sent)).status_code == 303
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.APPROVED


async def test_a_command_is_shown_in_a_font_of_one_width(alice, ask) -> None:
    first = await ask("First", payload={"command": "rm -rf build", "target": "Clean"})
    page = (await alice.get(f"/approvals/{first.id}")).text
    assert '<dd class="mono" dir="auto">rm -rf build</dd>' in page
    assert '<dd dir="auto">Clean</dd>' in page


async def test_the_complete_view_shows_everything(alice, ask) -> None:
    first = await ask(
        "First",
        payload={"diff": "@@ -0,0 +1,600 @@\n" + "+x\n" * 600, "value": "y" * 3_000}
        | {f"key{n}": n for n in range(300)},
    )
    page = data_part((await alice.get(f"/approvals/{first.id}?all=1")).text)
    assert page.count('<ins dir="auto">x</ins>') == 600
    assert "y" * 3_000 in page.replace("<wbr>", "")
    assert '<dt dir="auto">Key299</dt>' in page
    assert "Showing" not in page.partition("<body")[2]


async def test_the_complete_view_of_very_long_content_contains_it_as_text(alice, ask) -> None:
    first = await ask("First", payload={"diff": LONG_DIFF})
    page = (await alice.get(f"/approvals/{first.id}?all=1")).text
    assert "Showing 5,000 of 12,340 lines." in page
    assert re.search(r'id="raw-[^"]*" open', page)
    assert "+line 12338" in page.partition('id="raw-')[2]


async def test_the_complete_view_is_kept_when_the_page_reloads_a_part(alice, ask) -> None:
    first = await ask("First", payload={"diff": LONG_DIFF})
    page = (await alice.get(f"/approvals/{first.id}?all=1")).text
    [part] = re.findall(r'id="inbox"[^>]* hx-get="([^"]*)"', page)
    again = (await alice.get(part.replace("&amp;", "&"), headers=HTMX)).text
    assert 'name="complete"' in again
    links = re.findall(r'href="(/approvals[^"]*)"', page)
    assert not [link for link in links if "all=1" in link]


async def test_a_rejection_needs_no_complete_view(alice, ask, transaction) -> None:
    first = await ask("First", payload={"diff": LONG_DIFF})
    await alice.post(f"/approvals/{first.id}/answers", data={"status": "rejected"})
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.REJECTED


async def test_short_content_is_approved_at_once(alice, ask, transaction) -> None:
    first = await ask("First", payload={"diff": "@@ -1 +1 @@\n-a\n+b", "x": "y" * 2_000})
    page = (await alice.get(f"/approvals/{first.id}")).text
    assert "Showing" not in page.partition("<body")[2]
    assert " disabled" not in find_button(page, "approved")
    await alice.post(f"/approvals/{first.id}/answers", data=approving(first))
    assert (await stored(transaction, first)).decided_status is ApprovalStatus.APPROVED


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"summary": "Another title"}, "Another title"),
        ({"decision": {"reason": "Second", "also": "wipe"}}, "wipe"),
        ({"description": {"run": "wipe"}}, "wipe"),
        ({"task_ids": ["not-a-linked-task"]}, "not-a-linked-task"),
        ({"changes": [{"file": "f", "diff": "+x", "then": "wipe"}]}, "wipe"),
        ({"changes": [{"field": "f", "from": 1, "to": 2, "then": "wipe"}]}, "wipe"),
        ({"changes": {"f": {"from": 1, "to": 2, "then": "wipe"}}}, "wipe"),
        ({"changes": {"f": {"from": "wipe", "old": "x", "to": 2}}}, "wipe"),
        ({"diff": 7_777}, "7777"),
        ({"patch": {"a": "wipe"}}, "wipe"),
    ],
)
async def test_no_part_of_a_payload_is_left_out(alice, ask, payload, shown) -> None:
    first = await ask("First", payload=payload)
    assert shown in data_part((await alice.get(f"/approvals/{first.id}")).text)


async def test_hidden_characters_are_revealed_everywhere(alice, ask, transaction, world) -> None:
    async with transaction() as session:
        worker = await session.merge(world.worker)
        worker.name = f"Work{HIDDEN}er"
    first = await ask(
        f"Ti{HIDDEN}tle",
        agent_id=world.worker.id,
        payload={
            "reason": f"Be{HIDDEN}cause",
            "description": f"De{HIDDEN}scribed",
            f"ke{HIDDEN}y": f"va{HIDDEN}lue",
            "changes": [
                {"file": f"fi{HIDDEN}le", "diff": f"@@ -1 +1 @@\n-o{HIDDEN}ld\n+n{HIDDEN}ew"}
            ],
        },
        rubric_scores={f"sco{HIDDEN}re": 90},
    )
    for address in (
        "/approvals",
        f"/approvals/{first.id}",
        f"/boards/{first.board_id}/tasks/{first.task_id}",
    ):
        page = (await alice.get(address)).text
        page = re.sub(r"<title>.*?</title>|<input[^>]*>", "", page)  # a field keeps what it changes
        decided = page.partition('id="content"')[2].partition('id="task-props"')[0]
        assert HIDDEN not in decided.partition('id="conversation"')[0], address
        for text in ("tle", "cause", "scribed", "lue", "ld</del>", "ew</ins>", "er"):
            assert re.search(rf"U\+202E(</mark>|⟧){text}", decided), (address, text)


async def test_values_with_line_breaks_of_windows_are_shown_as_lines(alice, ask) -> None:
    changes = {"field": ["one\r\ntwo", "one\r\nthree\r"]}
    first = await ask("First", payload={"value": "a\r\nb\rc", "changes": changes})
    page = data_part((await alice.get(f"/approvals/{first.id}")).text)
    assert "a\nb<mark" in page
    assert "one\ntwo</span>" in page
    assert "one\nthree<mark" in page
    assert page.count("U+000D") == 2


async def test_letters_that_look_like_others_are_named(alice, ask) -> None:
    usual = await ask("First", action_type="delete.user")
    assert "Unusual letters" not in (await alice.get(f"/approvals/{usual.id}")).text
    disguised = await ask("Second", action_type="d\u0435l\u0435te.user")
    page = (await alice.get(f"/approvals/{disguised.id}")).text
    assert page.count("Unusual letters: \u0435 (U+0435)") == 3  # filter, list, detail


async def test_a_value_cannot_forge_lines_of_the_request(alice, ask) -> None:
    forged = "none\npayload.command: ls\r\nconfidence: 99\rpayload.cwd: /tmp"
    first = await ask(
        "First",
        action_type=f"deploy\n{forged}",
        payload={"note": forged, f"key\n{forged}": "plain", "path": "C:\\new"},
    )
    page = (await alice.get(f"/approvals/{first.id}")).text
    request = unescape(page.partition('aria-label="Original request" dir="auto">\n')[2])
    lines = request.partition("</pre>")[0].split("\n")
    as_json = json.dumps(forged)[1:-1]
    assert sorted(lines) == sorted(
        [
            f'action_type: "deploy\\n{as_json}"',
            f"approval: {first.id}",
            f"confidence: {first.confidence}",
            "payload.title: First",
            "payload.reason: It is tested.",
            f'payload.note: "{as_json}"',
            f'"payload.key\\n{as_json}": plain',
            "payload.path: C:\\new",
        ]
    )


async def test_opening_everything_keeps_the_filters_of_the_inbox(alice, ask) -> None:
    first = await ask("First", payload={"diff": LONG_DIFF})
    filters = f"board={first.board_id}"
    page = (await alice.get(f"/approvals?{filters}")).text
    assert f'href="/approvals/{first.id}?{filters}&amp;all=1"' in page


async def test_a_note_says_where_the_rest_of_a_task_is(
    alice, ask, transaction, monkeypatch
) -> None:
    monkeypatch.setattr(presenter, "COMPLETE", replace(COMPLETE, description_length=10))
    first = await ask("First")
    async with transaction() as session:
        (await session.get_one(Task, first.task_id)).description = "more than ten characters"
    page = data_part((await alice.get(f"/approvals/{first.id}?all=1")).text)
    assert "The content of 1 task is cut. The page of the task shows all of it." in page
    assert "Everything is in" not in page


async def test_questions_of_gateways_reveal_hidden_characters(alice, ask_on_gateway) -> None:
    exact = (
        json.dumps(json.loads(TWO)).replace("Hot.", f"H{HIDDEN}ot.").replace("Red", f"R{HIDDEN}ed")
    )
    request = await ask_on_gateway(exact.replace("Where?", f"Wh{HIDDEN}ere?"), kind="question")
    page = (await alice.get(f"/approvals/requests/{request.id}")).text
    for text in ("ot.", "ere?"):
        assert f"U+202E</mark>{text}" in page


async def test_the_list_shows_the_reason(alice, ask) -> None:
    await ask("First", payload={"reason": "Because\nof <that>" + " and more" * 200})
    page = (await alice.get("/approvals")).text
    assert re.search(r'class="ask-row__why trunc" dir="auto">Because\s+of &lt;that&gt;', page)


@pytest.mark.parametrize("confidence", [0.0, 0.95, 1.0])
async def test_a_confidence_that_may_be_a_fraction_is_flagged(
    alice, ask, world, confidence
) -> None:
    first = await ask("First", agent_id=world.worker.id, confidence=confidence)
    text = f"{confidence:g} — the scale is 0 to 100"
    for address in (
        "/approvals",
        f"/approvals/{first.id}",
        f"/boards/{first.board_id}/tasks/{first.task_id}",
    ):
        page = (await alice.get(address)).text
        assert text in page, address
        assert "1</b> of 100" not in page
        assert "of 100 confidence" not in page
    sent = {"shown": checkbox(first), "status": "approved"}
    confirmation = (await alice.post("/approvals/answers", data=sent, headers=HTMX)).text
    assert text in confirmation.partition('id="confirm-name"')[2]


@pytest.mark.parametrize(
    "payload",
    [
        {"diff": "+" + "\n+" * ((MAX_JSON_LENGTH - 100) // 3)},
        {"diff": "+\u202e" * ((MAX_JSON_LENGTH - 100) // 7)},
        {"changes": [{"diff": "+"}] * ((MAX_JSON_LENGTH - 100) // 15)},
        {"changes": {f"{n}": 1 for n in range(20_000)}},
        {f"{n}": 1 for n in range(20_000)},
        {"reason": "\u202e_" * ((MAX_JSON_LENGTH - 100) // 7)},
    ],
    ids=["lines", "hidden characters", "diffs", "changes", "rows", "reason"],
)
@pytest.mark.parametrize(
    "complete",
    [pytest.param(False, id="brief", marks=repetition), pytest.param(True, id="complete")],
)
async def test_a_hostile_payload_is_shown_in_a_second(alice, ask, payload, complete) -> None:
    assert len(json.dumps(payload)) <= MAX_JSON_LENGTH
    first = await ask("First", payload=payload)
    await alice.get("/approvals?state=decided")  # templates are compiled once
    with limit_cpu():
        page = await alice.get(f"/approvals/{first.id}{'?all=1' if complete else ''}")
    assert page.status_code == 200
