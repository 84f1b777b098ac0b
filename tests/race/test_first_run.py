"""Two browsers open the first-run link at once."""

import asyncio

from sqlalchemy import select

from kit.errors import NotFound
from kit.settings import Settings
from models import FirstRunLink, User
from services import identity
from tests.conftest import Transaction

LOCAL_TOKEN = "a-token-for-scripts-that-is-long-enough-to-be-one-indeed"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)


async def test_of_many_who_use_the_link_at_once_exactly_one_becomes_the_owner(
    real_transaction: Transaction,
) -> None:
    async with real_transaction() as session:
        secret = await identity.first_run_link(session)
    assert secret is not None

    async def come_in(number: int) -> User | None:
        try:
            async with real_transaction() as session:
                return await identity.complete_first_run(
                    session,
                    secret,
                    name=f"Owner {number}",
                    email=f"owner{number}@example.com",
                    password_hash="kept",
                )
        except NotFound:
            return None

    owners = [one for one in await asyncio.gather(*map(come_in, range(6))) if one]
    async with real_transaction() as session:
        users = (await session.scalars(select(User))).all()
    assert [user.id for user in users] == [owner.id for owner in owners]
    assert users[0].name == owners[0].name


async def test_the_link_and_the_local_token_used_at_once_mean_one_person(
    real_transaction: Transaction,
) -> None:
    async with real_transaction() as session:
        secret = await identity.first_run_link(session)
    assert secret is not None

    async def by_link() -> User:
        async with real_transaction() as session:
            return await identity.complete_first_run(
                session,
                secret,
                name="Olive",
                email="admin@home.local",
                password_hash="kept",
            )

    async def by_token() -> User | None:
        async with real_transaction() as session:
            return await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)

    found = await asyncio.gather(by_link(), *(by_token() for _ in range(5)))
    assert len({user.id for user in found if user}) == 1
    async with real_transaction() as session:
        (user,) = (await session.scalars(select(User))).all()
    assert (user.name, user.email) == ("Olive", "admin@home.local")


async def test_servers_that_start_at_once_leave_one_link_alive(
    real_transaction: Transaction,
) -> None:
    async def start() -> str | None:
        async with real_transaction() as session:
            return await identity.first_run_link(session)

    secrets = await asyncio.gather(*(start() for _ in range(6)))
    async with real_transaction() as session:
        rows = (await session.scalars(select(FirstRunLink))).all()
        alive = [secret for secret in secrets if await identity.first_run_open(session, secret)]
    assert len(rows) == len(alive) == 1
