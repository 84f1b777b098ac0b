"""Leaving for good: an account goes with all that is somebody's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict
from models import (
    Event,
    EventType,
    GroupNote,
    IdempotencyKey,
    Invite,
    Member,
    Note,
    Organization,
    Role,
    User,
)
from services import events, identity, organizations, users
from services.events import Happened

PEOPLE = (
    EventType.MEMBER_JOINED,
    EventType.MEMBER_UPDATED,
    EventType.MEMBER_REMOVED,
    EventType.MEMBER_PASSWORD_LINKED,
    EventType.MEMBER_PASSWORD_CHANGED,
    EventType.INVITE_CREATED,
    EventType.INVITE_REVOKED,
)
"""The events that tell of a person by name or address."""


@dataclass(frozen=True)
class Place:
    """An organization that somebody belongs to, and who else does."""

    organization: Organization
    others: int  # members besides them
    other_owners: int
    is_owner: bool


async def close(session: AsyncSession, user: User) -> None:
    """Delete a person with all that is their own: sign-ins, tokens, memberships, and content.

    Organizations in which nobody else is go with everything in them. What they did elsewhere stays
    without their name. Raises Conflict with the organizations that would be without an owner
    (contract, C25).
    """
    held = await users.hold(session, user)
    places = await _places(session, held)
    check_nothing_is_left_without_owner(places)
    alone = [place.organization.id for place in places if not place.others]
    if alone:
        await organizations.hold_contents(session, alone)
        await organizations.erase(session, alone)
    await _forget(session, held)
    shared = [place.organization.id for place in places if place.others]
    await _record(session, held, shared)


def check_nothing_is_left_without_owner(places: Sequence[Place]) -> None:
    """Raise Conflict with the organizations that others would be left in without an owner."""
    left = [
        place.organization
        for place in places
        if place.is_owner and place.others and not place.other_owners
    ]
    if left:
        names = ", ".join(organization.name for organization in left)
        reason = f"Make somebody else an owner first, or delete the organization: {names}."
        orphans = [{"id": str(one.id), "name": one.name} for one in left]
        raise Conflict("last_owner", reason, organizations=orphans)


async def _places(session: AsyncSession, user: User) -> list[Place]:
    """Hold the person's organizations, in order of id, and say who else is in them."""
    mine = select(Member.organization_id).where(Member.user_id == user.id)
    held = (
        select(Organization)
        .where(Organization.id.in_(mine))
        .order_by(Organization.id)
        .with_for_update(key_share=True)
    )
    found = (await session.scalars(held)).all()
    is_other = Member.user_id != user.id
    counts = (
        select(
            Member.organization_id,
            func.count().filter(is_other),
            func.count().filter(is_other, Member.role == Role.OWNER),
            func.bool_or((Member.user_id == user.id) & (Member.role == Role.OWNER)),
        )
        .where(Member.organization_id.in_([one.id for one in found]))
        .group_by(Member.organization_id)
    )
    rows = {row[0]: row[1:] for row in await session.execute(counts)} if found else {}
    return [Place(one, *rows[one.id]) for one in found if one.id in rows]


async def _forget(session: AsyncSession, user: User) -> None:
    """Delete the person, and take their name and address out of what stays, in one statement."""
    of_them = [Event.data["user_id"].astext == str(user.id)]
    if user.email:
        of_them.append(Event.data["email"].astext == user.email.lower())
    nameless = Event.data.op("-")("name").op("-")("email")
    forgetting = {
        "events": update(Event).where(Event.type.in_(PEOPLE), or_(*of_them)).values(data=nameless),
        "invites": delete(Invite).where(Invite.accepted_by_user_id == user.id),
        "notes": update(Note).where(Note.user_id == user.id).values(source=None),
        "group_notes": update(GroupNote).where(GroupNote.user_id == user.id).values(source=None),
        "answers": delete(IdempotencyKey).where(IdempotencyKey.caller_id == user.id),
        "first_run": identity.reopening_first_run(without=user),
    }
    gone = delete(User).where(User.id == user.id)
    await session.execute(gone.add_cte(*[one.cte(name) for name, one in forgetting.items()]))


async def _record(session: AsyncSession, user: User, organization_ids: Sequence[UUID]) -> None:
    """Tell those who stay. Who has left is no more than an id."""
    data = {"user_id": str(user.id)}
    gone = [
        Happened(EventType.MEMBER_REMOVED, None, organization_id=id, data=data)
        for id in organization_ids
    ]
    if gone:
        await events.record_all(session, gone)
