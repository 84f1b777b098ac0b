"""Pending sign-ins through an OpenID provider, between redirect and callback."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, NotFound
from core.security.secrets import hash_token, secrets_equal
from core.text import N_
from models import PendingSignIn, User
from services import audit
from services.audit import AccountChange
from services.identity.external_accounts import ProviderProfile, connect_identity

AGAIN_PREFIX = "again."  # of the state, if a signed-in user has to authenticate again
AUTHORIZATION_LIFETIME = timedelta(minutes=10)


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
        raise NotFound("sign_in_unknown", N_("This sign-in is not known here. Start again."))
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
        changes += await connect_identity(session, user, _pending_profile(pending))
    await audit.record_account_changes(session, user, changes)


def _pending_profile(pending: PendingSignIn) -> ProviderProfile:
    """Return the profile of a stored account; only accounts with a verified address are stored."""
    assert pending.issuer
    assert pending.subject
    return ProviderProfile(
        pending.issuer, pending.subject, pending.email, is_verified=True, name=None, until=now()
    )
