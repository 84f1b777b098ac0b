"""`./run migrate`: brings the database to the version of this checkout."""

import asyncio
from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bin.command import CannotGoOn, ended, main_of, parser, say, settings_for, takes_data
from bin.database import opened
from kit.settings import TOP, Settings

MIGRATING = 7_265_102  # the lock of those who migrate: one after the other, all see the same end


def main(arguments: list[str]) -> int:
    options = parser("migrate", "Bring the database to the version of this checkout.")
    takes_data(options)
    given = options.parse_args(arguments)

    async def migrated() -> None:
        async with opened(settings_for(given)) as settings:
            say(f"The database is at version {await migrate(settings)}.")

    return ended(lambda: asyncio.run(migrated()) or 0)


async def migrate(settings: Settings) -> str:
    """Bring the database to the newest version, all or nothing, and return which that is."""
    return await _connected(settings, _upgrade)


async def version_of(settings: Settings) -> tuple[str, str]:
    """Return the version of a database, and the newest that this checkout knows."""
    return await _connected(settings, _version), _scripts().get_current_head() or "none"


async def knows(settings: Settings) -> bool:
    """Say whether the version of a database is one that this checkout has a migration for."""
    return await _connected(settings, _version) in _known()


async def ready(settings: Settings) -> None:
    """Migrate if that is wanted. Raises CannotGoOn if it is needed and not wanted."""
    if settings.db_auto_migrate:
        await migrate(settings)
    elif behind := await _connected(settings, is_behind):
        raise CannotGoOn(
            f"The database is at version {behind}, which is not that of this checkout: "
            "call `./run migrate`, or do not set DB_AUTO_MIGRATE to false."
        )


def is_behind(connection: Connection) -> str:
    """Return the version of a database that is not the newest, else nothing."""
    found = _version(connection)
    return "" if found == _scripts().get_current_head() else found


def _version(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or "none"


def _upgrade(connection: Connection) -> str:
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    if behind := is_behind(connection):
        if behind != "none" and behind not in _known():
            raise CannotGoOn(f"The database is at version {behind}, newer than this checkout.")
        config = Config(toml_file=TOP / "pyproject.toml")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return _version(connection)


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(TOP / "migrations"))


async def _connected(settings: Settings, work: Callable[[Connection], str]) -> str:
    engine = create_async_engine(settings.sqlalchemy_url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    main_of(main)
