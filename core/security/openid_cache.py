"""Cache values that an OpenID provider publishes: its metadata and its signing keys."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from pydantic import BaseModel

from core.errors import Unavailable

log = logging.getLogger(__name__)

REFRESH_AFTER = 3600.0  # seconds until a background refresh
EXPIRE_AFTER = 24 * 3600.0  # seconds until a value that could not be refreshed is discarded
RETRY_INTERVAL = 5.0  # seconds between two fetch attempts, independent of the callers

T = TypeVar("T")


class ProviderUnreachable(Exception):
    """The provider does not respond or returns an invalid response. The text is for the log."""


def provider_unavailable() -> Unavailable:
    """Return the error shown to users when the provider is unreachable."""
    return Unavailable("The sign-in service does not answer. Try again soon.", cause="sign_in")


class ProviderMetadata(BaseModel, frozen=True):
    """Hold the used part of the provider metadata (OpenID Connect Discovery, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @property
    def addresses(self) -> list[str]:
        """The endpoints that browsers or this server call."""
        known = [self.authorization_endpoint, self.token_endpoint, self.jwks_uri]
        return [*known, *([self.userinfo_endpoint] if self.userinfo_endpoint else [])]


class StaleWhileRevalidate(Generic[T]):
    """Cache one value; concurrent callers share a single request.

    `fetch` raises ProviderUnreachable or Unavailable. The cached value is served during a refresh,
    and for one day while the provider is unreachable, so that known users can still sign in.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[T]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cached: tuple[float, T] | None = None
        self._attempted_at = -RETRY_INTERVAL
        self._refresh_task: asyncio.Task[None] | None = None

    async def get_value(self) -> T:
        """Return the cached value; fetch it if there is none. Raises Unavailable."""
        age = self._age()
        if age > EXPIRE_AFTER:
            return await self.refresh_value()
        if age > REFRESH_AFTER:
            self._start_refresh()
        return self._current_value()

    async def refresh_value(self) -> T:
        """Fetch a new value, unless the last attempt was just before. Raises Unavailable."""
        trying = self._start_refresh()
        if trying is not None:
            await asyncio.shield(trying)
        return self._current_value()

    async def close(self) -> None:
        """Cancel a running refresh."""
        if self._refresh_task is not None:
            self._refresh_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresh_task

    def _current_value(self) -> T:
        if self._cached is None or self._age() > EXPIRE_AFTER:
            raise provider_unavailable()
        return self._cached[1]

    def _age(self) -> float:
        return EXPIRE_AFTER + 1 if self._cached is None else self._clock() - self._cached[0]

    def _start_refresh(self) -> asyncio.Task[None] | None:
        """Start a refresh, unless one is running or the last attempt was just before."""
        if self._refresh_task is None and self._clock() - self._attempted_at >= RETRY_INTERVAL:
            self._attempted_at = self._clock()
            self._refresh_task = asyncio.create_task(self._refresh())
        return self._refresh_task

    async def _refresh(self) -> None:
        try:
            self._cached = (self._clock(), await self._fetch())
        except (ProviderUnreachable, Unavailable) as error:
            log.warning("The OpenID provider cannot be used: %s", error)
        finally:
            self._refresh_task = None
