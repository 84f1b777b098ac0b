"""`./run restore FILE`: replaces all data by that of a backup."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from bin.command import CannotGoOn, ended, main_of, parser, say, settings_for, takes_data
from bin.database import opened
from bin.dump import (
    MAINTENANCE,
    SCRIPTS_CHANGED,
    Programs,
    database_of,
    server_of,
    with_database,
)
from bin.migrate import knows, migrate
from kit.settings import Settings

OTHERS = "select count(*) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()"
IS_USED = "select to_regclass('users') is not null"


def main(arguments: list[str]) -> int:
    options = parser("restore", "Replace all data by that of a backup. Stop Mission Control first.")
    options.add_argument("file", metavar="FILE", type=Path, help="what ./run backup has written")
    options.add_argument("--yes", action="store_true", help="do not ask before data is replaced")
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: _restore(settings_for(given), given.file, given.yes))


def _restore(settings: Settings, file: Path, sure: bool) -> int:
    if not file.is_file():
        raise CannotGoOn(f"There is no file {file}.")
    asyncio.run(restore(settings, file, sure))
    return 0


async def restore(settings: Settings, file: Path, sure: bool) -> None:
    """Read the backup into a database beside ours, and let the two change places at the end.

    Until that moment nothing of ours is touched, and that moment is one transaction.
    """
    async with opened(settings) as settings:
        programs = await _programs(settings)
        _look_at(file, programs)
        await _nobody_else(settings.dsn)
        if not sure and await _has_people(settings.dsn):
            _ask()
        async with _maintenance(settings.dsn) as server:
            await _replace(settings, file, programs, server)
        await migrate(settings)
    say(f"All data is as it was in {file}. Start Mission Control with ./run")


def _look_at(file: Path, programs: Programs) -> None:
    try:
        programs.call("pg_restore", "--list", str(file))
    except CannotGoOn as error:
        if "unsupported version" in str(error):
            reason = "was written by a newer PostgreSQL than the one that is to read it"
        else:
            reason = "is not a file that ./run backup has written"
        raise CannotGoOn(f"{file} {reason}.") from error


async def _programs(settings: Settings) -> Programs:
    version = await server_of(settings.dsn)
    programs = Programs.fitting(settings, version)
    if version < SCRIPTS_CHANGED <= programs.major:
        raise CannotGoOn(
            f"To restore into PostgreSQL {version} takes the program pg_restore of that version: "
            "install it, and set MC_PG_BIN to its folder."
        )
    return programs


async def _replace(
    settings: Settings, file: Path, programs: Programs, server: asyncpg.Connection
) -> None:
    ours = database_of(settings.dsn)
    beside, old = f"{ours}_restored", f"{ours}_replaced"
    beside_dsn = with_database(settings.dsn, beside)
    try:
        for name in (beside, old):
            await server.execute(f"drop database if exists {_quoted(name)}")
        await server.execute(f"create database {_quoted(beside)} template template0")
        options = ("--exit-on-error", "--no-owner", "--no-privileges", str(file))
        await asyncio.to_thread(programs.call, "pg_restore", *options, dsn=beside_dsn)
        await _fits(settings.with_database(beside_dsn))
        async with server.transaction():
            await server.execute(f"alter database {_quoted(ours)} rename to {_quoted(old)}")
            await server.execute(f"alter database {_quoted(beside)} rename to {_quoted(ours)}")
        await server.execute(f"drop database {_quoted(old)}")
    except asyncpg.PostgresError as error:
        raise CannotGoOn(
            f"The database could not be replaced, and is as it was: {error}."
        ) from error
    finally:
        await server.execute(f"drop database if exists {_quoted(beside)}")


async def _fits(settings: Settings) -> None:
    """Make sure that what was read is ours, and not newer than we are."""
    if not await knows(settings):
        raise CannotGoOn(
            "This backup is not of Mission Control, or of a newer version than this one: "
            "nothing was changed."
        )


async def _nobody_else(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    others = await connection.fetchval(OTHERS, database_of(dsn))
    await connection.close()
    if others:
        raise CannotGoOn("Somebody uses the database: stop Mission Control first (Ctrl-C there).")


async def _has_people(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval(IS_USED):
            return False
        return bool(await connection.fetchval("select exists (select from users)"))
    finally:
        await connection.close()


def _ask() -> None:
    if not sys.stdin.isatty():
        raise CannotGoOn("There are people in the database: add --yes to replace all its data.")
    print("There are people in the database. All its data will be replaced.")
    if input("Type yes to go on: ").strip() != "yes":
        raise CannotGoOn("Nothing was changed.")


@asynccontextmanager
async def _maintenance(dsn: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """Give a connection to the server that is not to our own database."""
    connection = None
    for name in MAINTENANCE:
        try:
            connection = await asyncpg.connect(with_database(dsn, name))
            break
        except asyncpg.PostgresError:
            continue
    if connection is None:
        raise CannotGoOn("The server lets us into no database but ours, so we cannot replace it.")
    try:
        yield connection
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    main_of(main)
