"""Valid requests for operations, for tests that call every operation."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from api.framework.operation import Operation
from core.clock import now
from tests.support.api_objects import ApiObjects

Example = dict[str, Any]
Key = tuple[str, str]

FIELD = "/organizations/me/custom-fields/{task_custom_field_definition_id}"

SPECIAL_BODIES: Mapping[Key, Callable[[ApiObjects], Example]] = {
    ("POST", "/organizations"): lambda _: {"name": "A new one"},
    ("PATCH", "/organizations/me/active"): lambda objects: {
        "organization_id": str(objects.world.tern.id)
    },
    ("PATCH", "/users/me"): lambda _: {"preferred_name": "Al"},
    ("PATCH", "/boards/{board_id}"): lambda _: {"name": "Another", "max_agents": 300},
    ("POST", "/boards/{board_id}/approvals"): lambda objects: _build_approval(objects),
    ("POST", "/agent/boards/{board_id}/approvals"): lambda objects: _build_approval(objects),
    ("PATCH", "/boards/{board_id}/tasks/{task_id}"): lambda objects: _build_assignment(objects),
    ("PATCH", "/agent/boards/{board_id}/tasks/{task_id}"): lambda objects: _build_assignment(
        objects
    ),
    ("POST", "/approvals/decisions"): lambda objects: {
        "ids": [str(objects.approval.id)],
        "status": "approved",
    },
    ("PATCH", FIELD): lambda _: {"label": "Another"},
    ("POST", "/gateway-requests/{request_id}/answer"): lambda objects: {
        "sha256": objects.request.sha256,
        "decision": "deny",
    },
    ("POST", "/channels"): lambda _: {"kind": "ntfy", "url": "https://ntfy.example/topic"},
    ("POST", "/webhooks/{webhook_id}/replays"): lambda _: {
        "since": (now() - timedelta(hours=1)).isoformat(),
        "until": now().isoformat(),
    },
}
"""Bodies of operations whose example is not valid in the test world."""

BOARD_QUERY_PATHS = ("/gateways/sessions", "/gateways/status")
"""Paths that require the query parameter `board_id`."""

GATEWAY_QUERY_PATH = "/skills/marketplace"
"""The beginning of the paths that take the query parameter `gateway_id`."""


def build_body(operation: Operation, objects: ApiObjects) -> Example | None:
    """Return a valid body for an operation: its own example with ids that exist."""
    model = operation.parser.body
    if model is None:
        return None
    special = SPECIAL_BODIES.get((operation.method, operation.path))
    if special is not None:
        return special(objects)
    return _replace_ids(dict(getattr(model, "example", None) or {}), objects)


def build_url(operation: Operation, objects: ApiObjects) -> str:
    """Return path and query of an operation with ids that exist."""
    query = ""
    if operation.path.startswith(BOARD_QUERY_PATHS):
        query = f"?board_id={objects.world.board.id}"
    elif operation.path.startswith(GATEWAY_QUERY_PATH):
        query = f"?gateway_id={objects.gateway.id}"
    return objects.build_path(operation) + query


def _replace_ids(example: Example, objects: ApiObjects) -> Example:
    ids = {
        "board_id": objects.world.board.id,
        "task_id": objects.task.id,
        "agent_id": objects.world.other_worker.id,
        "board_ids": [str(objects.world.board.id)],
    }
    return example | {
        name: id if isinstance(id, list) else str(id) for name, id in ids.items() if name in example
    }


def _build_assignment(objects: ApiObjects) -> Example:
    return {"assigned_agent_id": str(objects.world.other_worker.id)}


def _build_approval(_there: ApiObjects) -> Example:
    return {"action_type": "deploy", "confidence": 90, "payload": {"reason": "It is time."}}
