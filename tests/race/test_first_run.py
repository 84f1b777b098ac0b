"""Two browsers use the first-run link, or two processes start, concurrently."""

import asyncio

from sqlalchemy import select

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import NotFound
from models import FirstRunLink, User
from services import identity
from services.gateways import files
from tests.support.credentials import authenticate_user

LOCAL_TOKEN = "a-token-for-scripts-that-is-long-enough-to-be-one-indeed"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)


async def test_of_concurrent_uses_of_the_link_one_creates_the_owner(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        secret = await identity.create_first_run_link(session)
    assert secret is not None

    async def register(number: int) -> User | None:
        try:
            async with isolated_transaction() as session:
                return await identity.complete_first_run(
                    session,
                    secret,
                    identity.FirstOwnerCreate(
                        name=f"Owner {number}", email=f"owner{number}@example.com"
                    ),
                    password_hash="kept",
                )
        except NotFound:
            return None

    owners = [one for one in await asyncio.gather(*map(register, range(6))) if one]
    async with isolated_transaction() as session:
        users = (await session.scalars(select(User))).all()
    assert [user.id for user in users] == [owner.id for owner in owners]
    assert users[0].name == owners[0].name


async def test_the_link_and_the_local_token_create_one_user(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        secret = await identity.create_first_run_link(session)
    assert secret is not None

    async def by_link() -> User:
        async with isolated_transaction() as session:
            return await identity.complete_first_run(
                session,
                secret,
                identity.FirstOwnerCreate(name="Olive", email="admin@home.local"),
                password_hash="kept",
            )

    async def by_token() -> User | None:
        async with isolated_transaction() as session:
            return await authenticate_user(session, LOCAL_TOKEN, LOCAL)

    found = await asyncio.gather(by_link(), *(by_token() for _ in range(5)))
    assert len({user.id for user in found if user}) == 1
    async with isolated_transaction() as session:
        (user,) = (await session.scalars(select(User))).all()
    assert (user.name, user.email) == ("Olive", "admin@home.local")


async def test_servers_starting_together_leave_one_valid_link(
    isolated_transaction: TransactionFactory,
) -> None:
    async def start() -> str | None:
        async with isolated_transaction() as session:
            return await identity.create_first_run_link(session)

    secrets = await asyncio.gather(*(start() for _ in range(6)))
    async with isolated_transaction() as session:
        rows = (await session.scalars(select(FirstRunLink))).all()
        valid = [secret for secret in secrets if await identity.is_first_run_open(session, secret)]
    assert len(rows) == len(valid) == 1


async def test_of_processes_that_start_together_one_stores_its_address(
    isolated_transaction: TransactionFactory,
) -> None:
    async def start(number: int) -> str:
        async with isolated_transaction() as session:
            return await files.store_first_address(session, f"https://{number}.example")

    found = await asyncio.gather(*map(start, range(6)))
    assert len(set(found)) == 1
