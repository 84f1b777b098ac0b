"""Imports of what an attacker has stored in the original, and beside what is here already."""

import asyncpg
import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import ExternalIdentity, Member, User
from tests.original.test_import import make_owner
from tests.support.original_data import SECOND_ORGANIZATION
from tests.support.original_import import ISSUER, run_import

MEMBERS = "select distinct user_id from organization_members"


@pytest.mark.parametrize("issuer", [ISSUER, None])
async def test_people_of_the_original_with_one_address_stay_apart(
    isolated_transaction: TransactionFactory,
    isolated_settings: Settings,
    original_url: str,
    original: asyncpg.Connection,
    issuer: str | None,
) -> None:
    await run_import(
        isolated_transaction,
        original_url,
        isolated_settings,
        issuer=issuer,
        keeps_users_without_issuer=issuer is None,
        matches_emails=True,
    )
    emails = await original.fetchval("select count(distinct lower(email)) from users")
    assert emails < await original.fetchval("select count(email) from users")
    async with isolated_transaction() as session:
        members = {*await session.scalars(select(Member.user_id))}
    assert members == {row["user_id"] for row in await original.fetch(MEMBERS)}


async def test_an_account_with_another_id_at_the_issuer_is_somebody_else(
    isolated_transaction: TransactionFactory, isolated_settings: Settings, original_url: str
) -> None:
    ours, _ = await make_owner(isolated_transaction, "dave@example.com")
    async with isolated_transaction() as session:
        await session.execute(update(User).values(email_verified_at=now()))
        session.add(
            ExternalIdentity(user_id=ours.id, issuer=ISSUER, subject="other", created_at=now())
        )
    await run_import(
        isolated_transaction,
        original_url,
        isolated_settings,
        organization=SECOND_ORGANIZATION,
        matches_emails=True,
    )
    async with isolated_transaction() as session:
        query = select(func.count()).where(Member.user_id == ours.id)
        assert await session.scalar(query) == 1
