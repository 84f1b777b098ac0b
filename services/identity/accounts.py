"""Change the profile of a user, and delete an account with all personal data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, RecentSignInRequired
from core.text import N_, to_one_line
from core.validation import MAX_NAME_LENGTH, FieldCheck, optional, text_of_length, validate_fields
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
from services import events, messages, organizations
from services.audit import (
    AccountChange,
    AuditAction,
    AuditObject,
    NewAuditRecord,
    record_account_changes,
)
from services.events import NewEvent
from services.identity.registration import reopen_first_run_statement

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


async def delete_account(
    session: AsyncSession, user: User, *, may_delete_boards: bool = True
) -> None:
    """Delete a user with all personal data: sign-ins, tokens, memberships, and own organizations.

    Organizations without other members are deleted with everything in them. For a request with a
    token, they must not have boards: raises RecentSignInRequired. Content in other organizations
    stays, without the name of the user. Raises Conflict with the organizations that would be left
    without an owner (contract, C25).
    """
    locked = await organizations.lock_user(session, user)
    await organizations.lock_user_with_boards(session, select(User.id).where(User.id == user.id))
    expected_ids = _list_own(await list_membership_summaries(session, locked))
    if expected_ids:
        await organizations.lock_organization_contents(session, expected_ids)
    memberships = await _lock_memberships(session, locked)
    check_organizations_keep_owner(memberships)
    own_ids = _list_own(memberships)
    records: list[NewAuditRecord] = []
    if own_ids:
        if not may_delete_boards and any(one.has_boards for one in memberships if not one.others):
            raise RecentSignInRequired
        if left_ids := set(own_ids).difference(expected_ids):  # by the others meanwhile
            await organizations.lock_organization_contents(session, left_ids)
        records += await organizations.erase_organizations(session, own_ids)
    await session.execute(delete(Member).where(Member.user_id == user.id))
    await organizations.ACCESS_LOSS.run(session, organizations.AccessLoss(user.id, by=None))
    await _delete_user(session, locked)
    shared_ids = [one.organization.id for one in memberships if one.others]
    await _record_departures(session, locked, shared_ids, records)


def _list_own(memberships: Sequence[MembershipSummary]) -> list[UUID]:
    """Return the organizations without other members."""
    return [one.organization.id for one in memberships if not one.others]


def _is_open_invite_of(user: User) -> ColumnElement[bool]:
    """Match the open invitations that a user has created: they end with the account."""
    return (Invite.created_by_user_id == user.id) & Invite.accepted_at.is_(None)


def check_organizations_keep_owner(memberships: Sequence[MembershipSummary]) -> None:
    """Raise Conflict with the organizations that would keep members but have no owner."""
    ownerless = [
        one.organization
        for one in memberships
        if one.is_owner and one.others and not one.other_owners
    ]
    if ownerless:
        reason = N_("Make somebody else an owner first, or delete the organization: %(names)s.")
        details = [{"id": str(one.id), "name": one.name} for one in ownerless]
        names = [one.name for one in ownerless]
        raise Conflict("last_owner", reason, organizations=details, names=names)


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
        "invites": delete(Invite).where(
            (Invite.accepted_by_user_id == user.id) | _is_open_invite_of(user)
        ),
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
) -> None:
    """Record in the remaining organizations that a member has left, identified only by id.

    `records` are those of the organizations that were deleted with the account.
    """
    data = {"user_id": str(user.id)}
    departures = [
        NewEvent(EventType.MEMBER_REMOVED, None, organization_id=id, data=data)
        for id in organization_ids
    ]
    deleted = AuditObject("user", user.id)
    account = NewAuditRecord(AuditAction.ACCOUNT_DELETED, deleted, organization_id=None)
    await events.record_events(session, departures, [*records, account])


MAX_TEXT_LENGTH = 20_000  # characters of notes and context
MAX_LANGUAGE_LENGTH = 20  # characters of the tag of a language


def _visible_name(value: object, field: str) -> str:
    """Check a name; remove what is not drawn, with which a name could look like another one."""
    return to_one_line(text_of_length(MAX_NAME_LENGTH)(value, field))


PROFILE_FIELDS: Mapping[str, FieldCheck] = {
    "name": optional(_visible_name),
    "preferred_name": optional(_visible_name),
    "pronouns": optional(_visible_name),
    "timezone": optional(text_of_length(MAX_NAME_LENGTH)),
    "language": optional(text_of_length(MAX_LANGUAGE_LENGTH)),
    "notes": optional(text_of_length(MAX_TEXT_LENGTH)),
    "context": optional(text_of_length(MAX_TEXT_LENGTH)),
}
"""The fields that users can set in their profile; all are optional (contract, 3.2)."""


async def update_profile(session: AsyncSession, user: User, changes: Mapping[str, object]) -> User:
    """Change fields of a user's profile. Only the keys that are present count.

    Another displayed name is recorded in all organizations of the user, because members and
    earlier records are recognized by it. Raises Invalid with the field.
    """
    values = validate_fields(PROFILE_FIELDS, changes)
    locked = await organizations.lock_user(session, user)
    former_name = locked.display_name
    changed = {name: value for name, value in values.items() if value != getattr(locked, name)}
    for name, value in changed.items():
        setattr(locked, name, value)
    if changed:
        locked.updated_at = now()
    if locked.display_name != former_name:
        renamed = AccountChange(
            AuditAction.ACCOUNT_RENAMED,
            AuditObject("user", locked.id, locked.display_name),
            before={"name": former_name},
            after={"name": locked.display_name},
        )
        await record_account_changes(session, locked, [renamed])
    return locked


async def overwrite_profile(
    session: AsyncSession, user: User, changes: Mapping[str, object]
) -> None:
    """Set fields of a user's profile without reading it first. Raises Invalid."""
    changed = validate_fields(PROFILE_FIELDS, changes)
    if changed:
        statement = update(User).where(User.id == user.id).values(**changed, updated_at=now())
        await session.execute(statement.execution_options(synchronize_session=False))
