"""Invitations to an organization (contract, people-and-boards 3.3)."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.endpoints.members import (
    OrganizationBoardAccessSpec,
    OrganizationMemberRead,
    RequestRole,
    build_rights,
    encode_member,
)
from api.framework.dependencies import admin_membership
from api.framework.fields import (
    MAX_IDS,
    PageQuery,
    RequestModel,
    ResponseModel,
    ShortText,
    Timestamp,
)
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Invite, Member, Role
from services import organizations
from services.organizations import InviteDraft


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


def _build_invite_fields(invite: Invite, token: str | None = None) -> dict[str, Any]:
    """Return the fields of an OrganizationInviteRead, in the order of the model."""
    return {
        "id": json_id(invite.id),
        "organization_id": json_id(invite.organization_id),
        "invited_email": invite.invited_email,
        "role": invite.role,
        "all_boards_read": invite.all_boards_read,
        "all_boards_write": invite.all_boards_write,
        "token": token,
        "expires_at": json_time(invite.expires_at),
        "created_by_user_id": json_id(invite.created_by_user_id),
        "accepted_by_user_id": json_id(invite.accepted_by_user_id),
        "accepted_at": json_time(invite.accepted_at),
        "created_at": json_time(invite.created_at),
        "updated_at": json_time(invite.updated_at),
    }


class OrganizationInviteCreate(RequestModel):
    """A new invitation. No e-mail is sent: pass on the token yourself."""

    example = {"invited_email": "robin@example.com", "role": "member", "all_boards_read": True}

    invited_email: ShortText
    role: RequestRole = Role.MEMBER
    all_boards_read: bool = False
    all_boards_write: bool = False
    board_access: list[OrganizationBoardAccessSpec] = Field(
        default=[],
        max_length=MAX_IDS,
        description="Rights on single boards. They apply only if both other fields are false.",
    )

    @property
    def draft(self) -> InviteDraft:
        """The invitation as a value of the services."""
        rights = build_rights(self.all_boards_read, self.all_boards_write, self.board_access)
        return InviteDraft(self.invited_email, self.role, rights)


class OrganizationInviteAccept(RequestModel):
    """The token of an invitation."""

    token: ShortText


@reads_only
async def list_invites(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[OrganizationInviteRead]]:
    """List the pending invitations without their tokens, newest first."""
    found = await organizations.list_pending_invites(context.source, member, query.paging)
    return encode_page(found, _build_invite_fields)


@changes_decisions
@error_responses(409)
async def create_invite(
    context: RequestContext, member: Member, body: OrganizationInviteCreate
) -> Encoded[OrganizationInviteRead]:
    """Invite a person by e-mail address. The invitation is valid for 14 days.

    A second invitation to the same address replaces the first, with a new token.
    """
    created = await organizations.create_invite(context.session, member, body.draft)
    return Encoded(_build_invite_fields(*created))


@changes_decisions
@error_responses(404, 409)
async def renew_invite(
    context: RequestContext, member: Member, invite_id: UUID
) -> Encoded[OrganizationInviteRead]:
    """Replace a pending invitation by an equal one, to show its link again.

    It has a new id, a new token and a new end, and the old token ends.
    """
    renewed = await organizations.renew_invite(context.session, member, invite_id)
    return Encoded(_build_invite_fields(*renewed))


@error_responses(404)
async def revoke_invite(
    context: RequestContext, member: Member, invite_id: UUID
) -> Encoded[OrganizationInviteRead]:
    """Revoke an invitation, and return it."""
    revoked = await organizations.revoke_invite(context.session, member, invite_id)
    return Encoded(_build_invite_fields(revoked))


@error_responses(403, 404)
async def accept_invite(
    context: RequestContext, body: OrganizationInviteAccept
) -> Encoded[OrganizationMemberRead]:
    """Accept an invitation to one's own e-mail address.

    An existing member keeps all rights, and receives the rights of the invitation in addition.
    """
    accepted = await organizations.accept_invite(context.session, context.user, body.token)
    return encode_member(accepted)


INVITES = "/organizations/me/invites"
INVITE = "/organizations/me/invites/{invite_id}"
TAGS = ["organizations"]

OPERATIONS = [
    Operation("GET", INVITES, list_invites, USER, TAGS, admin_membership),
    Operation("POST", INVITES, create_invite, USER, TAGS, admin_membership),
    Operation("POST", INVITE + "/links", renew_invite, USER, TAGS, admin_membership),
    Operation("DELETE", INVITE, revoke_invite, USER, TAGS, admin_membership),
    Operation("POST", "/organizations/invites/accept", accept_invite, USER, TAGS),
]
