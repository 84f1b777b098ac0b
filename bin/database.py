"""The database as the commands use it: there, and reachable."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from bin.command import CannotGoOn, say
from kit.postgres import EmbeddedPostgres
from kit.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

OLDEST = 150_000  # PostgreSQL 15
CONNECT_TIMEOUT = 10.0  # seconds


@asynccontextmanager
async def opened(
    settings: Settings, stop: asyncio.Event | None = None
) -> AsyncGenerator[Settings, None]:
    """Hold the database while the block runs: the one that is set, else the embedded one.

    Gives the settings with its address. It is not waited for after `stop` is set.
    """
    if settings.database_url:
        await look_at(settings)
        yield settings
        return
    postgres = EmbeddedPostgres(
        settings.data_dir, programs=settings.mc_pg_bin, tuning=settings.mc_pg_options
    )
    if postgres.note:
        say(postgres.note)
    try:
        dsn = await _started(postgres, stop or asyncio.Event())
        async with _watched(postgres):
            yield settings.with_database(dsn)
    finally:
        await asyncio.to_thread(postgres.stop)


@asynccontextmanager
async def transaction(settings: Settings) -> "AsyncGenerator[AsyncSession, None]":
    """Open a transaction in the database of these settings, with a connection of its own."""
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine(settings.sqlalchemy_url, poolclass=NullPool)
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


async def look_at(settings: Settings) -> None:
    """Make sure that the database which is set answers, and is not too old."""
    try:
        connection = await asyncpg.connect(settings.dsn, timeout=CONNECT_TIMEOUT)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CannotGoOn(
            f"{name_of(settings)} cannot be used, see DATABASE_URL: {reason}."
        ) from error
    version = int(await connection.fetchval("show server_version_num"))
    await connection.close()
    if version < OLDEST:
        raise CannotGoOn(
            f"{name_of(settings)} runs PostgreSQL {version // 10_000}: 15 or newer is needed."
        )


def name_of(settings: Settings) -> str:
    """Name the database that is set, without its password."""
    parts = urlsplit(settings.database_url)
    return f"The database {parts.path.strip('/')} on {parts.hostname or 'this machine'}"


async def _started(postgres: EmbeddedPostgres, stop: asyncio.Event) -> str:
    """Start PostgreSQL, or give up as soon as `stop` is set."""
    starting = asyncio.create_task(asyncio.to_thread(postgres.start))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        postgres.give_up()
    return await starting


@asynccontextmanager
async def _watched(postgres: EmbeddedPostgres) -> AsyncGenerator[None, None]:
    """Have PostgreSQL brought back whenever it dies in the block."""
    watching = asyncio.create_task(postgres.watch())
    try:
        yield
    finally:
        postgres.give_up()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
