"""A way to a gateway that lasts: what was lost is connected again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from openclaw.connection import Connection, connect
from openclaw.errors import NOT_DONE, PASSING, GatewayError, Trouble
from openclaw.protocol import Hello, Target
from openclaw.subscriptions import Hub, Subscription

OURS = frozenset(
    {
        Trouble.ADDRESS_INVALID,
        Trouble.ADDRESS_FORBIDDEN,
        Trouble.TOKEN_MISSING,
        Trouble.TOKEN_MISMATCH,
        Trouble.RATE_LIMITED,
    }
)
"""What people have to mend. Gateways count such tries, and lock out who comes too often."""

JITTER = 0.2  # of every rest, so that many who lost one gateway don't come back at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """How patient somebody is with a gateway, in seconds."""

    call: float = 30.0  # for one answer
    whole: float = 45.0  # for a call with all its repetitions, and the connection it needs
    first_rest: float = 0.5  # before something is tried again; each rest is twice as long
    longest_rest: float = 5.0
    rest_for_people: float = 8.6  # from one try to the next, where waiting mends nothing

    def rests(self) -> Iterator[float]:
        """Yield how long to wait before each next try."""
        rest = self.first_rest
        while True:
            yield rest * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            rest = min(2 * rest, self.longest_rest)

    def rest_after(self, error: GatewayError, rest: float, took: float) -> float:
        """Return how long to rest when a try has failed that took so many seconds.

        Where people have to mend something, tries are counted from their beginning: a gateway on
        our own machine lets who has a wrong token wait for its answer, by up to 5 s.
        """
        if error.trouble in OURS:
            rest = max(self.first_rest, self.rest_for_people - took)
        return max(rest, error.retry_after or 0)


class Link:
    """A way to a gateway. It connects when it is first needed, and again when that was lost."""

    def __init__(
        self, target: Target, *, caps: Sequence[str] = (), budget: Budget = Budget()
    ) -> None:
        self.target = target
        self._caps = caps
        self._budget = budget
        self._hub = Hub()
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._up = asyncio.Event()

    async def __aenter__(self) -> "Link":
        """Use it, and close it."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close it."""
        await self.close()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, repeatable: bool = False
    ) -> Any:
        """Ask for something, and return the answer. Raises GatewayError.

        What the gateway was not ready for is asked again. A call whose answer was lost may have
        been done: only a `repeatable` one (that reads, or carries the key by which the gateway
        knows it again) is asked again then.
        """
        return await self._patiently(
            lambda connection: connection.call(method, params, within=self._budget.call), repeatable
        )

    async def ask(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """Ask once, over the connection that is there. Raises GatewayError.

        It is for who keeps the link up, and has a patience of its own: before it asks again, it
        looks whether that is still wanted.
        """
        if self._connection is None:
            raise GatewayError(Trouble.CLOSED, "There is no connection at the moment.")
        return await self._connection.call(method, params, within=self._budget.call)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and self._connection.ended is None

    async def hello(self) -> Hello:
        """Connect unless we are, and return what the gateway said. Raises GatewayError."""

        async def greeted(connection: Connection) -> Hello:
            return connection.hello

        return await self._patiently(greeted, repeatable=True)

    def subscribe(self, *names: str) -> Subscription:
        """Listen to events of these names, or to all, over one connection after the other."""
        return self._hub.subscribe(*names)

    async def keep(self, heard: Callable[[Hello | GatewayError], Awaitable[None]]) -> None:
        """Stay connected until cancelled, and tell of every connection that is made or lost.

        What does not pass by itself, as a pairing that is not approved, is tried again as well:
        once it is mended, nobody has to press a button.
        """
        rests = self._budget.rests()
        while True:
            began = monotonic()
            try:
                connection = await self._connected()
                rests = self._budget.rests()
                await heard(connection.hello)
                error = await connection.wait_closed()
            except GatewayError as refused:
                error = refused
            await heard(error)
            took = monotonic() - began
            await asyncio.sleep(self._budget.rest_after(error, next(rests), took))

    async def up(self) -> None:
        """Wait until there is a connection, without making one: who keeps the link makes it."""
        while not self.is_up:
            self._up.clear()
            await self._up.wait()

    async def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _patiently(
        self, ask: Callable[[Connection], Awaitable[Any]], repeatable: bool
    ) -> Any:
        """Ask until there is an answer, a refusal that stays one, or no time left."""
        last: GatewayError | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._budget.whole):
                for rest in self._budget.rests():
                    try:
                        return await self._ask(ask, repeatable)
                    except _Again as again:
                        last = again.error
                    await asyncio.sleep(max(rest, last.retry_after or 0))
        raise last or GatewayError(
            Trouble.TIMEOUT, f"The gateway did not answer in {self._budget.whole:g} s."
        )

    async def _ask(self, ask: Callable[[Connection], Awaitable[Any]], repeatable: bool) -> Any:
        """Ask once. Raises _Again where that may be repeated."""
        was_there = self._connection is not None
        try:
            connection = await self._connected()
        except GatewayError as error:
            if error.trouble in PASSING or (was_there and error.trouble is Trouble.REFUSED):
                raise _Again(error) from None
            raise
        try:
            return await ask(connection)
        except GatewayError as error:
            if error.trouble in NOT_DONE or (repeatable and error.trouble in PASSING):
                raise _Again(error) from None
            raise

    async def _connected(self) -> Connection:
        """Return the connection, made anew if it has ended."""
        async with self._connecting:
            if self._connection is None or self._connection.ended is not None:
                self._connection = await self._connect()
                self._up.set()
                log.debug("connected to a gateway")
            return self._connection

    async def _connect(self) -> Connection:
        """Connect. A device token that was refused once is not tried again: each try is counted."""
        try:
            return await connect(self.target, caps=self._caps, hub=self._hub)
        except GatewayError as error:
            if error.trouble is Trouble.TOKEN_MISMATCH and self.target.token:
                self.target = replace(self.target, device_token="")
            raise


class _Again(Exception):
    """Something that may be tried again."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.error = error
