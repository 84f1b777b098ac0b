"""Heartbeats and contact: record when an agent calls, and mark silent agents as offline."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from core.clock import now, parse_duration
from core.errors import Invalid
from models import Actor, Agent, AgentStatus, Board
from services import events
from services.agents import rules
from services.agents.events import agent_updated_event, status_changed_event
from services.agents.rules import DEFAULT_HEARTBEAT, OFFLINE_AFTER, TOUCH_INTERVAL
from services.gateways import provisioning

PRESERVED_STATUSES = (AgentStatus.UPDATING, AgentStatus.DELETING)
ABSENT_STATUSES = (AgentStatus.PROVISIONING, AgentStatus.OFFLINE)
MAX_INTERVAL_LENGTH = 20  # characters


async def touch_agent(
    session: AsyncSession, agent: Agent, *, offline_after: timedelta = OFFLINE_AFTER
) -> None:
    """Record that an agent has called. Does nothing if this was recorded within TOUCH_INTERVAL.

    Call it in a transaction of its own, before the request is handled: it may record an event, and
    a transaction that has recorded an event must not lock a board afterwards.
    """
    at = now()
    if agent.last_seen_at is not None and at - agent.last_seen_at < TOUCH_INTERVAL:
        return
    status = rules.status_after_contact(agent, at, offline_after)
    not_recorded = or_(Agent.last_seen_at.is_(None), Agent.last_seen_at < at - TOUCH_INTERVAL)
    statement = _build_contact_update(
        agent, at, case((Agent.status.in_(PRESERVED_STATUSES), Agent.status), else_=status)
    )
    await _apply_contact(session, agent, statement.where(not_recorded), at, offline_after)


async def record_heartbeat(
    session: AsyncSession,
    agent: Agent,
    *,
    status: str | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Agent:
    """Record a heartbeat with the status that the agent reports. Raises Invalid for a bad status.

    An event is recorded only if the computed status changes.
    """
    at = now()
    reported = rules.validate_reported_status(status)
    default = case(
        (Agent.status.in_(ABSENT_STATUSES), AgentStatus.ONLINE.value), else_=Agent.status
    )
    await _apply_contact(
        session, agent, _build_contact_update(agent, at, reported or default), at, offline_after
    )
    return agent


def apply_first_heartbeat(
    agent: Agent, board: Board, *, status: str | None, offline_after: timedelta
) -> Sequence[events.NewEvent]:
    """Apply a heartbeat to an agent that is not inserted yet, and return the events to record.

    Raises Invalid for a bad status.
    """
    at = now()
    before = rules.compute_status(agent, at, offline_after)
    agent.status = rules.validate_reported_status(status) or AgentStatus.ONLINE
    agent.last_seen_at = at
    after = rules.compute_status(agent, at, offline_after)
    return [status_changed_event(agent, board, before, after)] if after != before else []


async def mark_silent_agents_offline(
    session: AsyncSession, *, offline_after: timedelta = OFFLINE_AFTER
) -> int:
    """Mark agents that have been silent for too long as offline, and return how many they were.

    It may run at any time, also in several workers at once.
    """
    at = now()
    silent = await _lock_silent_agents(session, at - offline_after)
    overdue = [
        (agent, board, agent.status)
        for agent, board in silent
        if rules.compute_status(agent, at, offline_after) == AgentStatus.OFFLINE
    ]
    for agent, _, _ in overdue:
        agent.status = AgentStatus.OFFLINE
    changes = [
        status_changed_event(agent, board, before, agent.status) for agent, board, before in overdue
    ]
    await events.record_events(session, changes)
    return len(overdue)


def _build_contact_update(agent: Agent, at: datetime, status: object) -> Update:
    statement = update(Agent).where(Agent.id == agent.id)
    return statement.values(last_seen_at=at, updated_at=at, status=status)


async def _apply_contact(
    session: AsyncSession, agent: Agent, change: Update, at: datetime, minimum: timedelta
) -> None:
    """Run an update of an agent that has called; record an event if its computed status changes.

    The status before is read with a lock: a concurrent call may have recorded the change.
    """
    previous = select(Agent.id, Agent.status, Agent.last_seen_at).where(Agent.id == agent.id)
    old = previous.with_for_update(key_share=True).subquery("old")
    change = change.where(Agent.id == old.c.id).execution_options(synchronize_session=False)
    returned = change.returning(Agent.status, old.c.status, old.c.last_seen_at)
    row = (await session.execute(returned)).one_or_none()
    if row is None:
        return
    stored, *seen = row
    for name, value in zip(("status", "last_seen_at"), seen, strict=True):
        set_committed_value(agent, name, value)
    before = rules.compute_status(agent, at, minimum)
    for name, value in (("status", stored), ("last_seen_at", at), ("updated_at", at)):
        set_committed_value(agent, name, value)
    after = rules.compute_status(agent, at, minimum)
    if after != before:
        board = await session.get(Board, agent.board_id) if agent.board_id else None
        await events.record_events(session, [status_changed_event(agent, board, before, after)])


async def _lock_silent_agents(
    session: AsyncSession, since: datetime
) -> Sequence[tuple[Agent, Board | None]]:
    """Lock and return agents that may be overdue, except those that another transaction locks."""
    unaffected = (*PRESERVED_STATUSES, *ABSENT_STATUSES)
    query = (
        select(Agent, Board)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(
            Agent.last_seen_at < since,
            _unconfirmed_condition(since),
            Agent.status.not_in(unaffected),
        )
        .with_for_update(of=Agent, key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [(agent, board) for agent, board in await session.execute(query)]


def _unconfirmed_condition(since: datetime) -> ColumnElement[bool]:
    """Select agents that their gateway does not list, or for which being listed proves nothing."""
    is_quiet = Agent.heartbeat_config["quiet"].astext.is_distinct_from("false")
    return or_(
        Agent.listed_at.is_(None),
        Agent.listed_at < since,
        Agent.provision_failure.is_not(None),
        ~is_quiet,
    )


def validate_heartbeat_interval(value: str) -> str:
    """Return a heartbeat interval as it is stored. Raises Invalid."""
    every = value.strip()
    if len(every) > MAX_INTERVAL_LENGTH or parse_duration(every) is None:
        raise Invalid("heartbeat_invalid", "Say how often as 30s, 10m or 1h.", field="every")
    return every


async def set_heartbeat_interval(
    session: AsyncSession, actor: Actor, agents: Sequence[tuple[Agent, Board]], every: str
) -> None:
    """Set the heartbeat interval of agents whose boards are locked. Raises Invalid.

    Agents that have this interval already are not changed.
    """
    new_values = {
        "every": validate_heartbeat_interval(every),
        "target": DEFAULT_HEARTBEAT["target"],
    }
    records, changed_ids = [], []
    for agent, board in agents:
        config = {**DEFAULT_HEARTBEAT, **(agent.heartbeat_config or {}), **new_values}
        if config == agent.heartbeat_config:
            continue
        agent.heartbeat_config = config
        agent.updated_at = now()
        records.append(agent_updated_event(actor, board, agent, ["heartbeat_config"]))
        changed_ids += [agent.id] if agent.desired_state else []
    if changed_ids:
        await session.flush()
        await provisioning.request_sync(session, Agent.id.in_(changed_ids))
    await events.record_events(session, records)
