"""Parser of the requests that a gateway sends. Their content is not trusted. Pure."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.canonical_json import hash_json
from core.security.secrets import hash_token, mask_tokens, mask_tokens_within
from core.text import is_storable, is_storable_json
from models import RequestKind

MAX_CONTENT_LENGTH = 100_000  # characters of a command or of questions
MAX_NAME_LENGTH = 1_000  # characters of a key, an id or a path
MAX_WARNING_LENGTH = 4_000
MAX_ARGUMENTS = 1_000  # of a command
MAX_VARIABLES = 500  # of the environment of a command
MAX_DECISIONS = 10
DECISIONS = ("allow-once", "allow-always", "deny")
DEFAULT_DECISIONS = ("allow-once", "deny")  # if the gateway does not list them
MAX_TIMESTAMP_MS = 32_503_680_000_000  # ms since 1970: the year 3000

TEXTS_OF_COMMAND = {
    "command": "command",
    "cwd": "cwd",
    "host": "host",
    "node": "nodeId",
    "path": "resolvedPath",
}
"""The names of the texts of a command here, and the gateway's keys."""

PLUGIN_TEXTS = ("title", "description", "detail", "severity", "pluginId", "toolName")
PLUGIN_OBJECTS = ("mcpTool", "scope")
"""What a plugin's approval says, by the gateway's keys."""

ARGV_KEYS = ("argv", "commandArgv")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParsedRequest:
    """A request of a gateway, with our tokens masked.

    `exact` is the masked content, `sha256` the hash of everything that is asked, unmasked.
    """

    request_id: str
    kind: RequestKind
    exact: str
    sha256: str
    asked_at: datetime
    expires_at: datetime
    agent_key: str | None = None
    session_key: str | None = None
    run_id: str | None = None
    cwd: str | None = None
    context: dict[str, Any] | None = None
    allowed_decisions: Sequence[str] = ()


def parse_requests(kind: RequestKind, rows: Iterable[object]) -> dict[str, ParsedRequest]:
    """Return the requests that a gateway lists, by id. Invalid ones are skipped."""
    requests = [parse_request(kind, row) for row in rows]
    return {request.request_id: request for request in requests if request is not None}


def parse_request(kind: RequestKind, row: object) -> ParsedRequest | None:
    """Return one request; None, with a warning in the log, if it cannot be displayed."""
    row = row if isinstance(row, Mapping) else {}
    request = PARSERS[kind](row)
    if request is None:
        id = _short_text(row.get("id"))
        log.warning("a gateway asks something that cannot be shown: %s", id)
    return request


def agent_key_of(agent_id: object, session_key: object) -> str | None:
    """Return the agent's id on the gateway: as sent, or else from the session's key."""
    if _short_text(agent_id):
        return _short_text(agent_id)
    parts = (_short_text(session_key) or "").split(":")
    return parts[1] if len(parts) > 2 and parts[0] == "agent" and parts[1] else None


def _parse_command(row: Mapping[str, Any]) -> ParsedRequest | None:
    request = row.get("request")
    request = request if isinstance(request, Mapping) else {}
    content = _parse_run_content(request)
    if content is None:
        return None
    warning = _text(request.get("warningText"), MAX_WARNING_LENGTH)
    context = {name: value for name, value in content.items() if name not in ("command", "cwd")}
    context |= {"warning": warning} if warning else {}
    return _make_request(
        row,
        request,
        RequestKind.EXEC,
        content["command"],
        sha256=hash_json(content),
        cwd=mask_tokens(content.get("cwd") or "") or None,
        context=mask_tokens_within(context) or None,
        allowed_decisions=_parse_decisions(request),
    )


def _parse_run_content(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return everything that will run; None if it cannot be displayed completely.

    Values of environment variables are replaced by their hashes, because they can be secrets.
    """
    content: dict[str, Any] = {}
    for name, key in TEXTS_OF_COMMAND.items():
        value = request.get(key)
        if value is None or value == "":
            continue
        content[name] = _complete_text(value)
    argv = next((request[key] for key in ARGV_KEYS if request.get(key) is not None), None)
    if argv is not None:
        content["argv"] = _complete_texts(argv)
    if request.get("env"):
        content["environment"] = _hash_environment(request["env"])
    if request.get("systemRunPlan") is not None:
        plan = request["systemRunPlan"]
        is_valid = is_storable_json(plan, max_length=MAX_CONTENT_LENGTH)
        content["plan"] = hash_json(plan) if is_valid else None
    is_complete = "command" in content and None not in content.values()
    return content if is_complete else None


def _complete_texts(values: object) -> list[str] | None:
    if not isinstance(values, list) or len(values) > MAX_ARGUMENTS:
        return None
    are_complete = all(value == "" or _complete_text(value) for value in values)
    is_short = sum(len(str(value)) for value in values) <= MAX_CONTENT_LENGTH
    return [str(value) for value in values] if are_complete and is_short else None


def _hash_environment(environment: object) -> dict[str, str] | None:
    """Return the hash of the value of each variable, or None if it cannot be displayed."""
    if not isinstance(environment, Mapping) or len(environment) > MAX_VARIABLES:
        return None
    hashes: dict[str, str] = {}
    for name, value in environment.items():
        is_complete = _complete_text(name) and isinstance(value, str) and is_storable(value)
        if not is_complete:
            return None
        hashes[str(name)] = hash_token(value)
    return hashes


def _parse_questions(row: Mapping[str, Any]) -> ParsedRequest | None:
    questions = row.get("questions")
    if not (isinstance(questions, list) and questions and all(map(_is_question, questions))):
        return None
    exact = json.dumps(questions, separators=(",", ":"), sort_keys=True)
    if len(exact) > MAX_CONTENT_LENGTH:
        return None
    return _make_request(row, row, RequestKind.QUESTION, exact, sha256=hash_token(exact))


def _parse_plugin_approval(row: Mapping[str, Any]) -> ParsedRequest | None:
    """Parse the approval of a plugin's action; None if it cannot be displayed completely."""
    request = row.get("request")
    request = request if isinstance(request, Mapping) else {}
    texts = {key: _complete_text(request[key]) for key in PLUGIN_TEXTS if request.get(key)}
    objects = {key: request[key] for key in PLUGIN_OBJECTS if request.get(key)}
    are_valid = all(
        isinstance(value, Mapping) and is_storable_json(value, max_length=MAX_CONTENT_LENGTH)
        for value in objects.values()
    )
    if not (are_valid and texts.keys() >= {"title", "description"} and None not in texts.values()):
        return None
    exact = json.dumps(texts | objects, separators=(",", ":"), sort_keys=True)
    if len(exact) > MAX_CONTENT_LENGTH:
        return None
    return _make_request(
        row,
        request,
        RequestKind.PLUGIN,
        exact,
        sha256=hash_token(exact),
        allowed_decisions=_parse_decisions(request),
    )


def _make_request(
    row: Mapping[str, Any],
    origin: Mapping[str, Any],
    kind: RequestKind,
    exact: str,
    *,
    sha256: str,
    **more: Any,
) -> ParsedRequest | None:
    id, asked_at = _short_text(row.get("id")), _parse_timestamp(row.get("createdAtMs"))
    expires_at = _parse_timestamp(row.get("expiresAtMs"))
    if id is None or asked_at is None or expires_at is None:
        return None
    return ParsedRequest(
        request_id=id,
        kind=kind,
        exact=mask_tokens(exact),
        sha256=sha256,
        asked_at=asked_at,
        expires_at=expires_at,
        agent_key=agent_key_of(origin.get("agentId"), origin.get("sessionKey")),
        session_key=_short_text(origin.get("sessionKey")),
        run_id=_short_text(origin.get("runId")),
        **more,
    )


def _is_question(question: object) -> bool:
    if not isinstance(question, Mapping):
        return False
    options = question.get("options", [])
    named = isinstance(options, list) and all(
        isinstance(option, Mapping) and _complete_text(option.get("label")) for option in options
    )
    return bool(
        named
        and _short_text(question.get("questionId"))
        and _complete_text(question.get("question"))
    )


def _parse_decisions(request: Mapping[str, Any]) -> list[str]:
    given = request.get("allowedDecisions")
    if not isinstance(given, list):
        return list(DEFAULT_DECISIONS)
    return [decision for decision in DECISIONS if decision in given[:MAX_DECISIONS]]


def _complete_text(value: object) -> str | None:
    """Return a text if it can be displayed completely, otherwise None."""
    return (
        _text(value, MAX_CONTENT_LENGTH)
        if isinstance(value, str) and len(value) <= MAX_CONTENT_LENGTH
        else None
    )


def _short_text(value: object) -> str | None:
    return _text(value, MAX_NAME_LENGTH)


def _text(value: object, most: int) -> str | None:
    return value[:most] if isinstance(value, str) and value and is_storable(value) else None


def _parse_timestamp(value: object) -> datetime | None:
    if not isinstance(value, int | float) or not 0 <= value <= MAX_TIMESTAMP_MS:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)


PARSERS: Mapping[RequestKind, Callable[[Mapping[str, Any]], ParsedRequest | None]] = {
    RequestKind.EXEC: _parse_command,
    RequestKind.QUESTION: _parse_questions,
    RequestKind.PLUGIN: _parse_plugin_approval,
}
