"""Read the requests of the hooks of clients, and build the answers that they understand.

A hook reports an event of a session: mostly a tool call that the client asks for, or something that
has happened. Fields and answers are those of Claude Code 2.1, Codex 0.171, Gemini CLI 0.61,
Copilot CLI 1.0 and our plugin of opencode 1.18. Pure functions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from core.errors import Invalid
from core.text import MAX_JSON_DEPTH, is_nested_too_deeply, is_storable, is_storable_json
from models import CodingClient, ToolAnswer
from services.coding_sessions import (
    MAX_KEY_LENGTH,
    SessionEvent,
    SessionEventKind,
    UsageReport,
)
from services.tool_facts import hash_request

MAX_TOOL_LENGTH = 190  # characters of the name of a tool, so that the kind `tool.…` has 200
MAX_FOLDER_LENGTH = 4_096  # characters
MAX_MODEL_LENGTH = 100  # characters; a longer name is cut
MAX_INPUT_SIZE = 100_000  # bytes of the JSON of an input that people can be asked about
MAX_ESCAPED_LENGTH = 200_000  # characters of it with escapes, as it is stored

ASKING_EVENTS = {"pretooluse", "permissionrequest", "beforetool", "toolexecutebefore"}
"""The events of hooks that wait for an answer, in lower case without separators."""

SESSION_EVENTS = {
    "sessionstart": SessionEventKind.WORKING,
    "sessioncreated": SessionEventKind.WORKING,
    "userpromptsubmit": SessionEventKind.WORKING,
    "userpromptsubmitted": SessionEventKind.WORKING,
    "beforeagent": SessionEventKind.WORKING,
    "sessionstatus": SessionEventKind.WORKING,
    "posttooluse": SessionEventKind.TOOL_RETURNED,
    "posttoolusefailure": SessionEventKind.TOOL_RETURNED,
    "aftertool": SessionEventKind.TOOL_RETURNED,
    "toolexecuteafter": SessionEventKind.TOOL_RETURNED,
    "stop": SessionEventKind.TURN_ENDED,
    "agentstop": SessionEventKind.TURN_ENDED,
    "afteragent": SessionEventKind.TURN_ENDED,
    "sessionidle": SessionEventKind.TURN_ENDED,
    "sessionend": SessionEventKind.ENDED,
    "sessiondeleted": SessionEventKind.ENDED,
    "usage": SessionEventKind.USAGE,
}
"""What the other events mean. Those that are not listed here say nothing that we record."""


@dataclass(frozen=True)
class ToolRequest:
    """The question of a client's hook before a tool call. All of it is what the client reports.

    `call_key` is None for clients without ids of calls.
    """

    client: CodingClient
    event_name: str  # as the client calls it
    session_key: str
    call_key: str | None
    tool: str
    input: Mapping[str, Any]
    cwd: str | None
    model: str | None = None
    is_headless: bool = False
    is_too_large: bool = False  # for people

    @property
    def kind(self) -> str:
        """The kind of its approval."""
        return f"tool.{self.tool}"


def find_event_name(body: Mapping[str, Any], given: str | None) -> str:
    """Return the name of the event that a request reports, or an empty text.

    `given` is from the header or the address. It counts only if the client does not name the event
    itself: a wrong address in its settings must not turn a question into a report.
    """
    names = (*(body.get(one) for one in ("hook_event_name", "hookEventName", "hookName")), given)
    name = next((one for one in names if one and isinstance(one, str)), "")
    return name[:MAX_KEY_LENGTH]


def is_asking(body: Mapping[str, Any], event_name: str) -> bool:
    """Return whether a hook waits for an answer.

    One that names no event, or an unknown one, asks if there is a tool and no result: a client of
    which too little is known must not run a call because of that.
    """
    name = _normalize_name(event_name)
    if name in ASKING_EVENTS or name in SESSION_EVENTS:
        return name in ASKING_EVENTS
    has_tool = "tool_name" in body or "toolName" in body
    return has_tool and "tool_response" not in body and "toolResult" not in body


def is_disconnection(event_name: str) -> bool:
    """Return whether client.py reports that it has restored the settings of the client."""
    return _normalize_name(event_name) == "clientdisconnected"


def _normalize_name(event_name: str) -> str:
    return "".join(one for one in event_name.lower() if one.isalnum())


def read_tool_request(
    client: CodingClient, body: Mapping[str, Any], event_name: str, *, is_headless: bool = False
) -> ToolRequest:
    """Return a question in one form for all clients. Raises Invalid with a text for the client.

    `is_headless` counts for Claude Code, whose sessions can be resumed.
    """
    call_key = body.get("tool_use_id")
    value, is_too_large = _read_input(body)
    return ToolRequest(
        client,
        event_name,
        _read_text(_find_session_key(body), "session_id"),
        None if call_key in (None, "") else _read_text(call_key, "tool_use_id"),
        _read_text(body.get("tool_name") or body.get("toolName"), "tool_name", MAX_TOOL_LENGTH),
        value,
        _read_folder(body),
        _read_model(body),
        is_headless and client is CodingClient.CLAUDE,
        is_too_large,
    )


def read_session_event(
    client: CodingClient, body: Mapping[str, Any], event_name: str
) -> SessionEvent | None:
    """Return what an event that does not ask reports of its session, or None for nothing.

    Raises Invalid.
    """
    kind = SESSION_EVENTS.get(_normalize_name(event_name))
    session_key = _find_session_key(body)
    if kind is None or session_key is None:
        return None
    cwd, model = _read_folder(body), _read_model(body)
    call_key = request_hash = is_successful = usage = None
    if kind is SessionEventKind.WORKING and _find_property(body, "status") == {"type": "idle"}:
        kind = SessionEventKind.TURN_ENDED
    elif kind is SessionEventKind.TOOL_RETURNED:
        call_key = body.get("tool_use_id") or None
        call_key = None if call_key is None else _read_text(call_key, "tool_use_id")
        tool = _read_text(body.get("tool_name") or body.get("toolName"), "tool_name")
        request_hash = hash_request(tool, _read_input(body)[0], cwd)
        is_successful = _find_success(client, body, event_name)
    elif kind is SessionEventKind.USAGE:
        usage = _read_usage(body, event_name)
    return SessionEvent(
        client,
        _read_text(session_key, "session_id"),
        kind,
        cwd=cwd,
        model=model,
        call_key=call_key,
        request_hash=request_hash,
        is_successful=is_successful,
        usage=usage,
    )


def _find_session_key(body: Mapping[str, Any]) -> object:
    return body.get("session_id") or body.get("sessionId") or _find_property(body, "sessionID")


def _find_property(body: Mapping[str, Any], name: str) -> object:
    """Return a property of an event of opencode."""
    properties = body.get("properties")
    return properties.get(name) if isinstance(properties, Mapping) else None


def _read_text(value: object, name: str, max_length: int = MAX_KEY_LENGTH) -> str:
    if isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable():
        return value
    raise Invalid(
        "hook_field_invalid",
        "The request of the hook is not valid: %(name)s must be a text of at most %(max_length)s"
        " characters.",
        name=name,
        max_length=max_length,
    )


def _read_folder(body: Mapping[str, Any]) -> str | None:
    folder = body.get("cwd")
    return None if folder in (None, "") else _read_text(folder, "cwd", MAX_FOLDER_LENGTH)


def _read_model(body: Mapping[str, Any]) -> str | None:
    model = body.get("model")
    is_text = isinstance(model, str) and is_storable(model)
    return model[:MAX_MODEL_LENGTH] or None if is_text else None


def _read_input(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return the input of the tool, and whether it is too large to ask people. Raises Invalid.

    Some hooks send it as a text of JSON.
    """
    names = ("tool_input", "toolArgs", "toolInput")
    value = next((body[one] for one in names if one in body), {})
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = {"input": value}
    if not isinstance(value, dict):
        value = {"input": value}
    if is_nested_too_deeply(value):
        raise _input_invalid()
    try:
        size = len(pydantic_core.to_json(value, inf_nan_mode="constants"))
    except (ValueError, UnicodeEncodeError):  # half a character
        raise _input_invalid() from None
    if size > MAX_INPUT_SIZE:
        return value, True
    if is_storable_json(value, max_length=MAX_ESCAPED_LENGTH):
        return value, False
    if is_storable_json(value, max_length=10 * MAX_ESCAPED_LENGTH):
        return value, True
    raise _input_invalid()


def _input_invalid() -> Invalid:
    return Invalid(
        "tool_input_invalid",
        "The input of the tool cannot be shown to a person: it has invalid characters, invalid"
        " numbers, or more than %(max_depth)s levels.",
        max_depth=MAX_JSON_DEPTH,
    )


def _find_success(client: CodingClient, body: Mapping[str, Any], event_name: str) -> bool | None:
    """Return whether a tool call succeeded, if the client says it."""
    if _normalize_name(event_name) == "posttoolusefailure":
        return False
    result = body.get("tool_response") or body.get("toolResult")
    if isinstance(result, Mapping) and isinstance(result.get("isError"), bool):
        return not result["isError"]
    if isinstance(result, Mapping) and isinstance(result.get("resultType"), str):
        return result["resultType"] == "success"
    return True if client is CodingClient.CLAUDE else None


def _read_usage(body: Mapping[str, Any], event_name: str) -> UsageReport:
    """Return the tokens of a message of opencode, whose output does not include the reasoning."""
    tokens = body.get("tokens")
    tokens = tokens if isinstance(tokens, Mapping) else {}
    cache = tokens.get("cache")
    cache = cache if isinstance(cache, Mapping) else {}
    return UsageReport(
        event_name,
        _read_text(body.get("message_id"), "message_id"),
        input=_read_count(tokens.get("input")),
        output=_read_count(tokens.get("output")) + _read_count(tokens.get("reasoning")),
        cache_read=_read_count(cache.get("read")),
        cache_write=_read_count(cache.get("write")),
        model=_read_model(body),
    )


def _read_count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**40 else 0


def build_answer(
    client: CodingClient,
    event_name: str,
    answer: ToolAnswer,
    reason: str,
    updated_input: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the JSON that tells a client the answer to a tool call.

    Only Claude Code and its like know an answer that ends the process (`defer`) and an input that
    replaces that of the call.
    """
    is_permission = event_name.lower() == "permissionrequest"
    if client in (CodingClient.CLAUDE, CodingClient.CODEX) and is_permission:
        decision: dict[str, Any] = {"behavior": "allow" if answer is ToolAnswer.ALLOW else "deny"}
        if answer is not ToolAnswer.ALLOW:
            decision["message"] = reason
        elif updated_input is not None:
            decision["updatedInput"] = updated_input
        return _for_hook("PermissionRequest", decision=decision)
    if client is CodingClient.CODEX and answer is ToolAnswer.ALLOW:
        return {}  # "allow" without an input is an error of Codex
    if client in (CodingClient.CLAUDE, CodingClient.CODEX):
        specific = {"permissionDecision": answer.value, "permissionDecisionReason": reason}
        changed = {} if updated_input is None else {"updatedInput": updated_input}
        return _for_hook("PreToolUse", **specific, **changed)
    if client is CodingClient.COPILOT and is_permission:
        return {"behavior": answer.value, "message": reason}
    if client is CodingClient.COPILOT:
        return {"permissionDecision": answer.value, "permissionDecisionReason": reason}
    return {"decision": answer.value, "reason": reason}


def _for_hook(event_name: str, **fields: Any) -> dict[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event_name, **fields}}
