"""What may be done to a task, by whom: all the rules, in the order in which a refusal is told.

The rules are plain functions of a Wish: what somebody wants, and the facts that were loaded for
it. They ask nothing of the database or the clock. The tuples at the end say which rules each kind
of actor meets, in the order of the API contract (3.10.3 and 3.10.5). What a board asks for before
a task may enter a column is in gates.py.
"""

from kit.errors import Conflict, Forbidden, Invalid, NotFound
from models import Actor, Agent, Board, DesiredState, Status
from services import custom_fields
from services.tasks.gates import GATES, review_needs_a_comment
from services.tasks.wishes import Kind, Rule, Wish

WORKERS_CHANGE = {"comment", "custom_field_values", "status"}
LEADS_CHANGE = {
    "assigned_agent_id",
    "custom_field_values",
    "depends_on_task_ids",
    "status",
    "tag_ids",
}


def check_change(wish: Wish) -> None:
    """Raise the Refusal of the first rule that a change breaks."""
    for rule in CHANGES[wish.kind]:
        rule(wish)


def check_creation(wish: Wish) -> None:
    """Raise the Refusal of the first rule that a new task breaks."""
    for rule in CREATIONS[wish.kind]:
        rule(wish)


def check_may_create_and_delete(actor: Actor, board: Board) -> None:
    """Raise Forbidden unless the actor is a person or the board's lead."""
    if isinstance(actor, Agent) and not (actor.is_board_lead and actor.board_id == board.id):
        raise Forbidden("lead_required", "Among agents only the lead creates and deletes tasks.")


def a_task_does_not_wait_for_itself(wish: Wish) -> None:
    if wish.task.id in wish.changes.get("depends_on_task_ids", ()):
        raise Invalid(
            "dependency_on_itself", "A task cannot wait for itself.", field="depends_on_task_ids"
        )


def a_done_task_keeps_its_dependencies(wish: Wish) -> None:
    if "depends_on_task_ids" in wish.changes and wish.task.status is Status.DONE:
        raise Conflict(
            "dependencies_of_done_task",
            "This task is done, so what it waited for cannot change. Reopen it first.",
            field="depends_on_task_ids",
        )


def dependencies_are_on_the_board(wish: Wish) -> None:
    if wish.missing_task_ids:
        raise NotFound(
            "dependency_not_found",
            "Some of the tasks to wait for are not on this board.",
            field="depends_on_task_ids",
            missing_task_ids=[str(id) for id in wish.missing_task_ids],
        )


def dependencies_form_no_circle(wish: Wish) -> None:
    if wish.closes_a_circle:
        raise Conflict(
            "dependency_circle",
            "These tasks would wait for each other in a circle.",
            field="depends_on_task_ids",
        )


def tags_are_of_the_organization(wish: Wish) -> None:
    if wish.missing_tag_ids:
        raise NotFound(
            "tag_not_found",
            "Some of the tags do not exist.",
            field="tag_ids",
            missing_tag_ids=[str(id) for id in wish.missing_tag_ids],
        )


def people_leave_what_waits_in_the_inbox(wish: Wish) -> None:
    moves = wish.to is not wish.task.status and wish.to is not Status.INBOX
    rests = wish.to is wish.task.status is Status.DONE
    if moves or (wish.assigns and not rests):
        _refuse_if_blocked(wish)


def workers_leave_what_waits_in_the_inbox(wish: Wish) -> None:
    if wish.asked not in (None, Status.INBOX):
        _refuse_if_blocked(wish)


def leads_leave_what_waits(wish: Wish) -> None:
    if wish.changes.keys() & {"status", "assigned_agent_id"}:
        _refuse_if_blocked(wish)


def what_waits_begins_in_the_inbox(wish: Wish) -> None:
    if wish.to is not Status.INBOX or wish.assigns:
        _refuse_if_blocked(wish)


def _refuse_if_blocked(wish: Wish) -> None:
    if wish.waits_for:
        count = len(wish.waits_for)
        tasks = "a task that is" if count == 1 else f"{count} tasks that are"
        raise Conflict(
            "task_blocked_cannot_transition",
            f"It waits for {tasks} not done. Until then it stays in the inbox, with nobody.",
            blocked_by_task_ids=[str(id) for id in wish.waits_for],
        )


def an_assignee_exists(wish: Wish) -> None:
    assignee = wish.assignee
    is_there = assignee is not None and assignee.desired_state is not DesiredState.GONE
    if wish.changes.get("assigned_agent_id") is not None and not is_there:
        raise NotFound("agent_not_found", "There is no such agent.", field="assigned_agent_id")


def leads_assign_workers(wish: Wish) -> None:
    if wish.assignee is not None and wish.assignee.is_board_lead:
        raise Forbidden(
            "assignee_is_lead",
            "A lead hands tasks to workers, not to a lead.",
            field="assigned_agent_id",
        )


def an_assignee_works_on_the_board(wish: Wish) -> None:
    if wish.assignee is not None and wish.assignee.board_id not in (None, wish.board.id):
        raise Conflict(
            "assignee_on_other_board",
            "This agent works on another board.",
            field="assigned_agent_id",
        )


def workers_stay_on_their_board(wish: Wish) -> None:
    assert isinstance(wish.actor, Agent)
    if wish.actor.board_id not in (None, wish.board.id):
        raise Forbidden("task_board_mismatch", "This task is on a board that is not yours.")


def a_task_is_claimed_once(wish: Wish) -> None:
    in_progress = wish.asked is wish.task.status is Status.IN_PROGRESS
    if in_progress and wish.held_by_another:
        raise Conflict(
            "task_already_claimed",
            "Another agent has this task in progress already. Take another one.",
        )


def workers_move_what_they_hold(wish: Wish) -> None:
    if wish.asked is not None and wish.held_by_another:
        raise Forbidden(
            "task_assignee_mismatch",
            "This task is assigned to another agent. You may comment on it, not move it.",
        )


def workers_move_and_comment(wish: Wish) -> None:
    others = wish.changes.keys() - WORKERS_CHANGE
    if others:
        raise Forbidden(
            "task_update_field_forbidden",
            f"Agents change {_list(WORKERS_CHANGE)} of a task, not {_list(others)}.",
        )


def workers_may_need_the_lead(wish: Wish) -> None:
    if wish.asked is not None and wish.board.only_lead_can_change_status:
        raise Forbidden(
            "only_lead_can_change_status", "On this board only the lead and people move tasks."
        )


def leads_comment_by_themselves(wish: Wish) -> None:
    if "comment" in wish.changes:
        raise Forbidden(
            "lead_comment_in_update", "A lead posts comments to the task's comments instead."
        )


def leads_hand_out_and_review(wish: Wish) -> None:
    others = wish.changes.keys() - LEADS_CHANGE
    if others:
        raise Forbidden(
            "task_update_field_forbidden",
            f"A lead changes {_list(LEADS_CHANGE)} of a task, not {_list(others)}.",
        )


def leads_accept_reject_or_start(wish: Wish) -> None:
    if wish.asked is None:
        return
    left, to = wish.task.status, wish.asked
    starts = left is Status.INBOX and to is Status.IN_PROGRESS and wish.assignee is not None
    decides = left is Status.REVIEW and to in (Status.DONE, Status.INBOX)
    if not (starts or decides):
        raise Forbidden(
            "lead_move_forbidden",
            "A lead moves tasks from review to done or to the inbox, and starts one by assigning "
            "it and asking for in_progress at once.",
        )


def custom_fields_hold_what_they_take(wish: Wish) -> None:
    if "custom_field_values" in wish.changes:
        custom_fields.check(wish.fields, wish.changes["custom_field_values"])


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


DEPENDENCIES: tuple[Rule, ...] = (
    a_done_task_keeps_its_dependencies,
    a_task_does_not_wait_for_itself,
    dependencies_are_on_the_board,
    dependencies_form_no_circle,
)

CHANGES: dict[Kind, tuple[Rule, ...]] = {
    Kind.PERSON: (
        tags_are_of_the_organization,
        *DEPENDENCIES,
        people_leave_what_waits_in_the_inbox,
        an_assignee_exists,
        an_assignee_works_on_the_board,
        *GATES,
        review_needs_a_comment,
        custom_fields_hold_what_they_take,
    ),
    Kind.WORKER: (
        workers_stay_on_their_board,
        a_task_is_claimed_once,
        workers_move_what_they_hold,
        workers_move_and_comment,
        workers_may_need_the_lead,
        workers_leave_what_waits_in_the_inbox,
        *GATES,
        review_needs_a_comment,
        custom_fields_hold_what_they_take,
    ),
    Kind.LEAD: (
        leads_comment_by_themselves,
        leads_hand_out_and_review,
        *DEPENDENCIES,
        tags_are_of_the_organization,
        leads_leave_what_waits,
        an_assignee_exists,
        leads_assign_workers,
        an_assignee_works_on_the_board,
        leads_accept_reject_or_start,
        *GATES,
        custom_fields_hold_what_they_take,
    ),
}

CREATIONS: dict[Kind, tuple[Rule, ...]] = {
    Kind.PERSON: (
        dependencies_are_on_the_board,
        tags_are_of_the_organization,
        what_waits_begins_in_the_inbox,
        an_assignee_exists,
        an_assignee_works_on_the_board,
        custom_fields_hold_what_they_take,
        *GATES,
        review_needs_a_comment,
    ),
    Kind.LEAD: (
        dependencies_are_on_the_board,
        tags_are_of_the_organization,
        what_waits_begins_in_the_inbox,
        an_assignee_exists,
        leads_assign_workers,
        an_assignee_works_on_the_board,
        custom_fields_hold_what_they_take,
        *GATES,
    ),
}
