"""Telemetry of coding agents over OTLP: usage, results of calls, and what is never stored."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from api.telemetry import MAX_EXPORT_SIZE
from app import MAX_EXPORTS
from core.clock import now
from models import (
    ClientConnection,
    CodingClient,
    CodingSession,
    Event,
    EventType,
    Notification,
    NotificationKind,
    SessionState,
    ToolAnswer,
    ToolCall,
    UsageFact,
)
from services import coding_sessions
from services.coding_sessions import (
    MAX_UNGATED_EVENTS,
    ConnectionKind,
    SessionEvent,
    SessionEventKind,
    record_connection,
    record_event,
    record_signal,
)
from tests.services.test_coding_sessions import make_call
from tests.support.statement_counter import count_all_statements

RECORDINGS = Path(__file__).parent.parent / "recordings"
LOGS, TRACES, METRICS = (
    f"http://mission.test/otlp/v1/{one}" for one in ("logs", "traces", "metrics")
)
SIGNALS = {"claude": LOGS, "codex": LOGS, "gemini": LOGS, "copilot": TRACES}
CLAUDE, CODEX = CodingClient.CLAUDE, CodingClient.CODEX


def load_recording(client: str) -> Any:
    """Return an export of a real client that has called tools; texts begin with LEAK."""
    return json.loads((RECORDINGS / f"telemetry-{client}.json").read_text())


async def connect_hook(session, agent, client: CodingClient) -> None:
    """Let the hook of a client call once: from then on, calls are expected to ask."""
    await record_connection(session, agent, client, kind=ConnectionKind.HOOK)


async def list_events(session, *types: EventType) -> list[Event]:
    query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
    return list(await session.scalars(query))


async def load_calls(session) -> list[ToolCall]:
    query = select(ToolCall).order_by(ToolCall.call_key)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


def build_logs(service: str, *records: dict[str, str]) -> dict[str, Any]:
    """Build an export of logs whose records have these attributes."""

    def build_attributes(values: dict[str, str]) -> list[dict[str, Any]]:
        return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]

    resource = {"attributes": build_attributes({"service.name": service})}
    logs = [
        {"timeUnixNano": str(n), "attributes": build_attributes(one)}
        for n, one in enumerate(records, 1)
    ]
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": logs}]}]}


def claude_result(key: str, *, session: str = "s1", success: str = "true") -> dict[str, str]:
    names = {"event.name": "tool_result", "session.id": session, "tool_name": "Bash"}
    return {**names, "tool_use_id": key, "success": success}


@pytest.mark.parametrize("client", SIGNALS)
async def test_usage_is_that_of_the_models_and_counted_once(session, world, worker, client) -> None:
    export = load_recording(client)
    for _ in range(2):  # delivery is at least once
        response = await worker.post(SIGNALS[client], json=export)
        assert (response.status_code, response.json()) == (200, {})
    facts = list(await session.scalars(select(UsageFact).order_by(UsageFact.input_tokens)))
    counts = [(one.input_tokens, one.output_tokens, one.cache_read_tokens) for one in facts]
    # the scripted model has billed these; Codex, Copilot and Gemini do not report cache writes
    assert counts == [(1001, 21, 301), (1002, 22, 302), (1003, 23, 303)]
    writes = [one.cache_write_tokens for one in facts]
    assert writes == ([41, 42, 43] if client == "claude" else [0, 0, 0])
    [stored] = await session.scalars(select(CodingSession))
    assert {one.session_id for one in facts} == {stored.id}
    assert (stored.client, stored.agent_id) == (client, world.worker.id)
    assert stored.model == facts[0].model
    [connection] = await session.scalars(select(ClientConnection))
    versions = {"claude": "2.1.332", "codex": "0.171.0", "gemini": None, "copilot": "1.0.102"}
    assert connection.version == versions[client]


async def test_the_input_of_codex_contains_what_is_cached(session, worker) -> None:
    usage = {"event.name": "codex.sse_event", "event.kind": "response.completed"}
    usage |= {"conversation.id": "s1", "input_token_count": "1000", "output_token_count": "5"}
    usage |= {"cached_token_count": "300", "cache_write_token_count": "40"}
    await worker.post(LOGS, json=build_logs("codex_exec", usage))
    [fact] = await session.scalars(select(UsageFact))
    assert (fact.input_tokens, fact.cache_read_tokens, fact.cache_write_tokens) == (660, 300, 40)


@pytest.mark.parametrize("client", ["claude", "codex", "gemini"])
async def test_prompts_arguments_and_folders_are_not_stored(
    session, world, worker, client, caplog
) -> None:
    await connect_hook(session, world.worker, CodingClient(client))
    caplog.set_level("DEBUG")
    export = json.dumps(load_recording(client))
    marks = ("echo a", "/home/dev", "LEAK", "masked", "shell:")
    assert any(mark in export for mark in marks)
    response = await worker.post(
        SIGNALS[client], content=export, headers={"Content-Type": "application/json"}
    )
    assert response.json() == {}
    tables = await session.scalars(
        text("select table_name from information_schema.tables where table_schema = 'public'")
    )
    for table in [*tables]:
        rows = await session.scalars(text(f'select row_to_json(t)::text from "{table}" t'))
        stored = "\n".join(rows)
        assert not any(mark in stored for mark in marks), table
    assert not any(mark in caplog.text for mark in marks)


async def test_metrics_are_accepted_and_not_used(session, worker) -> None:
    response = await worker.post(METRICS, json={"resourceMetrics": [{"resource": {}}]})
    assert (response.status_code, response.json()) == (200, {})
    assert await session.scalar(select(func.count()).select_from(CodingSession)) == 0


async def test_telemetry_needs_the_token_of_an_agent(client_for, alice, anonymous) -> None:
    for url in (LOGS, TRACES, METRICS):
        for caller in (alice, anonymous):
            # the caller is refused before the body is looked at
            response = await caller.post(url, content=b"x", headers={"Content-Type": "text/x"})
            assert (response.status_code, response.json()["detail"]) == (401, "Unauthorized")
    assert (await anonymous.get(LOGS)).status_code == 405
    assert (await anonymous.post("http://mission.test/otlp/v1/other")).json()["code"] == "not_found"


async def test_protobuf_is_refused_with_the_setting_for_json(worker) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    response = await worker.post(LOGS, content=b"\x0a\x00", headers=headers)
    assert response.status_code == 415
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/json" in response.json()["detail"]


async def test_compressed_exports_are_read(session, worker) -> None:
    body = json.dumps(load_recording("claude")).encode()
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    encoded = {
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "Deflate": raw.compress(body) + raw.flush(),
        "identity": body,
    }
    for encoding, content in encoded.items():
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        response = await worker.post(LOGS, content=content, headers=headers)
        assert (response.status_code, response.json()) == (200, {}), encoding
    assert await session.scalar(select(func.count()).select_from(UsageFact)) == 3


@pytest.mark.parametrize(
    ("encoding", "build", "status"),
    [
        ("", lambda: b"x" * (MAX_EXPORT_SIZE + 1), 413),
        ("gzip", lambda: gzip.compress(b" " * 50_000_000), 413),
        ("deflate", lambda: zlib.compress(b" " * 50_000_000), 413),
        ("gzip", lambda: gzip.compress(b"{}")[:-4], 400),
        ("gzip", lambda: gzip.compress(b"{}") * 30_000, 400),  # many parts
        ("deflate", lambda: b"", 400),
        ("br", lambda: b"{}", 415),
        ("gzip, gzip", lambda: b"{}", 415),
        ("", lambda: b"", 400),
        ("", lambda: b"[" * MAX_EXPORT_SIZE, 400),
        ("", lambda: b'{"resourceLogs": ' + b"9" * (MAX_EXPORT_SIZE - 20) + b"}", 400),
        ("", lambda: b"\xff{}", 400),
    ],
)
async def test_bad_and_large_bodies_are_refused(worker, encoding, build, status) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    response = await worker.post(LOGS, content=build(), headers=headers)
    assert response.status_code == status, response.text
    assert response.json()["code"]


HOSTILE: list[Any] = [
    None,
    [],
    {"resourceLogs": {}},
    {"resourceLogs": [None, {"resource": []}, {"resource": {"attributes": {"a": 1}}}]},
    build_logs("claude-code", {"event.name": "tool_result"}),
    build_logs("claude-code", claude_result("k" * 201), claude_result("a\0b")),
    build_logs("other-program", claude_result("a")),
]


@pytest.mark.parametrize("export", HOSTILE)
async def test_exports_of_another_form_store_nothing(session, world, worker, export) -> None:
    await connect_hook(session, world.worker, CLAUDE)
    headers = {"Content-Type": "application/json"}
    response = await worker.post(LOGS, content=json.dumps(export), headers=headers)
    assert (response.status_code, response.json()) == (200, {})
    assert await load_calls(session) == []


async def test_values_of_a_wrong_type_are_read_as_missing(session, world, worker) -> None:
    export = build_logs("claude-code", claude_result("a"))
    resource = export["resourceLogs"][0]
    record = resource["scopeLogs"][0]["logRecords"][0]
    record["timeUnixNano"] = "9" * 20
    record["attributes"] += [
        {"key": ["a"], "value": {"stringValue": "x"}},
        {"key": "tool_name", "value": {"stringValue": ["x"]}},
        {"key": "tool_name", "value": "x"},
    ]
    usage = {"event.name": "api_request", "session.id": "s1", "input_tokens": "9" * 20}
    more = build_logs("claude-code", {**usage, "output_tokens": "-5", "model": "\0\u202e"})
    export["resourceLogs"] += more["resourceLogs"]
    assert (await worker.post(LOGS, json=export)).json() == {}
    [fact] = await session.scalars(select(UsageFact))
    assert (fact.input_tokens, fact.output_tokens, fact.model) == (10**12, 0, None)
    assert abs((fact.used_at - now()).total_seconds()) < 60  # a time of 1970 cannot be


async def test_too_many_records_are_counted_as_rejected(session, worker) -> None:
    many = [claude_result(str(n), session=str(n % 30)) for n in range(3_000)]
    response = await worker.post(LOGS, json=build_logs("claude-code", *many))
    rejected = int(response.json()["partialSuccess"]["rejectedLogRecords"])
    assert rejected == 1_000
    assert await session.scalar(select(func.count()).select_from(CodingSession)) == 20


async def test_an_agent_sends_a_limited_number_of_exports(worker) -> None:
    for _ in range(MAX_EXPORTS):
        assert (await worker.post(METRICS, json={})).status_code == 200
    limited = await worker.post(METRICS, json={})
    assert limited.status_code == 429
    assert int(limited.headers["Retry-After"]) > 0


async def test_results_are_recorded_with_calls_that_were_asked_for(session, world, worker) -> None:
    await connect_hook(session, world.worker, CODEX)
    export = load_recording("codex")
    keys = ("call_c5eed332da6b4d7d", "call_f54ab1b66fc4473a")
    # the hook has reported one of the calls as that of another session
    scopes = export["resourceLogs"][0]["scopeLogs"]
    attributes = scopes[0]["logRecords"][0]["attributes"]
    [key] = [one["value"]["stringValue"] for one in attributes if one["key"] == "conversation.id"]
    stored = await record_signal(session, world.worker, CODEX, key)
    other = await record_signal(session, world.worker, CODEX, "other")
    session.add_all([make_call(stored, call_key=keys[0]), make_call(other, call_key=keys[1])])
    await session.flush()
    await worker.post(LOGS, json=export)
    for call in await load_calls(session):
        assert (call.is_successful, call.is_ungated) == (True, False)
        assert call.executed_at is not None
    assert not await list_events(session, EventType.AGENT_TOOL_UNGATED)


@pytest.mark.parametrize("client", ["claude", "codex"])
async def test_a_call_without_a_hook_request_is_reported_once(
    session, world, worker, client
) -> None:
    await connect_hook(session, world.worker, CodingClient(client))
    for _ in range(2):
        await worker.post(SIGNALS[client], json=load_recording(client))
    calls = await load_calls(session)
    assert [(call.is_ungated, call.input_excerpt, call.facts) for call in calls] == [
        (True, "", {})
    ] * 2
    found = await list_events(session, EventType.AGENT_TOOL_UNGATED)
    assert [(event.agent_id, event.board_id) for event in found] == [
        (world.worker.id, world.board.id)
    ] * 2
    notified = await session.scalars(
        select(Notification.user_id).where(Notification.kind == NotificationKind.AGENT_UNGATED)
    )
    assert set(notified) == {world.alice.id, world.bob.id}  # who may write on the board


async def test_without_a_hook_no_call_is_expected_to_ask(session, worker) -> None:
    await worker.post(LOGS, json=load_recording("claude"))
    assert await load_calls(session) == []


@pytest.mark.parametrize("answer", [None, ToolAnswer.DENY])
async def test_a_call_that_ran_without_permission_is_reported(
    session, world, worker, answer
) -> None:
    """Codex executes a call when its hook has run into its timeout."""
    stored = await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    at = now()
    waiting = {"answered_at": None, "abandoned_at": at} if answer is None else {}
    session.add(make_call(stored, call_key="a", answer=answer, **waiting))
    await session.flush()
    failed = build_logs("claude-code", claude_result("a", success="false"))
    await worker.post(LOGS, json=failed)  # a denied call may be reported as failed
    assert not await list_events(session, EventType.AGENT_TOOL_UNGATED)
    for _ in range(2):
        await worker.post(LOGS, json=build_logs("claude-code", claude_result("a")))
    assert len(await list_events(session, EventType.AGENT_TOOL_UNGATED)) == 1


async def test_the_results_of_many_calls_are_one_statement(session, world, worker) -> None:
    stored = await record_signal(session, world.worker, CLAUDE, "s1", is_call=True)
    answers = {"a": ToolAnswer.ALLOW, "b": ToolAnswer.ALLOW, "c": ToolAnswer.DENY}
    session.add_all(make_call(stored, call_key=key, answer=one) for key, one in answers.items())
    await session.flush()
    results = [claude_result("a"), claude_result("b", success="false"), claude_result("c")]
    with count_all_statements() as sent:
        await worker.post(LOGS, json=build_logs("claude-code", *results))
    assert sum("UPDATE tool_calls" in one for one in sent) == 1
    found = [(call.is_successful, call.is_ungated) for call in await load_calls(session)]
    assert found == [(True, False), (False, False), (True, True)]


async def test_input_for_a_running_process_is_not_asked_for(session, world, worker) -> None:
    await connect_hook(session, world.worker, CODEX)
    result = {"event.name": "codex.tool_result", "conversation.id": "s1", "call_id": "a"}
    for tool, success in (("write_stdin", "true"), ("no_such_tool", "false")):
        record = {**result, "tool_name": tool, "success": success}
        await worker.post(LOGS, json=build_logs("codex_exec", record))
    assert await load_calls(session) == []


async def test_many_ungated_calls_are_few_events(session, world, worker) -> None:
    await connect_hook(session, world.worker, CLAUDE)
    for part in range(3):
        results = [claude_result(f"{part}-{n}") for n in range(MAX_UNGATED_EVENTS - 2)]
        await worker.post(LOGS, json=build_logs("claude-code", *results))
    single = await list_events(session, EventType.AGENT_TOOL_UNGATED)
    assert len(single) == MAX_UNGATED_EVENTS
    [counted] = await list_events(session, EventType.AGENT_TOOLS_UNGATED)
    assert counted.data["recent"] == 2 * (MAX_UNGATED_EVENTS - 2)
    assert len(await load_calls(session)) == 3 * (MAX_UNGATED_EVENTS - 2)


async def test_telemetry_after_the_end_leaves_a_session_ended(session, world, worker) -> None:
    ended = SessionEvent(CLAUDE, "s1", SessionEventKind.ENDED)
    await record_event(session, world.worker, ended)
    await worker.post(LOGS, json=build_logs("claude-code", claude_result("a")))
    [state] = await session.scalars(select(CodingSession.state))
    assert state == SessionState.ENDED
    assert coding_sessions.CLIENT_NAMES[CLAUDE] == "Claude Code"
