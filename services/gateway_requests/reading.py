"""What a gateway says of a request, read so that nothing in it can hurt. Pure: no database."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kit.secrets import fingerprint, masked
from kit.text import storable
from models import RequestKind

LARGEST = 100_000  # characters of a command or of questions; a person reads no more
LONGEST_NAME = 1_000  # characters of a key, an id or a path
LONGEST_WARNING = 4_000
MOST_DECISIONS = 10
DECISIONS = ("allow-once", "allow-always", "deny")
USUAL = ("allow-once", "deny")  # where a gateway does not say what it takes
LATEST = 32_503_680_000_000  # ms since 1970: the year 3000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request as the gateway tells it, but for tokens of ours: those are masked.

    `sha256` is of what is asked to the byte, with what is masked in `exact`.
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


def several(kind: RequestKind, answer: object) -> dict[str, Asked]:
    """Read what a gateway lists, by id."""
    rows = answer.get("questions") if isinstance(answer, Mapping) else answer
    found = [one(kind, row) for row in rows] if isinstance(rows, list) else []
    return {asked.request_id: asked for asked in found if asked is not None}


def one(kind: RequestKind, said: object) -> Asked | None:
    """Read one request. None if it is none that could be shown; that is logged."""
    said = said if isinstance(said, Mapping) else {}
    asked = _command(said) if kind is RequestKind.EXEC else _questions(said)
    if asked is None:
        log.warning("a gateway asks something that cannot be shown: %s", _line(said.get("id")))
    return asked


def key_of(agent_id: object, session_key: object) -> str | None:
    """Return by which name a gateway knows the agent: it says so, or the session's key does."""
    if _line(agent_id):
        return _line(agent_id)
    parts = (_line(session_key) or "").split(":")
    return parts[1] if len(parts) > 2 and parts[0] == "agent" and parts[1] else None


def _command(said: Mapping[str, Any]) -> Asked | None:
    request = said.get("request")
    request = request if isinstance(request, Mapping) else {}
    command = _whole(request.get("command"))
    if not command:
        return None
    context = {
        "host": _line(request.get("host")),
        "path": _line(request.get("resolvedPath")),
        "warning": _text(request.get("warningText"), LONGEST_WARNING),
    }
    cwd = masked(_line(request.get("cwd")) or "") or None
    more = {"cwd": cwd, "allowed_decisions": _decisions(request)}
    known = {name: masked(value) for name, value in context.items() if value}
    return _asked(said, request, RequestKind.EXEC, command, context=known or None, **more)


def _questions(said: Mapping[str, Any]) -> Asked | None:
    questions = said.get("questions")
    if not (isinstance(questions, list) and questions and all(map(_is_question, questions))):
        return None
    exact = json.dumps(questions, separators=(",", ":"), sort_keys=True)
    return _asked(said, said, RequestKind.QUESTION, exact) if len(exact) <= LARGEST else None


def _asked(
    said: Mapping[str, Any], whose: Mapping[str, Any], kind: RequestKind, exact: str, **more: Any
) -> Asked | None:
    id, asked_at = _line(said.get("id")), _moment(said.get("createdAtMs"))
    expires_at = _moment(said.get("expiresAtMs"))
    if id is None or asked_at is None or expires_at is None:
        return None
    return Asked(
        request_id=id,
        kind=kind,
        exact=masked(exact),
        sha256=fingerprint(exact),
        asked_at=asked_at,
        expires_at=expires_at,
        agent_key=key_of(whose.get("agentId"), whose.get("sessionKey")),
        session_key=_line(whose.get("sessionKey")),
        run_id=_line(whose.get("runId")),
        **more,
    )


def _is_question(question: object) -> bool:
    if not isinstance(question, Mapping):
        return False
    options = question.get("options", [])
    named = isinstance(options, list) and all(
        isinstance(option, Mapping) and _whole(option.get("label")) for option in options
    )
    return bool(named and _line(question.get("questionId")) and _whole(question.get("question")))


def _decisions(request: Mapping[str, Any]) -> list[str]:
    given = request.get("allowedDecisions")
    if not isinstance(given, list):
        return list(USUAL)
    return [decision for decision in DECISIONS if decision in given[:MOST_DECISIONS]]


def _whole(value: object) -> str | None:
    """Return a text as it is, or None where there is none that could be shown as it is."""
    return _text(value, LARGEST) if isinstance(value, str) and len(value) <= LARGEST else None


def _line(value: object) -> str | None:
    return _text(value, LONGEST_NAME)


def _text(value: object, most: int) -> str | None:
    return value[:most] if isinstance(value, str) and value and storable(value) else None


def _moment(value: object) -> datetime | None:
    if not isinstance(value, int | float) or not 0 <= value <= LATEST:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)
