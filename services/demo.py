"""The demo's organization: made, shown to the people of the installation, and removed again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, AgentStatus, Member, Organization, Role, User
from services import agents, organizations

LONG_AGO = timedelta(hours=3)
GUIDE = "demo-guide"  # the id elsewhere of the person who made the demo, and cannot sign in


@dataclass(frozen=True)
class Player:
    """An agent that a script plays, and the token it is to use."""

    name: str
    board_id: UUID
    token: str


async def guide(session: AsyncSession) -> Member | None:
    """Return the membership of the demo's guide, or None when there is no demo."""
    user = await session.scalar(select(User).where(User.clerk_user_id == GUIDE))
    return await organizations.current(session, user) if user else None


async def open_organization(session: AsyncSession, name: str) -> Member:
    """Make the demo's organization, and return its guide, who owns it."""
    at = now()
    user = User(clerk_user_id=GUIDE, name="Demo guide", created_at=at, updated_at=at)
    session.add(user)
    await session.flush()
    organization = await organizations.create(session, user, name=name)
    organization.is_demo = True
    await session.flush()
    member = await organizations.current(session, user)
    assert member is not None
    return member


async def invite_everybody(session: AsyncSession) -> None:
    """Make everybody who can sign in an owner of the demo too, if there is one.

    Who has just come in works in it first.
    """
    organization = await session.scalar(select(Organization).where(Organization.is_demo))
    if organization is None:
        return
    inside = select(Member.user_id).where(Member.organization_id == organization.id)
    people = select(User).where(User.password_hash.is_not(None), User.id.not_in(inside))
    for user in (await session.scalars(people)).all():
        await _let_in(session, user, organization)


async def _let_in(session: AsyncSession, user: User, organization: Organization) -> None:
    session.add(
        Member(
            organization=organization,
            user=user,
            role=Role.OWNER,
            all_boards_read=True,
            all_boards_write=True,
            created_at=now(),
            updated_at=now(),
        )
    )
    user.active_organization_id = user.active_organization_id or organization.id
    await session.flush()


async def players(session: AsyncSession, member: Member, names: Sequence[str]) -> list[Player]:
    """Return the agents of these names, each with a new token.

    All their boards are held before the first token is recorded: who has recorded must not wait
    for a board any more.
    """
    cast = select(Agent).where(
        Agent.organization_id == member.organization_id, Agent.name.in_(names)
    )
    theirs = {agent.board_id for agent in await session.scalars(cast)}
    held = await agents.hold_all(session, member, theirs)
    there = cast.where(Agent.board_id.in_(held)).order_by(Agent.board_id, Agent.id)
    now_there = await session.scalars(there.execution_options(populate_existing=True))
    found = []
    for agent in now_there.all():
        token = await agents.issue_token(session, member, agent.id)
        if agent.board_id is not None and token is not None:  # no script plays who is on a gateway
            found.append(Player(agent.name, agent.board_id, token))
    return found


async def seen_long_ago(session: AsyncSession, agent: Agent) -> None:
    """Let an agent that no script plays have been there once, and not since."""
    past = {"created_at": agent.created_at - 2 * LONG_AGO, "last_seen_at": now() - LONG_AGO}
    changed = update(Agent).where(Agent.id == agent.id)
    await session.execute(changed.values(status=AgentStatus.OFFLINE, **past))


async def remove(session: AsyncSession) -> bool:
    """Remove the demo with all that belongs to it. Says whether there was one."""
    demos = select(Organization.id).where(Organization.is_demo)
    removed = (await session.scalars(demos)).all()
    await organizations.hold_contents(session, removed)
    await organizations.erase(session, removed)
    await session.execute(delete(User).where(User.clerk_user_id == GUIDE))
    return bool(removed)
