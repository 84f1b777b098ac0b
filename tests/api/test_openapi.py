"""The OpenAPI document matches the API exactly, and is valid OpenAPI 3.1."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from api.app import OPERATIONS, app
from api.framework.auth import AllowedCaller
from api.framework.fields import MAX_IDS
from api.openapi import errors
from api.openapi.document import PROBES, render_json
from api.openapi.role_documents import DocumentRole, build_role_document, render_role_json
from core.db.engine import TransactionFactory
from core.http.grouped_router import GroupedRouter
from services.approvals import MAX_SCORES
from tests.support.api_document import DOCUMENT
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.api_objects import create_api_objects, operation_label
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.operation_requests import build_url
from tests.support.tiers import repetition, select_options
from tests.support.world import World

ROOT = Path(__file__).parent.parent.parent


def list_operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Return every operation of the document."""
    return [
        (method.upper(), path, operation)
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_and_the_routes_have_the_same_operations() -> None:
    assert isinstance(app.app, GroupedRouter)
    routed = {
        (method, f"/api/v1{route.path}")
        for route in app.app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    routed |= {("GET", path) for path in PROBES}
    assert {(method, path) for method, path, _ in list_operations()} == routed


def test_every_operation_has_a_description() -> None:
    ids = [operation["operationId"] for _, _, operation in list_operations()]
    assert len(ids) == len(set(ids))
    for method, path, operation in list_operations():
        for key in ("tags", "summary", "description", "operationId", "responses"):
            assert operation[key], (method, path, key)


def test_agent_operations_have_their_hints() -> None:
    for method, path, operation in list_operations():
        if not path.startswith("/api/v1/agent/"):
            continue
        assert "agent" in operation["tags"]
        assert {"agent-lead", "agent-worker", "agent-main"} & set(operation["tags"])
        assert operation["x-llm-intent"], (method, path)
        for key in ("x-when-to-use", "x-when-not-to-use", "x-routing-policy", "x-prerequisites"):
            assert operation[key]
        assert operation["x-negative-guidance"]
        assert operation["x-side-effects"]
        assert operation["x-required-actor"] in {"any_agent", "board_lead", "agent_main"}
        [example] = operation["x-routing-policy-examples"]
        assert example["input"]["intent"]
        assert example["decision"]
    tags = DOCUMENT["paths"]["/api/v1/boards/{board_id}/group-snapshot"]["get"]["tags"]
    assert {"agent-lead", "agent-worker"} <= set(tags)


def test_the_code_of_a_blocked_task_is_optional_in_the_document() -> None:
    blocked = DOCUMENT["components"]["schemas"]["BlockedTaskDetail"]
    assert {"type": "null"} in blocked["properties"]["code"]["anyOf"]
    assert "code" not in blocked.get("required", [])


def test_every_reference_resolves_and_every_schema_is_valid() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in re.findall(r"'#/components/schemas/(\w+)'", str(DOCUMENT)):
        assert name in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_the_document_has_the_expected_info_section() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["title"] == "Mission Control API"
    assert {"userToken", "agentToken", "agentBearer"} == set(
        DOCUMENT["components"]["securitySchemes"]
    )


def assert_matches(answer: Any, schema: dict[str, Any]) -> None:
    """Fail unless a response matches the document."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)


async def test_real_responses_match_the_document(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    for operation in OPERATIONS:
        asks_a_gateway = operation.options.waits_for_network
        if operation.method != "GET" or operation.response_type is None or asks_a_gateway:
            continue
        response = await client_for(objects.get_allowed_caller(operation)).get(
            build_url(operation, objects)
        )
        responses = DOCUMENT["paths"][f"/api/v1{operation.path}"]["get"]["responses"]
        assert response.status_code == 200, (operation_label(operation), response.text)
        assert_matches(response.json(), responses["200"]["content"]["application/json"]["schema"])


async def test_real_errors_match_the_document(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """C33."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    answering = [operation for operation in OPERATIONS if operation.response_type is not None]
    refused = [None, world.charlie, world.worker, world.rita, world.charlies_worker]
    for operation in answering:
        responses = DOCUMENT["paths"][f"/api/v1{operation.path}"][operation.method.lower()][
            "responses"
        ]
        for caller in (*select_options(operation_label(operation), refused), world.alice):
            response = await client_for(caller).request(
                operation.method,
                objects.build_path(operation) + "?limit=x",
                json={"status": "nonsense"},
            )
            if response.status_code != 200:
                status = str(response.status_code)
                assert status in responses, (operation_label(operation), response.text)
                assert response.json()["code"], operation_label(operation)
                assert_matches(
                    response.json(), responses[status]["content"]["application/json"]["schema"]
                )


def test_every_error_status_has_a_description() -> None:
    for operation in OPERATIONS:
        for status in errors.list_statuses(operation):
            assert errors.STATUS_DESCRIPTIONS[status]


def test_what_changes_an_agent_may_be_refused_because_it_was_moved() -> None:
    """What only reads it, and what is about one of its messages or permissions, cannot."""
    refused = {
        (method, path)
        for method, path, described in list_operations()
        for response in [described["responses"].get("409")]
        if response and "agent_moved" in response["content"]["application/json"]["examples"]
    }
    agent = "/api/v1/agents/{agent_id}"
    assert refused == {
        ("PATCH", agent),
        ("DELETE", agent),
        ("POST", f"{agent}/heartbeat"),
        ("POST", f"{agent}/provisioning"),
        ("PUT", f"{agent}/hold"),
        ("DELETE", f"{agent}/hold"),
        ("POST", f"{agent}/tokens"),
    }


def test_examples_of_errors_have_the_words_of_the_services() -> None:
    raised = "".join(
        path.read_text()
        for folder in ("core", "services", "openclaw", "api/framework")
        for path in Path(folder).rglob("*.py")
    )
    raised = re.sub(r'"\s+"', "", raised)
    by_status = {**errors.ERRORS_BY_STATUS, 500: (), 502: ()}  # a phrase; the hints of a gateway
    given = [error for found in by_status.values() for error in found]
    given += [errors.AGENT_ERROR, errors.AGENT_MOVED]
    for error in [*given, *errors.IDEMPOTENCY_ERRORS.values()]:
        assert error.text in raised, error.code
    for kind in {kind for one in OPERATIONS for kind in errors.list_not_found_kinds(one)}:
        assert f'"{kind}_not_found"' in raised


async def test_the_document_and_its_page_are_served(anonymous: Client) -> None:
    with measure_holds() as holds:  # the first time, if no other test was before
        served = await anonymous.get("http://mission.test/openapi.json")
        page = await anonymous.get("http://mission.test/docs")
    assert holds.longest < calibrate(), holds.place
    assert served.headers["Content-Type"] == "application/json"
    assert served.json()["paths"].keys() == DOCUMENT["paths"].keys()
    assert "<code>X-Request-Id</code>" in page.text
    assert page.headers["Content-Type"].startswith("text/html")
    for operation in OPERATIONS:
        assert f"/api/v1{operation.path}" in page.text
    assert "<script>" not in page.text
    assert " style=" not in page.text


@repetition
def test_the_document_is_valid_openapi() -> None:
    """With the meta-schema of OpenAPI 3.1 in the validator package; nothing is fetched."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def resolve(value: Any, document: dict[str, Any]) -> Any:
    """Return a part of a document with components instead of references, except schemas."""
    if isinstance(value, list):
        return [resolve(one, document) for one in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref", "")
    _, _, kind, name = reference.split("/") if reference else ("", "", "", "")
    if kind in ("examples", "parameters", "responses") or name == "Timestamp":
        return resolve(document["components"][kind][name], document)
    return {key: resolve(one, document) for key, one in value.items()}


def test_components_for_what_repeats_lose_nothing() -> None:
    text = render_json(OPERATIONS, "/")
    served = json.loads(text)
    assert len(text) <= 600_000
    OpenAPIV31SpecValidator(served).validate()
    schemas = served["components"]["schemas"]
    del schemas["Timestamp"]
    whole = json.loads(text)
    assert resolve(schemas, whole) == DOCUMENT["components"]["schemas"]
    for method, path, described in list_operations():
        operation = deepcopy(described)
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                if status < "300":
                    assert content.pop("example")
        assert resolve(whole["paths"][path][method.lower()], whole) == operation, (method, path)


def test_each_operation_has_tags_that_are_described() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"]}
    assert described == {tag for _, _, operation in list_operations() for tag in operation["tags"]}


@pytest.mark.parametrize("role", DocumentRole)
def test_the_document_of_a_role_has_its_operations(role: DocumentRole) -> None:
    document = build_role_document(role, OPERATIONS)
    OpenAPIV31SpecValidator(document).validate()
    ids = [
        one["operationId"] for by_method in document["paths"].values() for one in by_method.values()
    ]
    assert len(ids) == len(set(ids)) > 20
    callers = {(one.path, one.method): one.allowed_caller for one in OPERATIONS}
    other = AllowedCaller.AGENT if role is DocumentRole.PEOPLE else AllowedCaller.USER
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert callers[path.removeprefix("/api/v1"), method.upper()] is not other
            whole = DOCUMENT["paths"][path][method]
            assert [resolve(one, document)["name"] for one in operation["parameters"]] == [
                one["name"] for one in whole["parameters"]
            ]
            assert operation.keys() >= {"summary", "description"}
            assert ("requestBody" in operation) == ("requestBody" in whole)
    for name, schema in document["components"]["schemas"].items():
        whole = DOCUMENT["components"]["schemas"][name]
        assert schema.get("properties", {}).keys() == whole.get("properties", {}).keys(), name


def test_the_document_for_workers_is_short_and_for_workers_only() -> None:
    text = render_role_json(DocumentRole.WORKER, OPERATIONS, "https://mission.example")
    assert len(text) <= 62_000
    paths = json.loads(text)["paths"]
    assert "patch" in paths["/api/v1/agent/boards/{board_id}/tasks/{task_id}"]
    assert "delete" not in paths["/api/v1/agent/boards/{board_id}/tasks/{task_id}"]
    assert not [path for path in paths if "onboarding" in path]
    ask = paths["/api/v1/agent/boards/{board_id}/gateway/main/ask-user"]["post"]
    assert "workers_may_ask_people" in ask["description"]
    lead = build_role_document(DocumentRole.LEAD, OPERATIONS)["paths"]
    assert "delete" in lead["/api/v1/agent/boards/{board_id}/tasks/{task_id}"]


async def test_responses_match_the_short_documents(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """What they leave out is true of all responses."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
    document = build_role_document(DocumentRole.LEAD, OPERATIONS)
    for operation in OPERATIONS:
        methods = document["paths"].get(f"/api/v1{operation.path}", {})
        if operation.method != "GET" or "get" not in methods or operation.response_type is None:
            continue
        response = await client_for(world.lead).get(build_url(operation, objects))
        assert response.status_code == 200, (operation_label(operation), response.text)
        described = resolve(methods["get"]["responses"]["200"], document)
        schema = described["content"]["application/json"]["schema"]
        validator = Draft202012Validator({**schema, "components": document["components"]})
        validator.validate(response.json())


@pytest.mark.parametrize(
    "path",
    ["/openapi.json", *(f"/openapi/{role}.json" for role in DocumentRole), "/llms.txt", "/docs"],
)
async def test_a_document_that_the_client_has_is_not_sent_again(
    anonymous: Client, path: str
) -> None:
    first = await anonymous.get(f"http://mission.test{path}")
    assert first.status_code == 200
    for known in (first.headers["ETag"], f'"x", W/{first.headers["ETag"]}', "*"):
        second = await anonymous.get(f"http://mission.test{path}", headers={"If-None-Match": known})
        assert (second.status_code, second.content) == (304, b"")
    changed = await anonymous.get(f"http://mission.test{path}", headers={"If-None-Match": '"x"'})
    assert changed.content == first.content


async def test_the_guide_is_a_page_with_the_text_of_the_file(anonymous: Client) -> None:
    page = await anonymous.get("http://mission.test/docs/agents")
    assert page.headers["Content-Type"].startswith("text/html")
    for heading in re.findall(r"^## (.+)$", (ROOT / "docs/agents.md").read_text(), re.MULTILINE):
        assert f">{heading}</h2>" in page.text
        id = re.sub(r"\W+", "-", heading.lower()).strip("-")
        assert f'href="#{id}"' in page.text
        assert f'<h2 id="{id}">' in page.text
    links = re.findall(r'<a href="([^"]+)"', page.text)
    ids = re.findall(r' id="([^"]+)"', page.text)
    for link in links:
        assert link.startswith(("/", "https://")) or link[1:] in ids, link
    assert "<script>" not in page.text


async def test_the_text_for_programs_names_documents_that_exist(anonymous: Client) -> None:
    text = (await anonymous.get("http://mission.test/llms.txt")).text
    links = re.findall(r"\]\(https?://[^/)]+(/[^)]*)\)", text)
    assert "/openapi/agent-worker.json" in links
    for link in links:
        assert (await anonymous.get(f"http://mission.test{link}")).status_code == 200
    assert "{" + "{" not in text


def test_every_stream_describes_the_data_of_its_events() -> None:
    for operation in OPERATIONS:
        if operation.path.endswith("/stream"):
            responses = DOCUMENT["paths"][f"/api/v1{operation.path}"]["get"]["responses"]
            schema = responses["200"]["content"]["text/event-stream"]["schema"]
            events = [
                one["properties"]["event"]["const"] for one in schema["contentSchema"]["anyOf"]
            ]
            assert events[-1] == "reset"
            assert len(events) > 1


def list_bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the bodies and responses of an operation, each with its description."""
    bodies = [("request", operation["requestBody"])] if "requestBody" in operation else []
    for place, described in [*bodies, *operation["responses"].items()]:
        for content in described.get("content", {}).values():
            yield place, content


def test_every_request_and_response_has_a_valid_example() -> None:
    for method, path, operation in list_operations():
        for place, content in list_bodies(operation):
            several = [one["value"] for one in content.get("examples", {}).values()]
            examples = several or [content["example"]]
            assert examples, (method, path, place)
            for example in examples:
                assert_matches(example, content["schema"])


def test_every_error_has_an_example_with_its_code_in_the_envelope() -> None:
    """C33."""
    for method, path, operation in list_operations():
        for place, content in list_bodies(operation):
            if place.isdecimal() and place >= "400" and path.startswith("/api/v1/"):
                for code, example in content["examples"].items():
                    envelope = example["value"]
                    assert envelope["request_id"]
                    assert envelope.get("code", "failed") == code, (method, path, place)


def test_the_error_codes_of_the_examples_exist() -> None:
    source = "".join(
        file.read_text()
        for folder in ("api", "core", "services")
        for file in ROOT.glob(f"{folder}/**/*.py")
        if file.name != "error_examples.py"
    )
    codes = {
        code
        for _, _, operation in list_operations()
        for _, content in list_bodies(operation)
        for code in content.get("examples", {})
    }
    for code in codes - {"failed", "refused"}:
        assert f'"{code}"' in source or code.startswith("gateway_"), code


def list_schemas(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema inside a schema, with the name of its field."""
    if not isinstance(schema, dict) or not schema:  # an empty one allows any value
        return
    yield name, schema
    for field, inner in schema.get("properties", {}).items():
        yield from list_schemas(inner, field)
    for key in ("anyOf", "items", "additionalProperties"):
        inner = schema.get(key)
        for one in inner if isinstance(inner, list) else [inner]:
            yield from list_schemas(one, name)


def test_every_request_field_has_a_type_and_limits() -> None:
    sent = {
        content["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in list_operations()
        for place, content in list_bodies(operation)
        if place == "request" and content["schema"]  # not of a webhook, which accepts any body
    }
    for model in sent:
        for name, schema in list_schemas(DOCUMENT["components"]["schemas"][model]):
            kind, where = schema.get("type"), (model, name, schema)
            found_keys = {"enum", "const", "format", "pattern", "maxLength"} & schema.keys()
            assert kind != "string" or found_keys, where
            assert kind not in ("integer", "number") or "maximum" in schema, where
            assert kind != "array" or "maxItems" in schema, where


@pytest.mark.parametrize(
    ("model", "field", "limit"),
    [("ApprovalCreate", "rubric_scores", MAX_SCORES), ("Decisions", "action_hashes", MAX_IDS)],
)
def test_a_limit_of_the_keys_of_an_object_is_published(model: str, field: str, limit: int) -> None:
    schema = DOCUMENT["components"]["schemas"][model]["properties"][field]
    limits = [one["maxProperties"] for _, one in list_schemas(schema) if "maxProperties" in one]
    assert limits == [limit]


def test_every_parameter_has_limits_and_an_example() -> None:
    for method, path, operation in list_operations():
        for parameter in operation["parameters"]:
            where = (method, path, parameter)
            assert parameter["description"], where
            assert_matches(parameter["example"], parameter["schema"])
            for _, schema in list_schemas(parameter["schema"]):
                kind = schema.get("type")
                limited = {"enum", "const", "format", "pattern", "maxLength"} & schema.keys()
                assert kind != "string" or limited, where
                assert kind != "integer" or {"minimum", "maximum"} <= schema.keys(), where


def test_every_response_field_has_a_type() -> None:
    for model, schema in DOCUMENT["components"]["schemas"].items():
        for name, part in list_schemas(schema):
            found_keys = {"type", "$ref", "anyOf", "enum", "const", "required"} & part.keys()
            assert found_keys, (model, name, part)


def test_headers_are_documented_where_they_are_used() -> None:
    for method, path, operation in list_operations():
        if not path.startswith("/api/v1/"):
            continue
        names = {one["name"] for one in operation["parameters"] if one["in"] == "header"}
        answers = operation["responses"]
        assert all("X-Request-Id" in answer["headers"] for answer in answers.values())
        assert ("Idempotency-Key" in names) == (method == "POST" and operation["security"] != [])
        assert ("412" in answers) == (method != "GET" and operation["security"] != [])
        assert "If-Match" not in names or "412" in answers
        assert ("If-None-Match" in names) == ("304" in answers)
        assert "429" not in answers or "Retry-After" in answers["429"]["headers"]
    task = DOCUMENT["paths"]["/api/v1/boards/{board_id}/tasks/{task_id}"]
    assert "ETag" in task["get"]["responses"]["200"]["headers"]
    assert "ETag" in task["patch"]["responses"]["200"]["headers"]
