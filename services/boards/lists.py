"""The boards that somebody sees."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import NotFound
from kit.paging import Page, Paging, paged
from kit.text import storable
from models import (
    Agent,
    AgentStatus,
    Approval,
    ApprovalStatus,
    Board,
    BoardGroup,
    Gateway,
    GatewayRequest,
    Member,
    RequestState,
    Status,
    Task,
)
from services import standing
from services.boards.access import readable, seen_by

BY_NAME = (func.lower(Board.name), Board.created_at.desc(), Board.id)
WAITING = (Approval.status == ApprovalStatus.PENDING) & Approval.decided_status.is_(None)
NOT_ONLINE = set(AgentStatus) - {AgentStatus.ONLINE}


async def listed(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    gateway_id: UUID | None = None,
    board_group_id: UUID | None = None,
) -> Page[Board]:
    """Return the boards of the member's organization that they read, by name."""
    query = select(Board).where(Board.id.in_(readable(member.user, member.organization_id)))
    if gateway_id is not None:
        query = query.where(Board.gateway_id == gateway_id)
    if board_group_id is not None:
        query = query.where(Board.board_group_id == board_group_id)
    return await paged(session, query.order_by(*BY_NAME), paging)


async def by_slug(session: AsyncSession, member: Member, slug: str) -> Board:
    """Return the board of the member's organization that has this slug. Raises NotFound."""
    query = select(Board).where(
        Board.id.in_(readable(member.user, member.organization_id)), Board.slug == slug
    )
    board = await session.scalar(query) if storable(slug) else None
    if board is None:
        raise NotFound("board_not_found", "There is no such board.")
    return board


async def listed_for_agent(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Board]:
    """Return the boards that an agent works on, newest first."""
    query = select(Board).where(Board.id.in_(readable(agent, agent.organization_id)))
    return await paged(session, query.order_by(Board.created_at.desc(), Board.id), paging)


@dataclass(frozen=True)
class BoardSummary:
    """A board in one line: what is on it, what waits for people, and who is there."""

    board: Board
    can_write: bool
    group_name: str | None
    waiting: int  # questions that wait for a person, as far as the member sees them
    agents_online: int
    agents: int
    task_counts: Mapping[Status, int]  # every status, also those without tasks

    @property
    def tasks(self) -> int:
        """All tasks of the board."""
        return sum(self.task_counts.values())


async def summaries(session: AsyncSession, member: Member) -> Sequence[BoardSummary]:
    """Return the boards of the member's organization that they read, by name, in two statements.

    Who is online is what was last known, of which every change is an event.
    """
    rows = (await session.execute(_summary_rows(member))).all()
    counts = await _task_counts(session, member)
    return [BoardSummary(*row, counts[row[0].id]) for row in rows]


def _summary_rows(member: Member) -> Select[*tuple[Any, ...]]:
    seen = seen_by(member.user).where(Board.organization_id == member.organization_id).subquery()
    asked_there = _number_of(GatewayRequest, GatewayRequest.state == RequestState.WAITING)
    query = (
        select(
            Board,
            seen.c.writes,
            BoardGroup.name,
            _number_of(Approval, WAITING) + case((seen.c.writes, asked_there), else_=0),
            _number_of(Agent, *_is_online()),
            _number_of(Agent),
        )
        .join(seen, seen.c.id == Board.id)
        .outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
        .where(seen.c.reads)
        .order_by(*BY_NAME)
    )
    return query


def _is_online() -> tuple[ColumnElement[bool], ...]:
    """Say which agents are there as far as is known; of a gateway that is away nothing is."""
    calls = Agent.last_seen_at.is_not(None) & Agent.status.not_in(NOT_ONLINE)
    listed = Agent.is_linked & Agent.listed_at.is_not(None)
    broken = select(Gateway.id).where(Gateway.checks.contains([{"state": standing.FAILED}]))
    return (calls | listed, Agent.gateway_id.is_(None) | Agent.gateway_id.not_in(broken))


def _number_of(
    kind: type[Approval | Agent | GatewayRequest], *which: ColumnElement[bool]
) -> ScalarSelect[int]:
    """Count a board's approvals, agents or requests."""
    count = select(func.count()).select_from(kind).where(kind.board_id == Board.id, *which)
    return count.correlate(Board).scalar_subquery()


async def _task_counts(session: AsyncSession, member: Member) -> dict[UUID, dict[Status, int]]:
    query = select(Task.board_id, Task.status, func.count()).where(
        Task.board_id.in_(readable(member.user, member.organization_id))
    )
    counts: defaultdict[UUID, dict[Status, int]] = defaultdict(lambda: dict.fromkeys(Status, 0))
    for board_id, status, number in await session.execute(
        query.group_by(Task.board_id, Task.status)
    ):
        counts[board_id][status] = number
    return counts
