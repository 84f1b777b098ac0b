"""The errors of operations, and their models (contract, 1.3)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from api.framework import dependencies
from api.framework.auth import AllowedCaller
from api.framework.fields import AnyJson, ResponseModel
from api.framework.operation import Dependency, Operation


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
    dependencies.question_for_read: {404},
}
"""The errors of dependencies that do not both load an object and check a right to it."""


def list_statuses(operation: Operation) -> Sequence[int]:
    """Return every status except 200 that an operation can answer with."""
    dependency = operation.dependency
    loading = getattr(dependency, "error_statuses", None)
    found = {
        500,
        503,
        *operation.error_statuses,
        *(loading or DEPENDENCY_STATUSES.get(dependency, {403, 404})),
    }
    if operation.allowed_caller is not AllowedCaller.ANYONE:
        found |= {401, 429}
    if operation.changes_decisions:
        found.add(403)
    if operation.parser.body:
        found |= {408, 413, 422}
    if operation.receives_any_body:
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
