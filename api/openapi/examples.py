"""Examples for the OpenAPI document: of values, generated from the schemas, and of errors."""

from collections.abc import Callable, Mapping
from typing import Any

from api.framework.auth import AllowedCaller
from api.framework.errors import VERSION_UNSUPPORTED
from api.framework.operation import Operation

SCHEMAS = "#/components/schemas/"
MAX_DEPTH = 6  # levels; deeper values are as small as possible

BY_FORMAT = {
    "uuid": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
    "date-time": "2026-11-24T22:28:33.056093Z",
    "date": "2026-11-24",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}
BY_TYPE: Mapping[str, Any] = {"string": "text", "boolean": True, "null": None, "object": {}}


class ExampleGenerator:
    """Generates examples from schemas that refer to definitions."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def generate(self, schema: Mapping[str, Any], depth: int = 0) -> Any:
        """Return a value that a schema allows: its own first example, if it has one."""
        for key, pick in SCHEMA_KEYWORDS.items():
            if key in schema:
                return pick(schema[key])
        if "$ref" in schema:
            return self.generate(self._definitions[schema["$ref"].removeprefix(SCHEMAS)], depth)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices and "properties" not in schema:
            return self.generate(choices[-1 if depth > MAX_DEPTH else 0], depth)
        return self._generate_by_type(schema, depth)

    def _generate_by_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object")
        if "properties" in schema:
            return {
                name: self.generate(field, depth + 1)
                for name, field in schema["properties"].items()
            }
        if kind == "array":
            one = schema.get("items")
            return [self.generate(one, depth + 1)] if one and depth <= MAX_DEPTH else []
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            name = self.generate(schema.get("propertyNames", {"examples": ["name"]}))
            return {name: self.generate(schema["additionalProperties"], depth + 1)}
        return BY_FORMAT.get(schema.get("format", ""), BY_TYPE[kind])


SCHEMA_KEYWORDS: Mapping[str, Callable[[Any], Any]] = {
    "examples": lambda examples: examples[0],
    "const": lambda value: value,
    "enum": lambda values: values[0],
}
"""Keywords that give an allowed value directly."""


REQUEST_ID = "9f1c1d0e6a5b4c3d8e7f60718293a4b5"

NOT_FOUND_ERRORS: Mapping[str, tuple[str, str]] = {
    "board_id": ("board_not_found", "There is no such board."),
    "task_id": ("task_not_found", "There is no such task on this board."),
    "approval_id": ("approval_not_found", "There is no such question."),
    "agent_id": ("agent_not_found", "There is no such agent."),
    "tag_id": ("tag_not_found", "There is no such tag."),
    "gateway_id": ("gateway_not_found", "There is no such gateway."),
    "group_id": ("board_group_not_found", "There is no such group."),
    "memory_id": ("memory_not_found", "There is no such note."),
    "webhook_id": ("webhook_not_found", "There is no such webhook."),
    "channel_id": ("channel_not_found", "You have no such channel."),
    "question_id": ("question_not_found", "There is no such question."),
    "skill_id": ("skill_not_found", "There is no such skill."),
    "pack_id": ("skill_pack_not_found", "There is no such skill pack."),
    "payload_id": ("webhook_payload_not_found", "There is no such payload."),
}
"""The error for each missing object in a path."""

ERRORS_BY_STATUS: Mapping[int, Mapping[str, str]] = {
    401: {"unauthenticated": "Unauthorized"},
    403: {
        "board_read_forbidden": "You may not read this board.",
        "board_write_forbidden": "You may read this board, not change it.",
        "admin_required": "Only an admin of the organization can do that.",
    },
    412: {"stale": "This was changed meanwhile. Read it again, then change it."},
    400: {"pack_url_invalid": "Enter a repository, such as https://github.com/owner/name."},
    408: {"request_timeout": "The request was not complete after 60 s."},
    413: {"body_too_large": "A request takes at most 2097152 bytes."},
    429: {
        "rate_limited": "Too many requests. Try again in 7 s.",
        "responses_not_read": (
            "Too much of earlier responses was not read. Read it, or close the connections."
            " Try again in 5 s."
        ),
    },
    500: {"": "Internal Server Error"},
    502: {"gateway_unreachable": "The gateway does not answer."},
    503: {"unavailable": "The database does not answer. Try again soon."},
}
AGENT_ERRORS = {"lead_required": "Only the board's lead can do that."}
IDEMPOTENCY_ERRORS = {
    409: ("idempotency_key_in_use", "The first request with this key is not answered yet."),
    422: ("idempotency_key_reused", "This Idempotency-Key was used for another request."),
}
BLOCKED_TASK_DETAIL = {
    "message": "It waits for another task.",
    "code": "task_blocked_cannot_transition",
    "blocked_by_task_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
}


def build_error_examples(status: int, operation: Operation) -> dict[str, Any]:
    """Return examples of the errors of an operation with a status, by code."""
    details = _select_details(status, operation) or {
        "refused": "This is not possible as things stand."
    }
    return {
        code or "failed": {"value": _build_envelope(code, detail)}
        for code, detail in details.items()
    }


def _select_details(status: int, operation: Operation) -> dict[str, Any]:
    details: dict[str, Any] = dict(ERRORS_BY_STATUS.get(status, {}))
    if status == 403 and operation.allowed_caller is AllowedCaller.AGENT:
        details |= AGENT_ERRORS
    if status == 404:
        details |= dict(
            [NOT_FOUND_ERRORS[name] for name in operation.parser.path if name in NOT_FOUND_ERRORS]
        )
    if status == 409 and operation.path.endswith("{task_id}"):
        details["task_blocked_cannot_transition"] = BLOCKED_TASK_DETAIL
    if status == 412 and operation.refuses_if_match:
        details = {"version_unsupported": VERSION_UNSUPPORTED}
    if status == 422:
        details["invalid_fields"] = [_build_field_error(operation)]
    if status in IDEMPOTENCY_ERRORS and operation.method == "POST":
        details |= dict([IDEMPOTENCY_ERRORS[status]])
    return details


def _build_field_error(operation: Operation) -> dict[str, Any]:
    """Return an example of a missing field, or of an invalid id."""
    if operation.parser.body is not None:
        field = next(iter(operation.parser.body.model_fields), "body")
        return {"type": "missing", "loc": ["body", field], "msg": "Field required", "input": {}}
    place = ["path", *operation.parser.path][:2] if operation.parser.path else ["query", "limit"]
    return {"type": "value_error", "loc": place, "msg": "This is not as it must be.", "input": "x"}


def _build_envelope(code: str, detail: Any) -> dict[str, Any]:
    return {"detail": detail, **({"code": code} if code else {}), "request_id": REQUEST_ID}
