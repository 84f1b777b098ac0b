"""Many come through a provider at once."""

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from kit.clock import now
from kit.errors import Conflict
from models import ExternalIdentity, FirstRunLink, PendingSignIn, User
from services import identity
from services.identity import Departure, Profile
from tests.conftest import Transaction

MANY = 8


async def test_the_first_calls_of_somebody_make_one_person(real_transaction: Transaction) -> None:
    async with real_transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    until = now() + timedelta(hours=1)
    nora = Profile("https://id.example.com", "nora", "nora@example.com", True, "Nora", until)

    async def call() -> str:
        async with real_transaction() as session:
            return str((await identity.external_user(session, nora)).id)

    assert len(set(await asyncio.gather(*[call() for _ in range(MANY)]))) == 1
    async with real_transaction() as session:
        for table in (User, ExternalIdentity):
            assert await session.scalar(select(func.count()).select_from(table)) == 1


async def test_two_people_with_one_new_address_do_not_both_get_it(
    real_transaction: Transaction,
) -> None:
    async with real_transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    until = now() + timedelta(hours=1)

    async def call(subject: str) -> None:
        profile = Profile("https://id.example.com", subject, "nora@example.com", True, None, until)
        async with real_transaction() as session:
            await identity.external_user(session, profile)

    await asyncio.gather(*[call(f"nora {number}") for number in range(MANY)])
    async with real_transaction() as session:
        emails = (await session.scalars(select(User.email))).all()
    assert sorted(map(str, emails)) == ["None"] * (MANY - 1) + ["nora@example.com"]


async def test_a_browser_that_comes_back_many_times_at_once_comes_in_once(
    real_transaction: Transaction,
) -> None:
    leaving = Departure.new()
    async with real_transaction() as session:
        await identity.depart(session, leaving, browser="a browser", next="/")

    async def come_back() -> bool:
        try:
            async with real_transaction() as session:
                await identity.come_back(session, state=leaving.state, browser="a browser")
        except Conflict:
            return False
        return True

    assert (await asyncio.gather(*[come_back() for _ in range(MANY)])).count(True) == 1
    async with real_transaction() as session:
        assert await session.scalar(select(PendingSignIn.used_at))
