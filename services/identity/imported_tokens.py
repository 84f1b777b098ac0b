"""Tokens of imported agents, whose PBKDF2 hashes are expensive to compute."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from core.limiters import VerificationQueue
from core.security.secrets import verify_pbkdf2

MAX_TOKENS_AT_ONCE = 1
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
        self._queue = VerificationQueue(MAX_TOKENS_AT_ONCE)
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
