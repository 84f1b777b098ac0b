"""The OpenAPI document: the description of the API for agents and other clients.

It is built from the list of operations that also answers the requests, so both always agree.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pydantic_core
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.framework.auth import AllowedCaller
from api.framework.idempotency import IDEMPOTENCY_KEY_HEADER, MAX_KEY_LENGTH, REPLAYED_HEADER
from api.framework.operation import PREFIX, Operation
from api.openapi import errors
from api.openapi.components import select_reachable, share_components
from api.openapi.schemas import Schemas, list_events
from core.http.caller import AGENT_TOKEN_HEADER
from core.paging import CURSOR_HEADER, MAX_CURSOR_LENGTH
from core.version import VERSION
from services.readiness import CheckName

TITLE = "Mission Control API"
DESCRIPTION = """The API of Mission Control for agents and users' scripts.

Every response has the header `X-Request-Id`. Every error is `{"detail", "code", "request_id"}`.
Times are UTC without a zone. Lists are `{"items", "total", "limit", "offset"}`. Unknown fields are
ignored. A JSON body has at most 2,097,152 bytes, 300,000 values and 60 levels.
"""

PROBES = {
    "/health": "Report whether the process is running",
    "/healthz": "Report whether the process is running",
    "/readyz": "Report whether requests can be served",
}


def build_document(operations: Sequence[Operation], server: str = "/") -> dict[str, Any]:
    """Return the document of these operations, in which nothing but schemas is shared."""
    schemas = Schemas(operations)
    paths: dict[str, dict[str, Any]] = {path: {"get": _describe_probe(path)} for path in PROBES}
    for operation in operations:
        described = _describe_operation(operation, schemas)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    tags = {tag for path in paths.values() for one in path.values() for tag in one["tags"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": DESCRIPTION,
            "contact": {"name": "The operators of this installation", "url": server},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in tags],
        "paths": paths,
        "components": {
            "schemas": select_reachable(schemas.definitions, paths),
            "headers": RESPONSE_HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


TAGS: Mapping[str, str] = {
    "health": "Whether the server runs",
    "auth": "Signing in",
    "users": "Your account",
    "organizations": "Organizations, their members and invitations",
    "notifications": "Your notifications",
    "channels": "Where you receive notifications",
    "read-markers": "What you have read",
    "tags": "Tags of tasks",
    "custom fields": "Fields of tasks that admins define",
    "boards": "Boards",
    "board-groups": "Groups of boards",
    "board-onboarding": "Finding out the goal of a board",
    "tasks": "Tasks, their comments and links",
    "approvals": "Requests that wait for the decision of a person",
    "approval-policies": "Rules that decide requests, or who decides them",
    "questions": "Questions of agents to people",
    "board-memory": "Notes and chat of a board",
    "board-group-memory": "Notes and chat of a group of boards",
    "board-webhooks": "Webhooks that boards receive",
    "webhooks": "Webhooks that are sent",
    "activity": "What has happened",
    "audit": "Who has done what, for admins",
    "metrics": "Numbers of the dashboard",
    "search": "Full-text search",
    "agents": "Agents",
    "coding-agents": "Sessions and tool calls of coding agents",
    "souls-directory": "Texts about the character of agents",
    "skills": "Skills and their packs",
    "gateways": "Gateways, which run agents",
    "gateway-requests": "Requests of agents on gateways",
    "agent": "What agents call",
    "agent-lead": "What the lead of a board may call",
    "agent-worker": "What a worker of a board may call",
    "agent-main": "What the main agent of a gateway may call",
}


def _describe_probe(path: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"ok": {"type": "boolean"}}
    ok = {"type": "object", "properties": properties, "required": ["ok"]}
    content = {"content": {"application/json": {"schema": ok, "example": {"ok": True}}}}
    failing = {}
    if path == "/readyz":
        names = {"type": "array", "items": {"type": "string", "enum": [*CheckName]}}
        properties |= {"failed": names, "warnings": names}
        failed = {"schema": ok, "example": {"ok": False, "failed": ["write"]}}
        failing["503"] = {"description": "Not ready", "content": {"application/json": failed}}
    return {
        "tags": ["health"],
        "summary": PROBES[path],
        "description": PROBES[path],
        "operationId": f"{path[1:]}_{path[1:]}_get",
        "parameters": [],
        "responses": {"200": {"description": "Ready", **content}, **failing},
        "security": [],
    }


STREAM_EXAMPLE = 'event: task\nid: 17\ndata: {"type":"task.created"}\n\n'
"""A message of a stream; names and data are in the descriptions."""

EXPORT_EXAMPLE = '{"sequence":1,"action":"member.removed"}\n{"count":1,"end":true}\n'
"""Lines of an export, shortened."""

WEBHOOK_EXAMPLE = {"action": "opened", "number": 17}
"""A body of a request to a webhook."""


def _describe_operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": list(operation.tags),
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.operation_id,
        "parameters": [*_list_parameters(operation, schemas), *_list_request_headers(operation)],
    }
    if operation.options.receives_any_body:
        content = {"*/*": {"schema": {}, "example": WEBHOOK_EXAMPLE}}
        described["requestBody"] = {"required": False, "content": content}
    elif operation.parser.body:
        content = schemas.build_content(schemas.get_schema(operation.parser.body, "validation"))
        required = not operation.parser.is_body_optional
        described["requestBody"] = {"required": required, "content": content}
    responses: dict[str, dict[str, Any]] = {
        str(operation.options.success_status): _describe_success(operation, schemas)
    }
    if operation.method == "GET" and operation.is_versioned:
        responses["304"] = {"description": "Not modified"}
    for status in errors.list_statuses(operation):
        schema = schemas.get_schema(errors.get_error_model(status, operation))
        examples = errors.build_error_examples(status, operation)
        responses[str(status)] = {
            "description": errors.STATUS_DESCRIPTIONS[status],
            "content": {"application/json": {"schema": schema, "examples": examples}},
        }
    for status, response in responses.items():
        response["headers"] = _describe_response_headers(int(status), operation)
    return {
        **described,
        "responses": responses,
        "security": SECURITY[operation.allowed_caller],
        **operation.hints,
    }


def _describe_success(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if operation.response_type is None:
        events = {
            name: schemas.get_schema((operation.handler, name)) for name in list_events(operation)
        }
        if not events:
            lines = {"schema": {"type": "string"}, "example": EXPORT_EXAMPLE}
            return {"description": "Lines of JSON", "content": {"application/x-ndjson": lines}}
        schema = {
            "type": "string",
            "contentMediaType": "text/event-stream",
            "contentSchema": {"anyOf": [_describe_event(*event) for event in events.items()]},
        }
        content = {"text/event-stream": {"schema": schema, "example": STREAM_EXAMPLE}}
        return {"description": "A stream of events; the schema is of one event", "content": content}
    return {
        "description": "Success",
        "content": schemas.build_content(schemas.get_schema(operation.handler)),
    }


def _describe_event(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an event of a stream; its data are JSON."""
    properties = {"event": {"const": name}, "id": {"type": "integer"}, "data": data}
    return {"type": "object", "properties": properties, "required": ["event", "data"]}


PATH_OBJECTS: Mapping[str, str] = {
    "request_id": "request of an agent on a gateway",
    "group_id": "group of boards",
    "memory_id": "note",
    "message_id": "message to an agent",
    "invite_id": "invitation",
    "delivery_id": "delivery of a webhook or channel",
    "task_custom_field_definition_id": "custom field",
    "payload_id": "payload of a webhook",
    "pack_id": "skill pack",
}
"""The objects of ids in paths that are not named as the id: a `tag_id` is the id of a tag."""


def _list_parameters(operation: Operation, schemas: Schemas) -> Iterable[dict[str, Any]]:
    """Return the path parameters and query parameters of an operation."""
    for name, adapter in operation.parser.path.items():
        schema = dict(adapter.json_schema())
        object_name = PATH_OBJECTS.get(name) or name.removesuffix("_id").replace("_", " ")
        description = schema.pop("description", f"The id of the {object_name}.")
        yield _describe_parameter("path", name, schema, description, schemas, required=True)
    if operation.parser.query is not None:
        fields, required = schemas.get_fields(operation.parser.query)
        for name, field in fields.items():
            schema = dict(field)
            description = schema.pop("description")
            is_required = name in required
            yield _describe_parameter(
                "query", name, schema, description, schemas, required=is_required
            )


def _describe_parameter(
    where: str,
    name: str,
    schema: dict[str, Any],
    description: str,
    schemas: Schemas,
    *,
    required: bool,
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": description,
        "schema": schema,
        "example": schemas.examples.generate(schema),
    }


MAX_HEADER_LENGTH = 8_000  # characters
EXAMPLE_ETAG = '"3-0123456789abcdef"'

IDEMPOTENCY_KEY = {
    "name": IDEMPOTENCY_KEY_HEADER,
    "in": "header",
    "required": False,
    "description": "Any text. A request with the same key is executed once, and its response is "
    "repeated for 24 hours. With or without quotes.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_LENGTH,
        "pattern": "^[ -~]+$",
    },
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "One or more ETags: if none is of the current version, nothing is changed and "
    "the response is 412.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_HEADER_LENGTH},
    "example": EXAMPLE_ETAG,
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of your copy: if it is current, the response is 304.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_HEADER_LENGTH},
    "example": EXAMPLE_ETAG,
}


def _list_request_headers(operation: Operation) -> Iterable[dict[str, Any]]:
    """Return the request headers that an operation uses."""
    if operation.accepts_idempotency_key:
        yield IDEMPOTENCY_KEY
    if operation.supports_if_match:
        yield IF_MATCH
    if operation.method == "GET" and operation.is_versioned:
        yield IF_NONE_MATCH


RESPONSE_HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "The id of this request in the server log.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    },
    "ETag": {
        "description": "The version of the object, for If-Match.",
        "schema": {"type": "string"},
    },
    "Replayed": {
        "description": "`true` if this is the stored response to an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "NextCursor": {
        "description": "The `after` of the next page, if the page was requested by a cursor and is "
        "full.",
        "schema": {"type": "string", "maxLength": MAX_CURSOR_LENGTH},
    },
    "RetryAfter": {
        "description": "The number of seconds to wait.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def _describe_response_headers(status: int, operation: Operation) -> dict[str, Any]:
    """Return the headers of an operation's response with this status, as references."""
    names = {"X-Request-Id": "RequestId"}
    if status in (200, 304) and operation.is_versioned:
        names["ETag"] = "ETag"
    if status == operation.options.success_status and operation.accepts_idempotency_key:
        names[REPLAYED_HEADER] = "Replayed"
    query = operation.parser.query
    if status == 200 and query and {"limit", "after"} <= query.model_fields.keys():
        names[CURSOR_HEADER] = "NextCursor"
    if status == 429:
        names["Retry-After"] = "RetryAfter"
    return {
        name: {"$ref": f"#/components/headers/{component}"} for name, component in names.items()
    }


SECURITY: dict[AllowedCaller, list[dict[str, list[str]]]] = {
    AllowedCaller.ANYONE: [],
    AllowedCaller.USER: [{"userToken": []}],
    AllowedCaller.AGENT: [{"agentToken": []}, {"agentBearer": []}],
    AllowedCaller.EITHER: [{"userToken": []}, {"agentToken": []}, {"agentBearer": []}],
}
SECURITY_SCHEMES = {
    "userToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A user's token: created in the settings, starts with mc_user_. Its scope "
        "is read, no_decisions or write; what exceeds it is 403 token_scope_insufficient. If users "
        "sign in through an OpenID provider, its signed tokens for this installation count too.",
    },
    "agentToken": {
        "type": "apiKey",
        "in": "header",
        "name": AGENT_TOKEN_HEADER,
        "description": "An agent's token: starts with mc_agent_.",
    },
    "agentBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": f"An agent's token, if {AGENT_TOKEN_HEADER} is not sent.",
    },
}

ROOT = Path(__file__).parent.parent.parent


@cache
def get_asset_url(path: str) -> str:
    """Return the URL of a file in static/. It contains a hash of the file's content."""
    content_hash = hashlib.sha256((ROOT / "static" / path).read_bytes()).hexdigest()[:10]
    return f"/static/{path}?v={content_hash}"


environment = Environment(
    loader=FileSystemLoader(ROOT / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_json(operations: Sequence[Operation], server: str) -> bytes:
    """Return the OpenAPI document as JSON, for the server's base URL."""
    document = build_document(operations, server)
    share_components(document)
    return pydantic_core.to_json(document)


def render_page(operations: Sequence[Operation], server: str) -> str:
    """Return the page that shows the OpenAPI document."""
    document = build_document(operations, server)
    template = environment.get_template("api_reference.html")
    return template.render(
        asset_url=get_asset_url, document=document, groups=_group_by_tag(document), server=server
    )


def _group_by_tag(document: Mapping[str, Any]) -> Mapping[str, list[Mapping[str, Any]]]:
    """Return the operations by their first tag, each with its method and its path."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = {"method": method.upper(), "path": path, **operation}
            groups.setdefault(operation["tags"][0], []).append(shown)
    return groups
