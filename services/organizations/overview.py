"""What the pages of an organization show about its members, invitations and contents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source, choose_columns
from core.errors import NotFound
from core.text import N_
from models import (
    USER_NAME_COLUMNS,
    Agent,
    Board,
    CustomField,
    Gateway,
    Invite,
    InviteBoardAccess,
    Member,
    Presence,
    Role,
    SignIn,
    Tag,
    User,
    WebhookEndpoint,
)
from services import counters
from services.organizations.grants import AccessRights, BoardGrant
from services.organizations.invites import InviteDraft, create_invite
from services.organizations.locks import lock_organization_as_admin
from services.organizations.rules import require_admin


class OrganizationContents(NamedTuple):
    """How much is deleted with an organization."""

    boards: int
    tasks: int
    agents: int
    members: int
    gateways: int


class SectionCounts(NamedTuple):
    """How many objects the sections of an organization list."""

    people: int
    tags: int
    fields: int
    webhooks: int


@dataclass(frozen=True)
class InviteDetail:
    """An invitation, who created it, and its grants on single boards."""

    invite: Invite
    created_by: User | None = None
    board_access: list[InviteBoardAccess] = field(default_factory=list)

    def to_draft(self) -> InviteDraft:
        """Return what is needed to create the same invitation again."""
        invite = self.invite
        grants = [
            BoardGrant(one.board_id, one.can_read, one.can_write) for one in self.board_access
        ]
        rights = AccessRights(invite.all_boards_read, invite.all_boards_write, grants)
        return InviteDraft(invite.invited_email, invite.role, rights)


async def load_invite_details(source: Source, invites: Sequence[Invite]) -> list[InviteDetail]:
    """Return the same invitations, each with its creator and its grants."""
    details = {invite.id: InviteDetail(invite) for invite in invites}
    rows = await INVITE_DETAILS.fetch(source, invite_ids=list(details)) if details else []
    for invite_id, creator, access in rows:
        known = details[invite_id].board_access
        added = [*known, access] if access is not None else known
        details[invite_id] = InviteDetail(details[invite_id].invite, creator, added)
    return list(details.values())


async def renew_invite(
    session: AsyncSession,
    member: Member,
    invite_id: UUID,
    *,
    signed_in_at: datetime | None = None,
) -> tuple[Invite, str]:
    """Replace a pending invitation by an equal one with a new token and a new end.

    Raises NotFound, and what `create_invite` raises.
    """
    acting = await lock_organization_as_admin(session, member)
    query = select(Invite).where(
        Invite.id == invite_id,
        Invite.organization_id == acting.organization_id,
        Invite.accepted_at.is_(None),
    )
    invite = await session.scalar(query)
    if invite is None:
        raise NotFound("invite_not_found", N_("There is no such invitation."))
    [detail] = await load_invite_details(session, [invite])
    draft = detail.to_draft()
    return await create_invite(session, acting, draft, signed_in_at=signed_in_at, is_locked=True)


async def list_board_names(source: Source, member: Member) -> Mapping[UUID, str]:
    """Return the names of all boards of the organization, for its admins.

    Admins give access to each of them, also those without access of their own. Raises Forbidden.
    """
    require_admin(member)
    return dict(await BOARD_NAMES.fetch(source, organization_id=member.organization_id))


async def list_last_active(source: Source, members: Sequence[Member]) -> Mapping[UUID, datetime]:
    """Return when members were last active in their organization, by the id of the member.

    Sessions count only for users who work in this organization: another one learns nothing of them.
    """
    rows = await LAST_ACTIVE.fetch(source, member_ids=[member.id for member in members])
    return {id: at for id, at in rows if at is not None}


async def count_owners(source: Source, member: Member) -> int:
    """Return the number of owners of the organization of a member."""
    [(count,)] = await OWNERS.fetch(source, organization_id=member.organization_id)
    return count


async def count_contents(source: Source, member: Member) -> OrganizationContents:
    """Return how much the organization of a member contains."""
    counts = await CONTENTS.first(source, organization_id=member.organization_id)
    assert counts is not None
    return counts


async def count_sections(source: Source, member: Member) -> SectionCounts:
    """Return how many objects the sections of the member's organization list."""
    counts = await SECTIONS.first(source, organization_id=member.organization_id)
    assert counts is not None
    return counts


ORGANIZATION_ID: Any = bindparam("organization_id", type_=Uuid())

INVITE_DETAILS: Query[tuple[UUID, User | None, InviteBoardAccess | None]] = Query(
    choose_columns(
        select(Invite.id, User, InviteBoardAccess)
        .outerjoin(User, User.id == Invite.created_by_user_id)
        .outerjoin(InviteBoardAccess, InviteBoardAccess.organization_invite_id == Invite.id)
        .where(Invite.id == func.any(bindparam("invite_ids", type_=ARRAY(Uuid()))))
        .order_by(InviteBoardAccess.created_at, InviteBoardAccess.id),
        {User: USER_NAME_COLUMNS},
    )
)
BOARD_NAMES: Query[tuple[UUID, str]] = Query(
    select(Board.id, Board.name)
    .where(Board.organization_id == ORGANIZATION_ID)
    .order_by(func.lower(Board.name), Board.id)
)
SESSION_SEEN = (
    select(func.max(SignIn.last_seen_at)).where(SignIn.user_id == Member.user_id).scalar_subquery()
)
BOARD_SEEN = (
    select(func.max(Presence.seen_at))
    .join(Board, Board.id == Presence.board_id)
    .where(Presence.user_id == Member.user_id, Board.organization_id == Member.organization_id)
    .scalar_subquery()
)
WORKS_HERE = User.active_organization_id == Member.organization_id
LAST_ACTIVE: Query[tuple[UUID, datetime | None]] = Query(
    select(Member.id, func.greatest(case((WORKS_HERE, SESSION_SEEN)), BOARD_SEEN))
    .join(User, User.id == Member.user_id)
    .where(Member.id == func.any(bindparam("member_ids", type_=ARRAY(Uuid()))))
)


OWNERS: Query[tuple[int]] = Query(
    select(func.count()).where(Member.organization_id == ORGANIZATION_ID, Member.role == Role.OWNER)
)


Counted = Board | Agent | CustomField | Gateway | Member | Tag | WebhookEndpoint


def _count(model: type[Counted]) -> Any:
    rows = select(func.count()).where(model.organization_id == ORGANIZATION_ID)
    return rows.scalar_subquery()


CONTENTS: Query[OrganizationContents] = Query(
    select(
        _count(Board),
        counters.sum_counts(
            list(counters.TASK_COUNTS.values()),
            select(Board.id).where(Board.organization_id == ORGANIZATION_ID),
        ),
        _count(Agent),
        _count(Member),
        _count(Gateway),
    ),
    lambda row: OrganizationContents(*row),
)
SECTIONS: Query[SectionCounts] = Query(
    select(_count(Member), _count(Tag), _count(CustomField), _count(WebhookEndpoint)),
    lambda row: SectionCounts(*row),
)
