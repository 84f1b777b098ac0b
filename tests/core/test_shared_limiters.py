"""Limits that hold for all processes on one database."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker

from core import shared_limiters
from core.db.engine import TransactionFactory, create_database_engine
from core.errors import TooMany
from core.shared_limiters import (
    GIVE_BACK_AFTER,
    OUTAGE_TIME,
    RENEWAL_INTERVAL,
    RETRY_CLAIM_AFTER,
    SharedConcurrencyLimiter,
    SharedLimits,
    SharedRateLimiter,
)
from models import LimitShare
from services import limit_shares
from services.limit_shares import LimitShareTable

LIMIT, SECONDS = 600, 60.0


class Process:
    """The limits of one process, with a clock of its own that starts anywhere."""

    def __init__(
        self, transaction: TransactionFactory, at: float = 0.0, limit: int = LIMIT
    ) -> None:
        self.at, self.batches = at, 0
        self._table = LimitShareTable(transaction)
        self.limits = SharedLimits(self, clock=lambda: self.at)
        self.requests = SharedRateLimiter(self.limits, "requests", limit, SECONDS)
        self.streams = SharedConcurrencyLimiter(self.limits, "streams", "Too many streams.")

    async def claim(self, claims: Any) -> Any:
        self.batches += 1
        return await self._table.claim(claims)

    async def give_back(self, keys: Any) -> int:
        return await self._table.give_back(keys)

    async def send(self, number: int, key: str = "alice") -> int:
        """Send requests until one is refused, and return how many were accepted."""
        for accepted in range(number):
            try:
                await self.requests.hit(key)
            except TooMany:
                return accepted
        return number

    async def open(self, number: int) -> list[Any]:
        """Open streams until one is refused."""
        opened: list[Any] = []
        while len(opened) < number:
            try:
                opened.append(await self.streams.acquire({"alice": LIMIT, "office": 2 * LIMIT}))
            except TooMany:
                break
        return opened

    async def wait(self, seconds: float) -> None:
        """Let time pass, with the updates of the process."""
        for _ in range(int(seconds) + 1):
            self.at += 1
            await self.limits.update()


@pytest.fixture
def processes(isolated_transaction: TransactionFactory) -> Sequence[Process]:
    return [Process(isolated_transaction, at) for at in (1_000.0, 5_000_000.0)]


async def count_rows(transaction: TransactionFactory) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count()).select_from(LimitShare)) or 0


async def test_a_rate_limit_holds_for_all_processes(processes) -> None:
    accepted = [await processes[n % 2].send(1) for n in range(LIMIT + 50)]
    assert accepted == [1] * LIMIT + [0] * 50
    assert await processes[0].send(1, "bob") == 1


async def test_one_process_accepts_the_whole_limit_with_few_statements(processes) -> None:
    one = processes[0]
    assert await one.send(LIMIT // 32) == LIMIT // 32
    assert one.batches == 0
    assert await one.send(LIMIT) == LIMIT - LIMIT // 32
    assert one.batches < LIMIT / 20
    refused = one.batches
    assert await one.send(1) == 0
    assert one.batches == refused
    one.at += SECONDS
    assert await one.send(LIMIT + 1) == LIMIT


async def test_requests_at_the_same_moment_share_a_limit(processes) -> None:
    sent = [processes[n % 2].send(1) for n in range(2 * LIMIT)]
    assert LIMIT <= sum(await asyncio.gather(*sent)) <= LIMIT + LIMIT // 32


async def test_what_a_process_does_not_use_is_given_back(processes) -> None:
    first, second = processes
    assert await first.send(200) == 200
    before = await second.send(LIMIT)
    assert 300 < before < 400
    await first.wait(GIVE_BACK_AFTER)
    second.at += RETRY_CLAIM_AFTER
    assert before + await second.send(LIMIT) == 400


async def test_a_refused_caller_is_told_when_the_window_of_others_ends(processes) -> None:
    first, second = processes
    await first.send(LIMIT)
    await second.send(LIMIT)
    with pytest.raises(TooMany) as refused:
        await second.requests.hit("alice")
    assert SECONDS - 20 <= refused.value.retry_after <= SECONDS


async def test_open_streams_are_limited_over_all_processes(processes) -> None:
    first, second = processes
    opened = await first.open(LIMIT - 100)
    assert len(opened) == LIMIT - 100
    assert len(await second.open(LIMIT)) < 100 + LIMIT // 32
    for release in [*opened, *opened]:  # only the first call has an effect
        release()
    await first.wait(RENEWAL_INTERVAL)
    second.at += RETRY_CLAIM_AFTER
    more = await second.open(LIMIT)
    assert second.streams.total == LIMIT
    assert len(more) > LIMIT - 200


async def test_streams_count_while_their_process_lives(processes, isolated_transaction) -> None:
    async def pass_lease() -> None:
        async with isolated_transaction() as session:
            ends = LimitShare.expires_at - func.make_interval(0, 0, 0, 0, 0, 0, 30)
            await session.execute(update(LimitShare).values(expires_at=ends))

    first, second = processes
    assert len(await first.open(LIMIT)) == LIMIT
    await pass_lease()
    await first.wait(RENEWAL_INTERVAL)
    assert len(await second.open(LIMIT)) == LIMIT // 32
    await pass_lease()  # the process was killed
    second.at += RETRY_CLAIM_AFTER
    await second.open(LIMIT)
    assert second.streams.total == LIMIT
    async with isolated_transaction() as session:
        await limit_shares.delete_expired_shares(session)
    assert await count_rows(isolated_transaction) == 2


async def test_a_process_that_stops_gives_its_streams_back(processes, isolated_transaction) -> None:
    first, second = processes
    await first.open(LIMIT)
    await first.limits.close()
    assert await count_rows(isolated_transaction) == 0
    assert len(await second.open(LIMIT)) == LIMIT


async def test_without_the_database_limits_are_those_of_a_process(
    isolated_settings, isolated_transaction, caplog
) -> None:
    unreachable = isolated_settings.with_database("postgresql://nobody@127.0.0.1:1/nothing")
    engine = create_database_engine(unreachable, size=1)
    process = Process(async_sessionmaker(engine).begin)
    assert await process.send(2 * LIMIT) == LIMIT
    assert len(await process.open(2 * LIMIT)) == LIMIT
    process.at += OUTAGE_TIME
    await process.limits.update()
    records = [one for one in caplog.records if one.name == shared_limiters.__name__]
    assert [one.message.partition(":")[0] for one in records] == [
        "Rate limits apply to each process, without the database"
    ]
    process._table = LimitShareTable(isolated_transaction)
    process.at += OUTAGE_TIME
    assert await process.send(1) == 0
    assert await process.send(LIMIT, "bob") == LIMIT
    await engine.dispose()


async def test_updates_begin_again_after_an_error_of_the_program(isolated_transaction) -> None:
    """Otherwise no stream of the process would be renewed any more."""
    process = Process(isolated_transaction)
    process.limits._interval = 0.001
    await process.open(LIMIT // 2)
    updating = process.limits._updating
    assert updating is not None
    table, missing = process._table, cast("LimitShareTable", None)
    process._table = missing
    process.at += RENEWAL_INTERVAL
    with pytest.raises(AttributeError):
        await updating
    process._table = table
    await process.open(LIMIT)
    assert process.limits._updating not in (None, updating)
    await process.limits.close()


async def test_many_keys_take_limited_memory_and_rows(isolated_transaction, monkeypatch) -> None:
    monkeypatch.setattr(shared_limiters, "MAX_KEYS", 2_000)
    monkeypatch.setattr(shared_limiters, "CLAIM_TIMEOUT", 60.0)  # of all keys at once
    process = Process(isolated_transaction, limit=1)
    number = shared_limiters.MAX_KEYS + 500
    keys = [f"{n} {'x' * 1_000}" for n in range(number)]
    await asyncio.gather(*(process.requests.hit(key) for key in keys))
    assert len(process.requests._counts) == shared_limiters.MAX_KEYS
    assert len(process.limits._claimed) <= shared_limiters.MAX_KEYS
    await process.limits.update()
    assert await count_rows(isolated_transaction) == shared_limiters.MAX_KEYS
    await process.wait(SECONDS)
    assert await count_rows(isolated_transaction) == 0
    assert not process.limits._claimed
