"""Runs of agents on gateways, as JSON: what they do, and what they did."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Moment, Paged
from api.operations import Call, may_answer
from kit.paging import Page
from models import Agent, Board, RunStatus
from services import runs
from services.runs import Phase

OF_STATUS = (
    "`running`, `ended`, `failed`, `aborted`, or `lost`: nobody knows what has become of it."
)


class ToolCallRead(Answer):
    """A tool that was called in a run."""

    id: str
    name: str
    title: str
    detail: str = Field(description="With what it was called: of a command, the command.")
    status: str = Field(description="`running`, `completed` or `failed`.")
    started_at: str
    ended_at: str | None
    error: str | None


class RunRead(Answer):
    """A turn of an agent on its gateway, as far as the gateway has told of it."""

    id: UUID
    gateway_id: UUID
    agent_id: UUID
    task_id: UUID | None = Field(description="That it is about, as far as is known.")
    run_id: str = Field(description="The gateway's id of it.")
    session_key: str
    is_heartbeat: bool
    status: RunStatus = Field(description=OF_STATUS)
    phase: Phase | None
    tool: str | None = Field(description="That is being called.")
    tool_title: str | None
    tool_calls: list[ToolCallRead] = Field(description="The last twenty, oldest first.")
    tail: str = Field(
        description="The last 4,000 characters that the agent has written, or a command of its "
        "has. Tokens of ours are masked."
    )
    tokens: int | None = Field(description="That the model has written.")
    error: str | None
    started_at: Moment
    updated_at: Moment = Field(description="When we last knew that it goes on.")
    ended_at: Moment | None


async def list_agent_runs(call: Call, agent: Agent, query: Paged) -> Page[RunRead]:
    """List what an agent did on its gateway, newest first, for those who read its board."""
    found = await runs.of_agent(call.session, agent, query.paging)
    return found.map(RunRead.model_validate)


@may_answer(404)
async def list_task_runs(call: Call, board: Board, task_id: UUID, query: Paged) -> Page[RunRead]:
    """List what agents on gateways did for a task, newest first."""
    found = await runs.of_task(call.session, board, task_id, query.paging)
    return found.map(RunRead.model_validate)
