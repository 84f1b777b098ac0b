"""The members of an organization, as JSON (contract, people-and-boards 3.3)."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.fields import MOST_IDS, UNSENT, Answer, Body, Changes, Moment, Ok, Paged
from api.operations import Call, may_answer
from kit.paging import Page
from models import Member, Role
from services import organizations
from services.organizations import Grant, HeldMember, MemberDetail, Rights


def _plain(given: object) -> object:
    return given.strip().lower() if isinstance(given, str) else given


GivenRole = Annotated[Role, BeforeValidator(_plain)]
"""A role in a request. Blanks around it and capitals don't matter (contract, 1.12)."""


class OrganizationUserRead(Answer):
    """The person behind a membership."""

    id: UUID
    email: str | None
    name: str | None
    preferred_name: str | None


class BoardAccessRead(Answer):
    """What a member may do on one board."""

    id: UUID
    board_id: UUID
    can_read: bool
    can_write: bool
    created_at: Moment
    updated_at: Moment


class OrganizationMemberRead(Answer):
    """A membership: the role, and the rights on boards."""

    id: UUID
    organization_id: UUID
    user_id: UUID
    role: Role
    all_boards_read: bool
    all_boards_write: bool
    created_at: Moment
    updated_at: Moment
    user: OrganizationUserRead | None
    board_access: list[BoardAccessRead] = Field(
        default=[], description="Rights on single boards, of whoever does not see all of them."
    )

    @classmethod
    def of(cls, detail: MemberDetail) -> "OrganizationMemberRead":
        """Make one of what the services know."""
        read = cls.model_validate(detail.member)
        read.board_access = [BoardAccessRead.model_validate(row) for row in detail.board_access]
        return read


class BoardAccessSpec(Body):
    """What somebody is to be allowed on one board."""

    board_id: UUID
    can_read: bool = True
    can_write: bool = Field(default=False, description="Who may change a board may read it.")


class OrganizationMemberUpdate(Changes):
    """What a member is to be."""

    role: GivenRole = UNSENT


class OrganizationMemberAccessUpdate(Body):
    """All that a member may do on boards from now on. What is left out is taken away."""

    example = {"all_boards_read": True}

    all_boards_read: bool = False
    all_boards_write: bool = False
    board_access: list[BoardAccessSpec] = Field(
        default=[],
        max_length=MOST_IDS,
        description="Rights on single boards. They count only if both of the others are false.",
    )

    @property
    def rights(self) -> Rights:
        """The same, as services take it."""
        return rights_of(self.all_boards_read, self.all_boards_write, self.board_access)


def rights_of(reads: bool, writes: bool, boards: Sequence[BoardAccessSpec]) -> Rights:
    """Make of what was sent what services take."""
    return Rights(reads, writes, [Grant(**dict(board)) for board in boards])


async def get_membership(call: Call, member: Member) -> OrganizationMemberRead:
    """Return the caller's own membership, with the rights on single boards."""
    rows = await organizations.own_access(call.session, member)
    return OrganizationMemberRead.of(MemberDetail(member, list(rows)))


async def list_members(call: Call, member: Member, query: Paged) -> Page[OrganizationMemberRead]:
    """List the members of the active organization, by e-mail address and name."""
    found = await organizations.members(call.session, member, query.paging)
    return found.map(OrganizationMemberRead.of)


@may_answer(403, 404)
async def get_member(call: Call, member: Member, member_id: UUID) -> OrganizationMemberRead:
    """Return a member of the active organization: any to its admins, and everybody themselves."""
    return OrganizationMemberRead.of(await organizations.member(call.session, member, member_id))


async def update_member(
    call: Call, held: HeldMember, body: OrganizationMemberUpdate
) -> OrganizationMemberRead:
    """Change a member's role.

    Only owners make owners, and change what owners are. Nobody gives a role above their own, and
    one owner stays.
    """
    role = body.changes().get("role", held.member.role)
    return OrganizationMemberRead.of(await organizations.change_role(call.session, held, role))


async def update_member_access(
    call: Call, held: HeldMember, body: OrganizationMemberAccessUpdate
) -> OrganizationMemberRead:
    """Replace all that a member may do on boards. The role by itself opens no board."""
    changed = await organizations.change_rights(call.session, held, body.rights)
    return OrganizationMemberRead.of(changed)


async def remove_member(call: Call, held: HeldMember) -> Ok:
    """Remove a member. Only owners remove owners, and nobody removes themselves."""
    await organizations.remove(call.session, held)
    return Ok()
