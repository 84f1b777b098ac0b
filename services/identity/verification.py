"""Verify credentials, and count failures so that valid credentials always work.

One object for each process limits how many passwords are verified at once. Failures are counted
for all processes. The design is in docs/decisions/rate-limits.md.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import Invalid, TooMany, Unauthorized
from core.limiters import VerificationQueue
from core.metrics import REJECTIONS
from core.security.secrets import hash_token
from models import FailedAttempts, new_id
from services.identity.passwords import (
    StoredPassword,
    VerifiedPassword,
    hash_new_password,
    verify_credentials,
    verify_current_password,
)
from services.identity.tokens import ImportedTokenVerifier

SHARED_FACTOR = 20  # how many times the limit an account or a network has, all attempts together
MAX_EXCESS = 7  # failures above a limit that are counted; 2 ** 7 s exceeds all delays


@dataclass(frozen=True)
class AttemptLimit:
    """The failures that are allowed in `seconds` without a delay, and the longest delay."""

    max_failures: int
    seconds: float
    max_delay: float  # seconds

    def times(self, factor: int) -> "AttemptLimit":
        """Return the limit of all attempts of an account or a network together."""
        return replace(self, max_failures=factor * self.max_failures)


@dataclass(frozen=True)
class AttemptState:
    """The failures of one key: their number, which decreases over time, and the next free turn."""

    level: float
    updated_at: datetime
    next_at: datetime

    @classmethod
    def unused(cls, at: datetime) -> "AttemptState":
        """Return the state of a key without failures."""
        return cls(0, at, at)


def current_level(state: AttemptState, limit: AttemptLimit, at: datetime) -> float:
    """Return the number of failures that still count: `max_failures` are forgotten in `seconds`."""
    elapsed = max(0.0, (at - state.updated_at).total_seconds())
    return max(0.0, state.level - elapsed * limit.max_failures / limit.seconds)


def add_failures(
    state: AttemptState, limit: AttemptLimit, at: datetime, number: int = 1
) -> AttemptState:
    """Return the state after more failures."""
    level = current_level(state, limit, at) + number
    level = min(level, limit.max_failures + MAX_EXCESS)
    return AttemptState(level, at, state.next_at)


def compute_delay(level: float, limit: AttemptLimit, *, allowed: int) -> float:
    """Return the seconds until the next attempt; they double with each failure above `allowed`."""
    if level < allowed:
        return 0.0
    return min(2.0 ** min(level - allowed, MAX_EXCESS), limit.max_delay)


def find_turn(
    state: AttemptState, limit: AttemptLimit, at: datetime, *, allowed: int
) -> tuple[datetime, AttemptState]:
    """Return when an attempt may be verified, and the state with the attempt counted.

    Attempts up to `allowed` need not wait. Later ones are verified one after the other.
    """
    level = current_level(state, limit, at)
    delay = compute_delay(level, limit, allowed=allowed)
    turn = max(at, state.next_at) if delay else at
    counted = add_failures(state, limit, at)
    return turn, replace(counted, next_at=turn + timedelta(seconds=delay) if delay else at)


MAX_KEYS = 20_000  # in memory; beyond this the least recently used keys are discarded
MAX_ROWS = 100_000  # in the table, after a purge
SYNC_STEP = 5  # failures of one key that are counted here before they are written
SYNC_INTERVAL = 1.0  # seconds between two writes of one key
LIFETIME = timedelta(days=1)  # of a row that does not change


@dataclass
class _LocalCount:
    """What this process knows of a key, and the failures that it has not written yet."""

    state: AttemptState
    pending: int = 0
    written_at: datetime | None = None


class FailedAttemptCounter:
    """Counts failures in a table, with a part of the counts in the memory of this process."""

    def __init__(
        self,
        transaction_factory: TransactionFactory,
        *,
        clock: Callable[[], datetime] = now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transaction_factory = transaction_factory
        self._clock = clock
        self._sleep = sleep
        self._counts: dict[str, _LocalCount] = {}
        self._full_until: dict[str, datetime] = {}

    async def record_failure(self, limits: Mapping[str, AttemptLimit]) -> None:
        """Count a failure whose verification was cheap. Raises TooMany above one of the limits."""
        delays = [await self._record(key, limit) for key, limit in limits.items()]
        if any(delays):
            REJECTIONS.labels("failed_auth").inc()
            raise TooMany(retry_after=math.ceil(max(delays)))

    @asynccontextmanager
    async def attempt(
        self, key: str, limit: AttemptLimit, shared_keys: Sequence[str] = ()
    ) -> AsyncGenerator[None]:
        """Wait until an expensive verification may run, and count it unless the block succeeds.

        `shared_keys` are counted with a higher limit; above it the key has one attempt without a
        delay. Raises TooMany if the wait would be longer than the longest delay.
        """
        await self._wait_for_turn(key, limit, shared_keys)
        try:
            yield
        except (Unauthorized, Invalid):
            raise
        except BaseException:
            await self._undo([key, *shared_keys])
            raise
        await self._undo([key, *shared_keys])

    async def _record(self, key: str, limit: AttemptLimit) -> float:
        """Count a failure, and return the seconds that the caller has to wait, or 0."""
        at = self._clock()
        count = self._counts.pop(key, None) or _LocalCount(AttemptState.unused(at))
        self._counts[key] = count
        _shrink(self._counts)
        count.state = add_failures(count.state, limit, at)
        count.pending += 1
        if count.pending >= SYNC_STEP and _is_due(count, at):
            added, count.pending, count.written_at = count.pending, 0, at
            async with self._transaction_factory() as session:
                states = await _lock_states(session, [key], at)
                count.state = add_failures(states[key], limit, at, added)
                await _save_states(session, {key: count.state})
        above = count.state.level > limit.max_failures
        allowed = limit.max_failures + 1
        return compute_delay(count.state.level, limit, allowed=allowed) or 1.0 if above else 0.0

    async def _wait_for_turn(
        self, key: str, limit: AttemptLimit, shared_keys: Sequence[str]
    ) -> None:
        at = self._clock()
        self._check_known_wait(key, limit, at)
        async with self._transaction_factory() as session:
            states = await _lock_states(session, [key, *shared_keys], at)
            shared = limit.times(SHARED_FACTOR)
            exceeded = any(
                current_level(states[one], shared, at) >= shared.max_failures for one in shared_keys
            )
            allowed = 1 if exceeded else limit.max_failures
            turn, state = find_turn(states[key], limit, at, allowed=allowed)
            wait = (turn - at).total_seconds()
            if wait <= limit.max_delay:
                changed = {one: add_failures(states[one], shared, at) for one in shared_keys}
                await _save_states(session, {key: state, **changed})
        if wait > limit.max_delay:
            self._full_until[key] = turn
            _shrink(self._full_until)
            self._check_known_wait(key, limit, at)
        if wait > 0:
            await self._sleep(wait)

    def _check_known_wait(self, key: str, limit: AttemptLimit, at: datetime) -> None:
        """Raise TooMany without a query while a key is known to have no free turn."""
        wait = (self._full_until.get(key, at) - at).total_seconds()
        if wait > limit.max_delay:
            REJECTIONS.labels("sign_in").inc()
            raise TooMany(retry_after=math.ceil(wait - limit.max_delay))

    async def _undo(self, keys: Sequence[str]) -> None:
        """Remove one failure of each key, because the attempt did not fail."""
        hashes = [hash_token(key) for key in sorted(keys, key=hash_token)]
        async with self._transaction_factory() as session:
            for key_hash in hashes:
                row = update(FailedAttempts).where(FailedAttempts.key_hash == key_hash)
                await session.execute(row.values(level=FailedAttempts.level - 1))


async def _lock_states(
    session: AsyncSession, keys: Sequence[str], at: datetime
) -> dict[str, AttemptState]:
    """Lock the rows of the keys in the order of their hashes, and return their states."""
    key_by_hash = {hash_token(key): key for key in keys}
    values = [
        {"id": new_id(), "key_hash": key_hash, "level": 0.0, "updated_at": at, "next_at": at}
        for key_hash in sorted(key_by_hash)
    ]
    await session.execute(insert(FailedAttempts).values(values).on_conflict_do_nothing())
    query = select(FailedAttempts).where(FailedAttempts.key_hash.in_(key_by_hash))
    rows = await session.scalars(query.order_by(FailedAttempts.key_hash).with_for_update())
    found = {row.key_hash: AttemptState(row.level, row.updated_at, row.next_at) for row in rows}
    return {
        key: found.get(key_hash, AttemptState.unused(at)) for key_hash, key in key_by_hash.items()
    }


async def _save_states(session: AsyncSession, states: Mapping[str, AttemptState]) -> None:
    for key, state in states.items():
        row = update(FailedAttempts).where(FailedAttempts.key_hash == hash_token(key))
        values = {"level": state.level, "updated_at": state.updated_at, "next_at": state.next_at}
        await session.execute(row.values(values).execution_options(synchronize_session=False))


async def delete_old_failed_attempts(session: AsyncSession) -> None:
    """Delete the counts that have not changed for a day, and the oldest above MAX_ROWS."""
    newest = select(FailedAttempts.id).order_by(FailedAttempts.updated_at.desc()).limit(MAX_ROWS)
    is_old = FailedAttempts.updated_at < now() - LIFETIME
    await session.execute(delete(FailedAttempts).where(is_old))
    await session.execute(delete(FailedAttempts).where(FailedAttempts.id.not_in(newest)))


def _is_due(count: _LocalCount, at: datetime) -> bool:
    return count.written_at is None or at - count.written_at >= timedelta(seconds=SYNC_INTERVAL)


def _shrink(known: dict[str, _LocalCount] | dict[str, datetime]) -> None:
    while len(known) > MAX_KEYS:
        del known[next(iter(known))]


@dataclass(frozen=True)
class SignInSource:
    """Where an attempt to sign in comes from.

    `device` identifies a browser in which the user has signed in before, or is empty.
    """

    email: str
    network: str
    device: str = ""

    @property
    def lane(self) -> str:
        """The lane of the verification: attempts of known devices do not wait for others."""
        return f"device {self.device}" if self.device else f"network {self.network}"


class CredentialVerifier:
    """Verifies credentials and counts failures, so that valid credentials always work."""

    def __init__(self, settings: Settings, transaction_factory: TransactionFactory) -> None:
        self._counter = FailedAttemptCounter(transaction_factory)
        self._passwords = VerificationQueue(2)  # each takes 64 MB and about 0.1 s
        self.imported_tokens = ImportedTokenVerifier()
        self._sign_in_limit = AttemptLimit(
            settings.rate_limit_sign_in,
            settings.rate_limit_sign_in_seconds,
            settings.rate_limit_sign_in_delay,
        )
        self._token_limit = AttemptLimit(
            settings.rate_limit_failed_auth,
            settings.rate_limit_failed_auth_seconds,
            settings.rate_limit_failed_auth_seconds,
        )

    @asynccontextmanager
    async def sign_in_attempt(self, source: SignInSource) -> AsyncGenerator[None]:
        """Wait until a password may be verified; count a failure in the block. Raises TooMany."""
        if source.device:
            attempt = self._counter.attempt(f"device {source.device}", self._sign_in_limit)
        else:
            account, network = f"account {source.email}", f"sign-in {source.network}"
            shared = (account, network)
            attempt = self._counter.attempt(f"{account} {network}", self._sign_in_limit, shared)
        async with attempt:
            yield

    @asynccontextmanager
    async def password_attempt(self, user_id: UUID) -> AsyncGenerator[str]:
        """Wait until the password of a signed-in user may be verified, and yield its lane.

        Counts a failure in the block. Raises TooMany.
        """
        lane = f"user {user_id}"
        async with self._counter.attempt(lane, self._sign_in_limit):
            yield lane

    async def verify_credentials(
        self, stored: StoredPassword, password: str, *, lane: str
    ) -> VerifiedPassword:
        """Verify a password. Raises Unauthorized and TooMany."""
        async with self._passwords.turn(lane):
            return await verify_credentials(stored, password)

    async def verify_current_password(
        self, stored: StoredPassword, current: str, *, lane: str
    ) -> VerifiedPassword:
        """Verify the password of a signed-in user. Raises Invalid (field `current`) and TooMany."""
        async with self._passwords.turn(lane):
            return await verify_current_password(stored, current)

    async def hash_new_password(
        self, password: str, field: str, *, email: str | None, lane: str
    ) -> str:
        """Validate a new password for an account, and return its hash. Raises Invalid, TooMany."""
        async with self._passwords.turn(lane):
            return await hash_new_password(password, field, email)

    async def record_invalid_token(self, network: str, token: str) -> None:
        """Count an invalid token. Raises TooMany above the limit of the token or the network.

        `token` identifies it, for example its prefix; it is empty for a call without a token.
        """
        limits = {f"tokens {network}": self._token_limit.times(50)}
        if token:
            limits[f"token {network} {token}"] = self._token_limit
        await self._counter.record_failure(limits)

    async def record_invalid_link(self, network: str) -> None:
        """Count an invalid one-time link. Raises TooMany above the limit of the network."""
        limit = self._sign_in_limit.times(SHARED_FACTOR)
        await self._counter.record_failure({f"link {network}": limit})
