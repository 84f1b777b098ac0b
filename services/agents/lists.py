"""Reading agents: for the API as rows, for pages with what they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, NotFound
from kit.paging import Page, Paging, paged
from kit.together import Wanted
from models import Agent, Board, Gateway, Member, Run, RunStatus, Status, Task
from services import boards, organizations, standing
from services.agents import rules
from services.agents.finding import in_organization, not_found
from services.agents.rules import OFFLINE_AFTER, Evidence, State


@dataclass(frozen=True)
class GoingOn:
    """A run of an agent that goes on at its gateway."""

    phase: str | None  # a word of services.runs.live
    told_for: timedelta  # since its gateway last told of it


@dataclass(frozen=True)
class AgentCard:
    """An agent as people see it: what it does, and what we know that by."""

    agent: Agent
    board_name: str | None
    task: Task | None  # the one that it works on
    run: GoingOn | None
    away_for: timedelta | None  # since its gateway is away, and it has not called either
    state: State
    cadence: timedelta | None  # how often it means to check in
    silent_for: timedelta | None  # None: it was never seen
    evidence: Evidence
    known_for: timedelta | None  # how old that is

    @property
    def role(self) -> str | None:
        """What the agent says that it is."""
        role = (self.agent.identity_profile or {}).get("role")
        return role.strip() or None if isinstance(role, str) else None


async def listed(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> Page[Agent]:
    """Return the agents of the boards that an admin reads, and of gateways, newest first.

    Raises Forbidden, and NotFound for a board or a gateway of another organization.
    """
    organizations.require_admin(member)
    seen = _seen_by(member, board_id)
    if gateway_id is not None:
        await _is_of_organization(session, member, gateway_id)
        seen &= Agent.gateway_id == gateway_id
    if board_id is not None:
        await boards.get(session, member.user, board_id)
    return await paged(session, _newest(seen), paging)


async def for_agent(
    session: AsyncSession, agent: Agent, paging: Paging, *, board_id: UUID | None = None
) -> Page[Agent]:
    """Return the agents beside which an agent works. Raises Forbidden for another board."""
    own = Agent.organization_id == agent.organization_id
    if board_id is not None:
        own &= Agent.board_id == (await boards.get(session, agent, board_id)).id
    elif agent.board_id is not None:
        own &= Agent.board_id == agent.board_id
    else:
        own &= Agent.board_id.in_(boards.readable(agent, agent.organization_id))
    return await paged(session, _newest(own), paging)


async def named(
    session: AsyncSession, member: Member, name: str, *, board_id: UUID | None = None
) -> Agent | None:
    """Return the oldest agent of exactly this name on a board that an admin reads, if there is one.

    Raises Forbidden.
    """
    organizations.require_admin(member)
    query = select(Agent).where(_seen_by(member, board_id), Agent.name == name)
    return await session.scalar(query.order_by(Agent.created_at, Agent.id).limit(1))


def newest(board: Board) -> Wanted[Agent]:
    """Want the agents of a board, newest first."""
    return Wanted(_newest(Agent.board_id == board.id), lambda row: row[0])


async def of_board(session: AsyncSession, board: Board) -> Sequence[Agent]:
    """Return the agents of a board: the lead first, then by name."""
    query = select(Agent).where(Agent.board_id == board.id)
    order = (Agent.is_board_lead.desc(), Agent.name, Agent.id)
    return (await session.scalars(query.order_by(*order))).all()


async def cards(
    session: AsyncSession,
    member: Member,
    *,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Sequence[AgentCard]:
    """Return the agents of the boards that a member reads, by board; the lead first, then by name.

    Of one board, or of one gateway, if it is named. Raises NotFound or Forbidden for a board that
    the member may not read.
    """
    if board_id is not None:
        await boards.get(session, member.user, board_id)
        seen = Agent.board_id == board_id
    else:
        seen = _seen_by(member, None)
    if gateway_id is not None:
        seen &= Agent.gateway_id == gateway_id
    query = _with_work().where(seen)
    order = (Board.name, Board.id, Agent.is_board_lead.desc(), Agent.name, Agent.id)
    rows = (await session.execute(query.order_by(*order))).all()
    moment = now()
    return [_card(*row, moment, offline_after) for row in rows]


async def card(
    session: AsyncSession,
    member: Member,
    agent_id: UUID,
    *,
    offline_after: timedelta = OFFLINE_AFTER,
) -> AgentCard:
    """Return one agent of a board that a member reads. Raises NotFound or Forbidden."""
    agent = await in_organization(session, member.organization_id, agent_id)
    if agent.board_id is not None:
        await boards.get(session, member.user, agent.board_id)
    elif not member.is_admin:
        raise Forbidden("admin_required", "Only admins see the agents of gateways.")
    row = (await session.execute(_with_work().where(Agent.id == agent_id))).one_or_none()
    if row is None:
        raise not_found()
    return _card(*row, now(), offline_after)


async def _is_of_organization(session: AsyncSession, member: Member, gateway_id: UUID) -> None:
    query = select(Gateway.id).where(
        Gateway.id == gateway_id, Gateway.organization_id == member.organization_id
    )
    if await session.scalar(query) is None:
        raise NotFound("gateway_not_found", "There is no such gateway.")


def _with_work() -> Select[Agent, Board, Task, Gateway, str | None, datetime | None]:
    """Select agents with their board, and the task that each has worked on for the longest.

    And with their gateway, the phase of the run that goes on there, and when that last told of it.
    """
    work = (
        select(Task.id)
        .where(Task.assigned_agent_id == Agent.id, Task.status == Status.IN_PROGRESS)
        .order_by(Task.in_progress_at, Task.id)
        .limit(1)
        .correlate(Agent)
        .lateral("work")
    )
    run = (
        select(Run.phase, Run.updated_at)
        .where(Run.agent_id == Agent.id, Run.status == RunStatus.RUNNING)
        .order_by(Run.started_at.desc(), Run.id.desc())
        .limit(1)
        .correlate(Agent)
        .lateral("run")
    )
    return (
        select(Agent, Board, Task, Gateway, run.c.phase, run.c.updated_at)
        .outerjoin(Board, Board.id == Agent.board_id)
        .outerjoin(work, true())
        .outerjoin(Task, Task.id == work.c.id)
        .outerjoin(Gateway, Gateway.id == Agent.gateway_id)
        .outerjoin(run, true())
    )


def _card(
    agent: Agent,
    board: Board | None,
    task: Task | None,
    gateway: Gateway | None,
    phase: str | None,
    ran_at: datetime | None,
    moment: datetime,
    least: timedelta,
) -> AgentCard:
    known = rules.evidence(agent, moment)
    run = GoingOn(phase, moment - ran_at) if ran_at else None
    away = _away_for(agent, gateway, moment)
    doing = {"working": task is not None, "running": run is not None, "away": away is not None}
    return AgentCard(
        agent=agent,
        board_name=board.name if board else None,
        task=task,
        run=run,
        away_for=away,
        state=rules.state(agent, moment, **doing, least=least),
        cadence=rules.cadence(agent),
        silent_for=moment - agent.last_seen_at if agent.last_seen_at else None,
        evidence=known,
        known_for=moment - known.at if known.at else None,
    )


def _away_for(agent: Agent, gateway: Gateway | None, moment: datetime) -> timedelta | None:
    since = standing.away_since(gateway, moment) if gateway else None
    if since is None or (agent.last_seen_at is not None and agent.last_seen_at > since):
        return None
    return moment - since


def _seen_by(member: Member, board_id: UUID | None) -> ColumnElement[bool]:
    """Say which agents a member sees: those of readable boards, and for admins of gateways."""
    readable = Agent.board_id.in_(boards.readable(member.user, member.organization_id))
    if board_id is not None:
        return readable & (Agent.board_id == board_id)
    if not member.is_admin:
        return readable
    of_gateways = Agent.board_id.is_(None) & (Agent.organization_id == member.organization_id)
    return or_(readable, of_gateways)


def _newest(seen: ColumnElement[bool]) -> Select[Any]:
    return select(Agent).where(seen).order_by(Agent.created_at.desc(), Agent.id.desc())
