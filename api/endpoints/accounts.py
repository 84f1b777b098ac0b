"""The user's own account and organizations (contract, people-and-boards 3.1 to 3.3)."""

from collections.abc import Sequence
from uuid import UUID

from api.framework.fields import (
    Name,
    Ok,
    PatchModel,
    RequestModel,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from api.framework.handler import RequestContext, error_responses, reads_only
from models import Member, Role
from services import identity, organizations


class UserRead(ResponseModel):
    """A user, as returned to that user."""

    id: UUID
    clerk_user_id: str
    email: str | None
    name: str | None
    preferred_name: str | None
    pronouns: str | None
    timezone: str | None
    notes: str | None
    context: str | None
    is_super_admin: bool


class UserUpdate(PatchModel):
    """Changes of the user's own profile; null empties a field."""

    name: ShortText | None = None
    preferred_name: ShortText | None = None
    pronouns: ShortText | None = None
    timezone: ShortText | None = None
    notes: Text | None = None
    context: Text | None = None


async def bootstrap_user(context: RequestContext, member: Member) -> UserRead:
    """Return the calling user. Creates the user's first organization if there is none yet."""
    return UserRead.model_validate(member.user)


@reads_only
async def get_me(context: RequestContext, member: Member) -> UserRead:
    """Return the calling user."""
    return UserRead.model_validate(member.user)


async def update_me(context: RequestContext, body: UserUpdate) -> UserRead:
    """Change the calling user's profile."""
    return UserRead.model_validate(
        await identity.update_profile(context.session, context.user, body.changes())
    )


@error_responses(403, 409)
async def delete_me(context: RequestContext) -> Ok:
    """Delete the calling user's account: sign-ins, tokens, memberships and unshared data.

    Organizations without other members are deleted with everything in them. One that has boards
    must be deleted on its page first: 403 `recent_sign_in_required`. The only owner of an
    organization with other members must first make another member an owner, or delete it.
    """
    await identity.delete_account(context.session, context.user, may_delete_boards=False)
    return Ok()


class OrganizationRead(ResponseModel):
    """An organization. Organizations are separate tenants."""

    id: UUID
    name: str
    created_at: Timestamp
    updated_at: Timestamp


class OrganizationListItem(ResponseModel):
    """One of the user's organizations."""

    id: UUID
    name: str
    role: Role
    is_active: bool


class OrganizationCreate(RequestModel):
    """A new organization."""

    example = {"name": "Tern"}

    name: Name


class OrganizationActiveUpdate(RequestModel):
    """The organization to activate."""

    organization_id: UUID


@error_responses(409)
async def create_organization(
    context: RequestContext, body: OrganizationCreate
) -> OrganizationRead:
    """Create an organization. The user becomes its owner, and it becomes the active one."""
    created = await organizations.create_organization(context.session, context.user, name=body.name)
    return OrganizationRead.model_validate(created)


@reads_only
async def list_organizations(
    context: RequestContext, member: Member
) -> Sequence[OrganizationListItem]:
    """List the user's organizations, by name."""
    active = member.organization_id
    return [
        OrganizationListItem(
            id=membership.organization_id,
            name=membership.organization.name,
            role=membership.role,
            is_active=membership.organization_id == active,
        )
        for membership in await organizations.list_memberships(context.source, context.user)
    ]


@error_responses(404)
async def set_active_organization(
    context: RequestContext, body: OrganizationActiveUpdate
) -> OrganizationRead:
    """Set the user's active organization, whose boards and agents are listed."""
    chosen = await organizations.switch_organization(
        context.session, context.user, body.organization_id
    )
    return OrganizationRead.model_validate(chosen)


@reads_only
async def get_active_organization(context: RequestContext, member: Member) -> OrganizationRead:
    """Return the user's active organization."""
    return OrganizationRead.model_validate(member.organization)


async def delete_active_organization(context: RequestContext, member: Member) -> Ok:
    """Delete the active organization with everything in it: not with a token.

    It needs a recent sign-in, so the answer to owners is 403 `recent_sign_in_required`. Owners
    delete it on the page of its members. This cannot be undone. Its gateways are asked afterwards
    to remove the agents that were created there; if they are unreachable, for seven days.
    """
    await organizations.delete_organization(context.session, member)
    return Ok()
