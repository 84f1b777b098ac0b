"""Concurrent attempts to sign in, in several processes."""

import asyncio
from contextlib import suppress

from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import TooMany, Unauthorized
from models import FailedAttempts
from services.identity.verification import AttemptLimit, FailedAttemptCounter

LIMIT = AttemptLimit(max_failures=3, seconds=300, max_delay=10)


async def test_concurrent_attempts_of_processes_share_their_turns(
    isolated_transaction: TransactionFactory,
) -> None:
    at, waits, verified = now(), list[float](), list[int]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    counters = [
        FailedAttemptCounter(isolated_transaction, clock=lambda: at, sleep=sleep) for _ in range(2)
    ]

    async def fail(number: int) -> None:
        with suppress(Unauthorized, TooMany):
            async with counters[number % 2].attempt("alice", LIMIT, ["network", "account"]):
                verified.append(number)
                raise Unauthorized

    await asyncio.gather(*(fail(number) for number in range(20)))
    assert len(verified) == 7  # three, one more, and three that wait
    assert sorted(waits) == [1, 3, 7]
    async with isolated_transaction() as session:
        levels = (await session.scalars(select(FailedAttempts.level))).all()
    assert levels == [7, 7, 7]
