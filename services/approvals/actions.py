"""The action that an approval allows: its kind, its content, and their hashes. Pure functions.

docs/approvals.md describes the canonical form, so that anybody can compute the hashes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from core.canonical_json import format_canonical_json, hash_json

FIELD_PREFIX = "fields."  # before the key of a custom field in a list of changed fields

TaskContent = Mapping[str, Any]
"""The reviewed content of a task: its title, description, and custom fields that have a value."""


class ActionObject(NamedTuple):
    """A task of an action, with the hash of its content."""

    task_id: UUID
    content_hash: str


class ContentChange(NamedTuple):
    """A field of a task that differs from what was reviewed. The values are JSON."""

    name: str  # `title`, `description`, or `fields.<key>`
    old: Any
    new: Any


def build_task_content(
    title: str, description: str | None, fields: Mapping[str, Any]
) -> TaskContent:
    """Return what is reviewed of a task: what defines its work, not what changes on the way."""
    set_fields = {key: value for key, value in fields.items() if value is not None}
    return {"title": title, "description": description, "fields": set_fields}


def hash_content(content: TaskContent) -> str:
    """Return the hash of the content of a task."""
    return hash_json(content)


def hash_action(
    board_id: UUID,
    kind: str,
    objects: Iterable[ActionObject],
    parameters: Mapping[str, Any] | None,
) -> str:
    """Return the hash of an action. The parameters are the whole payload of the request."""
    tasks = [
        {"task_id": str(one.task_id), "content_hash": one.content_hash} for one in sorted(objects)
    ]
    return hash_json(
        {"board_id": str(board_id), "kind": kind, "objects": tasks, "parameters": parameters}
    )


def list_changed_fields(reviewed: TaskContent, current: TaskContent) -> list[str]:
    """Return the names of the fields that differ: `title`, `description`, `fields.<key>`."""
    return sorted(change.name for change in list_changes(reviewed, current))


def list_changes(reviewed: TaskContent, current: TaskContent) -> list[ContentChange]:
    """Return the fields that differ with both values: the title, the description, other fields."""
    old, new = _flatten(reviewed), _flatten(current)
    return [
        ContentChange(name, old.get(name), new.get(name))
        for name in old | new
        if not _are_equal(old.get(name), new.get(name))
    ]


def _are_equal(old: Any, new: Any) -> bool:
    """Return whether two values have the same hash. Texts are long, and need no formatting."""
    if type(old) is str and type(new) is str:
        return old == new
    return format_canonical_json(old) == format_canonical_json(new)


def _flatten(content: TaskContent) -> dict[str, Any]:
    fields = {f"{FIELD_PREFIX}{key}": value for key, value in content["fields"].items()}
    return {"title": content["title"], "description": content["description"], **fields}
