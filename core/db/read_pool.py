"""Connections for reading: every statement commits by itself, and nothing is pinged or reset."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pydantic_core

from core.db.engine import CONNECTION_SETTINGS, POOL_TIMEOUT, STATEMENT_CACHE, PoolBusy
from core.db.reads import ReadConnection

IDLE_SECONDS = 60.0  # until a connection that is not used is closed


class _PlainConnection(asyncpg.Connection):
    """A connection whose state no read changes, so that nothing is reset after its use."""

    def get_reset_query(self) -> str:
        return ""


class ReadPool:
    """Connections for reading; none is opened before the first use."""

    def __init__(self, dsn: str, size: int) -> None:
        self.timeout = POOL_TIMEOUT  # seconds that a read waits for a connection
        self._pool = asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            connection_class=_PlainConnection,
            init=_decode_json,
            **STATEMENT_CACHE,
            server_settings={**CONNECTION_SETTINGS, "default_transaction_read_only": "on"},
        )

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator[ReadConnection, None]:
        """Yield a connection for the block. Raises ConnectionError, and PoolBusy under load."""
        await self._pool  # does nothing after the first time
        try:
            connection = await self._pool.acquire(timeout=self.timeout)
        except OSError as error:  # also TimeoutError
            if isinstance(error, TimeoutError) and self._is_exhausted():
                raise PoolBusy(f"all {self._pool.get_max_size()} connections are in use") from error
            raise ConnectionError(str(error)) from error
        try:
            yield connection
        except asyncpg.InternalClientError as error:  # the last message of the server has arrived
            connection.terminate()
            raise ConnectionError(str(error)) from error
        finally:
            await self._pool.release(connection)

    def _is_exhausted(self) -> bool:
        """Return whether all connections are open; while some are being opened, it cannot tell."""
        return self._pool.get_size() == self._pool.get_max_size()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool  # asyncpg refuses to close a pool that was never used
        await self._pool.close()


def _encode_jsonb(text: str) -> bytes:
    return b"\x01" + text.encode()  # the version of the format, and the text


def _decode_jsonb(data: bytes) -> Any:
    return pydantic_core.from_json(data[1:])


JSON_CODECS: Mapping[str, tuple[Callable[[str], bytes], Callable[[bytes], Any]]] = {
    "json": (str.encode, pydantic_core.from_json),
    "jsonb": (_encode_jsonb, _decode_jsonb),
}
"""Convert the binary formats, which are also used inside of rows and arrays. Parameters are texts
already: the processors of SQLAlchemy's types have encoded them."""


async def _decode_json(connection: asyncpg.Connection) -> None:
    for name, (encoder, decoder) in JSON_CODECS.items():
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary"
        )
