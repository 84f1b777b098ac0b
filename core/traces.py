"""Open spans of traces, if OpenTelemetry is configured and installed.

Otherwise nothing of it is imported, and `trace` returns an object that does nothing. The names of
the settings are those of OpenTelemetry. docs/decisions/tracing.md gives the reasons.
"""

import logging
import os
from collections.abc import Mapping, MutableMapping
from importlib import import_module
from typing import Any, Protocol

from dotenv import dotenv_values

from core.config.paths import find_secrets_dir, find_settings_file

PREFIX = "OTEL_"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Scope = MutableMapping[str, Any]  # of ASGI

log = logging.getLogger("mission_control.traces")


class Span(Protocol):
    """The block in which something is done."""

    def __enter__(self) -> "Span":
        """Begin; spans that are opened until the end belong to this one."""
        ...

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """End, with the type of an error."""
        ...

    def note_response(self, status: int, route: str = "") -> None:
        """Note the status of a response, and the template of the route of a request."""
        ...

    def end_early(self) -> None:
        """End before the block; statements in the rest of it belong to no span."""
        ...


class Tracer(Protocol):
    """Opens spans and observes the database."""

    def trace(self, name: str, kind: str, attributes: Mapping[str, Any]) -> Span:
        """Return a span: `kind` is `client` or `internal`."""
        ...

    def trace_request(self, scope: Scope) -> Span:
        """Return the span of a request."""
        ...

    def trace_connection(self, connection: Any) -> None:
        """Record the statements of a connection of asyncpg."""
        ...

    def stop(self) -> None:
        """Send what is recorded; wait for at most a second."""
        ...


class _NoSpan:
    def __enter__(self) -> Span:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        pass

    def note_response(self, status: int, route: str = "") -> None:
        pass

    def end_early(self) -> None:
        pass


_no_span = _NoSpan()
_tracer: Tracer | None = None


def start_tracing() -> None:
    """Record traces from now on, if the settings name a receiver."""
    given = _read_secrets() | dotenv_values(find_settings_file(), interpolate=False) | os.environ
    if not is_configured(given):
        return
    for name, value in given.items():
        if name.startswith(PREFIX) and value is not None:
            os.environ.setdefault(name, value)  # where OpenTelemetry reads it
    try:
        tracer = import_module("core.open_telemetry").create_tracer()
    except ImportError as error:
        log.warning("No traces are recorded, see docs/monitoring.md: %s", error)
    else:
        set_tracer(tracer)


def _read_secrets() -> dict[str, str | None]:
    """Return the settings of OpenTelemetry in the folder of secrets."""
    folder = find_secrets_dir()
    paths = folder.iterdir() if folder is not None and folder.is_dir() else ()
    given: dict[str, str | None] = {}
    for path in paths:
        if path.name.upper().startswith(PREFIX) and path.is_file():
            try:
                given[path.name.upper()] = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                log.warning("The setting in %s cannot be read: %s", path, error)
    return given


def is_configured(given: Mapping[str, str | None]) -> bool:
    """Return whether traces are to be sent."""
    if (given.get("OTEL_SDK_DISABLED") or "").strip().lower() == "true":
        return False
    exporter = (given.get("OTEL_TRACES_EXPORTER") or "").strip().lower()
    return exporter == "otlp" or (not exporter and any(given.get(name) for name in ENDPOINTS))


def set_tracer(tracer: Tracer | None) -> None:
    """Let all spans be opened by this tracer."""
    global _tracer
    _tracer = tracer


def stop_tracing() -> None:
    """Send what is recorded, and record nothing any more."""
    tracer = _tracer
    set_tracer(None)
    if tracer is not None:
        tracer.stop()


def trace(name: str, kind: str = "internal", **attributes: Any) -> Span:
    """Return a span for a `with` block; without a tracer it does nothing."""
    return _no_span if _tracer is None else _tracer.trace(name, kind, attributes)


def trace_request(scope: Scope) -> Span:
    """Return the span of a request, for a `with` block."""
    return _no_span if _tracer is None else _tracer.trace_request(scope)


def trace_connection(connection: Any) -> None:
    """Record the statements of a new connection of asyncpg."""
    if _tracer is not None:
        _tracer.trace_connection(connection)
