"""The pool of database connections, the same for all who open one, and what its errors mean."""

import pydantic_core
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.settings import Settings

SPARE = 5  # connections beyond the pool's size, for a crowded moment
PATIENCE = 15.0  # seconds that a request waits for a connection before it is told to come again
TIME_LIMITS = {
    "lock_timeout": "10s",  # one stuck transaction must not take all connections with it
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}


def open_pool(settings: Settings, *, size: int | None = None) -> AsyncEngine:
    """Make a pool of `size` connections, by default as many as are set. Nothing is opened yet."""
    return create_async_engine(
        settings.sqlalchemy_url,
        pool_size=size or settings.db_pool_size,
        max_overflow=SPARE,
        pool_timeout=PATIENCE,
        pool_pre_ping=True,  # the database may have been restarted meanwhile
        hide_parameters=True,  # errors are logged, and what people wrote is not for the log
        json_serializer=lambda value: pydantic_core.to_json(value).decode(),
        json_deserializer=pydantic_core.from_json,
        connect_args={"server_settings": TIME_LIMITS},
    )


def breaks(error: IntegrityError, constraint: str) -> bool:
    """Say whether it is this constraint that forbade what was to be written."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) == constraint
