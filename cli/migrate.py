"""`./run migrate`: migrate the database to the version of this checkout."""

import asyncio
from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

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
from core.config.installation import COMMAND, PROJECT_ROOT
from core.config.settings import Settings
from core.db.engine import create_direct_engine

SCRIPTS = PROJECT_ROOT / "migrations"
NO_REVISION = "none"
BASELINE = "0109"  # the schema of release 1.0.0
LAST_CHECKOUT_BEFORE_BASELINE = "25086fe3"
MIGRATION_LOCK_KEY = 7_265_102  # advisory lock that serializes processes that migrate

IS_AUDIT_FUNCTION_PUBLIC = """
    select exists (
        select from aclexplode(coalesce(proacl, acldefault('f', proowner)))
        where grantee = 0 and pg_has_role(current_user, proowner, 'member')
    ) from pg_proc where oid = to_regprocedure('delete_audit_chain(uuid, integer)')
"""
"""Whether everybody has a right that migrations take away, as after pg_restore, and we can too."""


def main(arguments: list[str]) -> int:
    parser = create_parser("migrate", "Bring the database to this version.")
    add_data_option(parser)
    options = parser.parse_args(arguments)

    async def migrate_and_report() -> None:
        async with open_database(load_settings(options)) as settings:
            print_line(f"The database is at version {await migrate_database(settings)}.")

    return run_command(lambda: asyncio.run(migrate_and_report()) or 0)


async def migrate_database(settings: Settings) -> str:
    """Migrate the database to the newest version in one transaction; return that version."""
    return await _run_on_connection(settings, _upgrade_to_head)


async def get_revisions(settings: Settings) -> tuple[str, str]:
    """Return the version of the database and the newest version of this checkout."""
    revision = await _run_on_connection(settings, _get_revision)
    return revision, _load_scripts().get_current_head() or NO_REVISION


async def find_revision_problem(settings: Settings) -> str:
    """Return a sentence if this installation cannot migrate the database, else an empty text."""
    return await _run_on_connection(settings, lambda it: _find_revision_problem(_get_revision(it)))


async def ensure_migrated(settings: Settings) -> None:
    """Migrate if DB_AUTO_MIGRATE is on; otherwise raise CommandError if it is necessary."""
    if settings.db_auto_migrate:
        await migrate_database(settings)
    elif outdated := await _run_on_connection(settings, find_outdated_revision):
        raise CommandError(
            f"The database is at version {outdated}, which is not that of this installation: "
            f"call `{COMMAND} migrate`, or do not set DB_AUTO_MIGRATE to false."
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


def find_outdated_revision(connection: Connection) -> str:
    """Return the version of the database if it is not the newest, else an empty string."""
    revision = _get_revision(connection)
    return "" if revision == _load_scripts().get_current_head() else revision


def _get_revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or NO_REVISION


def _upgrade_to_head(connection: Connection) -> str:
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK_KEY})
    if outdated := find_outdated_revision(connection):
        if outdated != NO_REVISION and (problem := _find_revision_problem(outdated)):
            raise CommandError(problem)
        config = Config()  # pyproject.toml is not in a wheel
        config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    if connection.scalar(text(IS_AUDIT_FUNCTION_PUBLIC)):
        connection.execute(text("revoke execute on function delete_audit_chain from public"))
    return _get_revision(connection)


def _find_revision_problem(revision: str) -> str:
    if revision == NO_REVISION:
        return "It is not a database of Mission Control."
    if revision in {script.revision for script in _load_scripts().walk_revisions()}:
        return ""
    if revision < BASELINE:
        return (
            f"The database is at version {revision}, from before release 1.0.0. Start the checkout "
            f"of commit {LAST_CHECKOUT_BEFORE_BASELINE} with it once, and then this version."
        )
    return f"The database is at version {revision}, newer than this installation."


def _load_scripts() -> ScriptDirectory:
    return ScriptDirectory(str(SCRIPTS))


async def _run_on_connection(settings: Settings, function: Callable[[Connection], str]) -> str:
    engine = create_direct_engine(settings)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(function)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    run_as_script(main)
