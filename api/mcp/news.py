"""What agents ask for only as a tool: the next task, and what is new for them."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.endpoints.messages import MessageRead, encode_message
from api.endpoints.tasks import TaskRead, build_task_fields
from api.framework.agent_operations import OperationHint
from api.framework.auth import authenticate
from api.framework.dependencies import board_for_read
from api.framework.fields import RequestModel, ResponseModel
from api.framework.news import MAX_WAIT, wait_for_news
from api.framework.operation import (
    AGENT,
    Operation,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.db.reads import Source
from core.errors import Unauthorized
from core.http.long_wait import WaitEnd
from core.json_responses import Encoded
from core.paging import MAX_PAGE_SIZE, Paging
from models import Agent, Board, Status
from services import boards, messages, tasks

MAX_MESSAGES = 20  # in one result, because a model reads all of them


class NextTaskRead(ResponseModel):
    """The task that the agent should work on; null: there is none."""

    task: TaskRead | None


@reads_only
@error_responses(409)
async def get_next_task(context: RequestContext, board: Board) -> Encoded[NextTaskRead]:
    """Return the task to work on: the one that you have begun, else an assigned or a free one."""
    _, hold = await boards.find_board_and_hold(context.source, context.agent)
    if hold is not None:
        raise hold
    found = await tasks.find_next_task(context.source, board, context.agent)
    return Encoded({"task": build_task_fields(found) if found else None})


class NewsWait(RequestModel):
    """How long to wait, and what is not new any more."""

    seconds: int = Field(default=MAX_WAIT, ge=0, le=MAX_WAIT)
    acknowledge: Annotated[list[UUID], Field(max_length=MAX_PAGE_SIZE)] = Field(
        default=[], description="Ids of messages that you have read. Others are returned again."
    )


class NewsRead(ResponseModel):
    """What is new for an agent."""

    messages: list[MessageRead]
    task: TaskRead | None = Field(description="A task to begin; null while you have begun one.")


@without_transaction
@error_responses(404)
async def wait(context: RequestContext, body: NewsWait) -> Encoded[NewsRead]:
    """Wait until there is a message, a decision about your request, or a task to begin.

    Decisions are messages. Without anything new, the response is empty after `seconds`.
    """
    if body.acknowledge:
        async with context.transaction() as session:
            await messages.acknowledge_messages(session, context.agent, body.acknowledge)
    news: dict[str, Any] = {}
    async with wait_for_news(context.request, context.agent, body.seconds) as waiting:
        while not any(news.values()) and await waiting.next() is WaitEnd.NOTIFIED:
            news = await _read_news(context)
    if not any(news.values()):
        news = await _read_news(context)  # the agent may have been deleted meanwhile
    return Encoded(news)


async def _read_news(context: RequestContext) -> dict[str, Any]:
    """Return what is new, with the rights that the agent has now. Raises Unauthorized."""
    async with context.transaction() as session:
        agent = await authenticate(session, context.request, AGENT)
        if not isinstance(agent, Agent):
            raise Unauthorized
        found = await messages.list_inbox(session, agent, Paging(MAX_MESSAGES))
        task = None if agent.is_board_lead else await _find_new_task(session, agent)
    return {
        "messages": list(map(encode_message, found.items)),
        "task": build_task_fields(task) if task else None,
    }


async def _find_new_task(source: Source, agent: Agent) -> tasks.ListedTask | None:
    """Return a task that the agent may begin now; None while it has begun one."""
    board, hold = await boards.find_board_and_hold(source, agent)
    if board is None or hold is not None:
        return None
    found = await tasks.find_next_task(source, board, agent)
    return found if found and found.status != Status.IN_PROGRESS else None


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
WAIT = Operation(
    "POST",
    "/agent/news",
    wait,
    AGENT,
    ["agent"],
    hints=OperationHint(
        when="You have nothing to do until somebody answers, decides or gives you a task",
        not_when="You have begun a task and can go on",
    ).build_extensions("agent_wait"),
)
