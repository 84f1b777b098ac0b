"""Uses of agents, tokens and sessions are collected and written together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, ApiToken, SignIn, new_id
from services.last_seen import LastSeenBuffer
from tests.support.statement_counter import count_all_statements
from tests.support.world import World

LONG_AGO = now() - timedelta(days=1)


async def read_times(session: AsyncSession, world: World) -> list[datetime]:
    agents = select(Agent.last_seen_at).where(Agent.id.in_([world.worker.id, world.lead.id]))
    return [at for at in await session.scalars(agents) if at is not None]


async def make_all_old(transaction: TransactionFactory) -> None:
    async with transaction() as session:
        await session.execute(update(Agent).values(last_seen_at=LONG_AGO))
        await session.execute(update(ApiToken).values(last_used_at=None))
        await session.execute(update(SignIn).values(last_seen_at=LONG_AGO))


async def test_many_uses_are_one_statement_per_table(
    transaction: TransactionFactory, world: World
) -> None:
    await make_all_old(transaction)
    buffer = LastSeenBuffer(transaction)
    async with transaction() as session:
        token = (await session.scalars(select(ApiToken))).first()
        sign_in = (await session.scalars(select(SignIn))).first()
    assert token is not None
    assert sign_in is not None
    started = now()
    for _ in range(50):
        buffer.record(Agent, world.worker.id)
        buffer.record(Agent, world.lead.id)
        buffer.record(ApiToken, token.id)
        buffer.record(SignIn, sign_in.id)
    with count_all_statements(with_last_uses=True) as statements:
        await buffer.flush()
        await buffer.flush()  # there is nothing left
    assert len(statements) == 3
    async with transaction() as session:
        assert all(at >= started for at in await read_times(session, world))
        used = await session.scalar(select(ApiToken.last_used_at).where(ApiToken.id == token.id))
        assert used is not None
        seen = await session.scalar(select(SignIn.last_seen_at).where(SignIn.id == sign_in.id))
        assert seen is not None
        assert seen >= started


async def test_a_newer_time_is_not_overwritten(
    transaction: TransactionFactory, world: World
) -> None:
    buffer = LastSeenBuffer(transaction)
    buffer.record(Agent, world.worker.id)
    later = now() + timedelta(minutes=1)
    async with transaction() as session:
        await session.execute(
            update(Agent).where(Agent.id == world.worker.id).values(last_seen_at=later)
        )
    await buffer.flush()
    async with transaction() as session:
        seen = await session.scalar(select(Agent.last_seen_at).where(Agent.id == world.worker.id))
        assert seen == later


async def test_a_locked_row_is_not_waited_for(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    await make_all_old(isolated_transaction)
    buffer = LastSeenBuffer(isolated_transaction)
    buffer.record(Agent, world.worker.id)
    buffer.record(Agent, world.lead.id)
    async with isolated_transaction() as locking:
        await locking.execute(select(Agent).where(Agent.id == world.worker.id).with_for_update())
        await asyncio.wait_for(buffer.flush(), 10)
    async with isolated_transaction() as session:
        times = await read_times(session, world)
        assert times.count(LONG_AGO) == 1
    await buffer.flush()
    async with isolated_transaction() as session:
        assert LONG_AGO not in await read_times(session, world)


async def test_a_row_that_is_gone_is_tried_twice(
    transaction: TransactionFactory, world: World
) -> None:
    buffer = LastSeenBuffer(transaction)
    buffer.record(Agent, new_id())
    numbers = []
    for _ in range(3):
        with count_all_statements(with_last_uses=True) as statements:
            await buffer.flush()
        numbers.append(len(statements))
    assert numbers[2] == 0 < numbers[1]


async def test_uses_are_kept_if_the_commit_fails(
    transaction: TransactionFactory, world: World
) -> None:
    await make_all_old(transaction)
    is_broken = True

    @asynccontextmanager
    async def losing() -> AsyncGenerator[AsyncSession]:
        async with transaction() as session:
            yield session
            if is_broken:
                raise ConnectionResetError

    buffer = LastSeenBuffer(losing)
    buffer.record(Agent, world.worker.id)
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await buffer.flush()
    is_broken = False
    await buffer.flush()
    async with transaction() as session:
        assert (await read_times(session, world)).count(LONG_AGO) == 1


@pytest.mark.parametrize("error", [ConnectionRefusedError, ZeroDivisionError])
async def test_uses_are_kept_after_an_error(
    transaction: TransactionFactory,
    world: World,
    error: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One of the program is logged with its traceback."""
    await make_all_old(transaction)
    attempts = 0
    written = asyncio.Event()

    @asynccontextmanager
    async def unreliable() -> AsyncGenerator[AsyncSession]:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise error
        async with transaction() as session:
            yield session
        written.set()

    buffer = LastSeenBuffer(unreliable, interval=0.001)
    started = now()
    buffer.record(Agent, world.worker.id)
    await asyncio.wait_for(written.wait(), 10)
    await buffer.close()
    async with transaction() as session:
        seen = await session.scalar(select(Agent.last_seen_at).where(Agent.id == world.worker.id))
        assert seen is not None
        assert seen >= started
    [record] = [one for one in caplog.records if one.name == "services.last_seen"]
    assert bool(record.exc_info) == (error is ZeroDivisionError)


async def test_closing_writes_the_rest(transaction: TransactionFactory, world: World) -> None:
    await make_all_old(transaction)
    buffer = LastSeenBuffer(transaction, interval=3600)
    buffer.record(Agent, world.worker.id)
    await buffer.close()
    async with transaction() as session:
        times = await read_times(session, world)
        assert times.count(LONG_AGO) == 1
