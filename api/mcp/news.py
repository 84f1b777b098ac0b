"""What agents ask for only as a tool: the next task, and what is new for them."""

from api.endpoints.tasks import TaskRead, build_task_fields
from api.framework.agent_operations import OperationHint
from api.framework.dependencies import board_for_read
from api.framework.fields import ResponseModel
from api.framework.operation import AGENT, Operation, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded
from models import Board
from services import tasks


class NextTaskRead(ResponseModel):
    """The task that the agent should work on; null: there is none."""

    task: TaskRead | None


@reads_only
async def get_next_task(context: RequestContext, board: Board) -> Encoded[NextTaskRead]:
    """Return the task to work on: the one that you have begun, else an assigned or a free one."""
    found = await tasks.find_next_task(context.source, board, context.agent)
    return Encoded({"task": build_task_fields(found) if found else None})


NEXT_TASK = Operation(
    "GET",
    "/agent/boards/{board_id}/tasks/next",
    get_next_task,
    AGENT,
    ["agent"],
    board_for_read,
    OperationHint(
        when="You begin, or have finished a task",
        not_when="You wait for something: call wait",
    ).build_extensions("agent_next_task"),
)
