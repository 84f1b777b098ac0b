"""`./run migrate`: migrate the database to the version of this checkout."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from cli.database import open_database
from core.config.paths import COMMAND, PROJECT_ROOT
from core.config.settings import Settings
from core.db.engine import create_direct_engine
from core.version import VERSION

SCRIPTS = PROJECT_ROOT / "migrations"
NO_REVISION = "none"
BASELINE = "0109"  # the schema of release 1.0.0
LAST_CHECKOUT_BEFORE_BASELINE = "25086fe3"
MIGRATION_LOCK_KEY = 7_265_102  # advisory lock that serializes processes that migrate
LOCK_POLL_INTERVAL = 0.2  # seconds

COMPATIBLE_SINCE = "1.0.0"
"""The oldest release that can use the database of this version: see docs/decisions/updates.md."""

STATEMENT_LOCK_TIMEOUT = 1000  # milliseconds; while a statement waits, others wait behind it
MAX_LOCK_WAIT = 600.0  # seconds in which a migration is tried again: a backup can take minutes
LOCK_RETRY_DELAY = 1.0  # seconds in which others use the table
LOCK_ERRORS = {"55P03", "40P01"}  # SQLSTATE: lock timeout, deadlock

PUBLIC_AUDIT_FUNCTIONS = """
    select oid::regprocedure::text
    from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
    where grantee = 0 and pg_has_role(current_user, proowner, 'member') and oid in (
        to_regprocedure('delete_audit_chain(uuid, integer)'),
        to_regprocedure('drop_audit_records(uuid, bigint, varchar)')
    )
"""
"""What everybody may call, as after pg_restore, although migrations and we take that right away."""


def main(arguments: list[str]) -> int:
    parser = create_parser("migrate", "Migrate the database to the version of this installation.")
    add_data_option(parser)
    options = parser.parse_args(arguments)

    async def migrate_and_report() -> None:
        async with open_database(load_settings(options)) as settings:
            print_line(f"The database is at version {await migrate_database(settings)}.")

    return run_command(lambda: asyncio.run(migrate_and_report()) or 0)


async def migrate_database(settings: Settings, scripts: Path = SCRIPTS) -> str:
    """Migrate the database to the newest version; return its version.

    Each migration is a transaction. The database of a newer release is left as it is if this one
    can use it. Raises CommandError.
    """
    engine = _create_engine(settings)
    try:
        async with engine.begin() as connection:
            revision = await connection.run_sync(_get_revision)
        if revision != _load_scripts(scripts).get_current_head():
            async with _hold_migration_lock(engine):
                await _upgrade_with_retries(engine, scripts)
        async with engine.begin() as connection:
            return await connection.run_sync(_finish_migration)
    finally:
        await engine.dispose()


async def get_revisions(settings: Settings) -> tuple[str, str]:
    """Return the version of the database and the newest version of this checkout."""
    revision = await _run_on_connection(settings, _get_revision)
    return revision, _load_scripts().get_current_head() or NO_REVISION


async def get_compatible_since(settings: Settings) -> str:
    """Return the oldest release that can use the database; empty if it does not say so."""
    return await _run_on_connection(settings, _get_compatible_since)


async def find_outdated_revision(settings: Settings) -> str:
    """Return the version of the database if this installation cannot use it, else an empty text."""
    return await _run_on_connection(settings, _find_outdated_revision)


async def find_revision_problem(settings: Settings) -> str:
    """Return a sentence if this installation can neither use nor migrate the database."""
    return await _run_on_connection(settings, _find_revision_problem)


async def ensure_migrated(settings: Settings) -> None:
    """Migrate if DB_AUTO_MIGRATE is on; otherwise raise CommandError if it is necessary."""
    if settings.db_auto_migrate:
        await migrate_database(settings)
    elif outdated := await find_outdated_revision(settings):
        raise CommandError(
            f"The database is at version {outdated}, which is not that of this installation: run"
            f" `{COMMAND} migrate`, or do not set DB_AUTO_MIGRATE to false."
        )


async def prepare_database(settings: Settings) -> None:
    """Migrate the database as `ensure_migrated` does, and check that our key is the one it needs.

    Raises CommandError.
    """
    await ensure_migrated(settings)
    if problem := await find_key_problem(settings, registers=True):
        raise CommandError(problem)


async def find_key_problem(settings: Settings, *, registers: bool = False) -> str:
    """Return a sentence if our key is not that of the database, else an empty text.

    With `registers`, the database stores the right key.
    """
    from cli.database import open_transaction
    from core.errors import Unavailable
    from core.security.encryption import SecretCipher
    from services import secret_keys

    check = secret_keys.register_key if registers else secret_keys.check_key
    try:
        async with open_transaction(settings) as session:
            await check(session, SecretCipher(settings))
    except secret_keys.WrongKey as error:
        return str(error)
    except Unavailable as error:
        return error.message
    return ""


@asynccontextmanager
async def _hold_migration_lock(engine: AsyncEngine) -> AsyncGenerator[None]:
    """Hold the lock on a connection of its own, since each migration ends a transaction.

    Waiting in the database would keep a snapshot, for which CREATE INDEX CONCURRENTLY waits.
    """
    async with engine.connect() as connection:
        query, key = text("select pg_try_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK_KEY}
        while not await connection.scalar(query, key):
            await connection.rollback()
            await asyncio.sleep(LOCK_POLL_INTERVAL)
        # A further statement also ends the snapshot of the query.
        await connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
        yield


async def _upgrade_with_retries(engine: AsyncEngine, scripts: Path) -> None:
    """Migrate; start the interrupted migration again if it did not get a lock."""
    end = time.monotonic() + MAX_LOCK_WAIT
    while True:
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(_upgrade_to_head, scripts)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in LOCK_ERRORS:
                raise
            if time.monotonic() > end:
                raise CommandError(
                    "A migration did not get a lock, which a long transaction holds: end that, and"
                    f" run `{COMMAND} migrate`."
                ) from error
        print_line("A migration waits for a lock. A backup or a long transaction holds it.")
        await asyncio.sleep(LOCK_RETRY_DELAY)


def _upgrade_to_head(connection: Connection, scripts: Path) -> None:
    revision = _get_revision(connection)
    if problem := revision != NO_REVISION and _find_revision_problem(connection, scripts):
        raise CommandError(problem)
    directory = _load_scripts(scripts)
    is_needed = revision == NO_REVISION or _is_known(revision, directory)
    if not is_needed or revision == directory.get_current_head():
        return
    if revision != NO_REVISION:  # before the first migration that a release may not understand
        _mark_compatible_releases(connection)
    connection.commit()  # alembic begins a transaction for each migration
    config = Config()  # pyproject.toml is not in a wheel
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if revision == NO_REVISION:
        _mark_compatible_releases(connection)
        connection.commit()


def _finish_migration(connection: Connection) -> str:
    for function in connection.scalars(text(PUBLIC_AUDIT_FUNCTIONS)).all():
        connection.execute(text(f"revoke execute on function {function} from public"))
    return _get_revision(connection)


def _mark_compatible_releases(connection: Connection) -> None:
    connection.execute(
        text(f"comment on table alembic_version is 'compatible since {COMPATIBLE_SINCE}'")
    )


def _get_compatible_since(connection: Connection) -> str:
    comment = connection.scalar(
        text("select obj_description(to_regclass('alembic_version'), 'pg_class')")
    )
    found = re.fullmatch(r"compatible since (\d{1,5}\.\d{1,5}\.\d{1,5})", comment or "")
    return found[1] if found else ""


def parse_version(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, which can be compared."""
    return tuple(map(int, version.split(".")))


def _get_revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or NO_REVISION


def _find_outdated_revision(connection: Connection) -> str:
    revision, scripts = _get_revision(connection), _load_scripts()
    is_newest = revision == scripts.get_current_head()
    is_newer = not _is_known(revision, scripts) and not _find_revision_problem(connection)
    return "" if is_newest or is_newer else revision


def _find_revision_problem(connection: Connection, scripts: Path = SCRIPTS) -> str:
    revision = _get_revision(connection)
    if revision == NO_REVISION:
        return "It is not a database of Mission Control."
    if _is_known(revision, _load_scripts(scripts)):
        return ""
    if revision < BASELINE:
        return (
            f"The database is at version {revision}, from before release 1.0.0. Start the checkout "
            f"of commit {LAST_CHECKOUT_BEFORE_BASELINE} with it once, and then this version."
        )
    oldest = _get_compatible_since(connection)
    if oldest and parse_version(oldest) <= parse_version(VERSION):
        return ""
    needed = f": it needs release {oldest} or newer" if oldest else ""
    return f"The database is at version {revision}, newer than this installation{needed}."


def _is_known(revision: str, scripts: ScriptDirectory) -> bool:
    return revision in {script.revision for script in scripts.walk_revisions()}


def _load_scripts(scripts: Path = SCRIPTS) -> ScriptDirectory:
    return ScriptDirectory(str(scripts))


def _create_engine(settings: Settings) -> AsyncEngine:
    """Return an engine whose transactions do not wait long for a lock."""
    engine = create_direct_engine(settings)

    def limit_lock_wait(connection: Connection) -> None:
        # CREATE INDEX CONCURRENTLY, which runs without a transaction, waits as long as it must.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"set local lock_timeout = {STATEMENT_LOCK_TIMEOUT}")

    event.listen(engine.sync_engine, "begin", limit_lock_wait)
    return engine


async def _run_on_connection(settings: Settings, function: Callable[[Connection], str]) -> str:
    engine = create_direct_engine(settings)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(function)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    run_as_script(main)
