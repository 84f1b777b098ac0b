"""Invalid input is rejected with an error envelope, and nothing is stored partially."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.framework.operation import Operation
from api.framework.request_parser import MAX_JSON_DEPTH, MAX_JSON_VALUES, find_unstorable_value
from core.db.engine import TransactionFactory
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import (
    OPERATIONS_BY_BODY,
    OPERATIONS_WITH_BODY,
    ApiObjects,
    create_api_objects,
    operation_label,
    read_all_rows,
)
from tests.support.tiers import IS_COMPLETE_RUN
from tests.support.world import World

MEGABYTE = "a" * 1_000_000
DATES = [
    "0000-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00",
    "99999-01-01T00:00:00",
    "2026-13-01T00:00:00",
    "tomorrow",
    1e300,
    True,
]
NOT_TEXTS = [5, True, ["a"], {"a": "b"}]
INVALID_TEXTS = [MEGABYTE, "a\x00b"]
NOT_NUMBERS = [10**400, 1.5, "many", [1], {}]
INVALID_VALUES: dict[str, list[Any]] = {
    "uuid": ["no-id", 5, "", MEGABYTE, "\x00"],
    "date-time": DATES,
    "integer": [-1, 2**31, *NOT_NUMBERS],
    "int64": [-1, 2**53, *NOT_NUMBERS],
    "number": [-1, 101, 10**400, "many", [1], {}],
    "boolean": ["maybe", 5, [True], {}, "\x00"],
    "string": [*NOT_TEXTS, *INVALID_TEXTS],
    "array": [5, "a", {"a": 1}, ["no-id"], [None], ["\x00"]],
    "texts": [5, "a", {"a": 1}, [None], [5], ["\x00"], [MEGABYTE], ["a"] * 5_000],
    "object": [5, "a", ["a"], {"a": "\x00"}, {"\x00": 1}, {"a": [{"b": "\x00"}]}],
    "anything": ["a\x00b", {"a": "\x00"}],
    "enum": ["", "Inbox", "nonsense", 5, ["inbox"], MEGABYTE],
}
INVALID_JSON = [
    b" ",
    b"{",
    b"{]",
    b'{"name": }',
    b"\xff\xfe\x00",
    b'{"name": "\xc3\x28"}',
    b'{"name": NaN, "confidence": Infinity}',
    rb'{"name": "\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a": ' + b"9" * 100_000 + b"}",
]
NOT_OBJECTS = [
    b"[]",
    b"[{}]",
    b"5",
    b'"text"',
    b"null",
    b"true",
    b'{"\\u0000": 1}',
    b'{"a": 1e999}',
]


def get_field_kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the kind of a field, apart from null."""
    for option in schema.get("anyOf", [schema]):
        found = definitions.get(option.get("$ref", "").rpartition("/")[2], option)
        if "enum" in found:
            return "enum"
        if found.get("items", {}).get("type") == "string" and "format" not in found["items"]:
            return "texts"
        if isinstance(found.get("type"), list):
            return "anything"
        if found.get("type") != "null":
            return str(found.get("format", found.get("type", "anything")))
    raise AssertionError(schema)


ANNOTATION_KEYS = {"default", "description", "title"}  # they do not restrict the values


def accepts_null(schema: dict[str, Any]) -> bool:
    options = [schema, *schema.get("anyOf", [])]
    nulls = any("null" in one.get("type", ()) for one in options)
    return nulls or schema.keys() <= ANNOTATION_KEYS


def list_invalid_values(model: Any, known: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield fields of a model, each with a value that is not valid.

    A field of a kind that another one has too has two values, one if the schema is the same too,
    and all in a complete run.
    """
    schema_of_model = model.model_json_schema()
    for name, schema in schema_of_model.get("properties", {}).items():
        of = get_field_kind(schema, schema_of_model.get("$defs", {}))
        rules = json.dumps({key: schema[key] for key in schema.keys() - ANNOTATION_KEYS})
        is_known = rules in known and not IS_COMPLETE_RUN
        is_known_kind = of in known and not IS_COMPLETE_RUN
        known |= {rules, of}
        count = 1 if is_known else 2 if is_known_kind else None
        yield from ((name, wrong) for wrong in INVALID_VALUES[of][:count])
        if not accepts_null(schema) and not is_known:
            yield name, None


def build_valid_body(operation: Operation, objects: ApiObjects) -> dict[str, Any]:
    """Return a valid body."""
    model = operation.parser.body
    assert model is not None
    body = dict(getattr(model, "example", None) or {})
    if "board_id" in model.model_fields:
        body["board_id"] = str(objects.world.board.id)
    if "organization_id" in model.model_fields:
        body["organization_id"] = str(objects.world.tern.id)
    if "task_ids" in model.model_fields:
        body["task_ids"] = []
    return body


LENIENT_OPERATIONS = {
    "POST /boards/{board_id}/onboarding/agent",
    "POST /agent/boards/{board_id}/onboarding",
}
"""They accept output of language models: see tests/contract/test_onboarding_questions.py (W-40)."""

STRICT_OPERATIONS = [
    operation
    for operation in OPERATIONS_BY_BODY
    if operation_label(operation) not in LENIENT_OPERATIONS
]
assert len(STRICT_OPERATIONS) > 30


def is_rejected(response: Any) -> bool:
    """Return whether this is an error in the API's envelope."""
    body = response.json()
    assert response.status_code < 500, body
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert len(response.content) < 20_000
    return response.status_code >= 400 and bool(body["detail"])


async def test_an_invalid_field_is_rejected_with_its_location(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """C8, W-47."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    known: set[str] = set()
    for operation in STRICT_OPERATIONS:
        with subtests.test(operation_label(operation)):
            client, path = (
                client_for(objects.get_allowed_caller(operation)),
                objects.build_path(operation),
            )
            good = build_valid_body(operation, objects)

            for name, wrong in list_invalid_values(operation.parser.body, known):
                response = await client.request(operation.method, path, json={**good, name: wrong})
                assert is_rejected(response), (name, str(wrong)[:40])
                assert response.status_code == 422, (name, str(wrong)[:40], response.text)
                assert any(
                    fault["loc"][:2] == ["body", name] for fault in response.json()["detail"]
                )
    async with transaction() as session:
        assert await read_all_rows(session) == before


async def test_a_missing_field_is_named_in_the_error(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """C34."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for operation in OPERATIONS_BY_BODY:
        client, path = (
            client_for(objects.get_allowed_caller(operation)),
            objects.build_path(operation),
        )
        model = operation.parser.body
        assert model is not None
        required = {name for name, of in model.model_fields.items() if of.is_required()}
        if required:
            response = await client.request(operation.method, path, json={})
            assert response.status_code == 422
            field_errors = [
                fault for fault in response.json()["detail"] if fault["loc"][0] == "body"
            ]
            assert sorted(fault["loc"][1] for fault in field_errors) == sorted(required)
            assert {fault["type"] for fault in field_errors} == {"missing"}
            nothing = await client.request(operation.method, path)
            assert nothing.json()["detail"][-1]["loc"] == ["body"]


async def test_an_invalid_value_does_not_hide_the_errors_of_other_fields(alice: Client) -> None:
    body = {"name": "", "url": "nonsense", "workspace_root": "~"}
    response = await alice.post("/gateways", json=body)
    assert response.status_code == 422
    assert [one["loc"] for one in response.json()["detail"]] == [["body", "name"], ["body", "url"]]
    alone = await alice.post("/gateways", json=body | {"name": "Workshop"})
    assert alone.json()["code"] == "url_invalid"
    assert alone.json()["detail"] == response.json()["detail"][1:]


async def test_invalid_json_is_rejected_before_any_other_check(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    anonymous = client_for(None)
    tried = [(operation, b"{]") for operation in OPERATIONS_WITH_BODY] + [
        (OPERATIONS_WITH_BODY[0], raw) for raw in INVALID_JSON
    ]
    for operation, raw in tried:
        for client in (client_for(objects.get_allowed_caller(operation)), anonymous):
            response = await client.request(
                operation.method, objects.build_path(operation), content=raw
            )
            assert is_rejected(response), (operation_label(operation), raw[:40])
            [fault] = response.json()["detail"]
            assert response.status_code == 422
            assert fault["type"] == "json_invalid"
            assert fault["loc"][0] == "body"
    async with transaction() as session:
        assert await read_all_rows(session) == before


async def test_a_body_that_is_not_an_object_is_rejected(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await read_all_rows(session)
    for number, operation in enumerate(STRICT_OPERATIONS):
        client, path = (
            client_for(objects.get_allowed_caller(operation)),
            objects.build_path(operation),
        )
        # All operations have the same parser.
        tried = NOT_OBJECTS if IS_COMPLETE_RUN or number < 10 else NOT_OBJECTS[:2]
        for raw in tried:
            response = await client.request(operation.method, path, content=raw)
            assert is_rejected(response), (operation_label(operation), raw)
            assert response.status_code == 422
    async with transaction() as session:
        assert await read_all_rows(session) == before


async def test_json_with_another_content_type_is_rejected(alice: Client, world: World) -> None:
    path, body = f"/boards/{world.board.id}/tasks", json.dumps({"title": "Write"})
    text = await alice.post(path, content=body, headers={"Content-Type": "text/plain"})
    assert text.status_code == 422
    assert text.json()["detail"][0]["type"] == "model_attributes_type"
    assert (await alice.post(path, content=body)).status_code == 200


async def test_a_body_that_is_too_large_is_not_read_completely(alice: Client, world: World) -> None:
    async def endless() -> Any:
        for _ in range(1_000):
            yield b"x" * 100_000

    response = await alice.post(f"/boards/{world.board.id}/tasks", content=endless())
    assert response.status_code == 413
    assert is_rejected(response)


async def test_json_with_too_deep_nesting_is_rejected_and_not_stored(
    alice: Client, world: World
) -> None:
    """Events wrap the values, so a value with maximum nesting could not be read inside an event."""
    path = f"/boards/{world.board.id}"
    for depth, status in [(50, 200), (61, 422), (150, 422), (198, 422), (300, 422)]:
        nested = '{"a":' * depth + "1" + "}" * depth
        body = f'{{"success_metrics": {nested}}}'
        response = await alice.patch(path, content=body)
        assert response.status_code == status, depth
        assert (await alice.get("/activity")).status_code == 200
    assert (await alice.get(path)).json()["success_metrics"]


async def test_unknown_fields_are_ignored(alice: Client, world: World) -> None:
    """A27.5."""
    body = {"title": "Write", "colour": "red", "id": "5"}
    response = await alice.post(f"/boards/{world.board.id}/tasks", json=body)
    assert response.status_code == 200
    assert "colour" not in response.json()


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=many",
        "offset=-1",
        "offset=99999999999",
        "limit=%00",
        "status=nonsense",
        "assigned_agent_id=no-id",
        "unassigned=maybe",
        "status=%00",
        "status=%ff%fe",
    ],
)
async def test_an_invalid_query_is_rejected(alice: Client, world: World, query: str) -> None:
    response = await alice.get(f"/boards/{world.board.id}/tasks?{query}")
    assert response.status_code == 422
    assert is_rejected(response)


async def test_a_body_with_too_many_values_is_rejected(alice: Client, world: World) -> None:
    path = f"/boards/{world.board.id}/memory"
    for body in ({"content": "a", "tags": [0] * MAX_JSON_VALUES}, {"content": [[]] * 300_000}):
        response = await alice.post(path, json=body)
        assert response.status_code == 422
        [error] = response.json()["detail"]
        assert (error["type"], error["loc"]) == ("value_error", ["body"])
        assert error["msg"] == "There are too many values: at most 300,000 are allowed."


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ({"a": [1, {"b\x00": 1}]}, ["a", 1, "b\ufffd"]),
        ({"a": ["", "\x00"], "b": "\x00"}, ["b"]),
        ([[[1e400]]], [0, 0, 0]),
        ("\x00", []),
    ],
)
def test_a_value_that_cannot_be_stored_is_located(value: Any, location: list[str | int]) -> None:
    found = find_unstorable_value(value)
    assert found is not None
    assert found[0] == location


def test_nesting_is_limited() -> None:
    value: Any = 1
    for _ in range(MAX_JSON_DEPTH):
        value = [value]
    assert find_unstorable_value(value) is None
    assert find_unstorable_value([value]) is not None
