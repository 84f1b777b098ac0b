"""Making, renaming and choosing organizations."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import NotFound
from models import EventType, Member, Organization, Role, User, new_id
from services import events, users
from services.organizations.rules import check_name_is_free, name_of_organization, require_admin


async def create(session: AsyncSession, user: User, *, name: str) -> Organization:
    """Make an organization that this person owns and works in from now on.

    Raises Invalid about the name, and Conflict if they belong to one of that name already.
    """
    name = name_of_organization(name, "name")
    held = await users.hold(session, user)
    check_name_is_free(name, await _of(session, held))
    at = now()
    organization = Organization(id=new_id(), name=name, created_at=at, updated_at=at)
    session.add(organization)
    await session.flush()
    owner = Member(
        organization=organization,
        user=held,
        role=Role.OWNER,
        all_boards_read=True,
        all_boards_write=True,
        created_at=at,
        updated_at=at,
    )
    session.add(owner)
    held.active_organization_id = organization.id
    await session.flush()
    created = EventType.ORGANIZATION_CREATED
    data: dict[str, object] = {"name": name}
    await events.record(session, created, held, organization_id=organization.id, data=data)
    return organization


async def rename(session: AsyncSession, member: Member, *, name: str) -> Organization:
    """Give the member's organization another name.

    Raises Forbidden unless they are an admin, Invalid about the name, and Conflict if they belong
    to another organization of that name.
    """
    require_admin(member)
    name = name_of_organization(name, "name")
    held = await users.hold(session, member.user)
    organization = await _hold(session, member.organization_id)
    others = [one for one in await _of(session, held) if one.id != organization.id]
    check_name_is_free(name, others)
    if name == organization.name:
        return organization
    changes = {"name": [organization.name, name]}
    organization.name = name
    organization.updated_at = now()
    updated = EventType.ORGANIZATION_UPDATED
    data: dict[str, object] = {"name": name, "changes": changes}
    await events.record(session, updated, held, organization_id=organization.id, data=data)
    return organization


async def switch(session: AsyncSession, user: User, organization_id: UUID) -> Organization:
    """Choose the organization that this person works in. Raises NotFound unless they belong there.

    An organization of others and one that never was are the same (contract, S24).
    """
    held = await users.hold(session, user)
    for organization in await _of(session, held):
        if organization.id == organization_id:
            held.active_organization_id = organization.id
            return organization
    raise NotFound("organization_not_found", "You belong to no such organization.")


async def _of(session: AsyncSession, user: User) -> list[Organization]:
    """Return the organizations that a person belongs to."""
    query = select(Organization).join(Member, Member.organization_id == Organization.id)
    return list((await session.scalars(query.where(Member.user_id == user.id))).all())


async def _hold(session: AsyncSession, organization_id: UUID) -> Organization:
    query = select(Organization).where(Organization.id == organization_id)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    organization = await session.scalar(query)
    if organization is None:
        raise NotFound("organization_not_found", "There is no such organization.")
    return organization
