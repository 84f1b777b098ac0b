"""Create, list, revoke and verify API tokens: those of users' scripts, and those of agents.

Tokens of imported agents have PBKDF2 hashes, which are expensive to compute. They are replaced at
the first use.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Annotated, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.reads import Query, Source, require_transaction
from core.errors import Conflict, Invalid, NotFound, Unauthorized
from core.fields import ONE_LINE, FieldKind, Fields, Label, build_line_constraints
from core.limiters import VerificationQueue
from core.security.openid_tokens import looks_like_jwt
from core.security.secrets import (
    generate_token,
    hash_token,
    secrets_equal,
    token_prefix,
    verify_pbkdf2,
)
from core.text import N_
from models import Agent, AgentToken, ApiToken, RevokedApiToken, TokenScope, User
from services import audit, organizations
from services.audit import AccountChange, AuditAction, AuditObject
from services.identity.registration import FIRST_USER_EXTERNAL_ID, is_email_taken, lock_first_user

MAX_CACHED_TOKENS = 1_000

Cached = TypeVar("Cached")


class ImportedHash(NamedTuple):
    """The PBKDF2 hash of the token of an imported agent."""

    agent_id: UUID
    hash: str


class ImportedTokenVerifier:
    """Verifies tokens of imported agents, each against each hash at most once.

    A token that was imported is compared with the hashes of all agents. The results are cached, so
    that an agent with an outdated token does not keep the server busy.
    """

    def __init__(self) -> None:
        self._queue = VerificationQueue(1)
        self._key = secrets.token_bytes(32)
        self._matches: dict[bytes, ImportedHash] = {}
        self._mismatches: dict[bytes, frozenset[str]] = {}  # hashes that a token does not match
        self._running: dict[bytes, asyncio.Task[ImportedHash | None]] = {}

    def find_verified(self, token: str) -> ImportedHash | None:
        """Return the hash that a token is known to match, without computing anything."""
        return self._matches.get(self._digest(token))

    async def verify(
        self, token: str, hashes: Sequence[ImportedHash], *, lane: str
    ) -> ImportedHash | None:
        """Return the hash that a token matches, or None. Raises TooMany.

        Concurrent calls with the same token wait for one verification.
        """
        if not hashes:
            return None
        digest = self._digest(token)
        known = self._mismatches.get(digest, frozenset())
        untested = [one for one in hashes if one.hash not in known]
        if not untested:
            return None
        if digest not in self._running:
            work = self._verify(digest, token, untested, lane)
            self._running[digest] = asyncio.create_task(work)
        return await asyncio.shield(self._running[digest])

    async def _verify(
        self, digest: bytes, token: str, hashes: Sequence[ImportedHash], lane: str
    ) -> ImportedHash | None:
        try:
            async with self._queue.turn(lane):
                match = await asyncio.to_thread(_find_match, token, hashes)
        finally:
            del self._running[digest]
        if match:
            _remember(self._matches, digest, match)
        else:
            tested = self._mismatches.get(digest, frozenset()) | {one.hash for one in hashes}
            _remember(self._mismatches, digest, tested)
        return match

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._key, token.encode(), hashlib.sha256)


def _find_match(token: str, hashes: Sequence[ImportedHash]) -> ImportedHash | None:
    """Return the hash that matches; each comparison takes about 50 ms."""
    return next((one for one in hashes if verify_pbkdf2(token, one.hash)), None)


def _remember(cache: dict[bytes, Cached], digest: bytes, value: Cached) -> None:
    """Add an entry to a cache, and remove the oldest above MAX_CACHED_TOKENS."""
    cache[digest] = value
    while len(cache) > MAX_CACHED_TOKENS:
        del cache[next(iter(cache))]


MAX_API_TOKENS = 20  # of one user; expired ones do not count
TOKEN_LIFETIMES = (30, 90, 365)  # days that a user can choose; 0 for a token without an end
ENDED_TOKENS_KEPT = timedelta(days=90)  # so that their use can be explained

API_TOKENS: Query[tuple[ApiToken, User]] = Query(
    select(ApiToken, User).join(ApiToken.user).where(ApiToken.prefix == bindparam("prefix"))
)
AGENT_TOKENS: Query[tuple[AgentToken, Agent]] = Query(
    select(AgentToken, Agent).join(AgentToken.agent).where(AgentToken.prefix == bindparam("prefix"))
)
USER_TOKENS: Query[ApiToken] = Query(
    select(ApiToken)
    .where(ApiToken.user_id == bindparam("user_id"))
    .order_by(ApiToken.created_at.desc(), ApiToken.id),
    itemgetter(0),
)
REVOKED_TOKEN: Query[UUID] = Query(
    select(RevokedApiToken.id).where(RevokedApiToken.secret_hash == bindparam("secret_hash")),
    itemgetter(0),
)
FIRST_USER: Query[tuple[User]] = Query(
    select(User).where(User.clerk_user_id == FIRST_USER_EXTERNAL_ID)
)


class ApiTokenCreate(Fields):
    """A new API token. `days` is its lifetime, one of TOKEN_LIFETIMES, or 0 for one without end."""

    name: Annotated[
        str, build_line_constraints(100), ONE_LINE, Label(N_("What is it for?"), FieldKind.LINE)
    ]
    scope: Annotated[TokenScope, Label(N_("What may it do?"))] = TokenScope.READ
    days: Annotated[int, Label(N_("How long is it valid?"))] = 90


async def list_api_tokens(source: Source, user: User) -> Sequence[ApiToken]:
    """Return the user's tokens, newest first."""
    return await USER_TOKENS.fetch(source, user_id=user.id)


@dataclass(frozen=True)
class UserCredential:
    """The user that a token belongs to, and what the token may do."""

    user: User
    scope: TokenScope = TokenScope.WRITE
    token_id: UUID | None = None  # None for the token of the settings
    expires_at: datetime | None = None


async def create_api_token(
    session: AsyncSession,
    user: User,
    fields: ApiTokenCreate,
    *,
    signed_in_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Create a token of this user, and return it with its secret, which is shown once.

    For a token that may change data, `signed_in_at` must be recent: see
    `organizations.require_recent_sign_in`, which raises RecentSignInRequired. Raises Invalid about
    the days, and Conflict above MAX_API_TOKENS. Locks the user.
    """
    scope, days = fields.scope, fields.days
    if scope is not TokenScope.READ:
        organizations.require_recent_sign_in(signed_in_at)
    if days and days not in TOKEN_LIFETIMES:
        reason = N_("Choose one of the lifetimes that are offered.")
        raise Invalid("token_lifetime_invalid", reason, field="days")
    secret, at = generate_token("user"), now()
    token = ApiToken(
        user_id=user.id,
        name=fields.name,
        prefix=token_prefix(secret),
        secret_hash=hash_token(secret),
        scope=scope,
        created_at=at,
        expires_at=at + timedelta(days=days) if days else None,
    )
    await organizations.lock_user(session, user)
    is_valid = ApiToken.expires_at.is_(None) | (ApiToken.expires_at > now())
    own = select(func.count()).select_from(ApiToken).where(ApiToken.user_id == user.id, is_valid)
    if (await session.scalar(own) or 0) >= MAX_API_TOKENS:
        reason = N_("You have %(max_count)s tokens. Revoke one before you create another.")
        raise Conflict("too_many_tokens", reason, max_count=MAX_API_TOKENS)
    session.add(token)
    await session.flush()
    created = AuditObject("token", token.prefix, token.name)
    change = AccountChange(AuditAction.TOKEN_CREATED, created, after={"scope": scope})
    await audit.record_account_changes(session, user.id, [change])
    return token, secret


async def revoke_api_token(session: AsyncSession, user: User, id: UUID) -> str:
    """Revoke one of the user's tokens and return its name. Raises NotFound if it is not theirs."""
    changes = await revoke_api_tokens(session, user, ApiToken.id == id)
    if not changes:
        raise NotFound("api_token_not_found", N_("You have no such token."))
    await audit.record_account_changes(session, user.id, changes)
    return changes[0].target.name or ""


async def revoke_chosen_api_tokens(session: AsyncSession, user: User, ids: Sequence[UUID]) -> int:
    """Revoke those of the user's tokens that still exist, and return their number."""
    changes = await revoke_api_tokens(session, user, ApiToken.id.in_(ids))
    await audit.record_account_changes(session, user.id, changes)
    return len(changes)


async def revoke_api_tokens(
    session: AsyncSession, user: User, *conditions: ColumnElement[bool]
) -> list[AccountChange]:
    """Revoke the tokens of the user that match, and return the changes to record.

    Their hashes are remembered.
    """
    deleted = delete(ApiToken).where(*conditions, ApiToken.user_id == user.id)
    columns = (ApiToken.prefix, ApiToken.name, ApiToken.secret_hash)
    rows, kept_until = await session.execute(deleted.returning(*columns)), now() + ENDED_TOKENS_KEPT
    changes = []
    for prefix, name, hash in rows:
        session.add(RevokedApiToken(user_id=user.id, secret_hash=hash, expires_at=kept_until))
        target = AuditObject("token", prefix, name)
        changes.append(AccountChange(AuditAction.TOKEN_REVOKED, target))
    return changes


async def authenticate_user(
    source: Source, token: str, settings: Settings
) -> UserCredential | None:
    """Return the user that a token belongs to, and its scope, or None.

    In local mode the token of the settings belongs to the first user, who is created on its first
    use. Raises WriteRequired, and Unauthorized for a token that has expired or was revoked.
    """
    if token.startswith("mc_user_"):
        return await _find_by_api_token(source, token)
    local = settings.local_auth_token
    if settings.auth_mode == "local" and local and secrets_equal(token, local):
        audit.use_credential("local_token")
        return UserCredential(await _get_or_create_local_user(source))
    return None


def is_plausible_token(token: str) -> bool:
    """Return whether a text could be one of our tokens; others are not queried."""
    return 0 < len(token) <= 200 and token.isascii() and token.isprintable()


async def _find_by_api_token(source: Source, token: str) -> UserCredential | None:
    if not is_plausible_token(token):
        return None
    token_hash = hash_token(token)
    for found, user in await API_TOKENS.fetch(source, prefix=token_prefix(token)):
        if secrets_equal(found.secret_hash, token_hash):
            audit.use_credential("api_token", found.prefix)
            if found.expires_at is not None and found.expires_at <= now():
                raise Unauthorized(
                    "This token has expired. Create a new one.", "token_expired", sent_as="text"
                )
            return UserCredential(user, found.scope, found.id, found.expires_at)
    if await REVOKED_TOKEN.first(source, secret_hash=token_hash) is not None:
        audit.use_credential("api_token", token_prefix(token))
        reason = "This token was revoked. Create a new one."
        raise Unauthorized(reason, "token_ended", sent_as="text")
    return None


async def _get_or_create_local_user(source: Source) -> User:
    """Return the first user, with missing fields filled in."""
    for (user,) in await FIRST_USER.fetch(source):
        if user.name and user.email:
            return user
    session = require_transaction(source)
    user = await lock_first_user(session)
    email = "admin@home.local"
    if not user.email and not await is_email_taken(session, email, by_other_than=user):
        user.email = email
    user.name = user.name or "Local User"
    await session.flush()
    return user


@dataclass(frozen=True)
class AgentCredential:
    """The agent that a token belongs to, and when the token ends."""

    agent: Agent
    expires_at: datetime | None = None


async def authenticate_agent(
    source: Source, token: str, imported_tokens: ImportedTokenVerifier | None = None
) -> AgentCredential | None:
    """Return the agent that a token belongs to, or None.

    The first use of a token ends the agent's older ones. An imported token is accepted if
    `imported_tokens` has verified it. Raises Unauthorized with the code `token_ended` or
    `token_expired` for a token that is valid no more, and WriteRequired.
    """
    if not is_plausible_token(token):
        return None
    found = await _find_by_own_token(source, token)
    match = imported_tokens.find_verified(token) if found is None and imported_tokens else None
    if match is None:
        return found
    return await accept_imported_token(require_transaction(source), token, match)


async def _find_by_own_token(source: Source, token: str) -> AgentCredential | None:
    token_hash = hash_token(token)
    for found, agent in await AGENT_TOKENS.fetch(source, prefix=token_prefix(token)):
        if secrets_equal(found.secret_hash, token_hash):
            audit.use_credential("agent_token", found.prefix)
            if found.ended_at is not None:
                reason = "This token was ended or replaced. Use the agent's current token."
                raise Unauthorized(reason, "token_ended", sent_as="text")
            if found.expires_at is not None and found.expires_at <= now():
                reason = "This token has expired. Ask an admin for a new token of the agent."
                raise Unauthorized(reason, "token_expired", sent_as="text")
            is_first_use = found.first_used_at is None
            if is_first_use and not await _record_first_use(source, found, agent):
                return None
            return AgentCredential(agent, found.expires_at)
    return None


async def _record_first_use(source: Source, token: AgentToken, agent: Agent) -> bool:
    """Record the first use of a token, and return whether the token still existed.

    The board is kept, and the agent's row is locked, before its tokens, in the same order as their
    deletions; the other order could deadlock.
    """
    session = require_transaction(source)
    is_kept = organizations.build_keeping_condition(token.agent_id)
    owner = select(Agent.id).where(Agent.id == token.agent_id, is_kept)
    await session.execute(owner.with_for_update(key_share=True))
    used = update(AgentToken).where(AgentToken.id == token.id, AgentToken.ended_at.is_(None))
    used = used.values(first_used_at=now()).returning(AgentToken.id)
    if await session.scalar(used) is None:
        return False
    await end_agent_tokens(session, agent, created_before=token.created_at)
    return True


async def end_agent_tokens(
    session: AsyncSession, agent: Agent, *, created_before: datetime | None = None
) -> None:
    """End the tokens of an agent, or only those that are older than a time.

    Ended tokens are kept for a time without their secrets, so that their use gets an error that
    says so. The agent's row must be locked.
    """
    at = now()
    is_old = AgentToken.agent_id == agent.id
    if created_before is not None:
        is_old &= AgentToken.created_at < created_before
    ended = update(AgentToken).where(is_old, AgentToken.ended_at.is_(None))
    ended = ended.execution_options(synchronize_session=False)
    await session.execute(ended.values(ended_at=at, encrypted_token=None))
    is_forgotten = is_old & (AgentToken.ended_at < at - ENDED_TOKENS_KEPT)
    await session.execute(delete(AgentToken).where(is_forgotten))
    await _clear_imported_hash(session, agent)


async def list_imported_hashes(session: AsyncSession, token: str) -> Sequence[ImportedHash]:
    """Return the hashes that a token may match: those of imported agents, none for our tokens."""
    if not is_plausible_token(token) or token.startswith("mc_") or looks_like_jwt(token):
        return []
    query = select(Agent.id, Agent.agent_token_hash).where(Agent.agent_token_hash.is_not(None))
    return [ImportedHash(id, hash) for id, hash in await session.execute(query) if hash]


async def accept_imported_token(
    session: AsyncSession, token: str, match: ImportedHash
) -> AgentCredential | None:
    """Return the agent of a verified token, and store the token as one of ours.

    Return None if the agent has another token meanwhile.
    """
    query = select(Agent).where(
        Agent.id == match.agent_id,
        Agent.agent_token_hash == match.hash,
        organizations.build_keeping_condition(match.agent_id),
    )
    agent = await session.scalar(query.with_for_update(key_share=True))
    if agent is None:
        return await _find_by_own_token(session, token)  # a concurrent request has stored it
    audit.use_credential("agent_token")
    # the stored prefix would reveal much of a shorter one
    if len(token) >= 40 and await _clear_imported_hash(session, agent):
        stored = AgentToken(
            agent=agent,
            prefix=token_prefix(token),
            secret_hash=hash_token(token),
            created_at=agent.created_at,  # older than all tokens issued since
            first_used_at=now(),
        )
        session.add(stored)
        await session.flush()
    return AgentCredential(agent)


async def _clear_imported_hash(session: AsyncSession, agent: Agent) -> bool:
    """Delete an agent's PBKDF2 hash, and return whether there was one."""
    statement = update(Agent).where(Agent.id == agent.id, Agent.agent_token_hash.is_not(None))
    statement = statement.values(agent_token_hash=None).returning(Agent.id)
    return await session.scalar(statement) is not None
