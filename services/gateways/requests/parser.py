"""Parser of the requests that a gateway sends. Their content is not trusted. Pure."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.canonical_json import format_canonical_json, hash_json
from core.security.secrets import hash_token, mask_tokens, mask_tokens_within
from core.text import is_storable, is_storable_json
from models import GatewayRequest, RequestKind
from openclaw.api import find_agent_id, parse_milliseconds

MAX_CONTENT_LENGTH = 250_000  # characters of a request as JSON
MAX_VALUES = 10_000  # objects, arrays and values in a request
MAX_DEPTH = 20  # nesting levels of a request
MAX_NAME_SIZE = 1_000  # bytes of a key or an id: those of a row must fit into an index (2,704)
MAX_TITLE_LENGTH = 200  # characters
MAX_DECISIONS = 10
DECISIONS = ("allow-once", "allow-always", "deny")
DEFAULT_DECISIONS = ("allow-once", "deny")  # if the gateway does not list them

CONTEXT_KEYS = {"host": "host", "node": "nodeId", "path": "resolvedPath", "warning": "warningText"}
"""The names of the texts in the context of a command, and the gateway's keys."""

HASHED_KEYS = ("cronOperationBinding",)
"""Values of which only the hash is kept: the gateway repeats the command in them, with secrets that
it has masked elsewhere, and the hash of the variables."""

ARGV_KEYS = ("argv", "commandArgv")
PLUGIN_TEXTS = ("title", "description", "detail", "severity", "pluginId", "toolName")
PLUGIN_OBJECTS = ("mcpTool", "scope")
"""What a plugin's approval says, by the gateway's keys."""

ROW_KEYS = frozenset({"approvalKind", "id", "createdAtMs", "expiresAtMs", "request"})
ORIGIN_KEYS = frozenset(
    {
        *("agentId", "sessionKey", "sessionId", "runId", "toolCallId"),
        *("turnSourceChannel", "turnSourceTo", "turnSourceAccountId", "turnSourceThreadId"),
        *("allowedDecisions", "unavailableDecisions"),
    }
)
"""Values that say where an approval is from and how it can be decided, not what it allows."""

EARLIER_KEYS: Mapping[RequestKind, frozenset[str]] = {
    RequestKind.EXEC: ORIGIN_KEYS | {"command", "cwd", *CONTEXT_KEYS.values()},
    RequestKind.PLUGIN: ORIGIN_KEYS | {*PLUGIN_TEXTS, *PLUGIN_OBJECTS},
}
"""What the pages showed of an approval that has no `content`, besides the arguments."""

EARLIER_WARNING_LENGTH = 4_000  # characters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RequestHash:
    """What identifies the content of a request.

    Rows without `content` were stored before a release that hashes everything. Their requests can
    still wait, so they are recognized by the hash of that time, `earlier`. `shows_more` says
    whether the gateway sends something that the pages did not show then.
    """

    sha256: str
    earlier: str | None = None
    shows_more: bool = False

    def is_of(self, request: GatewayRequest) -> bool:
        """Return whether it is the hash of a stored request."""
        is_earlier = request.takes_decision and request.content is None
        return request.sha256 == (self.earlier if is_earlier else self.sha256)


@dataclass(frozen=True)
class ParsedRequest:
    """A request of a gateway, with our tokens masked.

    `exact` is the command, the action or the questions; `content` is everything that the gateway
    sends with an approval; `hash` is that of the content, or of the questions, unmasked.
    """

    request_id: str
    kind: RequestKind
    title: str
    exact: str
    hash: RequestHash
    is_masked: bool
    asked_at: datetime
    expires_at: datetime
    agent_key: str | None = None
    session_key: str | None = None
    run_id: str | None = None
    cwd: str | None = None
    context: dict[str, Any] | None = None
    content: dict[str, Any] | None = None
    allowed_decisions: Sequence[str] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The values of the columns of a GatewayRequest."""
        values = {name: value for name, value in vars(self).items() if name != "hash"}
        return values | {"sha256": self.hash.sha256}


def parse_request(kind: RequestKind, row: object) -> ParsedRequest | None:
    """Return one request; None, with a warning in the log, if it cannot be displayed."""
    row = row if isinstance(row, Mapping) else {}
    request = PARSERS[kind](row)
    if request is None:
        id = _short_text(row.get("id"))
        log.warning("A request of a gateway cannot be shown: %s", id)
    return request


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
        title=request["command"],
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
    if content is None or not all(_complete_text(request.get(key)) for key in PLUGIN_TEXTS[:2]):
        return None
    exact = _format_plugin_action(request)
    return _make_approval(RequestKind.PLUGIN, row, content, title=request["title"], exact=exact)


def _format_plugin_action(request: Mapping[str, Any]) -> str:
    """Return what a plugin asks for as JSON."""
    texts = {key: request[key] for key in PLUGIN_TEXTS if _complete_text(request.get(key))}
    objects = {
        key: request[key]
        for key in PLUGIN_OBJECTS
        if isinstance(request.get(key), dict) and request[key]
    }
    return json.dumps(texts | objects, separators=(",", ":"), sort_keys=True)


def _hash_as_before(kind: RequestKind, request: Mapping[str, Any]) -> str:
    """Return the hash of an approval that was stored without `content`: of what was shown."""
    if kind is RequestKind.PLUGIN:
        return hash_token(_format_plugin_action(request))
    context = _build_context(request) or {}
    context.pop("warning", None)
    cwd = {"cwd": request["cwd"]} if request.get("cwd") else {}
    return hash_json({"command": request.get("command"), **cwd, **context})


def _shows_more(kind: RequestKind, content: Mapping[str, Any]) -> bool:
    """Return whether there is more in an approval than was shown when it had no `content`."""
    request = content["request"]
    used = next((key for key in ARGV_KEYS if request.get(key) is not None), "")
    known = EARLIER_KEYS[kind] | ({used} if kind is RequestKind.EXEC else set())
    others = {key: value for key, value in request.items() if key not in known}
    others |= {key: value for key, value in content.items() if key not in ROW_KEYS}
    is_cut = len(str(request.get("warningText") or "")) > EARLIER_WARNING_LENGTH
    return is_cut or any(value not in (None, "", [], {}) for value in others.values())


@dataclass(frozen=True)
class _Content:
    """Everything that a gateway sends with an approval, with our tokens masked, and its hash."""

    masked: dict[str, Any]
    hash: RequestHash
    is_masked: bool


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
    masked_text = mask_tokens(text)
    try:
        masked = json.loads(masked_text, object_pairs_hook=_build_object)
    except ValueError:
        return None
    earlier = _hash_as_before(kind, request)
    hash = RequestHash(hash_token(text), earlier, _shows_more(kind, content))
    return _Content(masked, hash, is_masked=masked_text != text)


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
    kind: RequestKind, row: Mapping[str, Any], content: _Content, **more: Any
) -> ParsedRequest | None:
    given = row["request"].get("allowedDecisions")
    return _make_request(
        row,
        row["request"],
        kind,
        hash=content.hash,
        is_masked=content.is_masked,
        content=content.masked,
        allowed_decisions=(
            [decision for decision in DECISIONS if decision in given[:MAX_DECISIONS]]
            if isinstance(given, list)
            else DEFAULT_DECISIONS
        ),
        **more,
    )


def _parse_questions(row: Mapping[str, Any]) -> ParsedRequest | None:
    questions = row.get("questions")
    is_bounded = _is_bounded({"questions": questions})
    is_list = is_bounded and isinstance(questions, list) and bool(questions)
    if not is_list or not all(map(_is_question, questions)):
        return None
    exact = _format_questions(questions)
    if len(exact) > MAX_CONTENT_LENGTH:
        return None
    return _make_request(
        row,
        row,
        RequestKind.QUESTION,
        title=mask_tokens(questions[0]["question"]),
        exact=_format_questions(mask_tokens_within(questions)),
        hash=RequestHash(hash_token(exact)),
        is_masked=mask_tokens(exact) != exact,
    )


def _format_questions(questions: object) -> str:
    return json.dumps(questions, separators=(",", ":"), sort_keys=True)


def _make_request(
    row: Mapping[str, Any],
    origin: Mapping[str, Any],
    kind: RequestKind,
    *,
    title: str,
    **more: Any,
) -> ParsedRequest | None:
    id, asked_at = _short_text(row.get("id")), parse_milliseconds(row.get("createdAtMs"))
    expires_at = parse_milliseconds(row.get("expiresAtMs"))
    if id is None or asked_at is None or expires_at is None:
        return None
    line = " ".join(title.split())
    return ParsedRequest(
        request_id=id,
        kind=kind,
        title=line if len(line) <= MAX_TITLE_LENGTH else f"{line[: MAX_TITLE_LENGTH - 1]}…",
        asked_at=asked_at,
        expires_at=expires_at,
        agent_key=_short_text(find_agent_id(origin)),
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


def _complete_text(value: object) -> str | None:
    """Return a text if it can be displayed completely, otherwise None."""
    is_complete = isinstance(value, str) and len(value) <= MAX_CONTENT_LENGTH
    return value if is_complete and value and is_storable(value) else None


def _short_text(value: object) -> str | None:
    if not isinstance(value, str) or not value or not is_storable(value):
        return None
    return value.encode()[:MAX_NAME_SIZE].decode(errors="ignore")


PARSERS: Mapping[RequestKind, Callable[[Mapping[str, Any]], ParsedRequest | None]] = {
    RequestKind.EXEC: _parse_command,
    RequestKind.QUESTION: _parse_questions,
    RequestKind.PLUGIN: _parse_plugin_approval,
}
