"""Verify credentials, and count failures so that valid credentials always work.

One object for each process limits how many passwords are verified at once. The design is in
docs/decisions/rate-limits.md.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.limiters import VerificationQueue
from services.identity.failed_attempts import SHARED_FACTOR, AttemptLimit, FailedAttemptCounter
from services.identity.passwords import (
    StoredPassword,
    VerifiedPassword,
    hash_new_password,
    verify_credentials,
    verify_current_password,
)
from services.identity.tokens import ImportedTokenVerifier

MAX_PASSWORDS_AT_ONCE = 2  # each takes 64 MB and about 0.1 s
TOKEN_SHARE = 50  # how many times the limit of one credential a network has


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
        self._passwords = VerificationQueue(MAX_PASSWORDS_AT_ONCE)
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
        """Do the same for the password of a signed-in user; yield its lane. Raises TooMany."""
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
        limits = {f"tokens {network}": self._token_limit.times(TOKEN_SHARE)}
        if token:
            limits[f"token {network} {token}"] = self._token_limit
        await self._counter.record_failure(limits)

    async def record_invalid_link(self, network: str) -> None:
        """Count an invalid one-time link. Raises TooMany above the limit of the network."""
        limit = self._sign_in_limit.times(SHARED_FACTOR)
        await self._counter.record_failure({f"link {network}": limit})
