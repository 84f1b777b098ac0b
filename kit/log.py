"""Logs: one line for each request, and every line with the request it belongs to."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.request_id import request_id

PROBES = {"/health", "/healthz", "/readyz"}
STREAM_TYPE = b"text/event-stream"

log = logging.getLogger("mission_control.request")


class WithRequest(logging.Filter):
    """Puts the request's id on every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add `request_id`; drop nothing."""
        record.request_id = request_id.get()
        return True


class AsJson(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", ""),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value != ""}, default=str)


class AsText(logging.Formatter):
    """Writes a record for people at a terminal."""

    def __init__(self, *, utc: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s%(more)s", "%H:%M:%S")
        if utc:
            self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the trace below it if there is one."""
        id = getattr(record, "request_id", "")
        record.more = f"  [{id}]" if id else ""
        return super().format(record)


def set_up(*, level: str, style: str, utc: bool) -> None:
    """Send all logs to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AsJson() if style == "json" else AsText(utc=utc))
    handler.addFilter(WithRequest())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for quiet in ("uvicorn.access", "sse_starlette", "asyncio", "pgqueuer", "httpx2", "httpcore"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


class RequestLog:
    """Writes a line for each request when it has been answered: what, how it went, how long."""

    def __init__(self, app: ASGIApp, *, slow_ms: int, include_probes: bool) -> None:
        self.app = app
        self.slow_ms = slow_ms
        self.include_probes = include_probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write about it."""
        if scope["type"] != "http" or (scope["path"] in PROBES and not self.include_probes):
            await self.app(scope, receive, send)
            return
        seen = _Answer()
        start = time.perf_counter()

        async def send_and_look(message: Message) -> None:
            seen.look(message)
            await send(message)

        try:
            await self.app(scope, receive, send_and_look)
        finally:
            self._write(scope, seen, (time.perf_counter() - start) * 1000)

    def _write(self, scope: Scope, seen: "_Answer", milliseconds: float) -> None:
        slow = bool(self.slow_ms) and milliseconds > self.slow_ms and not seen.is_stream
        facts = {
            "method": scope["method"],
            "path": scope["path"],
            "status": seen.status,
            "ms": round(milliseconds, 1),
        }
        words = f"{facts['method']} {facts['path']} {facts['status']} {facts['ms']} ms"
        level = logging.WARNING if slow else logging.INFO
        log.log(level, "%s%s", words, " slow" if slow else "", extra={"facts": facts})


class _Answer:
    """What can be seen of an answer as it goes out."""

    def __init__(self) -> None:
        self.status = 0
        self.is_stream = False

    def look(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = dict(message["headers"])
            self.is_stream = headers.get(b"content-type", b"").startswith(STREAM_TYPE)
