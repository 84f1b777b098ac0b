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
from api.framework.operation import PREFIX, Operation
from api.openapi import errors
from api.openapi.examples import build_error_examples
from api.openapi.parameters import (
    RESPONSE_HEADERS,
    describe_response_headers,
    list_path_parameters,
    list_query_parameters,
    list_request_headers,
)
from api.openapi.schemas import Schemas
from core.http.caller import AGENT_TOKEN_HEADER
from services.readiness import CheckName

TITLE = "Mission Control API"
VERSION = "0.1.0"

PROBES = {
    "/health": "Report whether the process is running",
    "/healthz": "Report whether the process is running",
    "/readyz": "Report whether requests can be served",
}


def build_document(operations: Sequence[Operation], server: str = "/") -> dict[str, Any]:
    """Return the whole document."""
    schemas = Schemas(operations)
    paths: dict[str, dict[str, Any]] = {path: {"get": _describe_probe(path)} for path in PROBES}
    for operation in operations:
        described = _describe_operation(operation, schemas)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "headers": RESPONSE_HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


STREAM_EXAMPLE = 'event: task\nid: 17\ndata: {"type":"task.created"}\n\n'
"""A message of a stream; names and data are in the descriptions."""

EXPORT_EXAMPLE = '{"sequence":1,"action":"member.removed"}\n{"count":1,"end":true}\n'
"""Lines of an export, shortened."""

WEBHOOK_EXAMPLE = {"action": "opened", "number": 17}
"""A body of a request to a webhook."""

DESCRIPTION = """The API of Mission Control for agents and users' scripts.

Every response has the header `X-Request-Id`. Every error is `{"detail", "code", "request_id"}`.
Times are UTC without a zone. Lists are `{"items", "total", "limit", "offset"}`. Unknown fields are
ignored. A JSON body has at most 2,097,152 bytes, 300,000 values and 60 levels.
"""


def _describe_operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    has_body = operation.parser.body or operation.receives_any_body
    return {
        "tags": list(operation.tags),
        "summary": operation.summary,
        "description": operation.description,
        "operationId": operation.operation_id,
        "parameters": [
            *list_path_parameters(operation, schemas.examples),
            *_query_parameters(operation, schemas),
            *list_request_headers(operation),
        ],
        **({"requestBody": _request_body(operation, schemas)} if has_body else {}),
        "responses": {
            str(operation.success_status): _describe_success(operation, schemas)
            | describe_response_headers(operation.success_status, operation),
            **_describe_not_modified(operation),
            **_describe_errors(operation, schemas),
        },
        "security": SECURITY[operation.allowed_caller],
        **operation.hints,
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


def _query_parameters(operation: Operation, schemas: Schemas) -> Iterable[dict[str, Any]]:
    if operation.parser.query is None:
        return ()
    return list_query_parameters(*schemas.get_fields(operation.parser.query), schemas.examples)


def _request_body(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if operation.receives_any_body:
        return {"required": False, "content": {"*/*": {"schema": {}, "example": WEBHOOK_EXAMPLE}}}
    schema = schemas.get_schema(operation.parser.body, "validation")
    required = not operation.parser.is_body_optional
    return {"required": required, "content": schemas.build_content(schema)}


def _describe_success(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    if operation.response_type is None:
        is_export = operation.path.endswith("/export")
        media_type = "application/x-ndjson" if is_export else "text/event-stream"
        example = EXPORT_EXAMPLE if is_export else STREAM_EXAMPLE
        return {
            "description": "Lines of JSON" if is_export else "A stream of events",
            "content": {media_type: {"schema": {"type": "string"}, "example": example}},
        }
    return {
        "description": "Success",
        "content": schemas.build_content(schemas.get_schema(operation.handler)),
    }


def _describe_not_modified(operation: Operation) -> dict[str, Any]:
    if operation.method != "GET" or not operation.is_versioned:
        return {}
    return {"304": {"description": "Not modified", **describe_response_headers(304, operation)}}


def _describe_errors(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    return {
        str(status): {
            "description": errors.STATUS_DESCRIPTIONS[status],
            "content": {
                "application/json": {
                    "schema": schemas.get_schema(errors.get_error_model(status, operation)),
                    "examples": build_error_examples(status, operation),
                }
            },
            **describe_response_headers(status, operation),
        }
        for status in errors.list_statuses(operation)
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


_environment = Environment(
    loader=FileSystemLoader(ROOT / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_json(operations: Sequence[Operation], server: str) -> bytes:
    """Return the OpenAPI document as JSON, for the server's base URL."""
    return pydantic_core.to_json(build_document(operations, server))


def render_page(operations: Sequence[Operation], server: str) -> str:
    """Return the page that shows the OpenAPI document."""
    document = build_document(operations, server)
    template = _environment.get_template("api_reference.html")
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
