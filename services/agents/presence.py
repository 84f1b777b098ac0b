"""Whether agents are there: who calls is there, who is silent for too long is not."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, case, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from kit.clock import now
from models import Agent, AgentStatus, Board, EventType
from services import events
from services.agents import rules
from services.agents.rules import OFFLINE_AFTER, TOUCH_EVERY
from services.agents.telling import happened

NOT_TOUCHED = (AgentStatus.UPDATING, AgentStatus.DELETING)
AWAY = (AgentStatus.PROVISIONING, AgentStatus.OFFLINE)


async def touch(
    session: AsyncSession, agent: Agent, *, offline_after: timedelta = OFFLINE_AFTER
) -> None:
    """Note that an agent has called. One that was seen a moment ago costs nothing at all.

    Call it in a transaction of its own, before whatever the agent came for: it may record an
    event, and who has recorded must not hold a board afterwards.
    """
    moment = now()
    if agent.last_seen_at is not None and moment - agent.last_seen_at < TOUCH_EVERY:
        return
    status = rules.seen_status(agent, moment, offline_after)
    unseen = or_(Agent.last_seen_at.is_(None), Agent.last_seen_at < moment - TOUCH_EVERY)
    seen = _seen(agent, moment, case((Agent.status.in_(NOT_TOUCHED), Agent.status), else_=status))
    await _apply(session, agent, seen.where(unseen), moment, offline_after)


async def heartbeat(
    session: AsyncSession,
    agent: Agent,
    *,
    status: str | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Agent:
    """Note that an agent has checked in, and how it says it is. Raises Invalid for a bad word.

    It records an event only if that changes the computed status.
    """
    moment = now()
    word = rules.checked_status(status)
    usual = case((Agent.status.in_(AWAY), AgentStatus.ONLINE.value), else_=Agent.status)
    await _apply(session, agent, _seen(agent, moment, word or usual), moment, offline_after)
    return agent


def arrived(
    agent: Agent, board: Board, *, status: str | None, offline_after: timedelta
) -> Sequence[events.Happened]:
    """Let an agent that is yet to be written have checked in, and return what is to be recorded.

    Raises Invalid for a bad word.
    """
    moment = now()
    before = rules.status(agent, moment, offline_after)
    agent.status = rules.checked_status(status) or AgentStatus.ONLINE
    agent.last_seen_at = moment
    after = rules.status(agent, moment, offline_after)
    return [_change(agent, board, before, after)] if after != before else []


async def mark_offline(session: AsyncSession, *, offline_after: timedelta = OFFLINE_AFTER) -> int:
    """Write down which agents have been silent for too long, and say how many they are.

    It may run as often as one likes, and in several workers at once.
    """
    moment = now()
    silent = await _silent(session, moment - offline_after)
    overdue = [
        (agent, board, agent.status)
        for agent, board in silent
        if rules.status(agent, moment, offline_after) == AgentStatus.OFFLINE
    ]
    for agent, _, _ in overdue:
        agent.status = AgentStatus.OFFLINE
    changes = [_change(agent, board, left, agent.status) for agent, board, left in overdue]
    await events.record_all(session, changes)
    return len(overdue)


def _seen(agent: Agent, moment: datetime, status: object) -> Update:
    changed = update(Agent).where(Agent.id == agent.id)
    return changed.values(last_seen_at=moment, updated_at=moment, status=status)


async def _apply(
    session: AsyncSession, agent: Agent, change: Update, moment: datetime, least: timedelta
) -> None:
    """Run an update of an agent that is seen, and record it if its computed status changes."""
    before = rules.status(agent, moment, least)
    change = change.execution_options(synchronize_session=False)
    stored = await session.scalar(change.returning(Agent.status))
    if stored is None:
        return
    for name, value in (("status", stored), ("last_seen_at", moment), ("updated_at", moment)):
        set_committed_value(agent, name, value)
    after = rules.status(agent, moment, least)
    if after != before:
        board = await session.get(Board, agent.board_id) if agent.board_id else None
        await events.record_all(session, [_change(agent, board, before, after)])


async def _silent(session: AsyncSession, since: datetime) -> Sequence[tuple[Agent, Board | None]]:
    """Return agents that might be overdue, locked, except those that call at this moment."""
    known = (*NOT_TOUCHED, *AWAY)
    query = (
        select(Agent, Board)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(Agent.last_seen_at < since, _not_kept(since), Agent.status.not_in(known))
        .with_for_update(of=Agent, key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return [(agent, board) for agent, board in await session.execute(query)]


def _not_kept(since: datetime) -> ColumnElement[bool]:
    """Select agents that their gateways do not have, or for whom that is no sign of life."""
    quiet = Agent.heartbeat_config["quiet"].astext.is_distinct_from("false")
    return or_(
        Agent.listed_at.is_(None),
        Agent.listed_at < since,
        Agent.provision_failure.is_not(None),
        ~quiet,
    )


def _change(agent: Agent, board: Board | None, left: str, entered: str) -> events.Happened:
    moves = {"from": left, "to": entered}
    return happened(EventType.AGENT_STATUS_CHANGED, None, board, agent, **moves)
