"""What happened to a task, told in a few words beneath it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import Event, EventType, Status
from services.tasks import FieldChange, HistoryEntry
from web import ages

BY_ITSELF = {
    "completed_task_id": "A task that this waits for was done",
    "reopened_task_id": "A task that this waits for was taken up again",
    "deleted_task_id": "A task that this waits for was deleted",
    "restored_task_id": "A task that this waits for was brought back",
}
"""What happens to a task because of another, by the key in the event."""

DEEDS = {
    EventType.TASK_CREATED: "created this",
    EventType.TASK_DELETED: "deleted this",
    EventType.TASK_RESTORED: "brought this back",
    EventType.APPROVAL_REQUESTED: "asked: {question}",
    EventType.APPROVAL_APPROVED: "approved: {question}",
    EventType.APPROVAL_REJECTED: "rejected: {question}",
    EventType.APPROVAL_REOPENED: "reopened: {question}",
    EventType.APPROVAL_ASKED_BACK: "asked back: {question}",
    EventType.APPROVAL_LEAD_NOTIFIED: "was told what was decided",
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: "could not be told what was decided: {error}",
    EventType.TASK_LEAD_NOTIFIED: "was told about this",
    EventType.TASK_LEAD_NOTIFY_FAILED: "could not be told about this: {error}",
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: "was told that nobody has this",
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: "could not be told that nobody has this: {error}",
    EventType.TASK_ASSIGNEE_NOTIFIED: "was told that this is theirs",
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: "could not be told that this is theirs: {error}",
    EventType.TASK_REWORK_NOTIFIED: "was told what is to be changed",
    EventType.TASK_REWORK_NOTIFY_FAILED: "could not be told what is to be changed: {error}",
}


@dataclass(frozen=True)
class Told:
    """An entry of a task's history, and how it is told. A comment tells itself."""

    entry: HistoryEntry
    words: str = ""
    status: str = ""  # into which it moved the task, if it did
    by_itself: bool = False  # nobody did it

    @property
    def id(self) -> str:
        """Under which the entry is found on the page."""
        if self.entry.comment:
            return f"c-{self.entry.comment.id}"
        return f"e-{self.entry.event.id}" if self.entry.event else ""


def told(entry: HistoryEntry) -> Told:
    """Tell an entry of a task's history."""
    event = entry.event
    if event is None:
        return Told(entry)
    because = because_of_another(event)
    moved = _moved(event.data) if event.type is EventType.TASK_STATUS_CHANGED else ""
    if because:
        tail = f", so it went back to {_label(moved)}" if moved else ""
        return Told(entry, because + tail, moved, by_itself=True)
    if event.type in DEEDS:
        facts = {"question": "a question", "answer": "answered"} | event.data
        return Told(entry, DEEDS[event.type].format_map(_Known(facts)))
    deeds = [f"moved this to {_label(moved)}"] if moved else []
    deeds += [_change(change) for change in entry.changes if not (moved and _follows(change))]
    return Told(entry, _joined(deeds) or "looked after this", moved)


def because_of_another(event: Event) -> str:
    """Say what happened to another task that made this happen, "" if it was done by somebody."""
    return next((words for key, words in BY_ITSELF.items() if key in event.data), "")


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return ""


def _moved(data: dict[str, Any]) -> str:
    entered = data.get("entered")
    return entered if entered in set(Status) else ""


def _label(status: str) -> str:
    return Status(status).label


def _follows(change: FieldChange) -> bool:
    """Whether a change comes with every move, and need not be told beside it."""
    return change.field == "assigned_agent_id" and change.new is None


def _change(change: FieldChange) -> str:
    return CHANGES.get(change.field, _something)(change)


def _something(change: FieldChange) -> str:
    name = change.field.rpartition(".")[2]  # of a custom field, its key
    return f"changed the {name.replace('_', ' ')}"


def _assigned(change: FieldChange) -> str:
    return f"gave this to {change.new}" if change.new else f"took this from {change.old}"


def _renamed(change: FieldChange) -> str:
    return f"renamed this from “{change.old}”"


def _due(change: FieldChange) -> str:
    if not change.new:
        return "took the due date away"
    return f"set the due date to {ages.day(datetime.fromisoformat(str(change.new)))}"


def _listed(one: str, many: str) -> Callable[[FieldChange], str]:
    """Tell what came into a list, and what went."""

    def tell(change: FieldChange) -> str:
        old, new = change.old or [], change.new or []
        came = [item for item in new if item not in old]
        went = [item for item in old if item not in new]
        deeds = [one.format(_joined(came))] if came else []
        deeds += [many.format(_joined(went))] if went else []
        return _joined(deeds) or "changed an order"

    return tell


def _joined(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


CHANGES: dict[str, Callable[[FieldChange], str]] = {
    "title": _renamed,
    "description": lambda _: "rewrote the description",
    "priority": lambda change: f"set the priority to {change.new}",
    "due_at": _due,
    "assigned_agent_id": _assigned,
    "tag_ids": _listed("added the tag {}", "took the tag {} off"),
    "depends_on_task_ids": _listed("let this wait for “{}”", "let this no longer wait for “{}”"),
}
"""How a change of a field is told."""
