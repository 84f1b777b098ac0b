"""Organizations, as JSON (contract, people-and-boards 3.3)."""

from collections.abc import Sequence
from uuid import UUID

from api.fields import Answer, Body, Moment, Name, Ok
from api.operations import Call, may_answer
from models import Member, Role
from services import organizations


class OrganizationRead(Answer):
    """An organization: a tenant of its own."""

    id: UUID
    name: str
    created_at: Moment
    updated_at: Moment


class OrganizationListItem(Answer):
    """One of the caller's organizations."""

    id: UUID
    name: str
    role: Role
    is_active: bool


class OrganizationCreate(Body):
    """An organization to be."""

    example = {"name": "Tern"}

    name: Name


class OrganizationActiveUpdate(Body):
    """Which organization to work in."""

    organization_id: UUID


@may_answer(409)
async def create_organization(call: Call, body: OrganizationCreate) -> OrganizationRead:
    """Create an organization. The caller owns it, and works in it from now on."""
    created = await organizations.create(call.session, call.user, name=body.name)
    return OrganizationRead.model_validate(created)


async def list_mine(call: Call, member: Member) -> Sequence[OrganizationListItem]:
    """List the caller's organizations, by name."""
    active = member.organization_id
    return [
        OrganizationListItem(
            id=one.organization_id,
            name=one.organization.name,
            role=one.role,
            is_active=one.organization_id == active,
        )
        for one in await organizations.memberships(call.session, call.user)
    ]


@may_answer(404)
async def set_active(call: Call, body: OrganizationActiveUpdate) -> OrganizationRead:
    """Choose in which organization the caller works: its boards and agents are then listed."""
    chosen = await organizations.switch(call.session, call.user, body.organization_id)
    return OrganizationRead.model_validate(chosen)


async def get_mine(call: Call, member: Member) -> OrganizationRead:
    """Return the organization in which the caller works."""
    return OrganizationRead.model_validate(member.organization)


async def delete_mine(call: Call, member: Member) -> Ok:
    """Delete the organization in which the caller works, with everything in it. For its owners.

    This cannot be undone. Its gateways are asked afterwards to remove the agents that were brought
    there, for seven days if they are away.
    """
    await organizations.delete_organization(call.session, member)
    return Ok()
