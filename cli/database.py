"""Access to the database for commands."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cli.command import print_line
from core.audit_context import AuditContext, audit_context
from core.cancellation import cancel_task
from core.config.settings import Settings
from embedded_postgres.instance import EmbeddedPostgres

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@asynccontextmanager
async def open_database(
    settings: Settings, stop: asyncio.Event | None = None
) -> AsyncGenerator[Settings, None]:
    """Keep the database available for the block: the configured one, or else the embedded one.

    Yield the settings with the address of the database. Starting the embedded database is cancelled
    when `stop` is set.
    """
    if settings.database_url:
        from cli.database_check import check_connections

        await check_connections(settings)
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
    from sqlalchemy.ext.asyncio import AsyncSession

    import services.subscriptions  # noqa: F401 - sets the handlers of hooks
    from core.db.engine import create_direct_engine

    operator = AuditContext(actor_kind="operator", credential="command_line")
    engine = create_direct_engine(settings)
    try:
        with audit_context(operator):
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                yield session
    finally:
        await engine.dispose()


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
        await cancel_task(watch_task)
