"""Rules about the assignee of a task: who may get it, and who may take it.

A task has one assignee: an agent or a person. See docs/decisions/assignees.md.
"""

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.text import N_
from models import DesiredState, Status
from services.tasks.change_request import TaskChange


def check_assignee_exists(change: TaskChange) -> None:
    assignee = change.assignee
    exists = assignee is not None and assignee.desired_state is not DesiredState.GONE
    if change.values.get("assigned_agent_id") is not None and not exists:
        raise NotFound("agent_not_found", N_("There is no such agent."), field="assigned_agent_id")
    if change.values.get("assigned_user_id") is None:
        return
    if change.values.get("assigned_agent_id") is not None:
        reason = N_("A task has one assignee: an agent or a person.")
        raise Invalid("two_assignees", reason, field="assigned_user_id")
    if not change.can_user_read:
        reason = N_("There is nobody with this id who can read the board.")
        raise NotFound("user_not_found", reason, field="assigned_user_id")


def check_assignee_is_worker(change: TaskChange) -> None:
    if change.assignee is not None and change.assignee.is_board_lead:
        raise Forbidden(
            "assignee_is_lead",
            "A lead hands tasks to workers, not to a lead.",
            field="assigned_agent_id",
        )


def check_assignee_board(change: TaskChange) -> None:
    if change.assignee is not None and change.assignee.board_id not in (None, change.board.id):
        raise Conflict(
            "assignee_on_other_board",
            N_("This agent works on another board."),
            field="assigned_agent_id",
        )


def check_not_claimed(change: TaskChange) -> None:
    """Reject a worker that starts a task which another agent has in progress."""
    in_progress = change.requested_status is change.task.status is Status.IN_PROGRESS
    if in_progress and change.is_assigned_to_other:
        raise Conflict(
            "task_already_claimed",
            f"{_name_holder(change)} has this task in progress already. Take another one.",
        )


def check_worker_is_assignee(change: TaskChange) -> None:
    if change.requested_status is not None and change.is_assigned_to_other:
        holder = _name_holder(change).lower()
        raise Forbidden(
            "task_assignee_mismatch",
            f"This task is assigned to {holder}. You may comment on it, not move it.",
        )
    if change.requested_status and change.is_claimed_by_gateway_agent:
        reason = "The agent of a gateway takes no task. Ask the board's lead to assign it."
        raise Forbidden("gateway_agent_claims_no_tasks", reason)


def _name_holder(change: TaskChange) -> str:
    return "A person" if change.task.assigned_user_id is not None else "Another agent"
