"""Finding an agent, and who may do something to it."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from kit.errors import Conflict, Forbidden, NotFound
from models import Agent, Board, Member, User
from services import boards, organizations


async def get(session: AsyncSession, member: Member, agent_id: UUID) -> Agent:
    """Return an agent of the organization, for its admins.

    Raises NotFound, and Forbidden if the member is no admin or may not read the agent's board.
    """
    organizations.require_admin(member)
    read = boards.seen_by(member.user).subquery()
    query = select(Agent, read.c.reads).outerjoin(read, read.c.id == Agent.board_id)
    query = query.where(Agent.id == agent_id, Agent.organization_id == member.organization_id)
    found = (await session.execute(query.execution_options(populate_existing=True))).first()
    if found is None:
        raise not_found()
    agent, reads = found
    if agent.board_id is not None and not reads:
        raise Forbidden("board_read_forbidden", "You may not read this agent's board.")
    return agent


async def seen(session: AsyncSession, user: User, agent_id: UUID) -> Agent:
    """Return an agent of the user's organizations, for those who read its board.

    It comes with its gateway and its board. One without a board is for admins. Raises NotFound
    and Forbidden.
    """
    read = boards.seen_by(user).subquery()
    query = select(Agent, Member, read.c.reads).outerjoin(read, read.c.id == Agent.board_id)
    mine = (Member.organization_id == Agent.organization_id) & (Member.user_id == user.id)
    query = query.join(Member, mine).where(Agent.id == agent_id)
    query = query.options(joinedload(Agent.gateway), joinedload(Agent.board))
    found = (await session.execute(query.execution_options(populate_existing=True))).first()
    if found is None:
        raise not_found()
    agent, member, reads = found
    if agent.board_id is None:
        organizations.require_admin(member)
    elif not reads:
        raise Forbidden("board_read_forbidden", "You may not read this agent's board.")
    return agent


async def hold(
    session: AsyncSession, member: Member, agent_id: UUID, *, besides: UUID | None = None
) -> tuple[Agent, dict[UUID, Board]]:
    """Return an agent of the organization and its board, which is held, for who may change both.

    `besides` is another board to hold. Raises as `get` does, and Conflict if the agent was moved
    while its board was waited for. An agent that was just found is not looked for before that.
    """
    organizations.require_admin(member)
    agent = await session.get(Agent, agent_id)
    if agent is None or agent.organization_id != member.organization_id:
        raise not_found()
    held = await hold_all(session, member, {agent.board_id, besides} - {None})
    agent = await in_organization(session, member.organization_id, agent_id)
    if agent.board_id is not None and agent.board_id not in held:
        raise moved()
    return agent, held


async def hold_all(
    session: AsyncSession, member: Member, board_ids: Collection[UUID | None]
) -> dict[UUID, Board]:
    """Hold boards for an admin, in order of id. Raises NotFound or Forbidden."""
    ids = sorted(id for id in board_ids if id is not None)
    return {id: await boards.hold_as_admin(session, member.user, id) for id in ids}


async def in_organization(session: AsyncSession, organization_id: UUID, agent_id: UUID) -> Agent:
    """Return an agent as it is in the database now. Raises NotFound."""
    query = select(Agent).where(Agent.id == agent_id, Agent.organization_id == organization_id)
    agent = await session.scalar(query.execution_options(populate_existing=True))
    if agent is None:
        raise not_found()
    return agent


async def several(
    session: AsyncSession, organization_id: UUID, agent_ids: Collection[UUID]
) -> dict[UUID, Agent]:
    """Return those of these agents that are of the organization."""
    query = select(Agent).where(Agent.organization_id == organization_id, Agent.id.in_(agent_ids))
    return {agent.id: agent for agent in await session.scalars(query)} if agent_ids else {}


def not_found() -> NotFound:
    """Make the answer to who asks for an agent that is not there, or not for them."""
    return NotFound("agent_not_found", "There is no such agent.")


def moved() -> Conflict:
    """Make the answer to who waited for an agent's board, and the agent is on another by now."""
    return Conflict("agent_moved", "The agent was moved meanwhile. Try again.")
