"""Access to the database for commands."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from cli.command import CommandError, print_line
from core.audit_context import AuditContext, audit_context
from core.config.settings import Settings
from embedded_postgres.instance import EmbeddedPostgres

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

CONNECT_TIMEOUT = 10.0  # seconds


@asynccontextmanager
async def open_database(
    settings: Settings, stop: asyncio.Event | None = None
) -> AsyncGenerator[Settings, None]:
    """Keep the database available for the block: the configured one, or else the embedded one.

    Yield the settings with the address of the database. Starting the embedded database is cancelled
    when `stop` is set.
    """
    if settings.database_url:
        await check_connection(settings)
        yield settings
        return
    postgres = create_embedded_postgres(settings)
    try:
        dsn = await _start_postgres(postgres, stop or asyncio.Event())
        async with _supervise_postgres(postgres):
            yield settings.with_database(dsn)
    finally:
        await asyncio.to_thread(postgres.stop)


def create_embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """Return the embedded database; print where it is if that is not the data folder."""
    postgres = EmbeddedPostgres(
        settings.data_dir, programs=settings.mc_pg_bin, tuning=settings.mc_pg_options
    )
    if postgres.note:
        print_line(postgres.note)
    return postgres


@asynccontextmanager
async def open_transaction(settings: Settings) -> "AsyncGenerator[AsyncSession, None]":
    """Open a transaction on a new connection, in which the operator acts."""
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.pool import NullPool

    import services.subscriptions  # noqa: F401 - sets the handlers of hooks

    operator = AuditContext(actor_kind="operator", credential="command_line")
    engine = create_async_engine(settings.sqlalchemy_url, poolclass=NullPool)
    try:
        with audit_context(operator):
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                yield session
    finally:
        await engine.dispose()


async def check_connection(settings: Settings) -> None:
    """Raise CommandError if the configured database is unreachable or too old."""
    try:
        connection = await asyncpg.connect(settings.dsn, timeout=CONNECT_TIMEOUT)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise CommandError(
            f"{describe_database(settings)} cannot be used, see DATABASE_URL: {reason}."
        ) from error
    version = int(await connection.fetchval("show server_version_num"))
    await connection.close()
    if version < 150_000:  # PostgreSQL 15
        name = describe_database(settings)
        raise CommandError(f"{name} runs PostgreSQL {version // 10_000}: 15 or newer is needed.")


def describe_database(settings: Settings) -> str:
    """Return the name and host of the configured database, without its password."""
    parts = urlsplit(settings.database_url)
    return f"The database {parts.path.strip('/')} on {parts.hostname or 'this machine'}"


async def _start_postgres(postgres: EmbeddedPostgres, stop: asyncio.Event) -> str:
    """Start PostgreSQL; cancel the start as soon as `stop` is set."""
    start_task = asyncio.create_task(asyncio.to_thread(postgres.start))
    stop_task = asyncio.create_task(stop.wait())
    await asyncio.wait({start_task, stop_task}, return_when=asyncio.FIRST_COMPLETED)
    stop_task.cancel()
    if not start_task.done():
        postgres.cancel_start()
    return await start_task


@asynccontextmanager
async def _supervise_postgres(postgres: EmbeddedPostgres) -> AsyncGenerator[None, None]:
    """Restart PostgreSQL whenever it dies during the block."""
    watch_task = asyncio.create_task(postgres.watch())
    try:
        yield
    finally:
        postgres.cancel_start()
        watch_task.cancel()
        with suppress(asyncio.CancelledError):
            await watch_task
