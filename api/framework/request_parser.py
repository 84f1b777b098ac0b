"""Parsing of path parameters, query and JSON body; all field errors are reported together."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pydantic_core
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import QueryParams
from starlette.requests import Request

from api.framework.errors import InvalidFields, InvalidJson
from core.fields import find_invalid
from core.http.request import read_body
from core.text import MAX_JSON_DEPTH

MAX_JSON_VALUES = 300_000  # objects, arrays and values in a body

LONG_BODY = 100_000  # bytes; values of longer ones are checked in a thread: 2 MB take 250 ms


@dataclass(frozen=True)
class RequestBody:
    """The parsed body of a request."""

    value: Any
    is_missing: bool = False
    content_type: str = "application/json"
    is_long: bool = False


async def read_json_body(request: Request) -> RequestBody:
    """Read the body. Raises InvalidJson and TooLarge.

    A body with a content type other than JSON is kept as text, which no model accepts.
    """
    raw = await read_body(request)
    if not raw:
        return RequestBody(None, is_missing=True)
    content_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip()
    if content_type and "json" not in content_type.lower():
        return RequestBody(raw.decode(errors="replace"), content_type=content_type)
    try:
        value = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidJson(str(error)) from error
    return RequestBody(value, is_long=len(raw) > LONG_BODY)


def find_unstorable_value(value: Any) -> tuple[list[str | int], str] | None:
    """Return the location of a value that cannot be stored, and the reason.

    Not storable are text with a NUL character, infinite numbers, too many values, and nesting that
    is too deep. The event loop is held meanwhile, so this is one loop without calls for each value.
    """
    count = 0
    pending: list[tuple[Any, int, Any]] = [([value], 0, None)]
    while pending:
        container, depth, place = pending.pop()
        count += len(container)
        if count > MAX_JSON_VALUES + 1:
            return [], f"There are too many values: at most {MAX_JSON_VALUES:,} are allowed."
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, inner in pairs:
            kind, reason = type(inner), ""
            if depth > MAX_JSON_DEPTH:
                reason = f"This is nested too deeply: at most {MAX_JSON_DEPTH} levels are allowed."
            elif (kind is str and "\x00" in inner) or (type(key) is str and "\x00" in key):
                reason = "Text must not contain the character NUL."
            elif kind is float and not math.isfinite(inner):
                reason = "This number is too large."
            elif kind is list or kind is dict:
                pending.append((inner, depth + 1, (place, key)))
            if reason:
                return _list_location((place, key)), reason
    return None


def _list_location(place: Any) -> list[str | int]:
    """Return the keys that lead to a value; the first one belongs to the list around the value."""
    keys: list[str | int] = []
    while place is not None:
        place, key = place
        keys.append(key.replace("\x00", "\ufffd") if isinstance(key, str) else key)
    return keys[-2::-1]


class RequestParser:
    """The parameters of one operation: path, query and body.

    Path parameters that the handler does not receive are ids, for its dependency.
    """

    def __init__(self, path: str, annotations: Mapping[str, Any]) -> None:
        """Read the types of the parameters from the annotations of the handler."""
        self.body: type[BaseModel] | None = annotations.get("body")
        self.query: type[BaseModel] | None = annotations.get("query")
        names = [part[1:].partition("}")[0] for part in path.split("/") if part.startswith("{")]
        self.path = {name: TypeAdapter(annotations.get(name, UUID)) for name in names}

    @property
    def is_body_optional(self) -> bool:
        """Whether the body has no required field."""
        return self.body is not None and not any(
            field.is_required() for field in self.body.model_fields.values()
        )

    def parse_path(self, path_params: Mapping[str, str]) -> dict[str, Any]:
        """Return the path parameters. Raises InvalidFields."""
        values, field_errors = {}, []
        for name, adapter in self.path.items():
            try:
                values[name] = adapter.validate_python(path_params[name])
            except ValidationError as error:
                field_errors += _field_errors(error, "path", name)
        if field_errors:
            raise InvalidFields(field_errors)
        return values

    async def parse_query_and_body(
        self, query: QueryParams, body: RequestBody | None
    ) -> dict[str, Any]:
        """Return query and body as models. Raises InvalidFields with all errors."""
        if body is not None and body.is_long:
            return await asyncio.to_thread(self._parse_query_and_body, query, body)
        return self._parse_query_and_body(query, body)

    def _parse_query_and_body(self, query: QueryParams, body: RequestBody | None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        field_errors: list[dict[str, Any]] = []
        if self.query:
            values["query"] = _validate(self.query, dict(query), "query", field_errors)
        if self.body:
            assert body is not None
            values["body"] = self._parse_body(self.body, body, field_errors)
        if field_errors:
            raise InvalidFields(field_errors)
        return values

    def _parse_body(
        self, model: type[BaseModel], body: RequestBody, field_errors: list[dict[str, Any]]
    ) -> BaseModel | None:
        if body.is_missing and self.is_body_optional:
            return model()
        if body.is_missing:
            missing = {"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}
            field_errors.append(missing)
            return None
        if "json" not in body.content_type.lower():
            sent = body.content_type
            message = f"Send JSON with the header Content-Type: application/json, not {sent}"
            field_error = {"type": "model_attributes_type", "loc": ["body"], "msg": message}
            field_errors.append({**field_error, "input": body.value})
            return None
        return _validate(model, body.value, "body", field_errors)


def _validate(
    model: type[BaseModel], value: Any, where: str, field_errors: list[dict[str, Any]]
) -> BaseModel | None:
    field_error = find_unstorable_value(value)
    if field_error is not None:
        place, reason = field_error
        loc = [where, *place]
        field_errors.append({"type": "value_error", "loc": loc, "msg": reason, "input": None})
        return None
    try:
        return model.model_validate(value, from_attributes=True)
    except ValidationError as error:
        is_only_error = error.error_count() == 1 and not field_errors
        if is_only_error and (invalid := find_invalid(error.errors(include_url=False)[0])):
            raise invalid from None  # with its code and details
        field_errors += _field_errors(error, where)
        return None


def _field_errors(error: ValidationError, *where: str) -> list[dict[str, Any]]:
    count = error.error_count()
    if count > 1_000:  # the response has the first hundred of those that are described
        message = f"{count:,} values in the {where[0]} are not valid."
        return [{"type": "value_error", "loc": [*where], "msg": message, "input": None}]
    return [_build_field_error(fault, where) for fault in error.errors(include_url=False)]


def _build_field_error(fault: ErrorDetails, where: Sequence[str]) -> dict[str, Any]:
    if invalid := find_invalid(fault):
        path = fault["loc"]
        if invalid.field and invalid.field not in path:
            path = (invalid.field,)
        loc = [*where, *path]
        return {"type": "value_error", "loc": loc, "msg": invalid.message, "input": None}
    return {**fault, "loc": [*where, *fault["loc"]]}
