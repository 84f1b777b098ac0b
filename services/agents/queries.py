"""Queries for agents: one, several or pages of them, and locking an agent with its board."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from core.db.combined_query import QueryPart
from core.errors import Conflict, Forbidden, NotFound
from core.paging import Page, Paging, fetch_page
from models import Agent, Board, Gateway, Member, User
from services import boards, organizations
from services.messages import LEAD_MENTION, extract_mentions


async def get_agent(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Return an agent of the organization, for its admins.

    Raises NotFound, and Forbidden if the member is no admin or may not read the agent's board.
    """
    organizations.require_admin(member)
    read = boards.visible_boards_query(member.user).subquery()
    query = select(Agent, read.c.reads).outerjoin(read, read.c.id == Agent.board_id)
    query = query.where(Agent.id == agent_id, Agent.organization_id == member.organization_id)
    found = (await session.execute(query.execution_options(populate_existing=True))).first()
    if found is None:
        raise agent_not_found()
    agent, reads = found
    if agent.board_id is not None and not reads:
        raise Forbidden("board_read_forbidden", "You may not read this agent's board.")
    return agent


async def get_visible_agent(session: AsyncSession, user: User, agent_id: UUID) -> Agent:
    """Return an agent of the user's organizations, with gateway, board and organization loaded.

    The user must be able to read its board; agents without a board are for admins. Raises NotFound
    and Forbidden.
    """
    read = boards.visible_boards_query(user).subquery()
    query = select(Agent, Member, read.c.reads).outerjoin(read, read.c.id == Agent.board_id)
    mine = (Member.organization_id == Agent.organization_id) & (Member.user_id == user.id)
    query = query.join(Member, mine).where(Agent.id == agent_id)
    related = (Agent.gateway, Agent.board, Agent.organization)
    query = query.options(*[joinedload(one) for one in related])
    found = (await session.execute(query.execution_options(populate_existing=True))).first()
    if found is None:
        raise agent_not_found()
    agent, member, reads = found
    if agent.board_id is None:
        organizations.require_admin(member)
    elif not reads:
        raise Forbidden("board_read_forbidden", "You may not read this agent's board.")
    return agent


async def lock_agent(
    session: AsyncSession, member: Member, agent_id: UUID, *, other_board_id: UUID | None = None
) -> tuple[Agent, dict[UUID, Board]]:
    """Lock the board of an agent, and return the agent and the locked boards by id.

    `other_board_id` is another board to lock. Raises NotFound and Forbidden like `get_agent`, and
    Conflict if the agent was moved while waiting for the lock. An agent that is already loaded in
    the session is not queried before the lock.
    """
    organizations.require_admin(member)
    agent = await session.get(Agent, agent_id)
    if agent is None or agent.organization_id != member.organization_id:
        raise agent_not_found()
    boards_by_id = await lock_boards(session, member, {agent.board_id, other_board_id} - {None})
    agent = await get_organization_agent(session, member.organization_id, agent_id)
    if agent.board_id is not None and agent.board_id not in boards_by_id:
        raise agent_moved()
    return agent, boards_by_id


async def lock_boards(
    session: AsyncSession, member: Member, board_ids: Collection[UUID | None]
) -> dict[UUID, Board]:
    """Lock boards for an admin, in order of id. Raises NotFound or Forbidden."""
    ids = sorted(id for id in board_ids if id is not None)
    return {id: await boards.lock_board_as_admin(session, member.user, id) for id in ids}


async def get_organization_agent(
    session: AsyncSession, organization_id: UUID, agent_id: UUID
) -> Agent:
    """Return the current row of an agent of the organization. Raises NotFound."""
    query = select(Agent).where(Agent.id == agent_id, Agent.organization_id == organization_id)
    agent = await session.scalar(query.execution_options(populate_existing=True))
    if agent is None:
        raise agent_not_found()
    return agent


async def load_agents(
    session: AsyncSession, organization_id: UUID, agent_ids: Collection[UUID]
) -> dict[UUID, Agent]:
    """Return those of the given agents that belong to the organization, by id."""
    query = select(Agent).where(Agent.organization_id == organization_id, Agent.id.in_(agent_ids))
    return {agent.id: agent for agent in await session.scalars(query)} if agent_ids else {}


def agent_not_found() -> NotFound:
    """Build the error for an agent that does not exist or that the caller may not see."""
    return NotFound("agent_not_found", "There is no such agent.")


def agent_moved() -> Conflict:
    """Build the error for an agent that was moved while waiting for the lock of its board."""
    return Conflict("agent_moved", "The agent was moved meanwhile. Try again.")


async def list_agents(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    gateway_id: UUID | None = None,
) -> Page[Agent]:
    """Return the agents of the boards that an admin may read, and of gateways, newest first.

    Raises Forbidden, and NotFound for a board or a gateway of another organization.
    """
    organizations.require_admin(member)
    condition = visible_agents_condition(member, board_id)
    if gateway_id is not None:
        await _check_gateway_exists(session, member, gateway_id)
        condition &= Agent.gateway_id == gateway_id
    if board_id is not None:
        await boards.get_board(session, member.user, board_id)
    return await fetch_page(session, _newest_first_query(condition), paging)


async def list_agents_for_agent(
    session: AsyncSession, agent: Agent, paging: Paging, *, board_id: UUID | None = None
) -> Page[Agent]:
    """Return the agents on the same board as an agent. Raises Forbidden for another board."""
    condition = Agent.organization_id == agent.organization_id
    if board_id is not None:
        condition &= Agent.board_id == (await boards.get_board(session, agent, board_id)).id
    elif agent.board_id is not None:
        condition &= Agent.board_id == agent.board_id
    else:
        condition &= Agent.board_id.in_(
            boards.readable_board_ids_query(agent, agent.organization_id)
        )
    return await fetch_page(session, _newest_first_query(condition), paging)


async def find_agent_by_name(
    session: AsyncSession, member: Member, name: str, *, board_id: UUID | None = None
) -> Agent | None:
    """Return the oldest agent with exactly this name on a board that an admin may read, or None.

    Raises Forbidden.
    """
    organizations.require_admin(member)
    query = select(Agent).where(visible_agents_condition(member, board_id), Agent.name == name)
    return await session.scalar(query.order_by(Agent.created_at, Agent.id).limit(1))


def newest_agents_query() -> QueryPart[Agent]:
    """Build the query for the agents of the board `board_id`, newest first."""
    condition = Agent.board_id == bindparam("board_id")
    return QueryPart(_newest_first_query(condition), lambda row: row[0])


async def list_board_agents(session: AsyncSession, board: Board) -> Sequence[Agent]:
    """Return the agents of a board: the lead first, the others by name."""
    query = select(Agent).where(Agent.board_id == board.id)
    order = (Agent.is_board_lead.desc(), Agent.name, Agent.id)
    return (await session.scalars(query.order_by(*order))).all()


async def _check_gateway_exists(session: AsyncSession, member: Member, gateway_id: UUID) -> None:
    query = select(Gateway.id).where(
        Gateway.id == gateway_id, Gateway.organization_id == member.organization_id
    )
    if await session.scalar(query) is None:
        raise NotFound("gateway_not_found", "There is no such gateway.")


def visible_agents_condition(member: Member, board_id: UUID | None) -> ColumnElement[bool]:
    """Return the condition for agents of readable boards, and for admins those without a board."""
    readable = Agent.board_id.in_(
        boards.readable_board_ids_query(member.user, member.organization_id)
    )
    if board_id is not None:
        return readable & (Agent.board_id == board_id)
    if not member.is_admin:
        return readable
    of_gateways = Agent.board_id.is_(None) & (Agent.organization_id == member.organization_id)
    return or_(readable, of_gateways)


def _newest_first_query(condition: ColumnElement[bool]) -> Select[Any]:
    return select(Agent).where(condition).order_by(Agent.created_at.desc(), Agent.id.desc())


async def get_board_agent(session: AsyncSession, board: Board, agent_id: UUID) -> Agent:
    """Return an agent of a board. Raises NotFound, also for agents of gateways."""
    query = select(Agent).where(Agent.id == agent_id, Agent.board_id == board.id)
    agent = await session.scalar(query.execution_options(populate_existing=True))
    if agent is None:
        raise agent_not_found()
    return agent


async def is_lead_missing(session: AsyncSession, board: Board, text: str) -> bool:
    """Return whether a text mentions the lead of a board that has none."""
    if LEAD_MENTION not in extract_mentions(text):
        return False
    lead = select(Agent.id).where(Agent.board_id == board.id, Agent.is_board_lead)
    return await session.scalar(lead) is None
