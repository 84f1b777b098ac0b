"""The errors of operations in the OpenAPI document: models and examples."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from api.framework import dependencies
from api.framework.auth import AllowedCaller
from api.framework.errors import VERSION_UNSUPPORTED
from api.framework.fields import AnyJson, ResponseModel
from api.framework.operation import Dependency, Operation
from core.errors import (
    AppError,
    PreconditionFailed,
    RequestTimeout,
    TooMany,
    Unauthorized,
    Unavailable,
)
from core.http.request import body_too_large


class _Envelope(ResponseModel):
    """The common fields of errors."""

    code: str | None = Field(default=None, description="A stable code for programs.")
    request_id: str | None = Field(
        default=None, description="The same as in the header X-Request-Id."
    )


class ErrorEnvelope(_Envelope):
    """An error: a sentence, or an object with details."""

    component: ClassVar[str] = "LLMErrorResponse"

    detail: str | dict[str, Any]


class FieldFault(ResponseModel):
    """An invalid field."""

    component: ClassVar[str] = "ValidationError"

    type: str
    loc: list[str | int] = Field(description="`body`, `query` or `path`, then the field.")
    msg: str
    input: AnyJson = None
    ctx: dict[str, Any] | None = None


class ValidationErrorEnvelope(_Envelope):
    """Invalid input: all invalid fields, or a violated rule."""

    component: ClassVar[str] = "HTTPValidationError"

    detail: list[FieldFault] | str | dict[str, Any]


class BlockedTaskDetail(BaseModel):
    """Why a task cannot change its status: dependencies, or a rule of its board."""

    message: str
    code: str | None = None
    blocked_by_task_ids: list[str] = []


class BlockedTaskEnvelope(_Envelope):
    """A task cannot be changed in its current state."""

    component: ClassVar[str] = "BlockedTaskError"

    detail: BlockedTaskDetail | str | dict[str, Any]


ERROR_MODELS = (ErrorEnvelope, ValidationErrorEnvelope, BlockedTaskEnvelope)

STATUS_DESCRIPTIONS = {
    400: "The address is not valid",
    401: "The token is invalid, or not allowed for this operation",
    403: "The caller may read this, but not do this",
    404: "The object does not exist, or the caller may not read it",
    408: "The request did not arrive completely in time",
    409: "Not possible in the current state",
    410: "The webhook is disabled",
    412: "If-Match contains no current version: the object was changed, or has no versions",
    413: "The body is too large",
    422: "The input is invalid",
    429: "Too many requests: wait for the seconds in Retry-After",
    500: "Internal error",
    502: "An external system, such as a gateway, failed",
    503: "The database does not respond; try again soon",
}

DEPENDENCY_STATUSES: Mapping[Dependency | None, set[int]] = {  # without those of `loads`, `locks`
    None: set(),
    dependencies.active_membership: set(),
    dependencies.admin_membership: {403},
    dependencies.owner_membership: {403},
    dependencies.channel_for_read: {404},
    dependencies.channel_for_update: {404},
}
"""The errors of dependencies that do not both load an object and check a right to it."""


def list_statuses(operation: Operation) -> Sequence[int]:
    """Return every status except 200 that an operation can answer with."""
    dependency = operation.dependency
    loading = getattr(dependency, "error_statuses", None)
    found = {
        500,
        503,
        *operation.options.error_statuses,
        *(loading or DEPENDENCY_STATUSES.get(dependency, {403, 404})),
    }
    if operation.allowed_caller is not AllowedCaller.ANYONE:
        found |= {401, 429}
    if operation.options.changes_decisions:
        found.add(403)
    if operation.parser.body:
        found |= {408, 413, 422}
    if operation.options.receives_any_body:
        found |= {408, 413, 429}
    if operation.parser.query or operation.parser.path:
        found.add(422)
    if operation.accepts_idempotency_key:
        found |= {409, 422}
    if operation.refuses_if_match:
        found.add(412)
    return sorted(found)


def get_error_model(status: int, operation: Operation) -> type[BaseModel]:
    """Return the model of an error with this status."""
    if status == 422:
        return ValidationErrorEnvelope
    if status == 409 and "tasks" in operation.path:
        return BlockedTaskEnvelope
    return ErrorEnvelope


REQUEST_ID = "9f1c1d0e6a5b4c3d8e7f60718293a4b5"

NOT_FOUND_KINDS: Mapping[str, str | None] = {
    "group_id": "board_group",
    "pack_id": "skill_pack",
    "payload_id": "webhook_payload",
    **dict.fromkeys(("delivery_id", "grant_id", "invite_id", "member_id", "message_id")),
    **dict.fromkeys(("notification_id", "request_id", "session_id")),
    "task_custom_field_definition_id": None,
}
"""The kinds of objects of ids in paths that are not named as the id; None: without an example."""

ERRORS_BY_STATUS: Mapping[int, Sequence[AppError]] = {
    401: [Unauthorized()],
    403: [
        AppError("board_read_forbidden", "You may not read this board."),
        AppError("board_write_forbidden", "You can read this board but not change it."),
        AppError("admin_required", "Only an admin of the organization can do that."),
    ],
    412: [PreconditionFailed()],
    400: [
        AppError(
            "pack_url_invalid",
            "Enter a repository, such as https://github.com/owner/name, or an https address of an"
            " archive that ends with .zip or .tar.gz.",
        )
    ],
    408: [RequestTimeout(60)],
    413: [body_too_large(2_097_152)],
    429: [
        TooMany(7),
        TooMany(
            5,
            "Too much of what you opened before is still being loaded.",
            code="responses_not_read",
        ),
    ],
    500: [AppError("", "Internal Server Error")],
    502: [AppError("gateway_unreachable", "The gateway does not answer.")],
    503: [Unavailable()],
}
"""Examples of errors. Those of a service repeat its words, which a test compares."""

AGENT_ERROR = AppError("lead_required", "Only the board's lead can do that.")
AGENT_MOVED = AppError("agent_moved", "The agent was moved meanwhile. Try again.")
IDEMPOTENCY_ERRORS = {
    409: AppError(
        "idempotency_key_in_use",
        "The first request with this Idempotency-Key is not answered yet. Try again soon.",
    ),
    422: AppError(
        "idempotency_key_reused",
        "This Idempotency-Key was used for another request. Use a new one.",
    ),
}
BLOCKED_TASK_DETAIL = {
    "message": "It waits for another task.",
    "code": "task_blocked_cannot_transition",
    "blocked_by_task_ids": ["0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"],
}


def build_error_examples(status: int, operation: Operation) -> dict[str, Any]:
    """Return examples of the errors of an operation with a status, by code."""
    details = _select_details(status, operation) or {
        "refused": "This is not possible in the current state."
    }
    return {
        code or "failed": {
            "value": {
                "detail": detail,
                **({"code": code} if code else {}),
                "request_id": REQUEST_ID,
            }
        }
        for code, detail in details.items()
    }


def _select_details(status: int, operation: Operation) -> dict[str, Any]:
    errors = list(ERRORS_BY_STATUS.get(status, ()))
    if status == 403 and operation.allowed_caller is AllowedCaller.AGENT:
        errors.append(AGENT_ERROR)
    details: dict[str, Any] = {error.code: error.message for error in errors}
    if status == 404:
        details |= {
            f"{kind}_not_found": f"There is no such {kind.replace('_', ' ')}."
            for kind in list_not_found_kinds(operation)
        }
    if status == 409 and operation.path.endswith("{task_id}"):
        details["task_blocked_cannot_transition"] = BLOCKED_TASK_DETAIL
    changes_agent = operation.path.startswith("/agents/{agent_id}")
    if status == 409 and changes_agent and "{message_id}" not in operation.path:
        details[AGENT_MOVED.code] = AGENT_MOVED.message
    if status == 412 and operation.refuses_if_match:
        details = {"version_unsupported": VERSION_UNSUPPORTED}
    if status == 422:
        details["invalid_fields"] = [_build_field_error(operation)]
    if status in IDEMPOTENCY_ERRORS and operation.method == "POST":
        details[IDEMPOTENCY_ERRORS[status].code] = IDEMPOTENCY_ERRORS[status].message
    return details


def list_not_found_kinds(operation: Operation) -> list[str]:
    """Return the kinds of the objects in the path; the code of an error is `<kind>_not_found`."""
    ids = [name for name in operation.parser.path if name.endswith("_id")]
    kinds = [NOT_FOUND_KINDS.get(name, name.removesuffix("_id")) for name in ids]
    return [kind for kind in kinds if kind is not None]


def _build_field_error(operation: Operation) -> dict[str, Any]:
    """Return an example of a missing field, or of an invalid id."""
    if operation.parser.body is not None:
        field = next(iter(operation.parser.body.model_fields), "body")
        return {"type": "missing", "loc": ["body", field], "msg": "Field required", "input": {}}
    place = ["path", *operation.parser.path][:2] if operation.parser.path else ["query", "limit"]
    return {"type": "value_error", "loc": place, "msg": "This is not valid.", "input": "x"}
