"""Links by which somebody who cannot sign in chooses another password."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import NotFound
from models import Event, EventType, PasswordLink, User
from services import accounts, identity
from tests.world import World

BOB = "bob@example.com"
PASSWORD = "another long watch"


async def use(session: AsyncSession, secret: str) -> User:
    kept = await identity.hashed(PASSWORD, "password")
    return await accounts.choose_password(session, secret, new_hash=kept)


async def test_its_person_has_another_password_and_is_signed_out_everywhere(
    session: AsyncSession, world: World
) -> None:
    for user in (world.bob, world.alice):
        await identity.start_session(session, user, user_agent=None, ip=None)
    secret = await accounts.password_link(session, " Bob@Example.com ")
    assert (await accounts.who_has_link(session, secret)).id == world.bob.id

    assert (await use(session, secret)).id == world.bob.id

    kept = await identity.kept_password(session, email=BOB)
    assert (await identity.check_credentials(kept, PASSWORD)).user_id == world.bob.id
    assert await identity.sessions_of(session, world.bob) == []
    assert len(await identity.sessions_of(session, world.alice)) > 0


async def test_it_works_once(session: AsyncSession, world: World) -> None:
    secret = await accounts.password_link(session, BOB)
    await use(session, secret)
    with pytest.raises(NotFound):
        await use(session, secret)


async def test_a_newer_one_ends_it_and_nobody_else_s(session: AsyncSession, world: World) -> None:
    old = await accounts.password_link(session, BOB)
    alices = await accounts.password_link(session, "alice@example.com")
    new = await accounts.password_link(session, BOB)
    with pytest.raises(NotFound):
        await accounts.who_has_link(session, old)
    assert (await accounts.who_has_link(session, new)).id == world.bob.id
    assert (await accounts.who_has_link(session, alices)).id == world.alice.id


async def test_it_works_for_a_day(session: AsyncSession, world: World) -> None:
    secret = await accounts.password_link(session, BOB)
    await session.execute(
        update(PasswordLink).values(expires_at=PasswordLink.expires_at - timedelta(hours=23))
    )
    await accounts.who_has_link(session, secret)
    await session.execute(update(PasswordLink).values(expires_at=now() - timedelta(seconds=1)))
    for attempt in (accounts.who_has_link, use):
        with pytest.raises(NotFound):
            await attempt(session, secret)
    await identity.purge_sign_ins(session)
    assert await session.scalar(select(PasswordLink)) is None


@pytest.mark.parametrize("secret", ["", "mc_password_nobodys", "NUL \0", "half \ud800"])
async def test_no_other_secret_opens_anything(
    session: AsyncSession, world: World, secret: str
) -> None:
    await accounts.password_link(session, BOB)
    with pytest.raises(NotFound):
        await use(session, secret)


@pytest.mark.parametrize("email", ["nobody@example.com", "", "no address"])
async def test_there_is_none_for_an_address_that_nobody_has(
    session: AsyncSession, world: World, email: str
) -> None:
    with pytest.raises(NotFound):
        await accounts.password_link(session, email)


async def test_that_it_was_made_and_used_is_written_down(
    session: AsyncSession, world: World
) -> None:
    secret = await accounts.password_link(session, BOB)
    await use(session, secret)
    told = select(Event).where(Event.type.like("member.password%")).order_by(Event.seq)
    made, used = (await session.scalars(told)).all()
    assert (made.type, used.type) == (
        EventType.MEMBER_PASSWORD_LINKED,
        EventType.MEMBER_PASSWORD_CHANGED,
    )
    assert (made.user_id, used.user_id) == (None, world.bob.id)
    assert {one.organization_id for one in (made, used)} == {world.tern.id}
    assert {one.data["user_id"] for one in (made, used)} == {str(world.bob.id)}
    assert secret not in str([made.data, used.data])
