"""Asking that an agent be on its gateway as it is written here, or be gone from it.

Nothing of it goes over the network: who holds the gateway looks what is asked for, and does it.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    String,
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

from kit.clock import now
from models import Agent, AgentStatus, AgentToken, Board, DesiredState, GatewayLeftover
from services.provisioning import rules

LIVES_THERE = (Agent.desired_state == DesiredState.RUNNING) & Agent.is_linked.is_(False)

STAYS = Agent.desired_state.is_distinct_from(DesiredState.GONE)
"""Agents that do not go."""

MANAGED = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md")
"""The files that are ours to keep up to date, unless the agent has changed them."""

WAS_BROUGHT = Agent.desired_state.is_not(None) & Agent.is_linked.is_(False)
"""Agents of which their gateways may have something of ours."""

KEY = func.split_part(Agent.openclaw_session_id, ":", 2)
"""Agent.gateway_key, in SQL."""


def begin(agent: Agent) -> None:
    """Let an agent that is yet to be written live on its gateway, if it has one."""
    agent.openclaw_session_id = agent.session_key
    if agent.gateway_id is None:
        return
    fresh = {"desired_state": DesiredState.RUNNING, "generation": 1, "wants_wake": True}
    for name, value in (rules.asked(now()) | fresh).items():
        setattr(agent, name, value)


async def ask(
    session: AsyncSession,
    where: ColumnElement[bool],
    *,
    wake: bool = False,
    overwrite: Collection[str] = (),
    rotate: bool = False,
) -> Sequence[Agent]:
    """Have those of these agents that live on gateways be there as they are written here now.

    `wake` lets them begin at once, by a turn of theirs; `overwrite` names the files in which what
    they changed is written over; `rotate` gives them other tokens, of which the old ones live
    until the new ones are used. Nobody's wake is forgotten by it. Returns these agents as they
    are now.
    """
    asked = rules.asked(now()) | {"generation": Agent.generation + 1}
    if wake:
        asked |= rules.to_be_woken()
    forgotten = [["files", name] for name in overwrite]
    if rotate:
        forgotten.append(["token"])
    if forgotten:
        asked["written"] = _without(forgotten)
    return await _update(session, where & LIVES_THERE, asked)


async def ask_crew(session: AsyncSession, board: Board, *, left: UUID | None = None) -> None:
    """Ask for all who are told of a board: its agents, and who looks after its gateway.

    Who looks after the gateway that it has left is told as well.
    """
    gateways = {board.gateway_id, left} - {None}
    if not gateways:
        return
    mains = Agent.gateway_id.in_(gateways) & Agent.board_id.is_(None)
    await ask(session, or_(Agent.board_id == board.id, mains))


async def leave(session: AsyncSession, agent: Agent, *, force: bool = False) -> bool:
    """Have an agent be removed from its gateway, and say whether that is still to come.

    Its tokens are worth nothing from now on. If its gateway never had it, or if it is forced, its
    row is gone already.
    """
    was_there = agent.observed_generation or agent.written
    if force or agent.desired_state is None or not was_there:
        await _drop(session, agent, forget=force)
        return False
    left = rules.leaving(now()) | {
        "generation": Agent.generation + 1,
        "status": AgentStatus.DELETING,
        "is_board_lead": False,
    }
    its = delete(AgentToken).where(AgentToken.agent_id == agent.id).cte("its_tokens")
    await _update(session, Agent.id == agent.id, left, besides=its)
    return True


async def leave_behind(session: AsyncSession, where: ColumnElement[bool]) -> None:
    """Have agents be removed from their gateways, of which there will be no rows any more."""
    left = select(Agent.gateway_id, KEY).where(where, WAS_BROUGHT)
    held = left.order_by(Agent.id).with_for_update()
    await session.execute(_left_over(held.subquery("left")))


async def _drop(session: AsyncSession, agent: Agent, *, forget: bool) -> None:
    """Delete the row of an agent. What its gateway may have of it is removed, unless forgotten."""
    gone = delete(Agent).where(Agent.id == agent.id)
    session.expunge(agent)
    if forget or agent.desired_state is None:
        await session.execute(gone.execution_options(synchronize_session=False))
        return
    left = gone.returning(Agent.gateway_id, KEY).cte("gone")
    await session.execute(_left_over(left).add_cte(left))


def _left_over(left: FromClause) -> Insert:
    """Insert what is left of agents on their gateways."""
    at = now()
    gateway_id, key = left.c
    rows = select(func.gen_random_uuid(), gateway_id, key, literal(0), literal(at), literal(at))
    columns = ["id", "gateway_id", "agent_key", "attempts", "next_try_at", "created_at"]
    statement = insert(GatewayLeftover).from_select(columns, rows.where(key != ""))
    return statement.on_conflict_do_nothing()


async def move(
    session: AsyncSession, where: ColumnElement[bool], gateway_id: UUID | None
) -> Sequence[Agent]:
    """Have agents live on another gateway, or under another key, or on none; return those.

    What they were before is removed from where they lived, with its tokens. Who lives there under
    this key already is not touched.
    """
    key = _session_key(gateway_id)
    elsewhere = or_(
        Agent.gateway_id.is_distinct_from(gateway_id),
        Agent.openclaw_session_id.is_distinct_from(key),
    )
    moves = where & elsewhere & Agent.is_linked.is_(False)
    moves &= Agent.desired_state.is_distinct_from(DesiredState.GONE)
    await leave_behind(session, moves)
    its = select(Agent.id).where(moves, Agent.gateway_id.is_not(None))
    given = AgentToken.agent_id.in_(its) & AgentToken.sealed.is_not(None)
    await session.execute(delete(AgentToken).where(given))
    there = {
        "gateway_id": gateway_id,
        "openclaw_session_id": key,
        "generation": Agent.generation + 1,
        "observed_generation": 0,
        "written": {},
        "listed_at": None,
        "updated_at": now(),
        "woken_at": None,
        "checkin_deadline_at": None,
    }
    return await _update(session, moves, there | _begun(gateway_id))


def _without(paths: Sequence[Sequence[str]]) -> ColumnElement[Any]:
    """Return what an agent's gateway got last, but for these parts."""
    written: ColumnElement[Any] = type_coerce(Agent.written, JSONB)
    for path in paths:
        written = written.op("#-", return_type=JSONB())(cast(list(path), ARRAY(String)))
    return written


def _begun(gateway_id: UUID | None) -> rules.Change:
    if gateway_id is None:
        return {**rules.nothing(), "desired_state": None, "wants_wake": False}
    return {**rules.asked(now()), "desired_state": DesiredState.RUNNING, "wants_wake": True}


def _session_key(gateway_id: UUID | None) -> ColumnElement[str | None]:
    """Return Agent.session_key on a gateway, in SQL."""
    if gateway_id is None:
        return literal(None, String)
    lead = func.concat("agent:lead-", Agent.board_id, ":main")
    worker = func.concat("agent:mc-", Agent.id, ":main")
    return case((Agent.is_board_lead, lead), else_=worker)


def in_order(where: ColumnElement[bool]) -> ColumnElement[bool]:
    """Select agents, and hold them in order of id.

    Boards, gateways and who looks after these change the rows of many agents at once: in any other
    order two of them would wait for each other.
    """
    held = select(Agent.id).where(where).order_by(Agent.id).with_for_update(key_share=True)
    return Agent.id.in_(held)


async def _update(
    session: AsyncSession,
    where: ColumnElement[bool],
    values: rules.Change,
    *,
    besides: CTE | None = None,
) -> Sequence[Agent]:
    """Change rows in one statement; rows that the session has are as they are now."""
    changed = update(Agent).where(in_order(where)).values(**values).returning(Agent)
    if besides is not None:
        changed = changed.add_cte(besides)
    fresh = changed.execution_options(populate_existing=True, synchronize_session=False)
    return (await session.scalars(fresh)).all()
