"""Read organizations, their members, and what their pages show of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ScalarSelect,
    Select,
    Uuid,
    bindparam,
    case,
    exists,
    func,
    select,
)

from core.clock import now
from core.db.reads import Query, Source, set_loaded_values
from core.errors import Forbidden, NotFound
from core.paging import Page, PageRows, Paging, build_page
from core.text import N_
from models import (
    Agent,
    Board,
    BoardAccess,
    CustomField,
    Event,
    EventType,
    Gateway,
    Member,
    Organization,
    Presence,
    Role,
    SignIn,
    Tag,
    User,
    WebhookEndpoint,
)
from services import counters


@dataclass(frozen=True)
class MemberDetail:
    """A membership with its user loaded, and the grants on single boards, oldest first."""

    member: Member
    board_access: list[BoardAccess] = field(default_factory=list)


@dataclass(frozen=True)
class EndedMembership:
    """How somebody else ended a membership of a user."""

    organization_name: str
    ended_by: User | None  # None if their account was deleted
    ended_at: datetime


async def list_members(source: Source, member: Member, paging: Paging) -> Page[MemberDetail]:
    """Return the members of the organization, by e-mail and name.

    Runs one statement, or two for a page after the last member.
    """
    ranks = {"first": paging.offset, "last": paging.offset + paging.limit}
    organization_id = member.organization_id
    rows, cursor = await MEMBERS_PAGE.fetch(
        source, paging, organization_id=organization_id, **ranks
    )
    if rows or not (paging.offset or paging.after):
        count = rows[0][-1] if rows else 0
    else:
        [(count,)] = await MEMBERS_TOTAL.fetch(source, organization_id=organization_id)
    return build_page(_group_by_member(rows), count, paging, cursor)


async def get_member(source: Source, member: Member, member_id: UUID) -> MemberDetail:
    """Return a member of the organization, for its admins and for that member.

    Raises NotFound and Forbidden.
    """
    parameters = {"organization_id": member.organization_id, "member_id": member_id}
    found = _group_by_member(await MEMBER.fetch(source, **parameters))
    if not found:
        raise member_not_found()
    if not (member.is_admin or member.id == member_id):
        raise Forbidden("admin_required", N_("Only an admin sees what other members may do."))
    return found[0]


def member_not_found() -> NotFound:
    """Build the error for a member that does not exist or that the caller may not see."""
    return NotFound("member_not_found", N_("There is no such member."))


def _group_by_member(rows: Sequence[Any]) -> list[MemberDetail]:
    found: dict[UUID, MemberDetail] = {}
    for member, user, access, *_ in rows:
        set_loaded_values(member, user=user)
        detail = found.setdefault(member.id, MemberDetail(member))
        if access is not None:
            detail.board_access.append(access)
    return list(found.values())


MEMBERS = (
    select(Member, User, BoardAccess)
    .join(User, User.id == Member.user_id)
    .outerjoin(BoardAccess, BoardAccess.organization_member_id == Member.id)
    .where(Member.organization_id == bindparam("organization_id"))
    .execution_options(populate_existing=True)
)
"""Selects the members of the organization `organization_id` for `_group_by_member`."""

MEMBER: Query[tuple[Any, ...]] = Query(
    MEMBERS.where(Member.id == bindparam("member_id")).order_by(
        BoardAccess.created_at, BoardAccess.id
    )
)
EMAIL = func.lower(User.email)
BY_EMAIL = (EMAIL, User.name, Member.id)
BY_EMAIL_WITHOUT_NULL = (
    EMAIL.is_(None),
    func.coalesce(EMAIL, ""),
    User.name.is_(None),
    func.coalesce(User.name, ""),
    Member.id,
)
"""The same order as BY_EMAIL, by values that cursors can have."""


def _rank_members(*conditions: ColumnElement[bool]) -> Select[UUID, Any]:
    return (
        select(Member.id, func.row_number().over(order_by=BY_EMAIL).label("rank"))
        .join(User, User.id == Member.user_id)
        .where(Member.organization_id == bindparam("organization_id"), *conditions)
    )


RANKED = _rank_members().cte("ranked")
TOTAL = select(func.count()).select_from(RANKED)


def _select_members_page(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    ranked = _rank_members(*conditions).cte("following") if conditions else RANKED
    return (
        MEMBERS.add_columns(TOTAL.scalar_subquery())
        .join(ranked, ranked.c.id == Member.id)
        .where(ranked.c.rank > bindparam("first"), ranked.c.rank <= bindparam("last"))
        .order_by(ranked.c.rank, BoardAccess.created_at, BoardAccess.id)
    )


MEMBERS_PAGE: PageRows[tuple[Any, ...]] = PageRows(
    _select_members_page, order=BY_EMAIL_WITHOUT_NULL
)
MEMBERS_TOTAL: Query[tuple[int]] = Query(TOTAL)


async def find_current_membership(source: Source, user: User) -> Member | None:
    """Return the user's membership in the organization they work in, with both of them loaded.

    None for a user without memberships.
    """
    return await CURRENT_MEMBERSHIP.first(source, user_id=user.id)


def current_membership_id_query() -> ScalarSelect[UUID]:
    """Return the query for the id of the current membership of the user `user_id`."""
    query = select(Member.id).join(Member.user).where(Member.user_id == bindparam("user_id"))
    return query.order_by(*CURRENT_FIRST).limit(1).scalar_subquery().correlate(None)


def current_membership_id_of_user() -> ScalarSelect[UUID]:
    """Return the query for the id of the current membership of a row of `User`."""
    query = select(Member.id).where(Member.user_id == User.id)
    return query.order_by(*CURRENT_FIRST).limit(1).scalar_subquery().correlate(User)


OLDEST_MEMBERSHIP_FIRST = (Member.created_at, Member.id)
CURRENT_FIRST = (
    func.coalesce(Member.organization_id == User.active_organization_id, False).desc(),
    *OLDEST_MEMBERSHIP_FIRST,
)


async def find_membership(source: Source, user: User, organization_id: UUID) -> Member | None:
    """Return the user's membership in an organization with both of them loaded, or None."""
    return await MEMBERSHIP.first(source, user_id=user.id, organization_id=organization_id)


async def list_memberships(source: Source, user: User) -> Sequence[Member]:
    """Return all memberships of a user, by the organizations' names."""
    return await MEMBERSHIPS_BY_NAME.fetch(source, user_id=user.id)


async def list_board_access(source: Source, member: Member) -> list[BoardAccess]:
    """Return the member's grants on single boards, oldest first."""
    return await BOARD_ACCESS.fetch(source, member_id=member.id)


BOARD_ACCESS: Query[BoardAccess] = Query(
    select(BoardAccess)
    .where(BoardAccess.organization_member_id == bindparam("member_id"))
    .order_by(BoardAccess.created_at, BoardAccess.id),
    lambda row: row[0],
)


def build_membership(row: tuple[Member, Organization, User]) -> Member:
    """Return a membership with its organization and its user loaded."""
    member, organization, user = row
    set_loaded_values(member, organization=organization, user=user)
    return member


MEMBERSHIPS = (
    select(Member, Organization, User)
    .join(Member.organization)
    .join(Member.user)
    .where(Member.user_id == bindparam("user_id"))
    .execution_options(populate_existing=True)
)
"""Selects the memberships of the user `user_id` for `build_membership`."""

CURRENT_MEMBERSHIP = Query(
    MEMBERSHIPS.where(Member.id == current_membership_id_query()),
    build_membership,
)
MEMBERSHIP = Query(
    MEMBERSHIPS.where(Organization.id == bindparam("organization_id")), build_membership
)
MEMBERSHIPS_BY_NAME = Query(
    MEMBERSHIPS.order_by(func.lower(Organization.name), Member.id), build_membership
)


async def find_ended_membership(source: Source, user: User) -> EndedMembership | None:
    """Return the membership that somebody ended last; None if the user has left one since.

    Only removals of the last 30 days count. Events are deleted with their organization.
    So a removal from a deleted one is not found, and neither is the user's time in an organization
    that they joined after the removal and that was deleted.
    """
    since = now() - timedelta(days=30)
    found = await LAST_REMOVAL.first(source, removed_id=str(user.id), since=since)
    has_left = found is not None and found.ended_by is not None and found.ended_by.id == user.id
    return None if has_left else found


async def find_unread_removal(source: Source, user: User) -> EndedMembership | None:
    """Return the removal that moved a user to another organization, until a page has named it.

    It is None if the user has joined the organization again.
    """
    event_id = user.unread_removal_event_id
    return await REMOVAL.first(source, event_id=event_id, user_id=user.id) if event_id else None


def _build_ended_membership(row: Sequence[Any]) -> EndedMembership:
    """Build it with the name that the organization had; older events have not stored it."""
    event, name, remover = row
    return EndedMembership(event.data.get("organization") or name, remover, event.created_at)


REMOVALS = (
    select(Event, Organization.name, User)
    .join(Organization, Organization.id == Event.organization_id)
    .outerjoin(User, User.id == Event.user_id)
    .where(Event.type == EventType.MEMBER_REMOVED)
)
IS_MEMBER_AGAIN = exists().where(
    Member.user_id == bindparam("user_id"), Member.organization_id == Event.organization_id
)
REMOVAL = Query(
    REMOVALS.where(Event.id == bindparam("event_id"), ~IS_MEMBER_AGAIN), _build_ended_membership
)
LAST_REMOVAL = Query(
    REMOVALS.where(
        Event.created_at > bindparam("since"),
        Event.data["user_id"].astext == bindparam("removed_id"),
    )
    .order_by(Event.created_at.desc(), Event.seq.desc())
    .limit(1),
    _build_ended_membership,
)


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


async def list_board_names(
    source: Source, member: Member, ids: Collection[UUID]
) -> Mapping[UUID, str]:
    """Return the names of boards of the organization by their ids, by name.

    The boards are those of an invitation or a membership that the member may see.
    """
    if not ids:
        return {}
    rows = await BOARD_NAMES.fetch(
        source, organization_id=member.organization_id, board_ids=list(ids)
    )
    return dict(rows)


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
BOARD_NAMES: Query[tuple[UUID, str]] = Query(
    select(Board.id, Board.name)
    .where(
        Board.organization_id == ORGANIZATION_ID,
        Board.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid))),
    )
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
    OrganizationContents._make,
)
SECTIONS: Query[SectionCounts] = Query(
    select(_count(Member), _count(Tag), _count(CustomField), _count(WebhookEndpoint)),
    SectionCounts._make,
)
