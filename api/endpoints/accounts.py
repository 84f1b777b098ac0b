"""The user's own account and organizations (contract, people-and-boards 3.1 to 3.3)."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import active_membership, owner_membership
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
from api.framework.operation import USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, json_id, json_time
from models import Member, Organization, Role, User
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


def _encode_user(user: User) -> Encoded[UserRead]:
    fields = {
        "id": json_id(user.id),
        "clerk_user_id": user.clerk_user_id,
        "email": user.email,
        "name": user.name,
        "preferred_name": user.preferred_name,
        "pronouns": user.pronouns,
        "timezone": user.timezone,
        "notes": user.notes,
        "context": user.context,
        "is_super_admin": user.is_super_admin,
    }
    return Encoded(fields)


class UserUpdate(PatchModel):
    """Changes of the user's own profile; null empties a field."""

    name: ShortText | None = None
    preferred_name: ShortText | None = None
    pronouns: ShortText | None = None
    timezone: ShortText | None = None
    notes: Text | None = None
    context: Text | None = None


async def bootstrap_user(context: RequestContext, member: Member) -> Encoded[UserRead]:
    """Return the calling user. Creates the user's first organization if there is none yet."""
    return _encode_user(member.user)


@reads_only
async def get_me(context: RequestContext, member: Member) -> Encoded[UserRead]:
    """Return the calling user."""
    return _encode_user(member.user)


async def update_me(context: RequestContext, body: UserUpdate) -> Encoded[UserRead]:
    """Change the calling user's profile."""
    changed = await identity.update_profile(context.session, context.user, body.changes())
    return _encode_user(changed)


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
    only_owners_appoint_admins: bool = Field(
        description="Whether admins may not make others admins. Owners change it on the page of"
        " the organization."
    )


def _encode_organization(organization: Organization) -> Encoded[OrganizationRead]:
    fields = {
        "id": json_id(organization.id),
        "name": organization.name,
        "created_at": json_time(organization.created_at),
        "updated_at": json_time(organization.updated_at),
        "only_owners_appoint_admins": organization.only_owners_appoint_admins,
    }
    return Encoded(fields)


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
) -> Encoded[OrganizationRead]:
    """Create an organization. The user becomes its owner, and it becomes the active one."""
    created = await organizations.create_organization(context.session, context.user, name=body.name)
    return _encode_organization(created)


@reads_only
async def list_organizations(
    context: RequestContext, member: Member
) -> Encoded[Sequence[OrganizationListItem]]:
    """List the user's organizations, by name."""
    active = member.organization_id
    fields = [
        {
            "id": json_id(membership.organization_id),
            "name": membership.organization.name,
            "role": membership.role,
            "is_active": membership.organization_id == active,
        }
        for membership in await organizations.list_memberships(context.source, context.user)
    ]
    return Encoded(fields)


@error_responses(404)
async def set_active_organization(
    context: RequestContext, body: OrganizationActiveUpdate
) -> Encoded[OrganizationRead]:
    """Set the user's active organization, whose boards and agents are listed."""
    chosen = await organizations.switch_organization(
        context.session, context.user, body.organization_id
    )
    return _encode_organization(chosen)


@reads_only
async def get_active_organization(
    context: RequestContext, member: Member
) -> Encoded[OrganizationRead]:
    """Return the user's active organization."""
    return _encode_organization(member.organization)


async def delete_active_organization(context: RequestContext, member: Member) -> Ok:
    """Delete the active organization with everything in it: not with a token.

    It needs a recent sign-in, so the answer to owners is 403 `recent_sign_in_required`. Owners
    delete it on the page of its members. This cannot be undone. Its gateways are asked afterwards
    to remove the agents that were created there; if they are unreachable, for seven days.
    """
    await organizations.delete_organization(context.session, member)
    return Ok()


ORGANIZATION = "/organizations/me"
TAGS = ["organizations"]

OPERATIONS = [
    Operation("POST", "/auth/bootstrap", bootstrap_user, USER, ["auth"], active_membership),
    Operation("GET", "/users/me", get_me, USER, ["users"], active_membership),
    Operation("PATCH", "/users/me", update_me, USER, ["users"]),
    Operation("DELETE", "/users/me", delete_me, USER, ["users"]),
    Operation("POST", "/organizations", create_organization, USER, TAGS),
    Operation("GET", ORGANIZATION + "/list", list_organizations, USER, TAGS, active_membership),
    Operation("PATCH", ORGANIZATION + "/active", set_active_organization, USER, TAGS),
    Operation("GET", ORGANIZATION, get_active_organization, USER, TAGS, active_membership),
    Operation("DELETE", ORGANIZATION, delete_active_organization, USER, TAGS, owner_membership),
]
