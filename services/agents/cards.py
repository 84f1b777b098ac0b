"""Agent cards: agents as pages show them, with their current task, run and computed state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

from sqlalchemy import Select, bindparam, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden
from models import Agent, Board, Gateway, Member, Run, RunStatus, Status, Task
from services import boards, gateways
from services.agents import rules
from services.agents.queries import agent_not_found, get_organization_agent
from services.agents.rules import OFFLINE_AFTER, AgentState, StatusEvidence


@dataclass(frozen=True)
class ActiveRun:
    """A run of an agent that is in progress on its gateway."""

    phase: str | None  # defined in services.gateways.runs.run_state
    quiet_for: timedelta  # since the last report of its gateway


@dataclass(frozen=True)
class AgentCard:
    """An agent as pages show it: what it is doing, and what its computed state is based on."""

    agent: Agent
    board_name: str | None
    task: Task | None  # the one in progress
    run: ActiveRun | None
    unreachable_for: (
        timedelta | None
    )  # since its gateway is unreachable, unless it has called since
    state: AgentState
    heartbeat_interval: timedelta | None  # None: it sends no heartbeats
    silent_for: timedelta | None  # None: it has never called
    evidence: StatusEvidence
    evidence_age: timedelta | None  # the age of the evidence

    @property
    def role(self) -> str | None:
        """The role from the identity profile, or None."""
        role = (self.agent.identity_profile or {}).get("role")
        return role.strip() or None if isinstance(role, str) else None


async def list_agent_cards(
    session: AsyncSession,
    member: Member,
    *,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> Sequence[AgentCard]:
    """Return the agents of the boards that a member may read.

    Sorted by board; within a board the lead comes first, the others follow by name. `board_id` and
    `gateway_id` limit the result. Raises NotFound or Forbidden for a board that the member may not
    read.
    """
    if board_id is not None:
        await boards.get_board(session, member.user, board_id)
    query = _build_list_query(
        of_board=board_id is not None, of_gateway=gateway_id is not None, is_admin=member.is_admin
    )
    parameters = {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "board_id": board_id,
        "gateway_id": gateway_id,
    }
    rows = (await session.execute(query, parameters)).all()
    moment = now()
    return [_build_card(*row, moment, offline_after) for row in rows]


@cache
def _build_list_query(
    *, of_board: bool, of_gateway: bool, is_admin: bool
) -> Select[Agent, Board, Task, Gateway, str | None, datetime | None]:
    in_organization = Agent.organization_id == bindparam("organization_id")
    query = _cards_query().where(in_organization)
    if of_board:
        query = query.where(Agent.board_id == bindparam("board_id"))
    else:
        readable = Agent.board_id.in_(boards.READABLE_BOARD_IDS)
        query = query.where(readable | Agent.board_id.is_(None) if is_admin else readable)
    if of_gateway:
        query = query.where(Agent.gateway_id == bindparam("gateway_id"))
    order = (Board.name, Board.id, Agent.is_board_lead.desc(), Agent.name, Agent.id)
    return query.order_by(*order)


async def get_agent_card(
    session: AsyncSession,
    member: Member,
    agent_id: UUID,
    *,
    offline_after: timedelta = OFFLINE_AFTER,
) -> AgentCard:
    """Return one agent of a board that the member may read. Raises NotFound or Forbidden."""
    agent = await get_organization_agent(session, member.organization_id, agent_id)
    if agent.board_id is not None:
        await boards.get_board(session, member.user, agent.board_id)
    elif not member.is_admin:
        raise Forbidden("admin_required", "Only admins see the agents of gateways.")
    row = (await session.execute(_build_card_query(), {"agent_id": agent_id})).one_or_none()
    if row is None:
        raise agent_not_found()
    return _build_card(*row, now(), offline_after)


@cache
def _build_card_query() -> Select[Agent, Board, Task, Gateway, str | None, datetime | None]:
    return _cards_query().where(Agent.id == bindparam("agent_id"))


def _cards_query() -> Select[Agent, Board, Task, Gateway, str | None, datetime | None]:
    """Select agents with their board, current task, gateway and active run.

    The task is the one that has been in progress for the longest. Of the run, the phase and the
    time of its last update are selected.
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


def _build_card(
    agent: Agent,
    board: Board | None,
    task: Task | None,
    gateway: Gateway | None,
    phase: str | None,
    ran_at: datetime | None,
    moment: datetime,
    minimum: timedelta,
) -> AgentCard:
    evidence = rules.find_status_evidence(agent, moment)
    run = ActiveRun(phase, moment - ran_at) if ran_at else None
    away = _unreachable_for(agent, gateway, moment)
    activity = {"working": task is not None, "running": run is not None, "away": away is not None}
    return AgentCard(
        agent=agent,
        board_name=board.name if board else None,
        task=task,
        run=run,
        unreachable_for=away,
        state=rules.compute_state(agent, moment, **activity, minimum=minimum),
        heartbeat_interval=rules.heartbeat_interval(agent),
        silent_for=moment - agent.last_seen_at if agent.last_seen_at else None,
        evidence=evidence,
        evidence_age=moment - evidence.at if evidence.at else None,
    )


def _unreachable_for(agent: Agent, gateway: Gateway | None, moment: datetime) -> timedelta | None:
    since = gateways.unreachable_since(gateway, moment) if gateway else None
    if since is None or (agent.last_seen_at is not None and agent.last_seen_at > since):
        return None
    return moment - since
