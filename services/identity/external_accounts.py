"""Sign in through an OpenID Connect provider: pending sign-ins, accounts there, and their users.

Issuer and subject identify the user. An e-mail address only helps to find an existing user, and
only if it is verified: see docs/decisions/oidc.md.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from core.clock import now
from core.errors import Conflict, Forbidden, NotFound, Unauthorized
from core.security.secrets import hash_token, secrets_equal
from core.text import N_, is_email, is_storable
from models import ExternalIdentity, PendingSignIn, User, new_id
from services import audit, organizations, rows
from services.audit import AccountChange, AuditAction, AuditObject
from services.identity.registration import (
    FIRST_USER_EXTERNAL_ID,
    find_time_zone,
    is_first_run_open,
    lock_registration,
)

AGAIN_PREFIX = "again."  # of the state, if a signed-in user has to authenticate again
AUTHORIZATION_LIFETIME = timedelta(minutes=10)

MAX_TIMESTAMP = 253_402_300_799  # seconds: the end of the year 9999

Claims = Mapping[str, Any]


def must_authenticate_again(state: str) -> bool:
    """Return whether a sign-in with this state was started for a user who is signed in."""
    return state.startswith(AGAIN_PREFIX)


@dataclass(frozen=True)
class AuthorizationRequest:
    """The secrets of one sign-in; `code_verifier` is sent to the provider after the callback."""

    state: str
    nonce: str
    code_verifier: str

    @classmethod
    def generate(cls, *, again: bool = False) -> "AuthorizationRequest":
        """Create one with random values; with `again` the user has to authenticate again.

        The hash of the state is stored, so nobody can add or remove the prefix.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(f"{AGAIN_PREFIX if again else ''}{state}", nonce, verifier)


async def save_authorization_request(
    session: AsyncSession, request: AuthorizationRequest, *, browser: str, next: str
) -> None:
    """Store a sign-in of the browser that has this cookie secret."""
    at = now()
    row = PendingSignIn(
        state_hash=hash_token(request.state),
        browser_hash=hash_token(browser),
        nonce=request.nonce,
        code_verifier=request.code_verifier,
        next=next,
        created_at=at,
        expires_at=at + AUTHORIZATION_LIFETIME,
    )
    session.add(row)
    await session.flush()


async def consume_authorization_request(
    session: AsyncSession, *, state: str, browser: str
) -> PendingSignIn:
    """Return the stored sign-in for a state and mark it as used.

    Raises NotFound for an unknown state, Forbidden in another browser, and Conflict if it was used
    already or has expired.
    """
    query = select(PendingSignIn).where(PendingSignIn.state_hash == hash_token(state))
    found = await session.scalar(query)
    if found is None:
        raise NotFound("sign_in_not_found", N_("This sign-in is not known here. Start again."))
    if not secrets_equal(found.browser_hash, hash_token(browser)):
        reason = N_(
            "This sign-in was begun in another browser, or at another address. Start again."
        )
        raise Forbidden("sign_in_elsewhere", reason)
    if found.expires_at <= now():
        raise Conflict("sign_in_expired", N_("That took too long. Start again."))
    statement = update(PendingSignIn).where(
        PendingSignIn.id == found.id, PendingSignIn.used_at.is_(None)
    )
    if await session.scalar(statement.values(used_at=now()).returning(PendingSignIn.id)) is None:
        raise Conflict("sign_in_used", N_("This sign-in has been used already. Start again."))
    return found


@dataclass(frozen=True)
class ProviderProfile:
    """A user as an identity provider describes them; valid until `until`.

    `authenticated_at`: when the user proved to the provider who they are, if it reports that.
    `is_verified`: the provider has verified that the e-mail address belongs to the user.
    """

    issuer: str
    subject: str
    email: str | None
    is_verified: bool
    name: str | None
    until: datetime
    timezone: str | None = None
    authenticated_at: datetime | None = None


def parse_profile(claims: Claims) -> ProviderProfile:
    """Read the claims of a token whose signature has been checked.

    Raises Unauthorized if the subject is missing or unusable.
    """
    subject = claims["sub"]
    is_text = isinstance(subject, str) and subject.strip() and is_storable(subject)
    if not is_text or len(subject) > 255:  # OpenID Connect Core, 2
        raise Unauthorized
    email, is_verified = _email(claims)
    names = (claims.get("name"), claims.get("full_name"), _join_names(claims))
    usable = (one for one in names if isinstance(one, str) and one.strip() and is_storable(one))
    name = next(usable, None)
    return ProviderProfile(
        issuer=claims["iss"],
        subject=subject,
        email=email,
        is_verified=is_verified,
        name=name.strip()[:200] if name else None,  # as long as a name may be
        until=datetime.fromtimestamp(min(claims["exp"], MAX_TIMESTAMP), UTC),
        timezone=find_time_zone(claims.get("zoneinfo")),
        authenticated_at=_authentication_time(claims),
    )


def _authentication_time(claims: Claims) -> datetime | None:
    reported = claims.get("auth_time")
    if isinstance(reported, bool) or not isinstance(reported, int | float):
        return None
    if not 0 <= reported <= MAX_TIMESTAMP:
        return None
    return datetime.fromtimestamp(reported, UTC)


def _email(claims: Claims) -> tuple[str | None, bool]:
    """Return the first usable address, and whether it is verified.

    `email_verified` refers only to `email` (OpenID Connect Core, 5.1); some providers send it as a
    string.
    """
    for name in ("email", "email_address", "primary_email_address"):
        email = _normalize_email(claims.get(name))
        if email:
            is_verified = str(claims.get("email_verified")).lower() == "true"
            return email, is_verified and name == "email"
    return _email_from_list(claims)


def _email_from_list(claims: Claims) -> tuple[str | None, bool]:
    """Return the primary address of `email_addresses`, or else the first."""
    listed = claims.get("email_addresses")
    if not isinstance(listed, list) or not listed:
        return None, False
    primary = claims.get("primary_email_address_id")
    entries = [one if isinstance(one, dict) else {"email_address": one} for one in listed]
    chosen = next((one for one in entries if primary and one.get("id") == primary), entries[0])
    verification = chosen.get("verification")
    status = verification.get("status") if isinstance(verification, dict) else None
    email = _normalize_email(chosen.get("email_address") or chosen.get("email"))
    return email, bool(email) and status == "verified"


def _join_names(claims: Claims) -> str:
    first = claims.get("given_name") or claims.get("first_name")
    last = claims.get("family_name") or claims.get("last_name")
    return " ".join(part.strip() for part in (first, last) if isinstance(part, str))


def _normalize_email(value: object) -> str | None:
    email = value.strip().lower() if isinstance(value, str) else ""
    return email if is_email(email) and is_storable(email) else None


ACCOUNT_NOT_CONNECTED = "account_not_connected"


async def get_or_create_external_user(session: AsyncSession, profile: ProviderProfile) -> User:
    """Return the user for a provider's account, and create or update the user as needed.

    Raises Unauthorized while there is no first owner, and with the code ACCOUNT_NOT_CONNECTED if
    the address belongs to a user who signs in with a password.
    """
    user = await _find_connected_user(session, profile)
    if user is None:
        return await _register_external_user(session, profile)
    is_named = bool(profile.name and not user.name)
    is_located = bool(profile.timezone and not user.timezone)
    if is_named or is_located or _has_new_email(profile, user) or _verifies_email(profile, user):
        await _update_from_profile(session, user, profile)
    return user


async def connect_identity(
    session: AsyncSession, user: User, profile: ProviderProfile
) -> list[AccountChange]:
    """Connect a provider's account to a user, unless it is connected already.

    Returns the changes to record.
    """
    row = insert(ExternalIdentity).values(
        id=new_id(),
        user_id=user.id,
        issuer=profile.issuer,
        subject=profile.subject,
        created_at=now(),
    )
    row = row.on_conflict_do_nothing().returning(ExternalIdentity.id)
    is_new = await session.scalar(row) is not None
    if profile.is_verified and profile.email == user.email and user.email_verified_at is None:
        user.email_verified_at = user.updated_at = now()
    await session.flush()
    connected = AuditObject("user", user.id, user.display_name)
    after = {"issuer": profile.issuer, "subject": profile.subject}
    change = AccountChange(AuditAction.IDENTITY_CONNECTED, connected, after=after)
    return [change] if is_new else []


def can_merge_accounts(profile: ProviderProfile, owner: User, *, is_of_issuer: bool) -> bool:
    """Return whether the user with the same address is certainly the one who signs in.

    A user who has another account at the same provider is somebody else, who had the address
    before.
    """
    return profile.is_verified and owner.email_verified_at is not None and not is_of_issuer


def must_release_email(profile: ProviderProfile, owner: User, *, is_of_issuer: bool) -> bool:
    """Return whether an address is taken from its current user and given to the one who signs in.

    An unverified address that is not used to sign in with a password proves nothing.
    """
    is_certain = owner.email_verified_at is not None and not is_of_issuer
    return profile.is_verified and owner.password_hash is None and not is_certain


async def _find_connected_user(session: AsyncSession, profile: ProviderProfile) -> User | None:
    query = (
        select(ExternalIdentity)
        .join(ExternalIdentity.user)
        .options(contains_eager(ExternalIdentity.user))
        .where(
            ExternalIdentity.issuer == profile.issuer, ExternalIdentity.subject == profile.subject
        )
    )
    found = await session.scalar(query)
    return found.user if found else None


async def _register_external_user(session: AsyncSession, profile: ProviderProfile) -> User:
    """Find or create the user for an account that is new here, one at a time.

    Merge with the user who has the address, or create another user, whichever is safe.
    """
    await lock_registration(session)
    connected = await _find_connected_user(session, profile)
    if connected is not None:
        return connected
    if await is_first_run_open(session, None):
        reason = N_(
            "Nobody has signed in yet. The first owner uses the link that the server prints."
        )
        raise Unauthorized(reason, code="first_run_pending")
    owner = await _lock_email_owner(session, profile.email)
    if owner is None:
        return await _create_user(session, profile, email=profile.email)
    is_of_issuer = await _has_identity_of_issuer(session, owner, profile.issuer)
    if can_merge_accounts(profile, owner, is_of_issuer=is_of_issuer):
        changes = await connect_identity(session, owner, profile)
        await audit.record_account_changes(session, owner, changes)
        return owner
    if must_release_email(profile, owner, is_of_issuer=is_of_issuer):
        await _remove_email(session, owner)
        return await _create_user(session, profile, email=profile.email)
    if profile.is_verified:
        reason = N_(
            "An account with this e-mail address signs in with a password. Sign in with it once, in"
            " this browser, and the two are connected."
        )
        raise Unauthorized(reason, code=ACCOUNT_NOT_CONNECTED)
    return await _create_user(session, profile, email=None)


async def _create_user(
    session: AsyncSession, profile: ProviderProfile, *, email: str | None
) -> User:
    user = rows.build_row(
        User,
        clerk_user_id=await _choose_external_id(session, profile),
        email=email,
        email_verified_at=now() if email and profile.is_verified else None,
        name=profile.name,
        timezone=profile.timezone,
    )
    session.add(user)
    await session.flush()
    changes = await connect_identity(session, user, profile)
    await audit.record_account_changes(session, user, changes)
    return user


async def _choose_external_id(session: AsyncSession, profile: ProviderProfile) -> str:
    """Return the id that the contract exposes: the subject, with the issuer if that is taken."""
    taken = select(exists().where(User.clerk_user_id == profile.subject))
    if profile.subject != FIRST_USER_EXTERNAL_ID and not await session.scalar(taken):
        return profile.subject
    return f"{profile.issuer}#{profile.subject}"


def _has_new_email(profile: ProviderProfile, user: User) -> bool:
    """Return whether the address should change; users who sign in with a password keep theirs."""
    may_change = profile.is_verified and user.password_hash is None
    is_new = profile.email is not None and profile.email != user.email
    return is_new and (may_change or not user.email)


def _verifies_email(profile: ProviderProfile, user: User) -> bool:
    return profile.is_verified and profile.email == user.email and user.email_verified_at is None


async def _update_from_profile(session: AsyncSession, user: User, profile: ProviderProfile) -> None:
    """Store what is new in a provider's profile; the address only if it is not taken."""
    has_new_email = _has_new_email(profile, user)
    if has_new_email:
        await lock_registration(session)
    locked = await organizations.lock_user(session, user)
    if has_new_email and await _claim_email(session, locked, profile):
        locked.email = profile.email
        locked.email_verified_at = None
    if _verifies_email(profile, locked):
        locked.email_verified_at = now()
    locked.name = locked.name or profile.name
    locked.timezone = locked.timezone or profile.timezone
    if session.is_modified(locked):
        locked.updated_at = now()
    await session.flush()


async def _claim_email(session: AsyncSession, user: User, profile: ProviderProfile) -> bool:
    """Return whether the address can be given to this user, after releasing it if necessary."""
    owner = await _lock_email_owner(session, profile.email)
    if owner is None or owner.id == user.id:
        return True
    is_of_issuer = await _has_identity_of_issuer(session, owner, profile.issuer)
    if not must_release_email(profile, owner, is_of_issuer=is_of_issuer):
        return False
    await _remove_email(session, owner)
    return True


async def _lock_email_owner(session: AsyncSession, email: str | None) -> User | None:
    """Lock and return the user who has an address, or return None."""
    if email is None:
        return None
    query = select(User).where(func.lower(User.email) == email).with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def _has_identity_of_issuer(session: AsyncSession, user: User, issuer: str) -> bool:
    connected = exists().where(
        ExternalIdentity.user_id == user.id, ExternalIdentity.issuer == issuer
    )
    return bool(await session.scalar(select(connected)))


async def _remove_email(session: AsyncSession, owner: User) -> None:
    owner.email = None
    owner.email_verified_at = None
    owner.updated_at = now()
    await session.flush()


async def save_identity_for_password(
    session: AsyncSession, pending: PendingSignIn, profile: ProviderProfile
) -> None:
    """Store a provider's account until the user with the same address enters their password."""
    statement = update(PendingSignIn).where(PendingSignIn.id == pending.id)
    await session.execute(
        statement.values(
            issuer=profile.issuer,
            subject=profile.subject,
            email=profile.email,
            expires_at=now() + AUTHORIZATION_LIFETIME,
        )
    )


async def connect_pending_identities(session: AsyncSession, user: User, *, browser: str) -> None:
    """Connect the accounts stored for this browser to the user who has just signed in by password.

    Only accounts with the same address are connected, because browsers may be shared.
    """
    statement = (
        delete(PendingSignIn)
        .where(
            PendingSignIn.browser_hash == hash_token(browser),
            PendingSignIn.subject.is_not(None),
            PendingSignIn.email == func.lower(user.email),
            PendingSignIn.expires_at > now(),
        )
        .returning(PendingSignIn)
    )
    changes: list[AccountChange] = []
    for pending in (await session.scalars(statement)).all():
        assert pending.issuer
        assert pending.subject
        # only accounts with a verified address are stored
        profile = ProviderProfile(
            pending.issuer, pending.subject, pending.email, is_verified=True, name=None, until=now()
        )
        changes += await connect_identity(session, user, profile)
    await audit.record_account_changes(session, user, changes)
