"""What is due at a gateway: steps of agents, heartbeat messages, orphans that are to be removed."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy import ColumnElement, bindparam, case, exists, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query
from models import (
    Agent,
    Board,
    DesiredState,
    Message,
    Organization,
    OrphanedGatewayAgent,
    ProvisioningStep,
)
from services import messages
from services.gateways.files import AgentFacts
from services.gateways.provisioning.state_machine import step_duration
from services.gateways.provisioning.store import IS_MANAGED

BATCH_SIZE = 50  # agents in one pass
MAX_CONCURRENT_CALLS = 4  # to one gateway, which handles them one after the other

MAX_BATCH_WAIT = timedelta(seconds=30)
STEPS_BEFORE_CONFIG = (
    ProvisioningStep.CREATE,
    ProvisioningStep.LISTED,
    ProvisioningStep.NAME,
    ProvisioningStep.FILES,
)

LAST_GATEWAY_STEP = ProvisioningStep.SCRATCH

STEPS_OF_LISTED_AGENTS = (
    ProvisioningStep.NAME,
    ProvisioningStep.FILES,
    ProvisioningStep.HEARTBEAT,
    ProvisioningStep.SCRATCH,
)
"""Steps that are possible only while the gateway lists the agent."""

IS_PAUSED = or_(
    Board.paused_at.is_not(None), Organization.stopped_at.is_not(None), Agent.held_at.is_not(None)
)
"""The agent must not be woken: it is paused, stopped or held by a circuit breaker."""

HAS_CHECKED_IN = (Agent.step == ProvisioningStep.CHECK_IN) & (Agent.last_seen_at >= Agent.woken_at)

_CALL_SLOTS: WeakValueDictionary[UUID, asyncio.Semaphore] = WeakValueDictionary()


def get_call_semaphore(gateway_id: UUID) -> asyncio.Semaphore:
    """Return the slots for calls to a gateway, which provisioning and all comparisons share.

    They are those of this process. Keep the returned object while its slots are in use.
    """
    return _CALL_SLOTS.setdefault(gateway_id, asyncio.Semaphore(MAX_CONCURRENT_CALLS))


def should_wait_for_others(due: Sequence[Agent], moment: datetime) -> bool:
    """Return whether a change of a gateway's config should wait for agents that need it soon.

    Agents with failed attempts are not waited for, except those that the gateway does not list yet.
    """
    waited = [
        step_duration(agent, moment) for agent in due if agent.step is ProvisioningStep.HEARTBEAT
    ]
    is_too_long = any(one is None or one.passed >= MAX_BATCH_WAIT for one in waited)
    return not is_too_long and any(
        agent.step in STEPS_BEFORE_CONFIG
        and agent.provision_failure is None
        and (agent.step is ProvisioningStep.LISTED or not agent.step_attempts)
        for agent in due
    )


@dataclass(frozen=True)
class DueAgent:
    """An agent with a due step, and the facts that the step needs."""

    agent: Agent
    is_paused: bool
    facts: AgentFacts | None = None


@dataclass(frozen=True)
class PendingHeartbeat:
    """An agent whose next heartbeat message is due, and whether it is left out.

    It is while the agent must not be woken, and while the previous one has not ended.
    """

    agent: Agent
    is_left_out: bool
    facts: AgentFacts | None = None


@dataclass(frozen=True)
class GatewayWorkload:
    """What is due at a gateway now, and when more will be due."""

    gateway_id: UUID
    next_at: datetime | None
    due: Sequence[DueAgent] = ()
    orphans: Sequence[OrphanedGatewayAgent] = ()
    heartbeats: Sequence[PendingHeartbeat] = ()
    taken_keys: Collection[str] = ()  # of agents that are yet to be removed


async def load_workload(
    session: AsyncSession, gateway_id: UUID, moment: datetime
) -> GatewayWorkload:
    """Return what is due at a gateway, the longest waiting first."""
    is_pending = _is_pending_condition(gateway_id)
    due_query = (
        select(Agent, IS_PAUSED)
        .join(Organization, Organization.id == Agent.organization_id)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(is_pending, or_(Agent.next_step_at <= moment, HAS_CHECKED_IN))
        .order_by(Agent.next_step_at, Agent.id)
        .limit(BATCH_SIZE)
    )
    is_here = OrphanedGatewayAgent.gateway_id == gateway_id
    orphan_query = select(OrphanedGatewayAgent).where(is_here)
    orphans = (await session.scalars(orphan_query.order_by(OrphanedGatewayAgent.created_at))).all()
    removed_keys = select(Agent.gateway_key).where(
        is_pending, Agent.desired_state == DesiredState.GONE
    )
    gets_heartbeats = _gets_heartbeats_condition(gateway_id)
    has_pending_heartbeat = exists().where(
        Message.agent_id == Agent.id,
        Message.state.in_(messages.PENDING_STATES),
        Message.kind == messages.templates.MessageMarker.HEARTBEAT.value,
    )
    heartbeat_query = (
        select(Agent, or_(IS_PAUSED, has_pending_heartbeat))
        .join(Organization, Organization.id == Agent.organization_id)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(gets_heartbeats, Agent.next_heartbeat_at <= moment)
        .order_by(Agent.next_heartbeat_at, Agent.id)
        .limit(BATCH_SIZE)
    )
    next_times = union_all(
        select(func.min(Agent.next_step_at)).where(is_pending, Agent.next_step_at > moment),
        select(func.min(Agent.next_heartbeat_at)).where(
            gets_heartbeats, Agent.next_heartbeat_at > moment
        ),
        select(func.min(OrphanedGatewayAgent.next_try_at)).where(
            is_here, OrphanedGatewayAgent.next_try_at > moment
        ),
    )
    rows = await session.execute(due_query)
    due = [DueAgent(agent, is_paused) for agent, is_paused in rows]
    heartbeats = [PendingHeartbeat(*row) for row in await session.execute(heartbeat_query)]
    taken_keys = {key for key in await session.scalars(removed_keys) if key}
    taken_keys |= {one.agent_key for one in orphans}
    next_at = min((at for at in await session.scalars(next_times) if at is not None), default=None)
    due_orphans = [one for one in orphans if one.next_try_at <= moment]
    return GatewayWorkload(gateway_id, next_at, due, due_orphans, heartbeats, taken_keys)


def _is_pending_condition(gateway_id: Any) -> ColumnElement[bool]:
    return IS_MANAGED & (Agent.gateway_id == gateway_id) & Agent.step.is_not(None)


def _gets_heartbeats_condition(gateway_id: Any) -> ColumnElement[bool]:
    is_running = IS_MANAGED & (Agent.desired_state == DesiredState.RUNNING)
    return is_running & (Agent.gateway_id == gateway_id) & Agent.next_heartbeat_at.is_not(None)


_GATEWAY_ID = bindparam("gateway_id")

NEXT_DUE_TIME: Query[datetime | None] = Query(
    select(
        func.least(
            select(
                func.min(func.least(Agent.next_step_at, case((HAS_CHECKED_IN, Agent.last_seen_at))))
            )
            .where(_is_pending_condition(_GATEWAY_ID))
            .scalar_subquery(),
            select(func.min(Agent.next_heartbeat_at))
            .where(_gets_heartbeats_condition(_GATEWAY_ID))
            .scalar_subquery(),
            select(func.min(OrphanedGatewayAgent.next_try_at))
            .where(OrphanedGatewayAgent.gateway_id == _GATEWAY_ID)
            .scalar_subquery(),
        )
    ),
    itemgetter(0),
)
"""When something is due at a gateway next. The time may be in the past."""
