"""Commands for organizations: create, rename, switch and delete them, and first memberships."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Source, require_transaction
from core.errors import NotFound
from core.fields import FieldKind, Fields, Label, ShownName
from core.text import N_
from models import EventType, Gateway, Invite, Member, Organization, Role, User
from services import audit, desired_state, events, rows
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.hooks import Hook
from services.organizations.invites import accept_oldest_invite, end_invites
from services.organizations.locks import (
    lock_organization_as_admin,
    lock_organization_contents,
    lock_organization_row,
    lock_user,
)
from services.organizations.queries import OLDEST_MEMBERSHIP_FIRST, find_current_membership
from services.organizations.rules import (
    check_name_is_free,
    check_recent_sign_in,
    require_admin,
    require_owner,
)

PERSONAL_ORGANIZATION_NAME = "Personal"  # for a user without an organization who calls the API

ORGANIZATION_CREATION: Hook[Organization, None] = Hook()
"""An organization was inserted. What the handler adds to the session is inserted with its owner."""


class OrganizationCreate(Fields):
    """A new organization."""

    example = {"name": "Tern"}

    name: Annotated[ShownName, Label(N_("Name"), FieldKind.LINE)]


async def create_organization(
    session: AsyncSession, user: User, fields: OrganizationCreate
) -> Organization:
    """Create an organization that the user owns and works in from now on.

    Raises Conflict if they belong to one of that name already.
    """
    locked = await lock_user(session, user)
    check_name_is_free(fields.name, await _list_organizations(session, locked))
    organization = rows.build_row(Organization, name=fields.name)
    session.add(organization)
    await session.flush()
    session.add(_build_owner(organization, locked))
    await ORGANIZATION_CREATION.run(session, organization)
    locked.active_organization_id = organization.id
    await session.flush()
    created = EventType.ORGANIZATION_CREATED
    data: dict[str, object] = {"name": fields.name}
    await events.record_event(session, created, locked, organization_id=organization.id, data=data)
    return organization


def _build_owner(organization: Organization, user: User) -> Member:
    return rows.build_row(
        Member,
        organization=organization,
        user=user,
        role=Role.OWNER,
        all_boards_read=True,
        all_boards_write=True,
    )


async def rename_organization(
    session: AsyncSession, member: Member, fields: OrganizationCreate
) -> Organization:
    """Rename the member's organization.

    Raises Forbidden unless they are an admin, and Conflict if they belong to another organization
    of that name.
    """
    require_admin(member)
    locked = await lock_user(session, member.user)
    organization = await lock_organization_row(session, member.organization_id)
    others = [
        one for one in await _list_organizations(session, locked) if one.id != organization.id
    ]
    check_name_is_free(fields.name, others)
    if changes := await rows.update_row(session, organization, dict(fields)):
        data: dict[str, object] = {"name": organization.name, "changes": changes}
        updated = EventType.ORGANIZATION_UPDATED
        await events.record_event(
            session, updated, locked, organization_id=organization.id, data=data
        )
    return organization


async def set_only_owners_appoint_admins(
    session: AsyncSession, member: Member, is_on: bool, *, signed_in_at: datetime | None = None
) -> None:
    """Decide whether only owners appoint admins in the member's organization.

    If so, the open invitations of admins by admins end. Raises Forbidden unless the member owns it
    and has signed in recently: see `check_recent_sign_in`.
    """
    locked = await lock_organization_as_admin(session, member)
    require_owner(locked)
    check_recent_sign_in(signed_in_at, locked.role)
    organization = locked.organization
    if organization.only_owners_appoint_admins == is_on:
        return
    organization.only_owners_appoint_admins = is_on
    organization.updated_at = now()
    ended: list[events.NewEvent] = []
    if is_on:
        admins = select(Member.user_id).where(
            Member.organization_id == organization.id, Member.role == Role.ADMIN
        )
        is_ended = and_(
            Invite.organization_id == organization.id,
            Invite.created_by_user_id.in_(admins),
            Invite.role == Role.ADMIN,
        )
        ended = await end_invites(session, locked.user, is_ended)
    updated = events.NewEvent(
        EventType.ORGANIZATION_RULES_UPDATED,
        locked.user,
        organization_id=organization.id,
        data={
            "name": organization.name,
            "changes": {"only_owners_appoint_admins": [not is_on, is_on]},
        },
    )
    await events.record_events(session, [*ended, updated])


async def switch_organization(
    session: AsyncSession, user: User, organization_id: UUID
) -> Organization:
    """Set the organization that the user works in. Raises NotFound unless they belong to it.

    There is no difference between another's organization and one that never existed.
    """
    locked = await lock_user(session, user)
    for organization in await _list_organizations(session, locked):
        if organization.id == organization_id:
            locked.active_organization_id = organization.id
            return organization
    raise NotFound("organization_not_found", N_("You do not belong to this organization."))


async def _list_organizations(session: AsyncSession, user: User) -> list[Organization]:
    """Return the organizations that a user belongs to."""
    query = select(Organization).join(Member, Member.organization_id == Organization.id)
    return list((await session.scalars(query.where(Member.user_id == user.id))).all())


async def delete_organization(
    session: AsyncSession, member: Member, *, signed_in_at: datetime | None = None
) -> None:
    """Delete the member's organization with its contents.

    Raises Forbidden unless they own it and have signed in recently: see `check_recent_sign_in`.

    Members who worked in it work in their oldest other organization from their next request on. No
    event is recorded, since events are deleted as well. Its agents are removed from their gateways
    afterwards.
    """
    await lock_organization_contents(session, [member.organization_id])
    query = (
        select(Member)
        .join(Member.organization)
        .where(Member.id == member.id)
        .with_for_update(of=[Organization, Member])
        .execution_options(populate_existing=True)
    )
    locked = await session.scalar(query)
    if locked is None:
        raise NotFound("organization_not_found", N_("You do not belong to this organization."))
    require_owner(locked)
    check_recent_sign_in(signed_in_at, locked.role)
    records = await erase_organizations(session, [member.organization_id])
    await audit.record_audit(session, records)


async def erase_organizations(
    session: AsyncSession, organization_ids: Collection[UUID]
) -> list[NewAuditRecord]:
    """Delete organizations whose contents are locked; the database cascades to their contents.

    Their users then work in the oldest other organization that they are in. Rows for the removal of
    our agents from their gateways are kept. Returns the audit records, which the caller adds at the
    end.
    """
    cleanup = desired_state.build_cleanup_insert(Gateway.organization_id.in_(organization_ids))
    statement = delete(Organization).where(Organization.id.in_(organization_ids))
    statement = statement.returning(Organization.id, Organization.name)
    oldest = (
        select(Member.organization_id)
        .where(Member.user_id == User.id, Member.organization_id.not_in(organization_ids))
        .order_by(*OLDEST_MEMBERSHIP_FIRST)
    )
    moved = (
        update(User)
        .where(User.active_organization_id.in_(organization_ids))
        .values(active_organization_id=oldest.limit(1).scalar_subquery())
        .returning(User.id)
    )
    deleted = await session.execute(statement.add_cte(moved.cte("moved"), cleanup.cte("departing")))
    return audit.build_deletion_records({id: name for id, name in deleted})


async def get_or_create_active_membership(source: Source, user: User) -> Member:
    """Return the user's membership in the organization they work in, with both of them loaded.

    If they are no longer a member there, their oldest membership is used. A user without any joins
    the organization that invited them first, if their address is verified, or gets one of their
    own. Raises WriteRequired.
    """
    member = await find_or_accept_membership(source, user)
    if member is None:
        session = require_transaction(source)
        fields = OrganizationCreate.parse({"name": PERSONAL_ORGANIZATION_NAME})
        await create_organization(session, user, fields)
        member = await find_current_membership(session, user)
    assert member is not None
    return member


def has_default_name(organization: Organization) -> bool:
    """Return whether an organization has the name that a call of the API gives to new ones."""
    return organization.name == PERSONAL_ORGANIZATION_NAME


async def find_or_accept_membership(source: Source, user: User) -> Member | None:
    """Return the same, but None if the user has no membership and no invitation."""
    member = await find_current_membership(source, user)
    if member is not None:
        return member
    session = require_transaction(source)
    locked = await lock_user(session, user)
    member = await find_current_membership(session, locked)
    if member is None and await accept_oldest_invite(session, locked):
        member = await find_current_membership(session, locked)
    return member


async def mark_removal_read(session: AsyncSession, user: User) -> None:
    """Record that a page has named the unread removal of a user; not that of a later one."""
    is_read = User.unread_removal_event_id == user.unread_removal_event_id
    read = update(User).where(User.id == user.id, is_read).values(unread_removal_event_id=None)
    await session.execute(read)


async def add_users_to_demo_organization(session: AsyncSession) -> None:
    """Make all users who can sign in owners of the demo organization, if there is one.

    Those without an organization work in it first.
    """
    organization = await session.scalar(select(Organization).where(Organization.is_demo))
    if organization is None:
        return
    member_ids = select(Member.user_id).where(Member.organization_id == organization.id)
    outsiders = select(User).where(User.password_hash.is_not(None), User.id.not_in(member_ids))
    for user in (await session.scalars(outsiders)).all():
        session.add(_build_owner(organization, user))
        user.active_organization_id = user.active_organization_id or organization.id
        record = NewAuditRecord(
            AuditAction.MEMBER_ADDED,
            AuditObject("member", user.id, user.display_name),
            organization_id=organization.id,
            after={"role": Role.OWNER},
        )
        await audit.record_audit(session, [record])
