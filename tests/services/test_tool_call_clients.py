"""The requests of the hooks of five clients, and the answers that each of them understands."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from models import CodingClient, ToolAnswer
from services import tool_calls
from services.coding_sessions import SessionEventKind
from tests.support.tool_calls import PUSH

CLAUDE, CODEX, COPILOT, OPENCODE, GEMINI = CodingClient
ALLOW, DENY, DEFER = ToolAnswer

SNAKE = {"session_id": "s1", "cwd": "/home/dev/project", "tool_name": "Bash", "tool_input": PUSH}
CAMEL = {"sessionId": "s1", "cwd": "/home/dev/project", "toolName": "Bash", "toolArgs": PUSH}

QUESTIONS: list[tuple[CodingClient, str, dict[str, Any], str | None]] = [
    (CLAUDE, "", {**SNAKE, "hook_event_name": "PreToolUse", "tool_use_id": "toolu_1"}, "toolu_1"),
    (CLAUDE, "", {**SNAKE, "hook_event_name": "PermissionRequest"}, None),
    (CODEX, "", {**SNAKE, "hook_event_name": "PreToolUse", "tool_use_id": "call_1"}, "call_1"),
    (GEMINI, "", {**SNAKE, "hook_event_name": "BeforeTool"}, None),
    (COPILOT, "preToolUse", CAMEL, None),
    (COPILOT, "", CAMEL, None),  # a hook that does not name its event
    (CODEX, "", {**SNAKE, "hook_event_name": "PreToolRun"}, None),  # not known
    (COPILOT, "preToolUse", {**CAMEL, "toolArgs": json.dumps(PUSH)}, None),
    (COPILOT, "PreToolUse", {**SNAKE, "hook_event_name": "PreToolUse"}, None),
    (COPILOT, "", {**CAMEL, "hookName": "permissionRequest"}, None),
    (OPENCODE, "tool.execute.before", {**SNAKE, "tool_use_id": "call_1"}, "call_1"),
]


@pytest.mark.parametrize(("client", "header", "body", "call_key"), QUESTIONS)
def test_a_question_is_the_same_for_all_clients(client, header, body, call_key) -> None:
    name = tool_calls.find_event_name(body, header)
    assert tool_calls.is_asking(body, name)
    asked = tool_calls.read_tool_request(client, body, name)
    assert (asked.session_key, asked.call_key, asked.tool) == ("s1", call_key, "Bash")
    assert (asked.input, asked.cwd, asked.kind) == (PUSH, "/home/dev/project", "tool.Bash")


def test_a_wrong_event_in_the_address_does_not_switch_the_gate_off() -> None:
    body = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": PUSH}
    assert tool_calls.is_asking(body, tool_calls.find_event_name(body, "Stop"))


REPORTS = [
    (CLAUDE, {"session_id": "s", "hook_event_name": "SessionStart"}, SessionEventKind.WORKING),
    (CLAUDE, {"session_id": "s", "hook_event_name": "Stop"}, SessionEventKind.TURN_ENDED),
    (GEMINI, {"session_id": "s", "hook_event_name": "AfterAgent"}, SessionEventKind.TURN_ENDED),
    (COPILOT, {"sessionId": "s", "hook_event_name": "sessionEnd"}, SessionEventKind.ENDED),
    (
        OPENCODE,
        {
            "hook_event_name": "session.status",
            "properties": {"sessionID": "s", "status": {"type": "idle"}},
        },
        SessionEventKind.TURN_ENDED,
    ),
    (
        OPENCODE,
        {"hook_event_name": "session.created", "properties": {"sessionID": "s"}},
        SessionEventKind.WORKING,
    ),
]


@pytest.mark.parametrize(("client", "body", "kind"), REPORTS)
def test_other_events_ask_nothing_and_say_what_a_session_does(client, body, kind) -> None:
    name = tool_calls.find_event_name(body, None)
    assert not tool_calls.is_asking(body, name)
    event = tool_calls.read_session_event(client, body, name)
    assert event is not None
    assert (event.session_key, event.kind) == ("s", kind)


def test_results_and_usage_are_read_from_the_events() -> None:
    body = {**CAMEL, "toolResult": {"resultType": "failure"}}
    result = tool_calls.read_session_event(COPILOT, body, "postToolUse")
    assert result is not None
    assert (result.is_successful, result.call_key) == (False, None)
    question = tool_calls.prepare_call(tool_calls.read_tool_request(COPILOT, CAMEL, "preToolUse"))
    assert result.request_hash == question.request_hash
    tokens = {"input": 1002, "output": 20, "reasoning": 2, "cache": {"read": 302, "write": 0}}
    body = {"session_id": "s", "message_id": "msg_1", "model": "m", "tokens": tokens}
    report = tool_calls.read_session_event(OPENCODE, body, "usage")
    assert report is not None
    assert report.usage is not None
    assert (report.usage.input, report.usage.output, report.usage.cache_read) == (1002, 22, 302)
    assert tool_calls.read_session_event(CLAUDE, {"session_id": "s"}, "Notification") is None


def test_each_client_gets_an_answer_that_it_understands() -> None:
    def build(client, event, answer, **fields) -> dict[str, Any]:
        return tool_calls.build_answer(client, event, answer, "because", **fields)

    specific = {"hookEventName": "PreToolUse", "permissionDecisionReason": "because"}
    for client in (CLAUDE, CODEX):
        denied = {"hookSpecificOutput": {**specific, "permissionDecision": "deny"}}
        assert build(client, "PreToolUse", DENY) == denied
    allowed = {"hookSpecificOutput": {**specific, "permissionDecision": "allow"}}
    assert build(CLAUDE, "PreToolUse", ALLOW) == allowed
    edited = build(CLAUDE, "PreToolUse", ALLOW, updated_input=PUSH)
    assert edited["hookSpecificOutput"]["updatedInput"] == PUSH
    deferred = build(CLAUDE, "PreToolUse", DEFER)
    assert deferred["hookSpecificOutput"]["permissionDecision"] == "defer"
    assert build(CODEX, "PreToolUse", ALLOW) == {}
    permission = {"hookEventName": "PermissionRequest"}
    assert build(CLAUDE, "PermissionRequest", ALLOW) == {
        "hookSpecificOutput": {**permission, "decision": {"behavior": "allow"}}
    }
    assert build(CODEX, "PermissionRequest", DENY) == {
        "hookSpecificOutput": {
            **permission,
            "decision": {"behavior": "deny", "message": "because"},
        }
    }
    for client in (GEMINI, OPENCODE):
        assert build(client, "BeforeTool", DENY) == {"decision": "deny", "reason": "because"}
    assert build(COPILOT, "preToolUse", ALLOW) == {
        "permissionDecision": "allow",
        "permissionDecisionReason": "because",
    }
    assert build(COPILOT, "permissionRequest", DENY) == {"behavior": "deny", "message": "because"}


LEVELS = 100
NESTED: Any = 0
for _ in range(LEVELS):
    NESTED = [NESTED]

BAD_FIELDS = [
    {"session_id": None},
    {"session_id": "s" * 201},
    {"session_id": 5},
    {"session_id": "s\0"},
    {"tool_name": ""},
    {"tool_name": "t" * 191},
    {"tool_name": "Bash\nls"},
    {"tool_use_id": {"a": 1}},
    {"cwd": "/" * 5_000},
    {"tool_input": {"command": "a\0b"}},
    {"tool_input": {"command": "\ud800"}},
    {"tool_input": {"command": float("inf")}},
    {"tool_input": NESTED},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=range(len(BAD_FIELDS)))
def test_a_question_that_cannot_be_shown_or_stored_is_invalid(fields) -> None:
    with pytest.raises(Invalid):
        tool_calls.read_tool_request(CLAUDE, SNAKE | fields, "PreToolUse")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
KEYS = ["session_id", "sessionId", "tool_name", "toolName", "tool_input", "toolArgs", "cwd"]
MORE_KEYS = ["hook_event_name", "tool_use_id", "properties", "tokens", "message_id", "model"]


@given(
    st.sampled_from(list(CodingClient)),
    st.dictionaries(st.sampled_from([*KEYS, *MORE_KEYS, "tool_response"]), JSON_VALUES),
    st.sampled_from(["PreToolUse", "PostToolUse", "usage", "session.status", ""]),
)
def test_any_body_is_read_or_invalid(client, body, given_name) -> None:
    name = tool_calls.find_event_name(body, given_name)
    try:
        if tool_calls.is_asking(body, name):
            tool_calls.prepare_call(tool_calls.read_tool_request(client, body, name))
        else:
            tool_calls.read_session_event(client, body, name)
    except Invalid:
        pass
