"""Field types and base models of requests and responses, with their limits."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from api.framework.original_names import MODEL_NAMES
from core.clock import format_naive_utc, to_utc
from core.errors import Invalid
from core.fields import ALLOWED_YEARS, MAX_INTEGER, Fields, Name, Text
from core.fields import NOT_SENT as NOT_SENT
from core.fields import AnyJson as AnyJson
from core.fields import BlankToNone as BlankToNone
from core.fields import RequiredText as RequiredText
from core.fields import build_line_constraints as build_line_constraints
from core.fields import limit_keys as limit_keys
from core.paging import CURSOR_HEADER, MAX_CURSOR_LENGTH, MAX_PAGE_SIZE, Paging

MAX_IDS = 1_000  # in one list of a request


def _check_year(moment: datetime) -> datetime:
    if moment.year not in ALLOWED_YEARS:
        raise ValueError(f"the year must be from {ALLOWED_YEARS[0]} to {ALLOWED_YEARS[-1]}")
    return to_utc(moment)


TIMESTAMP_DESCRIPTION = "UTC, ISO 8601, no zone"
_AS_TEXT = {"type": "string", "examples": ["2026-11-24T22:28:33.056093"]}

Timestamp = Annotated[
    datetime,
    PlainSerializer(format_naive_utc, return_type=str),
    WithJsonSchema({**_AS_TEXT, "description": TIMESTAMP_DESCRIPTION}, mode="serialization"),
]
"""A time in a response."""

RequestTimestamp = Annotated[datetime, AfterValidator(_check_year)]
"""A time in a request that is not a field of an object, in UTC unless it has a zone."""

NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
OptionalName = Annotated[Name | None, BlankToNone]
OptionalText = Annotated[Text | None, BlankToNone]
JsonObject = dict[str, Any]


def get_component_name(model: type) -> str:
    """Return the name of a model in the OpenAPI document: its `component`, or the class name.

    Models of the original have its names.
    """
    name = MODEL_NAMES.get(model.__name__, model.__name__)
    component: str = model.__dict__.get("component", name)
    return component


class ResponseModel(BaseModel):
    """A response. It can be built from a row."""

    model_config = ConfigDict(
        from_attributes=True, model_title_generator=get_component_name, defer_build=True
    )


class RequestModel(Fields):
    """The body of a request that is not the fields of an object."""

    model_config = ConfigDict(model_title_generator=get_component_name)


class PatchModel(RequestModel):
    """The body of a PATCH: only the fields in the request change, and null is a value."""

    @staticmethod
    def _document(schema: dict[str, Any], model: type[Fields]) -> None:
        Fields._document(schema, model)
        for field in schema.get("properties", {}).values():
            field.pop("default", None)

    model_config = ConfigDict(json_schema_extra=_document)

    def changes(self) -> dict[str, Any]:
        """Return the fields in the request."""
        return {name: getattr(self, name) for name in self.model_fields_set}


PageLimit = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE, description="Maximum number of items.")]
PageOffset = Annotated[int, Field(ge=0, le=MAX_INTEGER, description="Number of items to skip.")]


class CursorQuery(BaseModel):
    """Where a page begins: after a number of items, or after a cursor."""

    offset: PageOffset = 0
    after: Annotated[str, Field(max_length=MAX_CURSOR_LENGTH)] | None = Field(
        default=None,
        description=f"The `{CURSOR_HEADER}` of the page before; empty: the first page. Rows that"
        " are created or deleted meanwhile do not cause others to be repeated or left out. Not with"
        " an offset.",
        examples=[""],
    )

    @model_validator(mode="after")
    def _check_cursor(self) -> Self:
        if self.after and self.offset:
            reason = "Send either after or offset: a page begins after a cursor or a number."
            raise Invalid("cursor_with_offset", reason, field="after", sent_as="text")
        return self

    @property
    def cursor(self) -> str | None:
        """The cursor; None for pages by an offset. Clients send empty values of parameters."""
        return None if self.after == "" and self.offset else self.after


class PageQuery(CursorQuery):
    """The page of a list."""

    component: ClassVar[str] = "Paged"
    model_config = ConfigDict(model_title_generator=get_component_name)

    limit: PageLimit = MAX_PAGE_SIZE

    @property
    def paging(self) -> Paging:
        """The page as a value of the services."""
        return Paging(self.limit, self.offset, self.cursor)


class StreamQuery(BaseModel):
    """The start of a stream.

    A parameter that is empty or `null` counts as absent: generated clients send it so.
    """

    component: ClassVar[str] = "Following"
    model_config = ConfigDict(model_title_generator=get_component_name)

    since: RequestTimestamp | None = Field(
        default=None,
        description="Start with the events from this time on (ISO 8601, UTC without a zone). "
        "Default: now. Last-Event-ID takes precedence.",
    )

    @model_validator(mode="before")
    @classmethod
    def _omit_empty_parameters(cls, parameters: dict[str, str]) -> dict[str, str]:
        return {name: text for name, text in parameters.items() if text.strip() not in ("", "null")}


class Ok(ResponseModel):
    """The operation succeeded."""

    component: ClassVar[str] = "OkResponse"

    ok: bool = True
