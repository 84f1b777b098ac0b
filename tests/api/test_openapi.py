"""The OpenAPI document says what the API does: no more, no less, and in valid OpenAPI 3.1."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route, Router

from api import errors
from api.app import OPERATIONS, app, root_routes
from api.openapi import document
from tests.api.conftest import Caller, Client
from tests.api.walking import named, things
from tests.conftest import Transaction
from tests.world import World

DOCUMENT = document(OPERATIONS)
SEED = [
    ("GET", "/api/v1/agent/boards", "list_boards_api_v1_agent_boards_get"),
    ("GET", "/api/v1/agent/boards/{board_id}", "get_board_api_v1_agent_boards__board_id__get"),
    ("GET", "/api/v1/agent/agents", "list_agents_api_v1_agent_agents_get"),
    ("GET", "/api/v1/agent/healthz", "agent_healthz_api_v1_agent_healthz_get"),
    ("POST", "/api/v1/agent/heartbeat", "agent_heartbeat_api_v1_agent_heartbeat_post"),
    ("POST", "/api/v1/agent/agents", "agent_lead_create_agent"),
    ("POST", "/api/v1/agent/boards/{board_id}/tasks", "agent_lead_create_task"),
    ("GET", "/api/v1/boards", "list_boards_api_v1_boards_get"),
]


def described() -> list[tuple[str, str, dict[str, Any]]]:
    """Return every operation of the document."""
    return [
        (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_and_the_routes_name_the_same() -> None:
    assert isinstance(app.app, Router)
    routed = {
        (method, f"/api/v1{route.path}")
        for route in app.app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    routed |= {("GET", route.path) for route in root_routes} - {
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    }
    assert {(method, path) for method, path, _ in described()} == routed


def test_every_operation_says_what_it_is() -> None:
    ids = [operation["operationId"] for _, _, operation in described()]
    assert len(ids) == len(set(ids))
    for method, path, operation in described():
        for key in ("tags", "summary", "description", "operationId", "responses"):
            assert operation[key], (method, path, key)


@pytest.mark.parametrize(("method", "path", "id"), SEED)
def test_the_names_that_agents_know_are_kept(method: str, path: str, id: str) -> None:
    assert DOCUMENT["paths"][path][method.lower()]["operationId"] == id


def test_what_is_for_agents_carries_what_they_pick_it_by() -> None:
    for method, path, operation in described():
        if not path.startswith("/api/v1/agent/"):
            continue
        assert "agent" in operation["tags"]
        assert {"agent-lead", "agent-worker", "agent-main"} & set(operation["tags"])
        assert operation["x-llm-intent"], (method, path)
        for key in ("x-when-to-use", "x-when-not-to-use", "x-routing-policy", "x-prerequisites"):
            assert operation[key]
        assert operation["x-negative-guidance"]
        assert operation["x-side-effects"]
        assert operation["x-required-actor"] in {"any_agent", "board_lead"}
        [example] = operation["x-routing-policy-examples"]
        assert example["input"]["intent"]
        assert example["decision"]
    tags = DOCUMENT["paths"]["/api/v1/boards/{board_id}/group-snapshot"]["get"]["tags"]
    assert {"agent-lead", "agent-worker"} <= set(tags)


def test_a_blocked_task_is_described_with_a_code_that_may_be_missing() -> None:
    blocked = DOCUMENT["components"]["schemas"]["BlockedTaskDetail"]
    assert {"type": "null"} in blocked["properties"]["code"]["anyOf"]
    assert "code" not in blocked.get("required", [])


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in re.findall(r"'#/components/schemas/(\w+)'", str(DOCUMENT)):
        assert name in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_the_head_of_the_document_is_what_agents_expect() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["title"] == "Mission Control API"
    assert DOCUMENT["info"]["version"] == "0.1.0"
    assert {"userToken", "agentToken", "agentBearer"} == set(
        DOCUMENT["components"]["securitySchemes"]
    )


def fits(answer: Any, schema: dict[str, Any]) -> None:
    """Fail unless an answer is as the document says."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)


async def test_real_answers_are_as_the_document_says(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
    for operation in OPERATIONS:
        if operation.method != "GET" or operation.gives is None:
            continue
        response = await calling(there.insider(operation)).get(there.path(operation))
        told = DOCUMENT["paths"][f"/api/v1{operation.path}"]["get"]["responses"]
        assert response.status_code == 200, (named(operation), response.text)
        fits(response.json(), told["200"]["content"]["application/json"]["schema"])


async def test_real_refusals_are_as_the_document_says(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
    answering = [operation for operation in OPERATIONS if operation.gives is not None]
    callers = [None, world.rita, world.charlie, world.charlies_worker, world.worker, world.alice]
    for operation in answering:
        told = DOCUMENT["paths"][f"/api/v1{operation.path}"][operation.method.lower()]["responses"]
        for caller in callers:
            response = await calling(caller).request(
                operation.method, there.path(operation) + "?limit=x", json={"status": "nonsense"}
            )
            if response.status_code != 200:
                status = str(response.status_code)
                assert status in told, (named(operation), response.text)
                fits(response.json(), told[status]["content"]["application/json"]["schema"])


def test_every_error_has_a_meaning() -> None:
    for operation in OPERATIONS:
        for status in errors.statuses(operation):
            assert errors.MEANING[status]


async def test_the_document_and_its_page_are_served(nobody: Client) -> None:
    served = await nobody.get("http://mission.test/openapi.json")
    assert served.headers["Content-Type"] == "application/json"
    assert served.json()["paths"].keys() == DOCUMENT["paths"].keys()
    page = await nobody.get("http://mission.test/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    for operation in OPERATIONS:
        assert f"/api/v1{operation.path}" in page.text
    assert "<script>" not in page.text
    assert " style=" not in page.text
