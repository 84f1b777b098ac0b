"""The effects of changes and status transitions on the columns of a task."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from core.db.reads import set_loaded_values
from models import Agent, Status, Task, rank_at
from services.tasks.change_request import ASSIGNMENT_FIELDS, ActorRole, TaskChange

PLAIN_FIELDS = ("title", "description", "priority", "due_at")
RECORDED_FIELDS = (*PLAIN_FIELDS, *ASSIGNMENT_FIELDS)
NO_CLAIM: Mapping[str, Any] = {"claimed_run": None, "claimed_run_at": None}
MAX_RECORDED_LENGTH = 500  # characters of a text in an event; the task has the whole text


def new_column_values(change: TaskChange, at: datetime) -> dict[str, Any]:
    """Return the new column values of a task for an allowed change.

    It has an agent or a person, never both. Moves do not take a task from a person. See
    docs/decisions/assignees.md.
    """
    user_id = change.values.get("assigned_user_id", change.task.assigned_user_id)
    if change.values.get("assigned_agent_id") is not None:
        user_id = None
    agent_id = _new_agent_id(change) if user_id is None else None
    return {
        **{name: change.values[name] for name in PLAIN_FIELDS if name in change.values},
        "status": change.new_status,
        "assigned_agent_id": agent_id,
        "assigned_user_id": user_id,
        "previous_assignee_id": _new_previous_assignee_id(change),
        **entry_values(change.task, change.new_status, at),
        **_claim_values(change, agent_id, at),
    }


def _claim_values(change: TaskChange, agent_id: UUID | None, at: datetime) -> Mapping[str, Any]:
    """Return the run that has the task: it ends when the task is moved, or given to another one."""
    is_own = change.new_status is Status.IN_PROGRESS and agent_id == change.actor_id
    if is_own and "run_id" in change.values:
        return {"claimed_run": change.values["run_id"], "claimed_run_at": at}
    if agent_id != change.task.assigned_agent_id:
        return NO_CLAIM
    return {}


def entry_values(task: Task, new_status: Status, at: datetime) -> dict[str, Any]:
    """Return the values that change when a task enters a status: when it starts and ends, its rank.

    It becomes the first of its column.
    """
    changed: dict[str, Any] = {}
    is_idle = new_status in (Status.INBOX, Status.REVIEW)  # no agent works on the task
    if is_idle and task.in_progress_at is not None:
        changed |= {"in_progress_at": None, "previous_in_progress_at": task.in_progress_at}
    if new_status is task.status:
        return changed
    changed |= {"rank": rank_at(at), **NO_CLAIM}
    if new_status is Status.IN_PROGRESS:
        changed |= {"in_progress_at": at, "started_at": task.started_at or at}
    changed["done_at"] = at if new_status is Status.DONE else None
    return changed


def apply_column_values(
    task: Task, new_values: Mapping[str, Any], at: datetime
) -> dict[str, object]:
    """Change the task and return the changes for its event: `{field: [old, new]}`.

    The caller stores the task.
    """
    recorded: dict[str, object] = {}
    changed: dict[str, object] = {"updated_at": at, "version": task.version + 1}
    for name, value in new_values.items():
        old_value = getattr(task, name)
        if old_value == value:
            continue
        if name in RECORDED_FIELDS:
            recorded[name] = [event_value(old_value), event_value(value)]
        changed[name] = value
    set_loaded_values(task, **changed)
    return recorded


def event_value(value: object) -> object:
    """Convert a value to JSON for an event; long texts are truncated."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and len(value) > MAX_RECORDED_LENGTH:
        return value[: MAX_RECORDED_LENGTH - 1] + "…"
    return value


def _new_agent_id(change: TaskChange) -> UUID | None:
    """Return the agent after the change: the lead in review, else the one that was sent."""
    if change.enters(Status.REVIEW) and change.lead_id is not None:
        return change.lead_id
    if "assigned_agent_id" in change.values:
        return change.values["assigned_agent_id"]
    if change.requested_status is None:
        return change.task.assigned_agent_id
    # A move for which no agent was sent.
    if change.new_status is Status.INBOX:
        return change.last_worker_id if change.role is ActorRole.LEAD else None
    if change.enters(Status.REVIEW):
        return None
    takes = change.new_status is Status.IN_PROGRESS or change.enters(Status.DONE)
    if change.role is ActorRole.WORKER and takes:
        return change.actor_id
    return change.task.assigned_agent_id


def _new_previous_assignee_id(change: TaskChange) -> UUID | None:
    """Return the worker who gets the task back if the lead rejects it."""
    if not change.enters(Status.REVIEW):
        return change.task.previous_assignee_id
    if isinstance(change.actor, Agent) and change.role is ActorRole.WORKER:
        return change.actor.id
    assignee_id = change.task.assigned_agent_id
    if assignee_id is None or assignee_id == change.lead_id:
        return change.task.previous_assignee_id
    return assignee_id
