"""The user that a provider's account belongs to: by issuer and subject, or by a safe address."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Unauthorized
from models import ExternalIdentity, FirstRunLink, PendingSignIn, User, new_id
from services import identity
from services.identity import AuthorizationRequest, ProviderProfile
from services.identity.external_accounts import can_merge_accounts, must_release_email
from tests.support.people_rows import make_user
from tests.support.world import World

NORA = ProviderProfile(
    issuer="https://id.example.com",
    subject="nora",
    email="nora@example.com",
    is_verified=True,
    name="Nora",
    until=now() + timedelta(hours=1),
)


@pytest.fixture
async def session(session: AsyncSession) -> AsyncSession:
    """A session of an installation that has a first owner."""
    session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    await session.flush()
    return session


async def create_user(session: AsyncSession, **fields: Any) -> User:
    user = make_user("Nora", **fields)
    session.add(user)
    await session.flush()
    return user


@pytest.mark.parametrize(
    ("is_verified", "holder", "is_of_issuer", "joins", "gives_up"),
    [
        (True, {"email_verified_at": now()}, False, True, False),
        (True, {"email_verified_at": now()}, True, False, True),
        (True, {"email_verified_at": now(), "password_hash": "x"}, False, True, False),
        (True, {"email_verified_at": now(), "password_hash": "x"}, True, False, False),
        (True, {}, False, False, True),
        (True, {"password_hash": "x"}, False, False, False),
        (False, {"email_verified_at": now()}, False, False, False),
        (False, {}, False, False, False),
        (False, {"password_hash": "x"}, False, False, False),
    ],
)
def test_when_an_address_merges_or_moves_between_accounts(
    is_verified: bool, holder: dict[str, Any], is_of_issuer: bool, joins: bool, gives_up: bool
) -> None:
    profile, other_user = replace(NORA, is_verified=is_verified), User(**holder)
    assert can_merge_accounts(profile, other_user, is_of_issuer=is_of_issuer) is joins
    assert must_release_email(profile, other_user, is_of_issuer=is_of_issuer) is gives_up


async def test_an_address_verified_on_both_sides_merges_the_accounts(session: AsyncSession) -> None:
    before = await create_user(session, email_verified_at=now())
    assert await identity.get_or_create_external_user(session, NORA) is before
    assert await identity.get_or_create_external_user(session, replace(NORA, email=None)) is before


async def test_a_reassigned_address_does_not_give_access_to_the_account(
    session: AsyncSession,
) -> None:
    """The issuer distinguishes the two: the address has been assigned to another user."""
    before = await identity.get_or_create_external_user(session, NORA)
    after = await identity.get_or_create_external_user(
        session, replace(NORA, subject="the new nora")
    )
    assert after is not before
    assert (before.email, before.email_verified_at) == (None, None)
    assert after.email == "nora@example.com"
    assert await identity.get_or_create_external_user(session, replace(NORA, email=None)) is before


async def test_the_same_subject_of_another_issuer_is_another_user(
    session: AsyncSession,
) -> None:
    one = await identity.get_or_create_external_user(session, NORA)
    other = replace(NORA, issuer="https://other.example.com", email=None)
    assert await identity.get_or_create_external_user(session, other) is not one


async def test_an_unverified_address_is_released_to_its_verified_owner(
    session: AsyncSession,
) -> None:
    squatter = await create_user(session)
    nora = await identity.get_or_create_external_user(session, NORA)
    assert nora is not squatter
    assert (squatter.email, nora.email) == (None, "nora@example.com")


@pytest.mark.parametrize(
    ("claimed", "saved"),
    [("Asia/Tokyo", "Asia/Tokyo"), ("../etc/passwd", None), (["Asia/Tokyo"], None), (7, None)],
)
async def test_the_first_time_zone_is_that_of_the_provider(
    session: AsyncSession, claimed: object, saved: str | None
) -> None:
    claims = {"iss": NORA.issuer, "sub": "nora", "exp": NORA.until.timestamp()}
    located = identity.parse_profile(claims | {"zoneinfo": claimed})
    assert (await identity.get_or_create_external_user(session, located)).timezone == saved
    nora = await identity.get_or_create_external_user(session, replace(NORA, subject="new"))
    assert nora.timezone is None
    located = replace(located, subject="new")
    assert (await identity.get_or_create_external_user(session, located)).timezone == saved
    nora.timezone = "Europe/Vienna"
    await identity.get_or_create_external_user(session, located)
    assert nora.timezone == "Europe/Vienna"


async def test_users_with_a_password_keep_their_address(session: AsyncSession) -> None:
    """They sign in with it, so only they can change it."""
    nora = await identity.get_or_create_external_user(session, NORA)
    nora.password_hash = "x"
    await identity.get_or_create_external_user(session, replace(NORA, email="novak@example.com"))
    assert nora.email == "nora@example.com"


async def test_an_address_change_takes_none_used_to_sign_in(
    session: AsyncSession, world: World
) -> None:
    nora = await identity.get_or_create_external_user(session, NORA)
    world.alice.password_hash = "x"
    await session.merge(world.alice)
    await identity.get_or_create_external_user(session, replace(NORA, email="alice@example.com"))
    assert nora.email == "nora@example.com"


async def test_an_address_is_marked_as_verified_later(session: AsyncSession) -> None:
    nora = await identity.get_or_create_external_user(session, replace(NORA, is_verified=False))
    assert nora.email == "nora@example.com"
    assert nora.email_verified_at is None
    again = await identity.get_or_create_external_user(session, NORA)
    assert again.email_verified_at


async def test_no_external_user_registers_before_the_first_owner(session: AsyncSession) -> None:
    await session.execute(delete(FirstRunLink))
    with pytest.raises(Unauthorized) as rejected:
        await identity.get_or_create_external_user(session, NORA)
    assert rejected.value.code == "first_run_pending"
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def save_pending(
    session: AsyncSession, profile: ProviderProfile, browser: str
) -> PendingSignIn:
    """Store an account until the password is entered in the browser."""
    leaving = AuthorizationRequest.generate()
    await identity.save_authorization_request(session, leaving, browser=browser, next="/")
    pending = await identity.consume_authorization_request(
        session, state=leaving.state, browser=browser
    )
    await identity.save_identity_for_password(session, pending, profile)
    return pending


async def test_a_pending_account_is_connected_once_in_its_browser(
    session: AsyncSession,
) -> None:
    nora = await create_user(session, password_hash="x")
    await save_pending(session, NORA, "her browser")
    await identity.connect_pending_identities(session, nora, browser="another")
    assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0
    await identity.connect_pending_identities(session, nora, browser="her browser")
    assert await identity.get_or_create_external_user(session, NORA) is nora
    assert nora.email_verified_at
    assert await session.scalar(select(func.count()).select_from(PendingSignIn)) == 0


async def test_a_pending_account_expires(session: AsyncSession) -> None:
    nora = await create_user(session, password_hash="x")
    pending = await save_pending(session, NORA, "her browser")
    await session.refresh(pending)
    pending.expires_at = now()
    await session.flush()
    await identity.connect_pending_identities(session, nora, browser="her browser")
    assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0
    await identity.delete_expired_credentials(session)
    assert await session.scalar(select(func.count()).select_from(PendingSignIn)) == 0


async def test_a_pending_account_connected_meanwhile_is_not_reassigned(
    session: AsyncSession,
) -> None:
    nora = await create_user(session, password_hash="x")
    owner = make_user("Olga")
    session.add(owner)
    await session.flush()
    await save_pending(session, NORA, "her browser")
    foreign = ExternalIdentity(
        id=new_id(),
        user_id=owner.id,
        issuer=NORA.issuer,
        subject=NORA.subject,
        created_at=now(),
    )
    session.add(foreign)
    await session.flush()
    await identity.connect_pending_identities(session, nora, browser="her browser")
    assert await identity.get_or_create_external_user(session, NORA) is owner


async def test_stored_sign_ins_contain_no_usable_secret(session: AsyncSession) -> None:
    """A reader of the table learns neither the state nor the browser's secret."""
    leaving = AuthorizationRequest.generate()
    await identity.save_authorization_request(
        session, leaving, browser="the browser's secret", next="/"
    )
    stored = await session.scalar(select(PendingSignIn))
    assert stored
    texts = [value for value in vars(stored).values() if isinstance(value, str)]
    assert leaving.state not in texts
    assert "the browser's secret" not in texts
