"""The tokens of agents and of people's scripts."""

import base64
import hashlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit import secrets
from kit.clock import now
from kit.errors import Invalid, NotFound
from kit.secrets import fingerprint, new_token, prefix
from kit.settings import Settings
from models import Agent, AgentToken, ApiToken, User
from services import identity
from tests.world import World, token_of

LOCAL_TOKEN = "ein-Schlüssel-für-Skripte-der-lang-genug-ist-um-einer-zu-sein"
LOCAL = Settings(auth_mode="local", local_auth_token=LOCAL_TOKEN)
ACCOUNTS = Settings()
IMPORTED = "Zk3vT8n1QwXyLr5mHc0PbJd7sUeAi2oGf9KtVxR4yNE"  # 43 characters, as the original made them

NO_TOKENS = ["", "\0", "mc_", "x" * 5_000, "schlüssel", "mc_agent_\0", "mc_user_\udc00"]


def pbkdf2(token: str, rounds: int = 1_000) -> str:
    salt = b"0123456789abcdef"
    digest = hashlib.pbkdf2_hmac("sha256", token.encode(), salt, rounds)
    parts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (salt, digest)]
    return f"pbkdf2_sha256${rounds}${parts[0]}${parts[1]}"


async def give_token(session: AsyncSession, agent: Agent, **fields: Any) -> str:
    token = new_token("agent")
    defaults = {"created_at": now(), "first_used_at": None}
    session.add(
        AgentToken(
            agent_id=agent.id,
            prefix=prefix(token),
            secret_hash=fingerprint(token),
            **defaults | fields,
        )
    )
    await session.flush()
    return token


async def give_imported(session: AsyncSession, agent: Agent, token: str = IMPORTED) -> None:
    kept = update(Agent).where(Agent.id == agent.id).values(agent_token_hash=pbkdf2(token))
    await session.execute(kept)


async def known(session: AsyncSession, token: str) -> str | None:
    agent = await identity.agent_with_token(session, token)
    return agent.name if agent else None


async def test_an_agent_is_known_by_its_token_in_one_statement(
    session: AsyncSession, world: World
) -> None:
    """S13, P5, W-05."""
    statements = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    agent = await identity.agent_with_token(session, token_of(world.worker))
    assert agent is not None
    assert (agent.id, agent.board_id) == (world.worker.id, world.board.id)
    assert len(statements) == 1


async def test_a_stranger_is_known_as_who_they_are(session: AsyncSession, world: World) -> None:
    assert await known(session, token_of(world.charlies_worker)) == "Charlie's worker"


@pytest.mark.parametrize("token", NO_TOKENS)
async def test_what_is_no_token_is_nobody(session: AsyncSession, world: World, token: str) -> None:
    await give_imported(session, world.worker)
    assert await known(session, token) is None
    for settings in (LOCAL, ACCOUNTS):
        assert await identity.user_with_token(session, token, settings) is None


async def test_the_beginning_of_a_token_is_not_enough(session: AsyncSession, world: World) -> None:
    token = await give_token(session, world.worker)
    assert await known(session, prefix(token)) is None
    assert await known(session, prefix(token) + "x" * 32) is None


async def test_both_tokens_work_until_the_newer_one_is_used(
    session: AsyncSession, world: World
) -> None:
    """W-02. A27.7."""
    old = token_of(world.worker)
    new = await give_token(session, world.worker)
    assert await known(session, old) == "Worker"
    assert await known(session, new) == "Worker"
    assert await known(session, old) is None
    assert await known(session, new) == "Worker"
    assert await known(session, token_of(world.other_worker)) == "Other worker"


async def test_an_older_token_that_is_used_late_ends_no_newer_one(
    session: AsyncSession, world: World
) -> None:
    late = await give_token(session, world.worker, created_at=now() - timedelta(days=1))
    new = token_of(world.worker)
    assert await known(session, late) == "Worker"
    assert await known(session, new) == "Worker"


async def test_an_imported_token_is_known_and_becomes_one_of_ours(
    session: AsyncSession, world: World
) -> None:
    """W-05. A27.3. PBKDF2, as older agents have it."""
    await give_imported(session, world.worker)
    assert await known(session, IMPORTED) == "Worker"
    agent = await session.get(Agent, world.worker.id, populate_existing=True)
    assert agent is not None
    assert agent.agent_token_hash is None
    kept = await session.scalars(select(AgentToken.secret_hash))
    assert fingerprint(IMPORTED) in kept.all()
    assert await known(session, IMPORTED) == "Worker"


async def test_a_new_token_ends_the_imported_one_by_its_first_use(
    session: AsyncSession, world: World
) -> None:
    await give_imported(session, world.worker)
    new = await give_token(session, world.worker)
    assert await known(session, IMPORTED) == "Worker"
    assert await known(session, new) == "Worker"
    assert await known(session, IMPORTED) is None


async def test_a_new_token_ends_even_an_imported_one_that_was_never_used(
    session: AsyncSession, world: World
) -> None:
    await give_imported(session, world.worker)
    assert await known(session, await give_token(session, world.worker)) == "Worker"
    assert await known(session, IMPORTED) is None


async def test_a_short_imported_token_is_known_and_not_kept_in_clear(
    session: AsyncSession, world: World
) -> None:
    await give_imported(session, world.worker, "a short token")
    assert await known(session, "a short token") == "Worker"
    assert "a short token" not in (await session.scalars(select(AgentToken.prefix))).all()
    assert await known(session, "a short token") == "Worker"


async def test_a_hash_that_is_no_hash_fits_nothing(session: AsyncSession, world: World) -> None:
    for broken in ("", "pbkdf2_sha256$x$y$z", "pbkdf2_sha256$1000$é$é", "md5$1$a$b"):
        kept = update(Agent).where(Agent.id == world.worker.id).values(agent_token_hash=broken)
        await session.execute(kept)
        assert await known(session, IMPORTED) is None


async def test_slow_hashes_are_computed_beside_the_event_loop_and_never_for_our_own_tokens(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13."""
    threads = []
    real = secrets.hashlib.pbkdf2_hmac

    def watched(*told: Any) -> bytes:
        threads.append(threading.current_thread())
        return real(*told)

    monkeypatch.setattr(secrets.hashlib, "pbkdf2_hmac", watched)
    await give_imported(session, world.worker)
    threads.clear()
    assert await known(session, new_token("agent")) is None
    assert threads == []
    assert await known(session, "another-imported-token-that-nobody-was-given") is None
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_a_person_makes_a_token_for_a_script_and_ends_it(
    session: AsyncSession, world: World
) -> None:
    token, secret = await identity.create_api_token(session, world.alice, name=" nightly ")
    assert token.name == "nightly"
    user = await identity.user_with_token(session, secret, ACCOUNTS)
    assert user is not None
    assert user.id == world.alice.id
    assert [one.name for one in await identity.api_tokens(session, world.alice)] == [
        "nightly",
        "script",
    ]
    await identity.revoke_api_token(session, world.alice, token.id)
    assert await identity.user_with_token(session, secret, ACCOUNTS) is None


async def test_the_beginning_of_a_script_s_token_is_not_enough(
    session: AsyncSession, world: World
) -> None:
    _, secret = await identity.create_api_token(session, world.alice, name="nightly")
    for guess in (prefix(secret), prefix(secret) + "x" * 31, secret + "x"):
        assert await identity.user_with_token(session, guess, ACCOUNTS) is None


async def test_the_last_use_of_a_script_s_token_is_noted(
    session: AsyncSession, world: World
) -> None:
    token, secret = await identity.create_api_token(session, world.alice, name="nightly")
    assert token.last_used_at is None
    await identity.user_with_token(session, secret, ACCOUNTS)
    await session.refresh(token)
    assert token.last_used_at is not None


async def test_nobody_ends_or_sees_the_tokens_of_others(
    session: AsyncSession, world: World
) -> None:
    token, _ = await identity.create_api_token(session, world.alice, name="nightly")
    for stranger in (world.charlie, world.bob):
        with pytest.raises(NotFound):
            await identity.revoke_api_token(session, stranger, token.id)
        assert token not in await identity.api_tokens(session, stranger)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "NUL \0"])
async def test_a_token_needs_a_name(session: AsyncSession, world: World, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await identity.create_api_token(session, world.alice, name=name)
    assert refusal.value.field == "name"


async def test_the_local_token_makes_its_user_once(session: AsyncSession) -> None:
    user = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    assert user.clerk_user_id == "local-auth-user"
    assert (user.email, user.name) == ("admin@home.local", "Local User")
    again = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert again.id == user.id


async def test_blank_fields_of_the_local_user_are_filled_again(session: AsyncSession) -> None:
    user = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    await session.execute(update(User).where(User.id == user.id).values(email="", name=None))
    again = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert again is not None
    assert (again.email, again.name) == ("admin@home.local", "Local User")


async def test_an_address_that_is_taken_is_not_filled_in(
    session: AsyncSession, world: World
) -> None:
    taken = update(User).where(User.id == world.charlie.id).values(email="Admin@Home.Local")
    await session.execute(taken)
    user = await identity.user_with_token(session, LOCAL_TOKEN, LOCAL)
    assert user is not None
    assert (user.email, user.name) == (None, "Local User")


async def test_the_local_token_counts_in_local_mode_only(session: AsyncSession) -> None:
    accounts = Settings(local_auth_token=LOCAL_TOKEN)
    assert await identity.user_with_token(session, LOCAL_TOKEN, accounts) is None
    assert await identity.user_with_token(session, LOCAL_TOKEN[:-1], LOCAL) is None
    assert await session.scalar(select(User)) is None
    assert await session.scalar(select(ApiToken)) is None
