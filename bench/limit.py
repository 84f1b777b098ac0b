"""The limit: what an answer costs with nothing but asyncpg and a JSON library.

The rows of the answer are stored in a table of their own. The handler reads them with one
statement on a plain connection and serializes them. It authenticates nobody, checks no rights and
parses nothing, so no product can be faster with these libraries. An answer that is no JSON is
stored and sent as it is.
"""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import asyncpg
from starlette.types import Receive, Scope, Send

from bench.client import Reply

try:
    import orjson
except ImportError:  # without it the stored bytes are sent, which is cheaper than any serialization
    orjson = None

LIMIT_KIND = "rows serialized with orjson" if orjson else "stored bytes"
_numbers = count(1)
TYPES = {bool: "boolean", int: "bigint", float: "double precision"}


class LimitHandler:
    """An ASGI application that answers every request with the same content."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._table = self._statement = ""
        self._serialize: Callable[[list[asyncpg.Record]], bytes] = _send_stored

    async def store(self, reply: Reply) -> None:
        """Store the content of a reply, which is then the answer to every request."""
        self._table = f"stored_{next(_numbers)}"  # prepared statements refer to one table
        if orjson and reply.headers.get("content-type", "").startswith("application/json"):
            await self._store_rows(reply.json())
            given = json.loads(self._serialize(await self._connection.fetch(self._statement)))
            assert given == reply.json(), "the limit must send the same answer"
        else:
            await self._store_bytes(reply.body)

    async def _store_bytes(self, body: bytes) -> None:
        await self._connection.execute(f"CREATE TEMP TABLE {self._table} (body bytea)")
        await self._connection.execute(f"INSERT INTO {self._table} VALUES ($1)", body)  # noqa: S608
        self._statement = f"SELECT body FROM {self._table}"  # noqa: S608
        self._serialize = _send_stored

    async def _store_rows(self, content: Any) -> None:
        """Store the longest list of objects in the content as rows, with a column for each key."""
        name, rows = _find_rows(content)
        types = _find_types(rows)
        columns = "".join(f'"{column}" {kind}, ' for column, kind in types.items())
        await self._connection.execute(
            f"CREATE TEMP TABLE {self._table} ({columns} bench_place serial)"
        )
        places = ", ".join(f"${n}" for n in range(1, len(types) + 1))
        await self._connection.executemany(
            f"INSERT INTO {self._table} VALUES ({places})",  # noqa: S608
            [[_to_column(row, column, kind) for column, kind in types.items()] for row in rows],
        )
        names = ", ".join(f'"{column}"' for column in types)
        self._statement = f"SELECT {names} FROM {self._table} ORDER BY bench_place"  # noqa: S608
        nested = [column for column, kind in types.items() if kind == "json"]
        self._serialize = _build_serializer(content, name, nested)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await receive()
        body = self._serialize(await self._connection.fetch(self._statement))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _send_stored(rows: list[asyncpg.Record]) -> bytes:
    return rows[0]["body"]


def _find_rows(content: Any) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the key and the items of the longest list of objects; None if it is an object."""
    if not isinstance(content, dict):
        content = {"items": content}
    lists = [
        (name, items)
        for name, items in content.items()
        if isinstance(items, list) and items and all(isinstance(one, dict) for one in items)
    ]
    return max(lists, key=lambda one: len(one[1]), default=(None, [content]))


def _find_types(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the type of each column: json if it is nested, mixed, or not in all rows."""
    types = {}
    for column in {name: None for row in rows for name in row}:
        kinds = {type(row.get(column)) for row in rows} - {type(None)}
        is_plain = len(kinds) < 2 and not kinds & {dict, list}
        is_everywhere = all(column in row for row in rows)
        kind = TYPES.get(next(iter(kinds), str), "text")
        types[column] = kind if is_plain and is_everywhere else "json"
    return types


def _to_column(row: dict[str, Any], column: str, kind: str) -> Any:
    if kind != "json":
        return row[column]
    return json.dumps(row[column], ensure_ascii=False) if column in row else None


def _build_serializer(
    content: Any, name: str | None, nested: list[str]
) -> Callable[[list[asyncpg.Record]], bytes]:
    """Return a function that serializes the rows inside the other parts of the content."""
    dump = orjson.dumps  # ty: ignore
    if not isinstance(content, dict):
        return lambda records: dump([_build_object(record, nested) for record in records])
    if name is None:
        return lambda records: dump(_build_object(records[0], nested))
    rest = dict(content)
    return lambda records: dump(rest | {name: [_build_object(one, nested) for one in records]})


def _build_object(record: asyncpg.Record, nested: list[str]) -> dict[str, Any]:
    """Return a row as an object; its JSON is embedded as PostgreSQL sends it."""
    row = dict(record)
    for column in nested:
        if row[column] is None:
            del row[column]
        else:
            row[column] = orjson.Fragment(row[column])  # ty: ignore
    return row
