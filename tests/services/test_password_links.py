"""Links by which a user who cannot sign in sets another password."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import NotFound
from models import Event, EventType, PasswordLink, User
from services import identity
from tests.support.world import World

BOB = "bob@example.com"
PASSWORD = "another long watch"


async def use(session: AsyncSession, secret: str) -> User:
    stored = await identity.hash_new_password(PASSWORD, "password")
    return await identity.reset_password(session, secret, new_hash=stored)


async def test_the_link_sets_a_password_and_ends_all_sessions(
    session: AsyncSession, world: World
) -> None:
    for user in (world.bob, world.alice):
        await identity.create_api_token(session, user, identity.ApiTokenCreate(name="figures"))
        await identity.start_session(session, user, user_agent=None, ip=None)
    secret = await identity.create_password_link(session, " Bob@Example.com ")
    assert (await identity.get_password_link_user(session, secret)).id == world.bob.id

    assert (await use(session, secret)).id == world.bob.id

    stored = await identity.find_stored_password(session, email=BOB)
    assert (await identity.verify_credentials(stored, PASSWORD)).user_id == world.bob.id
    assert await identity.list_sessions(session, world.bob) == []
    assert await identity.list_api_tokens(session, world.bob) == []
    assert len(await identity.list_api_tokens(session, world.alice)) > 0
    assert len(await identity.list_sessions(session, world.alice)) > 0


async def test_a_password_link_works_once(session: AsyncSession, world: World) -> None:
    secret = await identity.create_password_link(session, BOB)
    await use(session, secret)
    with pytest.raises(NotFound):
        await use(session, secret)


async def test_a_newer_link_replaces_only_that_users_link(
    session: AsyncSession, world: World
) -> None:
    old = await identity.create_password_link(session, BOB)
    alices = await identity.create_password_link(session, "alice@example.com")
    new = await identity.create_password_link(session, BOB)
    with pytest.raises(NotFound):
        await identity.get_password_link_user(session, old)
    assert (await identity.get_password_link_user(session, new)).id == world.bob.id
    assert (await identity.get_password_link_user(session, alices)).id == world.alice.id


async def test_a_password_link_is_valid_for_a_day(session: AsyncSession, world: World) -> None:
    secret = await identity.create_password_link(session, BOB)
    await session.execute(
        update(PasswordLink).values(expires_at=PasswordLink.expires_at - timedelta(hours=23))
    )
    await identity.get_password_link_user(session, secret)
    await session.execute(update(PasswordLink).values(expires_at=now() - timedelta(seconds=1)))
    for attempt in (identity.get_password_link_user, use):
        with pytest.raises(NotFound):
            await attempt(session, secret)
    await identity.delete_expired_credentials(session)
    assert await session.scalar(select(PasswordLink)) is None


@pytest.mark.parametrize("secret", ["", "mc_password_nobodys", "NUL \0", "half \ud800"])
async def test_another_secret_is_rejected(session: AsyncSession, world: World, secret: str) -> None:
    await identity.create_password_link(session, BOB)
    with pytest.raises(NotFound):
        await use(session, secret)


@pytest.mark.parametrize("email", ["nobody@example.com", "", "no address"])
async def test_an_unknown_address_gets_no_link(
    session: AsyncSession, world: World, email: str
) -> None:
    with pytest.raises(NotFound):
        await identity.create_password_link(session, email)


async def test_creation_and_use_of_a_link_are_recorded(session: AsyncSession, world: World) -> None:
    secret = await identity.create_password_link(session, BOB)
    await use(session, secret)
    reported = select(Event).where(Event.type.like("member.password%")).order_by(Event.seq)
    created, used = (await session.scalars(reported)).all()
    assert (created.type, used.type) == (
        EventType.MEMBER_PASSWORD_LINKED,
        EventType.MEMBER_PASSWORD_CHANGED,
    )
    assert (created.user_id, used.user_id) == (None, world.bob.id)
    assert {one.organization_id for one in (created, used)} == {world.tern.id}
    assert {one.data["user_id"] for one in (created, used)} == {str(world.bob.id)}
    assert secret not in str([created.data, used.data])
