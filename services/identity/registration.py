"""Register the first user of the installation, and users who were invited.

The first user is created by the first-run link or by the shared local token. Both mean the same
user: the first of them creates the row and the other completes it.
"""

from typing import Annotated

from pydantic import BeforeValidator, StringConstraints
from sqlalchemy import Delete, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import list_time_zone_names, now
from core.db.transactions import lock_name
from core.errors import Conflict, Invalid, NotFound
from core.fields import FieldKind, Fields, Label, NormalizedEmail, ShownName
from core.security.secrets import generate_token, hash_token
from core.text import N_
from models import ExternalIdentity, FirstRunLink, User
from services import audit, organizations, rows
from services.audit import AuditAction, AuditObject, NewAuditRecord

FIRST_USER_EXTERNAL_ID = "local-auth-user"


def find_time_zone(name: object) -> str | None:
    """Return the name of a time zone, or None for one that is unknown here."""
    return name if isinstance(name, str) and name in list_time_zone_names() else None


class AccountCreate(Fields):
    """The account of an invited user. What a name does not show could make it look like another."""

    name: Annotated[ShownName, Label(N_("Your name"), FieldKind.LINE)]
    timezone: Annotated[str | None, BeforeValidator(find_time_zone), Label(N_("Time zone"))] = None


class FirstOwnerCreate(AccountCreate):
    """The account of the first owner."""

    email: Annotated[
        str, StringConstraints(max_length=254), NormalizedEmail, Label(N_("E-mail"), FieldKind.LINE)
    ]


async def lock_registration(session: AsyncSession) -> None:
    """Serialize the creation of users and of the first-run link until the commit."""
    await lock_name(session, "mission control: newcomers")


async def lock_first_user(session: AsyncSession) -> User:
    """Lock the first user until the commit and return it; create it if necessary."""
    await lock_registration(session)
    query = (
        select(User)
        .where(User.clerk_user_id == FIRST_USER_EXTERNAL_ID)
        .with_for_update(key_share=True)
    )
    user = await session.scalar(query.execution_options(populate_existing=True))
    if user is None:
        user = rows.build_row(User, clerk_user_id=FIRST_USER_EXTERNAL_ID)
        session.add(user)
    return user


async def is_email_taken(session: AsyncSession, email: str, *, by_other_than: User) -> bool:
    """Return whether another user has this e-mail address."""
    others = select(User.id).where(
        func.lower(User.email) == func.lower(email), User.id != by_other_than.id
    )
    return await session.scalar(others) is not None


async def register_with_invite(
    session: AsyncSession, token: str, fields: AccountCreate, *, password_hash: str
) -> tuple[User, organizations.MemberDetail]:
    """Create a user for an invitation, and accept it.

    The address does not count as verified: the token came from those who invited, not from the
    mailbox. Raises NotFound if the invitation is invalid, and Conflict if the address has an
    account: that user signs in and accepts.
    """
    invite = await organizations.get_open_invite(session, token)
    email = invite.invited_email
    user = rows.build_row(User, name=fields.name, email=email, password_hash=password_hash)
    user.timezone = fields.timezone
    user.clerk_user_id = str(user.id)
    await lock_registration(session)
    if await is_email_taken(session, email, by_other_than=user):
        reason = N_("There is an account with this e-mail address. Sign in with it.")
        raise Conflict("email_taken", reason, field="email")
    session.add(user)
    await session.flush()
    created = _build_account_record(AuditAction.ACCOUNT_CREATED, user)
    return user, await organizations.accept_invite(session, user, token, [created])


async def create_first_run_link(session: AsyncSession) -> str | None:
    """Return a new secret for the link, or None if there is a first owner already.

    Earlier secrets become invalid.
    """
    await lock_registration(session)
    if not await _is_owner_missing(session):
        return None
    secret = generate_token("first")
    await session.execute(delete(FirstRunLink))
    session.add(FirstRunLink(secret_hash=hash_token(secret), created_at=now()))
    created = AuditObject("installation")
    action = AuditAction.FIRST_RUN_LINK_CREATED
    await audit.record_audit(session, [NewAuditRecord(action, created, organization_id=None)])
    return secret


async def is_first_run_open(session: AsyncSession, secret: str | None) -> bool:
    """Return whether this secret opens the first run; with None, whether it is still to come."""
    if not await _is_owner_missing(session):
        return False
    if secret is None:
        return True
    query = select(FirstRunLink.id).where(FirstRunLink.secret_hash == hash_token(secret))
    return await session.scalar(query.where(FirstRunLink.used_at.is_(None))) is not None


async def complete_first_run(
    session: AsyncSession, secret: str, fields: FirstOwnerCreate, *, password_hash: str
) -> User:
    """Consume the link, and return the first owner, who can sign in from now on.

    Of two concurrent calls the second fails. Raises NotFound if the link is invalid, and Invalid
    if somebody else has the address.
    """
    if not await is_first_run_open(session, secret):
        raise _first_run_over()
    await lock_registration(session)
    used = (
        update(FirstRunLink)
        .where(FirstRunLink.secret_hash == hash_token(secret), FirstRunLink.used_at.is_(None))
        .values(used_at=now())
    )
    if await session.scalar(used.returning(FirstRunLink.id)) is None:
        raise _first_run_over()
    user = await lock_first_user(session)
    if await is_email_taken(session, fields.email, by_other_than=user):
        reason = N_("Somebody else has this e-mail address.")
        raise Invalid("email_taken", reason, field="email")
    user.name, user.email, user.password_hash = fields.name, fields.email, password_hash
    user.timezone, user.updated_at = user.timezone or fields.timezone, now()
    await session.flush()
    created = _build_account_record(AuditAction.FIRST_OWNER_CREATED, user)
    await audit.record_audit(session, [created])
    return user


def _build_account_record(action: AuditAction, user: User) -> NewAuditRecord:
    created = AuditObject("user", user.id, user.display_name)
    after = {"email": user.email}
    return NewAuditRecord(action, created, organization_id=None, actor=user, after=after)


def reopen_first_run_statement(*, without: User) -> Delete:
    """Return the statement that allows a new first run if only this user can sign in."""
    by_password = exists().where(User.password_hash.is_not(None), User.id != without.id)
    by_provider = exists().where(ExternalIdentity.user_id != without.id)
    return delete(FirstRunLink).where(~by_password, ~by_provider)


async def _is_owner_missing(session: AsyncSession) -> bool:
    """Return whether nobody can sign in, and nobody ever could."""
    was_possible = or_(
        exists().where(FirstRunLink.used_at.is_not(None)),
        exists().where(User.password_hash.is_not(None)),
    )
    return not await session.scalar(select(was_possible))


def _first_run_over() -> NotFound:
    return NotFound(
        "setup_link_invalid", N_("This link has been used, or a newer one has been made.")
    )
