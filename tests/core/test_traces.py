"""Traces: what spans contain, and that nothing of OpenTelemetry is loaded without its settings."""

import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from core import traces
from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.db.engine import ReadPool, create_database_engine
from core.http.outbound import OutboundClient, OutboundRequest
from core.http.request_log import RequestLogMiddleware
from core.open_telemetry import OpenTelemetryTracer
from tests.support.http_receiver import run_http_receiver

ROOT = Path(__file__).parent.parent.parent
SECRET = "hunter2"
TRACE = "0af7651916cd43dd8448eb211c80319c"
WITHOUT_SETTINGS = """
import sys
import cli.process, core.db.engine, core.http.outbound, openclaw, worker.scheduler
from core import traces
traces.start_tracing()
with traces.trace("nothing") as span:
    span.note_response(200)
print([name for name in sys.modules if name.startswith(("opentelemetry", "core.open_tel"))])
"""

Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Record spans; return those that have ended."""
    exporter = InMemorySpanExporter()
    traces.set_tracer(OpenTelemetryTracer(SimpleSpanProcessor(exporter)))
    yield lambda: list(exporter.get_finished_spans())
    traces.stop_tracing()


def describe(span: ReadableSpan) -> tuple[str, str, object]:
    """Return the name, the kind and the type of an error."""
    attributes = span.attributes or {}
    return span.name, span.kind.name, attributes.get("error.type")


def test_without_settings_nothing_of_opentelemetry_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SETTINGS],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "MC_ENV_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "control"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, False),
    ],
)
def test_the_standard_settings_decide(given: dict[str, str], *, expected: bool) -> None:
    assert traces.is_configured(given) == expected


@pytest.mark.parametrize("is_secret", [False, True])
def test_missing_packages_are_named_and_the_server_starts(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    *,
    is_secret: bool,
) -> None:
    monkeypatch.setenv("MC_ENV_FILE", "/dev/null")
    if is_secret:
        (tmp_path / "otel_traces_exporter").write_text("otlp\n")
        (tmp_path / "otel_exporter_otlp_headers").write_bytes(b"\xff")
        monkeypatch.setenv("MC_SECRETS_DIR", str(tmp_path))
    else:
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.delitem(sys.modules, "core.open_telemetry")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with caplog.at_level(logging.WARNING, logger="mission_control.traces"):
        traces.start_tracing()
    assert "docs/monitoring.md" in caplog.text
    assert ("otel_exporter_otlp_headers cannot be read" in caplog.text) == is_secret
    with traces.trace("nothing"):
        pass


async def test_statements_belong_to_the_span_and_have_no_values(
    spans: Spans, settings: Settings
) -> None:
    """Both of reads and of transactions; the texts of errors quote values."""
    pool, engine = ReadPool(settings.dsn, 1), create_database_engine(settings, size=1)
    async with pool.acquire() as reader, engine.connect() as writer:
        await writer.execute(text("select 'outside of spans'"))
        await reader.fetch("select 'outside of spans'")
        with traces.trace("job demo"):
            await reader.fetch("select $1::text as reader", SECRET)
            await writer.execute(text("select cast(:given as text) as writer"), {"given": SECRET})
            with pytest.raises(DBAPIError):
                await writer.execute(text("select cast(:given as int)"), {"given": SECRET})
            await writer.rollback()
    await pool.close()
    await engine.dispose()
    found = spans()
    [job] = [span for span in found if span.name == "job demo"]
    statements = [span for span in found if span is not job and span.name == "SELECT"]
    assert len(statements) == 3
    assert [describe(span)[2] for span in statements].count(None) == 2
    assert all(span.parent and span.parent.span_id == job.context.span_id for span in statements)
    shown = " ".join(span.to_json() for span in found)
    assert "as reader" in shown
    assert "as writer" in shown
    assert SECRET not in shown
    assert "outside" not in shown


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async def answer(request: Request) -> Response:
        return PlainTextResponse(SECRET, 503 if request.query_params.get("busy") else 200)

    async def stream(_: Request) -> Response:
        async def send() -> AsyncIterator[str]:
            with traces.trace("in the stream"):
                yield "data: 1\n\n"

        return StreamingResponse(send(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/boards/{id}", answer), Route("/stream", stream)])
    app.add_middleware(RequestLogMiddleware, slow_ms=0, include_probes=False)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_a_request_is_named_by_its_route(spans: Spans, client: httpx2.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": SECRET}
    await client.get(f"/boards/7?token={SECRET}", headers=headers)
    await client.get("/boards/7?busy=1")
    await client.request("INVENTED", "/nowhere")
    assert [describe(span) for span in spans()] == [
        ("GET /boards/{id}", "SERVER", None),
        ("GET /boards/{id}", "SERVER", "503"),
        ("HTTP other", "SERVER", None),
    ]
    assert SECRET not in " ".join(span.to_json() for span in spans())


async def test_the_span_of_a_stream_ends_when_it_begins(
    spans: Spans, client: httpx2.AsyncClient
) -> None:
    await client.get("/stream")
    [request, later] = spans()
    assert request.name == "GET /stream"
    assert later.parent is None


@pytest.mark.parametrize(
    ("header", "is_continued"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", True),
        ("00-" + "0" * 60_000, False),
        ("-" * 60_000, False),
        (f"00-{TRACE}-{'g' * 16}-01", False),
    ],
)
async def test_a_request_continues_the_trace_that_its_caller_names(
    spans: Spans, client: httpx2.AsyncClient, header: str, *, is_continued: bool
) -> None:
    await client.get("/boards/7", headers={"traceparent": header})
    [span] = spans()
    assert (f"{span.context.trace_id:032x}" == TRACE) == is_continued


async def test_a_request_to_another_host_is_named_by_the_host(spans: Spans) -> None:
    async with run_http_receiver() as receiver:
        receiver.answer(500)
        request = OutboundRequest(f"{receiver.address}/{SECRET}?token={SECRET}", SECRET.encode())
        await OutboundClient(LOOPBACK_NETWORKS).send(request, allows_private=True)
    [span] = spans()
    assert describe(span) == ("POST 127.0.0.1", "CLIENT", "500")
    assert SECRET not in span.to_json()
    assert "traceparent" not in receiver.requests[0].headers


class SilentReceiver(SpanProcessor):
    """Waits for an answer when it is stopped."""

    def __init__(self) -> None:
        self.may_answer, self.has_ended = threading.Event(), threading.Event()

    def shutdown(self) -> None:
        self.may_answer.wait(60)
        self.has_ended.set()


def test_a_receiver_that_is_silent_does_not_hold_the_stop() -> None:
    receiver = SilentReceiver()
    traces.set_tracer(OpenTelemetryTracer(receiver))
    traces.stop_tracing()
    assert not receiver.has_ended.is_set()
    receiver.may_answer.set()
