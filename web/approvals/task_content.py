"""The content of the tasks of approvals, and how it differs from what was reviewed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.approval_actions import FIELD_PREFIX
from services.approvals import CurrentContent, CurrentContents
from services.tasks import TaskDetail
from web.approvals.payload import DisplayLimits, PayloadRow, format_value
from web.ui.translation import N_, translate

FIELD_LABELS = {"title": N_("Title"), "description": N_("Description")}


@dataclass(frozen=True)
class TaskContent:
    """The content of a task that an approval is about, as far as the page formats it.

    `changes` are the differences to what was requested, or to what a person has approved since.
    """

    detail: TaskDetail
    description: str
    fields: list[PayloadRow]
    changes: list[PayloadRow]
    is_cut: bool


def list_field_keys(details: Iterable[TaskDetail], contents: CurrentContents) -> set[str]:
    """Return the keys of the custom fields that tasks have, or that have changed."""
    keys = {key for detail in details for key in detail.custom_field_values}
    names = {name for links in contents.values() for one in links for name in one.changed_fields}
    return keys | {name.removeprefix(FIELD_PREFIX) for name in names}


def build_task_content(
    detail: TaskDetail,
    current: CurrentContent | None,
    limits: DisplayLimits,
    labels: Mapping[str, str],
) -> TaskContent:
    """Format the content of a task. `current` has the reviewed content, if it is stored.

    A field of the organization has one of the `labels`, which are by key; a deleted one its key.
    """
    text = detail.task.description or ""
    values = detail.custom_field_values.items()
    rows = [
        PayloadRow(labels.get(key, key), format_value(value))
        for key, value in values
        if value is not None
    ]
    changes = _list_changes(current, labels) if current else []
    return TaskContent(
        detail,
        text[: limits.description_length],
        [_cut(row, limits.text_length) for row in rows[: limits.rows]],
        [_cut(row, limits.description_length) for row in changes[: limits.rows]],
        is_cut=len(text) > limits.description_length
        or _is_cut(rows, limits, limits.text_length)
        or _is_cut(changes, limits, limits.description_length),
    )


def _list_changes(current: CurrentContent, labels: Mapping[str, str]) -> list[PayloadRow]:
    return [
        PayloadRow(
            _find_label(name, labels),
            _format(new),
            _format(old),
            has_old_value=True,
        )
        for name, old, new in current.changes
    ]


def _find_label(name: str, labels: Mapping[str, str]) -> str:
    if name in FIELD_LABELS:
        return translate(FIELD_LABELS[name])
    key = name.removeprefix(FIELD_PREFIX)
    return labels.get(key, key)


def _format(value: Any) -> str:
    return "" if value is None else format_value(value)


def _cut(row: PayloadRow, length: int) -> PayloadRow:
    return replace(row, value=row.value[:length], old_value=row.old_value[:length])


def _is_cut(rows: Sequence[PayloadRow], limits: DisplayLimits, length: int) -> bool:
    """Return whether not all of these rows are shown completely."""
    longest = max((len(text) for row in rows for text in (row.value, row.old_value)), default=0)
    return len(rows) > limits.rows or longest > length
