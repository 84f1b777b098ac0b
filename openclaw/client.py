"""Keep a connection to a gateway: reconnect when it is lost, and retry calls."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from openclaw.capabilities import GatewayCapabilities
from openclaw.connection import GatewayConnection, open_connection
from openclaw.errors import NOT_EXECUTED_ERRORS, TEMPORARY_ERRORS, ErrorKind, GatewayError
from openclaw.frames import GatewayEvent
from openclaw.protocol import GatewayTarget, Hello
from openclaw.subscriptions import EVENTS_MISSED, EventHub, Subscription

OPERATOR_ERRORS = frozenset(
    {
        ErrorKind.ADDRESS_INVALID,
        ErrorKind.ADDRESS_FORBIDDEN,
        ErrorKind.TOKEN_MISSING,
        ErrorKind.TOKEN_MISMATCH,
        ErrorKind.RATE_LIMITED,
    }
)
"""Errors that an operator must fix. Gateways count these attempts and block frequent ones."""

JITTER = 0.2  # of every delay, so that not all clients reconnect to a gateway at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """The timeouts and delays of calls to a gateway, in seconds."""

    call_timeout: float = 30.0  # for one response
    total_timeout: float = 45.0  # for a call with all retries, including connecting
    first_delay: float = 0.5  # before the first retry; doubled for each further retry
    max_delay: float = 5.0
    operator_delay: float = 8.6  # between attempts after an error that an operator must fix

    def delays(self) -> Iterator[float]:
        """Yield the delay before each retry, in seconds."""
        delay = self.first_delay
        while True:
            yield delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
            delay = min(2 * delay, self.max_delay)

    def delay_after(self, error: GatewayError, delay: float, duration: float) -> float:
        """Return the delay after an attempt that failed after `duration` seconds.

        For errors that an operator must fix, the interval counts from the start of the attempt: a
        local gateway delays its response to a wrong token by up to 5 s.
        """
        if error.kind in OPERATOR_ERRORS:
            delay = max(self.first_delay, self.operator_delay - duration)
        return max(delay, error.retry_after or 0)


class GatewayClient:
    """Call a gateway; connect on first use and again after the connection is lost.

    A call is sent when `before_call` returns.
    """

    def __init__(
        self,
        target: GatewayTarget,
        *,
        caps: Sequence[str] = (),
        retry_policy: RetryPolicy = RetryPolicy(),
        capabilities: GatewayCapabilities | None = None,
        before_call: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.target = target
        self._before_call = before_call
        self.capabilities = capabilities or GatewayCapabilities()
        self._caps = caps
        self._retry_policy = retry_policy
        self._event_hub = EventHub()
        self._connection: GatewayConnection | None = None
        self._connect_lock = asyncio.Lock()
        self._connected_event = asyncio.Event()

    async def __aenter__(self) -> "GatewayClient":
        """Return the client; it is closed at the end of the block."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connection."""
        await self.close()

    async def call_with_retry(
        self, method: str, params: Mapping[str, Any] | None = None, *, is_idempotent: bool = False
    ) -> Any:
        """Call a method and return its result. Raises GatewayError.

        A call is retried if the gateway was not ready. If the response was lost, the gateway may
        have executed the call: it is then retried only if it `is_idempotent` (it reads, or carries
        an idempotency key).
        """
        time_limit = self._retry_policy.call_timeout
        return await self._run_with_retry(
            lambda connection: self._call(connection, method, params, time_limit), is_idempotent
        )

    async def call_once(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        time_limit: float | None = None,
    ) -> Any:
        """Call a method once over the existing connection. Raises GatewayError.

        It is for callers that keep the connection open and retry themselves, after they have
        checked that the call is still needed. `time_limit` is in seconds; by default it is that
        of the retry policy.
        """
        if self._connection is None:
            raise GatewayError(ErrorKind.CLOSED, "There is no connection at the moment.")
        time_limit = self._retry_policy.call_timeout if time_limit is None else time_limit
        return await self._call(self._connection, method, params, time_limit)

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""
        return self._connection is not None and self._connection.end_error is None

    async def get_hello(self) -> Hello:
        """Connect if necessary and return the hello of the gateway. Raises GatewayError."""

        async def return_hello(connection: GatewayConnection) -> Hello:
            return connection.hello

        return await self._run_with_retry(return_hello, is_idempotent=True)

    def subscribe(self, *names: str) -> Subscription:
        """Subscribe to events by name, or to all; the subscription survives reconnects."""
        return self._event_hub.subscribe(*names)

    async def stay_connected(
        self, on_change: Callable[[Hello | GatewayError], Awaitable[None]]
    ) -> None:
        """Stay connected until cancelled; call `on_change` when a connection is opened or lost.

        Also when a connected gateway stops or begins to answer, or something is learned about it.
        Errors that an operator must fix, such as a pairing that is not approved, are retried as
        well, so that no action is needed here after the fix.
        """
        delays = self._retry_policy.delays()
        while True:
            started_at = monotonic()
            try:
                connection = await self._ensure_connected()
                delays = self._retry_policy.delays()
                await on_change(connection.hello)
                error = await _wait_closed(connection, on_change, self.capabilities)
            except GatewayError as connect_error:
                error = connect_error
            await on_change(error)
            duration = monotonic() - started_at
            await asyncio.sleep(self._retry_policy.delay_after(error, next(delays), duration))

    async def wait_connected(self) -> None:
        """Wait until `stay_connected` has opened a connection."""
        while not self.is_connected:
            self._connected_event.clear()
            await self._connected_event.wait()

    async def close(self) -> None:
        """Close the connection, if one is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _call(
        self,
        connection: GatewayConnection,
        method: str,
        params: Mapping[str, Any] | None,
        time_limit: float,
    ) -> Any:
        if self._before_call is not None:
            await self._before_call()
        return await connection.call(method, params, time_limit=time_limit)

    async def _run_with_retry(
        self, operation: Callable[[GatewayConnection], Awaitable[Any]], is_idempotent: bool
    ) -> Any:
        """Run an operation until it succeeds, fails permanently, or the total timeout expires."""
        last: GatewayError | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_policy.total_timeout):
                for delay in self._retry_policy.delays():
                    try:
                        return await self._run_once(operation, is_idempotent)
                    except _Retry as retry:
                        last = retry.error
                    await asyncio.sleep(max(delay, last.retry_after or 0))
        raise last or GatewayError(
            ErrorKind.TIMEOUT,
            f"The gateway did not answer in {self._retry_policy.total_timeout:g} s.",
        )

    async def _run_once(
        self, operation: Callable[[GatewayConnection], Awaitable[Any]], is_idempotent: bool
    ) -> Any:
        """Run an operation once. Raises _Retry if it can be repeated."""
        was_connected = self._connection is not None
        try:
            connection = await self._ensure_connected()
        except GatewayError as error:
            if error.kind in TEMPORARY_ERRORS or (
                was_connected and error.kind is ErrorKind.REFUSED
            ):
                raise _Retry(error) from None
            raise
        try:
            return await operation(connection)
        except GatewayError as error:
            if error.kind in NOT_EXECUTED_ERRORS or (
                is_idempotent and error.kind in TEMPORARY_ERRORS
            ):
                raise _Retry(error) from None
            raise

    async def _ensure_connected(self) -> GatewayConnection:
        """Return the connection; open a new one if it has ended."""
        async with self._connect_lock:
            if self._connection is None or self._connection.end_error is not None:
                self._connection = await self._connect()
                self.capabilities.learn_hello(self._connection.hello)
                self._connected_event.set()
                log.debug("Connected to a gateway.")
            return self._connection

    async def _connect(self) -> GatewayConnection:
        """Connect. A rejected device token is not used again, because gateways count attempts."""
        try:
            return await open_connection(self.target, caps=self._caps, hub=self._event_hub)
        except GatewayError as error:
            if error.kind is ErrorKind.TOKEN_MISMATCH and self.target.token:
                self.target = replace(self.target, device_token="")
            raise


async def _wait_closed(
    connection: GatewayConnection,
    on_change: Callable[[Hello | GatewayError], Awaitable[None]],
    capabilities: GatewayCapabilities,
) -> GatewayError:
    """Wait until a connection has ended; report whether it answers, and what is learned."""

    async def report_learned() -> None:
        while True:
            await capabilities.wait_for_change()
            await on_change(connection.hello)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(connection.watch_answers(on_change))
        learning = group.create_task(report_learned())
        error = await connection.wait_closed()
        watching.cancel()
        learning.cancel()
    return error


class _Retry(Exception):
    """The operation can be repeated."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.error = error


async def poll_events(
    client: GatewayClient,
    names: Collection[str],
    *,
    load_all: Callable[[bool], Awaitable[None]],
    handle_event: Callable[[GatewayEvent], Awaitable[None]],
    interval: float,
    retry_delay: Callable[[GatewayError], float],
) -> None:
    """Handle events by name until cancelled, and reload the whole state when necessary.

    The state is loaded after every connect, after missed events, and every `interval` seconds,
    because gateways drop events for slow clients. The argument of `load_all` is whether events were
    missed. After a GatewayError it is loaded again after `retry_delay` seconds.
    """
    subscription, clock = client.subscribe(*names), asyncio.get_running_loop().time
    event: GatewayEvent | None = EVENTS_MISSED
    next_load_at = clock()
    try:
        while True:
            await client.wait_connected()
            try:
                if event is None or event is EVENTS_MISSED:
                    await load_all(event is EVENTS_MISSED)
                    next_load_at = clock() + interval
                else:
                    await handle_event(event)
            except GatewayError as error:
                log.info("The state of a gateway cannot be loaded: %s", error)
                event = EVENTS_MISSED
                await asyncio.sleep(retry_delay(error))
                continue
            event = await subscription.next_event_before(next_load_at)
    finally:
        subscription.close()
