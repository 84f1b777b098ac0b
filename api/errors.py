"""The errors that an operation can answer with, and what they look like (contract, 1.3)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from api import reach, reach_groups
from api.auth import Caller
from api.fields import AnyJson
from api.operations import Operation, Reach


class _Envelope(BaseModel):
    """What all errors have in common."""

    code: str | None = Field(default=None, description="For machines. It never changes.")
    request_id: str | None = Field(default=None, description="As in the header X-Request-Id.")


class ErrorEnvelope(_Envelope):
    """An error: a sentence for people, or an object with details."""

    detail: str | dict[str, Any]


class FieldFault(BaseModel):
    """A field that is not as it must be."""

    type: str
    loc: list[str | int] = Field(description="`body`, `query` or `path`, then the field.")
    msg: str
    input: AnyJson = None
    ctx: dict[str, Any] | None = None


class ValidationErrorEnvelope(_Envelope):
    """What was sent is not as it must be: every field that is wrong, or one rule in a sentence."""

    detail: list[FieldFault] | str | dict[str, Any]


class BlockedTaskDetail(BaseModel):
    """Why a task cannot be moved: what it waits for, or what its board asks for first."""

    message: str
    code: str | None = None
    blocked_by_task_ids: list[str] = []


class BlockedTaskEnvelope(_Envelope):
    """A task cannot be changed as things stand."""

    detail: BlockedTaskDetail | str | dict[str, Any]


MODELS = (ErrorEnvelope, ValidationErrorEnvelope, BlockedTaskEnvelope)

MEANING = {
    401: "Nobody has this token, or it is not for this",
    403: "The caller may see this, but not do that to it",
    404: "There is no such thing, or not for this caller",
    409: "Not as things stand now",
    412: "It was changed meanwhile: read it again, then change it",
    413: "The body is longer than anybody needs",
    422: "Something that was sent makes no sense here",
    429: "Too many requests: wait for the seconds in Retry-After",
    500: "Our mistake",
    502: "Something outside, as a gateway, did not do what it was asked for",
    503: "The database does not answer; try again soon",
}

OF_REACH: dict[Reach | None, set[int]] = {
    None: set(),
    reach.belonging: set(),
    reach.administering: {403},
    reach.owning: {403},
    reach.member_to_change: {403, 404},
    reach.reading: {403, 404},
    reach.writing: {403, 404},
    reach.governing: {403, 404},
    reach.leading: {403, 404},
    reach.asking: {403, 404},
    reach.staffing: {403, 404},
    reach.agent_in_reach: {403, 404},
    reach.agent_in_sight: {403, 404},
    reach.own_agent: {403, 404},
    reach.gateway_in_reach: {403, 404},
    reach.request_in_reach: {403, 404},
    reach.field_to_change: {403, 404},
    reach.tag_to_read: {404},
    reach.tag_to_change: {403, 404},
    reach_groups.group_to_read: {403, 404},
    reach_groups.group_to_change: {403, 404},
    reach_groups.crews: {403, 404},
    reach_groups.notes_to_read: {403, 404},
    reach_groups.notes_to_change: {403, 404},
    reach_groups.shared_to_read: {403, 404},
    reach_groups.shared_to_change: {403, 404},
}


def statuses(operation: Operation) -> Sequence[int]:
    """Return every status but 200 that an operation can answer with."""
    found = {500, 503, *operation.errors, *OF_REACH[operation.reach]}
    if operation.caller is not Caller.ANYONE:
        found |= {401, 429}
    if operation.reads.body:
        found |= {413, 422}
    if operation.reads.query or operation.reads.path:
        found.add(422)
    if operation.takes_a_key:
        found |= {409, 422}
    return sorted(found)


def model(status: int, operation: Operation) -> type[BaseModel]:
    """Return what an error of this status looks like."""
    if status == 422:
        return ValidationErrorEnvelope
    if status == 409 and "tasks" in operation.path:
        return BlockedTaskEnvelope
    return ErrorEnvelope
