"""Change the profile of a user, and delete an account with all personal data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints
from sqlalchemy import bindparam, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, RecentSignInRequired
from core.fields import Description, FieldKind, Label, Patch, ShortText
from core.text import N_, to_one_line
from models import (
    Agent,
    Board,
    Event,
    EventOrigin,
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
from services import events, messages, organizations, rows
from services.audit import (
    AccountChange,
    AuditAction,
    AuditObject,
    NewAuditRecord,
    record_account_changes,
)
from services.events import NewEvent
from services.identity.registration import find_time_zone, reopen_first_run_statement

PERSONAL_EVENT_TYPES = (
    EventType.MEMBER_JOINED,
    EventType.MEMBER_UPDATED,
    EventType.MEMBER_REMOVED,
    EventType.MEMBER_PASSWORD_LINKED,
    EventType.MEMBER_PASSWORD_CHANGED,
    EventType.INVITE_CREATED,
    EventType.INVITE_REVOKED,
)
"""The events that contain the name or the address of a user."""


@dataclass(frozen=True)
class MembershipSummary:
    """An organization that a user belongs to, and how many other members and owners it has."""

    organization: Organization
    others: int  # members besides the user
    other_owners: int
    is_owner: bool
    has_boards: bool

    @property
    def needs_owner(self) -> bool:
        """Whether the organization would keep members but have no owner without the user."""
        return self.is_owner and self.others > 0 and not self.other_owners


async def delete_account(
    session: AsyncSession, user: User, *, may_delete_boards: bool = True
) -> None:
    """Delete a user with all personal data: sign-ins, tokens, memberships, and own organizations.

    Organizations without other members are deleted with everything in them. For a request with a
    token, they must not have boards: raises RecentSignInRequired. Content in other organizations
    stays, without the name of the user. Raises Conflict with the organizations that would be left
    without an owner (C25), and if others have left an organization at the same time.
    """
    expected_ids = _list_own(await list_membership_summaries(session, user))
    await organizations.lock_organization_contents(session, expected_ids, user_id=user.id)
    locked = await organizations.lock_user(session, user)
    memberships = await _lock_memberships(session, locked)
    if ownerless := [one.organization for one in memberships if one.needs_owner]:
        reason = N_("Make somebody else an owner first, or delete the organization: %(names)s.")
        details = [{"id": str(one.id), "name": one.name} for one in ownerless]
        names = [one.name for one in ownerless]
        raise Conflict("last_owner", reason, organizations=details, names=names)
    own_ids = _list_own(memberships)
    if not set(own_ids) <= set(expected_ids):
        reason = N_("You are the only member of an organization now. Check what is deleted.")
        raise Conflict("only_member", reason)
    records: list[NewAuditRecord] = []
    if own_ids:
        if not may_delete_boards and any(one.has_boards for one in memberships if not one.others):
            raise RecentSignInRequired
        records += await organizations.erase_organizations(session, own_ids)
    await session.execute(delete(Member).where(Member.user_id == user.id))
    await organizations.ACCESS_LOSS.run(session, organizations.AccessLoss(user.id, by=None))
    ended = await organizations.end_invites(session, None, Invite.created_by_user_id == user.id)
    await _delete_user(session, locked)
    shared_ids = [one.organization.id for one in memberships if one.others]
    await _record_departures(session, locked, shared_ids, records, ended)


def _list_own(memberships: Sequence[MembershipSummary]) -> list[UUID]:
    """Return the organizations without other members."""
    return [one.organization.id for one in memberships if not one.others]


async def list_membership_summaries(source: Source, user: User) -> Sequence[MembershipSummary]:
    """Return a summary of each organization of a user: what happens to it with the account."""
    return await MEMBERSHIP_SUMMARIES.fetch(source, user_id=user.id)


async def _lock_memberships(session: AsyncSession, user: User) -> Sequence[MembershipSummary]:
    """Lock the organizations of a user in order of id, and return a summary of each."""
    own_ids = select(Member.organization_id).where(Member.user_id == user.id)
    query = select(Organization.id).where(Organization.id.in_(own_ids)).order_by(Organization.id)
    await session.execute(query.with_for_update(key_share=True))
    return await list_membership_summaries(session, user)


OWN = aliased(Member)
IS_OTHER = Member.user_id != OWN.user_id
MEMBERSHIP_SUMMARIES: Query[MembershipSummary] = Query(
    select(
        Organization,
        func.count().filter(IS_OTHER),
        func.count().filter(IS_OTHER, Member.role == Role.OWNER),
        func.bool_or(OWN.role == Role.OWNER),
        exists().where(Board.organization_id == Organization.id),
    )
    .join(OWN, OWN.organization_id == Organization.id)
    .join(Member, Member.organization_id == Organization.id)
    .where(OWN.user_id == bindparam("user_id"))
    .group_by(Organization.id)
    .order_by(Organization.id),
    lambda row: MembershipSummary(*row),
)


async def _delete_user(session: AsyncSession, user: User) -> None:
    """Delete a user, and remove name and address from the rows that stay, in one statement."""
    mentions_user = [Event.data["user_id"].astext == str(user.id)]
    if user.email:
        mentions_user.append(Event.data["email"].astext == user.email.lower())
    anonymized = Event.data.op("-")("name").op("-")("email")
    statements = {
        "events": update(Event)
        .where(Event.type.in_(PERSONAL_EVENT_TYPES), or_(*mentions_user))
        .values(data=anonymized),
        "origins": update(EventOrigin)
        .where(EventOrigin.actor_id == user.id)
        .values(actor_name=None, credential_id=None, address=None),
        "invites": delete(Invite).where(Invite.accepted_by_user_id == user.id),
        "notes": update(Note).where(Note.user_id == user.id).values(source=None),
        "group_notes": update(GroupNote).where(GroupNote.user_id == user.id).values(source=None),
        "pauses": update(Agent)
        .where(Agent.hold["values"]["user_id"].astext == str(user.id))
        .values(hold=messages.build_pause(None)),
        "responses": delete(IdempotencyKey).where(IdempotencyKey.caller_id == user.id),
        "first_run": reopen_first_run_statement(without=user),
    }
    deletion = delete(User).where(User.id == user.id)
    await session.execute(deletion.add_cte(*[one.cte(name) for name, one in statements.items()]))


async def _record_departures(
    session: AsyncSession,
    user: User,
    organization_ids: Sequence[UUID],
    records: Sequence[NewAuditRecord],
    ended: Sequence[NewEvent],
) -> None:
    """Record in the remaining organizations that a member has left, identified only by id.

    `records` are those of the organizations that were deleted with the account, `ended` the events
    of the user's invitations.
    """
    data = {"user_id": str(user.id)}
    departures = [
        NewEvent(EventType.MEMBER_REMOVED, None, organization_id=id, data=data)
        for id in organization_ids
    ]
    deleted = AuditObject("user", user.id)
    account = NewAuditRecord(AuditAction.ACCOUNT_DELETED, deleted, organization_id=None)
    await events.record_events(session, [*ended, *departures], [*records, account])


VisibleName = Annotated[ShortText, AfterValidator(to_one_line)]
"""A name without what is not drawn, with which it could look like another one."""


class UserUpdate(Patch):
    """Changes of the user's own profile; null empties a field."""

    may_be_empty = True

    name: Annotated[VisibleName | None, Label(N_("Name"), FieldKind.LINE)] = None
    preferred_name: Annotated[VisibleName | None, Label(N_("Preferred name"), FieldKind.LINE)] = (
        None
    )
    pronouns: Annotated[VisibleName | None, Label(N_("Pronouns"), FieldKind.LINE)] = None
    timezone: Annotated[ShortText | None, Label(N_("Time zone"))] = None
    notes: Annotated[Description | None, Label(N_("Notes"), FieldKind.TEXT)] = None
    context: Annotated[Description | None, Label(N_("Context"), FieldKind.TEXT)] = None


class ProfileUpdate(UserUpdate):
    """Changes of the profile on pages, which have languages."""

    language: Annotated[
        Annotated[str, StringConstraints(max_length=20)] | None, Label(N_("Language"))
    ] = None


async def update_profile(session: AsyncSession, user: User, fields: UserUpdate) -> User:
    """Change the given fields of a user's profile.

    Another displayed name is recorded in all organizations of the user, because members and
    earlier records are recognized by it.
    """
    locked = await organizations.lock_user(session, user)
    former_name = locked.display_name
    await rows.update_row(session, locked, fields.changes())
    if locked.display_name != former_name:
        renamed = AccountChange(
            AuditAction.ACCOUNT_RENAMED,
            AuditObject("user", locked.id, locked.display_name),
            before={"name": former_name},
            after={"name": locked.display_name},
        )
        await record_account_changes(session, locked, [renamed])
    return locked


async def save_first_time_zone(session: AsyncSession, user: User, name: str) -> None:
    """Set the time zone of a user who has none. An unknown one changes nothing."""
    if zone := find_time_zone(name):
        has_none = func.coalesce(User.timezone, "") == ""
        statement = update(User).where(User.id == user.id, has_none)
        statement = statement.values(timezone=zone, updated_at=now())
        await session.execute(statement.execution_options(synchronize_session=False))


async def overwrite_profile(session: AsyncSession, user: User, fields: UserUpdate) -> None:
    """Set the given fields of a user's profile without reading it first."""
    if changed := fields.changes():
        statement = update(User).where(User.id == user.id).values(**changed, updated_at=now())
        await session.execute(statement.execution_options(synchronize_session=False))
