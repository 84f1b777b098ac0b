"""Payloads of approvals as rows and diffs."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from core.http.request import Session
from models import Approval
from services import tasks
from services.approvals import ApprovalDetail
from services.tasks import TaskDetail
from web.ui.unified_diff import DiffFile, is_diff, parse_diff

SHOWN_ELSEWHERE = {"reason", "title", "question", "summary", "decision", "description"}
TASK_ID_KEYS = {"task_id", "taskId", "taskID", "task_ids", "taskIds", "taskIDs"}
CHANGE_KEYS = {"diff", "patch", "changes"}
MAX_ROWS = 100
MAX_VALUE_LENGTH = 2_000  # characters of a value in a row
OLD_VALUE_KEYS = ("from", "old", "before")
NEW_VALUE_KEYS = ("to", "new", "after")
FILE_KEYS = ("file", "path", "filename")


@dataclass(frozen=True)
class PayloadRow:
    """A named value, and its previous value."""

    name: str
    value: str
    old_value: str = ""
    has_old_value: bool = False


@dataclass(frozen=True)
class ApprovalPayload:
    """The payload of an approval, prepared for the page."""

    description: str
    diffs: list[DiffFile]
    changes: list[PayloadRow]
    fields: list[PayloadRow]
    raw: list[PayloadRow]
    rubric: list[tuple[str, float]]


def parse_payload(approval: Approval) -> ApprovalPayload:
    """Prepare the payload of an approval for the page."""
    payload = approval.payload or {}
    changes = [item for name in CHANGE_KEYS for item in _parse_changes(name, payload.get(name))]
    described = payload.get("description")
    known = SHOWN_ELSEWHERE | TASK_ID_KEYS | CHANGE_KEYS
    facts = {name: value for name, value in payload.items() if name not in known}
    return ApprovalPayload(
        description=described if isinstance(described, str) else "",
        diffs=[item for item in changes if isinstance(item, DiffFile)],
        changes=[item for item in changes if isinstance(item, PayloadRow)][:MAX_ROWS],
        fields=[PayloadRow(_label(name), format_value(value)) for name, value in facts.items()][
            :MAX_ROWS
        ],
        raw=_raw_rows(approval),
        rubric=[
            (_label(name), min(100.0, max(0.0, float(score))))
            for name, score in (approval.rubric_scores or {}).items()
            if isinstance(score, int | float)
        ][:MAX_ROWS],
    )


def format_value(value: object) -> str:
    """Format a value as text."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= MAX_VALUE_LENGTH else f"{said[:MAX_VALUE_LENGTH]}…"


def _parse_changes(name: str, value: Any) -> Iterator[DiffFile | PayloadRow]:
    """Parse changes in the formats that agents use."""
    if isinstance(value, str) and is_diff(value):
        yield from parse_diff(value, "Changes")
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_parse_change, value))
    elif isinstance(value, Mapping):
        yield from (_parse_row(str(key), item) for key, item in value.items())
    elif value is not None:
        yield PayloadRow(_label(name), format_value(value))


def _parse_change(item: Any) -> Iterator[DiffFile | PayloadRow]:
    if not isinstance(item, Mapping):
        yield PayloadRow("", format_value(item))
        return
    file = next((str(item[key]) for key in FILE_KEYS if item.get(key)), "")
    diff = next((item[key] for key in ("diff", "patch") if isinstance(item.get(key), str)), None)
    if diff is not None:
        yield from _parse_file_diff(file, diff)
        return
    name = next((str(item[key]) for key in ("field", "name", "key") if item.get(key)), file)
    yield _parse_row(name, item)


def _parse_row(name: str, value: Any) -> PayloadRow:
    if isinstance(value, list) and len(value) == 2:
        return PayloadRow(
            _label(name), format_value(value[1]), format_value(value[0]), has_old_value=True
        )
    if isinstance(value, Mapping):
        old = next((value[key] for key in OLD_VALUE_KEYS if key in value), None)
        new = next((key for key in NEW_VALUE_KEYS if key in value), None)
        if new is not None:
            return PayloadRow(
                _label(name),
                format_value(value[new]),
                format_value(old),
                has_old_value=old is not None,
            )
    return PayloadRow(_label(name), format_value(value))


def _parse_file_diff(file: str, diff: str) -> Iterator[DiffFile]:
    """Parse the diff of a file. If the diff names another file, both names are shown."""
    for part in parse_diff(diff, file or "Changes"):
        if file and part.name != file:
            part.name = f"{file}: {part.name}"
        yield part


def _raw_rows(approval: Approval) -> list[PayloadRow]:
    rows = [
        PayloadRow("action_type", approval.action_type),
        PayloadRow("approval", str(approval.id)),
    ]
    payload = approval.payload or {}
    return (
        rows
        + [PayloadRow(f"payload.{key}", format_value(payload[key])) for key in payload][:MAX_ROWS]
    )


def _label(name: str) -> str:
    said = re.sub(r"[_\-.]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip()
    return said[:1].upper() + said[1:] if said else name


@dataclass(frozen=True)
class ApprovalView:
    """An approval in full: its payload, blocked tasks, and whether the member may decide."""

    detail: ApprovalDetail
    payload: ApprovalPayload
    tasks: list[TaskDetail]
    can_write: bool

    @property
    def id(self) -> UUID:
        """Return the id of the approval."""
        return self.detail.approval.id


MAX_TASKS = 5  # tasks whose blocked tasks are listed


async def load_approval_view(
    session: Session, detail: ApprovalDetail, writable: set[UUID]
) -> ApprovalView:
    ids = [task.id for task in detail.tasks[:MAX_TASKS]]
    found = await tasks.load_task_details(session, detail.board, ids)
    about = [found[id] for id in ids if id in found]
    return ApprovalView(detail, parse_payload(detail.approval), about, detail.board.id in writable)
