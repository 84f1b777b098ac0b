"""Every number of every operation, at its published limits, one beyond, and in other forms."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest

from api.app import OPERATIONS
from api.framework.operation import Operation
from core.db.engine import TransactionFactory
from tests.conftest import rolled_back_changes
from tests.support.api_fixtures import ClientFactory
from tests.support.api_objects import create_api_objects, operation_label
from tests.support.number_fields import (
    NumberField,
    list_body_numbers,
    list_query_numbers,
    put_number,
)
from tests.support.operation_requests import build_body, build_url
from tests.support.tiers import IS_COMPLETE_RUN, select_options
from tests.support.world import World

LARGE = "9" * 5_000  # more digits than int() converts
POWERS = (2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64)
WHOLE_NUMBERS = ("0", "-1", *map(str, POWERS), *(f"-{power}" for power in POWERS))
OTHER_FORMS = ("1e5", "\u0661", "+1", " 1", "1_0", "1.0", "0x1", "-0", "", "nan", "inf", "1e400")
NOT_WHOLE = ("1e5", "1e400", "-1e400", "1.0", "-0", "1e-400", "true", "null", "9" * 4_000)
OTHER_JSON = (*NOT_WHOLE, *(f'"{form}"' for form in OTHER_FORMS))

OTHER_ANSWERS = {
    "GET /organizations/me/audit/export": 404,  # there is no record with this number
    "GET /installation/audit/export": 404,
    "GET /gateways/sessions/{session_id}/history": 502,  # no gateway is connected
}
"""What operations answer besides 200 if the number is within its limits."""


def list_values(
    field: NumberField, others: Sequence[str], *, is_known: bool
) -> Iterator[tuple[str, bool]]:
    """Yield the limits, what is beyond, and others, and whether each is within the limits.

    Of a field with known rules only the maximum and what is beyond.
    """
    step = 1 if field.is_integer else 0.001
    limits = ((field.maximum, step), (field.minimum, -step))
    for limit, beyond in limits[:1] if is_known else limits:
        yield format_number(limit), True
        yield format_number(limit + beyond), False
    for text in () if is_known else (LARGE, *others):
        is_inside = len(text) < 100 and field.minimum <= int(text) <= field.maximum
        yield text, is_inside


def describe_rules(field: NumberField) -> str:
    """Return what decides which numbers are valid; in a complete run also the place."""
    rules = {name: rule for name, rule in field.schema.items() if name != "description"}
    return str(field) if IS_COMPLETE_RUN else f"{field.place[-1]} {rules}"


def describe_kind(field: NumberField) -> str:
    """Return what decides how the text of a number is read; in a complete run also the place."""
    return str(field if IS_COMPLETE_RUN else field.schema.get("type", field.place[-1]))


def is_tried(field: NumberField, text: str) -> bool:
    """Return whether a number is within the limits, or has none: what is beyond is tried anyway."""
    return not field.schema or IS_COMPLETE_RUN or field.minimum <= int(text) <= field.maximum


def format_number(number: float) -> str:
    return str(math.floor(number)) if number == math.floor(number) else repr(number)


def is_rejected(response: Any, *place: str | int) -> bool:
    """Return whether a number was rejected, with its place in the query or the body."""
    if response.status_code != 422:
        return False
    [error] = response.json()["detail"]
    assert error["type"] == "json_invalid" or error["loc"][: len(place)] == list(place)
    return True


def test_every_number_of_a_request_has_published_limits() -> None:
    for operation in OPERATIONS:
        for list_numbers in (list_query_numbers, list_body_numbers):
            for field in list_numbers(operation.method, operation.path):
                assert not field.schema or field.minimum < field.maximum, operation_label(operation)


@pytest.mark.usefixtures("without_waits")
async def test_every_number_in_a_query_is_checked(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    known: set[str] = set()
    for operation in OPERATIONS:
        label, client = (
            operation_label(operation),
            client_for(objects.get_allowed_caller(operation)),
        )
        url = build_url(operation, objects)
        url += "&" if "?" in url else "?"
        for field in list_query_numbers(operation.method, operation.path):
            with subtests.test(f"{label} {field.place}"):
                [name] = field.place
                is_known = describe_rules(field) in known
                for text, is_inside in list_values(field, WHOLE_NUMBERS, is_known=is_known):
                    response = await client.request(operation.method, f"{url}{name}={quote(text)}")
                    assert is_rejected(response, "query", name) is not is_inside, text[:40]
                    expected = {200, OTHER_ANSWERS.get(label)} if is_inside else {422}
                    assert response.status_code in expected, text[:40]
                for text in () if is_known else OTHER_FORMS:
                    response = await client.request(operation.method, f"{url}{name}={quote(text)}")
                    assert response.status_code in {200, 422, OTHER_ANSWERS.get(label)}, text
                known.add(describe_rules(field))
    assert len(known) > 8


async def test_every_number_in_a_body_is_checked(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)

    async def send(operation: Operation, field: NumberField, number: str) -> Any:
        body = {"escalate_to_user_id": str(world.bob.id), **(build_body(operation, objects) or {})}
        content, url = put_number(body, field.place, number), build_url(operation, objects)
        async with rolled_back_changes(transaction):
            client = client_for(objects.get_allowed_caller(operation))
            return await client.request(operation.method, url, content=content)

    known: set[str] = set()
    for operation in OPERATIONS:
        for field in list_body_numbers(operation.method, operation.path):
            with subtests.test(f"{operation_label(operation)} {field.place}"):
                others = [] if describe_kind(field) in known else [*OTHER_JSON]
                is_known = describe_rules(field) in known
                if not is_known:
                    others += [text for text in WHOLE_NUMBERS if is_tried(field, text)]
                values = list_values(field, (), is_known=is_known) if field.schema else ()
                for text, is_inside in values:
                    response = await send(operation, field, text)
                    assert is_rejected(response, "body", *field.place) is not is_inside, text[:40]
                    assert response.status_code < 500
                for text in others:
                    assert (await send(operation, field, text)).status_code < 500, text[:40]
                known |= {describe_rules(field), describe_kind(field)}
    assert len(known) > 15


HEADERS = {
    "If-Match": ("{}", '"{}"', '"{}-0123456789abcdef"', 'W/"{}"'),
    "If-None-Match": ('"{}"', '"{}-0123456789abcdef"'),
    "Idempotency-Key": ("{}",),
    "Content-Length": ("{}",),
    "Last-Event-ID": ("{}",),
    "Range": ("bytes={}-", "bytes=-{}", "bytes=0-{}"),
    "If-Range": ("{}",),
    "If-Modified-Since": ("{}",),
    "Accept-Encoding": ("gzip;q={}",),
    "Accept-Language": ("de;q={}",),
    "X-Forwarded-For": ("{}", "192.0.2.{}", "192.0.2.1:{}"),
    "Forwarded": ("for=192.0.2.{}", 'for="[2001:db8::1]:{}"'),
}
"""Headers with numbers, and the forms in which they have them."""
READ_BY_CHANGES = {"If-Match", "Idempotency-Key", "Content-Length"}
"""What only changes read; all others are read in the same way before each operation."""
HEADER_NUMBERS = ("-1", str(2**31), str(2**63), LARGE, "\u0661", "1e400", "nan", "")


async def test_no_number_in_a_header_is_an_internal_error(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    board, client = f"/boards/{world.board.id}", client_for(world.alice)
    requests: Sequence[tuple[str, str, Any]] = [
        ("GET", board, None),
        ("PATCH", board, {"objective": "Land"}),
        ("POST", f"{board}/tasks", {"title": "Write"}),
    ]
    for header, forms in HEADERS.items():
        is_sent_to_all = IS_COMPLETE_RUN or header in READ_BY_CHANGES
        with subtests.test(header):
            for form, text in product(select_options(header, forms), HEADER_NUMBERS):
                value = form.format(text).encode()
                sent = [(header.encode(), value)]
                for method, path, body in requests if is_sent_to_all else requests[:1]:
                    async with rolled_back_changes(transaction):
                        response = await client.request(method, path, json=body, headers=sent)
                    assert response.status_code < 500, (method, value[:60])
