"""Run a race many times: RACE_ROUNDS rounds, several of them at once."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from core.db.engine import TransactionFactory
from tests.support.tiers import IS_COMPLETE_RUN

ROUNDS = int(os.environ.get("RACE_ROUNDS", "20" if IS_COMPLETE_RUN else "3"))
"""Rounds of each race. A proof has 1,000."""

ROUNDS_FOR_ALL_OUTCOMES = max(ROUNDS, 20)
"""Rounds of a race whose test expects that each operation is first at times."""

ROUNDS_AT_ONCE = 4  # with two transactions each, they fit into the pool of connections

T = TypeVar("T")
Operation = Callable[[AsyncSession], Awaitable[Any]]


async def run_rounds(
    items: Iterable[T], run_round: Callable[[T], Awaitable[None]], *, at_once: int = ROUNDS_AT_ONCE
) -> None:
    """Run a round for each item, and at most `at_once` rounds at the same time.

    The first error ends all rounds.
    """
    left = iter(items)

    async def run_next() -> None:
        for item in left:
            await run_round(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(run_next())
    except ExceptionGroup as group_of_errors:
        raise group_of_errors.exceptions[0] from None


async def run_concurrently(transaction: TransactionFactory, *operations: Operation) -> list[Any]:
    """Run operations concurrently, each in a transaction of its own.

    Return their results; an exception is the result of an operation that raised it.
    """

    async def run(operation: Operation) -> Any:
        async with transaction() as session:
            return await operation(session)

    return await asyncio.gather(*map(run, operations), return_exceptions=True)
