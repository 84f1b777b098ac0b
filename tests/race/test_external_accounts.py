"""Concurrent sign-ins through a provider."""

import asyncio
from datetime import timedelta

from sqlalchemy import func, select

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import ExternalIdentity, FirstRunLink, PendingSignIn, User
from services import identity
from services.identity import AuthorizationRequest, ProviderProfile

MANY = 8


async def test_concurrent_first_calls_create_one_user(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    until = now() + timedelta(hours=1)
    nora = ProviderProfile(
        "https://id.example.com", "nora", "nora@example.com", True, "Nora", until
    )

    async def call() -> str:
        async with isolated_transaction() as session:
            return str((await identity.get_or_create_external_user(session, nora)).id)

    assert len(set(await asyncio.gather(*[call() for _ in range(MANY)]))) == 1
    async with isolated_transaction() as session:
        for table in (User, ExternalIdentity):
            assert await session.scalar(select(func.count()).select_from(table)) == 1


async def test_of_two_users_with_one_new_address_one_gets_it(
    isolated_transaction: TransactionFactory,
) -> None:
    async with isolated_transaction() as session:
        session.add(FirstRunLink(secret_hash="used", created_at=now(), used_at=now()))
    until = now() + timedelta(hours=1)

    async def call(subject: str) -> None:
        profile = ProviderProfile(
            "https://id.example.com", subject, "nora@example.com", True, None, until
        )
        async with isolated_transaction() as session:
            await identity.get_or_create_external_user(session, profile)

    await asyncio.gather(*[call(f"nora {number}") for number in range(MANY)])
    async with isolated_transaction() as session:
        emails = (await session.scalars(select(User.email))).all()
    assert sorted(map(str, emails)) == ["None"] * (MANY - 1) + ["nora@example.com"]


async def test_concurrent_callbacks_of_a_browser_sign_in_once(
    isolated_transaction: TransactionFactory,
) -> None:
    leaving = AuthorizationRequest.generate()
    async with isolated_transaction() as session:
        await identity.save_authorization_request(session, leaving, browser="a browser", next="/")

    async def come_back() -> bool:
        try:
            async with isolated_transaction() as session:
                await identity.consume_authorization_request(
                    session, state=leaving.state, browser="a browser"
                )
        except Conflict:
            return False
        return True

    assert (await asyncio.gather(*[come_back() for _ in range(MANY)])).count(True) == 1
    async with isolated_transaction() as session:
        assert await session.scalar(select(PendingSignIn.used_at))
