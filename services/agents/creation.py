"""Create agents: by admins, by leads, for gateways, linked, or by a first heartbeat."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden
from core.security.secrets import generate_token, hash_token, token_prefix
from core.text import N_
from core.validation import validate_fields
from models import (
    Actor,
    Agent,
    AgentStatus,
    AgentToken,
    Board,
    DesiredState,
    EventType,
    Gateway,
    User,
    new_id,
)
from services import desired_state, events, rows
from services.agents.events import agent_event
from services.agents.heartbeats import apply_first_heartbeat
from services.agents.rules import DEFAULT_HEARTBEAT, FIELD_VALIDATORS, OFFLINE_AFTER, AgentDraft

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
    draft: AgentDraft,
    *,
    is_board_lead: bool = False,
) -> tuple[Agent, str | None]:
    """Create an agent on a locked board, and return it with its token, which is shown once.

    An agent on a gateway is provisioned there, and only the agent itself gets its token: None is
    returned. The caller is an admin, who locked the board as one, or the board's lead, who may
    create workers up to `max_agents`. Only an admin creates a lead. Raises Forbidden, Invalid and
    Conflict.
    """
    if isinstance(actor, Agent):
        await _check_lead_may_create(session, actor, board, is_board_lead=is_board_lead)
    agent = await _add_agent(session, board, draft, is_board_lead=is_board_lead)
    token = await _create_first_token(session, agent)
    if is_board_lead:
        await desired_state.request_board_sync(session, board)
    created = agent_event(EventType.AGENT_CREATED, actor, board, agent, lead=is_board_lead)
    await events.record_events(session, [created])
    return agent, token


async def link_agent(
    session: AsyncSession,
    user: User,
    board: Board,
    draft: AgentDraft,
    location: GatewayLocation,
    *,
    is_board_lead: bool = False,
) -> tuple[Agent, str]:
    """Register an agent that already exists on a gateway; otherwise like `create_agent`.

    Raises Conflict also if it is registered already.
    """
    agent = await _add_agent(session, board, draft, is_board_lead=is_board_lead, location=location)
    await rows.flush(session, UNIQUE_ERRORS)
    token = await create_token(session, agent)
    linked = agent_event(
        EventType.AGENT_CREATED, user, board, agent, lead=is_board_lead, is_linked=True
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
    agent = await _add_agent(session, board, AgentDraft(name=name))
    status_events = apply_first_heartbeat(agent, board, status=status, offline_after=offline_after)
    token = await _create_first_token(session, agent)
    created = agent_event(EventType.AGENT_CREATED, user, board, agent, lead=False)
    await events.record_events(session, [created, *status_events])
    return agent, token


async def _create_first_token(session: AsyncSession, agent: Agent) -> str | None:
    """Create a token for a new agent, unless provisioning gives it one."""
    return None if agent.desired_state else await create_token(session, agent)


async def _add_agent(
    session: AsyncSession,
    board: Board,
    draft: AgentDraft,
    *,
    is_board_lead: bool = False,
    location: GatewayLocation | None = None,
) -> Agent:
    agent = build_agent(board, draft, is_board_lead=is_board_lead, location=location)
    await check_name_is_free(session, board, agent.name)
    if is_board_lead:
        await _check_no_other_lead(session, board)
    agent.board = board
    session.add(agent)
    return agent


def build_agent(
    board: Board,
    draft: AgentDraft,
    *,
    is_board_lead: bool = False,
    location: GatewayLocation | None = None,
) -> Agent:
    """Build an agent of a board, without a token. Raises Invalid.

    It is provisioned on the gateway of the board, unless it is an agent that exists elsewhere.
    """
    at = now()
    agent = Agent(
        id=new_id(),
        organization_id=board.organization_id,
        board_id=board.id,
        gateway_id=board.gateway_id,
        status=AgentStatus.PROVISIONING,
        is_board_lead=is_board_lead,
        created_at=at,
        updated_at=at,
        **validate_fields(FIELD_VALIDATORS, vars(draft)),
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
        raise Forbidden("lead_required", "Only the board's lead adds agents, and only workers.")
    workers = select(func.count()).where(
        Agent.board_id == board.id,
        Agent.is_board_lead.is_(False),
        desired_state.IS_NOT_BEING_REMOVED,
    )
    if (await session.scalar(workers) or 0) >= board.max_agents:
        raise Conflict(
            "max_agents_reached",
            f"This board takes at most {board.max_agents} workers from its lead.",
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


async def _check_no_other_lead(session: AsyncSession, board: Board) -> None:
    lead = select(Agent.name).where(Agent.board_id == board.id, Agent.is_board_lead)
    name = await session.scalar(lead)
    if name is not None:
        raise Conflict(
            "board_lead_exists",
            N_("%(lead)s leads this board already."),
            field="is_board_lead",
            lead=name,
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


GATEWAY_AGENT_PROFILE = {
    "role": "Gateway Agent",
    "communication_style": "direct, concise, practical",
    "emoji": ":compass:",
}
"""The default identity profile of a gateway agent (contract, agents 9.2)."""


async def create_gateway_agent(session: AsyncSession, gateway: Gateway) -> Agent:
    """Create the agent of a gateway. It has no token yet, so it cannot call the API."""
    at = now()
    agent = Agent(
        id=new_id(),
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=gateway_agent_name(gateway.name),
        status=AgentStatus.PROVISIONING,
        heartbeat_config=dict(DEFAULT_HEARTBEAT),
        identity_profile=dict(GATEWAY_AGENT_PROFILE),
        created_at=at,
        updated_at=at,
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


async def delete_gateway_agent(session: AsyncSession, gateway_id: UUID) -> Sequence[Agent]:
    """Delete the agent of a gateway and all agents that wait for their removal; return them."""
    condition = Agent.board_id.is_(None) | (Agent.desired_state == DesiredState.GONE)
    deleted = delete(Agent).where(Agent.gateway_id == gateway_id, condition).returning(Agent)
    return (await session.scalars(deleted)).all()


def gateway_agent_name(name: str) -> str:
    """Return the default name of a gateway's agent."""
    return f"{name} Gateway Agent"
