"""Failed attempts: delays for guessers, and counts that processes share."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import TooMany, Unauthorized
from models import FailedAttempts
from services import identity
from services.identity import verification
from services.identity.verification import AttemptLimit, FailedAttemptCounter

LIMIT = AttemptLimit(max_failures=3, seconds=300, max_delay=10)


class FakeTime:
    """A clock that advances only while somebody sleeps, or when it is told to."""

    def __init__(self) -> None:
        self.at = now()
        self.sleeps: list[float] = []
        self.is_stopped = False

    def __call__(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        if not self.is_stopped:
            self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def counters(transaction: TransactionFactory, clock: FakeTime) -> Iterator[FailedAttemptCounter]:
    """The counters of several processes."""
    return iter(lambda: FailedAttemptCounter(transaction, clock=clock, sleep=clock.sleep), object())


async def fail(counter: FailedAttemptCounter, key: str, *shared: str) -> None:
    with pytest.raises(Unauthorized):
        async with counter.attempt(key, LIMIT, shared):
            raise Unauthorized


async def test_attempts_above_the_limit_wait_longer_each_time(counters, clock) -> None:
    for _ in range(3 + 7):
        await fail(next(counters), "alice")
    assert [round(seconds) for seconds in clock.sleeps] == [1, 2, 4, 8, 10, 10]


async def test_an_attempt_after_many_failures_is_verified(counters, clock) -> None:
    counter = next(counters)
    for _ in range(200):
        await fail(counter, "alice")
    async with counter.attempt("alice", LIMIT):
        pass
    assert clock.sleeps[-1] <= LIMIT.max_delay


async def test_concurrent_attempts_above_the_limit_are_refused(counters, clock) -> None:
    clock.is_stopped = True
    counter, other = next(counters), next(counters)
    for _ in range(7):
        await fail(counter, "alice")
    for one in (counter, counter, other):
        with pytest.raises(TooMany) as refused:
            await fail(one, "alice")
        assert 1 <= refused.value.retry_after <= 10
    await fail(counter, "bob")


async def test_a_refused_attempt_needs_no_query(counters, clock, monkeypatch) -> None:
    clock.is_stopped = True
    counter = next(counters)
    for _ in range(7):
        await fail(counter, "alice")
    with pytest.raises(TooMany):
        await fail(counter, "alice")
    monkeypatch.setattr(counter, "_transaction_factory", None)
    with pytest.raises(TooMany):
        await fail(counter, "alice")


async def test_a_new_network_has_one_attempt_for_an_attacked_account(counters, clock) -> None:
    clock.is_stopped = True
    counter = next(counters)
    for number in range(20):
        for _ in range(3):
            await fail(counter, f"alice {number}", "alice")
    assert clock.sleeps == []

    await fail(counter, "alice new", "alice")
    assert clock.sleeps == []
    await fail(counter, "alice new", "alice")
    await fail(counter, "alice new", "alice")
    assert len(clock.sleeps) == 1
    await fail(counter, "alice on a known device")
    assert len(clock.sleeps) == 1


async def test_successful_attempts_do_not_count(counters, clock) -> None:
    for _ in range(20):
        async with next(counters).attempt("alice", LIMIT, ["network"]):
            pass
    assert clock.sleeps == []


async def test_failures_are_forgotten_over_time(counters, clock) -> None:
    counter = next(counters)
    for _ in range(10):
        await fail(counter, "alice")
    clock.at += timedelta(seconds=1_000)
    clock.sleeps.clear()
    for _ in range(3):
        await fail(counter, "alice")
    assert clock.sleeps == []


async def test_processes_share_the_failures_of_cheap_checks(counters, clock) -> None:
    limit = AttemptLimit(max_failures=20, seconds=60, max_delay=60)
    first, second = next(counters), next(counters)
    for _ in range(4):
        for _ in range(5):
            await first.record_failure({"token": limit})
        clock.at += timedelta(seconds=1)
    for _ in range(4):
        await second.record_failure({"token": limit})
    with pytest.raises(TooMany):
        await second.record_failure({"token": limit})


async def test_the_delay_of_invalid_tokens_increases(counters, clock) -> None:
    limit = AttemptLimit(max_failures=2, seconds=60, max_delay=60)
    counter = next(counters)
    waits = []
    for _ in range(9):
        try:
            await counter.record_failure({"token": limit})
        except TooMany as refused:
            waits.append(refused.retry_after)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)


async def test_a_flood_is_written_once_a_second(counters, clock, session: AsyncSession) -> None:
    limit = AttemptLimit(max_failures=20, seconds=60, max_delay=60)
    counter = next(counters)
    for number in range(1_000):
        with suppress(TooMany):
            await counter.record_failure({"network": limit, f"token {number}": limit})
    rows = await session.scalar(select(func.count()).select_from(FailedAttempts))
    assert rows == 1


async def test_old_counts_are_deleted(counters, session: AsyncSession, monkeypatch) -> None:
    counter = next(counters)
    for name in ("alice", "bob", "charlie"):
        await fail(counter, name)
    monkeypatch.setattr(verification, "MAX_ROWS", 2)
    await identity.delete_old_failed_attempts(session)
    assert await session.scalar(select(func.count()).select_from(FailedAttempts)) == 2
    await session.execute(update(FailedAttempts).values(updated_at=now() - timedelta(days=2)))
    await identity.delete_old_failed_attempts(session)
    assert await session.scalar(select(func.count()).select_from(FailedAttempts)) == 0
