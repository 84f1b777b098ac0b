"""Check the addresses of a configured database before it is used."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cli.command import CommandError
from core.config.settings import Settings
from core.db.engine import CONNECTION_ERRORS, connect_directly
from core.db.pooler import (
    NOT_DIRECT,
    find_pooler_problem,
    is_pooler,
    store_connection_settings,
)

MIN_VERSION = 15  # of PostgreSQL


async def check_connections(settings: Settings) -> None:
    """Raise CommandError if the configured database is unreachable, too old, or behind a pooler.

    With a pooler, both addresses are checked, and the role gets the settings of our connections.
    """
    address = "DATABASE_DIRECT_URL" if settings.is_pooled else "DATABASE_URL"
    with _explain_errors(address, settings.direct_dsn):
        connection = await connect_directly(settings.direct_dsn, {})
        try:
            version = connection.get_server_version().major
            is_direct = not await is_pooler(connection)
        finally:
            await connection.close()
    if not is_direct:
        raise CommandError(f"{address} {NOT_DIRECT}.")
    if version < MIN_VERSION:
        name = describe_database(settings.direct_dsn)
        raise CommandError(f"{name} runs PostgreSQL {version}: {MIN_VERSION} or newer is needed.")
    if settings.is_pooled:
        with _explain_errors(address, settings.direct_dsn):
            await store_connection_settings(settings)
        with _explain_errors("DATABASE_URL", settings.dsn):
            problem = await find_pooler_problem(settings)
        if problem:
            raise CommandError(f"DATABASE_URL {problem}.")


@contextmanager
def _explain_errors(setting: str, dsn: str) -> Generator[None]:
    """Raise the errors of a connection as CommandError with the name of the setting."""
    try:
        yield
    except (*CONNECTION_ERRORS, ValueError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
        [authorities] = parse_qs(urlsplit(dsn).query).get("sslrootcert", [""])[-1:]
        if authorities and not Path(authorities).is_file():
            reason = f"there is no file {authorities} (sslrootcert)"
        name = describe_database(dsn)
        raise CommandError(f"{name} cannot be used, see {setting}: {reason}.") from error


def describe_database(dsn: str) -> str:
    """Return the name and host of a database, without its password."""
    parts = urlsplit(dsn)
    return f"The database {parts.path.strip('/')} on {parts.hostname or 'this machine'}"
