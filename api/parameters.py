"""What paths and queries take, as the OpenAPI document tells it."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.examples import Examples
from api.operations import Operation

NAMED: Mapping[str, str] = {
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
    "task_custom_field_definition_id": "custom field",
}
"""What the ids in paths are of."""


def in_path(operation: Operation, examples: Examples) -> Iterable[dict[str, Any]]:
    """Return what an operation reads from its path."""
    for name, adapter in operation.reads.path.items():
        schema = dict(adapter.json_schema())
        told = f"The {NAMED[name]}, by its id." if name in NAMED else schema.pop("description")
        yield _parameter("path", name, schema, told, examples, required=True)


def in_query(
    fields: Mapping[str, Mapping[str, Any]],
    required: Iterable[str],
    examples: Examples,
) -> Iterable[dict[str, Any]]:
    """Return what is read from the query, of the schemas of its fields."""
    for name, field in fields.items():
        schema = dict(field)
        told = schema.pop("description")
        yield _parameter("query", name, schema, told, examples, required=name in required)


def _parameter(
    where: str,
    name: str,
    schema: dict[str, Any],
    told: str,
    examples: Examples,
    *,
    required: bool,
) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": required,
        "description": told,
        "schema": schema,
        "example": examples.of(schema),
    }
