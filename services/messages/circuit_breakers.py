"""Circuit breakers: hold the messages of agents that are in a loop or fail again and again.

Held messages wait until a person releases the agent (docs/decisions/stopping-agents.md).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from models import Agent, EventType, Message, MessageState, Run, RunStatus, User
from services import events
from services.messages.events import message_event
from services.messages.templates import MessageMarker


class HoldCause(StrEnum):
    """The circuit breaker that holds an agent, or a person. The values are part of the API."""

    MESSAGES = "messages"  # too many messages
    LOOP = "loop"  # two agents answer each other
    FAILURES = "failures"  # the same step fails again and again
    PERSON = "person"  # a person has paused it


@dataclass(frozen=True)
class BreakerLimit:
    """A number of messages within a period that is still allowed."""

    count: int
    period: timedelta
    period_name: str


MESSAGE_LIMITS = (
    BreakerLimit(100, timedelta(minutes=10), "10 minutes"),
    BreakerLimit(1_000, timedelta(days=1), "a day"),
)
"""Messages and wake-ups for one agent that no person has sent, except its heartbeats."""

LOOP_LIMITS = (
    BreakerLimit(20, timedelta(minutes=10), "10 minutes"),
    BreakerLimit(200, timedelta(days=1), "a day"),
)
"""Messages of one agent to another that answers as often: each of both directions."""

PERIODS = sorted({limit.period for limit in (*MESSAGE_LIMITS, *LOOP_LIMITS)})
MAX_FAILURES = 5  # failed runs of an hour in succession on the same task, or without a task

MessageCounts = dict[tuple[UUID, UUID | None], dict[timedelta, int]]
"""Numbers of messages by recipient and sending agent, each by period."""


IS_HELD_BY_BREAKER = Agent.hold["cause"].astext != HoldCause.PERSON.value
"""Matches the agents that wait for a release. That is null for an agent that is not held."""


def build_pause(user: User | None) -> dict[str, object]:
    """Build what is stored with an agent that a user has paused; None is a deleted user."""
    if user is None:
        return _build_hold(HoldCause.PERSON, "Paused by a former member.")
    name = user.display_name
    return _build_hold(HoldCause.PERSON, f"Paused by {name}.", name=name, user_id=str(user.id))


def is_pause(hold: Mapping[str, Any] | None) -> bool:
    """Return whether the hold of an agent is a pause by a person."""
    return hold is not None and hold["cause"] == HoldCause.PERSON


async def hold_flooded_agents(
    session: AsyncSession, agent_ids: Collection[UUID], sender: Agent | None
) -> list[events.NewEvent]:
    """Hold those agents that have just received a message too many, and return the events.

    Messages that a person has sent do not count, nor heartbeats, nor messages before the agent was
    last released.
    """
    counts = await _count_messages(session, {*agent_ids, *([sender.id] if sender else [])})
    new_events: list[events.NewEvent] = []
    for agent_id in sorted(agent_ids):
        hold = _find_loop(counts, agent_id, sender) or _find_flood(counts, agent_id)
        new_events += await _hold_agent(session, agent_id, hold) if hold else []
    return new_events


async def hold_failing_agents(
    session: AsyncSession, failed: Collection[tuple[UUID, UUID | None]]
) -> list[events.NewEvent]:
    """Hold the agents whose last runs on a task have all failed, and return the events.

    `failed` are the agents whose runs have just failed, each with the task or None.
    """
    new_events: list[events.NewEvent] = []
    since = now() - timedelta(hours=1)
    for agent_id, task_id in sorted(failed, key=str):
        query = select(Run.status, Run.error).join(Agent, Agent.id == Run.agent_id)
        query = query.where(
            Run.agent_id == agent_id,
            Run.task_id.is_not_distinct_from(task_id),
            Run.ended_at > func.greatest(since, func.coalesce(Agent.released_at, since)),
        )
        latest = query.order_by(Run.ended_at.desc(), Run.id.desc()).limit(MAX_FAILURES)
        rows = (await session.execute(latest)).all()
        if [status for status, _ in rows] == [RunStatus.FAILED] * MAX_FAILURES:
            error = (rows[0].error or "")[:200]
            what = "on the same task " if task_id else ""
            reason = f"Its last {MAX_FAILURES} runs {what}failed. {error}".strip()
            values = {"limit": "same_task" if task_id else "any_task", "error": error}
            hold = _build_hold(HoldCause.FAILURES, reason, count=MAX_FAILURES, **values)
            new_events += await _hold_agent(session, agent_id, hold)
    return new_events


async def release_messages(
    session: AsyncSession, where: ColumnElement[bool], since: datetime
) -> list[events.NewEvent]:
    """Let the queued messages of released agents expire later, and return events about them.

    Agents that fetch their messages did not receive those that were queued `since` they were held:
    their streams publish the events.
    """
    queued = select(Message.id).join(Agent, Agent.id == Message.agent_id)
    queued = queued.where(where, Message.state == MessageState.QUEUED).order_by(Message.id)
    locked = queued.with_for_update(of=Message)
    waiting = update(Message).where(Message.id.in_(locked)).values(waiting_since=now())
    waiting = waiting.returning(Message)
    released = await session.scalars(waiting.execution_options(synchronize_session=False))
    held = sorted((one for one in released if one.created_at >= since), key=lambda one: one.seq)
    return [message_event(message, EventType.MESSAGE_QUEUED, None) for message in held]


async def _count_messages(session: AsyncSession, agent_ids: Collection[UUID]) -> MessageCounts:
    """Count the messages to agents that no person has sent, since they were last released."""
    at = now()
    since = {f"since_{number}": at - period for number, period in enumerate(PERIODS)}
    return {
        (to_id, from_id): dict(zip(PERIODS, numbers, strict=True))
        for to_id, from_id, *numbers in await MESSAGE_COUNTS.fetch(
            session, agent_ids=list(agent_ids), **since
        )
    }


SINCE = [Message.created_at > bindparam(f"since_{number}") for number, _ in enumerate(PERIODS)]
MESSAGE_COUNTS: Query[tuple[Any, ...]] = Query(
    select(
        Message.agent_id, Message.from_agent_id, *(func.count().filter(later) for later in SINCE)
    )
    .join(Agent, Agent.id == Message.agent_id)
    .where(
        Message.agent_id == func.any(bindparam("agent_ids", type_=ARRAY(Uuid()))),
        Message.from_user_id.is_(None),
        Message.kind != MessageMarker.HEARTBEAT.value,
        SINCE[-1],
        or_(Agent.released_at.is_(None), Message.created_at > Agent.released_at),
    )
    .group_by(Message.agent_id, Message.from_agent_id)
)


def _find_flood(counts: MessageCounts, agent_id: UUID) -> dict[str, object] | None:
    for limit in MESSAGE_LIMITS:
        received = sum(n[limit.period] for (to_id, _), n in counts.items() if to_id == agent_id)
        if received > limit.count:
            reason = (
                f"It received more than {limit.count} messages in {limit.period_name}"
                " that no person sent."
            )
            values = {"limit": limit.period_name, "count": limit.count}
            return _build_hold(HoldCause.MESSAGES, reason, **values)
    return None


def _find_loop(
    counts: MessageCounts, agent_id: UUID, sender: Agent | None
) -> dict[str, object] | None:
    if sender is None:
        return None
    received = counts.get((agent_id, sender.id), {})
    answered = counts.get((sender.id, agent_id), {})
    for limit in LOOP_LIMITS:
        if min(received.get(limit.period, 0), answered.get(limit.period, 0)) >= limit.count:
            reason = (
                f"It and {sender.name} answer each other: {limit.count} messages each in"
                f" {limit.period_name}."
            )
            values = {"limit": limit.period_name, "count": limit.count, "sender": sender.name}
            return _build_hold(HoldCause.LOOP, reason, **values)
    return None


def _build_hold(cause: HoldCause, reason: str, **values: object) -> dict[str, object]:
    """Build what is stored with a held agent. The values are for texts in other languages."""
    return {"cause": cause.value, "reason": reason, "values": values}


async def _hold_agent(
    session: AsyncSession, agent_id: UUID, hold: Mapping[str, object]
) -> list[events.NewEvent]:
    """Hold an agent that is not held yet."""
    held = update(Agent).where(Agent.id == agent_id, Agent.held_at.is_(None))
    held = held.values(held_at=now(), hold=dict(hold)).returning(Agent)
    agent = await session.scalar(held.execution_options(populate_existing=True))
    if agent is None:
        return []
    return [
        events.NewEvent(
            EventType.AGENT_HELD,
            None,
            organization_id=agent.organization_id,
            board=agent.board_id,
            subject=agent,
            data={"name": agent.name, **hold},
        )
    ]
