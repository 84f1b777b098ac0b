"""The runs of agents on gateways."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import agent_for_read
from api.framework.fields import PageQuery, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Agent, Run, RunStatus
from services.gateways import runs
from services.gateways.runs import RunPhase


class ToolCallRead(ResponseModel):
    """A tool call of a run."""

    id: str
    name: str
    title: str
    detail: str = Field(description="The arguments of the call, such as the command.")
    status: str = Field(description="`running`, `completed` or `failed`.")
    started_at: str
    ended_at: str | None
    error: str | None


class RunRead(ResponseModel):
    """A run (turn) of an agent on its gateway, as reported by the gateway."""

    id: UUID
    gateway_id: UUID
    agent_id: UUID
    task_id: UUID | None = Field(description="The task of the run, if known.")
    run_id: str = Field(description="The id of the run on the gateway.")
    session_key: str
    is_heartbeat: bool
    status: RunStatus = Field(
        description="`running`, `ended`, `failed`, `aborted`, or `lost`: the outcome is unknown."
    )
    phase: RunPhase | None
    tool: str | None = Field(description="The tool that is being called.")
    tool_title: str | None
    tool_calls: list[ToolCallRead] = Field(description="The last twenty, oldest first.")
    tail: str = Field(
        description="The last 4,000 characters of output of the agent or its command. Our tokens "
        "are masked."
    )
    tokens: int | None = Field(description="Tokens that the model generated.")
    error: str | None
    started_at: Timestamp
    updated_at: Timestamp = Field(description="Time of the gateway's last report.")
    ended_at: Timestamp | None


encode_run = build_encoder(RunRead)


def build_run_fields(run: Run) -> dict[str, Any]:
    """Return the fields of a RunRead, with those of its calls in the order of their model."""
    names = ToolCallRead.model_fields
    calls = [{name: call[name] for name in names} for call in run.tool_calls]
    return encode_run(run) | {"tool_calls": calls}


@reads_only
async def list_agent_runs(
    context: RequestContext, agent: Agent, query: PageQuery
) -> Encoded[Page[RunRead]]:
    """List an agent's runs on its gateway, newest first, for users who may read its board."""
    found = await runs.list_agent_runs(context.source, agent, query.paging)
    return encode_page(found, build_run_fields)


OPERATIONS = [
    Operation("GET", "/agents/{agent_id}/runs", list_agent_runs, USER, ["agents"], agent_for_read),
]
