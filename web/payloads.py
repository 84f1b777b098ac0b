"""What a question brings along, made readable: changes as prints and rows, the rest as rows."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models import Approval
from web.diffs import HUNK, Line, lines

SAID_ELSEWHERE = {"reason", "title", "question", "summary", "decision", "description"}
OF_TASKS = {"task_id", "taskId", "taskID", "task_ids", "taskIds", "taskIDs"}
CHANGES = {"diff", "patch", "changes"}
MOST_ROWS = 100
LONGEST_VALUE = 2_000  # characters of a value in a row
FROM = ("from", "old", "before")
TO = ("to", "new", "after")
FILES = ("file", "path", "filename")


@dataclass(frozen=True)
class Print:
    """A change of a text, line by line."""

    file: str
    lines: list[Line]


@dataclass(frozen=True)
class Row:
    """A named value: what it is to be, and what it was."""

    name: str
    value: str
    old: str = ""
    has_old: bool = False


@dataclass(frozen=True)
class Payload:
    """What a question brings along."""

    description: str
    prints: list[Print]
    changes: list[Row]
    facts: list[Row]
    raw: list[Row]
    rubric: list[tuple[str, float]]


def read(approval: Approval) -> Payload:
    """Make what a question brings along readable."""
    payload = approval.payload or {}
    changes = [item for name in CHANGES for item in _items(name, payload.get(name))]
    described = payload.get("description")
    known = SAID_ELSEWHERE | OF_TASKS | CHANGES
    facts = {name: value for name, value in payload.items() if name not in known}
    return Payload(
        description=described if isinstance(described, str) else "",
        prints=[item for item in changes if isinstance(item, Print)],
        changes=[item for item in changes if isinstance(item, Row)][:MOST_ROWS],
        facts=[Row(_words(name), text(value)) for name, value in facts.items()][:MOST_ROWS],
        raw=_raw(approval),
        rubric=[
            (_words(name), min(100.0, max(0.0, float(score))))
            for name, score in (approval.rubric_scores or {}).items()
            if isinstance(score, int | float)
        ][:MOST_ROWS],
    )


def text(value: object) -> str:
    """Return a value as people read it."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= LONGEST_VALUE else f"{said[:LONGEST_VALUE]}…"


def _items(name: str, value: Any) -> Iterator[Print | Row]:
    """Read changes in the shapes in which agents send them."""
    if isinstance(value, str):
        yield Print("Changes", lines(value)) if _is_diff(value) else Row(_words(name), text(value))
    elif isinstance(value, list):
        for item in value:
            yield from _item(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield _from_to(str(key), item)


def _item(item: Any) -> Iterator[Print | Row]:
    if not isinstance(item, Mapping):
        yield Row("", text(item))
        return
    file = next((str(item[key]) for key in FILES if item.get(key)), "")
    diff = next((item[key] for key in ("diff", "patch") if isinstance(item.get(key), str)), None)
    if diff is not None:
        yield Print(file or "Changes", lines(diff))
        return
    name = next((str(item[key]) for key in ("field", "name", "key") if item.get(key)), file)
    yield _from_to(name, item)


def _from_to(name: str, value: Any) -> Row:
    if isinstance(value, list) and len(value) == 2:
        return Row(_words(name), text(value[1]), text(value[0]), has_old=True)
    if isinstance(value, Mapping):
        old = next((value[key] for key in FROM if key in value), None)
        new = next((key for key in TO if key in value), None)
        if new is not None:
            return Row(_words(name), text(value[new]), text(old), has_old=old is not None)
    return Row(_words(name), text(value))


def _is_diff(value: str) -> bool:
    return bool(HUNK.search(value)) or any(
        line.startswith(("+", "-")) for line in value.splitlines()
    )


def _raw(approval: Approval) -> list[Row]:
    rows = [Row("action_type", approval.action_type), Row("approval", str(approval.id))]
    payload = approval.payload or {}
    return rows + [Row(f"payload.{key}", text(payload[key])) for key in payload][:MOST_ROWS]


def _words(name: str) -> str:
    said = re.sub(r"[_\-.]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip()
    return said[:1].upper() + said[1:] if said else name
