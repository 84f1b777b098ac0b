"""What gateways have to do: the desired state of their agents, and the removal of former ones.

Changes record it in their transaction. Nothing here uses the network: `services.gateways` carries
it out.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    String,
    Uuid,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import (
    AGENT_LOCK_ORDER,
    Agent,
    AgentStatus,
    AgentToken,
    Board,
    DesiredState,
    Gateway,
    GatewayCleanup,
    GatewayConnectionMixin,
    OrphanedGatewayAgent,
    ProvisioningState,
    ProvisioningStep,
)

ColumnChanges = dict[str, Any]
"""Values by the names of Agent's attributes."""

IS_RUNNING = (Agent.desired_state == DesiredState.RUNNING) & Agent.is_linked.is_(False)

IS_NOT_BEING_REMOVED = Agent.desired_state.is_distinct_from(DesiredState.GONE)

MANAGED_FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md")
"""The files that we keep up to date, unless the agent has changed them."""

MAY_EXIST_ON_GATEWAY = Agent.desired_state.is_not(None) & Agent.is_linked.is_(False)
"""Agents that we may have created on their gateways."""

STEP_TIMEOUTS: Mapping[ProvisioningStep, timedelta] = {
    **dict.fromkeys(ProvisioningStep, timedelta(seconds=60)),
    ProvisioningStep.FILES: timedelta(seconds=120),
    # A gateway may postpone changes of its config by a minute.
    ProvisioningStep.HEARTBEAT: timedelta(seconds=180),
    ProvisioningStep.SCRATCH: timedelta(seconds=120),
    # A first turn may take minutes.
    ProvisioningStep.CHECK_IN: timedelta(seconds=180),
    ProvisioningStep.REMOVE: timedelta(seconds=120),
}
"""How long a step may take, with all its attempts, before it counts as failed."""


def start_provisioning(agent: Agent) -> None:
    """Set the fields of a new agent so that it is provisioned on its gateway, if it has one."""
    agent.openclaw_session_id = agent.session_key
    if agent.gateway_id is None:
        return
    fresh = {"desired_state": DesiredState.RUNNING, "generation": 1, "wants_wake": True}
    for name, value in (begin_sync(now()) | fresh).items():
        setattr(agent, name, value)


async def request_sync(
    session: AsyncSession,
    where: ColumnElement[bool],
    *,
    wake: bool = False,
    overwrite: Collection[str] = (),
    rotate: bool = False,
) -> Sequence[Agent]:
    """Request that the gateways of these agents get their present data; return the agents.

    `wake` starts a turn of each afterwards; `overwrite` names files that are written even if the
    agent has changed them; `rotate` issues new tokens, the old ones stay valid until the new ones
    are used. A wake that was requested before stays requested. Agents that are not provisioned are
    skipped.
    """
    columns = begin_sync(now()) | {"generation": Agent.generation + 1}
    if wake:
        columns |= request_wake()
    removed_paths = [["files", name] for name in overwrite] + ([["token"]] if rotate else [])
    if removed_paths:
        state: ColumnElement[Any] = type_coerce(Agent.provisioning_state, JSONB)
        for path in removed_paths:
            state = state.op("#-", return_type=JSONB())(cast(path, ARRAY(String)))
        columns["provisioning_state"] = state
    return await _update_agents(session, where & IS_RUNNING, columns)


async def request_board_sync(
    session: AsyncSession, board: Board, *, previous_gateway_id: UUID | None = None
) -> None:
    """Request a sync of all agents whose files mention a board.

    They are its agents, and the agents that manage its gateway and its previous gateway.
    """
    gateway_ids = {board.gateway_id, previous_gateway_id} - {None}
    if gateway_ids:
        await request_sync(session, select_mentioning_agents(board, gateway_ids))


def select_mentioning_agents(
    board: Board, gateway_ids: Collection[UUID | None]
) -> ColumnElement[bool]:
    """Select the agents of a board, and those that manage gateways."""
    gateway_agents = Agent.gateway_id.in_(gateway_ids) & Agent.board_id.is_(None)
    return or_(Agent.board_id == board.id, gateway_agents)


async def request_removal(session: AsyncSession, agent: Agent, *, force: bool = False) -> bool:
    """Request the removal of an agent from its gateway; return whether that is still pending.

    Its tokens become invalid at once. Its row is deleted at once if the gateway never had the agent
    or if the removal is forced, which leaves it there.
    """
    never_existed = (
        not agent.observed_generation and agent.provisioning_state == ProvisioningState()
    )
    if force or agent.desired_state is None or never_existed:
        deleted = delete(Agent).where(Agent.id == agent.id)
        session.expunge(agent)
        if force or agent.desired_state is None:
            await session.execute(deleted.execution_options(synchronize_session=False))
        else:
            orphan = deleted.returning(Agent.gateway_id, Agent.gateway_key).cte("gone")
            await session.execute(_orphan_insert(orphan).add_cte(orphan))
        return False
    columns = {
        **start_step(ProvisioningStep.REMOVE, now()),
        "provision_failure": None,
        "desired_state": DesiredState.GONE,
        "wants_wake": False,
        "checkin_deadline_at": None,
        "generation": Agent.generation + 1,
        "status": AgentStatus.DELETING,
        "is_board_lead": False,
    }
    tokens = delete(AgentToken).where(AgentToken.agent_id == agent.id).cte("its_tokens")
    await _update_agents(session, Agent.id == agent.id, columns, additional_cte=tokens)
    return True


async def orphan_agents(session: AsyncSession, where: ColumnElement[bool]) -> None:
    """Request the removal from their gateways of agents whose rows are about to change or go.

    All the agents are locked for a deletion, after the gateways, to which the requests refer.
    """
    may_exist = MAY_EXIST_ON_GATEWAY.label("may_exist")
    agents = select(Agent.gateway_id, Agent.gateway_key, may_exist).where(where)
    gateways = select(Gateway.id).where(Gateway.id.in_(agents.with_only_columns(Agent.gateway_id)))
    gateways = gateways.order_by(Gateway.id).with_for_update(read=True, key_share=True)
    is_kept = select(func.count()).select_from(gateways.cte("kept")).scalar_subquery() >= 0
    locked = agents.where(is_kept).order_by(*AGENT_LOCK_ORDER).with_for_update().cte("locked")
    left = select(locked.c.gateway_id, locked.c.gateway_key).where(locked.c.may_exist)
    await session.execute(_orphan_insert(left.subquery("left")))


def _orphan_insert(agents: FromClause) -> Insert:
    """Build the insert of orphans from rows of gateway id and agent key."""
    at = now()
    gateway_id, key = agents.c
    rows = select(func.gen_random_uuid(), gateway_id, key, literal(0), literal(at), literal(at))
    columns = ["id", "gateway_id", "agent_key", "attempts", "next_try_at", "created_at"]
    statement = insert(OrphanedGatewayAgent).from_select(columns, rows.where(key != ""))
    return statement.on_conflict_do_nothing()


async def move_agents(
    session: AsyncSession, where: ColumnElement[bool], gateway_id: UUID | None
) -> Sequence[Agent]:
    """Move agents to another gateway, to another key, or to no gateway; return the moved ones.

    On their previous gateways they are removed, and their tokens there deleted. Agents that are on
    this gateway under this key already are skipped.
    """
    key: ColumnElement[str | None] = literal(None, String)
    if gateway_id is not None:  # Agent.session_key in SQL
        lead = func.concat("agent:lead-", Agent.board_id, ":main")
        worker = func.concat("agent:mc-", Agent.id, ":main")
        key = case((Agent.is_board_lead, lead), else_=worker)
    is_elsewhere = or_(
        Agent.gateway_id.is_distinct_from(gateway_id),
        Agent.openclaw_session_id.is_distinct_from(key),
    )
    is_moved = where & is_elsewhere & Agent.is_linked.is_(False)
    is_moved &= Agent.desired_state.is_distinct_from(DesiredState.GONE)
    await orphan_agents(session, is_moved)
    agent_ids = select(Agent.id).where(is_moved, Agent.gateway_id.is_not(None))
    is_stored = AgentToken.agent_id.in_(agent_ids) & AgentToken.encrypted_token.is_not(None)
    await session.execute(delete(AgentToken).where(is_stored))
    columns: ColumnChanges = {
        "gateway_id": gateway_id,
        "openclaw_session_id": key,
        "generation": Agent.generation + 1,
        "observed_generation": 0,
        "provisioning_state": ProvisioningState(),
        "listed_at": None,
        "next_heartbeat_at": None,
        "updated_at": now(),
        "woken_at": None,
        "checkin_deadline_at": None,
    }
    if gateway_id is None:
        columns |= clear_step() | {"desired_state": None, "wants_wake": False}
    else:
        columns |= begin_sync(now()) | {"desired_state": DesiredState.RUNNING, "wants_wake": True}
    return await _update_agents(session, is_moved, columns)


async def lock_agents(session: AsyncSession, where: ColumnElement[bool]) -> Sequence[UUID]:
    """Lock agents in their order, before some of their rows are changed; return their ids.

    Changes of boards, gateways and their agents update many rows of agents at once: with any other
    order two such changes could deadlock. An update that locked its rows in a subquery would look
    at their earlier versions again, and deadlock with those who wait for them.
    """
    agents = select(Agent.id).where(where).order_by(*AGENT_LOCK_ORDER)
    return (await session.scalars(agents.with_for_update(key_share=True))).all()


async def _update_agents(
    session: AsyncSession,
    where: ColumnElement[bool],
    columns: ColumnChanges,
    *,
    additional_cte: CTE | None = None,
) -> Sequence[Agent]:
    """Lock and update rows, refresh those that the session has, and return them."""
    ids = await lock_agents(session, where)
    is_locked = Agent.id == func.any(literal(ids, ARRAY(Uuid())))
    statement = update(Agent).where(is_locked).values(**columns).returning(Agent)
    if additional_cte is not None:
        statement = statement.add_cte(additional_cte)
    fresh = statement.execution_options(populate_existing=True, synchronize_session=False)
    return (await session.scalars(fresh)).all()


def begin_sync(moment: datetime) -> ColumnChanges:
    """Start with the first step, without failures and attempts."""
    return {
        **start_step(ProvisioningStep.CREATE, moment),
        "provision_failure": None,
        "wake_attempts": 0,
    }


def request_wake() -> ColumnChanges:
    """Wake an agent after the sync, also if it was woken before."""
    return {"wants_wake": True, "woken_at": None, "checkin_deadline_at": None}


def clear_step() -> ColumnChanges:
    """Have nothing to do."""
    no_times = {"next_step_at": None, "step_deadline_at": None}
    return {"step": None, "step_attempts": 0, "step_error": None, **no_times}


def start_step(step: ProvisioningStep, moment: datetime) -> ColumnChanges:
    deadline = moment + STEP_TIMEOUTS[step]
    start = {"step": step, "step_attempts": 0, "step_error": None}
    return {**start, "next_step_at": moment, "step_deadline_at": deadline}


CONNECTION_ATTRIBUTES = tuple(GatewayConnectionMixin.__annotations__)


def build_cleanup_insert(where: ColumnElement[bool]) -> Insert:
    """Build the insert of cleanups for gateways that are about to be deleted.

    The caller has locked these gateways and their agents.
    """
    at = now()
    created = select(Agent.gateway_id, Agent.gateway_key.label("key")).where(
        MAY_EXIST_ON_GATEWAY, Agent.gateway_key != ""
    )
    orphaned = select(OrphanedGatewayAgent.gateway_id, OrphanedGatewayAgent.agent_key)
    ours = created.union(orphaned).subquery("ours")
    copied = [getattr(Gateway, name) for name in ("id", *CONNECTION_ATTRIBUTES)]
    rows = (
        select(*copied, func.jsonb_agg(ours.c.key), literal(0), literal(at), literal(at))
        .join(ours, ours.c.gateway_id == Gateway.id)
        .where(where)
        .group_by(Gateway.id)
    )
    copied_to = [getattr(GatewayCleanup, name) for name in ("id", *CONNECTION_ATTRIBUTES)]
    columns = [*copied_to, "agent_keys", "attempts", "next_try_at", "created_at"]
    return insert(GatewayCleanup).from_select(columns, rows)
