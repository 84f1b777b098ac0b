"""What to send to an operation so that it is done: for tests that go through all of them."""

from collections.abc import Callable, Mapping
from typing import Any

from api.operations import Operation
from tests.api.walking import Things

Example = dict[str, Any]
Key = tuple[str, str]

FIELD = "/organizations/me/custom-fields/{task_custom_field_definition_id}"

SPECIAL: Mapping[Key, Callable[[Things], Example]] = {
    ("POST", "/organizations"): lambda _: {"name": "A new one"},
    ("PATCH", "/organizations/me/active"): lambda there: {
        "organization_id": str(there.world.tern.id)
    },
    ("PATCH", "/users/me"): lambda _: {"preferred_name": "Al"},
    ("PATCH", "/boards/{board_id}"): lambda _: {"name": "Another", "max_agents": 300},
    ("POST", "/boards/{board_id}/approvals"): lambda there: _question(there),
    ("POST", "/agent/boards/{board_id}/approvals"): lambda there: _question(there),
    ("PATCH", "/boards/{board_id}/tasks/{task_id}"): lambda there: _assigned(there),
    ("PATCH", "/agent/boards/{board_id}/tasks/{task_id}"): lambda there: _assigned(there),
    ("POST", "/approvals/decisions"): lambda there: {
        "ids": [str(there.approval.id)],
        "status": "approved",
    },
    ("PATCH", FIELD): lambda _: {"label": "Another"},
    ("POST", "/gateway-requests/{request_id}/answer"): lambda there: {
        "sha256": there.request.sha256,
        "decision": "deny",
    },
}
"""Where the example of the document would be refused in the tests' world."""

OF_A_BOARD = ("/gateways/sessions", "/gateways/status")
"""Where a query has to say which board is meant."""


def body_for(operation: Operation, there: Things) -> Example | None:
    """Return a body that an operation takes: its own example, about things that are there."""
    model = operation.reads.body
    if model is None:
        return None
    special = SPECIAL.get((operation.method, operation.path))
    if special is not None:
        return special(there)
    return _of_this_world(dict(getattr(model, "example", None) or {}), there)


def address_for(operation: Operation, there: Things) -> str:
    """Return the path and the query of an operation, about things that are there."""
    of_a_board = operation.path.startswith(OF_A_BOARD)
    return there.path(operation) + (f"?board_id={there.world.board.id}" if of_a_board else "")


def _of_this_world(example: Example, there: Things) -> Example:
    ids = {
        "board_id": there.world.board.id,
        "task_id": there.task.id,
        "agent_id": there.world.other_worker.id,
        "board_ids": [str(there.world.board.id)],
    }
    return example | {
        name: id if isinstance(id, list) else str(id) for name, id in ids.items() if name in example
    }


def _assigned(there: Things) -> Example:
    return {"assigned_agent_id": str(there.world.other_worker.id)}


def _question(_there: Things) -> Example:
    return {"action_type": "deploy", "confidence": 90, "payload": {"reason": "It is time."}}
