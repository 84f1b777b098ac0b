"""The fields of requests and answers: names, texts, numbers and times, with their limits."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from kit.clock import in_utc
from kit.paging import MOST, Paging
from kit.values import LARGEST_WHOLE, YEARS

LONGEST_NAME = 200  # characters
LONGEST_TITLE = 500
LONGEST_TEXT = 100_000
MOST_IDS = 1_000  # in one list of a request


def naive_utc(moment: datetime) -> str:
    """Write a moment as the API does: UTC, with microseconds and no zone (contract, C19)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _told_everywhere(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError(f"the year must be from {YEARS[0]} to {YEARS[-1]}")
    return in_utc(moment)


def _line(most: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=most)


_AS_TEXT = {"type": "string", "examples": ["2026-11-24T22:28:33.056093"]}

Moment = Annotated[
    datetime,
    PlainSerializer(naive_utc, return_type=str),
    WithJsonSchema({**_AS_TEXT, "description": "UTC, ISO 8601, no zone"}, mode="serialization"),
]
"""A time in an answer."""

GivenMoment = Annotated[datetime, AfterValidator(_told_everywhere)]
"""A time in a request: with a zone, or in UTC."""

Since = Annotated[
    GivenMoment | None, BeforeValidator(lambda text: None if not str(text or "").strip() else text)
]
"""From which time on a stream tells; nothing, or a blank, is now (contract, 1.8)."""

Name = Annotated[str, _line(LONGEST_NAME)]
Title = Annotated[str, _line(LONGEST_TITLE)]
Words = Annotated[str, _line(LONGEST_TEXT)]  # a text that says something
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]
Short = Annotated[str, StringConstraints(max_length=LONGEST_NAME)]  # a text of one line
Whole = Annotated[int, Field(ge=0, le=LARGEST_WHOLE)]
JsonObject = dict[str, Any]
AnyJson = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": ["string", "number", "boolean", "object", "array", "null"],
            "examples": ["text"],
        }
    ),
]
"""A value of whatever kind JSON has."""


UNSENT: Any = None
"""The default of a field that takes no null, and counts only when it is sent."""


class Answer(BaseModel):
    """What the API answers. It can be made of a row."""

    model_config = ConfigDict(from_attributes=True)


class Body(BaseModel):
    """What a POST takes. What it does not know, it passes over."""

    example: ClassVar[dict[str, Any] | None] = None

    @staticmethod
    def _document(schema: dict[str, Any], model: type["Body"]) -> None:
        if model.example:
            schema["examples"] = [model.example]

    model_config = ConfigDict(json_schema_extra=_document)


class Changes(Body):
    """What a PATCH takes: only the fields that are sent count, and null is a value."""

    @staticmethod
    def _document(schema: dict[str, Any], model: type[Body]) -> None:
        Body._document(schema, model)
        for field in schema.get("properties", {}).values():
            field.pop("default", None)

    model_config = ConfigDict(json_schema_extra=_document)

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class SomeChanges(Changes):
    """What a PATCH takes that refuses to change nothing; the service says so."""

    @staticmethod
    def _document(schema: dict[str, Any], model: type[Body]) -> None:
        Changes._document(schema, model)
        schema["anyOf"] = [{"required": [name]} for name in schema["properties"]]

    model_config = ConfigDict(json_schema_extra=_document)


class Paged(BaseModel):
    """Which part of a list is asked for (contract, 1.7)."""

    limit: int = Field(default=MOST, ge=1, le=MOST, description="How many, at most.")
    offset: int = Field(default=0, ge=0, le=LARGEST_WHOLE, description="How many to pass by.")

    @property
    def paging(self) -> Paging:
        """The same, as services take it."""
        return Paging(self.limit, self.offset)


class Following(BaseModel):
    """Where a stream begins."""

    since: Since = Field(
        default=None,
        description="Tell what happened from this time on (ISO 8601, UTC if it names no zone); "
        "without it, only what happens from now on. Last-Event-ID wins over it.",
    )


class Ok(Answer):
    """It is done."""

    ok: bool = True
