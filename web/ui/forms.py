"""Forms: parsing of submitted fields, and error messages for their fields.

A view parses, tries, and shows the form again if it was rejected:

    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(ThingCreate)
        async with open_transaction(request) as session:
            thing = await things.create_thing(session, request.user, fields)
        return redirect_to_page(request, "thing", thing_id=thing.id)
    return await _render_thing(request, form)

`ThingCreate` has the fields of an object (`core.fields`). Other models are for forms that no object
belongs to.
"""

import asyncio
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from functools import cache, partial
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_origin
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import list_time_zone_names, now
from core.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RecentSignInRequired,
    TooLarge,
    TooMany,
    Unauthorized,
    UpstreamError,
)
from core.fields import (
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    BlankToNone,
    Fields,
    accepts_none,
    find_invalid,
    find_label,
    list_labels,
)
from core.http.request import STATUS_CODES, read_body
from core.text import is_storable
from web.ui.locale_format import describe_error, format_number
from web.ui.translation import N_, _

KEPT_PARAMETER = "kept"  # in an address: the id of a form that is filled in again
MAX_FIELDS = 2_000  # values in one form
MAX_PARSED_AT_ONCE = 100_000  # bytes of a form; more hold the event loop for longer than 10 ms
ENCODING = "application/x-www-form-urlencoded"
CLOCK_TIME = re.compile(r"\d\d:\d\d")
FORM_ERRORS = (Invalid, Conflict, Forbidden, UpstreamError, TooLarge, Unauthorized)

FormModel = TypeVar("FormModel", bound=BaseModel)

Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_LENGTH)
]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_LENGTH)
]
Secret = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


OptionalLine = Annotated[Line | None, BlankToNone]
OptionalText = Annotated[Text | None, BlankToNone]

Switch = Annotated[bool, BeforeValidator(lambda value: value in ("on", "true", True))]
"""A checkbox or switch, which is submitted only when it is on."""

ERROR_MESSAGES = {
    "missing": N_("Enter a value."),
    "string_too_short": N_("Enter a value."),
    "string_too_long": N_("At most %(max_length)s characters."),
    "int_parsing": N_("Write a whole number."),
    "float_parsing": N_("Write a number."),
    "int_from_float": N_("Write a whole number."),
    "int_parsing_size": N_("That number is too large."),
    "greater_than_equal": N_("At least %(ge)s."),
    "less_than_equal": N_("At most %(le)s."),
    "enum": N_("Choose one of those that are offered."),
    "literal_error": N_("Choose one of those that are offered."),
    "email": N_("This is not an e-mail address."),
    "uuid_parsing": N_("Choose one of those that are offered."),
    "too_long": N_("At most %(max_length)s values."),
    "date": N_("Write a date like 2026-12-24."),
    "datetime": N_("Write a date like 2026-12-24."),
}
"""Texts by the type of an error of pydantic, or by its first word."""

MISSING_TEXTS = {
    "Address": N_("Enter an address."),
    "Answer": N_("Write an answer."),
    "Comment": N_("Write a comment."),
    "E-mail": N_("Enter an e-mail address."),
    "Name": N_("Enter a name."),
    "Note": N_("Write a note."),
    "Title": N_("Enter a title."),
    "Your name": N_("Enter your name."),
}
"""Texts by the label of a field that is empty, instead of the general one."""

GENERAL_ERRORS = {"missing", "string_too_long", "too_long"}
"""Types with the same text for all fields, also for those with a text of their own."""


class Form:
    """Submitted values of a form, and the errors of its fields and of the form as a whole.

    Templates call `value`, `selected`, `is_on` and `error`; each takes the value to show before the
    form is submitted.
    """

    def __init__(self, values: Mapping[str, Sequence[str]] | None = None) -> None:
        self.is_submitted = values is not None
        self.values = dict(values or {})
        self.errors: dict[str, str] = {}
        self.problem = ""
        self.code = ""  # of the error
        self.conflicts: Sequence[Any] = ()  # FieldConflict, of web/ui/edit_conflicts.py
        self.status = 200

    def value(self, name: str, before: object = "") -> str:
        """Return the submitted value of a field."""
        if self.is_submitted:
            return (self.values.get(name) or [""])[-1]
        return "" if before is None else str(before)

    def selected(self, name: str, before: Sequence[str] = ()) -> Sequence[str]:
        """Return the submitted values of a list field."""
        return self.values.get(name, []) if self.is_submitted else before

    def is_on(self, name: str, before: bool = False) -> bool:
        """Return whether a checkbox or switch was on."""
        return name in self.values if self.is_submitted else before

    def error(self, name: str) -> str:
        """Return the error of a field, or ""."""
        return self.errors.get(name, "")

    def parse(
        self, fields: type[FormModel], given: Mapping[str, Any] = MappingProxyType({})
    ) -> FormModel:
        """Validate the submitted fields, with the values in `given` instead of those submitted.

        A value in `given` can be the Invalid that reading it has raised. Raises Invalid, and keeps
        the error of each field.
        """
        self._reject_unstorable_text()
        wrong = {name: value for name, value in given.items() if isinstance(value, Invalid)}
        values = {**self._read_values(fields), **given}
        faults: Sequence[ErrorDetails] = ()
        try:
            parsed = fields.model_validate({name: values[name] for name in values.keys() - wrong})
        except ValidationError as error:
            faults = error.errors(include_url=False)
        else:
            if not wrong:
                return parsed
        invalids = [*wrong.values(), *filter(None, map(find_invalid, faults))]
        if len(invalids) == len(wrong) + len(faults) == 1:
            raise invalids[0]
        for invalid in wrong.values():
            self.errors.setdefault(invalid.field or "", describe_error(invalid))
        for fault in faults:
            name = str(fault["loc"][0]) if fault["loc"] else ""
            if invalid := find_invalid(fault):
                self.errors.setdefault(invalid.field or name, describe_error(invalid))
            else:
                self.errors.setdefault(name, _error_message(fault, fields.model_fields.get(name)))
        self.problem = self.errors.pop("", "")
        raise _form_invalid()

    def _read_values(self, fields: type[BaseModel]) -> dict[str, Any]:
        """Return the submitted values by field.

        Of the fields of an object, only those with a label are in a form. There, texts are
        stripped, a blank one is null where null is allowed, and a box that is missing is off.
        """
        lists = {name for name, field in fields.model_fields.items() if is_list(field)}
        values: dict[str, Any] = {
            name: all if name in lists else all[-1] for name, all in self.values.items()
        }
        if not issubclass(fields, Fields):
            return values
        found: dict[str, Any] = {}
        for name in list_labels(fields):
            field = fields.model_fields[name]
            if name in lists:
                found[name] = [text for text in values.get(name, ()) if text]
            elif field.annotation is bool:
                found[name] = self.is_on(name)
            elif name in values:
                text = values[name] if field.annotation is Any else values[name].strip()
                found[name] = None if not text and accepts_none(field) else text
        return found

    @contextmanager
    def catch_errors(self, beside: str = "", *, has_limit: bool = False) -> Generator[None]:
        """Keep an error that is about the form, so that the form can be shown again.

        The error is shown beside its field, or beside the field `beside` if it has none, or else
        for the whole form. NotFound without a field is raised for the error page, and TooMany
        unless the form has a limit of its own.
        """
        caught = (*FORM_ERRORS, TooMany) if has_limit else FORM_ERRORS
        try:
            yield
        except RecentSignInRequired:
            raise
        except caught as error:
            self._record_error(error, beside)
        except NotFound as error:
            if error.field is None:
                raise
            self._record_error(error, beside)

    def _record_error(self, error: AppError, beside: str) -> None:
        self.status, self.code = STATUS_CODES[type(error)], error.code
        if error.code == "form_invalid":
            return
        field = error.field or beside
        if field:
            self.errors.setdefault(field, describe_error(error))
        else:
            self.problem = describe_error(error)

    def _reject_unstorable_text(self) -> None:
        wrong = [
            name
            for name, typed in self.values.items()
            if not all(is_storable(text) for text in typed)
        ]
        for name in wrong:
            self.errors[name] = _("It contains a character that cannot be stored. Remove it.")
        if wrong:
            raise _form_invalid()


async def read_form(request: Request) -> Form:
    """Parse the submitted form. Raises Invalid if it is not a form, TooLarge if it is too large."""
    encoding = request.headers.get("Content-Type", ENCODING).partition(";")[0].strip().lower()
    if encoding != ENCODING:
        raise Invalid("not_a_form", _("Send the form as %(encoding)s.", encoding=ENCODING))
    body = await read_body(request)
    values: dict[str, list[str]] = {}
    try:
        for name, text in await parse_fields(body):
            values.setdefault(name, []).append(text.replace("\r\n", "\n"))  # browsers submit CRLF
    except ValueError:
        raise Invalid("not_a_form", N_("This form cannot be read.")) from None
    return Form(values)


async def parse_fields(body: bytes) -> list[tuple[str, str]]:
    """Return the names and values of a form.

    A large form is parsed in a thread, because that takes up to 0.3 s. Raises ValueError for bytes
    that are not UTF-8, and for too many fields.
    """
    text = body.decode("ascii")
    parse = partial(parse_qsl, text, True, errors="strict", max_num_fields=MAX_FIELDS)
    return await asyncio.to_thread(parse) if len(text) > MAX_PARSED_AT_ONCE else parse()


async def parse_readable_fields(body: bytes) -> tuple[list[tuple[str, str]], bool]:
    """Return those fields of a form that can be read, and whether these are all of them.

    They are the first MAX_FIELDS, and bytes that are not UTF-8 are replaced.
    """
    try:
        return await parse_fields(body), True
    except ValueError:
        first = body.decode("ascii", "replace").split("&", MAX_FIELDS)[:MAX_FIELDS]
        parse = partial(parse_qsl, "&".join(first), True, errors="replace")
        return await asyncio.to_thread(parse), False


def _form_invalid() -> Invalid:
    return Invalid("form_invalid", N_("Some fields are not valid."))


def is_list(field: FieldInfo) -> bool:
    """Return whether a field has several values."""
    return get_origin(field.annotation) in (list, set, tuple, Sequence)


def _error_message(fault: ErrorDetails, field: FieldInfo | None) -> str:
    """Return the message for a field error."""
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(facts["error"])
    label = find_label(field) if field else None
    if label and fault["input"] == "":
        kind = "missing"
    text = ERROR_MESSAGES.get(kind) or ERROR_MESSAGES.get(kind.partition("_")[0])
    if label and label.error and kind not in GENERAL_ERRORS:
        text = label.error
    if label and kind in ("missing", "string_too_short"):
        text = MISSING_TEXTS.get(label.text, text)
    numbers = {
        name: format_number(fact) for name, fact in facts.items() if isinstance(fact, int | float)
    }
    return _(text or N_("This value is not valid."), **numbers)


def path_id(request: Request, name: str) -> UUID:
    """Return an id from the path of the request; the route declares it as `{name:uuid}`."""
    id: UUID = request.path_params[name]
    return id


def parse_id(text: str | None) -> UUID | None:
    """Parse an id of an address, or return None."""
    try:
        return UUID(text or "")
    except ValueError:
        return None


def parse_number(text: str | None) -> int:
    """Parse a whole number of an address, or return 0."""
    text = text or ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 18 else 0


def parse_search(query: QueryParams) -> str:
    """Parse the text that a list is filtered by, or return ""."""
    text = query.get("q", "").strip()[:MAX_NAME_LENGTH]
    return text if is_storable(text) else ""


def parse_offset(query: QueryParams, name: str = "offset") -> int:
    """Parse the offset in the address of a list, or return 0."""
    number = parse_number(query.get(name))
    return min(number, 1_000_000_000)  # with a limit it fits into an integer of PostgreSQL


def redirect_saved(path: str, zone: tzinfo) -> Response:
    """Redirect to a page that shows when it was saved: `/settings#you`."""
    page, anchor, section = path.partition("#")
    start = "&" if "?" in page else "?"
    query = urlencode({"saved": current_clock_time(zone)})
    return RedirectResponse(f"{page}{start}{query}{anchor}{section}", 303)


def current_clock_time(zone: tzinfo) -> str:
    """Return the current time of day in a time zone, such as "14:06"."""
    return f"{now().astimezone(zone):%H:%M}"


def read_saved_time(request: Request) -> str:
    """Return the time of `redirect_saved` that the page shows, or ""."""
    given = request.query_params.get("saved", "")
    is_filled_in = KEPT_PARAMETER in request.query_params  # with what is not saved
    return given if CLOCK_TIME.fullmatch(given) and not is_filled_in else ""


DEPRECATED_ZONE_PREFIXES = ("Etc/", "SystemV/", "US/", "posix/", "right/")
"""Prefixes of zones that have better names."""


@cache
def list_time_zones() -> list[str]:
    """Return the names of the time zones that a user can select."""
    known = sorted(list_time_zone_names())
    return [
        name for name in known if "/" in name and not name.startswith(DEPRECATED_ZONE_PREFIXES)
    ] + ["UTC"]


def _validate_time_zone(name: str | None) -> str | None:
    if name is not None and name not in list_time_zone_names():
        raise ValueError(_("Choose one from the list, like Europe/Berlin."))
    return name


TimeZoneName = Annotated[OptionalLine, AfterValidator(_validate_time_zone)]
