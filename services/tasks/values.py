"""What may stand in a task's fields: the last line before the database."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.errors import Invalid
from kit.values import Check, moment, optional, text, trimmed, words
from models import Priority, Status

LONGEST_TITLE = 500  # characters
LONGEST_TEXT = 100_000  # characters, of a description or a comment
MOST_IDS = 500  # in one list


@dataclass(frozen=True, kw_only=True)
class TaskDraft:
    """A task to be. Who made it is not asked: that is whoever creates it."""

    title: str
    description: str | None = None
    status: Status | str = Status.INBOX
    priority: str = Priority.MEDIUM
    due_at: datetime | None = None
    assigned_agent_id: UUID | None = None
    depends_on_task_ids: Iterable[UUID] = ()
    tag_ids: Iterable[UUID] = ()
    custom_field_values: Mapping[str, object] = field(default_factory=dict)
    created_by_user_id: UUID | None = None  # of the contract; a draft does not say who made it

    def fields(self) -> dict[str, object]:
        """Return what the task is to be, as a change of a task that is nothing yet."""
        wanted: dict[str, object] = {
            "title": self.title,
            "description": self.description,
            "status": self.status,
            "priority": self.priority,
            "due_at": self.due_at,
            "depends_on_task_ids": self.depends_on_task_ids,
            "tag_ids": self.tag_ids,
            "custom_field_values": self.custom_field_values,
        }
        if self.assigned_agent_id is not None:
            wanted["assigned_agent_id"] = self.assigned_agent_id
        return wanted


def checked(changes: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields that count, each as it may be stored. Raises Invalid with the field.

    What the contract ignores is left out: unknown fields, a blank comment, and null for the
    lists. Null for the custom fields is a change of none of them.
    """
    wanted = {name: check(changes[name]) for name, check in CHECKS.items() if name in changes}
    return {name: value for name, value in wanted.items() if value is not IGNORED}


def checked_comment(message: object) -> str:
    """Return a comment without the blanks around it. Raises Invalid if nothing is left."""
    return str(words(LONGEST_TEXT)(message, "message"))


IGNORED = object()


def _checks(name: str, check: Check) -> Callable[[object], object]:
    return lambda value: check(value, name)


def _comment(value: object) -> object:
    return optional(trimmed(LONGEST_TEXT))(value, "comment") or IGNORED


def _status(value: object) -> Status:
    if isinstance(value, str) and value in set(Status):
        return Status(value)
    names = ", ".join(Status)
    raise Invalid("unknown_status", f"The status is one of: {names}.", field="status")


def _priority(value: object) -> str:
    if isinstance(value, str) and value in set(Priority):
        return Priority(value).value
    names = ", ".join(Priority)
    raise Invalid("unknown_priority", f"The priority is one of: {names}.", field="priority")


def _id(name: str, value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(str(value))
    except ValueError:
        raise Invalid("id_required", f"An id in {name} is no UUID.", field=name) from None


def _assignee(value: object) -> UUID | None:
    return None if value is None else _id("assigned_agent_id", value)


def _ids(name: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if value is None:
            return IGNORED
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise Invalid("list_required", f"{name} is a list of ids.", field=name)
        ids = list(dict.fromkeys(_id(name, one) for one in value))
        if len(ids) > MOST_IDS:
            raise Invalid("too_many", f"{name} holds {MOST_IDS} ids at most.", field=name)
        return ids

    return check


def _custom_fields(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        name = "custom_field_values"
        raise Invalid("object_required", f"{name} holds a value for each key.", field=name)
    return dict(value)


CHECKS: Mapping[str, Callable[[object], object]] = {
    "title": _checks("title", words(LONGEST_TITLE)),
    "description": _checks("description", optional(text(LONGEST_TEXT))),
    "status": _status,
    "priority": _priority,
    "due_at": _checks("due_at", optional(moment)),
    "assigned_agent_id": _assignee,
    "depends_on_task_ids": _ids("depends_on_task_ids"),
    "tag_ids": _ids("tag_ids"),
    "custom_field_values": _custom_fields,
    "comment": _comment,
}
"""The fields of a task that somebody may write, and what each takes."""
