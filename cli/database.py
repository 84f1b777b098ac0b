"""Access to the database for commands."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cli.command import CommandError, print_line
from core.audit_context import AuditContext, audit_context
from core.cancellation import cancel_task
from core.config.settings import Settings
from embedded_postgres.data_location import has_database
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


@asynccontextmanager
async def open_existing_database(settings: Settings) -> AsyncGenerator[Settings, None]:
    """Do what `open_database` does, but create none. Raises CommandError if there is none.

    A command that reads or changes what is there must not succeed in a folder with a wrong name.
    """
    if not settings.database_url and not has_database(settings.data_dir):
        raise CommandError(
            f"There is no database in {settings.data_dir}. Name the folder with --data DIR."
        )
    async with open_database(settings) as settings:
        yield settings


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
