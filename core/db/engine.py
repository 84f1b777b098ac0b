"""Connect to the database, for commands and for reading, and interpret its errors."""

import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from weakref import WeakSet

import asyncpg
import pydantic_core
from sqlalchemy import Engine, NullPool, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from core.config.settings import Settings
from core.db.compiled_statement import encode_json_parameter
from core.db.reads import ReadConnection
from core.metrics import POOL_SIZE, POOL_USED, POOL_WAITING
from core.traces import trace_connection

TransactionFactory = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Opens a transaction that is committed at the end of the block and rolled back by an exception."""

READ_ONLY = "25006"  # SQLSTATE
OUTAGE_CODES = (
    *("08", "53"),  # a lost connection, and too few resources
    "57P",  # shutdown, crash and start
    "3D000",  # a missing database, as during a restore
    READ_ONLY,
)
"""The beginnings of the SQLSTATEs of outages (PostgreSQL documentation, appendix A)."""

NOT_ACCEPTING = "55000"
"""Outside of a transaction that of a database which accepts nobody; inside, of wrong statements."""

TEMPORARY_CODES = ("40", "55P03", "57014", "25P03", "25P04")
"""Those of what concerns one transaction: deadlocks, and the limits of locks, statements and idle
transactions."""

LOST = ("connection is closed", "released back to the pool", "pool is clos")
"""In the texts of asyncpg's InterfaceError for connections that are lost or closed by us: it is
also the class of wrong calls. A connection that is lost returns to its pool at once."""

MAX_OVERFLOW = 5  # additional connections for short load peaks
POOL_TIMEOUT = 15.0  # seconds that a request waits for a connection before it fails with 503
IDLE_TIMEOUT = "idle_in_transaction_session_timeout"
CONNECTION_SETTINGS = {  # as PostgreSQL shows them
    "jit": "off",  # compiling a statement takes longer than running it
    "max_parallel_workers_per_gather": "0",  # nor do a few rows need several processes
    "lock_timeout": "10s",  # so that one blocked transaction does not use up all connections
    "statement_timeout": "30s",
    IDLE_TIMEOUT: "8s",  # of a process that hangs or is frozen
}
"""Sent at the start of a connection. Through a pooler they are those of the role (`pooler.py`)."""

MAX_WORKER_IDLE = 3.0  # seconds that a transaction of a worker may be idle

UNLIMITED = {name: "0" for name in CONNECTION_SETTINGS if name.endswith("_timeout")}
"""What commands such as a migration set, because the role may have the limits of the server."""

CONNECT_TIMEOUT = 10.0  # seconds
TCP_OPTIONS = {
    "SO_KEEPALIVE": 1,
    "TCP_KEEPIDLE": 3,  # seconds of silence until the first probe
    "TCP_KEEPINTVL": 1,  # seconds between probes
    "TCP_KEEPCNT": 3,  # probes without an answer
    "TCP_USER_TIMEOUT": 6_000,  # milliseconds in which what was sent must be received
}
"""End connections within seconds if the machine of the server has vanished: it closes none. Options
that a system does not have are left out."""


class DatabaseConnection(asyncpg.Connection):
    """A connection that ends soon after its server has vanished."""

    def __init__(self, protocol: Any, transport: Any, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            for name, value in TCP_OPTIONS.items():
                if (option := getattr(socket, name, None)) is not None:
                    level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
                    connected.setsockopt(level, option, value)


CONNECT_OPTIONS: Mapping[str, Any] = {
    "timeout": CONNECT_TIMEOUT,
    "connection_class": DatabaseConnection,
    "target_session_attrs": "primary",  # after a failover the address may lead to the old one
}
"""Options of asyncpg for all connections. A pooler does not know which server it will use."""

POOLER_OPTIONS = {**CONNECT_OPTIONS, "target_session_attrs": "any"}


STATEMENT_CACHE = {
    "statement_cache_size": 1_000,  # statements that each connection keeps prepared
    "max_cached_statement_lifetime": 0,  # unlimited
    "max_cacheable_statement_size": 0,  # unlimited
}
"""Options of asyncpg. SQLAlchemy's session keeps its own statements prepared besides."""


CONNECTION_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.PostgresError)
"""What is raised where a connection is opened and used; OSError is also TimeoutError."""


async def open_connection(*arguments: Any, **options: Any) -> asyncpg.Connection:
    """Connect as asyncpg does. Raises ConnectionError if the server is not the primary."""
    try:
        return await asyncpg.connect(*arguments, **options)
    except asyncpg.TargetServerAttributeNotMatched as error:
        raise ConnectionError("it is a standby server, which accepts no writes") from error


ANY_URL = "postgresql+asyncpg://"
"""The URL of our engines, which get the address as an option: SQLAlchemy shows their URLs."""


async def _open_pool_connection(*arguments: Any, **options: Any) -> asyncpg.Connection:
    """Connect as `open_connection` does. Raises ConnectionError also if there is no such server.

    A server that restarts or moves may have no socket file, no address, or no route to it.
    """
    try:
        return await open_connection(*arguments, **options)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise ConnectionError(str(error)) from error


OUR_CREATOR = {"async_creator_fn": _open_pool_connection}
"""An option of SQLAlchemy's adapter."""


class _CountedPool(AsyncAdaptedQueuePool):
    """Counts those that wait for a connection."""

    _sqla_logger_namespace = "sqlalchemy.pool"  # whose level is WARNING
    waiting = 0

    def _do_get(self) -> ConnectionPoolEntry:
        self.waiting += 1
        try:
            return super()._do_get()
        finally:
            self.waiting -= 1


_engines: WeakSet[Engine] = WeakSet()  # with a pool


def create_database_engine(
    settings: Settings, *, size: int | None = None, max_idle: float | None = None
) -> AsyncEngine:
    """Create a pool of `size` connections, by default DB_POOL_SIZE; none is opened yet.

    The server ends a transaction that is idle for `max_idle` seconds. Through a pooler that is a
    statement more in each transaction.
    """
    server_settings = {}
    if max_idle is not None:
        server_settings[IDLE_TIMEOUT] = f"{max_idle:g}s"
    engine = create_async_engine(
        ANY_URL,
        poolclass=_CountedPool,
        pool_size=size or settings.db_pool_size,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=POOL_TIMEOUT,
        hide_parameters=True,  # errors are logged; user content must not be
        json_serializer=encode_json_parameter,
        json_deserializer=pydantic_core.from_json,
        connect_args={
            "dsn": settings.dsn,
            **_get_options(settings.is_pooled, **server_settings),
            **STATEMENT_CACHE,
            **OUR_CREATOR,
        },
    )
    _engines.add(engine.sync_engine)
    event.listen(engine.sync_engine, "checkout", _reject_lost_connection)
    event.listen(engine.sync_engine, "handle_error", _leave_read_only_server)
    event.listen(engine.sync_engine, "connect", _trace_connection)
    if settings.is_pooled and max_idle is not None:
        limit = f"select set_config('{IDLE_TIMEOUT}', '{max_idle:g}s', true)"
        event.listen(engine.sync_engine, "begin", lambda one: one.exec_driver_sql(limit))
    return engine


def create_direct_engine(settings: Settings) -> AsyncEngine:
    """Create an engine without a pool and without time limits, for commands."""
    return create_async_engine(
        ANY_URL,
        poolclass=NullPool,
        connect_args={
            "dsn": settings.direct_dsn,
            **CONNECT_OPTIONS,
            "server_settings": UNLIMITED,
            **OUR_CREATOR,
        },
    )


async def connect_directly(
    dsn: str, server_settings: Mapping[str, str] = UNLIMITED
) -> asyncpg.Connection:
    """Open a session of the server itself. Raises OSError and errors of asyncpg."""
    return await open_connection(dsn, **CONNECT_OPTIONS, server_settings=dict(server_settings))


def _get_options(is_pooled: bool, **server_settings: str) -> dict[str, Any]:
    """Return the options of the connections of a pool."""
    if is_pooled:
        return dict(POOLER_OPTIONS)
    return {**CONNECT_OPTIONS, "server_settings": {**CONNECTION_SETTINGS, **server_settings}}


def has_open_transaction() -> bool:
    """Return whether a connection of a pool for commands of this process is in use."""
    pools: list[Any] = [engine.pool for engine in _engines]
    return any(pool.checkedout() for pool in pools)


def report_pool_usage(engine: AsyncEngine) -> None:
    """Let the metrics of this process show how many connections of commands are in use."""

    def get_pool() -> Any:  # the engine replaces its pool when it is disposed
        return engine.sync_engine.pool

    POOL_SIZE.labels("commands").set(get_pool().size() + MAX_OVERFLOW)
    POOL_USED.labels("commands").set_function(lambda: get_pool().checkedout())
    POOL_WAITING.labels("commands").set_function(lambda: get_pool().waiting)


def _reject_lost_connection(connection: Any, *_: object) -> None:
    """Replace the connections of the pool after the database was restarted.

    The event loop notices when the server closes a connection, so that no statement is needed to
    find out.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError("the server has closed the connection")


def _leave_read_only_server(context: ExceptionContext) -> None:
    """Replace the connections of the pool when their server accepts no writes any more."""
    if find_sqlstate(context.original_exception) == READ_ONLY:
        context.is_disconnect = True


def _trace_connection(connection: Any, _: object) -> None:
    trace_connection(connection.driver_connection)


class PoolBusy(ConnectionError):
    """All connections of a pool were in use for too long."""


def violates_constraint(error: IntegrityError, constraint: str) -> bool:
    """Return whether the error was caused by the named constraint."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None) == constraint


def is_pool_busy(error: BaseException) -> bool:
    """Return whether all database connections of this process were in use for too long."""
    return isinstance(error, PoolBusy | PoolTimeoutError)


def is_temporary_error(error: BaseException) -> bool:
    """Return whether the same statements can succeed later: after an outage, or at once.

    Beside outages these are time limits, locks and deadlocks of one transaction. An error of the
    program is none. A group of errors is one if all of them are.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_temporary_error, error.exceptions))
    return is_outage(error) or find_sqlstate(error).startswith(TEMPORARY_CODES)


def is_outage(error: BaseException) -> bool:
    """Return whether the database is away, has too much to do, or accepts no writes."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    error = _find_driver_error(error)
    if isinstance(error, asyncpg.InterfaceError):
        return any(text in str(error) for text in LOST)
    # The last is that of a connection whose server has closed it, and of which the driver has not
    # read the end.
    lost = ConnectionError | TimeoutError | asyncpg.InternalClientError
    code = find_sqlstate(error)
    is_refused = code == NOT_ACCEPTING and getattr(error, "severity_en", None) == "FATAL"
    return isinstance(error, lost) or is_refused or code.startswith(OUTAGE_CODES)


def find_sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or an empty text."""
    return str(getattr(_find_driver_error(error), "sqlstate", None) or "")


def _find_driver_error(error: BaseException) -> BaseException:
    """Return the error of asyncpg that SQLAlchemy has wrapped, or the error itself."""
    while (wrapped := getattr(error, "orig", None)) is not None:
        error = wrapped
    return error


class _PlainConnection(DatabaseConnection):
    """A connection whose state no read changes, so that nothing is reset after its use."""

    def get_reset_query(self) -> str:
        return ""


class ReadPool:
    """Connections for reading; none is opened before the first use."""

    def __init__(self, dsn: str, size: int, *, is_pooled: bool = False) -> None:
        self.timeout = POOL_TIMEOUT  # seconds that a read waits for a connection
        self.waiting = 0  # reads that wait for a connection
        options = _get_options(is_pooled, default_transaction_read_only="on")
        self._pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            connect=open_connection,
            max_inactive_connection_lifetime=60.0,  # seconds
            init=_prepare_connection,
            **{**options, **STATEMENT_CACHE, "connection_class": _PlainConnection},
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[ReadConnection, None]:
        """Yield a connection for the block. Raises ConnectionError, and PoolBusy under load."""
        await self._pool  # does nothing after the first time
        self.waiting += 1
        try:
            connection = await self._pool.acquire(timeout=self.timeout)
        except OSError as error:  # also TimeoutError
            size = self._pool.get_max_size()
            # While connections are being opened, the pool cannot tell that it is exhausted.
            if isinstance(error, TimeoutError) and self._pool.get_size() == size:
                raise PoolBusy(f"all {size} connections are in use") from error
            raise ConnectionError(str(error)) from error
        finally:
            self.waiting -= 1
        try:
            yield connection
        except asyncpg.InternalClientError as error:  # the last message of the server has arrived
            connection.terminate()
            raise ConnectionError(str(error)) from error
        finally:
            await self._pool.release(connection)

    def report_usage(self) -> None:
        """Let the metrics of this process show how many connections are in use."""
        pool = self._pool
        POOL_SIZE.labels("reads").set(pool.get_max_size())
        POOL_USED.labels("reads").set_function(lambda: pool.get_size() - pool.get_idle_size())
        POOL_WAITING.labels("reads").set_function(lambda: self.waiting)

    async def close(self) -> None:
        """Close all connections."""
        await self._pool  # asyncpg refuses to close a pool that was never used
        await self._pool.close()


JSON_CODECS: Mapping[str, tuple[Callable[[str], bytes], Callable[[bytes], Any]]] = {
    "json": (str.encode, pydantic_core.from_json),
    "jsonb": (  # the version of the format, and the text
        lambda text: b"\x01" + text.encode(),
        lambda data: pydantic_core.from_json(data[1:]),
    ),
}
"""Convert the binary formats, which are also used inside of rows and arrays. Parameters are texts
already: the processors of SQLAlchemy's types have encoded them."""


async def _prepare_connection(connection: asyncpg.Connection) -> None:
    trace_connection(connection)
    for name, (encoder, decoder) in JSON_CODECS.items():
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary"
        )
