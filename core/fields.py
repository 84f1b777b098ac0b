"""The fields of an object, declared once: body of the API, form, and input of a command.

    class TagCreate(Fields):
        name: Annotated[Name, Label(N_("Name"), FieldKind.LINE)]
        color: Annotated[Color, Label(N_("Colour"))] = DEFAULT_COLOR

    class TagUpdate(TagCreate, Patch):
        '''Changes of a tag: at least one field.'''

They stand in the domain, beside its commands: `create_tag(session, member, fields)` stores them,
and `update_tag` sets those in `fields.changes()`. The API names the same classes in the annotations
of its handlers (`body: TagCreate`), and a page parses them with `form.parse(TagCreate)`, as in
`web/ui/object_forms.py`. The smallest complete example is `services/tags.py` with
`api/endpoints/tags.py` and `web/tags.py`.

The type of a field has its limits and how a value is normalized, so that the published limits are
those that are enforced. Only what depends on other fields or on the database is left to the
command, which raises Invalid. A version is not a field: where an operation honours If-Match, its
handler passes `context.known_versions` to the command beside the fields.

No forward references in these classes: pydantic would rebuild them and lose what `Patch` derives.
"""

from collections.abc import Collection, Mapping, Set
from copy import copy
from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from core.clock import to_utc
from core.errors import Invalid, PreconditionFailed
from core.text import N_, is_email, is_storable, to_one_line

ALLOWED_YEARS = range(2, 9999)  # years that can be represented in every time zone
MAX_INTEGER = 2**31 - 1  # maximum of PostgreSQL's type integer
MAX_NAME_LENGTH = 200  # characters of names, slugs and other single lines
MAX_TEXT_LENGTH = 100_000  # characters of descriptions, comments and other texts

NOT_SENT: Any = None
"""The default of the fields of a PATCH; `changes` tells it from a null."""


def build_line_constraints(max_length: int) -> StringConstraints:
    """Return the constraints of a text that is stripped and must not be empty."""
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=max_length)


def _to_one_line(given: object) -> object:
    return to_one_line(given) if isinstance(given, str) else given


Name = Annotated[str, build_line_constraints(MAX_NAME_LENGTH)]


def _check_printable(text: str, info: ValidationInfo) -> str:
    shown = to_one_line(text)
    if not shown or not text.isprintable():
        reason = N_("This is one line of letters and signs.")
        raise Invalid("bad_character", reason, field=info.field_name)
    return shown


def _blank_to_none(given: object) -> object:
    return None if isinstance(given, str) and not given.strip() else given


BlankToNone = BeforeValidator(_blank_to_none)  # reads a blank text as None
ONE_LINE = BeforeValidator(_to_one_line)  # takes out characters that are not shown
PRINTABLE = AfterValidator(_check_printable)  # likewise, but refuses control characters
ShownName = Annotated[Name, ONE_LINE]  # cannot look like another one
RequiredText = Annotated[str, build_line_constraints(MAX_TEXT_LENGTH)]  # not empty
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
Description = Annotated[str, StringConstraints(max_length=20_000)]
ShortText = Annotated[str, StringConstraints(max_length=MAX_NAME_LENGTH)]


def _normalize_email(text: str) -> str:
    email = text.strip().lower()
    if not is_email(email):
        raise PydanticCustomError("email", "Value should be an e-mail address")
    return email


NormalizedEmail = AfterValidator(_normalize_email)
"""Accepts an e-mail address: `Annotated[ShortText, NormalizedEmail]`."""


def _check_year(moment: datetime, info: ValidationInfo) -> datetime:
    if moment.year not in ALLOWED_YEARS:
        first, last = str(ALLOWED_YEARS[0]), str(ALLOWED_YEARS[-1])
        reason = N_("Choose a year from %(first_year)s to %(last_year)s.")
        field = info.field_name
        raise Invalid("date_out_of_range", reason, field=field, first_year=first, last_year=last)
    return to_utc(moment)


Moment = Annotated[datetime, AfterValidator(_check_year)]
"""A time, in UTC unless it has a zone."""

AnyJson = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": ["string", "number", "boolean", "object", "array", "null"],
            "items": {},  # of an array; generators of clients need it
            "examples": ["text"],
        }
    ),
]
"""Any JSON value."""


def limit_keys(max_length: int) -> BeforeValidator:
    """Build the check of the number of keys of an object, before they are validated one by one."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > max_length:
            reason = "Object should have at most {max_length} keys, not {count}"
            context = {"max_length": max_length, "count": len(value)}
            raise PydanticCustomError("too_long", reason, context)
        return value

    return BeforeValidator(check)


class FieldKind(StrEnum):
    """How an edit conflict is resolved: texts are merged, of other values one is chosen."""

    TEXT = "text"
    LINE = "line"
    CHOICE = "choice"


class Label(NamedTuple):
    """What pages call a field; a form reads and shows only fields with a label.

    It is no `title` of pydantic, because titles are published in the OpenAPI document.
    """

    text: str  # marked for translation
    kind: FieldKind = FieldKind.CHOICE
    error: str = ""  # of values that are not valid, instead of the general text of a type of error


class Fields(BaseModel):
    """What a caller can set. Unknown fields are ignored."""

    component: ClassVar[str]  # its name in the OpenAPI document, if not that of the class
    example: ClassVar[dict[str, Any] | None] = None

    @staticmethod
    def _document(schema: dict[str, Any], model: type["Fields"]) -> None:
        if model.example:
            schema["examples"] = [model.example]

    model_config = ConfigDict(
        json_schema_extra=_document,
        model_title_generator=lambda model: model.__dict__.get("component", model.__name__),
        defer_build=True,
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return fields with values that neither the API nor a form has checked. Raises Invalid."""
        for name, value in values.items():
            if isinstance(value, str) and not is_storable(value):
                reason = N_("A character in this text cannot be stored.")
                raise Invalid("bad_character", reason, field=name)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            if invalid := find_invalid(fault):
                raise invalid from None
            name = str(fault["loc"][0]) if fault["loc"] else None
            if fault["type"] in ("missing", "string_too_short"):
                raise Invalid("blank", N_("Enter a value."), field=name) from None
            if fault["type"] == "string_too_long":
                length, max_length = len(fault["input"]), fault["ctx"]["max_length"]
                text = N_("This is too long: %(length)s characters, %(max_length)s at most.")
                raise Invalid(
                    "too_long", text, field=name, length=length, max_length=max_length
                ) from None
            if fault["type"] == "too_long":
                text = N_("At most %(max_count)s values.")
                max_count = fault["ctx"]["max_length"]
                raise Invalid("too_many", text, field=name, max_count=max_count) from None
            raise Invalid("field_invalid", fault["msg"], field=name) from None


class Patch(Fields):
    """A mixin for changes: no field is required, and only those that are given change.

    Inherit from the fields of a new object first. A field that can be null there can be set to
    null; declare a field again if that differs. `descriptions` replace those of the new object.
    """

    may_be_empty: ClassVar[bool] = False  # a request without a field is not an error
    descriptions: ClassVar[Mapping[str, str | None]] = {}

    @staticmethod
    def _document(schema: dict[str, Any], model: type[Fields]) -> None:
        Fields._document(schema, model)
        if not (issubclass(model, Patch) and model.may_be_empty):
            schema["minProperties"] = 1
        for field in schema.get("properties", {}).values():
            field.pop("default", None)

    model_config = ConfigDict(json_schema_extra=_document)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Make all fields optional. The validator is built later, from these fields."""
        for name, inherited in cls.__pydantic_fields__.items():
            cls.__pydantic_fields__[name] = field = copy(inherited)
            field.default, field.default_factory = NOT_SENT, None
            field.description = cls.descriptions.get(name, inherited.description)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Return changes of some fields, like `parse`."""
        return cls.parse(values)

    def changes(self) -> dict[str, Any]:
        """Return the given fields, in the order of the model. Raises Invalid without any."""
        given = self.model_fields_set
        if not given and not self.may_be_empty:
            raise Invalid("nothing_to_change", N_("Change at least one thing."))
        return {name: getattr(self, name) for name in type(self).model_fields if name in given}

    def without(self, names: Set[str]) -> Self:
        """Return the same changes without those of some fields."""
        kept = self.model_fields_set - names
        return self.model_construct(kept, **{name: getattr(self, name) for name in kept})


def find_invalid(fault: ErrorDetails) -> Invalid | None:
    """Return the error of a validator that raised Invalid."""
    error = fault.get("ctx", {}).get("error")
    return error if isinstance(error, Invalid) else None


def find_label(field: FieldInfo) -> Label | None:
    """Return the label of a field, if pages show it."""
    return next((one for one in field.metadata if isinstance(one, Label)), None)


def list_labels(fields: type[BaseModel]) -> dict[str, Label]:
    """Return the labels of the fields that pages show."""
    found = {name: find_label(field) for name, field in fields.model_fields.items()}
    return {name: label for name, label in found.items() if label}


def find_max_length(field: FieldInfo) -> int | None:
    """Return the maximum length of a text or list, also of one that can be null."""
    of_union = (part for one in get_args(field.annotation) for part in get_args(one)[1:])
    found = (getattr(one, "max_length", None) for one in (*field.metadata, *of_union))
    return next((one for one in found if one is not None), None)


def accepts_none(field: FieldInfo) -> bool:
    """Return whether a field can be null."""
    return field.annotation is Any or NoneType in get_args(field.annotation)


KnownVersions: TypeAlias = Collection[int] | None
"""The versions accepted by the caller; None if none were sent, so that the last write wins."""


def check_version(known: KnownVersions, current: int) -> None:
    """Raise PreconditionFailed if the current version is not one of the known versions.

    Call it after all other checks: other errors take precedence (RFC 9110, 13.2.1).
    """
    if known is not None and current not in known:
        raise PreconditionFailed
