"""Why a task, an approval or a message is as it is."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.framework.dependencies import agent_for_read, board_for_read
from api.framework.fields import ResponseModel, Timestamp
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, json_time
from models import Agent, Board
from services import approvals, causes, tasks
from services.causes import CauseStep, StepKind


class CauseStepRead(ResponseModel):
    """A step. `cause` is the `id` of the step that led to it, if it is known.

    The `id` is that of the message, run, request, approval or event; of a decision it has a prefix.
    """

    kind: StepKind
    id: str
    at: Timestamp
    actor: str
    text: str
    subject: str
    note: str
    cause: str | None


@reads_only
@error_responses(404)
async def list_task_causes(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to the state of a task, oldest first."""
    detail = await tasks.get_task_detail(context.source, board, task_id)
    return _encode(await causes.load_task_causes(context.source, board, detail.task))


@reads_only
@error_responses(404)
async def list_approval_causes(
    context: RequestContext, board: Board, approval_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to an approval and what followed, oldest first."""
    detail = await approvals.get_approval(context.source, board, approval_id)
    return _encode(await causes.load_approval_causes(context.source, board, detail.approval))


@reads_only
@error_responses(404)
async def list_message_causes(
    context: RequestContext, agent: Agent, message_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to a message to an agent and what followed, oldest first."""
    return _encode(await causes.load_message_causes(context.source, agent, message_id))


def _encode(steps: Sequence[CauseStep]) -> Encoded[list[CauseStepRead]]:
    return Encoded(list(map(_build_step_fields, steps)))


def _build_step_fields(step: CauseStep) -> dict[str, Any]:
    """Return the fields of a CauseStepRead, in the order of the model."""
    return {
        "kind": step.kind,
        "id": step.id,
        "at": json_time(step.at),
        "actor": step.actor,
        "text": step.text,
        "subject": step.subject,
        "note": step.note,
        "cause": step.cause,
    }


TAGS = ["activity"]

OPERATIONS = [
    Operation(
        "GET",
        "/boards/{board_id}/tasks/{task_id}/why",
        list_task_causes,
        USER,
        TAGS,
        board_for_read,
    ),
    Operation(
        "GET",
        "/boards/{board_id}/approvals/{approval_id}/why",
        list_approval_causes,
        USER,
        TAGS,
        board_for_read,
    ),
    Operation(
        "GET",
        "/agents/{agent_id}/messages/{message_id}/why",
        list_message_causes,
        USER,
        TAGS,
        agent_for_read,
    ),
]
