"""Agents (contract, agents-and-gateways 7)."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.endpoints.agent_models import (
    AgentCreated,
    AgentProvisioningRequest,
    AgentRead,
    encode_agent,
    encode_agent_page,
    encode_calling_agent,
    encode_created_agent,
    load_agent_gateway,
)
from api.framework.fields import (
    NOT_SENT,
    JsonObject,
    Name,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from api.framework.handler import RequestContext, error_responses, reads_only
from core.clock import now
from core.errors import Forbidden, Invalid
from core.json_responses import Encoded
from core.paging import Page
from models import Agent, Board, Member
from services import agents, boards, organizations


class AgentTokenCreate(RequestModel):
    """The lifetime of a new token."""

    example = {"days": 90}

    days: Annotated[int, Field(ge=0, le=agents.MAX_TOKEN_DAYS)] | None = Field(
        default=None,
        description="Days for which this token and later ones of the agent are valid; 0: without an"
        " end. Null: as chosen before, and at first without an end.",
    )


class AgentTokenRead(ResponseModel):
    """A new token of an agent. Older tokens are revoked when it is first used."""

    agent_id: UUID
    expires_at: Timestamp | None = Field(
        description="When the token ends. Null: it has no end, or is not in its files yet."
    )
    token: str | None = Field(
        description="Returned once. Null for an agent on a gateway: it is written to its files."
    )


class AgentCreate(RequestModel):
    """A new agent. `status` is accepted and ignored: an agent is online when it calls."""

    example = {
        "name": "Ada",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "identity_profile": {"role": "Writer"},
    }

    name: Name
    board_id: UUID | None = Field(
        default=None, description="Omitted by leads: it is their own board."
    )
    status: ShortText = "provisioning"
    heartbeat_config: JsonObject | None = Field(
        default=None, examples=[{"every": "10m", "target": "last", "includeReasoning": False}]
    )
    identity_profile: JsonObject | None = None
    identity_template: Text | None = None
    soul_template: Text | None = None
    is_board_lead: bool = Field(default=False, description="Only admins may create a lead.")

    def draft(self) -> agents.AgentDraft:
        """Return the agent as a value of the services."""
        fields = self.model_dump(exclude={"board_id", "status", "is_board_lead"})
        return agents.AgentDraft(**fields)


class AgentUpdate(PatchModel):
    """Changes of an agent."""

    example = {"identity_profile": {"role": "Editor"}}

    board_id: UUID | None = Field(
        default=None, description="Moves the agent; its tasks stay on the board."
    )
    is_gateway_main: bool = NOT_SENT
    name: Name = NOT_SENT
    status: ShortText | None = None
    heartbeat_config: JsonObject | None = None
    identity_profile: JsonObject | None = None
    identity_template: Text | None = None
    soul_template: Text | None = None


class AgentHeartbeat(RequestModel):
    """A heartbeat with the agent's own status."""

    example = {"status": "healthy"}

    status: ShortText | None = None


class AgentHeartbeatCreate(AgentHeartbeat):
    """A heartbeat by name. If an agent calls itself, only the status is used."""

    example = {"name": "Ada", "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}

    name: Name
    board_id: UUID | None = None


class AgentFilter(PageQuery):
    """Which agents to list."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")
    gateway_id: UUID | None = Field(default=None, description="Only on this gateway.")


class AgentChangeQuery(RequestModel):
    """How to change an agent."""

    force: bool = Field(default=False, description="Only for agents on a gateway.")


class AgentDeletionQuery(RequestModel):
    """How to delete an agent."""

    force: bool = Field(
        default=False,
        description="Delete an agent on a gateway at once; its data on the gateway remains.",
    )


@reads_only
@error_responses(404)
async def list_agents(
    context: RequestContext, member: Member, query: AgentFilter
) -> Encoded[Page[AgentRead]]:
    """List the organization's agents on boards that the user may read, newest first."""
    found = await agents.list_agents(
        context.source,
        member,
        query.paging,
        board_id=query.board_id,
        gateway_id=query.gateway_id,
    )
    return encode_agent_page(found, context)


@reads_only
async def get_agent(context: RequestContext, agent: Agent) -> Encoded[AgentRead]:
    """Return an agent."""
    return await encode_agent(agent, context)


@error_responses(409)
async def create_agent(
    context: RequestContext, body: AgentCreate, board: Board | None = None
) -> Encoded[AgentCreated]:
    """Create an agent, and return its token once.

    An admin may create agents on every board that they may change. A lead may create workers on its
    own board, up to the board's `max_agents`.
    """
    if body.board_id and board and body.board_id != board.id:
        raise Forbidden("board_write_forbidden", "A lead creates agents for its own board.")
    return await _create_agent(context, body, board)


@error_responses(409)
async def create_agent_as_lead(
    context: RequestContext, board: Board, body: AgentCreate
) -> Encoded[AgentCreated]:
    """Create a worker on the lead's own board, and return its token once."""
    return await _create_agent(context, body, board)


@error_responses(409)
async def update_agent(
    context: RequestContext,
    member: Member,
    agent: Agent,
    query: AgentChangeQuery,
    body: AgentUpdate,
) -> Encoded[AgentRead]:
    """Change an agent, or move it to another board. Its status can be sent back, but not set."""
    changes = await _omit_shown_values(context, agent, body.changes())
    changed = await agents.update_agent(context.session, member, agent.id, changes)
    return await encode_agent(changed, context)


NOT_SHOWN = object()


async def _omit_shown_values(
    context: RequestContext, agent: Agent, sent: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Omit what a program sends back as it has read it, unless it sends nothing else."""
    gateway = await load_agent_gateway(agent, context)
    shown = {
        "board_id": agent.board_id,
        "heartbeat_config": agent.heartbeat_config,
        "is_gateway_main": agent.board_id is None,
        "status": agents.compute_status(agent, gateway, now(), context.offline_after),
    }
    changes = {name: value for name, value in sent.items() if shown.get(name, NOT_SHOWN) != value}
    return changes or sent


async def delete_agent(
    context: RequestContext, member: Member, agent_id: UUID, query: AgentDeletionQuery
) -> Ok:
    """Delete an agent. Its tasks return to the inbox. Deleting a missing agent succeeds.

    An agent on a gateway is removed there first; until then its status is `deleting`.
    """
    await agents.delete_agent(context.session, member.user, agent_id, force=query.force)
    return Ok()


@error_responses(409)
async def provision_agent(
    context: RequestContext, member: Member, agent: Agent, body: AgentProvisioningRequest
) -> Encoded[AgentRead]:
    """Provision an agent on its gateway again, and reset the attempts."""
    provisioned = await agents.reprovision_agent(
        context.session, member, agent.id, **body.model_dump()
    )
    return await encode_agent(provisioned, context)


async def create_agent_token(
    context: RequestContext, member: Member, agent: Agent, body: AgentTokenCreate
) -> AgentTokenRead:
    """Create a new token for an agent. Older tokens are revoked when it is first used.

    A token that has ended is 401 `token_expired`.
    """
    changed, token = await agents.issue_token(context.session, member, agent.id, days=body.days)
    expires_at = changed.token_expires_at if token else None
    return AgentTokenRead(agent_id=agent.id, token=token, expires_at=expires_at)


async def record_heartbeat(
    context: RequestContext, agent: Agent, body: AgentHeartbeat
) -> Encoded[AgentRead]:
    """Record a heartbeat of an agent, with its own status."""
    return encode_calling_agent(await _record_heartbeat(context, agent, body.status), context)


@error_responses(403, 404, 409)
async def record_heartbeat_or_create_agent(
    context: RequestContext, body: AgentHeartbeatCreate
) -> Encoded[AgentCreated]:
    """Record a heartbeat of the calling agent, or for an admin of the agent with that name.

    For an admin, a missing agent is created on the board in the request.
    """
    if isinstance(context.actor, Agent):
        agent, token = await _record_heartbeat(context, context.actor, body.status), None
    else:
        agent, token = await _check_in_by_name(context, body)
    return encode_created_agent(agent, None, token, context)  # it is not away


async def _create_agent(
    context: RequestContext, body: AgentCreate, board: Board | None
) -> Encoded[AgentCreated]:
    board = board or await _lock_board(context, body.board_id)
    created, token = await agents.create_agent(
        context.session, context.actor, board, body.draft(), is_board_lead=body.is_board_lead
    )
    gateway = await load_agent_gateway(created, context)
    return encode_created_agent(created, gateway, token, context)


async def _check_in_by_name(
    context: RequestContext, body: AgentHeartbeatCreate
) -> tuple[Agent, str | None]:
    member = await organizations.get_or_create_active_membership(context.session, context.user)
    found = await agents.find_agent_by_name(
        context.session, member, body.name, board_id=body.board_id
    )
    if found is not None:
        agent, _ = await agents.lock_agent(context.session, member, found.id)
        return await _record_heartbeat(context, agent, body.status), None
    board = await _lock_board(context, body.board_id)
    return await agents.create_on_first_heartbeat(
        context.session,
        context.user,
        board,
        body.name,
        status=body.status,
        offline_after=context.offline_after,
    )


async def _lock_board(context: RequestContext, board_id: UUID | None) -> Board:
    if board_id is None:
        raise Invalid("board_required", "Say on which board it works.", field="board_id")
    return await boards.lock_board_as_admin(context.session, context.actor, board_id)


async def _record_heartbeat(context: RequestContext, agent: Agent, status: str | None) -> Agent:
    return await agents.record_heartbeat(
        context.session, agent, status=status, offline_after=context.offline_after
    )
