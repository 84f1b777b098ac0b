"""Configure logging: one line per request, and the request id on every line."""

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.http.event_stream import is_event_stream
from core.http.middleware import request_id

PROBES = {"/health", "/healthz", "/readyz"}

log = logging.getLogger("mission_control.request")


def escape_control_characters(text: str) -> str:
    """Escape what a terminal does not show as itself, so that no text can forge a log line."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


class RequestIdFilter(logging.Filter):
    """Add the request id to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Set `request_id`; keep all records."""
        record.request_id = request_id.get()
        return True


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted line."""
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


class TextFormatter(logging.Formatter):
    """Format a record for a terminal."""

    def __init__(self, *, utc: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s%(more)s", "%H:%M:%S")
        if utc:
            self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted line, followed by the traceback if there is one."""
        id = getattr(record, "request_id", "")
        record.more = f"  [{id}]" if id else ""
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of the base class
        """Return the line, without the traceback."""
        return escape_control_characters(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - of the base class
        """Return the traceback, indented so that no line of it looks like a record."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {escape_control_characters(line)}" for line in lines)


def configure_logging(*, level: str, style: str, utc: bool) -> None:
    """Write all logs to standard error, as `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter(utc=utc))
    handler.addFilter(RequestIdFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for quiet in ("uvicorn.access", "sse_starlette", "asyncio", "httpx2", "httpcore", "mcp"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


class RequestLogMiddleware:
    """Log method, path, status and duration of each request."""

    def __init__(self, app: ASGIApp, *, slow_ms: int, include_probes: bool) -> None:
        self.app = app
        self.slow_ms = slow_ms
        self.include_probes = include_probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and log the request."""
        if scope["type"] != "http" or (scope["path"] in PROBES and not self.include_probes):
            await self.app(scope, receive, send)
            return
        observer = _ResponseObserver()
        start = time.perf_counter()

        async def observing_send(message: Message) -> None:
            observer.observe(message)
            await send(message)

        try:
            await self.app(scope, receive, observing_send)
        finally:
            self._log_request(scope, observer, (time.perf_counter() - start) * 1000)

    def _log_request(
        self, scope: Scope, observer: "_ResponseObserver", milliseconds: float
    ) -> None:
        is_long = observer.is_stream or scope.get("state", {}).get("has_waited", False)
        slow = bool(self.slow_ms) and milliseconds > self.slow_ms and not is_long
        facts = {
            "method": scope["method"],
            "path": scope["path"],
            "status": observer.status,
            "ms": round(milliseconds, 1),
        }
        words = f"{facts['method']} {facts['path']} {facts['status']} {facts['ms']} ms"
        level = logging.WARNING if slow else logging.INFO
        log.log(level, "%s%s", words, " slow" if slow else "", extra={"facts": facts})


class _ResponseObserver:
    """Record status and content type of a response."""

    def __init__(self) -> None:
        self.status = 0
        self.is_stream = False

    def observe(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_stream = is_event_stream(message)
