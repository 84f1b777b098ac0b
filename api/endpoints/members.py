"""Members and invitations of an organization (contract, people-and-boards 3.3)."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.framework.dependencies import active_membership, member_for_update
from api.framework.fields import (
    MAX_IDS,
    NOT_SENT,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import USER, Operation, changes_decisions, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Member, Role
from services import identity, organizations
from services.organizations import AccessRights, BoardGrant, LockedMember, MemberDetail


def _normalize_role(given: object) -> object:
    return given.strip().lower() if isinstance(given, str) else given


RequestRole = Annotated[Role, BeforeValidator(_normalize_role)]
"""A role in a request. Surrounding whitespace and case are ignored (contract, 1.12)."""


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


class OrganizationMemberRead(ResponseModel):
    """A membership: role and board rights."""

    id: UUID
    organization_id: UUID
    user_id: UUID
    role: Role
    all_boards_read: bool
    all_boards_write: bool
    created_at: Timestamp
    updated_at: Timestamp
    user: OrganizationUserRead | None
    board_access: list[OrganizationBoardAccessRead] = Field(
        default=[], description="Rights on single boards, of a member without rights on all boards."
    )


def _build_member_fields(detail: MemberDetail) -> dict[str, Any]:
    """Return the fields of an OrganizationMemberRead, in the order of the model."""
    member, user = detail.member, detail.member.user
    return {
        "id": json_id(member.id),
        "organization_id": json_id(member.organization_id),
        "user_id": json_id(member.user_id),
        "role": member.role,
        "all_boards_read": member.all_boards_read,
        "all_boards_write": member.all_boards_write,
        "created_at": json_time(member.created_at),
        "updated_at": json_time(member.updated_at),
        "user": {
            "id": json_id(user.id),
            "email": user.email,
            "name": user.name,
            "preferred_name": user.preferred_name,
        },
        "board_access": [
            {
                "id": json_id(access.id),
                "board_id": json_id(access.board_id),
                "can_read": access.can_read,
                "can_write": access.can_write,
                "created_at": json_time(access.created_at),
                "updated_at": json_time(access.updated_at),
            }
            for access in detail.board_access
        ],
    }


def encode_member(detail: MemberDetail) -> Encoded[OrganizationMemberRead]:
    return Encoded(_build_member_fields(detail))


class OrganizationBoardAccessSpec(RequestModel):
    """The rights on one board."""

    board_id: UUID
    can_read: bool = True
    can_write: bool = Field(
        default=False, description="The right to change a board includes the right to read it."
    )


class OrganizationMemberUpdate(PatchModel):
    """The new role of a member."""

    role: RequestRole = NOT_SENT


class OrganizationMemberAccessUpdate(RequestModel):
    """All board rights of a member. Rights that are left out are removed."""

    example = {"all_boards_read": True}

    all_boards_read: bool = False
    all_boards_write: bool = False
    board_access: list[OrganizationBoardAccessSpec] = Field(
        default=[],
        max_length=MAX_IDS,
        description="Rights on single boards. They apply only if both other fields are false.",
    )

    @property
    def rights(self) -> AccessRights:
        """The rights as a value of the services."""
        return build_rights(self.all_boards_read, self.all_boards_write, self.board_access)


def build_rights(
    reads: bool, writes: bool, boards: Sequence[OrganizationBoardAccessSpec]
) -> AccessRights:
    """Build the rights as a value of the services."""
    return AccessRights(reads, writes, [BoardGrant(**dict(board)) for board in boards])


@reads_only
async def get_membership(
    context: RequestContext, member: Member
) -> Encoded[OrganizationMemberRead]:
    """Return the user's own membership, with rights on single boards."""
    access = await organizations.list_board_access(context.source, member)
    return encode_member(MemberDetail(member, access))


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
    return encode_member(await organizations.get_member(context.source, member, member_id))


@changes_decisions
async def update_member(
    context: RequestContext, locked_member: LockedMember, body: OrganizationMemberUpdate
) -> Encoded[OrganizationMemberRead]:
    """Change a member's role.

    Only owners may make a member an owner or change an owner. Nobody can grant a role above their
    own, and one owner must remain.
    """
    role = body.changes().get("role", locked_member.member.role)
    return encode_member(
        await organizations.change_member_role(context.session, locked_member, role)
    )


@changes_decisions
async def update_member_access(
    context: RequestContext, locked_member: LockedMember, body: OrganizationMemberAccessUpdate
) -> Encoded[OrganizationMemberRead]:
    """Replace the board rights of a member. The role alone gives no rights on boards."""
    changed = await organizations.change_member_rights(context.session, locked_member, body.rights)
    return encode_member(changed)


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


MEMBERS = "/organizations/me/members"
MEMBER = "/organizations/me/members/{member_id}"
TAGS = ["organizations"]

OPERATIONS = [
    Operation("GET", "/organizations/me/member", get_membership, USER, TAGS, active_membership),
    Operation("GET", MEMBERS, list_members, USER, TAGS, active_membership),
    Operation("GET", MEMBER, get_member, USER, TAGS, active_membership),
    Operation("PATCH", MEMBER, update_member, USER, TAGS, member_for_update),
    Operation("PUT", MEMBER + "/access", update_member_access, USER, TAGS, member_for_update),
    Operation("DELETE", MEMBER, remove_member, USER, TAGS, member_for_update),
    Operation("DELETE", MEMBER + "/sessions", end_member_sessions, USER, TAGS, member_for_update),
]
