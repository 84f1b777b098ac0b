"""Parsing of forms, and their errors."""

import re
from datetime import UTC, date
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from core.fields import BlankToNone
from tests.support.loop_holds import calibrate, measure_holds
from web.boards.forms import MIDNIGHT, format_date_field
from web.ui import forms
from web.ui.render import TEMPLATES
from web.ui.time_format import combine_local

WITHOUT_SUGGESTIONS = {
    "agents/file_conflict.html": "a file, in which # begins a heading",
    "agents/file_edit.html": "a file, in which # begins a heading",
    "agents/file_review.html": "a file, in which # begins a heading",
    "approvals/_tool_answers.html": "the input of a tool, in which # begins a comment",
    "approvals/_tool_edit.html": "the input of a tool, in which # begins a comment",
    "boards/_new_board_fields.html": "there is no board yet",
    "custom_fields/_fields.html": "of the organization",
    "design/_forms.html": "examples",
    "gateways/_fields.html": "a certificate",
    "macros/forms.html": "the macro",
    "onboarding/_goal_fields.html": "what agents know about the user, on any board",
    "policies/rule.html": "kinds of actions",
    "settings/_agent_context.html": "what agents know about the user, on any board",
    "sign_in/_restored_form.html": "read-only",
    "skills/_pack_fields.html": "of the organization",
    "tags/_fields.html": "of the organization",
}
"""Templates with long text boxes that suggest no people and tasks, and why."""
LONG_BOX = re.compile(r"forms\.(area|lines)\(|<textarea")
SUGGESTION = re.compile(r"data[-_]suggest")
PICKED_FOR = re.compile(r'form="([\w-]+)" data-pick')
FIRST_CONTROL = re.compile(r"<button|<input|</form>|forms\.(?!shown)\w+")


class Thing(BaseModel):
    name: forms.Line
    note: Annotated[forms.Text | None, BlankToNone] = None
    count: int = 1
    day: Annotated[date | None, BlankToNone] = None
    on: forms.Switch = False
    parts: list[str] = []


def test_enter_on_the_checkbox_of_a_row_changes_no_rows() -> None:
    texts = [file.read_text() for file in TEMPLATES.rglob("*.html")]
    ids = {id for text in texts for id in PICKED_FOR.findall(text)}
    assert len(ids) >= 4
    starts = re.compile(rf'<form [^>]*\bid="(?:{"|".join(ids)})"')
    forms_of_rows = [text[found.end() :] for text in texts for found in starts.finditer(text)]
    first = [found[0] for text in forms_of_rows if (found := FIRST_CONTROL.search(text))]
    assert set(first) == {"forms.ignore_enter"}
    assert len(first) > len(ids)  # the boards and the approvals use the same id


def test_submitted_values_are_converted() -> None:
    typed = {"name": [" A thing "], "note": [" "], "count": ["3"], "on": ["true"], "day": [""]}
    thing = forms.Form(typed | {"parts": ["a", "b"], "more": ["x"]}).parse(Thing)
    assert (thing.name, thing.note, thing.count, thing.on) == ("A thing", None, 3, True)
    assert (thing.day, thing.parts) == (None, ["a", "b"])
    assert "day" in thing.model_fields_set


def test_all_field_errors_are_shown_at_once() -> None:
    form = forms.Form({"name": [""], "count": ["many"], "day": ["soon"]})
    with form.catch_errors():
        form.parse(Thing)
    assert form.status == 422
    assert form.errors == {
        "name": "Enter a value.",
        "count": "Write a whole number.",
        "day": "Write a date like 2026-12-24.",
    }
    assert form.value("count", 7) == "many"


def test_an_unsubmitted_form_shows_the_stored_values() -> None:
    form = forms.Form()
    assert (form.value("name", "Launch"), form.value("note", None)) == ("Launch", "")
    assert form.is_on("on", True)
    assert forms.Form({}).is_on("on", True) is False


@pytest.mark.parametrize(("error", "status"), [(Invalid, 422), (Conflict, 409), (Forbidden, 403)])
def test_an_error_is_shown_beside_its_field_or_for_the_form(error, status) -> None:
    form = forms.Form({})
    with form.catch_errors():
        raise error("no", "That is taken.", field="name")
    assert (form.error("name"), form.problem, form.status) == ("That is taken.", "", status)

    form = forms.Form({})
    with form.catch_errors():
        raise error("no", "Not now.")
    assert (form.errors, form.problem) == ({}, "Not now.")


@pytest.mark.parametrize("error", [NotFound("no", "Not there."), TooMany(3)])
def test_other_errors_are_not_caught_by_the_form(error) -> None:
    with pytest.raises(type(error)), forms.Form({}).catch_errors():
        raise error


def test_a_date_is_in_the_time_zone_of_the_user() -> None:
    for name in ("Pacific/Kiritimati", "America/Los_Angeles", "UTC"):
        zone = ZoneInfo(name)
        start = combine_local(date(2027, 1, 31), MIDNIGHT, zone)
        assert start is not None
        assert start.tzinfo is UTC
        assert format_date_field(start, zone) == "2027-01-31"


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), (None, 0), ("", 0), ("-1", 0), ("1.5", 0), ("²", 0), ("٣", 0), ("9" * 18, 0)],
)
def test_an_invalid_number_in_an_address_is_zero(text, number) -> None:
    assert forms.parse_number(text) == number


def test_long_text_boxes_suggest_people_and_tasks_of_their_board() -> None:
    found = set()
    for template in TEMPLATES.rglob("*.html"):
        boxes = [line for line in template.read_text().splitlines() if LONG_BOX.search(line)]
        if not all(map(SUGGESTION.search, boxes)):
            found.add(str(template.relative_to(TEMPLATES)))
    assert found == set(WITHOUT_SUGGESTIONS)


async def test_a_large_form_does_not_hold_the_event_loop(alice) -> None:
    headers = {"Content-Type": forms.ENCODING}
    await alice.post("/boards", content=b"name=", headers=headers)  # builds statements
    with measure_holds() as holds:
        page = await alice.post("/boards", content=b"name=" + b"%" * 2_000_000, headers=headers)
    assert page.status_code == 422
    assert holds.longest < calibrate()
