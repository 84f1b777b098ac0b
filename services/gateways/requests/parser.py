"""Parser of the requests that a gateway sends. Their content is not trusted. Pure."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from core.canonical_json import format_canonical_json, hash_json
from core.security.secrets import hash_token, mask_tokens
from core.text import is_storable, is_storable_json
from models import RequestKind

MAX_CONTENT_LENGTH = 250_000  # characters of a request as JSON
MAX_VALUES = 10_000  # objects, arrays and values in a request
MAX_DEPTH = 20  # nesting levels of a request
MAX_NAME_LENGTH = 1_000  # characters of a key, an id or a path
MAX_DECISIONS = 10
DECISIONS = ("allow-once", "allow-always", "deny")
DEFAULT_DECISIONS = ("allow-once", "deny")  # if the gateway does not list them
MAX_TIMESTAMP_MS = 32_503_680_000_000  # ms since 1970: the year 3000

CONTEXT_KEYS = {"host": "host", "node": "nodeId", "path": "resolvedPath", "warning": "warningText"}
"""The names of the texts in the context of a command, and the gateway's keys."""

HASHED_KEYS = ("cronOperationBinding",)
"""Values of which only the hash is kept: the gateway repeats the command in them, with secrets that
it has masked elsewhere, and the hash of the variables."""

ARGV_KEYS = ("argv", "commandArgv")
PLUGIN_TEXTS = ("title", "description", "detail", "severity", "pluginId", "toolName")
PLUGIN_OBJECTS = ("mcpTool", "scope")
"""What a plugin's approval says, by the gateway's keys."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ParsedRequest:
    """A request of a gateway, with our tokens masked.

    `exact` is the command, the action or the questions; `content` is everything that the gateway
    sends with an approval; `sha256` is the hash of that, or of the questions, unmasked.
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
    content: dict[str, Any] | None = None
    allowed_decisions: Sequence[str] = ()


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
    """Parse the approval of a command; None if it cannot be displayed completely."""
    content = _parse_content(RequestKind.EXEC, row)
    request = content.masked["request"] if content else {}
    if content is None or not _complete_text(request.get("command")):
        return None
    cwd = request.get("cwd")
    return _make_approval(
        RequestKind.EXEC,
        row,
        content,
        exact=request["command"],
        cwd=cwd if isinstance(cwd, str) and cwd else None,
        context=_build_context(request),
    )


def _build_context(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the texts, the arguments, and the hash of the plan of a command."""
    texts = {name: request.get(key) for name, key in CONTEXT_KEYS.items()}
    context: dict[str, Any] = {
        name: value for name, value in texts.items() if isinstance(value, str) and value
    }
    argv = next((request[key] for key in ARGV_KEYS if request.get(key) is not None), None)
    if isinstance(argv, list) and all(isinstance(argument, str) for argument in argv):
        context["argv"] = argv
    if request.get("systemRunPlan") is not None:
        context["plan"] = hash_json(request["systemRunPlan"])
    return context or None


def _parse_plugin_approval(row: Mapping[str, Any]) -> ParsedRequest | None:
    """Parse the approval of a plugin's action; None if it cannot be displayed completely."""
    content = _parse_content(RequestKind.PLUGIN, row)
    request = content.masked["request"] if content else {}
    texts = {key: request[key] for key in PLUGIN_TEXTS if _complete_text(request.get(key))}
    objects = {key: request[key] for key in PLUGIN_OBJECTS if isinstance(request.get(key), dict)}
    if content is None or not texts.keys() >= {"title", "description"}:
        return None
    exact = json.dumps(texts | objects, separators=(",", ":"), sort_keys=True)
    return _make_approval(RequestKind.PLUGIN, row, content, exact=exact)


@dataclass(frozen=True)
class _Content:
    """Everything that a gateway sends with an approval, with our tokens masked, and its hash."""

    masked: dict[str, Any]
    sha256: str


def _parse_content(kind: RequestKind, row: Mapping[str, Any]) -> _Content | None:
    """Parse everything that a gateway sends; None if a page cannot show it completely."""
    content = {"approvalKind": kind.value, **row}
    is_bounded = _is_bounded(content) and is_storable_json(content, max_length=MAX_CONTENT_LENGTH)
    request = content.get("request")
    if not is_bounded or not isinstance(request, Mapping):
        return None
    hashes = {
        name: f"sha256:{hash_json(request[name])}"
        for name in HASHED_KEYS
        if request.get(name) is not None
    }
    content["request"] = {**request, **hashes}
    text = format_canonical_json(content)
    try:
        masked = json.loads(mask_tokens(text), object_pairs_hook=_build_object)
    except ValueError:
        return None
    return _Content(masked, hash_token(text))


def _is_bounded(content: Mapping[str, Any]) -> bool:
    """Return whether a JSON value has at most MAX_VALUES values and MAX_DEPTH levels.

    The time is bounded too, whatever the size of the value.
    """
    level: list[Any] = [content]
    count = 0
    for _depth in range(MAX_DEPTH):
        values: list[Any] = []
        for one in level:
            count += len(one)
            if count > MAX_VALUES:
                return False
            values += one.values() if isinstance(one, Mapping) else one
        level = [one for one in values if isinstance(one, Mapping | list)]
        if not level:
            return True
    return False


def _build_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object. Raises ValueError if two keys are equal: both contain masked tokens."""
    built = dict(pairs)
    if len(built) < len(pairs):
        raise ValueError("two keys are equal")
    return built


def _make_approval(
    kind: RequestKind, row: Mapping[str, Any], content: _Content, *, exact: str, **more: Any
) -> ParsedRequest | None:
    return _make_request(
        row,
        row["request"],
        kind,
        exact,
        sha256=content.sha256,
        content=content.masked,
        allowed_decisions=_parse_decisions(row["request"]),
        **more,
    )


def _parse_questions(row: Mapping[str, Any]) -> ParsedRequest | None:
    questions = row.get("questions")
    if not (isinstance(questions, list) and questions and all(map(_is_question, questions))):
        return None
    exact = json.dumps(questions, separators=(",", ":"), sort_keys=True)
    if len(exact) > MAX_CONTENT_LENGTH:
        return None
    return _make_request(row, row, RequestKind.QUESTION, exact, sha256=hash_token(exact))


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
