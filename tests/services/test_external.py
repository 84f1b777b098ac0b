"""Whose a provider's account is: by its own id, and by an address only where that is safe."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Unauthorized
from models import ExternalIdentity, FirstRunLink, PendingSignIn, User, new_id
from services import identity
from services.identity import Departure, Profile
from services.identity.external import can_join, gives_up_email
from tests.world import World, a_user

NORA = Profile(
    issuer="https://id.example.com",
    subject="nora",
    email="nora@example.com",
    is_verified=True,
    name="Nora",
    until=now() + timedelta(hours=1),
)


@pytest.fixture
async def session(session: AsyncSession) -> AsyncSession:
    """A house in which the first owner has come in."""
    session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    await session.flush()
    return session


async def a_person(session: AsyncSession, **fields: Any) -> User:
    user = a_user("Nora", **fields)
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
def test_whose_an_address_is(
    is_verified: bool, holder: dict[str, Any], is_of_issuer: bool, joins: bool, gives_up: bool
) -> None:
    profile, somebody = replace(NORA, is_verified=is_verified), User(**holder)
    assert can_join(profile, somebody, is_of_issuer=is_of_issuer) is joins
    assert gives_up_email(profile, somebody, is_of_issuer=is_of_issuer) is gives_up


async def test_who_is_verified_on_both_sides_is_one_person(session: AsyncSession) -> None:
    before = await a_person(session, email_verified_at=now())
    assert await identity.external_user(session, NORA) is before
    assert await identity.external_user(session, replace(NORA, email=None)) is before


async def test_who_gets_an_address_that_was_anothers_does_not_get_their_account(
    session: AsyncSession,
) -> None:
    """The same issuer knows the two apart: the address has been given to somebody new."""
    before = await identity.external_user(session, NORA)
    after = await identity.external_user(session, replace(NORA, subject="the new nora"))
    assert after is not before
    assert (before.email, before.email_verified_at) == (None, None)
    assert after.email == "nora@example.com"
    assert await identity.external_user(session, replace(NORA, email=None)) is before


async def test_another_issuers_account_with_the_same_id_is_somebody_else(
    session: AsyncSession,
) -> None:
    one = await identity.external_user(session, NORA)
    other = replace(NORA, issuer="https://other.example.com", email=None)
    assert await identity.external_user(session, other) is not one


async def test_an_address_that_nobody_made_sure_of_goes_to_who_did(session: AsyncSession) -> None:
    squatter = await a_person(session)
    nora = await identity.external_user(session, NORA)
    assert nora is not squatter
    assert (squatter.email, nora.email) == (None, "nora@example.com")


async def test_who_has_a_password_keeps_their_address(session: AsyncSession) -> None:
    """It is what they sign in with: only they can change it."""
    nora = await identity.external_user(session, NORA)
    nora.password_hash = "x"
    await identity.external_user(session, replace(NORA, email="novak@example.com"))
    assert nora.email == "nora@example.com"


async def test_a_change_of_address_takes_none_from_who_signs_in_with_it(
    session: AsyncSession, world: World
) -> None:
    nora = await identity.external_user(session, NORA)
    world.alice.password_hash = "x"
    await session.merge(world.alice)
    await identity.external_user(session, replace(NORA, email="alice@example.com"))
    assert nora.email == "nora@example.com"


async def test_an_address_is_verified_when_that_is_told_later(session: AsyncSession) -> None:
    nora = await identity.external_user(session, replace(NORA, is_verified=False))
    assert nora.email == "nora@example.com"
    assert nora.email_verified_at is None
    again = await identity.external_user(session, NORA)
    assert again.email_verified_at


async def test_nobody_comes_before_the_first_owner(session: AsyncSession) -> None:
    await session.execute(delete(FirstRunLink))
    with pytest.raises(Unauthorized) as refused:
        await identity.external_user(session, NORA)
    assert refused.value.code == "first_run_pending"
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def waiting(session: AsyncSession, profile: Profile, browser: str) -> PendingSignIn:
    """Let an account wait for a password, in a browser."""
    leaving = Departure.new()
    await identity.depart(session, leaving, browser=browser, next="/")
    pending = await identity.come_back(session, state=leaving.state, browser=browser)
    await identity.wait_for_password(session, pending, profile)
    return pending


async def test_an_account_that_waits_is_connected_once_and_in_its_browser(
    session: AsyncSession,
) -> None:
    nora = await a_person(session, password_hash="x")
    await waiting(session, NORA, "her browser")
    await identity.connect_waiting(session, nora, browser="another")
    assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0
    await identity.connect_waiting(session, nora, browser="her browser")
    assert await identity.external_user(session, NORA) is nora
    assert nora.email_verified_at
    assert await session.scalar(select(func.count()).select_from(PendingSignIn)) == 0


async def test_an_account_does_not_wait_for_ever(session: AsyncSession) -> None:
    nora = await a_person(session, password_hash="x")
    pending = await waiting(session, NORA, "her browser")
    await session.refresh(pending)
    pending.expires_at = now()
    await session.flush()
    await identity.connect_waiting(session, nora, browser="her browser")
    assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0
    await identity.purge_sign_ins(session)
    assert await session.scalar(select(func.count()).select_from(PendingSignIn)) == 0


async def test_an_account_that_is_somebodys_by_now_is_not_given_away(
    session: AsyncSession,
) -> None:
    nora = await a_person(session, password_hash="x")
    owner = a_user("Olga")
    session.add(owner)
    await session.flush()
    await waiting(session, NORA, "her browser")
    theirs = ExternalIdentity(
        id=new_id(),
        user_id=owner.id,
        issuer=NORA.issuer,
        subject=NORA.subject,
        created_at=now(),
    )
    session.add(theirs)
    await session.flush()
    await identity.connect_waiting(session, nora, browser="her browser")
    assert await identity.external_user(session, NORA) is owner


async def test_what_is_kept_of_a_sign_in_opens_nothing(session: AsyncSession) -> None:
    """Whoever reads the table learns neither the state nor the browser's secret."""
    leaving = Departure.new()
    await identity.depart(session, leaving, browser="the browser's secret", next="/")
    kept = await session.scalar(select(PendingSignIn))
    assert kept
    texts = [value for value in vars(kept).values() if isinstance(value, str)]
    assert leaving.state not in texts
    assert "the browser's secret" not in texts
