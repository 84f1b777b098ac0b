"""Whatever is sent: the answer is a refusal in the envelope, and nothing is half-written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.operations import Operation
from tests.api.conftest import Caller, Client
from tests.api.walking import BODIES, WRITING, Things, everything, named, things
from tests.conftest import Transaction
from tests.world import World

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
NO_TEXT = [5, True, ["a"], {"a": "b"}]
BAD_TEXTS = [MEGABYTE, "a\x00b"]
NO_NUMBER = [10**400, 1.5, "many", [1], {}]
BAD: dict[str, list[Any]] = {
    "uuid": ["no-id", 5, "", MEGABYTE, "\x00"],
    "date-time": DATES,
    "integer": [-1, 2**31, *NO_NUMBER],
    "int64": [-1, 2**53, *NO_NUMBER],
    "number": [-1, 101, 10**400, "many", [1], {}],
    "boolean": ["maybe", 5, [True], {}, "\x00"],
    "string": [*NO_TEXT, *BAD_TEXTS],
    "array": [5, "a", {"a": 1}, ["no-id"], [None], ["\x00"]],
    "texts": [5, "a", {"a": 1}, [None], [5], ["\x00"], [MEGABYTE], ["a"] * 5_000],
    "object": [5, "a", ["a"], {"a": "\x00"}, {"\x00": 1}, {"a": [{"b": "\x00"}]}],
    "anything": ["a\x00b", {"a": "\x00"}],
    "enum": ["", "Inbox", "nonsense", 5, ["inbox"], MEGABYTE],
}
NO_JSON = [
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
NO_OBJECT = [b"[]", b"[{}]", b"5", b'"text"', b"null", b"true", b'{"\\u0000": 1}', b'{"a": 1e999}']


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return what a field is, where it is not null."""
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


SAYS_NOTHING = {"default", "description", "title"}  # of what may be sent


def takes_null(schema: dict[str, Any]) -> bool:
    options = [schema, *schema.get("anyOf", [])]
    nulls = any("null" in one.get("type", ()) for one in options)
    return nulls or schema.keys() <= SAYS_NOTHING


def faults(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield fields of a model, each with something that it does not take."""
    described = model.model_json_schema()
    for name, schema in described.get("properties", {}).items():
        of = kind(schema, described.get("$defs", {}))
        yield from ((name, wrong) for wrong in BAD[of])
        if not takes_null(schema):
            yield name, None


def body_of(operation: Operation, there: Things) -> dict[str, Any]:
    """Return a body that would be taken."""
    model = operation.reads.body
    assert model is not None
    body = dict(getattr(model, "example", None) or {})
    if "board_id" in model.model_fields:
        body["board_id"] = str(there.world.board.id)
    if "organization_id" in model.model_fields:
        body["organization_id"] = str(there.world.tern.id)
    if "task_ids" in model.model_fields:
        body["task_ids"] = []
    return body


FORGIVING = {
    "POST /boards/{board_id}/onboarding/agent",
    "POST /agent/boards/{board_id}/onboarding",
}
"""What takes whatever a model may say: tests/contract/test_onboarding.py says how (W-40)."""

STRICT = [operation for operation in BODIES if named(operation) not in FORGIVING]


def refused(response: Any) -> bool:
    """Say whether this is a refusal as the API makes them."""
    body = response.json()
    assert response.status_code < 500, body
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert len(response.content) < 20_000
    return response.status_code >= 400 and bool(body["detail"])


@pytest.mark.parametrize("operation", STRICT, ids=named)
async def test_a_field_that_is_wrong_is_refused_with_its_place(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    """C8, W-47."""
    async with transaction() as session:
        there = await things(session, world)
        before = await everything(session)
    client, path = calling(there.insider(operation)), there.path(operation)
    good = body_of(operation, there)

    for name, wrong in faults(operation.reads.body):
        response = await client.request(operation.method, path, json={**good, name: wrong})
        assert refused(response), (name, str(wrong)[:40])
        assert response.status_code == 422, (name, str(wrong)[:40], response.text)
        assert any(fault["loc"][:2] == ["body", name] for fault in response.json()["detail"])

    async with transaction() as session:
        assert await everything(session) == before


async def test_a_field_that_is_missing_is_named(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    """C34."""
    async with transaction() as session:
        there = await things(session, world)
    for operation in BODIES:
        client, path = calling(there.insider(operation)), there.path(operation)
        model = operation.reads.body
        assert model is not None
        required = {name for name, of in model.model_fields.items() if of.is_required()}
        if required:
            response = await client.request(operation.method, path, json={})
            assert response.status_code == 422
            faults = [fault for fault in response.json()["detail"] if fault["loc"][0] == "body"]
            assert sorted(fault["loc"][1] for fault in faults) == sorted(required)
            assert {fault["type"] for fault in faults} == {"missing"}
            nothing = await client.request(operation.method, path)
            assert nothing.json()["detail"][-1]["loc"] == ["body"]


async def test_a_body_that_is_no_json_is_refused_before_anything_else(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
        before = await everything(session)
    nobody = calling(None)
    tried = [(operation, b"{]") for operation in WRITING] + [(WRITING[0], raw) for raw in NO_JSON]
    for operation, raw in tried:
        for client in (calling(there.insider(operation)), nobody):
            response = await client.request(operation.method, there.path(operation), content=raw)
            assert refused(response), (named(operation), raw[:40])
            [fault] = response.json()["detail"]
            assert response.status_code == 422
            assert fault["type"] == "json_invalid"
            assert fault["loc"][0] == "body"
    async with transaction() as session:
        assert await everything(session) == before


async def test_a_body_that_is_no_object_is_refused(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
        before = await everything(session)
    for operation in STRICT:
        client, path = calling(there.insider(operation)), there.path(operation)
        for raw in NO_OBJECT:
            response = await client.request(operation.method, path, content=raw)
            assert refused(response), (named(operation), raw)
            assert response.status_code == 422
    async with transaction() as session:
        assert await everything(session) == before


async def test_json_that_calls_itself_something_else_is_not_read(
    alice: Client, world: World
) -> None:
    path, body = f"/boards/{world.board.id}/tasks", json.dumps({"title": "Write"})
    text = await alice.post(path, content=body, headers={"Content-Type": "text/plain"})
    assert text.status_code == 422
    assert text.json()["detail"][0]["type"] == "model_attributes_type"
    assert (await alice.post(path, content=body)).status_code == 200


async def test_a_body_that_is_too_long_is_not_read_to_its_end(alice: Client, world: World) -> None:
    async def endless() -> Any:
        for _ in range(1_000):
            yield b"x" * 100_000

    response = await alice.post(f"/boards/{world.board.id}/tasks", content=endless())
    assert response.status_code == 413
    assert refused(response)


async def test_what_is_nested_too_deeply_is_refused_and_poisons_nothing(
    alice: Client, world: World
) -> None:
    """An event wraps what was sent, so what can just be read by itself could not be read there."""
    path = f"/boards/{world.board.id}"
    for depth, status in [(50, 200), (61, 422), (150, 422), (198, 422), (300, 422)]:
        nested = '{"a":' * depth + "1" + "}" * depth
        body = f'{{"success_metrics": {nested}}}'
        response = await alice.patch(path, content=body)
        assert response.status_code == status, depth
        assert (await alice.get("/activity")).status_code == 200
    assert (await alice.get(path)).json()["success_metrics"]


async def test_fields_that_nobody_knows_are_passed_over(alice: Client, world: World) -> None:
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
async def test_a_query_that_makes_no_sense_is_refused(
    alice: Client, world: World, query: str
) -> None:
    response = await alice.get(f"/boards/{world.board.id}/tasks?{query}")
    assert response.status_code == 422
    assert refused(response)
