"""Why a task, an approval or a message is as it is."""

from uuid import UUID

from api.framework.dependencies import agent_for_read, board_for_read
from api.framework.fields import ResponseModel, Timestamp
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder
from models import Agent, Board
from services import approvals, causes, tasks
from services.causes import StepKind


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


encode_step = build_encoder(CauseStepRead)


@reads_only
@error_responses(404)
async def list_task_causes(
    context: RequestContext, board: Board, task_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to the state of a task, oldest first."""
    detail = await tasks.get_task_detail(context.source, board, task_id)
    steps = await causes.load_task_causes(context.source, board, detail.task)
    return Encoded(list(map(encode_step, steps)))


@reads_only
@error_responses(404)
async def list_approval_causes(
    context: RequestContext, board: Board, approval_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to an approval and what followed, oldest first."""
    detail = await approvals.get_approval(context.source, board, approval_id)
    steps = await causes.load_approval_causes(context.source, board, detail.approval)
    return Encoded(list(map(encode_step, steps)))


@reads_only
@error_responses(404)
async def list_message_causes(
    context: RequestContext, agent: Agent, message_id: UUID
) -> Encoded[list[CauseStepRead]]:
    """List what led to a message to an agent and what followed, oldest first."""
    steps = await causes.load_message_causes(context.source, agent, message_id)
    return Encoded(list(map(encode_step, steps)))


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
