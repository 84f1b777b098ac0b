"""What errors look like: an example for each code that an operation is likely to answer with."""

from collections.abc import Mapping
from typing import Any

from api.auth import Caller
from api.operations import Operation

ID = "9f1c1d0e6a5b4c3d8e7f60718293a4b5"

GONE: Mapping[str, tuple[str, str]] = {
    "board_id": ("board_not_found", "There is no such board."),
    "task_id": ("task_not_found", "There is no such task on this board."),
    "approval_id": ("approval_not_found", "There is no such question."),
    "agent_id": ("agent_not_found", "There is no such agent."),
    "tag_id": ("tag_not_found", "There is no such tag."),
    "gateway_id": ("gateway_not_found", "There is no such gateway."),
    "group_id": ("board_group_not_found", "There is no such group."),
    "memory_id": ("memory_not_found", "There is no such note."),
}
"""What is told of each thing that a path can name, if it is not there."""

RULES: Mapping[int, Mapping[str, str]] = {
    401: {"unauthenticated": "Unauthorized"},
    403: {
        "board_read_forbidden": "You may not read this board.",
        "board_write_forbidden": "You may read this board, not change it.",
        "admin_required": "Only an admin of the organization can do that.",
    },
    412: {"stale": "This was changed meanwhile. Read it again, then change it."},
    413: {"body_too_large": "A request takes at most 2097152 bytes."},
    429: {"rate_limited": "Too many requests. Try again in 7 s."},
    500: {"": "Internal Server Error"},
    502: {"gateway_unreachable": "The gateway does not answer."},
    503: {"unavailable": "The database does not answer. Try again soon."},
}
OF_AGENTS = {"lead_required": "Only the board's lead can do that."}
OF_KEYS = {
    409: ("idempotency_key_in_use", "The first request with this key is not answered yet."),
    422: ("idempotency_key_reused", "This Idempotency-Key was used for another request."),
}
BLOCKED = {
    "message": "It waits for another task.",
    "code": "task_blocked_cannot_transition",
    "blocked_by_task_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
}


def examples(status: int, operation: Operation) -> dict[str, Any]:
    """Return what an operation may answer with a status, by code."""
    told = _told(status, operation) or {"refused": "This is not possible as things stand."}
    return {code or "failed": {"value": _envelope(code, detail)} for code, detail in told.items()}


def _told(status: int, operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = dict(RULES.get(status, {}))
    if status == 403 and operation.caller is Caller.AGENT:
        told |= OF_AGENTS
    if status == 404:
        told |= dict([GONE[name] for name in operation.reads.path if name in GONE])
    if status == 409 and operation.path.endswith("{task_id}"):
        told["task_blocked_cannot_transition"] = BLOCKED
    if status == 422:
        told["invalid_fields"] = [_fault(operation)]
    if status in OF_KEYS and operation.method == "POST":
        told |= dict([OF_KEYS[status]])
    return told


def _fault(operation: Operation) -> dict[str, Any]:
    """Return what is told of a field that is missing, or of an id that is none."""
    if operation.reads.body is not None:
        field = next(iter(operation.reads.body.model_fields), "body")
        return {"type": "missing", "loc": ["body", field], "msg": "Field required", "input": {}}
    place = ["path", *operation.reads.path][:2] if operation.reads.path else ["query", "limit"]
    return {"type": "value_error", "loc": place, "msg": "This is not as it must be.", "input": "x"}


def _envelope(code: str, detail: Any) -> dict[str, Any]:
    return {"detail": detail, **({"code": code} if code else {}), "request_id": ID}
