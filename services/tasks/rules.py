"""The rules for changing and creating tasks: who may do what.

Each rule is a pure function of a TaskChange. The tuples at the end list the rules for each role
in the order of the original; the first violated rule determines the error.
"""

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.text import N_
from models import Actor, Agent, Board, DesiredState, Status
from services import custom_fields
from services.tasks.change_request import (
    ASSIGNMENT_FIELDS,
    CLAIM_FIELDS,
    ActorRole,
    Rule,
    TaskChange,
)
from services.tasks.done_approvals import approval_required


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
            "A lead can assign tasks only to workers.",
            field="assigned_agent_id",
        )


def check_assignee_board(change: TaskChange) -> None:
    agent, board = change.assignee, change.board
    if agent is None or agent.board_id == board.id:
        return
    may_see_board = agent.board_id is None and agent.gateway_id == board.gateway_id is not None
    if not may_see_board:
        raise Conflict(
            "assignee_on_other_board",
            N_("This agent works on another board."),
            field="assigned_agent_id",
        )


def check_expected_status(change: TaskChange) -> None:
    expected = change.values.get("expected_status", change.task.status)
    if expected != change.task.status:
        raise Conflict(
            "status_changed",
            "This task does not have the expected status.",
            status=change.task.status.value,
            sent_as="object_with_code",
        )


def check_run(change: TaskChange) -> None:
    """Reject a run of an agent if another one has the task, or another one than it expects.

    It names the other one if it takes the task from it, as after a crash. A run that has not named
    itself for RUN_SILENCE does not keep a task.
    """
    task, values = change.task, change.values
    has_task = task.status is Status.IN_PROGRESS and task.assigned_agent_id == change.actor_id
    holder = task.claimed_run if has_task else None
    is_other = holder != values.get("run_id", holder) and holder is not None
    is_expected = values.get("expected_run_id", holder) == holder
    may_take = "expected_run_id" in values or change.is_run_silent
    if not is_expected or (is_other and not may_take):
        raise Conflict(
            "claimed_by_other_run",
            "Another run has this task. If that run has ended, name it as expected_run_id.",
            run_id=holder,
            sent_as="object_with_code",
        )


def check_sends_no_run(change: TaskChange) -> None:
    if change.values.keys() & {"run_id", "expected_run_id"}:
        raise Forbidden(
            "task_update_field_forbidden",
            "Only a worker has a task for a run.",
            sent_as="object_with_code",
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
            f"This task is assigned to {holder}. You may comment on it, but not move it.",
            sent_as="object_with_code",
        )
    if change.requested_status and change.is_claimed_by_gateway_agent:
        reason = "The agent of a gateway cannot take tasks. Ask the board's lead to assign it."
        raise Forbidden("gateway_agent_claims_no_tasks", reason)


def _name_holder(change: TaskChange) -> str:
    return "A person" if change.task.assigned_user_id is not None else "Another agent"


WORKER_FIELDS = {"comment", "custom_field_values", "status", *CLAIM_FIELDS}
LEAD_FIELDS = {
    *ASSIGNMENT_FIELDS,
    "custom_field_values",
    "depends_on_task_ids",
    "expected_status",
    "status",
    "tag_ids",
}


def check_change(change: TaskChange) -> None:
    """Raise the AppError of the first rule that a change violates."""
    for rule in CHANGE_RULES[change.role]:
        rule(change)


def check_creation(change: TaskChange) -> None:
    """Raise the AppError of the first rule that a new task violates."""
    for rule in CREATION_RULES[change.role]:
        rule(change)


def check_may_create_and_delete(actor: Actor | None, board: Board) -> None:
    """Raise Forbidden unless the actor is a user or the board's lead."""
    if isinstance(actor, Agent) and not (actor.is_board_lead and actor.board_id == board.id):
        raise Forbidden(
            "lead_required", "Of the agents, only the lead can create and delete tasks."
        )


def check_no_self_dependency(change: TaskChange) -> None:
    if change.task.id in change.values.get("depends_on_task_ids", ()):
        raise Invalid(
            "dependency_on_itself",
            N_("A task cannot depend on itself."),
            field="depends_on_task_ids",
            sent_as="text",
        )


def check_dependencies_changeable(change: TaskChange) -> None:
    if "depends_on_task_ids" in change.values and change.task.status is Status.DONE:
        raise Conflict(
            "dependencies_of_done_task",
            N_("This task is done, so its dependencies cannot change. Reopen it first."),
            field="depends_on_task_ids",
        )


def check_dependencies_exist(change: TaskChange) -> None:
    if change.missing_task_ids:
        raise NotFound(
            "dependency_not_found",
            N_("Some of the dependencies are not on this board."),
            field="depends_on_task_ids",
            missing_task_ids=[str(id) for id in change.missing_task_ids],
            sent_as="object",
        )


def check_no_dependency_cycle(change: TaskChange) -> None:
    if change.creates_cycle:
        raise Conflict(
            "dependency_cycle",
            N_("These tasks would depend on each other in a circle."),
            field="depends_on_task_ids",
        )


def check_tags_exist(change: TaskChange) -> None:
    if change.missing_tag_ids:
        raise NotFound(
            "tag_not_found",
            N_("Some of the tags do not exist."),
            field="tag_ids",
            missing_tag_ids=[str(id) for id in change.missing_tag_ids],
            sent_as="object",
        )


def check_not_blocked_for_user(change: TaskChange) -> None:
    """Stop users from moving a blocked task out of the inbox or assigning it unless it is done."""
    moves = change.new_status is not change.task.status and change.new_status is not Status.INBOX
    stays_done = change.new_status is change.task.status is Status.DONE
    if moves or (change.is_assigning and not stays_done):
        _check_not_blocked(change)


def check_not_blocked_for_worker(change: TaskChange) -> None:
    """Stop workers from sending a status other than inbox for a blocked task."""
    if change.requested_status not in (None, Status.INBOX):
        _check_not_blocked(change)


def check_not_blocked_for_lead(change: TaskChange) -> None:
    """Stop leads from sending a status or an assignee for a blocked task."""
    if change.values.keys() & {"status", "assigned_agent_id"}:
        _check_not_blocked(change)


def check_not_blocked_at_creation(change: TaskChange) -> None:
    if change.new_status is not Status.INBOX or change.is_assigning:
        _check_not_blocked(change)


def _check_not_blocked(change: TaskChange) -> None:
    if change.open_dependency_ids:
        raise Conflict(
            "task_blocked_cannot_transition",
            N_(
                "It depends on tasks that are not done. Until then it stays in the inbox,"
                " unassigned."
            ),
            blocked_by_task_ids=[str(id) for id in change.open_dependency_ids],
            sent_as="object_with_code",
        )


def check_worker_board(change: TaskChange) -> None:
    assert isinstance(change.actor, Agent)
    if change.actor.board_id not in (None, change.board.id):
        raise Forbidden(
            "task_board_mismatch",
            "This task is not on your board.",
            sent_as="object_with_code",
        )


def check_worker_fields(change: TaskChange) -> None:
    others = change.values.keys() - WORKER_FIELDS
    if others:
        raise Forbidden(
            "task_update_field_forbidden",
            f"Agents can change {_join_names(WORKER_FIELDS)} of a task, but not"
            f" {_join_names(others)}.",
            sent_as="object_with_code",
        )


def check_worker_may_move(change: TaskChange) -> None:
    if change.requested_status is not None and change.board.only_lead_can_change_status:
        raise Forbidden(
            "only_lead_can_change_status", "On this board only people and the lead can move tasks."
        )


def check_lead_sends_no_comment(change: TaskChange) -> None:
    if "comment" in change.values:
        raise Forbidden(
            "lead_comment_in_update",
            "A lead cannot comment in an update: create a comment of the task instead.",
        )


def check_lead_fields(change: TaskChange) -> None:
    others = change.values.keys() - LEAD_FIELDS
    if others:
        raise Forbidden(
            "task_update_field_forbidden",
            f"A lead can change {_join_names(LEAD_FIELDS)} of a task, but not"
            f" {_join_names(others)}.",
            sent_as="object_with_code",
        )


def check_lead_transition(change: TaskChange) -> None:
    """Let a lead only accept or reject a task in review, or start a task that it assigns."""
    if change.requested_status is None:
        return
    old, new = change.task.status, change.requested_status
    starts = old is Status.INBOX and new is Status.IN_PROGRESS and change.assignee is not None
    decides = old is Status.REVIEW and new in (Status.DONE, Status.INBOX)
    if not (starts or decides):
        raise Forbidden(
            "lead_move_forbidden",
            "A lead can move tasks only from review to done or to the inbox, or start one by"
            " assigning it with the status in_progress.",
        )


def check_custom_field_values(change: TaskChange) -> None:
    if "custom_field_values" in change.values:
        custom_fields.check_values(change.bound_fields, change.values["custom_field_values"])


def check_no_pending_approval(change: TaskChange) -> None:
    is_blocking = change.board.block_status_changes_with_pending_approval
    if is_blocking and change.approval_pending and change.new_status is not change.task.status:
        raise Conflict(
            "approval_pending",
            N_(
                "An approval of this task is pending. Until it is decided, the task stays where"
                " it is."
            ),
            blocked_by_task_ids=[],
            sent_as="object",
        )


def require_review_before_done(change: TaskChange) -> None:
    skipped = change.enters(Status.DONE) and change.task.status is not Status.REVIEW
    if change.board.require_review_before_done and skipped:
        raise Conflict(
            "review_required",
            N_("On this board a task is reviewed before it is done. Move it to Review first."),
            blocked_by_task_ids=[],
            sent_as="object",
        )


def require_approval_for_done(change: TaskChange) -> None:
    if change.needs_approval and change.done_permission.approval is None:
        raise approval_required(change)


def require_review_comment(change: TaskChange) -> None:
    if change.needs_comment and not change.has_assignee_comment:
        raise Invalid(
            "comment_required",
            N_("On this board a task is moved to Review with a comment about what was done."),
            field="comment",
            sent_as="text",
        )


def check_policy_tags(change: TaskChange) -> None:
    """Stop who may not decide from changing tags that decide how a policy treats requests."""
    changed = {*change.current_tag_ids} ^ {*change.values.get("tag_ids", change.current_tag_ids)}
    if changed.isdisjoint(change.policy_tag_ids):
        return
    if isinstance(change.actor, Agent):
        raise Forbidden(
            "tag_used_by_policy",
            "An approval policy uses one of these tags, so only people can add or remove it.",
        )
    raise Forbidden(
        "token_scope_insufficient",
        "An approval policy names one of these tags, which this token may not add and remove. Do it"
        " on the page.",
    )


def _join_names(names: set[str]) -> str:
    return ", ".join(sorted(names))


STATUS_GUARDS: tuple[Rule, ...] = (
    check_no_pending_approval,
    require_review_before_done,
    require_approval_for_done,
)
DEPENDENCY_RULES: tuple[Rule, ...] = (
    check_dependencies_changeable,
    check_no_self_dependency,
    check_dependencies_exist,
    check_no_dependency_cycle,
)

CHANGE_RULES: dict[ActorRole, tuple[Rule, ...]] = {
    ActorRole.USER: (
        check_sends_no_run,
        check_expected_status,
        check_tags_exist,
        check_policy_tags,
        *DEPENDENCY_RULES,
        check_not_blocked_for_user,
        check_assignee_exists,
        check_assignee_board,
        *STATUS_GUARDS,
        require_review_comment,
        check_custom_field_values,
    ),
    ActorRole.WORKER: (
        check_worker_board,
        check_not_claimed,
        check_worker_is_assignee,
        check_worker_fields,
        check_expected_status,
        check_run,
        check_worker_may_move,
        check_not_blocked_for_worker,
        *STATUS_GUARDS,
        require_review_comment,
        check_custom_field_values,
    ),
    ActorRole.LEAD: (
        check_lead_sends_no_comment,
        check_lead_fields,
        check_expected_status,
        *DEPENDENCY_RULES,
        check_tags_exist,
        check_policy_tags,
        check_not_blocked_for_lead,
        check_assignee_exists,
        check_assignee_is_worker,
        check_assignee_board,
        check_lead_transition,
        *STATUS_GUARDS,
        check_custom_field_values,
    ),
}

CREATION_RULES: dict[ActorRole, tuple[Rule, ...]] = {
    ActorRole.USER: (
        check_dependencies_exist,
        check_tags_exist,
        check_policy_tags,
        check_not_blocked_at_creation,
        check_assignee_exists,
        check_assignee_board,
        check_custom_field_values,
        *STATUS_GUARDS,
        require_review_comment,
    ),
    ActorRole.LEAD: (
        check_dependencies_exist,
        check_tags_exist,
        check_policy_tags,
        check_not_blocked_at_creation,
        check_assignee_exists,
        check_assignee_is_worker,
        check_assignee_board,
        check_custom_field_values,
        *STATUS_GUARDS,
    ),
}
