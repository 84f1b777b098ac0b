"""The server sends traces to an OTLP receiver, the last ones when it stops."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from core.version import VERSION
from tests.support.installation import LOCAL_AUTH, LOCAL_TOKEN, Installation, find_free_port

RECEIVED: list[tuple[str, bytes]] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        RECEIVED.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    RECEIVED.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_traces_of_requests_and_jobs_are_sent_without_secrets(
    tmp_path: Path, receiver: str
) -> None:
    file = tmp_path / "settings"
    file.write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={receiver}\nOTEL_SERVICE_NAME=control\n")
    environment = LOCAL_AUTH | {"MC_ENV_FILE": str(file), "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    installation = Installation(tmp_path / "data", find_free_port(), environment).start()
    headers = {"Authorization": f"Bearer {LOCAL_TOKEN}"}
    with httpx2.Client(base_url=f"{installation.url}/api/v1", headers=headers) as client:
        client.post("/auth/bootstrap").raise_for_status()
        made = client.post("/boards", json={"name": "Hidden orchard", "description": "plums"})
        made.raise_for_status()
        client.get(f"/boards/{made.json()['id']}?token=hunter2").raise_for_status()
    installation.stop()

    paths, bodies = zip(*RECEIVED, strict=True)
    assert set(paths) == {"/v1/traces"}
    groups = [group for body in bodies for group in parse(body).resource_spans]
    described = {one.key: one.value.string_value for one in groups[0].resource.attributes}
    assert (described["service.name"], described["service.version"]) == ("control", VERSION)
    spans = [span for group in groups for scope in group.scope_spans for span in scope.spans]
    [read] = [span for span in spans if span.name == "GET /api/v1/boards/{board_id}"]
    statements = [span for span in spans if span.parent_span_id == read.span_id]
    assert {span.name for span in statements} == {"SELECT"}
    assert any(span.name.startswith("job ") for span in spans)
    sent = b"".join(bodies)
    for secret in (LOCAL_TOKEN, "orchard", "plums", "hunter2", made.json()["id"]):
        assert secret.encode() not in sent


def parse(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return request
