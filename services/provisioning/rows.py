"""What is to be done for the agents of a gateway, and what came of it: short transactions only.

A row is changed only if it is still as it was when we looked: it may have been asked for otherwise
meanwhile, or another process may be at it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Update, case, delete, func, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, AgentStatus, Board, DesiredState, Gateway, GatewayLeftover, Step
from openclaw import Trouble
from services.provisioning.asking import KEY, in_order
from services.provisioning.rules import TIME_FOR, Change

AT_ONCE = 50  # agents in one look
SURELY_LOST = timedelta(seconds=90)  # since when an agent is not there: two looks have missed it

WENT_AWAY = [trouble.value for trouble in (Trouble.CLOSED, Trouble.RESTARTING)]

IS_OURS = Agent.desired_state.is_not(None) & Agent.is_linked.is_(False)


@dataclass(frozen=True)
class Due:
    """An agent for which something is to be done."""

    agent: Agent
    is_paused: bool


@dataclass(frozen=True)
class Work:
    """What is to be done at a gateway now, and when there will be more."""

    gateway: Gateway
    due: Sequence[Due]
    leftovers: Sequence[GatewayLeftover]
    taken: Collection[str]  # keys of agents that are still to be removed
    more_at: datetime | None


async def work(session: AsyncSession, gateway_id: UUID, moment: datetime) -> Work | None:
    """Return what is to be done at a gateway, the longest waiting first. None: it is no more."""
    gateway = await session.get(Gateway, gateway_id)
    if gateway is None:
        return None
    here = IS_OURS & (Agent.gateway_id == gateway_id) & Agent.step.is_not(None)
    due = (
        select(Agent, Board.paused_at)
        .outerjoin(Board, Board.id == Agent.board_id)
        .where(here, or_(Agent.next_step_at <= moment, _has_called()))
        .order_by(Agent.next_step_at, Agent.id)
        .limit(AT_ONCE)
    )
    left = select(GatewayLeftover).where(GatewayLeftover.gateway_id == gateway_id)
    leftovers = (await session.scalars(left.order_by(GatewayLeftover.created_at))).all()
    leaving = select(KEY).where(here, Agent.desired_state == DesiredState.GONE)
    coming = union_all(
        select(func.min(Agent.next_step_at)).where(here, Agent.next_step_at > moment),
        select(func.min(GatewayLeftover.next_try_at)).where(
            GatewayLeftover.gateway_id == gateway_id, GatewayLeftover.next_try_at > moment
        ),
    )
    rows = [Due(agent, paused is not None) for agent, paused in await session.execute(due)]
    taken = {*await session.scalars(leaving), *(one.agent_key for one in leftovers)}
    ahead = [at for at in await session.scalars(coming) if at is not None]
    ripe = [one for one in leftovers if one.next_try_at <= moment]
    return Work(gateway, rows, ripe, taken, min(ahead, default=None))


async def advance(session: AsyncSession, agent: Agent, change: Change) -> Agent | None:
    """Change an agent's row, and return it as it is then. None if it is not as we saw it."""
    changed = update(Agent).where(_unchanged(agent)).values(**change).returning(Agent)
    return await session.scalar(_quietly(changed))


async def remove(session: AsyncSession, agent: Agent) -> bool:
    """Delete the row of an agent that its gateway does not have any more."""
    gone = delete(Agent).where(_unchanged(agent)).returning(Agent.id)
    return await session.scalar(gone) is not None


async def is_left(session: AsyncSession, leftover: GatewayLeftover) -> bool:
    """Say whether an agent is still left over."""
    return await session.get(GatewayLeftover, leftover.id) is not None


async def forget(session: AsyncSession, leftover: GatewayLeftover) -> None:
    """Forget an agent that was left over and is removed."""
    await session.execute(delete(GatewayLeftover).where(GatewayLeftover.id == leftover.id))


async def put_off(
    session: AsyncSession, leftover: GatewayLeftover, reason: str, until: datetime
) -> None:
    """Try later to remove an agent that is left over."""
    later = update(GatewayLeftover).where(GatewayLeftover.id == leftover.id)
    tried = {"attempts": GatewayLeftover.attempts + 1, "last_error": reason}
    await session.execute(later.values(**tried, next_try_at=until))


async def seen(
    session: AsyncSession, gateway_id: UUID, keys: Collection[str], moment: datetime
) -> Sequence[Agent]:
    """Note which agents a gateway has, and return those that are back by that."""
    here = (Agent.gateway_id == gateway_id) & KEY.in_(keys)
    here &= Agent.desired_state.is_distinct_from(DesiredState.GONE)
    await session.execute(_quietly(update(Agent).where(in_order(here)).values(listed_at=moment)))
    well = (Agent.status == AgentStatus.OFFLINE) & Agent.provision_failure.is_(None)
    back = here & well & Agent.last_seen_at.is_not(None) & (Agent.observed_generation > 0)
    online = update(Agent).where(back).values(status=AgentStatus.ONLINE).returning(Agent)
    return (await session.scalars(_quietly(online))).all()


async def missing(
    session: AsyncSession, gateway_id: UUID, keys: Collection[str], moment: datetime
) -> Sequence[Agent]:
    """Return the agents that a gateway had and has no more, for whom nothing else is to be done."""
    here = IS_OURS & (Agent.gateway_id == gateway_id) & KEY.not_in(keys)
    at_rest = (Agent.desired_state == DesiredState.RUNNING) & or_(
        Agent.step.is_(None), Agent.step == Step.CHECK_IN
    )
    since = Agent.listed_at < moment - SURELY_LOST
    return (await session.scalars(select(Agent).where(here, at_rest, since))).all()


async def take_over(session: AsyncSession, gateway_id: UUID, moment: datetime) -> None:
    """Give what nobody was there to do in time, time to be done."""
    late = moment + TIME_FOR[Step.CREATE]
    mine = IS_OURS & (Agent.gateway_id == gateway_id) & (Agent.step_deadline_at < late)
    await session.execute(_postponed(mine, late))


async def give_time(session: AsyncSession, gateway_id: UUID, by: timedelta) -> None:
    """Give all that was to be done at a gateway the time again for which it was away."""
    mine = IS_OURS & (Agent.gateway_id == gateway_id) & Agent.step_deadline_at.is_not(None)
    await session.execute(_postponed(mine, Agent.step_deadline_at + by))


async def try_again(session: AsyncSession, gateway_id: UUID, moment: datetime) -> None:
    """Have what has failed tried again now: its gateway is there anew, and may be mended.

    But for that at which the gateway itself went away: it may do so again.
    """
    code = Agent.provision_failure["code"].astext
    failed = IS_OURS & (Agent.gateway_id == gateway_id) & code.not_in(WENT_AWAY)
    soon = update(Agent).where(in_order(failed & (Agent.next_step_at > moment)))
    await session.execute(_quietly(soon.values(next_step_at=moment)))


def _postponed(mine: ColumnElement[bool], until: Any) -> Update:
    """Move deadlines. Who was woken and has not called yet has that time, too."""

    def if_waiting(column: Any) -> ColumnElement[Any]:
        return case((Agent.step == Step.CHECK_IN, until), else_=column)

    moved = {
        "step_deadline_at": until,
        "next_step_at": if_waiting(Agent.next_step_at),
        "checkin_deadline_at": if_waiting(Agent.checkin_deadline_at),
    }
    return _quietly(update(Agent).where(in_order(mine)).values(**moved))


def _has_called() -> ColumnElement[bool]:
    """Select agents that were woken and have called since."""
    return (Agent.step == Step.CHECK_IN) & (Agent.last_seen_at >= Agent.woken_at)


def _unchanged(agent: Agent) -> ColumnElement[bool]:
    """Select an agent, unless it was asked for otherwise or has gone on since we looked."""
    return (
        (Agent.id == agent.id)
        & Agent.gateway_id.is_not_distinct_from(agent.gateway_id)
        & (Agent.generation == agent.generation)
        & Agent.step.is_not_distinct_from(agent.step)
        & Agent.next_step_at.is_not_distinct_from(agent.next_step_at)
    )


def _quietly(change: Update) -> Update:
    return change.execution_options(synchronize_session=False, populate_existing=True)
