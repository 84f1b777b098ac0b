"""Sessions of coding agents, their tool calls, and the permissions that people have given."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import agent_for_read
from api.framework.fields import Ok, PageQuery, ResponseModel, Timestamp
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page, json_id, json_time
from core.paging import Page
from models import Agent, ApprovalStatus, CodingClient, ToolAnswer
from services import coding_sessions, tool_calls
from services.coding_sessions import ReportedState, SessionSummary
from services.tool_calls import GrantScope


class TokenCountsRead(ResponseModel):
    """Tokens that the client has reported, and the number of calls of models."""

    input: int = Field(description="Without those that were read from the cache.")
    output: int
    cache_read: int
    cache_write: int
    calls: int


class CodingSessionRead(ResponseModel):
    """A session of a client, as the client has reported it."""

    id: UUID
    client: CodingClient
    session_key: str = Field(description="The client's id of the session.")
    state: ReportedState = Field(
        description="`unknown` after five minutes of silence: it may work, or have been killed."
    )
    cwd: str | None
    model: str | None
    task_id: UUID | None = Field(description="The task that the agent had in progress.")
    task_title: str | None
    call_count: int
    held_count: int = Field(description="Calls that wait for people now.")
    ungated_count: int = Field(description="Calls that ran although the client did not ask.")
    tokens: TokenCountsRead
    started_at: Timestamp
    last_signal_at: Timestamp
    ended_at: Timestamp | None


def _build_session_fields(summary: SessionSummary) -> dict[str, Any]:
    """Return the fields of a CodingSessionRead."""
    row = summary.session
    return {
        "id": json_id(row.id),
        "client": row.client,
        "session_key": row.session_key,
        "state": summary.state,
        "cwd": row.cwd,
        "model": row.model,
        "task_id": json_id(row.task_id),
        "task_title": summary.task_title,
        "call_count": summary.call_count,
        "held_count": summary.held_count,
        "ungated_count": summary.ungated_count,
        "tokens": {name: getattr(summary.tokens, name) for name in TokenCountsRead.model_fields},
        "started_at": json_time(row.started_at),
        "last_signal_at": json_time(row.last_signal_at),
        "ended_at": json_time(row.ended_at),
    }


class CodingToolCallRead(ResponseModel):
    """A tool call, as its client has reported it, and how it was answered."""

    id: UUID
    session_id: UUID
    client: CodingClient
    session_key: str = Field(description="The client's id of the session.")
    call_key: str | None = Field(description="The client's id of the call, if it has one.")
    tool: str
    input_excerpt: str = Field(description="The first 2 kB of the input, with secrets masked.")
    reason: str = Field(
        description="Why it was answered or held, as a code: `rule`, `plain_read`, `own_tool`, "
        "`no_rule`, `not_understood`, `client_config`, `grant`, `late_decision`, `deferred`, "
        "`too_large`, `replayed`, `limited`, or the code of what stopped the agent."
    )
    rule_name: str | None
    approval_id: UUID | None = Field(description="With which people were asked.")
    approval_status: ApprovalStatus | None
    decided_by: str | None = Field(description="The name of the person who decided it.")
    grant_id: UUID | None = Field(description="The permission that allowed it.")
    answer: ToolAnswer | None = Field(
        description="What the client was told. Null while it waits, and if nobody waits any more."
    )
    asked_at: Timestamp
    waits_until: Timestamp | None
    abandoned_at: Timestamp | None = Field(description="Since when nobody waits for the answer.")
    answered_at: Timestamp | None
    executed_at: Timestamp | None = Field(description="As the client has reported it.")
    is_successful: bool | None = Field(description="The same.")
    is_ungated: bool = Field(description="Whether it ran although its client did not ask.")


encode_call = build_encoder(
    CodingToolCallRead,
    "call",
    client="client",
    session_key="session_key",
    approval_status="approval_status",
    decided_by="decided_by",
)


class ToolCallFilter(PageQuery):
    """Which tool calls to list."""

    session_id: UUID | None = Field(default=None, description="Only those of this session.")


class ToolGrantRead(ResponseModel):
    """A permission for identical tool calls of an agent."""

    id: UUID
    scope: GrantScope = Field(description="Until the session has ended, or the task is done.")
    session_id: UUID | None
    task_id: UUID | None
    task_title: str | None
    approval_id: UUID = Field(description="The approval with which it was given.")
    tool: str
    input_excerpt: str = Field(description="The input that it covers, with secrets masked.")
    granted_by_user_id: UUID | None
    granted_by: str | None = Field(description="The name of the person.")
    is_active: bool = Field(description="Whether it allows identical calls now.")
    created_at: Timestamp
    ended_at: Timestamp | None


encode_grant = build_encoder(
    ToolGrantRead,
    "grant",
    scope="scope",
    task_title="task_title",
    granted_by="granted_by",
    is_active="is_active",
)


@reads_only
async def list_coding_sessions(
    context: RequestContext, agent: Agent, query: PageQuery
) -> Encoded[Page[CodingSessionRead]]:
    """List the sessions of an agent; those with the latest signs of life come first."""
    found = await coding_sessions.list_sessions(context.source, agent, query.paging)
    return encode_page(found, _build_session_fields)


@reads_only
async def list_tool_calls(
    context: RequestContext, agent: Agent, query: ToolCallFilter
) -> Encoded[Page[CodingToolCallRead]]:
    """List what an agent's clients have asked for in the past 30 days, newest first."""
    found = await tool_calls.list_calls(
        context.source, agent, query.paging, session_id=query.session_id
    )
    return encode_page(found, encode_call)


@reads_only
async def list_tool_grants(
    context: RequestContext, agent: Agent, query: PageQuery
) -> Encoded[Page[ToolGrantRead]]:
    """List the permissions for tool calls of an agent, newest first, with those that have ended."""
    found = await tool_calls.list_grants(context.source, agent, query.paging)
    return encode_page(found, encode_grant)


@changes_decisions
@error_responses(403, 404)
async def end_tool_grant(context: RequestContext, agent: Agent, grant_id: UUID) -> Ok:
    """Revoke a permission. The next identical call asks people again."""
    await tool_calls.end_grant(context.session, context.user, agent, grant_id)
    return Ok()


AGENT, TAGS = "/agents/{agent_id}", ["coding-agents"]

OPERATIONS = [
    Operation("GET", AGENT + "/sessions", list_coding_sessions, USER, TAGS, agent_for_read),
    Operation("GET", AGENT + "/tool-calls", list_tool_calls, USER, TAGS, agent_for_read),
    Operation("GET", AGENT + "/grants", list_tool_grants, USER, TAGS, agent_for_read),
    Operation("DELETE", AGENT + "/grants/{grant_id}", end_tool_grant, USER, TAGS, agent_for_read),
]
