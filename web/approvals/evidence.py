"""What an approval decides about: the content of its tasks, and the work on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from uuid import UUID

from markupsafe import Markup

from core.db.reads import Source
from services import approval_actions, custom_fields
from services.approval_evidence import (
    MAX_DESCRIPTION_LENGTH,
    AgentComment,
    TaskEvidence,
    load_evidence,
)
from services.approvals import ApprovalDetail, CurrentContent, CurrentContents, LinkedTask
from services.tasks import TaskDetail
from web.agents.presenter import describe_run
from web.approvals.payload import DisplayLimits, PayloadRow
from web.boards.task_links import LinkLabel, label_link
from web.ui.formatted_texts import format_texts, reveal_texts, run_in_page_thread
from web.ui.text_comparison import TextComparison
from web.ui.text_display import format_value
from web.ui.translation import N_, translate
from web.ui.unified_diff import DiffLine

FIELD_LABELS = {"title": N_("Title"), "description": N_("Description")}

MAX_TASKS = 3  # of an approval
MAX_LINES = 200  # of the diff of a description
MAX_LINE_LENGTH = 500  # characters
MAX_DIFF_LENGTH = 20_000  # characters
MAX_ROWS = 20  # other fields that have changed
MAX_VALUE_LENGTH = 500  # characters
FIELD_PREFIX = "custom_field_values."


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
    return keys | {name.removeprefix(approval_actions.FIELD_PREFIX) for name in names}


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
    changes = [
        PayloadRow(_find_label(name, labels), _format(new), _format(old), has_old_value=True)
        for name, old, new in (current.changes if current else ())
    ]
    return TaskContent(
        detail,
        text[: limits.description_length],
        [_cut(row, limits.text_length) for row in rows[: limits.rows]],
        [_cut(row, limits.description_length) for row in changes[: limits.rows]],
        is_cut=len(text) > limits.description_length
        or _is_cut(rows, limits, limits.text_length)
        or _is_cut(changes, limits, limits.description_length),
    )


def _find_label(name: str, labels: Mapping[str, str]) -> str:
    if name in FIELD_LABELS:
        return translate(FIELD_LABELS[name])
    key = name.removeprefix(approval_actions.FIELD_PREFIX)
    return labels.get(key, key)


def _format(value: Any) -> str:
    return "" if value is None else format_value(value)


def _cut(row: PayloadRow, length: int) -> PayloadRow:
    return replace(row, value=row.value[:length], old_value=row.old_value[:length])


def _is_cut(rows: Sequence[PayloadRow], limits: DisplayLimits, length: int) -> bool:
    """Return whether not all of these rows are shown completely."""
    longest = max((len(text) for row in rows for text in (row.value, row.old_value)), default=0)
    return len(rows) > limits.rows or longest > length


@dataclass
class TaskEvidenceView:
    """The evidence about a task. Texts are formatted by `prepare`."""

    task: LinkedTask
    evidence: TaskEvidence
    current_description: str
    changes: Sequence[PayloadRow]
    diff: Sequence[DiffLine] = ()
    is_diff_cut: bool = False
    is_too_long: bool = False  # whether the descriptions were not compared
    _formatted: Mapping[str, Markup] = field(default_factory=dict)
    _revealed: Mapping[str, Markup] = field(default_factory=dict)

    describe_run = staticmethod(describe_run)

    @property
    def links(self) -> list[LinkLabel]:
        """Return the links to code hosts, with the state of their checks."""
        return [label_link(one) for one in self.evidence.links]

    def format_comment(self, comment: AgentComment) -> Markup:
        """Return the HTML of a comment."""
        return self._formatted.get(comment.message, Markup())

    def reveal_lines(self, text: str) -> Markup:
        """Return the HTML of a value."""
        return self._revealed.get(text, Markup())

    async def prepare(self) -> None:
        """Format the texts and compare the descriptions. Call it without a connection."""
        values = [text for row in self.changes for text in (row.value, row.old_value)]
        self._revealed = await reveal_texts(values)
        self._formatted = await format_texts(one.message for one in self.evidence.comments)
        start = self.evidence.description
        if start is None:
            return
        if start.text is None or len(self.current_description) > MAX_DESCRIPTION_LENGTH:
            self.is_too_long = True
            return
        comparison = TextComparison(start.text, self.current_description)
        lines = await run_in_page_thread(comparison.list_diff_lines)
        self.is_too_long = comparison.is_too_long
        shown = _cut_lines(lines)
        self.is_diff_cut = shown != lines
        # The longest diff takes a fifth of a second, so its lines are formatted in a thread.
        revealed = await reveal_texts(line.text for line in shown)
        self.diff = [line._replace(text=revealed.get(line.text, "")) for line in shown]


def _cut_lines(lines: Sequence[DiffLine]) -> list[DiffLine]:
    """Return the first lines, as far as they are not too long together."""
    shown: list[DiffLine] = []
    length = 0
    for line in lines[:MAX_LINES]:
        text = line.text
        if len(text) > MAX_LINE_LENGTH:
            text = f"{text[:MAX_LINE_LENGTH]}…"
        length += len(text)
        if length > MAX_DIFF_LENGTH:
            break
        shown.append(line._replace(text=text))
    return shown


async def load_evidence_views(
    source: Source, detail: ApprovalDetail, descriptions: Mapping[UUID, str]
) -> list[TaskEvidenceView]:
    """Load the evidence about the first tasks of an approval, as far as there is any.

    `descriptions` are the current ones, by task id.
    """
    found = [
        (task, await load_evidence(source, detail.board, task.id))
        for task in detail.tasks[:MAX_TASKS]
    ]
    keys = {
        name.removeprefix(FIELD_PREFIX) for _task, evidence in found for name in evidence.changes
    }
    labels = await custom_fields.load_field_labels(source, detail.board.organization_id, keys)
    return [
        TaskEvidenceView(
            task,
            evidence,
            descriptions.get(task.id, ""),
            [
                PayloadRow(
                    _find_label(name, labels),
                    _format(new)[:MAX_VALUE_LENGTH],
                    _format(old)[:MAX_VALUE_LENGTH],
                    True,
                )
                for name, (old, new) in islice(evidence.changes.items(), MAX_ROWS)
            ],
        )
        for task, evidence in found
        if not evidence.is_empty
    ]
