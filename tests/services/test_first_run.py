"""The one link by which the first owner comes in."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Invalid, NotFound
from kit.settings import Settings
from models import FirstRunLink, User
from services import identity, organizations
from tests.world import World

OLIVE = {"name": "Olive", "email": "Olive@Example.com", "password": "ten letters or more"}
LOCAL_TOKEN = "a-token-for-scripts-that-is-long-enough-to-be-one-indeed"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)


async def a_link(session: AsyncSession) -> str:
    secret = await identity.first_run_link(session)
    assert secret is not None
    return secret


async def complete(session: AsyncSession, secret: str, *, password: str, **who: str) -> User:
    kept = await identity.hashed(password, "password")
    return await identity.complete_first_run(session, secret, **who, password_hash=kept)


async def test_the_link_makes_the_first_owner_who_can_sign_in(session: AsyncSession) -> None:
    secret = await a_link(session)
    assert await identity.first_run_open(session, secret)
    owner = await complete(session, secret, **OLIVE)
    assert (owner.name, owner.email) == ("Olive", "olive@example.com")
    kept = await identity.kept_password(session, email="olive@example.com")
    proven = await identity.check_credentials(kept, OLIVE["password"])
    user, _ = await identity.sign_in(session, proven, user_agent=None, ip=None)
    assert user.id == owner.id
    assert await organizations.current(session, owner) is None


async def test_the_link_is_dead_after_its_use_and_no_other_is_ever_made(
    session: AsyncSession,
) -> None:
    secret = await a_link(session)
    await complete(session, secret, **OLIVE)
    assert not await identity.first_run_open(session, secret)
    assert not await identity.first_run_open(session, None)
    assert await identity.first_run_link(session) is None
    with pytest.raises(NotFound):
        await complete(session, secret, **OLIVE | {"email": "eve@example.com"})
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    await session.execute(update(User).values(password_hash=None))
    assert await identity.first_run_link(session) is None


async def test_there_is_one_link_at_a_time_and_only_its_fingerprint_is_kept(
    session: AsyncSession,
) -> None:
    old, new = await a_link(session), await a_link(session)
    assert not await identity.first_run_open(session, old)
    assert await identity.first_run_open(session, new)
    with pytest.raises(NotFound):
        await complete(session, old, **OLIVE)
    (row,) = (await session.scalars(select(FirstRunLink))).all()
    assert new not in row.secret_hash


@pytest.mark.parametrize("guess", ["", "mc_first_guess", "\0", "x" * 100_000])
async def test_a_guess_opens_nothing(session: AsyncSession, guess: str) -> None:
    await a_link(session)
    assert not await identity.first_run_open(session, guess)
    with pytest.raises(NotFound):
        await complete(session, guess, **OLIVE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "   "),
        ("name", "x" * 201),
        ("name", "NUL \0"),
        ("email", ""),
        ("email", "olive"),
        ("email", "olive@"),
        ("email", "@example.com"),
        ("email", "olive @example.com"),
        ("email", "a@b@c"),
        ("email", "olive@example.com\0"),
        ("email", "x" * 260 + "@example.com"),
        ("password", "nine char"),
        ("password", "x" * 201),
        ("password", "a NUL in it \0"),
    ],
)
async def test_what_will_not_do_is_told_by_its_field_and_the_link_lives_on(
    session: AsyncSession, field: str, value: str
) -> None:
    secret = await a_link(session)
    with pytest.raises(Invalid) as refusal:
        await complete(session, secret, **OLIVE | {field: value})
    assert refusal.value.field == field
    assert await identity.first_run_open(session, secret)


async def test_the_link_completes_the_user_whom_the_local_token_made(
    session: AsyncSession,
) -> None:
    local = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert local is not None
    member = await organizations.active(session, local)
    owner = await complete(session, await a_link(session), **OLIVE)
    assert owner.id == local.id
    assert (owner.clerk_user_id, owner.name) == ("local-auth-user", "Olive")
    again = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert (again.id, again.email) == (owner.id, "olive@example.com")
    assert (await organizations.active(session, owner)).id == member.id


async def test_the_local_token_finds_the_owner_whom_the_link_made(session: AsyncSession) -> None:
    owner = await complete(session, await a_link(session), **OLIVE)
    local = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert local is not None
    assert (local.id, local.name) == (owner.id, "Olive")


async def test_where_somebody_has_a_password_there_is_no_first_run(
    session: AsyncSession, world: World
) -> None:
    secret = await a_link(session)
    has_one = update(User).where(User.id == world.charlie.id).values(password_hash="kept")
    await session.execute(has_one)
    assert not await identity.first_run_open(session, secret)
    assert await identity.first_run_link(session) is None
    with pytest.raises(NotFound):
        await complete(session, secret, **OLIVE)


async def test_the_address_of_somebody_else_is_refused(session: AsyncSession, world: World) -> None:
    secret = await a_link(session)
    taken = OLIVE | {"email": "CHARLIE@example.com"}
    with pytest.raises(Invalid) as refusal:
        await complete(session, secret, **taken)
    assert refusal.value.field == "email"
