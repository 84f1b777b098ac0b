"""Invitations, as JSON (contract, people-and-boards 3.3)."""

from uuid import UUID

from pydantic import Field

from api.fields import MOST_IDS, Answer, Body, Moment, Paged, Short
from api.members import BoardAccessSpec, GivenRole, OrganizationMemberRead, rights_of
from api.operations import Call, may_answer
from kit.paging import Page
from models import Member, Role
from services import organizations
from services.organizations import InviteDraft


class OrganizationInviteRead(Answer):
    """An invitation: to whom, and what they will be and may do."""

    id: UUID
    organization_id: UUID
    invited_email: str
    role: Role
    all_boards_read: bool
    all_boards_write: bool
    token: str | None = Field(
        default=None,
        description="With this they come in. Only the answer to who invites them has it.",
    )
    expires_at: Moment = Field(description="Until when it can be accepted.")
    created_by_user_id: UUID | None
    accepted_by_user_id: UUID | None
    accepted_at: Moment | None
    created_at: Moment
    updated_at: Moment


class OrganizationInviteCreate(Body):
    """An invitation to be. No mail is sent: pass the token on yourself."""

    example = {"invited_email": "robin@example.com", "role": "member", "all_boards_read": True}

    invited_email: Short
    role: GivenRole = Role.MEMBER
    all_boards_read: bool = False
    all_boards_write: bool = False
    board_access: list[BoardAccessSpec] = Field(
        default=[],
        max_length=MOST_IDS,
        description="Rights on single boards. They count only if both of the others are false.",
    )

    @property
    def draft(self) -> InviteDraft:
        """The same, as services take it."""
        rights = rights_of(self.all_boards_read, self.all_boards_write, self.board_access)
        return InviteDraft(self.invited_email, self.role, rights)


class OrganizationInviteAccept(Body):
    """The token of an invitation."""

    token: Short


async def list_invites(call: Call, member: Member, query: Paged) -> Page[OrganizationInviteRead]:
    """List the invitations that nobody has accepted, newest first, without their tokens."""
    found = await organizations.pending_invites(call.session, member, query.paging)
    return found.map(OrganizationInviteRead.model_validate)


@may_answer(409)
async def create_invite(
    call: Call, member: Member, body: OrganizationInviteCreate
) -> OrganizationInviteRead:
    """Invite somebody by e-mail address. They have 14 days to accept.

    Inviting an address again replaces its invitation: there is a new token, and the old is dead.
    """
    made, token = await organizations.invite(call.session, member, body.draft)
    read = OrganizationInviteRead.model_validate(made)
    read.token = token
    return read


@may_answer(404)
async def revoke_invite(call: Call, member: Member, invite_id: UUID) -> OrganizationInviteRead:
    """Withdraw an invitation, and return what it was."""
    revoked = await organizations.revoke_invite(call.session, member, invite_id)
    return OrganizationInviteRead.model_validate(revoked)


@may_answer(403, 404)
async def accept_invite(call: Call, body: OrganizationInviteAccept) -> OrganizationMemberRead:
    """Accept an invitation that is for one's own e-mail address.

    Whoever is a member already keeps all rights, and gets those of the invitation besides.
    """
    accepted = await organizations.accept_invite(call.session, call.user, body.token)
    return OrganizationMemberRead.of(accepted)
