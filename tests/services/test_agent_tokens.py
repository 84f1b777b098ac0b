"""Tokens of agents: ours, and those that were imported with a slow hash."""

import asyncio
import base64
import hashlib
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.errors import Unauthorized
from core.security import secrets
from core.security.secrets import generate_token, hash_token, token_prefix
from models import Agent, AgentToken, new_id
from services import identity
from services.identity import tokens
from services.identity.tokens import ImportedHash, ImportedTokenVerifier
from tests.support.credentials import authenticate_agent, authenticate_user
from tests.support.people_rows import token_secret
from tests.support.statement_counter import count_statements
from tests.support.world import World

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


async def add_token(session: AsyncSession, agent: Agent, **fields: Any) -> str:
    token = generate_token("agent")
    defaults = {"created_at": now(), "first_used_at": None}
    session.add(
        AgentToken(
            agent_id=agent.id,
            prefix=token_prefix(token),
            secret_hash=hash_token(token),
            **defaults | fields,
        )
    )
    await session.flush()
    return token


async def add_imported_token(session: AsyncSession, agent: Agent, token: str = IMPORTED) -> None:
    stored = update(Agent).where(Agent.id == agent.id).values(agent_token_hash=pbkdf2(token))
    await session.execute(stored)


async def authenticate(session: AsyncSession, token: str) -> Agent | None:
    """Authenticate a token as the API does, in one transaction."""
    verifier = ImportedTokenVerifier()
    agent = await authenticate_agent(session, token)
    if agent is None:
        hashes = await identity.list_imported_hashes(session, token)
        await verifier.verify(token, hashes, lane="192.0.2.1")
        agent = await authenticate_agent(session, token, verifier)
    return agent


async def find_agent(session: AsyncSession, token: str) -> str | None:
    agent = await authenticate(session, token)
    return agent.name if agent else None


async def test_an_agent_is_authenticated_with_one_statement(
    session: AsyncSession, world: World
) -> None:
    """S13, P5, W-05."""
    with count_statements(await session.connection()) as statements:
        agent = await authenticate_agent(session, token_secret(world.worker))
    assert agent is not None
    assert (agent.id, agent.board_id) == (world.worker.id, world.board.id)
    assert len(statements) == 1


async def test_a_token_identifies_agents_of_other_organizations(
    session: AsyncSession, world: World
) -> None:
    assert await find_agent(session, token_secret(world.charlies_worker)) == "Charlie's worker"


@pytest.mark.parametrize("token", NO_TOKENS)
async def test_a_text_that_is_no_token_is_rejected(
    session: AsyncSession, world: World, token: str
) -> None:
    await add_imported_token(session, world.worker)
    assert await find_agent(session, token) is None
    for settings in (LOCAL, ACCOUNTS):
        assert await authenticate_user(session, token, settings) is None


async def test_the_prefix_of_a_token_is_not_enough(session: AsyncSession, world: World) -> None:
    token = await add_token(session, world.worker)
    assert await find_agent(session, token_prefix(token)) is None
    assert await find_agent(session, token_prefix(token) + "x" * 32) is None


async def test_both_tokens_work_until_the_newer_one_is_used(
    session: AsyncSession, world: World
) -> None:
    """W-02. A27.7."""
    old = token_secret(world.worker)
    new = await add_token(session, world.worker)
    assert await find_agent(session, old) == "Worker"
    assert await find_agent(session, new) == "Worker"
    with pytest.raises(Unauthorized) as ended:
        await find_agent(session, old)
    assert ended.value.code == "token_ended"
    assert await find_agent(session, new) == "Worker"
    assert await find_agent(session, token_secret(world.other_worker)) == "Other worker"


async def test_late_use_of_an_older_token_ends_no_newer_one(
    session: AsyncSession, world: World
) -> None:
    late = await add_token(session, world.worker, created_at=now() - timedelta(days=1))
    new = token_secret(world.worker)
    assert await find_agent(session, late) == "Worker"
    assert await find_agent(session, new) == "Worker"


async def test_an_imported_token_is_accepted_and_stored_as_ours(
    session: AsyncSession, world: World
) -> None:
    """W-05. A27.3. PBKDF2, as for older agents."""
    await add_imported_token(session, world.worker)
    assert await find_agent(session, IMPORTED) == "Worker"
    agent = await session.get(Agent, world.worker.id, populate_existing=True)
    assert agent is not None
    assert agent.agent_token_hash is None
    stored = await session.scalars(select(AgentToken.secret_hash))
    assert hash_token(IMPORTED) in stored.all()
    assert await find_agent(session, IMPORTED) == "Worker"


async def test_the_first_use_of_a_new_token_ends_the_imported_one(
    session: AsyncSession, world: World
) -> None:
    await add_imported_token(session, world.worker)
    new = await add_token(session, world.worker)
    assert await find_agent(session, IMPORTED) == "Worker"
    assert await find_agent(session, new) == "Worker"
    with pytest.raises(Unauthorized):
        await find_agent(session, IMPORTED)


async def test_a_new_token_ends_an_imported_one_that_was_never_used(
    session: AsyncSession, world: World
) -> None:
    await add_imported_token(session, world.worker)
    assert await find_agent(session, await add_token(session, world.worker)) == "Worker"
    assert await find_agent(session, IMPORTED) is None


async def test_a_short_imported_token_is_not_stored_with_its_prefix(
    session: AsyncSession, world: World
) -> None:
    await add_imported_token(session, world.worker, "a short token")
    assert await find_agent(session, "a short token") == "Worker"
    assert "a short token" not in (await session.scalars(select(AgentToken.prefix))).all()
    assert await find_agent(session, "a short token") == "Worker"


async def test_a_malformed_hash_matches_no_token(session: AsyncSession, world: World) -> None:
    for broken in ("", "pbkdf2_sha256$x$y$z", "pbkdf2_sha256$1000$é$é", "md5$1$a$b"):
        stored = update(Agent).where(Agent.id == world.worker.id).values(agent_token_hash=broken)
        await session.execute(stored)
        assert await find_agent(session, IMPORTED) is None


async def test_slow_hashes_run_in_a_thread_and_not_for_our_tokens(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S13."""
    threads = []
    real = secrets.hashlib.pbkdf2_hmac

    def watched(*reported: Any) -> bytes:
        threads.append(threading.current_thread())
        return real(*reported)

    monkeypatch.setattr(secrets.hashlib, "pbkdf2_hmac", watched)
    await add_imported_token(session, world.worker)
    threads.clear()
    assert await find_agent(session, generate_token("agent")) is None
    assert threads == []
    assert await find_agent(session, "another-imported-token-that-nobody-was-given") is None
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The tokens for which a PBKDF2 hash was computed."""
    computed: list[bytes] = []
    real = secrets.hashlib.pbkdf2_hmac

    def recording(name: str, token: bytes, *rest: Any) -> bytes:
        computed.append(token)
        return real(name, token, *rest)

    monkeypatch.setattr(secrets.hashlib, "pbkdf2_hmac", recording)
    return computed


HASHES = [ImportedHash(new_id(), pbkdf2(f"imported-{number}", 10)) for number in range(3)]


async def test_an_outdated_imported_token_is_verified_once(verifications: list[bytes]) -> None:
    verifier = ImportedTokenVerifier()
    calls = [verifier.verify("outdated", HASHES, lane="a") for _ in range(20)]
    assert await asyncio.gather(*calls) == [None] * 20
    assert await verifier.verify("outdated", HASHES[:2], lane="b") is None
    assert len(verifications) == 3

    another = ImportedHash(new_id(), pbkdf2("outdated", 10))
    verifications.clear()
    assert await verifier.verify("outdated", [*HASHES, another], lane="a") == another
    assert len(verifications) == 1


async def test_an_outdated_imported_token_does_not_block_another() -> None:
    verifier = ImportedTokenVerifier()
    outdated = [verifier.verify(f"outdated-{number}", HASHES, lane="a") for number in range(15)]
    *nobody, match = await asyncio.gather(
        *outdated, verifier.verify("imported-1", HASHES, lane="b")
    )
    assert nobody == [None] * 15
    assert match == HASHES[1]
    assert verifier.find_verified("imported-1") == HASHES[1]
    assert verifier.find_verified("outdated-1") is None


async def test_the_results_of_few_tokens_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_CACHED_TOKENS", 2)
    verifier = ImportedTokenVerifier()
    for number in range(3):
        await verifier.verify(f"imported-{number}", HASHES, lane="a")
    assert verifier.find_verified("imported-0") is None
    assert verifier.find_verified("imported-2") == HASHES[2]


async def test_an_ended_token_says_so_until_it_is_forgotten(
    session: AsyncSession, world: World
) -> None:
    agent = await session.get_one(Agent, world.worker.id)
    await identity.end_agent_tokens(session, agent)
    with pytest.raises(Unauthorized) as ended:
        await find_agent(session, token_secret(world.worker))
    assert ended.value.code == "token_ended"
    long_ago = now() - timedelta(days=91)
    await session.execute(update(AgentToken).values(ended_at=long_ago))
    await identity.end_agent_tokens(session, agent)
    assert await find_agent(session, token_secret(world.worker)) is None
