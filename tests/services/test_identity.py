"""Signing in with a password, sessions, and changing the password."""

import threading
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Invalid, NotFound, Unauthorized
from core.security.secrets import hash_password, hash_token
from models import SignIn, User
from services import identity
from services.identity import passwords
from services.identity.passwords import DUMMY_HASH
from tests.support.people_rows import cookie_secret
from tests.support.statement_counter import count_statements
from tests.support.world import World

PASSWORD = "correct horse battery"
REAL_HASH = hash_password(PASSWORD)
"""The hash as in production: it is computed before a fixture makes hashes cheap."""
BROWSER: dict[str, Any] = {"user_agent": "Firefox", "ip": "127.0.0.1"}


@cache
def get_hash() -> str:
    return hash_password(PASSWORD)


@pytest.fixture
async def alice(session: AsyncSession, world: World) -> User:
    hers = update(User).where(User.id == world.alice.id)
    await session.execute(hers.values(password_hash=get_hash()))
    return world.alice


async def sign_in(session: AsyncSession, **fields: Any) -> tuple[User, str]:
    expected: dict[str, Any] = {"email": "alice@example.com", "password": PASSWORD} | fields
    stored = await identity.find_stored_password(session, email=expected["email"])
    proven = await identity.verify_credentials(stored, expected["password"])
    return await identity.sign_in(session, proven, **BROWSER)


async def change_password(
    session: AsyncSession, user: User, *, current: str, new: str, keep: UUID
) -> str:
    stored = await identity.get_stored_password(session, user)
    proven = await identity.verify_current_password(stored, current)
    new_hash = await identity.hash_new_password(new, "new")
    return await identity.change_password(session, user, proven, new_hash=new_hash, keep=keep)


async def test_a_user_signs_in_and_the_cookie_finds_the_session(
    session: AsyncSession, alice: User
) -> None:
    user, secret = await sign_in(session, email=" Alice@Example.com ")
    known = await identity.find_session(session, secret)
    assert user.id == alice.id
    assert known is not None
    assert known.user.id == alice.id
    assert (known.sign_in.user_agent, known.sign_in.ip) == ("Firefox", "127.0.0.1")


async def test_only_the_hash_of_a_cookie_is_stored(session: AsyncSession, alice: User) -> None:
    _, secret = await sign_in(session)
    stored = (await session.scalars(select(SignIn.secret_hash))).all()
    assert hash_token(secret) in stored
    assert secret not in stored


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "correct horse battery?"},
        {"password": ""},
        {"password": PASSWORD + "\0"},
        {"password": "\ud800"},
        {"password": PASSWORD * 50_000},
        {"email": "nobody@example.com"},
        {"email": "alice@example.com\0"},
        {"email": ""},
        {"email": "bob@example.com"},  # who has no password
        {"email": "charlie@example.com"},
    ],
)
async def test_all_wrong_credentials_give_the_same_error(
    session: AsyncSession, alice: User, wrong: dict[str, str]
) -> None:
    with pytest.raises(Unauthorized) as error:
        await sign_in(session, **wrong)
    assert error.value.message == "The e-mail address or the password is not right."
    assert error.value.code == "wrong_credentials"


def test_an_unknown_address_takes_as_long_as_a_known_one() -> None:
    algorithm, version, effort = DUMMY_HASH.split("$")[1:4]
    assert REAL_HASH.startswith(f"${algorithm}${version}${effort}$")
    assert len(DUMMY_HASH) == len(REAL_HASH)


async def test_passwords_are_verified_in_a_thread(
    session: AsyncSession, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    real = passwords.verify_password

    def watched(password: str, stored: str) -> bool:
        threads.append(threading.current_thread())
        return real(password, stored)

    monkeypatch.setattr(passwords, "verify_password", watched)
    await sign_in(session)
    for email in ("nobody@example.com", "bob@example.com", "no address"):
        with pytest.raises(Unauthorized):
            await sign_in(session, email=email)
    assert len(threads) == 4
    assert threading.main_thread() not in threads


async def test_a_session_expires_after_its_lifetime(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(session, world.alice, **BROWSER, days=7)
    known = await identity.find_session(session, secret)
    assert known is not None
    assert known.sign_in.expires_at - known.sign_in.created_at == timedelta(days=7)
    assert await identity.is_session_active(session, known.sign_in.id)
    known.sign_in.expires_at = now()
    assert not await identity.is_session_active(session, known.sign_in.id)
    assert await identity.find_session(session, secret) is None
    assert known not in await identity.list_sessions(session, world.alice)


async def test_a_session_ends_when_it_is_not_used(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(session, world.alice, **BROWSER, days=365)
    known = await identity.find_session(session, secret, idle_days=2)
    assert known is not None
    id = known.sign_in.id
    known.sign_in.last_seen_at = now() - timedelta(days=2, seconds=-5)
    await session.flush()
    assert await identity.find_session(session, secret, idle_days=2)
    known.sign_in.last_seen_at = now() - timedelta(days=2)
    await session.flush()
    assert await identity.find_session(session, secret, idle_days=3)
    assert await identity.find_session(session, secret, idle_days=2) is None
    assert not await identity.is_session_active(session, id, idle_days=2)
    listed = await identity.list_sessions(session, world.alice, idle_days=2)
    assert id not in {one.id for one in listed}
    await identity.delete_expired_credentials(session, idle_days=3)
    assert await session.scalar(select(SignIn.id).where(SignIn.id == id)) == id
    await identity.delete_expired_credentials(session, idle_days=2)
    assert await session.scalar(select(SignIn.id).where(SignIn.id == id)) is None


async def test_only_expired_sessions_are_deleted(session: AsyncSession, world: World) -> None:
    over = update(SignIn).where(SignIn.user_id == world.alice.id).values(expires_at=now())
    await session.execute(over)
    await identity.delete_expired_credentials(session)
    left = (await session.scalars(select(SignIn.user_id))).all()
    assert world.alice.id not in left
    assert world.charlie.id in left


async def test_finding_a_session_takes_one_statement(session: AsyncSession, world: World) -> None:
    with count_statements(await session.connection()) as statements:
        assert await identity.find_session(session, cookie_secret(world.alice))
    assert len(statements) == 1


async def test_an_unknown_cookie_finds_no_session(session: AsyncSession, world: World) -> None:
    assert await identity.find_session(session, "") is None
    assert await identity.find_session(session, "a cookie of nobody") is None


async def test_a_long_user_agent_is_truncated(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(
        session, world.alice, user_agent="\0" + "x" * 10_000, ip=None
    )
    known = await identity.find_session(session, secret)
    assert known is not None
    assert known.sign_in.user_agent == "x" * 300


async def test_users_list_only_their_own_sessions(session: AsyncSession, world: World) -> None:
    await identity.start_session(session, world.alice, **BROWSER)
    sessions = await identity.list_sessions(session, world.alice)
    assert len(sessions) == 2
    assert {one.user_id for one in sessions} == {world.alice.id}
    assert sessions[0].last_seen_at >= sessions[1].last_seen_at


async def test_only_its_user_ends_a_session(session: AsyncSession, world: World) -> None:
    (own,) = await identity.list_sessions(session, world.alice)
    for stranger in (world.charlie, world.bob):
        with pytest.raises(NotFound):
            await identity.end_session(session, stranger, own.id)
    assert await identity.is_session_active(session, own.id)
    await identity.end_session(session, world.alice, own.id)
    assert not await identity.is_session_active(session, own.id)
    assert await identity.find_session(session, cookie_secret(world.alice)) is None
    with pytest.raises(NotFound):
        await identity.end_session(session, world.alice, own.id)


async def test_signing_out_ends_only_this_session(session: AsyncSession, world: World) -> None:
    other = await identity.start_session(session, world.alice, **BROWSER)
    await identity.sign_out(session, cookie_secret(world.alice))
    assert await identity.find_session(session, cookie_secret(world.alice)) is None
    assert await identity.find_session(session, other)
    assert await identity.find_session(session, cookie_secret(world.charlie))


async def test_all_other_sessions_end_at_once(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(session, world.alice, **BROWSER)
    keep = await identity.find_session(session, secret)
    assert keep is not None
    await identity.end_other_sessions(session, world.alice, keep=keep.sign_in.id)
    assert [one.id for one in await identity.list_sessions(session, world.alice)] == [
        keep.sign_in.id
    ]
    assert await identity.find_session(session, cookie_secret(world.charlie))


async def test_a_new_password_ends_the_other_sessions(session: AsyncSession, alice: User) -> None:
    _, secret = await sign_in(session)
    here = await identity.find_session(session, secret)
    assert here is not None
    new = "a better battery staple"
    link = await identity.create_password_link(session, alice.email or "")
    renewed = await change_password(session, alice, current=PASSWORD, new=new, keep=here.sign_in.id)
    assert await identity.find_session(session, cookie_secret(alice)) is None
    assert await identity.find_session(session, secret) is None
    assert await identity.find_session(session, renewed)
    with pytest.raises(NotFound):
        await identity.get_password_link_user(session, link)
    with pytest.raises(Unauthorized):
        await sign_in(session)
    user, _ = await sign_in(session, password=new)
    assert user.id == alice.id


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("not my password", "long enough to do", "current"),
        ("", "long enough to do", "current"),
        (PASSWORD, "too short", "new"),
        (PASSWORD, "x" * 201, "new"),
        (PASSWORD, "with a NUL \0 in it", "new"),
        (PASSWORD, "half a character \ud800", "new"),
    ],
)
async def test_an_invalid_password_changes_nothing(
    session: AsyncSession, alice: User, current: str, new: str, field: str
) -> None:
    (here,) = await identity.list_sessions(session, alice)
    with pytest.raises(Invalid) as error:
        await change_password(session, alice, current=current, new=new, keep=here.id)
    assert error.value.field == field
    assert (await sign_in(session))[0].id == alice.id


async def test_a_password_changed_after_verification_does_not_sign_in(
    session: AsyncSession, alice: User
) -> None:
    stored = await identity.find_stored_password(session, email="alice@example.com")
    proven = await identity.verify_credentials(stored, PASSWORD)
    (here,) = await identity.list_sessions(session, alice)
    await change_password(session, alice, current=PASSWORD, new="another one", keep=here.id)
    with pytest.raises(Unauthorized):
        await identity.sign_in(session, proven, **BROWSER)
    with pytest.raises(Invalid):
        await identity.change_password(session, alice, proven, new_hash=get_hash(), keep=here.id)


async def test_a_verified_password_changes_only_that_users_password(
    session: AsyncSession, alice: User, world: World
) -> None:
    same = update(User).where(User.id == world.charlie.id).values(password_hash=get_hash())
    await session.execute(same)
    stored = await identity.find_stored_password(session, email="charlie@example.com")
    proven = await identity.verify_credentials(stored, PASSWORD)
    (here,) = await identity.list_sessions(session, alice)
    with pytest.raises(Invalid):
        await identity.change_password(session, alice, proven, new_hash=get_hash(), keep=here.id)
