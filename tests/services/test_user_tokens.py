"""Tokens of users: API tokens, and the token of local mode."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.errors import Conflict, Invalid, NotFound, Unauthorized
from core.security.secrets import token_prefix
from models import ApiToken, RevokedApiToken, TokenScope, User
from services import identity
from services.identity.tokens import MAX_API_TOKENS
from tests.support.credentials import authenticate_user
from tests.support.world import World

LOCAL_TOKEN = "ein-Schlüssel-für-Skripte-der-lang-genug-ist-um-einer-zu-sein"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)
ACCOUNTS = Settings()


async def test_a_user_creates_and_revokes_an_api_token(session: AsyncSession, world: World) -> None:
    token, secret = await identity.create_api_token(
        session, world.alice, identity.ApiTokenCreate(name=" nightly ")
    )
    assert token.name == "nightly"
    user = await authenticate_user(session, secret, ACCOUNTS)
    assert user is not None
    assert user.id == world.alice.id
    assert [one.name for one in await identity.list_api_tokens(session, world.alice)] == [
        "nightly",
        "script",
    ]
    await identity.revoke_api_token(session, world.alice, token.id)
    with pytest.raises(Unauthorized):
        await authenticate_user(session, secret, ACCOUNTS)


async def test_an_api_token_has_a_scope_and_an_end(session: AsyncSession, world: World) -> None:
    token, secret = await identity.create_api_token(
        session,
        world.alice,
        identity.ApiTokenCreate(name="figures", scope=TokenScope.READ, days=30),
    )
    credential = await identity.authenticate_user(session, secret, ACCOUNTS)
    assert credential is not None
    assert credential.scope is TokenScope.READ
    token.expires_at = now() - timedelta(seconds=1)
    await session.flush()
    with pytest.raises(Unauthorized) as expired:
        await identity.authenticate_user(session, secret, ACCOUNTS)
    assert expired.value.code == "token_expired"
    with pytest.raises(Invalid):
        await identity.create_api_token(
            session, world.alice, identity.ApiTokenCreate(name="x", days=31)
        )


async def test_a_revoked_api_token_says_so_until_it_is_forgotten(
    session: AsyncSession, world: World
) -> None:
    """Only to who has the whole token; nothing is said about one that never existed."""
    token, secret = await identity.create_api_token(
        session, world.alice, identity.ApiTokenCreate(name="nightly")
    )
    _, other_secret = await identity.create_api_token(
        session, world.alice, identity.ApiTokenCreate(name="other")
    )
    assert await identity.revoke_api_token(session, world.alice, token.id) == "nightly"
    with pytest.raises(Unauthorized) as revoked:
        await authenticate_user(session, secret, ACCOUNTS)
    assert revoked.value.code == "token_ended"
    for guess in (token_prefix(secret), token_prefix(secret) + "x" * 31, secret + "x"):
        assert await authenticate_user(session, guess, ACCOUNTS) is None
    assert await authenticate_user(session, other_secret, ACCOUNTS)
    await session.execute(update(RevokedApiToken).values(expires_at=now()))
    await identity.delete_expired_credentials(session)
    assert await authenticate_user(session, secret, ACCOUNTS) is None


async def test_the_prefix_of_an_api_token_is_not_enough(
    session: AsyncSession, world: World
) -> None:
    _, secret = await identity.create_api_token(
        session, world.alice, identity.ApiTokenCreate(name="nightly")
    )
    for guess in (token_prefix(secret), token_prefix(secret) + "x" * 31, secret + "x"):
        assert await authenticate_user(session, guess, ACCOUNTS) is None


async def test_users_neither_list_nor_revoke_tokens_of_others(
    session: AsyncSession, world: World
) -> None:
    token, _ = await identity.create_api_token(
        session, world.alice, identity.ApiTokenCreate(name="nightly")
    )
    for stranger in (world.charlie, world.bob):
        with pytest.raises(NotFound):
            await identity.revoke_api_token(session, stranger, token.id)
        assert token not in await identity.list_api_tokens(session, stranger)


async def test_a_user_has_at_most_twenty_api_tokens(session: AsyncSession, world: World) -> None:
    """Tokens from before there was a limit remain valid. Expired ones do not count."""
    more = [
        ApiToken(user_id=world.alice.id, name="old", prefix="", secret_hash="", created_at=now())
        for _ in range(MAX_API_TOKENS)
    ]
    session.add_all(more)
    with pytest.raises(Conflict) as error:
        await identity.create_api_token(
            session, world.alice, identity.ApiTokenCreate(name="one more")
        )
    assert error.value.code == "too_many_tokens"
    assert len(await identity.list_api_tokens(session, world.alice)) == MAX_API_TOKENS + 1
    await identity.create_api_token(
        session, world.bob, identity.ApiTokenCreate(name="of another user")
    )
    await identity.revoke_api_token(session, world.alice, more[0].id)
    more[1].expires_at = now()
    await session.flush()
    await identity.create_api_token(session, world.alice, identity.ApiTokenCreate(name="one more"))
    with pytest.raises(Conflict):
        await identity.create_api_token(
            session, world.alice, identity.ApiTokenCreate(name="too many")
        )


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "NUL \0"])
def test_an_api_token_requires_a_name(name: str) -> None:
    with pytest.raises(Invalid) as error:
        identity.ApiTokenCreate.parse({"name": name})
    assert error.value.field == "name"


async def test_the_local_token_creates_its_user_once(session: AsyncSession) -> None:
    user = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    assert user.clerk_user_id == "local-auth-user"
    assert (user.email, user.name) == ("admin@home.local", "Local User")
    again = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert again.id == user.id


async def test_blank_fields_of_the_local_user_are_filled_again(session: AsyncSession) -> None:
    user = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    await session.execute(update(User).where(User.id == user.id).values(email="", name=None))
    again = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert (again.email, again.name) == ("admin@home.local", "Local User")


async def test_a_taken_address_is_not_filled_in(session: AsyncSession, world: World) -> None:
    taken = update(User).where(User.id == world.charlie.id).values(email="Admin@Home.Local")
    await session.execute(taken)
    user = await authenticate_user(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    assert (user.email, user.name) == (None, "Local User")


async def test_the_local_token_is_valid_only_in_local_mode(session: AsyncSession) -> None:
    accounts = Settings(local_auth_token=LOCAL_TOKEN)
    assert await authenticate_user(session, LOCAL_TOKEN, accounts) is None
    assert await authenticate_user(session, LOCAL_TOKEN[:-1], LOCAL) is None
    assert await session.scalar(select(User)) is None
    assert await session.scalar(select(ApiToken)) is None
