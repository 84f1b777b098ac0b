"""The link by which the first owner registers."""

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.config.settings import Settings
from core.errors import Invalid, NotFound
from models import FirstRunLink, User
from services import identity, organizations
from tests.support.credentials import authenticate_user
from tests.support.world import World

OLIVE = {"name": "Olive", "email": "Olive@Example.com", "password": "ten letters or more"}
LOCAL_TOKEN = "a-token-for-scripts-that-is-long-enough-to-be-one-indeed"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)


async def create_link(session: AsyncSession) -> str:
    secret = await identity.create_first_run_link(session)
    assert secret is not None
    return secret


async def complete(session: AsyncSession, secret: str, *, password: str, **who: str) -> User:
    stored = await identity.hash_new_password(password, "password")
    return await identity.complete_first_run(
        session, secret, identity.FirstOwnerCreate.parse(who), password_hash=stored
    )


async def test_the_link_creates_the_first_owner_who_can_sign_in(session: AsyncSession) -> None:
    secret = await create_link(session)
    assert await identity.is_first_run_open(session, secret)
    owner = await complete(session, secret, **OLIVE)
    assert (owner.name, owner.email) == ("Olive", "olive@example.com")
    stored = await identity.find_stored_password(session, email="olive@example.com")
    proven = await identity.verify_credentials(stored, OLIVE["password"])
    user, _ = await identity.sign_in(session, proven, user_agent=None, ip=None)
    assert user.id == owner.id
    assert await organizations.find_current_membership(session, owner) is None


async def test_a_used_link_is_invalid_and_no_other_is_created(
    session: AsyncSession,
) -> None:
    secret = await create_link(session)
    await complete(session, secret, **OLIVE)
    assert not await identity.is_first_run_open(session, secret)
    assert not await identity.is_first_run_open(session, None)
    assert await identity.create_first_run_link(session) is None
    with pytest.raises(NotFound):
        await complete(session, secret, **OLIVE | {"email": "eve@example.com"})
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    await session.execute(update(User).values(password_hash=None))
    assert await identity.create_first_run_link(session) is None


async def test_one_link_is_valid_and_only_its_hash_is_stored(
    session: AsyncSession,
) -> None:
    old, new = await create_link(session), await create_link(session)
    assert not await identity.is_first_run_open(session, old)
    assert await identity.is_first_run_open(session, new)
    with pytest.raises(NotFound):
        await complete(session, old, **OLIVE)
    (row,) = (await session.scalars(select(FirstRunLink))).all()
    assert new not in row.secret_hash


@pytest.mark.parametrize("guess", ["", "mc_first_guess", "\0", "x" * 100_000])
async def test_a_guessed_secret_is_rejected(session: AsyncSession, guess: str) -> None:
    await create_link(session)
    assert not await identity.is_first_run_open(session, guess)
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
async def test_invalid_fields_are_named_and_the_link_stays_valid(
    session: AsyncSession, field: str, value: str
) -> None:
    secret = await create_link(session)
    with pytest.raises(Invalid) as error:
        await complete(session, secret, **OLIVE | {field: value})
    assert error.value.field == field
    assert await identity.is_first_run_open(session, secret)


async def test_the_link_completes_the_user_of_the_local_token(
    session: AsyncSession,
) -> None:
    local = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert local is not None
    member = await organizations.get_or_create_active_membership(session, local)
    owner = await complete(session, await create_link(session), **OLIVE)
    assert owner.id == local.id
    assert (owner.clerk_user_id, owner.name) == ("local-auth-user", "Olive")
    again = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert (again.id, again.email) == (owner.id, "olive@example.com")
    assert (await organizations.get_or_create_active_membership(session, owner)).id == member.id


async def test_the_local_token_belongs_to_the_first_owner(session: AsyncSession) -> None:
    owner = await complete(session, await create_link(session), **OLIVE)
    local = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert local is not None
    assert (local.id, local.name) == (owner.id, "Olive")


async def test_a_user_with_a_password_prevents_the_first_run(
    session: AsyncSession, world: World
) -> None:
    secret = await create_link(session)
    has_one = update(User).where(User.id == world.charlie.id).values(password_hash="kept")
    await session.execute(has_one)
    assert not await identity.is_first_run_open(session, secret)
    assert await identity.create_first_run_link(session) is None
    with pytest.raises(NotFound):
        await complete(session, secret, **OLIVE)


async def test_the_address_of_another_user_is_rejected(session: AsyncSession, world: World) -> None:
    secret = await create_link(session)
    taken = OLIVE | {"email": "CHARLIE@example.com"}
    with pytest.raises(Invalid) as error:
        await complete(session, secret, **taken)
    assert error.value.field == "email"
