"""OpenAPI documents with the operations of one role, short enough for the context of a model."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import pydantic_core

from api.framework.agent_operations import ANY_AGENT, LEAD, NEEDS_OWN_BOARD, WORKER
from api.framework.auth import AllowedCaller
from api.framework.fields import TIMESTAMP_DESCRIPTION
from api.framework.operation import PREFIX, Operation
from api.openapi.components import SCHEMAS, select_reachable, share_components
from api.openapi.document import SECURITY, SECURITY_SCHEMES, build_document
from api.openapi.errors import ErrorEnvelope

DESCRIPTION = """Responses have all of their fields. Every error is `{"detail", "code",
"request_id"}`: react to `code`. Times are UTC without a zone. Lists are `{"items", "total",
"limit", "offset"}`, and have the header `X-Next-Cursor` for `after`. Unknown fields are ignored.
Examples, and all errors of each operation, are in /openapi.json; the guide is at /docs/agents.
"""


class DocumentRole(StrEnum):
    """For whom there is a document; the value is a part of its address."""

    WORKER = "agent-worker"
    LEAD = "agent-lead"
    PEOPLE = "people"


def _is_for_worker(operation: Operation) -> bool:
    return (
        WORKER in operation.tags and operation.hints.get("x-required-actor", ANY_AGENT) == ANY_AGENT
    )


def _is_for_lead(operation: Operation) -> bool:
    return LEAD in operation.tags and operation.hints.get("x-required-actor") != "agent_main"


def _is_for_people(operation: Operation) -> bool:
    return operation.allowed_caller in (AllowedCaller.USER, AllowedCaller.EITHER)


SELECTIONS: Mapping[DocumentRole, Callable[[Operation], bool]] = {
    DocumentRole.WORKER: _is_for_worker,
    DocumentRole.LEAD: _is_for_lead,
    DocumentRole.PEOPLE: _is_for_people,
}


def build_role_document(
    role: DocumentRole, operations: Sequence[Operation], server: str = "/"
) -> dict[str, Any]:
    """Return the document of the operations that are for a role."""
    selected = [one for one in operations if SELECTIONS[role](one)]
    whole = build_document(selected, server)
    schemas = whole["components"]["schemas"]
    pages = {
        SCHEMAS + name: {"type": "object", "properties": {"items": schema["properties"]["items"]}}
        for name, schema in schemas.items()
        if schema.get("properties", {}).keys() == PAGE_FIELDS
    }
    paths = {
        path: {method: _shorten_operation(_inline(one, pages)) for method, one in by_method.items()}
        for path, by_method in whole["paths"].items()
        if path.startswith(PREFIX)
    }
    bodies = [one.get("requestBody") for by_method in paths.values() for one in by_method.values()]
    sent = select_reachable(schemas, bodies)
    tags = {one.tags[0] for one in selected}
    caller = AllowedCaller.USER if role is DocumentRole.PEOPLE else AllowedCaller.AGENT
    schemes = {name for scheme in SECURITY[caller] for name in scheme}
    document: dict[str, Any] = {
        **{key: whole[key] for key in ("openapi", "info", "servers")},
        "security": SECURITY[caller],
        "tags": [tag for tag in whole["tags"] if tag["name"] in tags],
        "paths": paths,
        "components": {
            "schemas": {
                name: _shorten_schema(schema, is_sent=name in sent)
                for name, schema in select_reachable(schemas, paths).items()
            },
            "securitySchemes": {
                name: scheme for name, scheme in SECURITY_SCHEMES.items() if name in schemes
            },
        },
    }
    document["info"]["description"] = DESCRIPTION
    share_components(document)
    return document


PAGE_FIELDS = {"items", "total", "limit", "offset"}


def _inline(value: Any, schemas: Mapping[str, Any]) -> Any:
    """Replace references to these schemas by the schemas."""
    if isinstance(value, list):
        return [_inline(one, schemas) for one in value]
    if not isinstance(value, dict):
        return value
    inlined = schemas.get(value.get("$ref", ""))
    return inlined or {key: _inline(one, schemas) for key, one in value.items()}


ERROR = {
    "description": "An error",
    "content": {"application/json": {"schema": {"$ref": SCHEMAS + ErrorEnvelope.component}}},
}
HINT_NAMES = {
    "x-when-to-use": "When",
    "x-when-not-to-use": "Not when",
    "x-prerequisites": "Needs",
    "x-side-effects": "Effects",
    "x-negative-guidance": "Warning",
}
DERIVED = ("Do not use it when ", "None, except ", *NEEDS_OWN_BOARD)
"""Beginnings of hints that repeat others, or hold for all operations."""


def _shorten_operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is the same for all operations, and errors; the description has the hints."""
    _, _, text = operation["description"].partition("\n")
    lines = [" ".join(text.split())] if text.strip() else []
    for key, name in HINT_NAMES.items():
        hints = [one for one in operation.get(key, ()) if not one.startswith(DERIVED)]
        lines += [f"{name}: {'; '.join(hints)}."] if hints else []
    success = {
        status: {key: value for key, value in response.items() if key != "headers"}
        for status, response in operation["responses"].items()
        if status < "300"
    }
    shortened = {
        "operationId": operation.get("x-llm-intent") or operation["operationId"],  # often too long
        "summary": operation["summary"],
        "description": "\n".join(lines) or operation["description"],
        "tags": operation["tags"][:1],
        "parameters": [_leave_out_false(one) for one in operation["parameters"]],
        "responses": {**success, "4XX": ERROR},
    }
    if body := operation.get("requestBody"):
        shortened["requestBody"] = _leave_out_false(body)
    return _shorten(shortened)


def _leave_out_false(described: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out `required` where it is false, as it is without it."""
    return {key: value for key, value in described.items() if value is not False}


def _shorten(value: Any) -> Any:
    """Shorten the schemas in a part of the document, and leave out examples."""
    if isinstance(value, list):
        return [_shorten(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _shorten_schema(one) if key in ("schema", "contentSchema") else _shorten(one)
        for key, one in value.items()
        if key not in ("example", "examples")
    }


LEFT_OUT = {"examples", "x-llm-intent", "x-when-to-use", "x-required-actor"}


def _shorten_schema(schema: dict[str, Any], *, is_sent: bool = True) -> dict[str, Any]:
    """Return a schema that allows the same values, without what is said elsewhere.

    Responses have all of their fields.
    """
    left_out = LEFT_OUT if is_sent else LEFT_OUT | {"required"}
    shortened = {key: value for key, value in schema.items() if key not in left_out}
    for key in ("items", "additionalProperties", "propertyNames", "contentSchema"):
        if isinstance(shortened.get(key), dict):
            shortened[key] = _shorten_schema(shortened[key])
    if "properties" in shortened:
        fields = shortened["properties"].items()
        shortened["properties"] = {name: _shorten_schema(field) for name, field in fields}
    if shortened.get("description") == TIMESTAMP_DESCRIPTION:
        del shortened["description"]
    if shortened.get("default", "") is None:
        del shortened["default"]
    if shortened.get("additionalProperties") is True:
        del shortened["additionalProperties"]
    if "anyOf" in shortened:
        choices = [_shorten_schema(one) for one in shortened.pop("anyOf")]
        shortened |= _join_null(choices) or {"anyOf": choices}
    return shortened


def _join_null(choices: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return one schema for a type or null; None if they are something else."""
    if len(choices) == 2 and choices[1] == {"type": "null"}:
        kind = choices[0].get("type")
        if isinstance(kind, str) and not {"enum", "const"} & choices[0].keys():
            return {**choices[0], "type": [kind, "null"]}
    return None


def render_role_json(role: DocumentRole, operations: Sequence[Operation], server: str) -> bytes:
    """Return the document of a role as JSON, for the server's base URL."""
    return pydantic_core.to_json(build_role_document(role, operations, server))
