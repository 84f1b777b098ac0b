"""The application on transactions of a test: requests read what the test has not committed."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import ASGIApp, Receive, Scope, Send

import app
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadConnection
from core.shared_limiters import SharedLimits
from services.last_seen import FLUSH_INTERVAL, LastSeenBuffer, UsedModel
from tests.support.encoded_responses import check_encoded_responses


def build_app_on(
    settings: Settings,
    transaction: Any,
    *,
    listener: PostgresListener | None = None,
    event_feed: Any = None,
    **state: Any,
) -> ASGIApp:
    """Build the application on the given transactions.

    Last uses are written after the request, instead of a second later. Responses without validation
    are compared with their models.
    """
    application = check_encoded_responses(app.build_app(settings))
    built = app.build_state(
        settings,
        transaction,
        listener or PostgresListener(),
        event_feed,
        ReadsOn(transaction),
        SharedLimits(None),  # a statement beside those of the test would be in its transaction
        FirstUses(transaction),
    )
    built |= state

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        await application({**scope, "state": dict(built)}, receive, send)
        with suppress(OSError):  # of a test without a database
            await built["last_seen"].flush()

    return run


class FirstUses(LastSeenBuffer):
    """Leaves out uses within a second of another one: they take a third of the time of a request.

    In production they are not written either, except for the last one.
    """

    def __init__(self, transaction: TransactionFactory) -> None:
        super().__init__(transaction)
        self._recorded: dict[UUID, datetime] = {}

    def record(self, used: UsedModel, id: UUID) -> None:
        last = self._recorded.get(id)
        if last is None or abs(now() - last) >= timedelta(seconds=FLUSH_INTERVAL):
            self._recorded[id] = now()
            super().record(used, id)


class ReadsOn:
    """A read pool whose connections are those of the test's transactions.

    A read has no savepoint: it would double the round trips. After an error the transaction of the
    test is over.
    """

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[ReadConnection]:
        """Yield a read connection for the duration of the block."""
        async with self._transaction() as session:
            is_shared = isinstance(session.bind, AsyncConnection)
            connection = session.bind if is_shared else await session.connection()
            raw = await connection.get_raw_connection()
            yield _SharedConnection(raw.dbapi_connection)


class _SharedConnection:
    """A connection of SQLAlchemy, used directly, but not while SQLAlchemy uses it."""

    def __init__(self, adapted: Any) -> None:
        self._connection: asyncpg.Connection = adapted.driver_connection
        self._lock = adapted._execute_mutex

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        async with self._lock:
            return await self._connection.fetch(query, *args)
