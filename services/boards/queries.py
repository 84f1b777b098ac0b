"""List and summarize boards, and find free slugs."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import NotFound
from core.paging import Page, Paging, fetch_page
from core.text import is_storable
from models import (
    Agent,
    AgentStatus,
    Approval,
    Board,
    BoardGroup,
    Gateway,
    GatewayRequest,
    Member,
    Organization,
    RequestState,
    Status,
    Task,
)
from services import approvals, gateways
from services.boards.access import MEMBER_BOARDS, READABLE_BOARD_IDS, readable_board_ids_query

BY_NAME = (func.lower(Board.name), Board.created_at.desc(), Board.id)
NOT_ONLINE = set(AgentStatus) - {AgentStatus.ONLINE}


async def list_boards(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    gateway_id: UUID | None = None,
    board_group_id: UUID | None = None,
) -> Page[Board]:
    """Return the boards of the member's organization that the member may read, by name."""
    query = select(Board).where(
        Board.id.in_(readable_board_ids_query(member.user, member.organization_id))
    )
    if gateway_id is not None:
        query = query.where(Board.gateway_id == gateway_id)
    if board_group_id is not None:
        query = query.where(Board.board_group_id == board_group_id)
    return await fetch_page(session, query.order_by(*BY_NAME), paging)


async def get_board_by_slug(session: AsyncSession, member: Member, slug: str) -> Board:
    """Return the board of the member's organization that has this slug. Raises NotFound."""
    query = select(Board).where(
        Board.id.in_(readable_board_ids_query(member.user, member.organization_id)),
        Board.slug == slug,
    )
    board = await session.scalar(query) if is_storable(slug) else None
    if board is None:
        raise NotFound("board_not_found", "There is no such board.")
    return board


async def list_agent_boards(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Board]:
    """Return the boards that an agent may read, newest first."""
    query = select(Board).where(
        Board.id.in_(readable_board_ids_query(agent, agent.organization_id))
    )
    return await fetch_page(session, query.order_by(Board.created_at.desc(), Board.id), paging)


@dataclass(frozen=True)
class BoardSummary:
    """A board with the numbers of its tasks, agents and undecided requests."""

    board: Board
    can_write: bool
    group_name: str | None
    waiting_count: int  # undecided approvals and gateway requests visible to the member
    online_agent_count: int
    agent_count: int
    task_counts: Mapping[Status, int]  # all statuses, including those without tasks

    @property
    def task_count(self) -> int:
        """The number of all tasks."""
        return sum(self.task_counts.values())


async def list_board_summaries(session: AsyncSession, member: Member) -> Sequence[BoardSummary]:
    """Return summaries of the boards that the member may read, by name, in two statements.

    The number of online agents is the last recorded one; every change of it is an event.
    """
    parameters = {"user_id": member.user_id, "organization_id": member.organization_id}
    rows = (await session.execute(_build_summaries_query(), parameters)).all()
    counts: defaultdict[UUID, dict[Status, int]] = defaultdict(lambda: dict.fromkeys(Status, 0))
    for board_id, status, number in await session.execute(TASK_COUNTS, parameters):
        counts[board_id][status] = number
    return [BoardSummary(*row, counts[row[0].id]) for row in rows]


@cache
def _build_summaries_query() -> Select[*tuple[Any, ...]]:
    visible = MEMBER_BOARDS.subquery()
    waiting_requests = _count_subquery(GatewayRequest, GatewayRequest.state == RequestState.WAITING)
    query = (
        select(
            Board,
            visible.c.writes,
            BoardGroup.name,
            _count_subquery(Approval, approvals.IS_UNDECIDED)
            + case((visible.c.writes, waiting_requests), else_=0),
            _count_subquery(Agent, *_online_conditions()),
            _count_subquery(Agent),
        )
        .join(visible, visible.c.id == Board.id)
        .outerjoin(BoardGroup, BoardGroup.id == Board.board_group_id)
        .where(visible.c.reads)
        .order_by(*BY_NAME)
    )
    return query


def _online_conditions() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for online agents. Agents of a broken gateway are not online."""
    reports = Agent.last_seen_at.is_not(None) & Agent.status.not_in(NOT_ONLINE)
    listed = Agent.is_linked & Agent.listed_at.is_not(None)
    broken = select(Gateway.id).where(Gateway.checks.contains([{"state": gateways.CHECK_FAILED}]))
    return (reports | listed, Agent.gateway_id.is_(None) | Agent.gateway_id.not_in(broken))


def _count_subquery(
    model: type[Approval | Agent | GatewayRequest], *conditions: ColumnElement[bool]
) -> ScalarSelect[int]:
    """Count the approvals, agents or requests of a board."""
    count = select(func.count()).select_from(model).where(model.board_id == Board.id, *conditions)
    return count.correlate(Board).scalar_subquery()


TASK_COUNTS = (
    select(Task.board_id, Task.status, func.count())
    .where(Task.board_id.in_(READABLE_BOARD_IDS))
    .group_by(Task.board_id, Task.status)
)

MAX_SLUG_LENGTH = 200  # characters
RESERVED_SLUGS = {"new"}  # used by other URLs


def board_slug(name: str) -> str:
    """Return a slug of lowercase ASCII letters, digits and hyphens for a name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: MAX_SLUG_LENGTH - 20] or "board"


async def find_free_slug(
    session: AsyncSession, organization_id: UUID, wanted: str, *, board_id: UUID | None = None
) -> str:
    """Return `wanted`, or the first of `wanted-2`, `wanted-3` … that is free in the organization.

    Locks the organization, so no other transaction can take the slug before the commit. Raises
    NotFound if the organization does not exist.
    """
    organization = select(Organization.id).where(Organization.id == organization_id)
    if await session.scalar(organization.with_for_update(key_share=True)) is None:
        raise NotFound("organization_not_found", "There is no such organization.")
    similar = select(Board.slug).where(
        Board.organization_id == organization_id,
        or_(Board.slug == wanted, Board.slug.startswith(f"{wanted}-", autoescape=True)),
    )
    if board_id is not None:
        similar = similar.where(Board.id != board_id)
    taken = set((await session.scalars(similar)).all())
    return next(slug for slug in _candidates(wanted) if slug not in taken | RESERVED_SLUGS)


def _candidates(wanted: str) -> Iterator[str]:
    yield wanted
    for number in count(2):
        yield f"{wanted}-{number}"
