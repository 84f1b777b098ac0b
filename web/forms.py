"""Reading what somebody typed into a form, and giving it back with what is wrong beside its field.

A handler reads, tries, and shows the same form again if it was refused:

    form = await forms.read(request)
    with form.refusals():
        wanted = form.into(NewThing)
        async with transaction(request) as session:
            thing = await things.create(session, request.user, wanted.draft())
        return to_page(request, "thing", thing_id=thing.id)
    return await show(request, form)
"""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import parse_qs, urlencode
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.clock import now
from kit.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OutsideFailed,
    Refusal,
    TooLarge,
    Unauthorized,
)
from kit.http import STATUS_CODES, raw_body
from kit.text import storable

MOST_FIELDS = 2_000  # values in one form
ENCODING = "application/x-www-form-urlencoded"
CLOCK = re.compile(r"\d\d:\d\d")
OF_FORMS = (Invalid, Conflict, Forbidden, OutsideFailed, TooLarge, Unauthorized)

Fields = TypeVar("Fields", bound=BaseModel)

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100_000)]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


def _nothing_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


OrNothing = BeforeValidator(_nothing_if_blank)
"""Takes a blank field for None: `Annotated[Line | None, OrNothing] = None`."""

Switch = Annotated[bool, BeforeValidator(lambda value: value in ("on", "true", True))]
"""A box or a switch: it is sent when it is on, and not at all when it is off."""

SENTENCES = {
    "missing": "Fill this in.",
    "string_too_short": "Fill this in.",
    "string_too_long": "At most {max_length:,} characters.",
    "int_parsing": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "int_parsing_size": "That number is too large.",
    "greater_than_equal": "At least {ge}.",
    "less_than_equal": "At most {le}.",
    "enum": "Choose one of those that are offered.",
    "literal_error": "Choose one of those that are offered.",
    "uuid_parsing": "Choose one of those that are offered.",
    "too_long": "At most {max_length:,}.",
}


class Form:
    """What was typed into a form, and what is wrong with it: by field, and as a whole.

    Templates ask it for `value`, `chosen`, `is_on` and `error`; each takes what to show before
    anything was typed.
    """

    def __init__(self, values: Mapping[str, Sequence[str]] | None = None) -> None:
        self.sent = values is not None
        self.values = dict(values or {})
        self.errors: dict[str, str] = {}
        self.problem = ""
        self.code = ""  # of what was refused
        self.status = 200

    def value(self, name: str, before: object = "") -> str:
        """Return what was typed into a field."""
        if self.sent:
            return (self.values.get(name) or [""])[-1]
        return "" if before is None else str(before)

    def chosen(self, name: str, before: Sequence[str] = ()) -> Sequence[str]:
        """Return the values that were ticked."""
        return self.values.get(name, []) if self.sent else before

    def is_on(self, name: str, before: bool = False) -> bool:
        """Say whether a box or a switch was on."""
        return name in self.values if self.sent else before

    def error(self, name: str) -> str:
        """Return what is wrong with a field, or ""."""
        return self.errors.get(name, "")

    def into(self, fields: type[Fields]) -> Fields:
        """Return the fields that were sent, checked. Raises Invalid, and tells each field why."""
        self._refuse_what_cannot_be_stored()
        lists = {name for name, field in fields.model_fields.items() if _is_list(field.annotation)}
        typed = {name: all if name in lists else all[-1] for name, all in self.values.items()}
        try:
            return fields.model_validate(typed)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                self.errors.setdefault(str(fault["loc"][0]) if fault["loc"] else "", _said(fault))
            self.problem = self.errors.pop("", "")
            raise Invalid("form_invalid", "Some fields need another look.") from None

    @contextmanager
    def refusals(self, beside: str = "") -> Generator[None]:
        """Keep a refusal that is about the form, so that the form can be shown again.

        It is told beside its field, or beside the one that is named here if it has none, or else
        for the whole form. What is not there for the caller, and what comes too often, is for an
        error page; but what was chosen in a field may be gone meanwhile, and that is for the form.
        """
        try:
            yield
        except OF_FORMS as refusal:
            self._keep(refusal, beside)
        except NotFound as refusal:
            if refusal.field is None:
                raise
            self._keep(refusal, beside)

    def _keep(self, refusal: Refusal, beside: str) -> None:
        self.status, self.code = STATUS_CODES[type(refusal)], refusal.code
        if refusal.code == "form_invalid":
            return
        field = refusal.field or beside
        if field:
            self.errors.setdefault(field, refusal.message)
        else:
            self.problem = refusal.message

    def _refuse_what_cannot_be_stored(self) -> None:
        for name, typed in self.values.items():
            if not all(storable(text) for text in typed):
                self.errors[name] = "There is a character in it that cannot be stored. Take it out."
        if self.errors:
            raise Invalid("form_invalid", "Some fields need another look.")


async def read(request: Request) -> Form:
    """Read the form that was sent. Raises Invalid if it is none, TooLarge if it is too long."""
    encoding = request.headers.get("Content-Type", ENCODING).partition(";")[0].strip().lower()
    if encoding != ENCODING:
        raise Invalid("not_a_form", f"Send the form as {ENCODING}.")
    body = await raw_body(request)
    try:
        values = parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:  # bytes that are no UTF-8, or too many fields
        raise Invalid("not_a_form", "That form cannot be read.") from None
    return Form({name: [_tidy(text) for text in typed] for name, typed in values.items()})


def _tidy(text: str) -> str:
    """Return a text with one kind of line break. Browsers send the other."""
    return text.replace("\r\n", "\n")


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, set, tuple, Sequence)


def _said(fault: ErrorDetails) -> str:
    """Say what is wrong with a field, in our words."""
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(facts["error"])
    if kind.startswith(("date_", "datetime_")):
        return "Write a date like 2026-12-24."
    return SENTENCES.get(kind, fault["msg"] + ".").format(**facts)


def id_in(text: str | None) -> UUID | None:
    """Return the id that an address names, None if it names none."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def number_in(text: str | None) -> int:
    """Return the whole number that an address names, 0 if it names none."""
    text = text or ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 18 else 0


def saved(path: str, zone: tzinfo) -> Response:
    """Go back to a page that says when it was saved: `/settings#you`."""
    page, _, section = path.partition("#")
    return RedirectResponse(f"{page}?{urlencode({'saved': clock(zone)})}#{section}", 303)


def clock(zone: tzinfo) -> str:
    """Return what the clock shows in a time zone: "14:06"."""
    return f"{now().astimezone(zone):%H:%M}"


def saved_at(request: Request) -> str:
    """Return when the page says that it was saved, "" if it wasn't."""
    given = request.query_params.get("saved", "")
    return given if CLOCK.fullmatch(given) else ""
