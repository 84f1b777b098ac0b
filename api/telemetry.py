"""Receive the telemetry of coding agents: OTLP over HTTP in JSON, below /otlp.

The protocol is that of OpenTelemetry (OTLP 1.x, "OTLP/HTTP"). What is stored is decided in
services/coding_sessions/telemetry.py; the rest of an export is dropped unread.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import pydantic_core
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from api.framework.auth import AllowedCaller, authenticate_request
from api.framework.errors import build_error_response, handle_app_error, handle_unknown_address
from core.errors import AppError, BadRequest
from core.http.request import body_too_large, open_transaction, read_body
from core.text import N_
from models import Agent
from services import coding_sessions
from services.coding_sessions import ConnectionKind, Export

MAX_EXPORT_SIZE = 1_000_000  # bytes, also after decompression

ENCODINGS: Mapping[str, tuple[int, ...]] = {
    "gzip": (16 + zlib.MAX_WBITS,),
    "x-gzip": (16 + zlib.MAX_WBITS,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),  # some clients leave out the header of zlib
}


async def _receive(
    read: Callable[[object], Export] | None, rejected: str, request: Request
) -> Response:
    """Store what is needed of an export; without `read` it is accepted and dropped.

    Raises Unauthorized, TooMany, TooLarge and BadRequest.
    """
    agent = await authenticate_request(request, AllowedCaller.AGENT)
    assert isinstance(agent, Agent)
    await request.state.rate_limits.telemetry.hit(str(agent.id))
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        reason = (
            "Only JSON is accepted. Set OTEL_EXPORTER_OTLP_PROTOCOL=http/json, or the protocol"
            ' "json" of the exporter.'
        )
        return build_error_response(415, reason, "json_required")
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", *ENCODINGS):
        reason = "The body may be compressed with gzip or deflate, or not at all."
        return build_error_response(415, reason, "unknown_encoding")
    body = await read_body(request, MAX_EXPORT_SIZE)
    # in a thread: a body of the maximum size takes some milliseconds
    export = await asyncio.to_thread(_read_export, body, ENCODINGS.get(encoding, ()), read)
    if export is not None and export.sessions:
        async with open_transaction(request) as session:
            await coding_sessions.record_export(session, agent, export)
    for client, version in export.versions.items() if export is not None else ():
        async with open_transaction(request) as session:
            await coding_sessions.record_connection(
                session, agent, client, kind=ConnectionKind.TELEMETRY, version=version
            )
    return JSONResponse(_build_answer(export, rejected))


def _read_export(
    body: bytes, formats: tuple[int, ...], read: Callable[[object], Export] | None
) -> Export | None:
    content = _decompress(body, formats) if formats else body
    if read is None:
        return None
    try:
        return read(pydantic_core.from_json(content))
    except (ValueError, RecursionError) as error:
        raise BadRequest("json_invalid", N_("The body is not JSON.")) from error


def _decompress(body: bytes, formats: tuple[int, ...]) -> bytes:
    """Return the content of a compressed body. Raises TooLarge before it is larger than allowed."""
    for format in formats:
        decompressor = zlib.decompressobj(format)
        try:
            content = decompressor.decompress(body, MAX_EXPORT_SIZE + 1)
        except zlib.error:
            continue
        if len(content) > MAX_EXPORT_SIZE:
            raise body_too_large(MAX_EXPORT_SIZE)
        if decompressor.eof and not decompressor.unused_data:
            return content
    raise BadRequest("body_not_compressed", N_("The body is not compressed as its header says."))


def _build_answer(export: Export | None, rejected: str) -> Mapping[str, object]:
    """Build the response of OTLP: an empty object if all was accepted."""
    if export is None or not export.rejected_count:
        return {}
    message = "There are too many records in one export, or ids of sessions are not valid."
    return {
        "partialSuccess": {rejected: str(export.rejected_count), "errorMessage": message},
    }


ROUTES = [
    Route(f"/v1/{signal}", partial(_receive, read, rejected), methods=["POST"])
    for signal, read, rejected in (
        ("logs", coding_sessions.read_logs, "rejectedLogRecords"),
        ("traces", coding_sessions.read_traces, "rejectedSpans"),
        ("metrics", None, "rejectedDataPoints"),  # they repeat what logs and traces say
    )
]

app = ExceptionMiddleware(
    Router(ROUTES),
    handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
)
