"""How forms are read, and given back."""

from datetime import UTC, date
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from kit.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from web import forms
from web.ages import moment_of
from web.board_forms import MIDNIGHT, day_in


class Thing(BaseModel):
    name: forms.Line
    note: Annotated[forms.Text | None, forms.OrNothing] = None
    count: int = 1
    day: Annotated[date | None, forms.OrNothing] = None
    on: forms.Switch = False
    parts: list[str] = []


def test_what_was_typed_becomes_what_it_means() -> None:
    typed = {"name": [" A thing "], "note": [" "], "count": ["3"], "on": ["true"], "day": [""]}
    thing = forms.Form(typed | {"parts": ["a", "b"], "more": ["x"]}).into(Thing)
    assert (thing.name, thing.note, thing.count, thing.on) == ("A thing", None, 3, True)
    assert (thing.day, thing.parts) == (None, ["a", "b"])
    assert "day" in thing.model_fields_set


def test_every_field_that_is_wrong_is_told_at_once() -> None:
    form = forms.Form({"name": [""], "count": ["many"], "day": ["soon"]})
    with form.refusals():
        form.into(Thing)
    assert form.status == 422
    assert form.errors == {
        "name": "Fill this in.",
        "count": "Write a whole number.",
        "day": "Write a date like 2026-12-24.",
    }
    assert form.value("count", 7) == "many"


def test_a_form_that_was_not_sent_shows_what_there_is() -> None:
    form = forms.Form()
    assert (form.value("name", "Launch"), form.value("note", None)) == ("Launch", "")
    assert form.is_on("on", True)
    assert forms.Form({}).is_on("on", True) is False


@pytest.mark.parametrize(("refusal", "status"), [(Invalid, 422), (Conflict, 409), (Forbidden, 403)])
def test_a_refusal_is_told_beside_its_field_or_for_the_whole(refusal, status) -> None:
    form = forms.Form({})
    with form.refusals():
        raise refusal("no", "That is taken.", field="name")
    assert (form.error("name"), form.problem, form.status) == ("That is taken.", "", status)

    form = forms.Form({})
    with form.refusals():
        raise refusal("no", "Not now.")
    assert (form.errors, form.problem) == ({}, "Not now.")


@pytest.mark.parametrize("refusal", [NotFound("no", "Not there."), TooMany(3)])
def test_what_is_not_about_the_form_goes_on(refusal) -> None:
    with pytest.raises(type(refusal)), forms.Form({}).refusals():
        raise refusal


def test_a_day_is_the_day_where_the_person_is() -> None:
    for name in ("Pacific/Kiritimati", "America/Los_Angeles", "UTC"):
        zone = ZoneInfo(name)
        start = moment_of(date(2027, 1, 31), MIDNIGHT, zone)
        assert start is not None
        assert start.tzinfo is UTC
        assert day_in(start, zone) == "2027-01-31"


@pytest.mark.parametrize(
    ("text", "number"),
    [("12", 12), (None, 0), ("", 0), ("-1", 0), ("1.5", 0), ("²", 0), ("٣", 0), ("9" * 18, 0)],
)
def test_an_address_that_names_no_number_names_none(text, number) -> None:
    assert forms.number_in(text) == number
