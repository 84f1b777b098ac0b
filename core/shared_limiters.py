"""Limit rates, and what is open, for all processes on one database.

A process counts the first part of each limit alone. Above that it claims shares of the limit in a
table in advance: as many as it has used, and fewer near the limit. So few hits need a statement.
Shares that are not used are given back after some seconds. What a process has claimed counts for
the others until its window ends; for what is open, such as streams, the claim is renewed while the
process lives. docs/decisions/rate-limits.md gives the reasons.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from core.cancellation import cancel_task
from core.db.engine import is_temporary_error
from core.errors import TooMany
from core.limiters import RETRY_AFTER
from core.metrics import REJECTIONS
from core.text import N_

UNCLAIMED_PART = 32  # one 32nd of a limit is counted by each process alone
MAX_KEYS = 20_000  # of a rate limiter in memory; the least recently used keys are discarded
MAX_BATCH = 1_000  # keys in one statement
LEASE = 10.0  # seconds in which a claim of what is open counts for other processes
RENEWAL_INTERVAL = 3.0  # seconds between two renewals of such a claim
UPDATE_INTERVAL = 1.0  # seconds between two looks for what is to be renewed or given back
GIVE_BACK_AFTER = 2.0  # seconds without a hit
RETRY_CLAIM_AFTER = 1.0  # seconds in which a key that got no share does not ask again
CLAIM_TIMEOUT = 2.0  # seconds
OUTAGE_TIME = 5.0  # seconds in which limits are those of the process, after a claim has failed

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Claim(NamedTuple):
    """What a process claims of the limit of a key, instead of what it has claimed before."""

    key: str
    limit: int
    used: int  # granted in any case
    needed: int  # `used`, and what waits for the answer
    spare: int  # in advance, if enough is left
    seconds: float  # until the claim ends


class Share(NamedTuple):
    """What a process got of the limit of a key."""

    taken: int
    ends_in: float | None  # seconds until the first claim of another process ends


class ShareTable(Protocol):
    """Where processes claim shares. It raises OSError and SQLAlchemyError."""

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Share]:
        """Replace the claims of these keys, and return the shares."""
        ...

    async def give_back(self, keys: Collection[str]) -> int:
        """Delete the claims of these keys, and return how many there were."""
        ...


@dataclass(slots=True, eq=False)
class _Count:
    """What this process has used and claimed of the limit of a key."""

    key: str
    limit: int
    ends_at: float = math.inf  # of the window; what is open has none
    used: int = 0
    waiting: int = 0
    taken: int = 0
    used_at: float = 0.0
    claimed_at: float = 0.0
    refused_until: float = 0.0
    frees_at: float = math.inf  # when the first claim of another process ends
    is_forgotten: bool = False  # by its limiter, while somebody may wait

    def begin_window(self, ends_at: float) -> None:
        """Forget what was used and claimed in the last window."""
        self.ends_at, self.frees_at = ends_at, math.inf
        self.used = self.taken = 0
        self.refused_until = 0.0


class SharedLimits:
    """The shares of this process. Without a table, limits are those of the process.

    Claims are sent in batches, one after the other, so that they need one connection.
    """

    def __init__(
        self,
        table: ShareTable | None,
        *,
        interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Update claims every `interval` seconds while there are any; None: only by `update`."""
        self._table, self._interval = table, interval
        self.clock = clock
        self._claimed: dict[str, _Count] = {}
        self._outdated: set[str] = set()  # keys whose claims are to be deleted
        self._waiting: dict[str, _Count] = {}
        self._batch: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._updating: asyncio.Task[None] | None = None
        self._alone_until = 0.0
        self._is_outage_logged = False

    async def take(self, count: _Count) -> bool:
        """Use one of a key, and return whether its limit allows that."""
        while count.used >= self._find_allowed(count):
            if count.used >= count.limit or self.clock() < count.refused_until:
                return False
            count.waiting += 1
            try:
                self._waiting[count.key] = count
                if self._batch is None:
                    self._batch = asyncio.create_task(self._send_batch())
                await asyncio.shield(self._batch)
            finally:
                count.waiting -= 1
        count.used += 1
        count.used_at = self.clock()
        return True

    def forget(self, count: _Count) -> None:
        """Give back what was claimed of a key that is not counted any more."""
        count.is_forgotten = True
        self._discard_claim(count)

    async def update(self) -> None:
        """Renew the claims of what is open, and give back what is not used."""
        async with self._sending:
            at = self.clock()
            counts = list(self._claimed.values())
            for count in counts:
                if count.ends_at <= at or self._is_small(count):
                    self._discard_claim(count)
                    count.taken = 0
            await self._claim([count for count in counts if self._is_due(count, at)])
            await self._delete_outdated()

    async def close(self) -> None:
        """Delete the claims of what was open."""
        if self._updating is not None:
            await cancel_task(self._updating)
        for count in list(self._claimed.values()):
            if count.ends_at == math.inf:
                self._discard_claim(count)
        async with self._sending:
            await self._delete_outdated()

    def _discard_claim(self, count: _Count) -> None:
        if self._claimed.get(count.key) is count:
            del self._claimed[count.key]
            self._outdated.add(count.key)

    def _find_allowed(self, count: _Count) -> int:
        if self._table is None or self.clock() < self._alone_until:
            return count.limit
        return max(count.taken, count.limit // UNCLAIMED_PART)

    def _is_small(self, count: _Count) -> bool:
        """Return whether so little is open that it needs no claim."""
        return count.ends_at == math.inf and count.used <= count.limit // UNCLAIMED_PART

    def _is_due(self, count: _Count, at: float) -> bool:
        if self._claimed.get(count.key) is not count:
            return False
        if count.ends_at == math.inf:
            return at >= count.claimed_at + RENEWAL_INTERVAL
        return count.taken > count.used and at >= count.used_at + GIVE_BACK_AFTER

    async def _send_batch(self) -> None:
        async with self._sending:
            counts, self._waiting, self._batch = list(self._waiting.values()), {}, None
            await self._claim(counts)

    async def _claim(self, counts: Sequence[_Count]) -> None:
        for start in range(0, len(counts), MAX_BATCH):
            await self._claim_batch(counts[start : start + MAX_BATCH])
        if self._claimed and self._updating is None and self._interval is not None:
            updates = self._update_repeatedly(self._interval)  # not in the span of a request
            self._updating = asyncio.create_task(updates, context=Context())

    async def _claim_batch(self, counts: Sequence[_Count]) -> None:
        """Replace the claims of keys. Those for which somebody waits get more in advance."""
        at = self.clock()
        if self._table is None or at < self._alone_until:
            return
        sent = {count.key: (count, count.ends_at, count.used + count.waiting) for count in counts}
        claims = [
            Claim(
                count.key,
                count.limit,
                count.used,
                needed,
                spare=needed if count.waiting else 0,
                seconds=LEASE if ends_at == math.inf else max(0.0, ends_at - at),
            )
            for count, ends_at, needed in sent.values()
        ]
        shares = await self._try(self._table.claim(claims)) or {}
        for key, share in shares.items():
            count, ends_at, needed = sent[key]
            if count.ends_at == ends_at:  # otherwise the next window has begun meanwhile
                self._apply(count, share, needed, at)

    def _apply(self, count: _Count, share: Share, needed: int, at: float) -> None:
        count.taken, count.claimed_at = share.taken, at
        self._claimed[count.key] = count
        self._outdated.discard(count.key)
        if count.is_forgotten:
            self._discard_claim(count)
        if share.taken < needed:
            count.refused_until = self.clock() + RETRY_CLAIM_AFTER
            count.frees_at = math.inf if share.ends_in is None else at + share.ends_in

    async def _delete_outdated(self) -> None:
        if self._outdated and self._table is not None:
            deleted = frozenset(self._outdated)
            if await self._try(self._table.give_back(deleted)) is not None:
                self._outdated -= deleted

    async def _try(self, work: Awaitable[Result]) -> Result | None:
        """Return the result of a statement, or None if the database cannot be used."""
        try:
            async with asyncio.timeout(CLAIM_TIMEOUT):
                result = await work
        except (OSError, SQLAlchemyError) as error:  # no request fails because it is not counted
            self._alone_until = self.clock() + OUTAGE_TIME
            if not self._is_outage_logged:
                log.warning(
                    "Rate limits apply to each process, without the database: %s",
                    error,
                    exc_info=not is_temporary_error(error),
                )
            self._is_outage_logged = True
            return None
        self._is_outage_logged = False
        return result

    async def _update_repeatedly(self, interval: float) -> None:
        try:
            while self._claimed or self._outdated:
                await asyncio.sleep(interval)
                await self.update()
        finally:
            self._updating = None  # so that the next claim begins again, also after an error


class SharedRateLimiter:
    """Allow `max_hits` hits in `seconds` per key; rejected hits do not count.

    A window begins with its first hit. `name` distinguishes its keys from those of others, and is
    its name in the metrics, if those who are rejected are refused.
    """

    def __init__(
        self,
        limits: SharedLimits,
        name: str,
        max_hits: int,
        seconds: float,
        *,
        message: str = N_("Too many requests."),
        code: str = "rate_limited",
        refuses: bool = True,
    ) -> None:
        self._limits, self._name = limits, name
        self._max_hits, self._seconds = max_hits, seconds
        self._message, self._code, self._refuses = message, code, refuses
        self._counts: dict[str, _Count] = {}

    async def hit(self, key: str) -> None:
        """Record a hit, or raise TooMany if the limit is reached."""
        at = self._limits.clock()
        count = self._counts.pop(key, None) or _Count(f"{self._name} {key}", self._max_hits, at)
        self._counts[key] = count
        if count.ends_at <= at:
            count.begin_window(at + self._seconds)
        while len(self._counts) > MAX_KEYS:
            self._limits.forget(self._counts.pop(next(iter(self._counts))))
        if not await self._limits.take(count):
            if self._refuses:
                REJECTIONS.labels(self._name).inc()
            wait = min(count.ends_at, count.frees_at) - self._limits.clock()
            raise TooMany(max(1, math.ceil(wait)), self._message, code=self._code)


def limit_manual_messages(limits: SharedLimits, name: str, max_count: int) -> SharedRateLimiter:
    """Create the limiter of what people send by hand in 10 minutes."""
    message = N_("Too many tests and repetitions were sent by hand.")
    code = "too_many_manual_messages"
    return SharedRateLimiter(limits, name, max_count, 600.0, message=message, code=code)


class SharedConcurrencyLimiter:
    """Counts what is open, such as streams, for each key.

    `name` distinguishes its keys from those of others, and is its name in the metrics. A process
    has at most `max_of_process`.
    """

    def __init__(
        self, limits: SharedLimits, name: str, reason: str, *, max_of_process: float = math.inf
    ) -> None:
        self._limits, self._name, self._reason = limits, name, reason
        self._max_of_process = max_of_process
        self.total = 0  # that this process has
        self._counts: dict[str, _Count] = {}

    async def acquire(self, limits: Mapping[str, int]) -> Callable[[], None]:
        """Count one for each key, and return a function that ends it. Raises TooMany."""
        loop = asyncio.get_running_loop()
        held: list[_Count] = []
        self.total += 1
        is_open = True

        def release() -> None:
            nonlocal is_open
            if is_open:  # only the first call has an effect
                is_open = False
                self.total -= 1
                for count in held:
                    count.used -= 1
                    self._forget_unused(count)

        try:
            if self.total > self._max_of_process:
                self._refuse()
            for key, limit in limits.items():
                count = self._counts.get(key)
                if count is None:
                    count = self._counts[key] = _Count(f"{self._name} {key}", limit)
                if not await self._limits.take(count):
                    loop.call_later(RETRY_CLAIM_AFTER, self._forget_unused, count)
                    self._refuse()
                held.append(count)
        except BaseException:
            release()
            raise
        return release

    def _refuse(self) -> NoReturn:
        REJECTIONS.labels(self._name).inc()
        raise TooMany(RETRY_AFTER, self._reason)

    def _forget_unused(self, count: _Count) -> None:
        """Forget a key of which nothing is open; one that got no share only some time later."""
        is_unused = not count.used and not count.waiting
        if is_unused and self._limits.clock() >= count.refused_until:
            self._limits.forget(count)
            key = count.key.removeprefix(f"{self._name} ")
            if self._counts.get(key) is count:
                del self._counts[key]
