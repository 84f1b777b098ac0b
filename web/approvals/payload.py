"""Payloads of approvals as diffs and rows, with notes about what is not shown."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from models import Approval
from services import approvals
from services.approvals import ApprovalDetail
from web.ui.locale_format import format_number
from web.ui.text_display import format_score, format_value
from web.ui.translation import N_, _, ngettext
from web.ui.unified_diff import DiffFile, is_diff, parse_diff

CHANGE_KEYS = ("diff", "patch", "changes")
OLD_VALUE_KEYS = ("from", "old", "before")
NEW_VALUE_KEYS = ("to", "new", "after")
FILE_KEYS = ("file", "path", "filename")
NAME_KEYS = ("field", "name", "key")
DIFF_KEYS = ("diff", "patch")

CUT_LINES = N_("Showing %(limit)s of %(count)s lines.")
CUT_VALUES = N_("Showing %(limit)s of %(count)s values.")
CUT_SCORES = N_("Showing %(limit)s of %(count)s scores.")


@dataclass(frozen=True)
class DisplayLimits:
    """How much of a request a page formats."""

    lines: int  # of diffs
    rows: int
    text_length: int  # characters of a value
    description_length: int  # characters of the description of a task


BRIEF = DisplayLimits(lines=500, rows=100, text_length=2_000, description_length=10_000)
COMPLETE = DisplayLimits(5_000, 1_000, text_length=1_000_000, description_length=1_000_000)


@dataclass(frozen=True)
class PayloadRow:
    """A named value, and its previous value."""

    name: str
    value: str
    old_value: str = ""
    has_old_value: bool = False


@dataclass(frozen=True)
class ApprovalPayload:
    """The payload of an approval, prepared for the page.

    `text` is the complete request; `notes` say what the other attributes do not contain.
    """

    title: str  # in the requester's words
    description: str
    text: str
    diffs: list[DiffFile]
    changes: list[PayloadRow]
    fields: list[PayloadRow]
    scores: list[tuple[str, float | None, str]]
    notes: list[str]


def parse_payload(detail: ApprovalDetail, limits: DisplayLimits = BRIEF) -> ApprovalPayload:
    """Prepare the payload of an approval for the page."""
    payload, reader = detail.approval.payload or {}, _PayloadReader(limits)
    for name in CHANGE_KEYS:
        if name in payload:
            reader.read_changes(name, payload[name])
    for name, value in payload.items():
        if not _is_shown_elsewhere(detail, name, value):
            reader.add_row(reader.fields, name, value)
    scores = detail.approval.rubric_scores or {}
    described = payload.get("description")
    return ApprovalPayload(
        title=detail.agent_text or "",
        description=described if isinstance(described, str) else "",
        text=format_request(detail.approval),
        diffs=reader.diffs,
        changes=reader.changes,
        fields=reader.fields,
        scores=[reader.read_score(*item) for item in islice(scores.items(), limits.rows)],
        notes=[*reader.describe_rest(), *_describe_cut(CUT_SCORES, limits.rows, len(scores))],
    )


def format_request(approval: Approval) -> str:
    """Return everything that was requested as text, with one line for each value.

    Strings with line breaks are written as JSON, so that a value cannot look like several.
    """
    parts: dict[str, Any] = {
        "action_type": approval.action_type,
        "approval": str(approval.id),
        "confidence": approval.confidence,
    }
    parts |= {f"payload.{name}": value for name, value in (approval.payload or {}).items()}
    if approval.rubric_scores is not None:
        parts["rubric_scores"] = approval.rubric_scores
    return "\n".join(
        f"{_format_line(name)}: {_format_line(value)}" for name, value in parts.items()
    )


def _format_line(value: object) -> str:
    text = format_value(value)
    return json.dumps(value, ensure_ascii=False) if "\n" in text or "\r" in text else text


class _PayloadReader:
    """Formats what fits into the limits, and counts the rest."""

    def __init__(self, limits: DisplayLimits) -> None:
        self.limits = limits
        self.diffs: list[DiffFile] = []
        self.changes: list[PayloadRow] = []
        self.fields: list[PayloadRow] = []
        self._lines = self._rows = self._cut_texts = 0

    def read_changes(self, name: str, value: Any) -> None:
        """Read changes in the formats that agents use."""
        if isinstance(value, str) and is_diff(value):
            self._add_diff("", value)
        elif isinstance(value, list):
            for item in value:
                self._read_change(item)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self._read_named_change(str(key), item)
        else:
            self.add_row(self.changes, name, value)

    def _read_change(self, item: Any) -> None:
        if not isinstance(item, Mapping):
            self.add_row(self.changes, "", item)
            return
        file_key = _find_key(item, FILE_KEYS)
        diff_key = next((key for key in DIFF_KEYS if isinstance(item.get(key), str)), None)
        if diff_key is None:
            name_key = _find_key(item, NAME_KEYS) or file_key
            name = str(item[name_key]) if name_key else ""
            self._read_named_change(name, {k: v for k, v in item.items() if k != name_key})
            return
        file = str(item[file_key]) if file_key else ""
        self._add_diff(file, item[diff_key])
        for key in [key for key in item if key not in (file_key, diff_key)]:
            self.add_row(self.changes, f"{file} {key}", item[key])

    def _read_named_change(self, name: str, value: Any) -> None:
        """Read the change of a value: [old, new] or a mapping with both."""
        if isinstance(value, list) and len(value) == 2:
            self.add_row(self.changes, name, value[1], value[0], has_old_value=True)
            return
        new_key = _find_key(value, NEW_VALUE_KEYS, blank=True)
        if new_key is None:
            self.add_row(self.changes, name, value)
            return
        old_key = _find_key(value, OLD_VALUE_KEYS, blank=True)
        old = value[old_key] if old_key else None
        self.add_row(self.changes, name, value[new_key], old, has_old_value=bool(old_key))
        for key in [key for key in value if key not in (new_key, old_key)]:
            self.add_row(self.changes, f"{name} {key}", value[key])

    def add_row(
        self,
        rows: list[PayloadRow],
        name: str,
        value: Any,
        old: Any = None,
        *,
        has_old_value: bool = False,
    ) -> None:
        """Add a row if there is still room for one."""
        self._rows += 1
        if self._rows > self.limits.rows:
            return
        texts = [self._cut(text) for text in (_label(name), format_value(value), format_value(old))]
        rows.append(PayloadRow(*texts, has_old_value=has_old_value))

    def _add_diff(self, file: str, diff: str) -> None:
        """Add the diff of a file. If the diff names another file, both names are shown."""
        room = self.limits.lines - self._lines
        count = diff.count("\n") + (not diff.endswith("\n"))
        self._lines += count
        if room <= 0:
            return
        shown = diff if count <= room else "\n".join(diff.split("\n", room)[:room])
        for part in parse_diff(shown, file or _("Changes")):
            if file and part.name != file:
                part.name = f"{file}: {part.name}"
            part.lines = [line._replace(text=self._cut(line.text)) for line in part.lines]
            self.diffs.append(part)

    def read_score(self, name: str, score: object) -> tuple[str, float | None, str]:
        """Return the label, the number for the meter, and the text of a score."""
        if isinstance(score, int | float) and not isinstance(score, bool):
            return self._cut(_label(name)), min(100.0, max(0.0, float(score))), format_score(score)
        return self._cut(_label(name)), None, self._cut(format_value(score))

    def _cut(self, text: str) -> str:
        if len(text) <= self.limits.text_length:
            return text
        self._cut_texts += 1
        return f"{text[: self.limits.text_length]}…"

    def describe_rest(self) -> list[str]:
        """Return notes about what was left out."""
        notes = _describe_cut(CUT_LINES, self.limits.lines, self._lines)
        notes += _describe_cut(CUT_VALUES, self.limits.rows, self._rows)
        if self._cut_texts:
            length = format_number(self.limits.text_length)
            count = format_number(self._cut_texts)
            notes.append(
                ngettext(
                    "Showing the first %(length)s characters of %(count)s longer text.",
                    "Showing the first %(length)s characters of %(count)s longer texts.",
                    self._cut_texts,
                    length=length,
                    count=count,
                )
            )
        return notes


def _describe_cut(note: str, limit: int, count: int) -> list[str]:
    values = {"limit": format_number(limit), "count": format_number(count)}
    return [_(note, **values)] if count > limit else []


def _is_shown_elsewhere(detail: ApprovalDetail, name: str, value: Any) -> bool:
    """Return whether the page shows a value of the payload outside of its rows."""
    if name in approvals.TITLE_KEYS:
        return isinstance(value, str) and value.strip() == (detail.agent_text or "")
    if name == "reason":
        return isinstance(value, str) and value.strip() in ("", detail.reason)
    if name == "decision":
        return isinstance(value, Mapping) and value == {"reason": detail.reason}
    if name == "description":
        return isinstance(value, str)
    if name in (*approvals.TASK_KEYS, *approvals.TASK_LIST_KEYS):
        ids = value if isinstance(value, list) else [value]
        return {str(id).lower() for id in ids} <= {str(task.id) for task in detail.tasks}
    return name in CHANGE_KEYS


def _find_key(value: Any, keys: tuple[str, ...], *, blank: bool = False) -> str | None:
    """Return the first of these keys that a mapping has, with a value unless `blank`."""
    if not isinstance(value, Mapping):
        return None
    return next((key for key in keys if key in value and (blank or value[key])), None)


def _label(name: str) -> str:
    words = re.sub(r"[_\-.]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip()
    return words[:1].upper() + words[1:] if words else name
