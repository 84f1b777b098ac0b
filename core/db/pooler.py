"""Work through a pooler such as PgBouncer, whose clients share the sessions of the server.

In transaction mode each transaction runs in any session. What needs a session of its own (LISTEN,
migrations, backups) uses the direct address; docs/decisions/pgbouncer.md has the list.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from core.config.settings import Settings
from core.db.engine import CONNECTION_SETTINGS, POOLER_OPTIONS, STATEMENT_CACHE, connect_directly

ANSWER_TIMEOUT = 5.0  # seconds
LOCK_KEY = 7_265_104  # advisory lock: PostgreSQL refuses concurrent changes of a role

NOT_DIRECT = (
    "leads to a pooler such as PgBouncer, through which notifications (LISTEN) get lost: set"
    " DATABASE_DIRECT_URL to the address of PostgreSQL itself"
)
NOT_PREPARED = (
    "leads to a pooler that does not keep prepared statements: it must be PgBouncer 1.21 or newer"
    " with max_prepared_statements above 0"
)
OTHER_DATABASE = "must lead to the database and the server of DATABASE_DIRECT_URL"
OTHER_SETTINGS = (
    "leads to sessions without the settings of its role: they must have the user of"
    " DATABASE_DIRECT_URL, and RECONNECT in the console of PgBouncer opens them again"
)

ALTER_ROLE_QUERY = """
    select format('alter role current_user in database %I set %I = %L', current_database(),
        name, value)
    from unnest($1::text[], $2::text[]) as wanted (name, value)
"""
HAS_SETTINGS_QUERY = """
    select bool_and(current_setting(name) = value)
    from unnest($1::text[], $2::text[]) as wanted (name, value)
"""
IS_OUR_SESSION_QUERY = (
    "select exists (select from pg_stat_activity where pid = $1 and datname = current_database())"
)


async def is_pooler(connection: asyncpg.Connection) -> bool:
    """Return whether a connection ends at a pooler, which invents the process id of its greeting.

    A pooler in session mode is one, too: nothing needs it.
    """
    async with connection.transaction():  # in one session
        return await connection.fetchval("select pg_backend_pid()") != connection.get_server_pid()


async def store_connection_settings(settings: Settings) -> None:
    """Make our settings of connections those of the role, because a pooler does not pass them on.

    They apply to new sessions, in our database only.
    """
    connection = await connect_directly(settings.direct_dsn, {})
    try:
        async with connection.transaction():
            await connection.execute(f"select pg_advisory_xact_lock({LOCK_KEY})")
            if await _has_settings(connection):
                return
            names, values = zip(*CONNECTION_SETTINGS.items(), strict=True)
            for row in await connection.fetch(ALTER_ROLE_QUERY, names, values):
                await connection.execute(row[0])
    finally:
        await connection.close()


async def find_pooler_problem(settings: Settings) -> str:
    """Return why DATABASE_URL cannot be used beside the direct address, else an empty text."""
    async with _connect_pooled(settings) as first, _connect_pooled(settings) as second:
        prepared = await first.prepare("select 1")
        await prepared.fetchval()
        direct = await connect_directly(settings.direct_dsn)
        try:
            async with second.transaction():  # in the session that was free last: that of `first`
                pid = await second.fetchval("select pg_backend_pid()")
                if not await direct.fetchval(IS_OUR_SESSION_QUERY, pid):
                    return OTHER_DATABASE
                if not await _has_settings(second):
                    return OTHER_SETTINGS
                if not await _runs_elsewhere(prepared):
                    return NOT_PREPARED
        finally:
            await direct.close()
    return ""


async def _runs_elsewhere(prepared: PreparedStatement) -> bool:
    """Return whether a statement also runs in other sessions than the one that has prepared it."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await prepared.fetchval()
    except TimeoutError:  # no other session is free
        return True
    except asyncpg.InvalidSQLStatementNameError:
        return False
    return True


async def _has_settings(connection: asyncpg.Connection) -> bool:
    """Return whether a session has our settings."""
    names, values = zip(*CONNECTION_SETTINGS.items(), strict=True)
    return bool(await connection.fetchval(HAS_SETTINGS_QUERY, names, values))


@asynccontextmanager
async def _connect_pooled(settings: Settings) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.dsn, **POOLER_OPTIONS, **STATEMENT_CACHE)
    try:
        yield connection
    finally:
        connection.terminate()
