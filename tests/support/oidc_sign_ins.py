"""Signing in with an OIDC provider, and the users that exist afterwards."""

from typing import Any

import httpx2
from sqlalchemy import func, select

from core.db.engine import TransactionFactory
from models import User
from tests.oidc.conftest import AnyProvider

PASSWORD = "a quiet long watch"


async def start_sign_in(browser: httpx2.AsyncClient, next: str = "") -> str:
    """Start a sign-in in a browser, and return the redirect to the provider."""
    sent = await browser.get("/sign-in/oidc", params={"next": next} if next else {})
    assert sent.status_code == 303
    return sent.headers["Location"]


async def sign_in_with(
    browser: httpx2.AsyncClient, provider: AnyProvider, subject: str = "nora", next: str = ""
) -> httpx2.Response:
    """Sign in through the provider in a browser."""
    return await browser.get(provider.sign_in(await start_sign_in(browser, next), subject))


async def list_users(transaction: TransactionFactory) -> list[User]:
    async with transaction() as session:
        return list((await session.scalars(select(User).order_by(User.id))).all())


async def count(transaction: TransactionFactory, table: type[Any]) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0
