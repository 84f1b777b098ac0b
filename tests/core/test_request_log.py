"""Log lines: one for each record, whatever the request contains."""

import json
import logging
import sys

import pytest
from starlette.types import Message, Receive, Scope, Send

from core.http.request_log import JsonFormatter, RequestLogMiddleware, TextFormatter

FORGED = "/boards\n12:00:00 INFO    POST /sign-in 303 1 ms\r\x1b[2K\u2028\u202eend\ud800"


def build_record(message: str, *, with_error: bool = False) -> logging.LogRecord:
    error = None
    if with_error:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            error = sys.exc_info()
    return logging.LogRecord("test", logging.INFO, "", 0, "%s failed", (message,), error)


@pytest.mark.parametrize("formatter", [TextFormatter(utc=True), JsonFormatter()])
def test_a_request_line_cannot_forge_a_log_line(formatter: logging.Formatter) -> None:
    line = formatter.format(build_record(FORGED))
    assert line.isprintable()
    assert "/boards" in line
    assert len(line.splitlines()) == 1


def test_no_line_of_a_traceback_looks_like_a_record() -> None:
    record = build_record("GET /", with_error=True)
    line, *trace = TextFormatter(utc=True).format(record).split("\n")
    assert line.endswith("GET / failed")
    assert trace[0] == "  Traceback (most recent call last):"
    assert trace[-1] == "  lines"
    assert all(one.startswith("  ") and one.isprintable() for one in trace)
    assert "ValueError: two\nlines" in json.loads(JsonFormatter().format(record))["trace"]


async def test_the_query_of_a_request_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Links to invitations and streams have secrets there."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        pass

    logged = RequestLogMiddleware(answer, slow_ms=0, include_probes=False)
    scope = {"type": "http", "method": "GET", "path": "/invite", "query_string": b"token=secret"}
    with caplog.at_level(logging.INFO, logger="mission_control.request"):
        await logged(scope, receive, send)
    [record] = [one for one in caplog.records if one.name == "mission_control.request"]
    assert "GET /invite 200" in record.getMessage()
    for line in (JsonFormatter().format(record), TextFormatter(utc=True).format(record)):
        assert "secret" not in line
