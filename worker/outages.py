"""Tell an outage of the database from an error of the worker."""

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    NoFreeConnection,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # the server is shutting down or starting up
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection broke in the middle of a message
)
"""What is raised when the database goes away."""

UNAVAILABLE_CODES = ("3D000", "55000")
"""The SQLSTATEs of a missing database, and of one that accepts nobody, as during a restore."""

QUERY_CANCELED = "57014"
"""The SQLSTATE of a cancelled statement. asyncpg derives it from OperatorInterventionError."""


def is_connection_lost(error: BaseException | None) -> bool:
    """Return whether an error means that the database is away, and is no fault of the worker.

    A statement that was cancelled, as by `statement_timeout`, does not mean that.
    """
    if sqlstate_of(error) == QUERY_CANCELED:
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    while error is not None:
        if (
            isinstance(error, CONNECTION_ERRORS)
            or getattr(error, "sqlstate", None) in UNAVAILABLE_CODES
        ):
            return True
        error = error.__cause__
    return False


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of an error or of one of its causes."""
    while error is not None:
        code = getattr(error, "sqlstate", None)
        if code:
            return str(code)
        error = error.__cause__ or getattr(error, "orig", None)
    return None
