"""Sign-ins under way: from a browser that is sent to a provider until it comes back, once.

They are kept here and not in the browser, so that any process can take it back, and none twice.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Forbidden, NotFound
from kit.secrets import fingerprint, same
from models import PendingSignIn, User
from services.identity.claims import Profile
from services.identity.external import connect

LASTS = timedelta(minutes=10)


@dataclass(frozen=True)
class Departure:
    """What a browser takes along to the provider, and what is only told to the provider later."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "Departure":
        """Make one that nobody can guess."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


async def depart(session: AsyncSession, leaving: Departure, *, browser: str, next: str) -> None:
    """Note that a browser, known by the secret of its cookie, goes to sign in elsewhere."""
    at = now()
    row = PendingSignIn(
        state_hash=fingerprint(leaving.state),
        browser_hash=fingerprint(browser),
        nonce=leaving.nonce,
        code_verifier=leaving.verifier,
        next=next,
        created_at=at,
        expires_at=at + LASTS,
    )
    session.add(row)
    await session.flush()


async def come_back(session: AsyncSession, *, state: str, browser: str) -> PendingSignIn:
    """Return what was noted for a state, which is used up from then on.

    Raises NotFound for a state that we never gave, Forbidden in another browser, and Conflict for
    one that was used or is too old.
    """
    query = select(PendingSignIn).where(PendingSignIn.state_hash == fingerprint(state))
    found = await session.scalar(query)
    if found is None:
        raise NotFound("sign_in_unknown", "Nobody here has begun this sign-in. Start again.")
    if not same(found.browser_hash, fingerprint(browser)):
        reason = "This sign-in was begun in another browser, or at another address. Start again."
        raise Forbidden("sign_in_elsewhere", reason)
    if found.expires_at <= now():
        raise Conflict("sign_in_expired", "That took too long. Start again.")
    first = update(PendingSignIn).where(
        PendingSignIn.id == found.id, PendingSignIn.used_at.is_(None)
    )
    if await session.scalar(first.values(used_at=now()).returning(PendingSignIn.id)) is None:
        raise Conflict("sign_in_used", "This sign-in has been used already. Start again.")
    return found


async def wait_for_password(
    session: AsyncSession, pending: PendingSignIn, profile: Profile
) -> None:
    """Let an account wait for the password of whoever has its address here, for a while."""
    waiting = update(PendingSignIn).where(PendingSignIn.id == pending.id)
    await session.execute(
        waiting.values(
            issuer=profile.issuer,
            subject=profile.subject,
            email=profile.email,
            expires_at=now() + LASTS,
        )
    )


async def connect_waiting(session: AsyncSession, user: User, *, browser: str) -> None:
    """Connect the accounts that wait in this browser with whoever has just shown their password.

    Only an account with the same address is theirs: the browser may be shared.
    """
    waiting = (
        delete(PendingSignIn)
        .where(
            PendingSignIn.browser_hash == fingerprint(browser),
            PendingSignIn.subject.is_not(None),
            PendingSignIn.email == func.lower(user.email),
            PendingSignIn.expires_at > now(),
        )
        .returning(PendingSignIn)
    )
    for waited in (await session.scalars(waiting)).all():
        await connect(session, user, _proven(waited))


def _proven(waited: PendingSignIn) -> Profile:
    """Return what was proven of an account that waited: that the address is verified, too."""
    assert waited.issuer
    assert waited.subject
    return Profile(
        waited.issuer, waited.subject, waited.email, is_verified=True, name=None, until=now()
    )
