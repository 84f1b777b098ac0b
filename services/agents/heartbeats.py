"""Heartbeats: record when an agent calls, mark silent agents as offline, and set intervals.

It also finds agents that no gateway starts and that have never called, while tasks wait for them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now, parse_duration
from core.db.reads import Query, Source, WriteRequired, set_loaded_values
from core.db.transactions import Write
from core.errors import Invalid
from core.text import N_
from models import (
    CLIENT_CLOSED,
    NEVER_CALLED,
    Actor,
    Agent,
    AgentStatus,
    Board,
    Status,
    Task,
)
from services import boards, desired_state, events, organizations
from services.agents import rules
from services.agents.events import agent_updated_event, status_changed_event
from services.agents.rules import (
    ABSENT_STATUSES,
    DEFAULT_HEARTBEAT,
    HAS_CLIENT,
    OFFLINE_AFTER,
    RESERVED_STATUSES,
    TOUCH_INTERVAL,
    offline_threshold,
)

MAX_INTERVAL_LENGTH = 20  # characters
MAX_UNCALLED = 200  # agents that have never called, and for which tasks wait
MAX_WAITING_TASKS = 100  # that are counted of one of them


def changes_status(agent: Agent, offline_after: timedelta = OFFLINE_AFTER) -> bool:
    """Return whether a call of the agent, as it was loaded, changes its status."""
    return rules.compute_status(agent, None, now(), offline_after) in ABSENT_STATUSES


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
    before = rules.compute_status(agent, None, at, offline_after)
    status = AgentStatus.ONLINE if before in ABSENT_STATUSES else agent.status
    await _apply_contact(session, agent, CONTACT, at, offline_after, status=status)


async def record_heartbeat(
    source: Source,
    agent: Agent,
    *,
    status: str | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Agent:
    """Record a heartbeat with the status that the agent reports. Raises Invalid for a bad status.

    An event is recorded only if the computed status changes. Outside a transaction nothing is
    written: the caller collects the contact, as that of any call. Raises WriteRequired if the
    status changes.
    """
    at = now()
    reported = rules.validate_reported_status(status)
    if not isinstance(source, AsyncSession):
        if reported not in (None, agent.status) or changes_status(agent, offline_after):
            raise WriteRequired
        set_loaded_values(agent, last_seen_at=at, updated_at=at)
        return agent
    await _apply_contact(source, agent, HEARTBEAT, at, offline_after, status=reported)
    return agent


def apply_first_heartbeat(
    agent: Agent, board: Board, *, status: str | None, offline_after: timedelta
) -> Sequence[events.NewEvent]:
    """Apply a heartbeat to an agent that is not inserted yet, and return the events to record.

    Raises Invalid for a bad status.
    """
    at = now()
    before = rules.compute_status(agent, None, at, offline_after)
    agent.status = rules.validate_reported_status(status) or AgentStatus.ONLINE
    agent.last_seen_at = at
    after = rules.compute_status(agent, None, at, offline_after)
    return [status_changed_event(agent, board, before, after)] if after != before else []


async def mark_silent_agents_offline(
    session: AsyncSession, *, offline_after: timedelta = OFFLINE_AFTER
) -> int:
    """Mark agents that have been silent for too long as offline, and return how many they were.

    The events say whether that is normal: people close the clients of coding agents. It may run at
    any time, also in several workers at once.
    """
    at = now()
    may_be_overdue = may_be_overdue_condition(at - offline_after)
    board_ids = (await session.scalars(select(Agent.board_id).where(may_be_overdue))).all()
    kept = await boards.block_board_deletions(session, board_ids)
    query = (
        select(Agent, Board, HAS_CLIENT)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(may_be_overdue, or_(Agent.board_id.is_(None), Agent.board_id.in_(kept)))
        .with_for_update(of=Agent, key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    changes = []
    for agent, board, has_client in await session.execute(query):
        if is_overdue(agent, at, offline_after):
            before, agent.status = agent.status, AgentStatus.OFFLINE
            silence = CLIENT_CLOSED if has_client else None
            code = NEVER_CALLED if agent.is_uncalled else silence
            changes.append(status_changed_event(agent, board, before, agent.status, code=code))
    await events.record_events(session, changes)
    return len(changes)


def is_overdue(agent: Agent, at: datetime, offline_after: timedelta) -> bool:
    """Return whether an agent has been silent for too long."""
    return rules.compute_status(agent, None, at, offline_after) == AgentStatus.OFFLINE


def may_be_overdue_condition(since: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Select the agents that have been silent since a time: some of them may be longer.

    An agent that never called has been silent since it was created.
    """
    unaffected = (*RESERVED_STATUSES, *ABSENT_STATUSES)
    is_quiet = Agent.heartbeat_config["quiet"].astext.is_distinct_from("false")
    is_unconfirmed = or_(  # their gateway does not list them, or being listed proves nothing
        Agent.listed_at.is_(None),
        Agent.listed_at < since,
        Agent.provision_failure.is_not(None),
        ~is_quiet,
    )
    is_silent = and_(Agent.last_seen_at < since, is_unconfirmed, Agent.status.not_in(unaffected))
    return or_(is_silent, uncalled_condition(since) & (Agent.status == AgentStatus.PROVISIONING))


def _build_contact_update(status: object, *conditions: ColumnElement[bool]) -> Write:
    """Build the update of an agent that calls, which returns the status now."""
    change = update(Agent).where(AGENT_ID, *conditions)
    change = change.values(last_seen_at=AT, updated_at=AT, status=status)
    return Write(change.returning(Agent.status))


AGENT_ID = Agent.id == bindparam("agent_id", type_=Uuid())
BEFORE_CONTACT = Query(
    select(Agent.status, Agent.last_seen_at)
    .where(AGENT_ID, organizations.build_keeping_condition(AGENT_ID.right))
    .with_for_update(key_share=True)
)
"""Locks an agent that calls: a concurrent call may have recorded a change of the status.

This is a statement of its own. An update that locked its row in a subquery deadlocked with other
calls of the same agent while a comment of the agent was being stored.
"""
AT: Any = bindparam("at", type_=DateTime(timezone=True))
STATUS: Any = bindparam("new_status", type_=String)
CONTACT = _build_contact_update(
    case((Agent.status.in_(RESERVED_STATUSES), Agent.status), else_=STATUS),
    or_(Agent.last_seen_at.is_(None), Agent.last_seen_at < AT - TOUCH_INTERVAL),
)
"""Records a call, unless one was recorded within TOUCH_INTERVAL."""
HEARTBEAT = _build_contact_update(
    func.coalesce(
        STATUS,
        case((Agent.status.in_(ABSENT_STATUSES), AgentStatus.ONLINE.value), else_=Agent.status),
    )
)
"""Records a heartbeat. Without a reported status, an agent that was absent is online."""


async def _apply_contact(
    session: AsyncSession,
    agent: Agent,
    change: Write,
    at: datetime,
    minimum: timedelta,
    *,
    status: str | None,
) -> None:
    """Run an update of an agent that has called; record an event if its computed status changes."""
    seen = await BEFORE_CONTACT.first(session, agent_id=agent.id)
    rows = await change.execute(session, agent_id=agent.id, at=at, new_status=status)
    if seen is None or not rows:
        return
    [stored] = rows[0]
    set_loaded_values(agent, **dict(zip(("status", "last_seen_at"), seen, strict=True)))
    before = rules.compute_status(agent, None, at, minimum)
    set_loaded_values(agent, status=stored, last_seen_at=at, updated_at=at)
    after = rules.compute_status(agent, None, at, minimum)
    if after != before:
        board = await session.get(Board, agent.board_id) if agent.board_id else None
        await events.record_events(session, [status_changed_event(agent, board, before, after)])


async def set_group_heartbeat_interval(
    session: AsyncSession,
    actor: Actor,
    group_agents: boards.GroupAgents,
    *,
    every: str,
    include_board_leads: bool,
) -> Sequence[UUID]:
    """Set the heartbeat interval of agents with locked boards, and return the agents' ids.

    Agents that have this interval already are not changed. Raises Invalid.
    """
    every = every.strip()
    if len(every) > MAX_INTERVAL_LENGTH or parse_duration(every) is None:
        raise Invalid(
            "heartbeat_invalid", N_("Enter an interval such as 30s, 10m or 1h."), field="every"
        )
    interval = {"every": every, "target": DEFAULT_HEARTBEAT["target"]}
    agent_ids, provisioned_ids, records = [], [], []
    ids = [agent.id for agent, _ in group_agents.agents]
    await desired_state.lock_agents(session, Agent.id.in_(ids))
    for agent, board in group_agents.agents:
        if agent.is_board_lead and not include_board_leads:
            continue
        agent_ids.append(agent.id)
        config = {**DEFAULT_HEARTBEAT, **(agent.heartbeat_config or {}), **interval}
        if config == agent.heartbeat_config:
            continue
        agent.heartbeat_config = config
        agent.updated_at = now()
        records.append(agent_updated_event(actor, board, agent, ["heartbeat_config"]))
        provisioned_ids += [agent.id] if agent.desired_state else []
    if provisioned_ids:
        await session.flush()
        await desired_state.request_sync(session, Agent.id.in_(provisioned_ids))
    await events.record_events(session, records)
    return agent_ids


@dataclass(frozen=True)
class UncalledAgent:
    """An agent that has never called although tasks are assigned to it."""

    agent: Agent
    board: Board
    task_count: int  # open tasks that are assigned to it, at most one more than MAX_WAITING_TASKS

    @property
    def has_more_tasks(self) -> bool:
        """Whether there are more tasks than are counted."""
        return self.task_count > MAX_WAITING_TASKS

    @property
    def waiting_for(self) -> timedelta:
        """Return the time since it was created."""
        return now() - self.agent.created_at


def uncalled_condition(since: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Select agents created before a time that have to call by themselves and never have."""
    return and_(
        Agent.desired_state.is_(None),
        Agent.last_seen_at.is_(None),
        Agent.listed_at.is_(None),
        Agent.created_at < since,
    )


def first_call_deadline(agent: Agent, minimum: timedelta) -> datetime | None:
    """Return when an agent is offline if it has not called; None if it has, or is provisioned."""
    if not agent.is_uncalled:
        return None
    return agent.created_at + offline_threshold(agent, minimum)


def list_missed_first_calls(
    uncalled: Iterable[UncalledAgent], offline_after: timedelta
) -> Sequence[UncalledAgent]:
    """Return the agents that should have called by now: those with long heartbeats later."""
    at = now()
    return [
        one
        for one in uncalled
        if one.agent.created_at + offline_threshold(one.agent, offline_after) < at
    ]


@cache
def build_uncalled_query(*, by_board: bool) -> Query[UncalledAgent]:
    """Select agents for which tasks of readable boards wait, and that have never called.

    For all boards or one; the oldest MAX_UNCALLED agents, the oldest first. No index has those that
    have never called, because each heartbeat would change it.
    """
    is_open = Task.status != Status.DONE
    oldest = select(Agent.id, Agent.board_id).where(
        Agent.organization_id == bindparam("organization_id", type_=Uuid()),
        Agent.board_id.in_(boards.READABLE_BOARD_IDS),
        uncalled_condition(bindparam("uncalled_since")),
        exists().where(
            Task.board_id == Agent.board_id, Task.assigned_agent_id == Agent.id, is_open
        ),
    )
    if by_board:
        oldest = oldest.where(Agent.board_id == bindparam("board_id"))
    oldest = oldest.order_by(Agent.created_at, Agent.id)
    uncalled = oldest.limit(literal_column(str(MAX_UNCALLED))).subquery("uncalled")
    waiting = select(Task.id).where(
        Task.board_id == uncalled.c.board_id,
        Task.assigned_agent_id == uncalled.c.id,
        is_open,
    )
    waiting = waiting.limit(literal_column(str(MAX_WAITING_TASKS + 1))).correlate(uncalled)
    counted = select(func.count().label("tasks")).select_from(waiting.subquery()).lateral("counted")
    found = uncalled.join(counted, true())
    found = found.join(Agent, Agent.id == uncalled.c.id).join(
        Board, Board.id == uncalled.c.board_id
    )
    query = select(Agent, Board, counted.c.tasks).select_from(found)
    return Query(query.order_by(Agent.created_at, Agent.id), lambda row: UncalledAgent(*row))
