"""Which account belongs to a user of a provider."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select

from core.clock import now
from core.db.engine import TransactionFactory
from core.security.secrets import hash_password, hash_token
from models import ExternalIdentity, FirstRunLink, Invite, User
from tests.oidc.conftest import Installation
from tests.support.fake_oidc_provider import FakeProvider
from tests.support.oidc_sign_ins import PASSWORD, count, list_users, sign_in_with
from tests.support.world import World


async def test_external_users_cannot_sign_in_before_the_first_owner(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        await session.execute(delete(FirstRunLink))
    rejected = await sign_in_with(installation.browser(), fake)
    assert rejected.status_code == 401
    assert "The first owner uses the link that the server prints." in rejected.text
    assert await count(transaction, User) == 0


async def set_password(transaction: TransactionFactory, world: World) -> dict[str, str]:
    """Give Alice a password, and return the form that she submits."""
    async with transaction() as session:
        world.alice.password_hash = hash_password(PASSWORD)
        await session.merge(world.alice)
    return {"email": "alice@example.com", "password": PASSWORD}


async def test_an_address_does_not_take_over_a_password_account(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    typed = await set_password(transaction, world)
    fake.people["al"] = {"email": "Alice@example.com", "email_verified": True}
    browser = installation.browser()
    requested = await sign_in_with(browser, fake, "al")
    assert requested.status_code == 401
    assert "Sign in with it once, in this browser, and the two are connected." in requested.text

    assert (await installation.browser().post("/sign-in", data=typed)).status_code == 303
    assert (await sign_in_with(installation.browser(), fake, "al")).status_code == 401
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    back = await sign_in_with(installation.browser(), fake, "al")
    assert back.status_code == 303
    assert await count(transaction, User) == 5
    async with transaction() as session:
        [connected] = (await session.scalars(select(ExternalIdentity))).all()
    assert connected.user_id == world.alice.id


async def test_a_password_connects_only_accounts_with_its_address(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    """A browser may be shared: an account with another address is not connected."""
    await set_password(transaction, world)
    async with transaction() as session:
        world.bob.password_hash = hash_password(PASSWORD)
        await session.merge(world.bob)
    fake.people["al"] = {"email": "alice@example.com", "email_verified": True}
    browser = installation.browser()
    await sign_in_with(browser, fake, "al")
    typed = {"email": "bob@example.com", "password": PASSWORD}
    assert (await browser.post("/sign-in", data=typed)).status_code == 303
    assert await count(transaction, ExternalIdentity) == 0


async def test_an_unverified_address_finds_no_user(
    installation: Installation, fake: FakeProvider, transaction: TransactionFactory, world: World
) -> None:
    fake.people["al"] = {"email": "alice@example.com", "email_verified": False}
    assert (await sign_in_with(installation.browser(), fake, "al")).status_code == 303
    new = (await list_users(transaction))[-1]
    assert (new.clerk_user_id, new.email) == ("al", None)


@pytest.mark.parametrize("is_verified", [True, False])
async def test_only_a_verified_address_accepts_an_invitation(
    installation: Installation,
    fake: FakeProvider,
    transaction: TransactionFactory,
    world: World,
    is_verified: bool,
) -> None:
    """S10."""
    invite = Invite(
        organization_id=world.tern.id,
        invited_email="nora@example.com",
        token_hash=hash_token("the token"),
        expires_at=now() + timedelta(days=1),
        created_at=now(),
        updated_at=now(),
    )
    async with transaction() as session:
        session.add(invite)
    fake.people["nora"]["email_verified"] = is_verified
    assert (await sign_in_with(installation.browser(), fake)).status_code == 303
    new = (await list_users(transaction))[-1]
    assert new.active_organization_id == (world.tern.id if is_verified else None)
