"""Configure logging: one line per request, and the request id on every line.

Requests are measured where they are logged: by the template of their route, which has no names and
no ids.
"""

import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.routing import BaseRoute, Mount, Route, get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.audit_context import get_audit_context
from core.http.event_stream import is_event_stream
from core.http.middleware import request_id
from core.metrics import OTHER, count_request
from core.traces import trace_request

PROBES = {"/health", "/healthz", "/readyz", "/metrics"}

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


class RouteTemplates:
    """Finds the template of the route that handled a request, such as `/boards/{board_id}`."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._by_endpoint: defaultdict[Any, list[tuple[Route | None, str]]] = defaultdict(list)
        for route, prefix in _list_routes(routes):
            if isinstance(route, Route):
                self._by_endpoint[route.endpoint].append((route, prefix + route.path_format))
            else:
                self._by_endpoint[route.app].append((None, prefix))

    def find(self, scope: Scope) -> str:
        """Return the template, or OTHER if no route handled the request."""
        found = self._by_endpoint.get(scope.get("endpoint"), [])
        if len(found) == 1:
            return found[0][1]
        path = get_route_path(scope) if found else ""
        return next(
            (template for route, template in found if route and route.path_regex.match(path)),
            OTHER,
        )


def _list_routes(
    routes: Iterable[BaseRoute], prefix: str = ""
) -> Generator[tuple[Route | Mount, str]]:
    """Yield all routes, and the mounts that have none, such as that of files."""
    for route in routes:
        if isinstance(route, Route):
            yield route, prefix
        elif isinstance(route, Mount):
            app: Any = route
            while not getattr(app, "routes", None) and hasattr(app, "app"):
                app = app.app
            path = prefix + route.path
            if inner := getattr(app, "routes", None):
                yield from _list_routes(inner, path)
            else:
                yield route, path


class RequestLogMiddleware:
    """Log method, path, status and duration of each request, and count it in the metrics."""

    def __init__(self, app: ASGIApp, *, slow_ms: int, include_probes: bool) -> None:
        self.app = app
        self.slow_ms = slow_ms
        self.include_probes = include_probes
        self._templates: RouteTemplates | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, then log and count the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        observer = _ResponseObserver()
        path = scope["path"]
        start = time.perf_counter()

        async def observing_send(message: Message) -> None:
            observer.observe(message)
            if message["type"] == "http.response.start":
                span.note_response(observer.status, self._find_template(scope))
                if observer.is_stream:  # which lasts for hours
                    span.end_early()
            await send(message)

        try:
            with trace_request(scope) as span:
                await self.app(scope, receive, observing_send)
        finally:
            seconds = time.perf_counter() - start
            is_long = observer.is_stream or scope.get("state", {}).get("has_waited", False)
            route = self._find_template(scope)
            count_request(route, scope["method"], observer.status, None if is_long else seconds)
            if path not in PROBES or self.include_probes:
                facts = {
                    "method": scope["method"],
                    "path": path,
                    "route": route,
                    "status": observer.status,
                    "ms": round(seconds * 1000, 1),
                    "caller": observer.caller,
                }
                slow = bool(self.slow_ms) and seconds * 1000 > self.slow_ms and not is_long
                _log_request(facts, slow=slow)

    def _find_template(self, scope: Scope) -> str:
        if self._templates is None:
            self._templates = RouteTemplates(scope["app"].routes if "app" in scope else ())
        return self._templates.find(scope)


def _log_request(facts: dict[str, Any], *, slow: bool) -> None:
    words = f"{facts['method']} {facts['path']} {facts['status']} {facts['ms']} ms"
    level = logging.WARNING if slow else logging.INFO
    log.log(level, "%s%s", words, " slow" if slow else "", extra={"facts": facts})


class _ResponseObserver:
    """Record status and content type of a response, and the kind of its caller."""

    def __init__(self) -> None:
        self.status = 0
        self.is_stream = False
        self.caller = "anonymous"

    def observe(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.is_stream = is_event_stream(message)
            context = get_audit_context()
            if context.credential != "worker":  # of a response without an audit context
                self.caller = context.actor_kind
