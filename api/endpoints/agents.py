"""Agents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints
from starlette.responses import Response

from api.framework.agent_operations import declare_agent
from api.framework.dependencies import (
    admin_membership,
    admin_or_lead,
    agent_for_admin,
    agent_for_heartbeat,
    board_for_lead,
)
from api.framework.fields import (
    JsonObject,
    Ok,
    PageQuery,
    RequestModel,
    ResponseModel,
    StreamQuery,
    Timestamp,
)
from api.framework.operation import (
    EITHER,
    USER,
    Operation,
    error_responses,
    reads_only,
    sends_events,
)
from api.framework.request_context import RequestContext
from api.streams.seen_agents import SeenAgentsReport
from api.streams.subscription import (
    AllowedIds,
    StreamDefinition,
    format_frame,
    get_current_membership,
    list_readable_board_ids,
    open_stream,
)
from core.clock import now
from core.errors import Forbidden, Invalid
from core.http.request import Session
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Agent, Board, Event, Gateway, Member
from services import agents, boards, events, gateways, organizations
from services.agents import AgentCreate, AgentName, AgentUpdate
from services.gateways import provisioning
from services.messages import HoldCause


class EvidenceRead(ResponseModel):
    """The evidence for the status of an agent, and its time."""

    by: Literal["call", "gateway", "failure", "waiting", "nothing"] = Field(
        description="`call`: it called the API. `gateway`: its gateway has it. `failure`: it could"
        " not be provisioned. `waiting`: its gateway is unreachable. `nothing`: no evidence yet."
    )
    at: Timestamp | None


class FailureRead(ResponseModel):
    """Why provisioning of an agent fails, and what helps."""

    step: str = Field(description="The step that failed.")
    code: str = Field(description="The cause, for programs.")
    reason: str
    command: str | None = Field(
        description="A command for the gateway's machine that helps, if any."
    )
    at: Timestamp = Field(description="Time of the first failure.")


class ProvisioningRead(ResponseModel):
    """The desired state of an agent on its gateway, and the progress."""

    state: Literal["done", "working", "waiting", "paused", "failed", "removing"]
    desired_state: Literal["running", "gone"]
    generation: int = Field(description="Increases with each requested state.")
    observed_generation: int = Field(
        description="The last generation that was completed on the gateway."
    )
    step: str | None = Field(
        description="The next step: `create`, `listed`, `name`, `files`, `heartbeat`, `scratch`,"
        " `wake` or `check_in`; or `remove`. Null: none."
    )
    attempts: int = Field(description="Failed attempts of this step.")
    next_try_at: Timestamp | None
    deadline: Timestamp | None = Field(
        description="When the step counts as failed if it is not complete."
    )
    failure: FailureRead | None
    last_error: FailureRead | None = Field(
        description="Why the last attempt failed, while the step is retried."
    )
    kept_files: list[str] = Field(
        description="Files that are not overwritten, because the agent changed them."
    )


class HoldRead(ResponseModel):
    """Why an agent is held: by a circuit breaker, or paused by a person.

    Its messages wait until a person releases it. A paused agent takes and moves no tasks either.
    """

    cause: HoldCause = Field(
        description="`messages`: it received too many. `loop`: it and another agent answer each "
        "other. `failures`: its last runs on the same task failed. `person`: a person has paused "
        "it."
    )
    reason: str
    since: Timestamp


class AgentProvisioningRequest(RequestModel):
    """Options for provisioning an agent again."""

    component: ClassVar[str] = "Bringing"

    example = {"wake": True}

    wake: bool = Field(default=False, description="Also start a turn of the agent at once.")
    overwrite: bool = Field(
        default=False,
        description="Overwrite the agent's changes in AGENTS.md, SOUL.md, IDENTITY.md.",
    )


class AgentRead(ResponseModel):
    """An agent with its current status: an agent that is silent for too long is offline."""

    board_id: UUID | None
    name: str
    status: str = Field(
        description="`provisioning`, `online`, `offline`, `deleting`, or a status from the agent."
    )
    heartbeat_config: JsonObject | None
    identity_profile: JsonObject | None
    identity_template: str | None
    soul_template: str | None
    id: UUID
    gateway_id: UUID | None
    is_board_lead: bool
    is_gateway_main: bool
    openclaw_session_id: str | None
    last_seen_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
    is_late: bool = Field(description="It is online, but its last heartbeat is overdue.")
    away: bool = Field(
        description="Its gateway is unreachable, and it has not called since: what it does is"
        " unknown. Instead of `online` its status is then `offline`."
    )
    away_since: Timestamp | None = Field(description="Null: it is not away.")
    is_linked: bool = Field(
        description="It existed on its gateway before; nothing is written there."
    )
    first_call_due_at: Timestamp | None = Field(
        description="When an agent that no gateway starts is offline if it has not called. Null:"
        " it has called, or its gateway starts it."
    )
    wake_attempts: int = Field(description="Number of wake-ups since its last heartbeat.")
    evidence: EvidenceRead
    provisioning: ProvisioningRead | None = Field(
        description="Progress on its gateway; null for an agent without provisioning."
    )
    last_provision_error: str | None
    hold: HoldRead | None = Field(description="Null: it is neither held nor paused.")
    token_expires_at: Timestamp | None = Field(
        description="When its newest token ends. Null: it has no end."
    )


class AgentCreated(AgentRead):
    """A new agent and its token, which is never returned again."""

    token: str | None = Field(
        description="Returned once. Null if the agent already existed, and for one on a gateway,"
        " where the token is written to its files."
    )


def build_agent_fields(
    agent: Agent, gateway: Gateway | None, context: RequestContext
) -> dict[str, Any]:
    """Return the fields of an AgentRead, in the order of the model."""
    moment, offline_after = now(), context.offline_after
    away_since = agents.find_away_since(agent, gateway, moment)
    evidence, failure = agents.find_status_evidence(agent, moment), agent.provision_failure
    hold = None
    if agent.hold is not None and agent.held_at is not None:
        reason = {name: agent.hold[name] for name in ("cause", "reason")}
        hold = reason | {"since": json_time(agent.held_at)}
    return {
        "board_id": json_id(agent.board_id),
        "name": agent.name,
        "status": agents.compute_status(agent, gateway, moment, offline_after),
        "heartbeat_config": agent.heartbeat_config,
        "identity_profile": agent.identity_profile,
        "identity_template": agent.identity_template,
        "soul_template": agent.soul_template,
        "id": json_id(agent.id),
        "gateway_id": json_id(agent.gateway_id),
        "is_board_lead": agent.is_board_lead,
        "is_gateway_main": agent.board_id is None,
        "openclaw_session_id": agent.openclaw_session_id,
        "last_seen_at": json_time(agent.last_seen_at),
        "created_at": json_time(agent.created_at),
        "updated_at": json_time(agent.updated_at),
        "is_late": agents.is_late(agent, gateway, moment, offline_after),
        "away": away_since is not None,
        "away_since": json_time(away_since),
        "is_linked": agent.is_linked,
        "first_call_due_at": json_time(agents.first_call_deadline(agent, offline_after)),
        "wake_attempts": agent.wake_attempts,
        "evidence": {"by": evidence.source, "at": json_time(evidence.at)},
        "provisioning": _build_provisioning_fields(agent, moment),
        "last_provision_error": failure["reason"] if failure else None,
        "hold": hold,
        "token_expires_at": json_time(agent.token_expires_at),
    }


async def _encode_agent(agent: Agent, context: RequestContext) -> Encoded[AgentRead]:
    """Return the response for one agent."""
    return Encoded(build_agent_fields(agent, await _load_agent_gateway(agent, context), context))


async def _load_agent_gateway(agent: Agent, context: RequestContext) -> Gateway | None:
    """Return the gateway of an agent, which determines its status; None if it has none."""
    return (await gateways.load_agent_gateways(context.source, [agent])).get(agent.gateway_id)


def _encode_agent_page(page: Page[Agent], context: RequestContext) -> Encoded[Page[AgentRead]]:
    """Return the response for a page of agents that were loaded with their gateways."""
    return encode_page(page, lambda agent: build_agent_fields(agent, agent.gateway, context))


def encode_created_agent(
    agent: Agent, gateway: Gateway | None, token: str | None, context: RequestContext
) -> Encoded[AgentCreated]:
    """Return the response for an agent that may have been created just now."""
    return Encoded(build_agent_fields(agent, gateway, context) | {"token": token})


def _encode_calling_agent(agent: Agent, context: RequestContext) -> Encoded[AgentRead]:
    """Return the response for an agent that has called just now, so that it is not away."""
    return Encoded(build_agent_fields(agent, None, context))


def _build_provisioning_fields(agent: Agent, moment: datetime) -> dict[str, Any] | None:
    """Return the fields of a ProvisioningRead, or None for an agent without a gateway."""
    state = provisioning.provisioning_status(agent, moment)
    if state is None:
        return None
    return {
        "state": state,
        "desired_state": agent.desired_state,
        "generation": agent.generation,
        "observed_generation": agent.observed_generation,
        "step": agent.step,
        "attempts": agent.step_attempts,
        "next_try_at": json_time(agent.next_step_at),
        "deadline": json_time(agent.step_deadline_at),
        "failure": _build_failure_fields(agent.provision_failure),
        "last_error": _build_failure_fields(agent.step_error),
        "kept_files": list(agent.provisioning_state.kept_files),
    }


def _build_failure_fields(failure: dict[str, Any] | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    fields = {name: failure[name] for name in ("step", "code", "reason", "command")}
    return fields | {"at": json_time(datetime.fromisoformat(failure["at"]))}


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


class AgentHeartbeat(RequestModel):
    """A heartbeat with the agent's own status."""

    example = {"status": "healthy"}

    status: Annotated[str, StringConstraints(strip_whitespace=True, max_length=40)] | None = None


class AgentHeartbeatCreate(AgentHeartbeat):
    """A heartbeat by name. If an agent calls itself, only the status is used."""

    example = {"name": "Ada", "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}

    name: AgentName
    board_id: UUID | None = None


class AgentFilter(PageQuery):
    """Which agents to list."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")
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
    gateway = None
    if query.gateway_id is not None:
        gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    found = await agents.list_agents(
        context.source, member, query.paging, board_id=query.board_id, gateway=gateway
    )
    return _encode_agent_page(found, context)


@reads_only
async def get_agent(context: RequestContext, agent: Agent) -> Encoded[AgentRead]:
    """Return an agent."""
    return await _encode_agent(agent, context)


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
    gateway = await _load_agent_gateway(agent, context)
    shown = {
        "board_id": agent.board_id,
        "heartbeat_config": agent.heartbeat_config,
        "is_gateway_main": agent.board_id is None,
        "status": agents.compute_status(agent, gateway, now(), context.offline_after),
    }
    # Omit what a program sends back as it has read it, unless it sends nothing else.
    changes = body.without({name for name, value in shown.items() if getattr(body, name) == value})
    if not changes.model_fields_set:
        changes = body
    changed = await agents.update_agent(context.session, member, agent.id, changes)
    return await _encode_agent(changed, context)


@error_responses(409)
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
    return await _encode_agent(provisioned, context)


@error_responses(409)
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
    return _encode_calling_agent(await _record_heartbeat(context, agent, body.status), context)


@error_responses(403, 404, 409)
async def record_heartbeat_or_create_agent(
    context: RequestContext, body: AgentHeartbeatCreate
) -> Encoded[AgentCreated]:
    """Record a heartbeat of the calling agent, or for an admin of the agent with that name.

    For an admin, a missing agent is created on the board in the request.
    """
    actor, session, token = context.actor, context.session, None
    if isinstance(actor, Agent):
        agent = await _record_heartbeat(context, actor, body.status)
        return encode_created_agent(agent, None, token, context)  # it is not away
    member = await organizations.get_or_create_active_membership(session, actor)
    found = await agents.find_agent_by_name(session, member, body.name, board_id=body.board_id)
    if found is not None:
        agent, _ = await agents.lock_agent(session, member, found.id)
        agent = await _record_heartbeat(context, agent, body.status)
    else:
        board = await _lock_board(context, body.board_id)
        agent, token = await agents.create_on_first_heartbeat(
            session,
            actor,
            board,
            body.name,
            status=body.status,
            offline_after=context.offline_after,
        )
    return encode_created_agent(agent, None, token, context)  # it is not away


async def _create_agent(
    context: RequestContext, body: AgentCreate, board: Board | None
) -> Encoded[AgentCreated]:
    board = board or await _lock_board(context, body.board_id)
    created, token = await agents.create_agent(context.session, context.actor, board, body)
    gateway = await _load_agent_gateway(created, context)
    return encode_created_agent(created, gateway, token, context)


async def _lock_board(context: RequestContext, board_id: UUID | None) -> Board:
    if board_id is None:
        raise Invalid(
            "board_required",
            "Name the board on which the agent works.",
            field="board_id",
            sent_as="text",
        )
    return await boards.lock_board_as_admin(context.session, context.actor, board_id)


async def _record_heartbeat(context: RequestContext, agent: Agent, status: str | None) -> Agent:
    return await agents.record_heartbeat(
        context.session, agent, status=status, offline_after=context.offline_after
    )


@error_responses(409)
async def pause_agent(context: RequestContext, member: Member, agent: Agent) -> Encoded[AgentRead]:
    """Pause an agent, for admins. It is released with DELETE.

    Its messages wait, its running turn continues, and it gets 409 `agent_paused` if it takes or
    moves tasks. A paused agent is returned unchanged.
    """
    paused = await agents.pause_agent(context.session, member, agent.id)
    return await _encode_agent(paused, context)


@error_responses(409)
async def release_agent(
    context: RequestContext, member: Member, agent: Agent
) -> Encoded[AgentRead]:
    """Release an agent that is held or paused, for admins. Its messages are delivered."""
    released = await agents.release_agent(context.session, member, agent.id)
    return await _encode_agent(released, context)


@error_responses(403, 404)
async def delete_board_agent(context: RequestContext, board: Board, agent_id: UUID) -> Ok:
    """Delete a worker of your board. Its tasks return to the inbox."""
    await agents.delete_worker(context.session, context.agent, board, agent_id)
    return Ok()


class AgentHealthStatusResponse(ResponseModel):
    """The token is valid, and belongs to this agent."""

    ok: bool = True
    agent_id: UUID
    board_id: UUID | None
    gateway_id: UUID | None
    status: str
    is_board_lead: bool


class BoardAgentFilter(PageQuery):
    """Which agents to list."""

    component: ClassVar[str] = "AgentsBesides"

    board_id: UUID | None = Field(
        default=None, description="Boards other than the agent's own: 403."
    )


@reads_only
async def get_agent_health(context: RequestContext) -> AgentHealthStatusResponse:
    """Return whether the token is valid, and its agent."""
    me = context.agent
    return AgentHealthStatusResponse(
        agent_id=me.id,
        board_id=me.board_id,
        gateway_id=me.gateway_id,
        status=agents.compute_status(me, None, now(), context.offline_after),
        is_board_lead=me.is_board_lead,
    )


@reads_only
async def record_agent_heartbeat(context: RequestContext) -> Encoded[AgentRead]:
    """Record a heartbeat of the calling agent. The request body is ignored."""
    agent = await agents.record_heartbeat(
        context.source, context.agent, offline_after=context.offline_after
    )
    return _encode_calling_agent(agent, context)


@reads_only
@error_responses(403, 404)
async def list_agents_for_agent(
    context: RequestContext, query: BoardAgentFilter
) -> Encoded[Page[AgentRead]]:
    """List the agents of the calling agent's board, newest first."""
    found = await agents.list_agents_for_agent(
        context.source, context.agent, query.paging, board_id=query.board_id
    )
    return _encode_agent_page(found, context)


class AgentStreamQuery(StreamQuery):
    """Which agents to stream."""

    board_id: UUID | None = Field(default=None, description="Only those of this board.")


class AgentMessage(ResponseModel):
    """A stream message with the current agent."""

    agent: AgentRead


class AgentDeletedMessage(ResponseModel):
    """A stream message about a deleted agent."""

    agent_id: UUID


@error_responses(404)
@sends_events({"agent": AgentMessage, "agent.deleted": AgentDeletedMessage})
async def stream_agents(
    context: RequestContext, member: Member, query: AgentStreamQuery
) -> Response:
    """Stream changes of agents on gateways and on boards that the user may read.

    Each message is an event `agent` with `agent`. A deleted agent is an event `agent.deleted` with
    `agent_id`. While an agent calls, its `last_seen_at` is reported at most every 15 seconds, in a
    message without an id. So is an agent whose status changes without an event, because its gateway
    is unreachable or it is silent for too long.
    """
    organization_id = member.organization_id

    async def load_allowed_ids(session: Session) -> AllowedIds:
        current = await get_current_membership(session, context.user, organization_id)
        organizations.require_admin(current)
        read = await list_readable_board_ids(session, current, query.board_id)
        return read if query.board_id else read | {None}  # the main agent of a gateway has no board

    async def write_frames(session: Session, received: Sequence[Event]) -> Mapping[int, bytes]:
        ids = {event.agent_id for event in received if event.agent_id}
        found = await agents.load_agents(session, organization_id, ids)
        known = await gateways.load_agent_gateways(session, found.values())
        frames = {}
        for event in received:
            agent = found.get(event.agent_id) if event.agent_id else None
            if agent is not None:
                gateway = known.get(agent.gateway_id)
                frames[event.seq] = _format_agent(context, event.seq, agent, gateway)
            elif event.agent_id:
                deleted = AgentDeletedMessage(agent_id=event.agent_id)
                frames[event.seq] = format_frame("agent.deleted", event.seq, deleted)
        return frames

    definition = StreamDefinition(
        "agent",
        events.list_types(lambda entry: "agent" in entry.streams),
        write_frames,
        start_report=partial(
            SeenAgentsReport,
            context.request,
            organization_id,
            partial(_format_agent, context, None),
        ),
    )
    return await open_stream(context, definition, organization_id, query, load_allowed_ids)


def _format_agent(
    context: RequestContext, seq: int | None, agent: Agent, gateway: Gateway | None
) -> bytes:
    shown = AgentRead(**build_agent_fields(agent, gateway, context))
    return format_frame("agent", seq, AgentMessage(agent=shown))


AGENT = "/agents/{agent_id}"

OPERATIONS = [
    Operation("GET", "/agents", list_agents, USER, ["agents"], admin_membership),
    declare_agent("GET", "/agents", list_agents_for_agent, "agent_roster_discovery"),
    Operation("POST", "/agents", create_agent, EITHER, ["agents"], admin_or_lead),
    declare_agent("POST", "/agents", create_agent_as_lead, "agent_management", board_for_lead),
    Operation("GET", "/agents/stream", stream_agents, USER, ["agents"], admin_membership),
    Operation("POST", "/agents/heartbeat", record_heartbeat_or_create_agent, EITHER, ["agents"]),
    Operation("GET", AGENT, get_agent, USER, ["agents"], agent_for_admin),
    Operation("PATCH", AGENT, update_agent, USER, ["agents"], agent_for_admin),
    Operation("DELETE", AGENT, delete_agent, USER, ["agents"], admin_membership),
    Operation(
        "POST", AGENT + "/heartbeat", record_heartbeat, EITHER, ["agents"], agent_for_heartbeat
    ),
    Operation(
        "POST",
        AGENT + "/provisioning",
        provision_agent,
        USER,
        ["agents"],
        agent_for_admin,
        id="bring_agent_api_v1_agents__agent_id__provisioning_post",
    ),
    Operation("PUT", AGENT + "/hold", pause_agent, USER, ["agents"], agent_for_admin),
    Operation("DELETE", AGENT + "/hold", release_agent, USER, ["agents"], agent_for_admin),
    Operation("POST", AGENT + "/tokens", create_agent_token, USER, ["agents"], agent_for_admin),
    declare_agent("GET", "/healthz", get_agent_health, "agent_auth_health"),
    declare_agent("POST", "/heartbeat", record_agent_heartbeat, "agent_heartbeat"),
    declare_agent(
        "DELETE",
        "/boards/{board_id}/agents/{agent_id}",
        delete_board_agent,
        "agent_lifecycle",
        board_for_lead,
    ),
]
