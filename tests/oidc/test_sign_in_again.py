"""Signing in again with a provider before a sensitive change."""

import html
import re
import time
from datetime import datetime, timedelta

import httpx2
import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import SignIn
from tests.oidc.conftest import AnyProvider, Installation, InstallationFactory
from tests.support.fake_oidc_provider import FakeProvider
from tests.support.oidc_sign_ins import count, sign_in_with


async def sign_in_again(browser: httpx2.AsyncClient, provider: AnyProvider) -> httpx2.Response:
    """Follow the link to the provider on the page that asks a user to sign in again."""
    page = await browser.get("/sign-in/again?next=/people")
    [link] = re.findall(r'href="(/sign-in/oidc[^"]+)"', page.text)
    sent = await browser.get(html.unescape(link))
    return await browser.get(provider.sign_in(sent.headers["Location"]))


async def last_authenticated_at(transaction: TransactionFactory) -> datetime:
    async with transaction() as session:
        return (
            (await session.scalars(select(SignIn).order_by(SignIn.id))).all()[-1].authenticated_at
        )


async def test_a_user_signs_in_again_at_the_provider(
    installations: InstallationFactory, provider: AnyProvider, transaction: TransactionFactory
) -> None:
    browser, started = installations(provider).browser(), now() - timedelta(seconds=1)
    await sign_in_with(browser, provider)
    again = await sign_in_again(browser, provider)
    assert (again.status_code, again.headers["Location"]) == (303, "/people")
    assert await last_authenticated_at(transaction) >= started


async def test_a_session_at_the_provider_is_no_recent_sign_in(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    """Also for somebody who signs out and in again: the provider does not ask for a password."""
    fake.signed_in_at = int(time.time()) - 3600
    browser = installation.browser()
    await sign_in_with(browser, fake)
    assert (await last_authenticated_at(transaction)).timestamp() == fake.signed_in_at
    await sign_in_again(browser, fake)
    assert (now() - await last_authenticated_at(transaction)) < timedelta(minutes=1)


@pytest.mark.parametrize("auth_time", ["stale", "missing", "invalid", "too large"])
async def test_signing_in_again_needs_a_new_authentication(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, auth_time: str
) -> None:
    browser = installation.browser()
    await sign_in_with(browser, fake)
    fake.signed_in_at, fake.ignores_max_age = int(time.time()) - 3600, auth_time == "stale"
    fake.reports_auth_time = auth_time != "missing"
    if auth_time == "invalid":
        fake.sign = lambda claims: fake.token(claims | {"auth_time": True})
    if auth_time == "too large":
        fake.sign = lambda claims: fake.token(claims | {"auth_time": 10**400})
    refused = await sign_in_again(browser, fake)
    assert refused.status_code == 401
    assert "Your provider did not confirm that you have just signed in again." in refused.text
    assert await count(transaction, SignIn) == 1


async def test_a_provider_that_reports_no_time_gives_no_recent_sign_in(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    fake.reports_auth_time = False
    assert (await sign_in_with(installation.browser(), fake)).status_code == 303
    assert now() - await last_authenticated_at(transaction) > timedelta(days=1)
