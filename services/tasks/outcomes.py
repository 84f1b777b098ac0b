"""What a change does to a task's row: the fields that were sent, and what comes with a status."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.orm.attributes import flag_modified

from models import Agent, Status, Task
from services.tasks.wishes import Kind, Wish

PLAIN = ("title", "description", "priority", "due_at")
TOLD = (*PLAIN, "assigned_agent_id")
LONGEST_TOLD = 500  # characters of a text that an event keeps; the whole text is in the task

WRITTEN = (
    *TOLD,
    *("status", "previous_assignee_id", "in_progress_at", "previous_in_progress_at"),
    *("started_at", "done_at", "updated_at", "version"),
)
"""The columns that a change may write."""

AT_REST = (Status.INBOX, Status.REVIEW)  # where nobody works on a task


def outcome(wish: Wish, at: datetime) -> dict[str, Any]:
    """Return what the task's columns hold after an allowed change. Those left out stay."""
    return {
        **{name: wish.changes[name] for name in PLAIN if name in wish.changes},
        "status": wish.to,
        "assigned_agent_id": _holder(wish),
        "previous_assignee_id": _last_worker(wish),
        **times(wish.task, wish.to, at),
    }


def back_to_inbox(task: Task, at: datetime) -> dict[str, Any]:
    """Return what a task's columns hold once it waits for a task that was taken up again."""
    times_then = times(task, Status.INBOX, at)
    return {"status": Status.INBOX, "assigned_agent_id": None, **times_then}


def times(task: Task, to: Status, at: datetime) -> dict[str, Any]:
    """Return when the task was begun and done, once it is in a status."""
    changed: dict[str, Any] = {}
    if to in AT_REST and task.in_progress_at is not None:
        changed |= {"in_progress_at": None, "previous_in_progress_at": task.in_progress_at}
    if to is task.status:
        return changed
    if to is Status.IN_PROGRESS:
        changed |= {"in_progress_at": at, "started_at": task.started_at or at}
    changed["done_at"] = at if to is Status.DONE else None
    return changed


def apply(task: Task, after: Mapping[str, Any], at: datetime) -> dict[str, object]:
    """Change the row, and return what an event tells of it: `{field: [old, new]}`."""
    told: dict[str, object] = {}
    for name, value in after.items():
        before = getattr(task, name)
        if before == value:
            continue
        if name in TOLD:
            told[name] = [plain(before), plain(value)]
        setattr(task, name, value)
    task.updated_at = at
    task.version += 1
    _write_all_alike(task)
    return told


def _write_all_alike(task: Task) -> None:
    """Let all tasks of a change be written in one statement: each with the same columns."""
    if inspect(task).persistent:
        for name in WRITTEN:
            flag_modified(task, name)


def plain(value: object) -> object:
    """Return a value as JSON can hold it, and an event should: long texts are cut."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and len(value) > LONGEST_TOLD:
        return value[: LONGEST_TOLD - 1] + "…"
    return value


def _holder(wish: Wish) -> UUID | None:
    """Return who has the task after the change: in review the lead, else who was named."""
    if wish.enters(Status.REVIEW) and wish.lead_id is not None:
        return wish.lead_id
    if "assigned_agent_id" in wish.changes:
        return wish.changes["assigned_agent_id"]
    return _moved_to(wish) if wish.asked else wish.task.assigned_agent_id


def _moved_to(wish: Wish) -> UUID | None:
    """Return who has a task that was moved without naming anybody."""
    if wish.to is Status.INBOX:
        return wish.last_worker_id if wish.kind is Kind.LEAD else None
    if wish.enters(Status.REVIEW):
        return None
    if wish.kind is Kind.WORKER and wish.to in (Status.IN_PROGRESS, Status.DONE):
        return wish.actor.id
    return wish.task.assigned_agent_id


def _last_worker(wish: Wish) -> UUID | None:
    """Return to whom the task goes back if the lead rejects it."""
    if not wish.enters(Status.REVIEW):
        return wish.task.previous_assignee_id
    if isinstance(wish.actor, Agent) and wish.kind is Kind.WORKER:
        return wish.actor.id
    held_by = wish.task.assigned_agent_id
    if held_by is None or held_by == wish.lead_id:
        return wish.task.previous_assignee_id
    return held_by
