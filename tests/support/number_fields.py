"""The numbers that requests can contain, as the OpenAPI document describes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.api_document import DOCUMENT

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]  # the names and positions that lead to a value in a body

TYPES = {"integer", "number"}
ANY_KEY = "any"  # of an object that has no names of its own
PLACEHOLDER = "the number is here"


@dataclass(frozen=True)
class NumberField:
    """A number in the query or the body of an operation."""

    place: Place
    schema: Schema

    @property
    def is_integer(self) -> bool:
        """Whether fractions are not allowed."""
        return self.schema.get("type") == "integer"

    @property
    def minimum(self) -> float:
        """The smallest number, as it is published. Raises KeyError if none is."""
        if "exclusiveMinimum" in self.schema:
            return self.schema["exclusiveMinimum"] + (1 if self.is_integer else 0.001)
        return self.schema["minimum"]

    @property
    def maximum(self) -> float:
        """The largest number, as it is published. Raises KeyError if none is."""
        if "exclusiveMaximum" in self.schema:
            return self.schema["exclusiveMaximum"] - (1 if self.is_integer else 0.001)
        return self.schema["maximum"]


def list_query_numbers(method: str, path: str) -> Iterator[NumberField]:
    """Yield the numbers in the query of an operation."""
    for parameter in get_description(method, path).get("parameters", ()):
        if parameter["in"] == "query":
            for _, schema in _find_numbers(parameter["schema"]):
                yield NumberField((parameter["name"],), schema)


def list_body_numbers(method: str, path: str) -> Iterator[NumberField]:
    """Yield the numbers in the body of an operation."""
    content = get_description(method, path).get("requestBody", {}).get("content", {})
    for place, schema in _find_numbers(content.get("application/json", {}).get("schema", {})):
        yield NumberField(place, schema)


def get_description(method: str, path: str) -> dict[str, Any]:
    """Return an operation of the document."""
    found: dict[str, Any] = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    return found


def _find_numbers(schema: Schema, place: Place = ()) -> Iterator[tuple[Place, Schema]]:
    """Yield the place and the schema of each number, also of those in lists and objects.

    An object or a value of any type can have a number too; it has no limits of its own.
    """
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", ()):
        yield from _find_numbers(option, place)
    types = schema.get("type", ())
    if isinstance(types, list) and "number" in types:
        yield place, {}
    elif types in TYPES:
        yield place, schema
    elif types == "array":
        yield from _find_numbers(schema["items"], (*place, 0))
    elif types == "object":
        for name, field in schema.get("properties", {}).items():
            yield from _find_numbers(field, (*place, name))
        others = schema.get("additionalProperties", "properties" not in schema)
        if isinstance(others, dict):
            yield from _find_numbers(others, (*place, ANY_KEY))
        elif others:
            yield (*place, ANY_KEY), {}


def put_number(body: Any, place: Place, number: str) -> bytes:
    """Return the JSON of a body with a number, which is written as given, at a place.

    Lists and objects on the way are created if they are missing.
    """
    return json.dumps(_put(body, place)).replace(f'"{PLACEHOLDER}"', number).encode()


def _put(value: Any, place: Place) -> Any:
    if not place:
        return PLACEHOLDER
    first, *rest = place
    if isinstance(first, int):
        items: Sequence[Any] = value if isinstance(value, list) and value else [None]
        return [_put(items[0], tuple(rest)), *items[1:]]
    fields = value if isinstance(value, dict) else {}
    return fields | {first: _put(fields.get(first), tuple(rest))}
