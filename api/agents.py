"""Agents, as JSON (contract, agents-and-gateways 7)."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.fields import (
    UNSENT,
    Answer,
    Body,
    Changes,
    JsonObject,
    Moment,
    Name,
    Ok,
    Paged,
    Short,
    Text,
)
from api.operations import Call, may_answer
from api.provisioning import Bringing, EvidenceRead, ProvisioningRead, standing
from kit.clock import now
from kit.errors import Forbidden, Invalid
from kit.paging import Page
from models import Agent, Board, Member
from services import agents, boards, organizations


class AgentRead(Answer):
    """An agent. Its status is what is true now: an agent that is silent too long is offline."""

    board_id: UUID | None
    name: str
    status: str = Field(
        description="`provisioning`, `online`, `offline`, `deleting`, or the agent's own word."
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
    last_seen_at: Moment | None
    created_at: Moment
    updated_at: Moment
    is_late: bool = Field(description="It is there, and silent for longer than it means to be.")
    is_linked: bool = Field(description="Others made it on its gateway: nothing is written there.")
    wake_attempts: int = Field(description="How often it was woken since it last checked in.")
    evidence: EvidenceRead
    provisioning: ProvisioningRead | None = Field(
        description="How far it is on its way to its gateway; null where nobody brings it there."
    )
    last_provision_error: str | None

    @classmethod
    def of(cls, agent: Agent, call: Call) -> "AgentRead":
        """Make one of a row."""
        return cls(**agent_fields(agent, call))


class AgentCreated(AgentRead):
    """An agent that has just been made, and its token, which is never shown again."""

    token: str | None = Field(
        description="Shown once. Null where the agent was there before, and for one on a gateway:"
        " it goes into its files there."
    )


def agent_fields(agent: Agent, call: Call) -> dict[str, Any]:
    """Return the fields of an AgentRead."""
    moment, least = now(), call.offline_after
    told = standing(agent, moment)
    computed = {"status", "is_gateway_main", "is_late"}
    names = AgentRead.model_fields.keys() - computed - told.keys()
    return {
        **{name: getattr(agent, name) for name in names},
        **told,
        "status": agents.status(agent, moment, least),
        "is_late": agents.is_late(agent, moment, least),
        "is_gateway_main": agent.board_id is None,
    }


class AgentTokenRead(Answer):
    """A new token of an agent. The older ones die when it is first used."""

    agent_id: UUID
    token: str | None = Field(
        description="Shown once. Null for an agent on a gateway: it goes into its files there."
    )


class AgentCreate(Body):
    """An agent to be. `status` is taken and not believed: an agent is there when it calls."""

    example = {
        "name": "Ada",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "identity_profile": {"role": "Writer"},
    }

    name: Name
    board_id: UUID | None = Field(default=None, description="A lead leaves it out: it is its own.")
    status: Short = "provisioning"
    heartbeat_config: JsonObject | None = Field(
        default=None, examples=[{"every": "10m", "target": "last", "includeReasoning": False}]
    )
    identity_profile: JsonObject | None = None
    identity_template: Text | None = None
    soul_template: Text | None = None
    is_board_lead: bool = Field(default=False, description="Only an admin makes a board's lead.")

    def draft(self) -> agents.AgentDraft:
        """Return the same, as the services take it."""
        fields = self.model_dump(exclude={"board_id", "status", "is_board_lead"})
        return agents.AgentDraft(**fields)


class AgentUpdate(Changes):
    """What may be changed of an agent."""

    example = {"identity_profile": {"role": "Editor"}}

    board_id: UUID | None = Field(default=None, description="Moves it: its tasks stay behind.")
    is_gateway_main: bool = UNSENT
    name: Name = UNSENT
    status: Short | None = None
    heartbeat_config: JsonObject | None = None
    identity_profile: JsonObject | None = None
    identity_template: Text | None = None
    soul_template: Text | None = None


class AgentHeartbeat(Body):
    """What an agent says of itself when it checks in."""

    example = {"status": "healthy"}

    status: Short | None = None


class AgentHeartbeatCreate(AgentHeartbeat):
    """A check-in by name; of an agent that calls itself, only the status counts."""

    example = {"name": "Ada", "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"}

    name: Name
    board_id: UUID | None = None


class AgentFilter(Paged):
    """Which agents to list."""

    board_id: UUID | None = Field(default=None, description="Only of this board.")
    gateway_id: UUID | None = Field(default=None, description="Only on this gateway.")


class AgentChangeQuery(Body):
    """How to change an agent."""

    force: bool = Field(default=False, description="Of agents on a gateway only.")


class AgentDeletionQuery(Body):
    """How to delete an agent."""

    force: bool = Field(
        default=False,
        description="Forget an agent on a gateway at once; what the gateway has of it stays there.",
    )


@may_answer(404)
async def list_agents(call: Call, member: Member, query: AgentFilter) -> Page[AgentRead]:
    """List the organization's agents on boards that the caller may read, newest first."""
    found = await agents.listed(
        call.session,
        member,
        query.paging,
        board_id=query.board_id,
        gateway_id=query.gateway_id,
    )
    return found.map(lambda agent: AgentRead.of(agent, call))


async def get_agent(call: Call, agent: Agent) -> AgentRead:
    """Return an agent."""
    return AgentRead.of(agent, call)


@may_answer(409)
async def create_agent(call: Call, body: AgentCreate, board: Board | None = None) -> AgentCreated:
    """Create an agent, and return its token this once.

    An admin may for any board that they may change, and a lead, for its own board, as long as
    there are fewer workers than the board's `max_agents`.
    """
    if body.board_id and board and body.board_id != board.id:
        raise Forbidden("board_write_forbidden", "A lead creates agents for its own board.")
    return await _create(call, body, board)


@may_answer(409)
async def create_agent_of_lead(call: Call, board: Board, body: AgentCreate) -> AgentCreated:
    """Create a worker for the lead's own board, whatever board is named, and return its token."""
    return await _create(call, body, board)


@may_answer(409)
async def update_agent(
    call: Call, member: Member, agent: Agent, query: AgentChangeQuery, body: AgentUpdate
) -> AgentRead:
    """Change an agent, or move it to another board. Its status is not for others to set."""
    return AgentRead.of(await agents.change(call.session, member, agent.id, body.changes()), call)


async def delete_agent(call: Call, member: Member, agent_id: UUID, query: AgentDeletionQuery) -> Ok:
    """Delete an agent. Its work goes back to the inbox. One that is gone is no trouble.

    One on a gateway is removed from there first; until then its status is `deleting`.
    """
    await agents.delete(call.session, member.user, agent_id, force=query.force)
    return Ok()


@may_answer(409)
async def bring_agent(call: Call, member: Member, agent: Agent, body: Bringing) -> AgentRead:
    """Have an agent brought to its gateway once more, as if nothing had been tried."""
    brought = await agents.bring(call.session, member, agent.id, **body.model_dump())
    return AgentRead.of(brought, call)


async def create_agent_token(call: Call, member: Member, agent: Agent) -> AgentTokenRead:
    """Make a new token for an agent. The older ones live until it is first used."""
    token = await agents.issue_token(call.session, member, agent.id)
    return AgentTokenRead(agent_id=agent.id, token=token)


async def heartbeat_agent(call: Call, agent: Agent, body: AgentHeartbeat) -> AgentRead:
    """Note that an agent has checked in, and how it says it is."""
    return AgentRead.of(await _heartbeat(call, agent, body.status), call)


@may_answer(403, 404, 409)
async def heartbeat_or_create_agent(call: Call, body: AgentHeartbeatCreate) -> AgentCreated:
    """Note that an agent has checked in: itself, or for an admin the one of that name.

    For an admin, an agent that is not there yet is made, on the board that is named.
    """
    if isinstance(call.actor, Agent):
        seen, token = await _heartbeat(call, call.actor, body.status), None
    else:
        seen, token = await _checked_in(call, body)
    return AgentCreated(**agent_fields(seen, call), token=token)


async def _create(call: Call, body: AgentCreate, board: Board | None) -> AgentCreated:
    board = board or await _board(call, body.board_id)
    made, token = await agents.create(
        call.session, call.actor, board, body.draft(), is_board_lead=body.is_board_lead
    )
    return AgentCreated(**agent_fields(made, call), token=token)


async def _checked_in(call: Call, body: AgentHeartbeatCreate) -> tuple[Agent, str | None]:
    member = await organizations.active(call.session, call.user)
    found = await agents.named(call.session, member, body.name, board_id=body.board_id)
    if found is not None:
        agent, _ = await agents.hold(call.session, member, found.id)
        return await _heartbeat(call, agent, body.status), None
    board = await _board(call, body.board_id)
    return await agents.arrive(
        call.session,
        call.user,
        board,
        body.name,
        status=body.status,
        offline_after=call.offline_after,
    )


async def _board(call: Call, board_id: UUID | None) -> Board:
    if board_id is None:
        raise Invalid("board_required", "Say on which board it works.", field="board_id")
    return await boards.hold_as_admin(call.session, call.actor, board_id)


async def _heartbeat(call: Call, agent: Agent, status: str | None) -> Agent:
    return await agents.heartbeat(
        call.session, agent, status=status, offline_after=call.offline_after
    )
