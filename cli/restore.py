"""`./run restore FILE`: replace all data by that of a backup."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from cli.audit import record_operation
from cli.command import (
    CommandError,
    add_data_option,
    ask_for_confirmation,
    create_parser,
    load_settings,
    print_line,
    repeat_data_option,
    run_as_script,
    run_command,
)
from cli.database import open_database
from cli.migrate import find_key_problem, find_revision_problem, migrate_database
from cli.postgres_programs import (
    FIRST_INCOMPATIBLE_MAJOR,
    MAINTENANCE_DATABASES,
    PostgresPrograms,
    fetch_server_version,
    get_database_name,
    replace_database_name,
)
from cli.process import adopt_public_address
from core.config.paths import COMMAND
from core.config.settings import Settings
from core.db.engine import connect_directly
from services.audit import AuditAction

OTHER_CONNECTIONS_QUERY = """
    select count(*) from pg_stat_activity
    where datname = $1 and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
ROLE_QUERY = """
    select quote_ident(rolname) as role, rolcreatedb or rolsuper as may_create_databases,
        quote_ident(datname) as database, pg_has_role(datdba, 'usage') as is_owner,
        datdba::regrole as owner
    from pg_roles, pg_database where rolname = current_user and datname = current_database()
"""
GRANTS_QUERY = """
    select format('grant %s on %s to %s', string_agg(privilege_type, ', '), object, role) from (
        select 'schema ' || quote_ident(nspname) as object, acl.* from pg_namespace,
            aclexplode(nspacl) as acl
        where nspname = current_schema and grantee <> nspowner
        union all
        select (case relkind when 'S' then 'sequence ' else 'table ' end) || oid::regclass, acl.*
        from pg_class, aclexplode(relacl) as acl
        where relnamespace = current_schema::regnamespace and grantee <> relowner
        union all
        select 'function ' || oid::regprocedure, acl.* from pg_proc, aclexplode(proacl) as acl
        where pronamespace = current_schema::regnamespace and grantee <> proowner
    ) as granted,
    lateral (select quote_ident(rolname) as role from pg_roles where oid = grantee) as named
    group by object, role
"""
"""The rights of other roles than the owner; those of everybody are part of the schema."""

DEFAULT_PRIVILEGES_QUERY = """
    with defaults as (
        select format('alter default privileges for role %I', rolname)
                || coalesce(' in schema ' || quote_ident(nspname), '') as alter,
            case defaclobjtype
                when 'r' then 'tables' when 'S' then 'sequences' else 'functions'
            end as objects,
            rolname, nspname, defaclacl
        from pg_default_acl join pg_roles on pg_roles.oid = defaclrole
        left join pg_namespace on pg_namespace.oid = defaclnamespace
        where defaclobjtype in ('r', 'S', 'f') and pg_has_role(defaclrole, 'usage')
            and (defaclnamespace = 0 or nspname = current_schema)
    )
    select 1 as step, format('%s revoke all on %s from public, %I', alter, objects, rolname)
    from defaults where nspname is null
    union all
    select 2, format(
        '%s grant %s on %s to %s%s', alter, string_agg(privilege_type, ', '), objects,
        coalesce(quote_ident(grantees.rolname), 'public'),
        case when is_grantable then ' with grant option' else '' end
    )
    from defaults, aclexplode(defaclacl) as acl
    left join pg_roles as grantees on grantees.oid = grantee
    group by alter, objects, grantees.rolname, is_grantable
    order by step
"""
"""The statements that give later tables, sequences and functions the rights that they would get.

Without a schema, privileges are in place of the built-in ones; those of a schema are added. Those
of roles whose rights this one does not have are of no use for migrations, and are left out.
"""


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "restore", "Replace all data with that of a backup. Stop Mission Control first."
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help=f"what {COMMAND} backup has written"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before data is replaced")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: _run_restore(load_settings(options), options.file, options.yes))


def _run_restore(settings: Settings, file: Path, is_confirmed: bool) -> int:
    if not file.is_file():
        raise CommandError(f"There is no file {file}.")
    asyncio.run(restore_backup(settings, file, is_confirmed))
    return 0


async def restore_backup(settings: Settings, file: Path, is_confirmed: bool) -> None:
    """Restore the backup into a second database, then swap the two databases.

    The current data is unchanged until the swap, which is one transaction.
    """
    async with open_database(settings) as settings:
        programs = await _find_programs(settings)
        _check_file(file, programs)
        connection = await connect_directly(settings.direct_dsn)
        try:
            if await connection.fetchval(
                OTHER_CONNECTIONS_QUERY, get_database_name(settings.direct_dsn)
            ):
                also = " and the pooler" if settings.is_pooled else ""
                reason = f"stop Mission Control first (Ctrl-C there){also}."
                raise CommandError(f"The database is in use: {reason}")
            await _check_role(connection)
            has_users = await connection.fetchval(
                "select to_regclass('users') is not null"
            ) and await connection.fetchval("select exists (select from users)")
            grants = [row[0] for row in await connection.fetch(GRANTS_QUERY)]  # no backup has them
            defaults = [row[1] for row in await connection.fetch(DEFAULT_PRIVILEGES_QUERY)]
        finally:
            await connection.close()
        if has_users and not is_confirmed:
            ask_for_confirmation(
                "The database contains user accounts: add --yes to replace all its data.",
                "The database contains user accounts. All its data will be replaced.",
            )
        async with _connect_to_server(settings.direct_dsn) as server:
            await _replace_database(settings, file, programs, server, defaults)
        await migrate_database(settings)
        await _grant_again(settings.direct_dsn, grants)
        await record_operation(settings, AuditAction.BACKUP_RESTORED, file.name)
        print_line(f"All data is as it was in {file}.")
        print_line(await _describe_next_step(settings))


async def _check_role(connection: asyncpg.Connection) -> None:
    """Raise CommandError unless the role can create a database and exchange both."""
    row = await connection.fetchrow(ROLE_QUERY)
    role, database, owner = row["role"], row["database"], row["owner"]
    if not row["is_owner"]:
        raise CommandError(
            f"The role {role} does not own the database {database}, so it cannot replace it: set"
            f" DATABASE_URL to that of the owner, {owner}."
        )
    if not row["may_create_databases"]:
        raise CommandError(
            f"The role {role} cannot create databases, and a backup is restored into a new one. As"
            f" an administrator of the server, execute: ALTER ROLE {role} CREATEDB"
        )


async def _describe_next_step(settings: Settings) -> str:
    """Return the start command, or else what would prevent the start."""
    if problem := await find_key_problem(settings):
        return problem
    try:
        await adopt_public_address(settings, is_lasting=False)
    except CommandError as error:
        return str(error)
    return f"Start Mission Control with {COMMAND}{repeat_data_option(settings)}"


def _check_file(file: Path, programs: PostgresPrograms) -> None:
    try:
        programs.run_program("pg_restore", "--list", str(file))
    except CommandError as error:
        if "unsupported version" in str(error):
            reason = (
                f"was written by a newer PostgreSQL than {programs.major}, which cannot read it:"
                " restore it into a newer one"
            )
        else:
            reason = f"is not a file that {COMMAND} backup has written"
        raise CommandError(f"{file} {reason}.") from error


async def _find_programs(settings: Settings) -> PostgresPrograms:
    version = await fetch_server_version(settings.direct_dsn)
    programs = PostgresPrograms.for_server(settings, version)
    if version < FIRST_INCOMPATIBLE_MAJOR <= programs.major:
        raise CommandError(
            f"Restoring into PostgreSQL {version} requires the program pg_restore of that version:"
            " install it, and set MC_PG_BIN to its folder."
        )
    return programs


async def _replace_database(
    settings: Settings,
    file: Path,
    programs: PostgresPrograms,
    server: asyncpg.Connection,
    default_privileges: list[str],
) -> None:
    database = get_database_name(settings.direct_dsn)
    restored_dsn = replace_database_name(settings.direct_dsn, f"{database}_restored")
    current = _quote_identifier(database)
    restored = _quote_identifier(f"{database}_restored")
    replaced = _quote_identifier(f"{database}_replaced")
    try:
        for name in (restored, replaced):
            await server.execute(f"drop database if exists {name}")
        await server.execute(f"create database {restored} template template0")
        options = ("--exit-on-error", "--no-owner", "--no-privileges", str(file))
        await asyncio.to_thread(programs.run_program, "pg_restore", *options, dsn=restored_dsn)
        if problem := await find_revision_problem(settings.with_database(restored_dsn)):
            raise CommandError(f"This backup cannot be restored. {problem} Nothing was changed.")
        # Not before the tables are there: the audit would get rights that its migrations take away.
        await _grant_again(restored_dsn, default_privileges)
        async with server.transaction():
            await server.execute(f"alter database {current} rename to {replaced}")
            await server.execute(f"alter database {restored} rename to {current}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandError(
            f"The database could not be replaced, and is as it was: {error}."
        ) from error
    finally:
        # If the connection broke, the next restore drops it. The first error is what people need.
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            await server.execute(f"drop database if exists {restored}")
    try:
        await server.execute(f"drop database {replaced}")
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        print(f"The former database is still there as {replaced}: {error}.")


async def _grant_again(dsn: str, grants: list[str]) -> None:
    """Grant rights, except on what the restored database does not have."""
    missing = (
        asyncpg.UndefinedTableError,
        asyncpg.UndefinedFunctionError,
        asyncpg.InvalidSchemaNameError,
    )
    connection = await connect_directly(dsn)
    try:
        for grant in grants:
            with suppress(*missing):
                await connection.execute(grant)
    finally:
        await connection.close()


@asynccontextmanager
async def _connect_to_server(dsn: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """Connect to another database of the server, since a database in use cannot be renamed."""
    connection = None
    for name in MAINTENANCE_DATABASES:
        try:
            connection = await connect_directly(replace_database_name(dsn, name))
            break
        except asyncpg.PostgresError:
            continue
    if connection is None:
        raise CommandError(
            "The server allows connections only to this database, so the database"
            " cannot be replaced."
        )
    try:
        yield connection
    finally:
        await connection.close()


def _quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    run_as_script(main)
