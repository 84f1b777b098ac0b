"""Organizations: members, the stop of their agents, invites."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import (
    active_membership,
    admin_membership,
    member_for_update,
    owner_membership,
)
from api.framework.fields import (
    Ok,
    PageQuery,
    RequestModel,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.fields import ShortText
from core.json_responses import Encoded, build_encoder, encode_page, json_id, json_time
from core.paging import Page
from models import Invite, Member, Role
from services import identity, organizations
from services.organizations import (
    AccessRights,
    AgentStop,
    AgentStopCreate,
    InviteCreate,
    LockedMember,
    MemberDetail,
    MemberUpdate,
    OrganizationCreate,
)


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


encode_organization = build_encoder(OrganizationRead)


class OrganizationListItem(ResponseModel):
    """One of the user's organizations."""

    id: UUID
    name: str
    role: Role
    is_active: bool


class OrganizationActiveUpdate(RequestModel):
    """The organization to activate."""

    organization_id: UUID


@error_responses(409)
async def create_organization(
    context: RequestContext, body: OrganizationCreate
) -> Encoded[OrganizationRead]:
    """Create an organization. The user becomes its owner, and it becomes the active one."""
    created = await organizations.create_organization(context.session, context.user, body)
    return Encoded(encode_organization(created))


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
    return Encoded(encode_organization(chosen))


@reads_only
async def get_active_organization(
    context: RequestContext, member: Member
) -> Encoded[OrganizationRead]:
    """Return the user's active organization."""
    return Encoded(encode_organization(member.organization))


async def delete_active_organization(context: RequestContext, member: Member) -> Ok:
    """Delete the active organization with everything in it: not with a token.

    It needs a recent sign-in, so the answer to owners is 403 `recent_sign_in_required`. Owners
    delete it on the page of its members. This cannot be undone. Its gateways are asked afterwards
    to remove the agents that were created there; if they are unreachable, for seven days.
    """
    await organizations.delete_organization(context.session, member)
    return Ok()


class OrganizationUserRead(ResponseModel):
    """The user of a membership."""

    id: UUID
    email: str | None
    name: str | None
    preferred_name: str | None


class OrganizationBoardAccessRead(ResponseModel):
    """A member's rights on one board."""

    id: UUID
    board_id: UUID
    can_read: bool
    can_write: bool
    created_at: Timestamp
    updated_at: Timestamp


class OrganizationMembershipRead(ResponseModel):
    """A membership without its user and the rights on single boards."""

    id: UUID
    organization_id: UUID
    user_id: UUID
    role: Role
    all_boards_read: bool
    all_boards_write: bool
    created_at: Timestamp
    updated_at: Timestamp


class OrganizationMemberRead(OrganizationMembershipRead):
    """A membership: role and board rights."""

    user: OrganizationUserRead | None
    board_access: list[OrganizationBoardAccessRead] = Field(
        default=[], description="Rights on single boards, of a member without rights on all boards."
    )


encode_membership = build_encoder(OrganizationMembershipRead)
encode_user = build_encoder(OrganizationUserRead)
encode_access = build_encoder(OrganizationBoardAccessRead)


def _build_member_fields(detail: MemberDetail) -> dict[str, Any]:
    """Return the fields of an OrganizationMemberRead, in the order of the model."""
    return {
        **encode_membership(detail.member),
        "user": encode_user(detail.member.user),
        "board_access": [encode_access(access) for access in detail.board_access],
    }


def _encode_member(detail: MemberDetail) -> Encoded[OrganizationMemberRead]:
    return Encoded(_build_member_fields(detail))


@reads_only
async def get_membership(
    context: RequestContext, member: Member
) -> Encoded[OrganizationMemberRead]:
    """Return the user's own membership, with rights on single boards."""
    access = await organizations.list_board_access(context.source, member)
    return _encode_member(MemberDetail(member, access))


@reads_only
async def list_members(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[OrganizationMemberRead]]:
    """List the members of the active organization, by e-mail address and name."""
    found = await organizations.list_members(context.source, member, query.paging)
    return encode_page(found, _build_member_fields)


@reads_only
@error_responses(403, 404)
async def get_member(
    context: RequestContext, member: Member, member_id: UUID
) -> Encoded[OrganizationMemberRead]:
    """Return a member of the active organization. Other members than oneself only for admins."""
    return _encode_member(await organizations.get_member(context.source, member, member_id))


@changes_decisions
async def update_member(
    context: RequestContext, locked_member: LockedMember, body: MemberUpdate
) -> Encoded[OrganizationMemberRead]:
    """Change a member's role.

    Only owners may make a member an owner or change an owner. Nobody can grant a role above their
    own, and one owner must remain.
    """
    role = body.changes().get("role", locked_member.member.role)
    return _encode_member(
        await organizations.change_member_role(context.session, locked_member, role)
    )


@changes_decisions
async def update_member_access(
    context: RequestContext, locked_member: LockedMember, body: AccessRights
) -> Encoded[OrganizationMemberRead]:
    """Replace the board rights of a member. The role alone gives no rights on boards."""
    changed = await organizations.change_member_rights(context.session, locked_member, body)
    return _encode_member(changed)


@changes_decisions
async def remove_member(context: RequestContext, locked_member: LockedMember) -> Ok:
    """Remove a member. Only owners may remove owners, and nobody can remove themselves."""
    await organizations.remove_member(context.session, locked_member)
    return Ok()


async def end_member_sessions(context: RequestContext, locked_member: LockedMember) -> Ok:
    """Sign a member out in all browsers. Only owners may do it for owners.

    Their API tokens and tokens of an OpenID provider remain valid; only the member sees and revokes
    the API tokens.
    """
    await identity.end_member_sessions(context.session, locked_member)
    return Ok()


class AgentStopRead(ResponseModel):
    """Whether all agents of the organization are stopped, by whom, and why."""

    is_stopped: bool
    stopped_at: Timestamp | None
    stopped_by: str | None = Field(examples=["Alice"])
    stopped_by_user_id: UUID | None = Field(description="Null: by a command on the server.")
    reason: str | None


def _encode_stop(stop: AgentStop | None) -> Encoded[AgentStopRead]:
    return Encoded(
        {
            "is_stopped": stop is not None,
            "stopped_at": json_time(stop.stopped_at) if stop else None,
            "stopped_by": stop.stopped_by if stop else None,
            "stopped_by_user_id": json_id(stop.user_id) if stop else None,
            "reason": stop.reason if stop else None,
        }
    )


@reads_only
async def get_agent_stop(context: RequestContext, member: Member) -> Encoded[AgentStopRead]:
    """Return whether all agents of the active organization are stopped."""
    return _encode_stop(AgentStop.find_in(member.organization))


async def stop_agents(
    context: RequestContext, member: Member, body: AgentStopCreate
) -> Encoded[AgentStopRead]:
    """Stop all agents of the active organization, for admins.

    No message is sent, running turns are aborted where the gateway allows it, and agents that take
    or move tasks get 409 `organization_stopped`. A stop that exists is returned unchanged.
    """
    stop = await organizations.stop_agents(context.session, member, body)
    return _encode_stop(stop)


async def resume_agents(context: RequestContext, member: Member) -> Ok:
    """Resume all agents, for admins. Messages that were held are delivered in their order.

    Agents that were not stopped are not changed. Turns that were aborted are not repeated.
    """
    await organizations.resume_agents(context.session, member)
    return Ok()


class OrganizationInviteRead(ResponseModel):
    """An invitation with the role and the rights of the new member."""

    id: UUID
    organization_id: UUID
    invited_email: str
    role: Role
    all_boards_read: bool
    all_boards_write: bool
    token: str | None = Field(
        default=None,
        description="The token to accept the invitation. Only returned when it is created.",
    )
    expires_at: Timestamp = Field(description="The end of its validity.")
    created_by_user_id: UUID | None
    accepted_by_user_id: UUID | None
    accepted_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class InviteAnswer(NamedTuple):
    """An invitation, and the token of a new one."""

    invite: Invite
    token: str | None = None


encode_invite = build_encoder(OrganizationInviteRead, "invite", token="token")  # noqa: S106


class OrganizationInviteAccept(RequestModel):
    """The token of an invitation."""

    token: ShortText


@reads_only
async def list_invites(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[OrganizationInviteRead]]:
    """List the pending invitations without their tokens, newest first."""
    found = await organizations.list_pending_invites(context.source, member, query.paging)
    return encode_page(found, lambda invite: encode_invite(InviteAnswer(invite)))


@changes_decisions
@error_responses(409)
async def create_invite(
    context: RequestContext, member: Member, body: InviteCreate
) -> Encoded[OrganizationInviteRead]:
    """Invite a person by e-mail address. The invitation is valid for 14 days.

    A second invitation to the same address replaces the first, with a new token.
    """
    created = await organizations.create_invite(context.session, member, body)
    return Encoded(encode_invite(InviteAnswer(*created)))


@changes_decisions
@error_responses(404, 409)
async def renew_invite(
    context: RequestContext, member: Member, invite_id: UUID
) -> Encoded[OrganizationInviteRead]:
    """Replace a pending invitation by an equal one, to show its link again.

    It has a new id, a new token and a new end, and the old token ends.
    """
    renewed = await organizations.renew_invite(context.session, member, invite_id)
    return Encoded(encode_invite(InviteAnswer(*renewed)))


@error_responses(404)
async def revoke_invite(
    context: RequestContext, member: Member, invite_id: UUID
) -> Encoded[OrganizationInviteRead]:
    """Revoke an invitation, and return it."""
    revoked = await organizations.revoke_invite(context.session, member, invite_id)
    return Encoded(encode_invite(InviteAnswer(revoked)))


@error_responses(403, 404)
async def accept_invite(
    context: RequestContext, body: OrganizationInviteAccept
) -> Encoded[OrganizationMemberRead]:
    """Accept an invitation to one's own e-mail address.

    An existing member keeps all rights, and receives the rights of the invitation in addition.
    """
    accepted = await organizations.accept_invite(context.session, context.user, body.token)
    return _encode_member(accepted)


ORGANIZATION = "/organizations/me"
MEMBERS = "/organizations/me/members"
MEMBER = "/organizations/me/members/{member_id}"
STOP = "/organizations/me/stop"
INVITES = "/organizations/me/invites"
INVITE = "/organizations/me/invites/{invite_id}"
TAGS = ["organizations"]

OPERATIONS = [
    Operation("POST", "/organizations", create_organization, USER, TAGS),
    Operation("GET", ORGANIZATION + "/list", list_organizations, USER, TAGS, active_membership),
    Operation("PATCH", ORGANIZATION + "/active", set_active_organization, USER, TAGS),
    Operation("GET", ORGANIZATION, get_active_organization, USER, TAGS, active_membership),
    Operation("DELETE", ORGANIZATION, delete_active_organization, USER, TAGS, owner_membership),
    Operation("GET", "/organizations/me/member", get_membership, USER, TAGS, active_membership),
    Operation("GET", MEMBERS, list_members, USER, TAGS, active_membership),
    Operation("GET", MEMBER, get_member, USER, TAGS, active_membership),
    Operation("PATCH", MEMBER, update_member, USER, TAGS, member_for_update),
    Operation("PUT", MEMBER + "/access", update_member_access, USER, TAGS, member_for_update),
    Operation("DELETE", MEMBER, remove_member, USER, TAGS, member_for_update),
    Operation("DELETE", MEMBER + "/sessions", end_member_sessions, USER, TAGS, member_for_update),
    Operation("GET", STOP, get_agent_stop, USER, TAGS, active_membership),
    Operation("POST", STOP, stop_agents, USER, TAGS, admin_membership),
    Operation("DELETE", STOP, resume_agents, USER, TAGS, admin_membership),
    Operation("GET", INVITES, list_invites, USER, TAGS, admin_membership),
    Operation("POST", INVITES, create_invite, USER, TAGS, admin_membership),
    Operation("POST", INVITE + "/links", renew_invite, USER, TAGS, admin_membership),
    Operation("DELETE", INVITE, revoke_invite, USER, TAGS, admin_membership),
    Operation("POST", "/organizations/invites/accept", accept_invite, USER, TAGS),
]
