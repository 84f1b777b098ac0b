"""Record spans with OpenTelemetry; imported only if traces are configured (core/traces.py).

Spans name routes, statements with placeholders, hosts, jobs and types of errors. They never have
bodies, queries of addresses, tokens, values of statements, or messages of errors, which can quote
values.
"""

import threading
import time
from collections.abc import Mapping
from contextvars import Token
from typing import Any
from uuid import uuid4

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy import Engine, event
from starlette.datastructures import Headers
from starlette.types import Scope

from core.http.middleware import request_id
from core.metrics import METHODS
from core.version import VERSION

MAX_STATEMENT_LENGTH = 2_000  # characters
STOP_TIMEOUT = 1.0  # seconds in which what is recorded is sent
KINDS = {"client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
TRACE_PARENT = "traceparent"  # a header of the W3C
UNNAMED = "unknown_service"  # begins the name of a service that nobody has named

_propagator = TraceContextTextMapPropagator()


def create_tracer() -> "OpenTelemetryTracer":
    """Return a tracer that sends spans to the receiver of the environment."""
    return OpenTelemetryTracer(BatchSpanProcessor(OTLPSpanExporter()))


def build_resource() -> Resource:
    """Return what describes this process: that of the environment, and the version."""
    resource = Resource.create()
    given = {"service.version": VERSION, "service.instance.id": uuid4().hex}
    if str(resource.attributes["service.name"]).startswith(UNNAMED):
        given["service.name"] = "mission-control"
    return resource.merge(Resource(given))


class OpenTelemetryTracer:
    """Opens spans; records each statement of the database that runs inside of one."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=build_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("mission_control", VERSION)
        for name, listener in self._listeners.items():
            event.listen(Engine, name, listener)

    @property
    def _listeners(self) -> Mapping[str, Any]:
        return {
            "before_cursor_execute": self._begin_statement,
            "after_cursor_execute": self._end_statement,
            "handle_error": self._end_failed_statement,
        }

    def stop(self) -> None:
        """Send what is recorded; wait for at most a second, also for a receiver that is silent."""
        for name, listener in self._listeners.items():
            event.remove(Engine, name, listener)
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_TIMEOUT)

    def trace(self, name: str, kind: str, attributes: Mapping[str, Any]) -> "OpenSpan":
        """Return a span that belongs to the current one."""
        return OpenSpan(self._tracer.start_span(name, kind=KINDS[kind], attributes=attributes))

    def trace_request(self, scope: Scope) -> "OpenSpan":
        """Return the span of a request; it belongs to the trace that the caller names, if any."""
        named = Headers(scope=scope).get(TRACE_PARENT, "")
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span = self._tracer.start_span(
            method,
            context=_propagator.extract({TRACE_PARENT: named}, Context()),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "mission_control.request_id": request_id.get(),
            },
        )
        return OpenSpan(span, method)

    def trace_connection(self, connection: Any) -> None:
        """Record the statements of a connection of asyncpg."""
        connection.add_query_logger(self._record_query)

    def _record_query(self, record: Any) -> None:
        end = time.time_ns()
        start = end - int(record.elapsed * 1_000_000_000)
        self._record_statement(record.query, start, end, record.exception)

    def _begin_statement(self, connection: Any, *_: Any) -> None:
        connection.info[self] = time.time_ns()

    def _end_statement(self, connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        start = connection.info.pop(self, None)
        if start is not None:
            self._record_statement(statement, start, time.time_ns(), None)

    def _end_failed_statement(self, failure: Any) -> None:
        connection = failure.connection
        if connection is None or connection.closed or connection.invalidated:
            return
        start = connection.info.pop(self, None)
        if start is not None:
            error = failure.original_exception
            self._record_statement(failure.statement or "", start, time.time_ns(), error)

    def _record_statement(
        self, statement: str, start: int, end: int, error: BaseException | None
    ) -> None:
        """Record a statement of a request or a job; others would be traces of their own."""
        if not trace.get_current_span().get_span_context().trace_flags.sampled:
            return
        words = statement.split(None, 1)
        attributes = {
            "db.system.name": "postgresql",
            "db.query.text": statement[:MAX_STATEMENT_LENGTH],
        }
        span = self._tracer.start_span(
            words[0].upper()[:20] if words else "SQL",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=start,
        )
        if error is not None:
            _note_error(span, type(error).__name__)
        span.end(end)


class OpenSpan:
    """A span of OpenTelemetry that is the current one in its block."""

    def __init__(self, span: trace.Span, method: str = "") -> None:
        self._span = span
        self._method = method  # of a request
        self._token: Token[Context] | None = None

    def __enter__(self) -> "OpenSpan":
        """Begin."""
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """End, with the type of an error."""
        assert self._token is not None
        context.detach(self._token)
        if self._span.is_recording():
            if error is not None:
                _note_error(self._span, type(error).__name__)
            self._span.end()

    def note_response(self, status: int, route: str = "") -> None:
        """Note the status of a response, and the template of the route of a request."""
        self._span.set_attribute("http.response.status_code", status)
        if route:
            self._span.set_attribute("http.route", route)
            self._span.update_name(f"{self._method} {route}")
        if status >= 500:
            _note_error(self._span, str(status))

    def end_early(self) -> None:
        """End before the block; statements in the rest of it belong to no span."""
        self._span.end()
        context.attach(Context())


def _note_error(span: trace.Span, kind: str) -> None:
    span.set_status(StatusCode.ERROR)
    span.set_attribute("error.type", kind)
