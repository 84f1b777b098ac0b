"""People who come in through a provider: whom its account belongs to, here.

The provider's name and its id for the person decide. An e-mail address only helps to find whoever
was here before, and only as far as somebody has made sure of it: see docs/decisions/oidc.md.
"""

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from kit.clock import now
from kit.errors import Unauthorized
from models import ExternalIdentity, User, new_id
from services import users
from services.identity.claims import Profile
from services.identity.first_run import first_run_open
from services.identity.newcomers import FIRST_USER, hold_newcomers

NOT_CONNECTED = "account_not_connected"


async def external_user(session: AsyncSession, profile: Profile) -> User:
    """Return the person whom a provider describes, made if they are new.

    Raises Unauthorized while the first owner has not come in, and, with the code NOT_CONNECTED,
    where an address is that of somebody here who signs in with a password.
    """
    user = await _known(session, profile)
    if user is None:
        return await _newcomer(session, profile)
    if _tells_news(profile, user):
        await _follow(session, user, profile)
    return user


async def connect(session: AsyncSession, user: User, profile: Profile) -> None:
    """Let a provider's account be this person's from now on, unless it is somebody's already."""
    row = insert(ExternalIdentity).values(
        id=new_id(),
        user_id=user.id,
        issuer=profile.issuer,
        subject=profile.subject,
        created_at=now(),
    )
    await session.execute(row.on_conflict_do_nothing())
    if profile.is_verified and profile.email == user.email and user.email_verified_at is None:
        user.email_verified_at = user.updated_at = now()
    await session.flush()


def can_join(profile: Profile, holder: User, *, is_of_issuer: bool) -> bool:
    """Say whether whoever has the address here is surely the person who comes in.

    Somebody whom the provider knows by another id already is another person, who had it before.
    """
    return profile.is_verified and holder.email_verified_at is not None and not is_of_issuer


def gives_up_email(profile: Profile, holder: User, *, is_of_issuer: bool) -> bool:
    """Say whether an address goes from whoever has it here to the person who comes in.

    What nobody has made sure of, and nobody signs in with, is no more than a note.
    """
    is_sure = holder.email_verified_at is not None and not is_of_issuer
    return profile.is_verified and holder.password_hash is None and not is_sure


async def _known(session: AsyncSession, profile: Profile) -> User | None:
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


async def _newcomer(session: AsyncSession, profile: Profile) -> User:
    """Find or make the person for an account that comes for the first time, one at a time."""
    await hold_newcomers(session)
    known = await _known(session, profile)
    if known is not None:
        return known
    if await first_run_open(session, None):
        reason = "Nobody has come in yet. The first owner uses the link that the server prints."
        raise Unauthorized(reason, code="first_run_pending")
    holder = await _holder(session, profile.email)
    if holder is None:
        return await _made(session, profile, email=profile.email)
    return await _beside(session, profile, holder)


async def _beside(session: AsyncSession, profile: Profile, holder: User) -> User:
    """Join whoever has the address here, or make another person: what is safe."""
    is_of_issuer = await _is_of_issuer(session, holder, profile.issuer)
    if can_join(profile, holder, is_of_issuer=is_of_issuer):
        await connect(session, holder, profile)
        return holder
    if gives_up_email(profile, holder, is_of_issuer=is_of_issuer):
        await _take_email(session, holder)
        return await _made(session, profile, email=profile.email)
    if profile.is_verified:
        raise _not_connected()
    return await _made(session, profile, email=None)


async def _made(session: AsyncSession, profile: Profile, *, email: str | None) -> User:
    at = now()
    user = User(
        id=new_id(),
        clerk_user_id=await _free_external_id(session, profile),
        email=email,
        email_verified_at=at if email and profile.is_verified else None,
        name=profile.name,
        created_at=at,
        updated_at=at,
    )
    session.add(user)
    await session.flush()
    await connect(session, user, profile)
    return user


async def _free_external_id(session: AsyncSession, profile: Profile) -> str:
    """Return the id that the contract shows: the subject, or more where that is taken."""
    taken = select(exists().where(User.clerk_user_id == profile.subject))
    if profile.subject != FIRST_USER and not await session.scalar(taken):
        return profile.subject
    return f"{profile.issuer}#{profile.subject}"


def _tells_news(profile: Profile, user: User) -> bool:
    """Say whether a provider tells something of a person that is not written here."""
    if profile.name and not user.name:
        return True
    return _has_new_email(profile, user) or _verifies(profile, user)


def _has_new_email(profile: Profile, user: User) -> bool:
    """Say whether the address should change: who signs in with a password here keeps theirs."""
    may_follow = profile.is_verified and user.password_hash is None
    is_new = profile.email is not None and profile.email != user.email
    return is_new and (may_follow or not user.email)


def _verifies(profile: Profile, user: User) -> bool:
    return profile.is_verified and profile.email == user.email and user.email_verified_at is None


async def _follow(session: AsyncSession, user: User, profile: Profile) -> None:
    """Write down what a provider tells anew; an address only where it can be theirs."""
    wants_email = _has_new_email(profile, user)
    if wants_email:
        await hold_newcomers(session)
    held = await users.hold(session, user)
    if wants_email and await _comes_free(session, held, profile):
        held.email = profile.email
        held.email_verified_at = None
    if _verifies(profile, held):
        held.email_verified_at = now()
    held.name = held.name or profile.name
    if session.is_modified(held):
        held.updated_at = now()
    await session.flush()


async def _comes_free(session: AsyncSession, user: User, profile: Profile) -> bool:
    """Say whether this person can have the address that they are told to have."""
    holder = await _holder(session, profile.email)
    if holder is None or holder.id == user.id:
        return True
    is_of_issuer = await _is_of_issuer(session, holder, profile.issuer)
    if not gives_up_email(profile, holder, is_of_issuer=is_of_issuer):
        return False
    await _take_email(session, holder)
    return True


async def _holder(session: AsyncSession, email: str | None) -> User | None:
    """Return whoever has an address here; nobody else changes them until the commit."""
    if email is None:
        return None
    query = select(User).where(func.lower(User.email) == email).with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def _is_of_issuer(session: AsyncSession, user: User, issuer: str) -> bool:
    known = exists().where(ExternalIdentity.user_id == user.id, ExternalIdentity.issuer == issuer)
    return bool(await session.scalar(select(known)))


async def _take_email(session: AsyncSession, holder: User) -> None:
    holder.email = None
    holder.email_verified_at = None
    holder.updated_at = now()
    await session.flush()


def _not_connected() -> Unauthorized:
    reason = (
        "Somebody with this e-mail address signs in with a password here. "
        "Sign in with it once, in this browser, and the two are connected."
    )
    return Unauthorized(reason, code=NOT_CONNECTED)
