"""Parameters and headers in the OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.framework.idempotency import IDEMPOTENCY_KEY_HEADER, MAX_KEY_LENGTH, REPLAYED_HEADER
from api.framework.operation import Operation
from api.openapi.examples import ExampleGenerator

PATH_OBJECTS: Mapping[str, str] = {
    "board_id": "board",
    "task_id": "task",
    "approval_id": "approval",
    "agent_id": "agent",
    "request_id": "request of an agent on a gateway",
    "tag_id": "tag",
    "gateway_id": "gateway",
    "group_id": "group of boards",
    "member_id": "member",
    "memory_id": "note",
    "message_id": "message to an agent",
    "invite_id": "invitation",
    "notification_id": "notification",
    "webhook_id": "webhook",
    "delivery_id": "delivery of a webhook or channel",
    "channel_id": "channel",
    "question_id": "question",
    "task_custom_field_definition_id": "custom field",
    "payload_id": "payload of a webhook",
    "skill_id": "skill",
    "pack_id": "skill pack",
}
"""The objects of the ids in paths."""


def list_path_parameters(
    operation: Operation, examples: ExampleGenerator
) -> Iterable[dict[str, Any]]:
    """Return the path parameters of an operation."""
    for name, adapter in operation.parser.path.items():
        schema = dict(adapter.json_schema())
        description = (
            f"The id of the {PATH_OBJECTS[name]}."
            if name in PATH_OBJECTS
            else schema.pop("description")
        )
        yield _parameter("path", name, schema, description, examples, required=True)


def list_query_parameters(
    fields: Mapping[str, Mapping[str, Any]],
    required: Iterable[str],
    examples: ExampleGenerator,
) -> Iterable[dict[str, Any]]:
    """Return the query parameters, from the schemas of their fields."""
    for name, field in fields.items():
        schema = dict(field)
        description = schema.pop("description")
        yield _parameter("query", name, schema, description, examples, required=name in required)


def _parameter(
    where: str,
    name: str,
    schema: dict[str, Any],
    description: str,
    examples: ExampleGenerator,
    *,
    required: bool,
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": description,
        "schema": schema,
        "example": examples.generate(schema),
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
    "RetryAfter": {
        "description": "The number of seconds to wait.",
        "schema": {"type": "integer", "minimum": 0},
    },
}


def list_request_headers(operation: Operation) -> Iterable[dict[str, Any]]:
    """Return the request headers that an operation uses."""
    if operation.accepts_idempotency_key:
        yield IDEMPOTENCY_KEY
    if operation.supports_if_match:
        yield IF_MATCH
    if operation.method == "GET" and operation.is_versioned:
        yield IF_NONE_MATCH


def describe_response_headers(status: int, operation: Operation) -> dict[str, Any]:
    """Return the headers of an operation's response with this status, as references."""
    names = {"X-Request-Id": "RequestId"}
    if status in (200, 304) and operation.is_versioned:
        names["ETag"] = "ETag"
    if status == operation.success_status and operation.accepts_idempotency_key:
        names[REPLAYED_HEADER] = "Replayed"
    if status == 429:
        names["Retry-After"] = "RetryAfter"
    return {"headers": {name: _header(component) for name, component in names.items()}}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}
