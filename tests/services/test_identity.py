"""Signing in with a password, sessions, and changing the password."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Invalid, NotFound, Unauthorized
from kit.secrets import fingerprint, hash_password
from models import SignIn, User
from services import identity
from services.identity import passwords
from services.identity.passwords import NOBODYS
from tests.world import World, cookie_of

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
BROWSER: dict[str, Any] = {"user_agent": "Firefox", "ip": "127.0.0.1"}


@pytest.fixture
async def alice(session: AsyncSession, world: World) -> User:
    await session.execute(update(User).where(User.id == world.alice.id).values(password_hash=HASH))
    return world.alice


async def sign_in(session: AsyncSession, **fields: Any) -> tuple[User, str]:
    given: dict[str, Any] = {"email": "alice@example.com", "password": PASSWORD} | fields
    kept = await identity.kept_password(session, email=given["email"])
    proven = await identity.check_credentials(kept, given["password"])
    return await identity.sign_in(session, proven, **BROWSER)


async def change_password(
    session: AsyncSession, user: User, *, current: str, new: str, keep: UUID
) -> None:
    kept = await identity.kept_password_of(session, user)
    proven = await identity.check_current(kept, current)
    new_hash = await identity.hashed(new, "new")
    await identity.change_password(session, user, proven, new_hash=new_hash, keep=keep)


async def test_somebody_signs_in_and_their_cookie_is_known(
    session: AsyncSession, alice: User
) -> None:
    user, secret = await sign_in(session, email=" Alice@Example.com ")
    known = await identity.signed_in(session, secret)
    assert user.id == alice.id
    assert known is not None
    assert known.user.id == alice.id
    assert (known.user_agent, known.ip) == ("Firefox", "127.0.0.1")


async def test_only_the_fingerprint_of_a_cookie_is_kept(session: AsyncSession, alice: User) -> None:
    _, secret = await sign_in(session)
    kept = (await session.scalars(select(SignIn.secret_hash))).all()
    assert fingerprint(secret) in kept
    assert secret not in kept


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
async def test_whatever_is_wrong_the_answer_is_the_same(
    session: AsyncSession, alice: User, wrong: dict[str, str]
) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await sign_in(session, **wrong)
    assert refusal.value.message == "The e-mail address or the password is not right."
    assert refusal.value.code == "wrong_credentials"


def test_an_unknown_address_costs_as_much_effort_as_a_known_one() -> None:
    algorithm, version, effort = NOBODYS.split("$")[1:4]
    assert HASH.startswith(f"${algorithm}${version}${effort}$")
    assert len(NOBODYS) == len(HASH)


async def test_passwords_are_tried_beside_the_event_loop_for_known_and_unknown_alike(
    session: AsyncSession, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    real = passwords.password_fits

    def watched(password: str, kept: str) -> bool:
        threads.append(threading.current_thread())
        return real(password, kept)

    monkeypatch.setattr(passwords, "password_fits", watched)
    await sign_in(session)
    for email in ("nobody@example.com", "bob@example.com", "no address"):
        with pytest.raises(Unauthorized):
            await sign_in(session, email=email)
    assert len(threads) == 4
    assert threading.main_thread() not in threads


async def test_a_session_lasts_as_long_as_it_was_given(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(session, world.alice, **BROWSER, days=7)
    known = await identity.signed_in(session, secret)
    assert known is not None
    assert known.expires_at - known.created_at == timedelta(days=7)
    assert await identity.still_signed_in(session, known.id)
    known.expires_at = now()
    assert not await identity.still_signed_in(session, known.id)
    assert await identity.signed_in(session, secret) is None
    assert known not in await identity.sessions_of(session, world.alice)


async def test_only_sessions_that_are_over_are_forgotten(
    session: AsyncSession, world: World
) -> None:
    over = update(SignIn).where(SignIn.user_id == world.alice.id).values(expires_at=now())
    await session.execute(over)
    await identity.purge_sign_ins(session)
    left = (await session.scalars(select(SignIn.user_id))).all()
    assert world.alice.id not in left
    assert world.charlie.id in left


async def test_a_browser_is_noted_as_seen_once_a_minute_at_most(
    session: AsyncSession, world: World
) -> None:
    cookie = cookie_of(world.alice)
    first = await identity.signed_in(session, cookie)
    assert first is not None
    seen = first.last_seen_at
    await identity.signed_in(session, cookie)
    assert first.last_seen_at == seen
    earlier = now() - timedelta(minutes=2)
    await session.execute(update(SignIn).where(SignIn.id == first.id).values(last_seen_at=earlier))
    again = await identity.signed_in(session, cookie)
    assert again is not None
    assert again.last_seen_at > earlier + timedelta(minutes=1)


async def test_knowing_a_cookie_takes_one_statement(session: AsyncSession, world: World) -> None:
    statements = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    assert await identity.signed_in(session, cookie_of(world.alice))
    assert len(statements) == 1


async def test_an_unknown_cookie_is_nobody(session: AsyncSession, world: World) -> None:
    assert await identity.signed_in(session, "") is None
    assert await identity.signed_in(session, "a cookie of nobody") is None


async def test_what_a_browser_calls_itself_is_cut_short(
    session: AsyncSession, world: World
) -> None:
    secret = await identity.start_session(
        session, world.alice, user_agent="\0" + "x" * 10_000, ip=None
    )
    known = await identity.signed_in(session, secret)
    assert known is not None
    assert known.user_agent == "x" * 300


async def test_somebody_sees_their_own_sessions_and_no_others(
    session: AsyncSession, world: World
) -> None:
    await identity.start_session(session, world.alice, **BROWSER)
    sessions = await identity.sessions_of(session, world.alice)
    assert len(sessions) == 2
    assert {one.user_id for one in sessions} == {world.alice.id}
    assert sessions[0].last_seen_at >= sessions[1].last_seen_at


async def test_a_session_can_be_ended_by_its_owner_alone(
    session: AsyncSession, world: World
) -> None:
    (own,) = await identity.sessions_of(session, world.alice)
    for stranger in (world.charlie, world.bob):
        with pytest.raises(NotFound):
            await identity.end_session(session, stranger, own.id)
    assert await identity.still_signed_in(session, own.id)
    await identity.end_session(session, world.alice, own.id)
    assert not await identity.still_signed_in(session, own.id)
    assert await identity.signed_in(session, cookie_of(world.alice)) is None
    with pytest.raises(NotFound):
        await identity.end_session(session, world.alice, own.id)


async def test_signing_out_ends_this_session_only(session: AsyncSession, world: World) -> None:
    other = await identity.start_session(session, world.alice, **BROWSER)
    await identity.sign_out(session, cookie_of(world.alice))
    assert await identity.signed_in(session, cookie_of(world.alice)) is None
    assert await identity.signed_in(session, other)
    assert await identity.signed_in(session, cookie_of(world.charlie))


async def test_all_other_sessions_can_be_ended_at_once(session: AsyncSession, world: World) -> None:
    secret = await identity.start_session(session, world.alice, **BROWSER)
    keep = await identity.signed_in(session, secret)
    assert keep is not None
    await identity.end_other_sessions(session, world.alice, keep=keep.id)
    assert [one.id for one in await identity.sessions_of(session, world.alice)] == [keep.id]
    assert await identity.signed_in(session, cookie_of(world.charlie))


async def test_a_new_password_ends_the_other_sessions(session: AsyncSession, alice: User) -> None:
    _, secret = await sign_in(session)
    here = await identity.signed_in(session, secret)
    assert here is not None
    new = "a better battery staple"
    await change_password(session, alice, current=PASSWORD, new=new, keep=here.id)
    assert await identity.signed_in(session, cookie_of(alice)) is None
    assert await identity.signed_in(session, secret)
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
async def test_a_password_that_will_not_do_changes_nothing(
    session: AsyncSession, alice: User, current: str, new: str, field: str
) -> None:
    (here,) = await identity.sessions_of(session, alice)
    with pytest.raises(Invalid) as refusal:
        await change_password(session, alice, current=current, new=new, keep=here.id)
    assert refusal.value.field == field
    assert (await sign_in(session))[0].id == alice.id


async def test_who_proves_a_password_that_is_changed_meanwhile_does_not_come_in(
    session: AsyncSession, alice: User
) -> None:
    kept = await identity.kept_password(session, email="alice@example.com")
    proven = await identity.check_credentials(kept, PASSWORD)
    (here,) = await identity.sessions_of(session, alice)
    await change_password(session, alice, current=PASSWORD, new="another one", keep=here.id)
    with pytest.raises(Unauthorized):
        await identity.sign_in(session, proven, **BROWSER)
    with pytest.raises(Invalid):
        await identity.change_password(session, alice, proven, new_hash=HASH, keep=here.id)


async def test_what_somebody_has_proven_changes_no_password_of_others(
    session: AsyncSession, alice: User, world: World
) -> None:
    same = update(User).where(User.id == world.charlie.id).values(password_hash=HASH)
    await session.execute(same)
    kept = await identity.kept_password(session, email="charlie@example.com")
    proven = await identity.check_credentials(kept, PASSWORD)
    (here,) = await identity.sessions_of(session, alice)
    with pytest.raises(Invalid):
        await identity.change_password(session, alice, proven, new_hash=HASH, keep=here.id)
