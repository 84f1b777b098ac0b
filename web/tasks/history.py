"""Texts for the history of a task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import EventType, Status
from services.activity import describe_cause, describe_history
from services.tasks import FieldChange, HistoryEntry
from web.ui import time_format


@dataclass(frozen=True)
class HistoryLine:
    """An entry of a task's history with its text. A comment has no text of its own."""

    entry: HistoryEntry
    text: str = ""
    status: str = ""  # new status of the task, "" if unchanged
    is_automatic: bool = False  # caused by the system, not by an actor

    @property
    def id(self) -> str:
        """Return the element id of the entry."""
        if self.entry.comment:
            return f"c-{self.entry.comment.id}"
        return f"e-{self.entry.event.id}" if self.entry.event else ""


def build_history_line(entry: HistoryEntry) -> HistoryLine:
    """Build the line of a history entry."""
    event = entry.event
    if event is None:
        return HistoryLine(entry)
    cause = describe_cause(event)
    status = _entered_status(event.data) if event.type is EventType.TASK_STATUS_CHANGED else ""
    if cause:
        tail = f", so it went back to {_status_label(status)}" if status else ""
        return HistoryLine(entry, cause + tail, status, is_automatic=True)
    text = describe_history(event)
    if text:
        return HistoryLine(entry, text)
    phrases = [f"moved this to {_status_label(status)}"] if status else []
    phrases += [
        _describe_change(change) for change in entry.changes if not (status and _is_implied(change))
    ]
    return HistoryLine(entry, _join_words(phrases) or "looked after this", status)


def _entered_status(data: dict[str, Any]) -> str:
    entered = data.get("entered")
    return entered if entered in set(Status) else ""


def _status_label(status: str) -> str:
    return Status(status).label


def _is_implied(change: FieldChange) -> bool:
    """Return whether a change accompanies every move and needs no text."""
    return change.field == "assigned_agent_id" and change.new is None


def _describe_change(change: FieldChange) -> str:
    return CHANGE_TEXTS.get(change.field, _describe_other)(change)


def _describe_other(change: FieldChange) -> str:
    name = change.field.rpartition(".")[2]  # the key of a custom field
    return f"changed the {name.replace('_', ' ')}"


def _describe_assignment(change: FieldChange) -> str:
    return f"gave this to {change.new}" if change.new else f"took this from {change.old}"


def _describe_title(change: FieldChange) -> str:
    return f"renamed this from “{change.old}”"


def _describe_due_date(change: FieldChange) -> str:
    if not change.new:
        return "took the due date away"
    return f"set the due date to {time_format.format_day(datetime.fromisoformat(str(change.new)))}"


def _describe_list_change(added_text: str, removed_text: str) -> Callable[[FieldChange], str]:
    """Build a function that describes added and removed items of a list field."""

    def describe(change: FieldChange) -> str:
        old, new = change.old or [], change.new or []
        added = [item for item in new if item not in old]
        removed = [item for item in old if item not in new]
        phrases = [added_text.format(_join_words(added))] if added else []
        phrases += [removed_text.format(_join_words(removed))] if removed else []
        return _join_words(phrases) or "changed an order"

    return describe


def _join_words(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


CHANGE_TEXTS: dict[str, Callable[[FieldChange], str]] = {
    "title": _describe_title,
    "description": lambda _: "rewrote the description",
    "priority": lambda change: f"set the priority to {change.new}",
    "due_at": _describe_due_date,
    "assigned_agent_id": _describe_assignment,
    "tag_ids": _describe_list_change("added the tag {}", "took the tag {} off"),
    "depends_on_task_ids": _describe_list_change(
        "let this wait for “{}”", "let this no longer wait for “{}”"
    ),
}
"""Function that describes a change, by field."""
