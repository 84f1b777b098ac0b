"""Create agents: by admins, by leads, for gateways, linked, or by a first heartbeat."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now, parse_duration
from core.errors import Conflict, Forbidden, Invalid
from core.fields import PRINTABLE, FieldKind, Fields, Label, ShortText, Text, build_line_constraints
from core.security.secrets import generate_token, hash_token, token_prefix
from core.text import N_, is_storable_json
from models import (
    AGENT_LOCK_ORDER,
    Actor,
    Agent,
    AgentStatus,
    AgentToken,
    Board,
    DesiredState,
    EventType,
    Gateway,
    User,
)
from services import desired_state, events, messages, rows
from services.agents.events import agent_created_event, agent_event
from services.agents.heartbeats import apply_first_heartbeat
from services.agents.rules import DEFAULT_HEARTBEAT, OFFLINE_AFTER


def _check_stored_size(given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not is_storable_json(given, max_length=64 * 1024):
        reason = N_("This is too large, or not valid JSON.")
        raise Invalid("not_storable", reason, field=info.field_name)
    return given


def _check_heartbeat(config: dict[str, Any] | None, info: ValidationInfo) -> dict[str, Any] | None:
    """Check a heartbeat configuration; None stands for the default. Raises Invalid."""
    if config is None:
        return None
    every = config.get("every")
    if every is not None and not (isinstance(every, str) and parse_duration(every) is not None):
        reason = N_("Enter an interval such as 30s, 10m or 1h.")
        raise Invalid("heartbeat_invalid", reason, field=info.field_name)
    if not isinstance(config.get("quiet", True), bool):
        reason = N_("“Quiet” is true or false.")
        raise Invalid("heartbeat_invalid", reason, field=info.field_name)
    return config


def _normalize_profile(profile: dict[str, Any] | None) -> dict[str, str] | None:
    """Return the values of an identity profile as text.

    Lists are joined with commas and empty values are left out. Returns None if nothing remains.
    """
    texts = {str(name).strip(): _to_text(value) for name, value in (profile or {}).items()}
    return {name: text for name, text in texts.items() if name and text} or None


def _to_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (_to_text(item) for item in value)))
    return "" if value is None else str(value).strip()


AgentName = Annotated[
    str,
    build_line_constraints(100),
    PRINTABLE,
    Label(N_("Name"), FieldKind.LINE),
]
StoredObject = Annotated[dict[str, Any], AfterValidator(_check_stored_size)]
Template = Annotated[Text | None, AfterValidator(lambda given: (given or "").strip() or None)]


class AgentFields(Fields):
    """What is the same in a new agent and in changes."""

    name: AgentName
    board_id: UUID | None = Field(
        default=None, description="Omitted by leads: it is their own board."
    )
    status: ShortText = "provisioning"
    heartbeat_config: Annotated[
        StoredObject | None,
        AfterValidator(_check_heartbeat),
        Field(examples=[DEFAULT_HEARTBEAT]),
    ] = None
    identity_profile: Annotated[StoredObject | None, AfterValidator(_normalize_profile)] = None
    identity_template: Template = None
    soul_template: Template = None


class AgentCreate(AgentFields):
    """A new agent. `status` is accepted and ignored: an agent is online when it calls."""

    example = {
        "name": "Ada",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "identity_profile": {"role": "Writer"},
    }

    is_board_lead: bool = Field(default=False, description="Only admins may create a lead.")


UNIQUE_ERRORS: rows.UniqueErrors = {
    "uq_agents_linked_once": lambda: Conflict(
        "agent_already_linked", N_("This agent is linked already."), field="gateway_agent_id"
    )
}
"""Another request has linked the agent first."""


@dataclass(frozen=True)
class GatewayLocation:
    """Where an agent that was not created here runs: its gateway and its session there."""

    gateway_id: UUID
    session_key: str


async def create_agent(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    fields: AgentCreate,
) -> tuple[Agent, str | None]:
    """Create an agent on a locked board, and return it with its token, which is shown once.

    An agent on a gateway is provisioned there, and only the agent itself gets its token: None is
    returned. The caller is an admin, who locked the board as one, or the board's lead, who may
    create workers up to `max_agents`. Only an admin creates a lead. Raises Forbidden, Invalid and
    Conflict.
    """
    if isinstance(actor, Agent):
        await _check_lead_may_create(session, actor, board, is_board_lead=fields.is_board_lead)
    agent = await _add_agent(session, board, fields)
    token = await _create_first_token(session, agent)
    if agent.is_board_lead:
        await desired_state.request_board_sync(session, board)
    await events.record_events(session, [agent_created_event(actor, board, agent)])
    return agent, token


async def link_agent(
    session: AsyncSession,
    user: User,
    board: Board,
    fields: AgentCreate,
    location: GatewayLocation,
) -> tuple[Agent, str]:
    """Register an agent that already exists on a gateway; otherwise like `create_agent`.

    Raises Conflict also if it is registered already.
    """
    agent = await _add_agent(session, board, fields, location)
    await rows.flush(session, UNIQUE_ERRORS)
    token = await create_token(session, agent)
    linked = agent_event(
        EventType.AGENT_CREATED, user, board, agent, lead=agent.is_board_lead, is_linked=True
    )
    await events.record_events(session, [linked])
    return agent, token


async def create_on_first_heartbeat(
    session: AsyncSession,
    user: User,
    board: Board,
    name: str,
    *,
    status: str | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> tuple[Agent, str | None]:
    """Create an agent that sends a heartbeat before it exists; otherwise like `create_agent`."""
    agent = await _add_agent(session, board, AgentCreate.parse({"name": name}))
    status_events = apply_first_heartbeat(agent, board, status=status, offline_after=offline_after)
    token = await _create_first_token(session, agent)
    created = agent_created_event(user, board, agent)
    await events.record_events(session, [created, *status_events])
    return agent, token


async def _create_first_token(session: AsyncSession, agent: Agent) -> str | None:
    """Create a token for a new agent, unless provisioning gives it one."""
    return None if agent.desired_state else await create_token(session, agent)


async def _add_agent(
    session: AsyncSession,
    board: Board,
    fields: AgentCreate,
    location: GatewayLocation | None = None,
) -> Agent:
    agent = build_agent(board, fields, location)
    await check_name_is_free(session, board, agent.name)
    if agent.is_board_lead:
        lead = select(Agent.name).where(Agent.board_id == board.id, Agent.is_board_lead)
        lead_name = await session.scalar(lead)
        if lead_name is not None:
            reason = N_("%(lead)s leads this board already.")
            raise Conflict("board_lead_exists", reason, field="is_board_lead", lead=lead_name)
    agent.board = board
    session.add(agent)
    return agent


def build_agent(
    board: Board, fields: AgentCreate, location: GatewayLocation | None = None
) -> Agent:
    """Build an agent of a board, without a token.

    It is provisioned on the gateway of the board, unless it is an agent that exists elsewhere.
    """
    config = fields.heartbeat_config
    place = {
        "board_id": board.id,
        "status": AgentStatus.PROVISIONING,
        "heartbeat_config": dict(DEFAULT_HEARTBEAT) if config is None else config,
    }
    agent = rows.build_row(
        Agent,
        organization_id=board.organization_id,
        gateway_id=board.gateway_id,
        **(dict(fields) | place),
    )
    if location is None:
        desired_state.start_provisioning(agent)
    else:
        agent.gateway_id, agent.openclaw_session_id = location.gateway_id, location.session_key
        agent.is_linked = True
    return agent


async def _check_lead_may_create(
    session: AsyncSession, actor: Agent, board: Board, *, is_board_lead: bool
) -> None:
    if not actor.is_board_lead or is_board_lead:
        raise Forbidden(
            "lead_required",
            "Of the agents, only the lead of a board can add agents, and only workers.",
        )
    workers = select(func.count()).where(
        Agent.board_id == board.id,
        Agent.is_board_lead.is_(False),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    if (await session.scalar(workers) or 0) >= board.max_agents:
        raise Conflict(
            "max_agents_reached",
            f"The lead of this board can add at most {board.max_agents} workers.",
            max_agents=board.max_agents,
        )


async def check_name_is_free(
    session: AsyncSession, board: Board, name: str, *, except_agent_id: UUID | None = None
) -> None:
    """Raise Conflict if another agent of the board has this name. Case is ignored."""
    same_name = select(Agent.id).where(
        Agent.board_id == board.id,
        func.lower(Agent.name) == func.lower(name),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    if any(id != except_agent_id for id in await session.scalars(same_name)):
        raise Conflict(
            "agent_name_taken", N_("Another agent of this board has that name."), field="name"
        )


def choose_free_name(wanted: str, taken: Iterable[str]) -> str:
    """Return the wanted name, with a number appended if it is taken. Case is ignored."""
    names = {name.lower() for name in taken}
    name, number = wanted, 2
    while name.lower() in names:
        name, number = f"{wanted} {number}", number + 1
    return name


async def create_token(session: AsyncSession, agent: Agent) -> str:
    """Add a token to an agent and return it. Only its hash is stored."""
    token, at = generate_token("agent"), now()
    agent.token_expires_at = agent.compute_token_end(at)
    session.add(
        AgentToken(
            agent=agent,
            prefix=token_prefix(token),
            secret_hash=hash_token(token),
            created_at=at,
            expires_at=agent.token_expires_at,
        )
    )
    await session.flush()
    return token


async def create_gateway_agent(session: AsyncSession, gateway: Gateway) -> Agent:
    """Create the agent of a gateway. It has no token yet, so it cannot call the API."""
    agent = rows.build_row(
        Agent,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=gateway_agent_name(gateway.name),
        status=AgentStatus.PROVISIONING,
        heartbeat_config=dict(DEFAULT_HEARTBEAT),
        identity_profile={
            "role": "Gateway Agent",
            "communication_style": "direct, concise, practical",
            "emoji": ":compass:",
        },
    )
    desired_state.start_provisioning(agent)
    session.add(agent)
    await session.flush()
    return agent


async def rename_gateway_agent(session: AsyncSession, gateway: Gateway, name: str) -> None:
    """Rename the agent of a gateway along with the gateway, unless a user has renamed the agent."""
    mine = (Agent.gateway_id == gateway.id) & Agent.board_id.is_(None)
    await desired_state.request_sync(session, mine)
    statement = update(Agent).where(mine, Agent.name == gateway_agent_name(gateway.name))
    await session.execute(statement.values(name=gateway_agent_name(name), updated_at=now()))


async def delete_gateway_agent(
    session: AsyncSession, user: User, gateway_id: UUID
) -> list[events.NewEvent]:
    """Delete the agent of a gateway and all agents that wait for their removal; return the events.

    These are also about the messages that the agents did not get.
    """
    is_deleted = Agent.board_id.is_(None) | (Agent.desired_state == DesiredState.GONE)
    is_deleted &= Agent.gateway_id == gateway_id
    new_events = await messages.fail_undelivered(session, is_deleted)
    locked = select(Agent.id).where(is_deleted).order_by(*AGENT_LOCK_ORDER).with_for_update()
    deleted = delete(Agent).where(Agent.id.in_(locked)).returning(Agent)
    new_events += [
        agent_event(EventType.AGENT_DELETED, user, None, agent)
        for agent in await session.scalars(deleted)
    ]
    return new_events


def gateway_agent_name(name: str) -> str:
    """Return the default name of a gateway's agent."""
    return f"{name} Gateway Agent"
