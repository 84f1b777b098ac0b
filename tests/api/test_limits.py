"""Every limit of a text or list in a request: as it is published, and one beyond.

The limits of numbers are in test_numbers.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from api.app import OPERATIONS
from api.framework.operation import Operation
from core.db.engine import TransactionFactory
from tests.conftest import rolled_back_changes
from tests.support.api_document import DOCUMENT
from tests.support.api_fixtures import ClientFactory
from tests.support.api_objects import create_api_objects
from tests.support.number_fields import get_description
from tests.support.operation_requests import build_body, build_url
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

Place = tuple[str | int, ...]  # the names and positions that lead to a value in a body
Error = tuple[str, str]  # its code and its type
LIMITS = {"minLength": -1, "maxLength": 1, "minItems": -1, "maxItems": 1}
"""The published limits, and the step beyond each."""

BLANK_IS_ABSENT = {
    "OnboardingAgentMessage.board_type minLength",
    "OnboardingAgentMessage.lead_agent.name minLength",
    "OnboardingAgentMessage.options.0.id minLength",
    "OnboardingGoal.lead_agent.name minLength",
}
"""Limits of optional texts: agents also send blank ones instead of null, as in the original."""
LENIENT_MODELS = {name.partition(".")[0] for name in BLANK_IS_ABSENT}


class LimitedValue(NamedTuple):
    """A text or list with limits, in the query or the body of an operation."""

    where: str
    place: Place
    schema: Mapping[str, Any]


def list_limited_values(operation: Operation) -> Iterator[LimitedValue]:
    description = get_description(operation.method, operation.path)
    for parameter in description.get("parameters", ()):
        if parameter["in"] == "query":
            yield from _find_values("query", parameter["schema"], (parameter["name"],))
    content = description.get("requestBody", {}).get("content", {})
    yield from _find_values("body", content.get("application/json", {}).get("schema", {}), ())


def _find_values(where: str, schema: Mapping[str, Any], place: Place) -> Iterator[LimitedValue]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for option in schema.get("anyOf", ()):
        yield from _find_values(where, option, place)
    if schema.keys() & LIMITS.keys():
        yield LimitedValue(where, place, schema)
    if schema.get("type") == "array":
        yield from _find_values(where, schema["items"], (*place, 0))
    for name, field in schema.get("properties", {}).items():
        yield from _find_values(where, field, (*place, name))


def make_value(one: LimitedValue, length: int) -> Any:
    """Return a text or list of a length; items of a list differ, as some lists drop equal ones."""
    if one.schema.get("type") == "array":
        return [_make_item(one.schema["items"], number) for number in range(length)]
    if one.place[-1] in {"url", "source_url"} and length > 20:
        return "https://example.com/".ljust(length, "x")
    return "x" * length


def _make_item(schema: Mapping[str, Any], number: int) -> Any:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("format") == "uuid":
        return str(UUID(int=number + 1))
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {name: _make_item(fields[name], number) for name in schema.get("required", ())}
    return f"x{number}"


def put_value(body: Any, place: Place, value: Any) -> Any:
    """Return a body with a value at a place; what is missing on the way is created."""
    if not place:
        return value
    first, *rest = place
    if isinstance(first, int):
        items = body if isinstance(body, list) and body else [None]
        return [put_value(items[0], tuple(rest), value), *items[1:]]
    fields = body if isinstance(body, dict) else {}
    return fields | {first: put_value(fields.get(first), tuple(rest), value)}


def describe_limits(one: LimitedValue) -> tuple[Any, ...]:
    """Return the name and the limits of a value: models with the same field share them."""
    limits = sorted((name, one.schema[name]) for name in one.schema.keys() & LIMITS.keys())
    return one.where, one.place[-1:], one.schema.get("type"), *limits


def find_error(response: Any, one: LimitedValue) -> Error | None:
    """Return the code and the type of the error of a value, if it is rejected with its place."""
    if response.status_code != 422 or not isinstance(response.json()["detail"], list):
        return None
    place = [one.where, *one.place]
    for error in response.json()["detail"]:
        if error["loc"][: len(place)] == place[: len(error["loc"])]:
            return response.json().get("code") or "", error["type"]
    return None


async def test_published_limits_of_texts_and_lists_are_those_that_are_enforced(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """A value at a limit has no other error than a short one; one beyond is rejected by name."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)

    async def send(operation: Operation, one: LimitedValue, length: int) -> Error | None:
        value, body = make_value(one, length), build_body(operation, objects)
        url = build_url(operation, objects)
        if one.where == "query":
            url += f"{'&' if '?' in url else '?'}{urlencode({str(one.place[0]): value})}"
        else:
            body = put_value(body, one.place, value)
        client = client_for(objects.get_allowed_caller(operation))
        async with rolled_back_changes(transaction):
            return find_error(await client.request(operation.method, url, json=body), one)

    known: set[Any] = set()
    wrong: set[str] = set()
    for operation in OPERATIONS:
        for one in list_limited_values(operation):
            model = getattr(operation.parser, one.where)
            is_own = IS_COMPLETE_RUN or model.__name__ in LENIENT_MODELS
            place = (model, one.place) if is_own else describe_limits(one)
            if place in known:
                continue
            known.add(place)
            short = await send(operation, one, 1)
            for limit, step in LIMITS.items():
                if limit not in one.schema:
                    continue
                inside = await send(operation, one, one.schema[limit])
                beyond = await send(operation, one, one.schema[limit] + step)
                if inside not in (None, short) or beyond is None:
                    wrong.add(f"{model.__name__}.{'.'.join(map(str, one.place))} {limit}")
    assert len(known) > 100
    assert wrong == BLANK_IS_ABSENT
