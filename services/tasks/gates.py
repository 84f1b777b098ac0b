"""What a board asks for before a task may enter a column, in the order of the contract."""

from kit.errors import Conflict, Invalid
from models import Status
from services.tasks.wishes import Rule, Wish


def nothing_moves_during_an_approval(wish: Wish) -> None:
    holds = wish.board.block_status_changes_with_pending_approval
    if holds and wish.approvals.pending and wish.to is not wish.task.status:
        raise Conflict(
            "approval_pending",
            "A question about this task waits for an answer. Until then it stays where it is.",
            blocked_by_task_ids=[],
        )


def review_comes_before_done(wish: Wish) -> None:
    skipped = wish.enters(Status.DONE) and wish.task.status is not Status.REVIEW
    if wish.board.require_review_before_done and skipped:
        raise Conflict(
            "review_required",
            "On this board a task is reviewed before it is done. Move it to review first.",
            blocked_by_task_ids=[],
        )


def done_needs_an_approval(wish: Wish) -> None:
    missing = wish.enters(Status.DONE) and not wish.approvals.open_done
    if wish.board.require_approval_for_done and missing:
        then = "It is asked already: wait." if wish.approvals.pending else "Ask for approval."
        raise Conflict(
            "approval_required",
            f"On this board a task is done once somebody has approved it. {then}",
            blocked_by_task_ids=[],
        )


def review_needs_a_comment(wish: Wish) -> None:
    if wish.needs_a_comment and not wish.commented:
        raise Invalid(
            "comment_required",
            "On this board a task comes to review with a comment about what was done.",
            field="comment",
        )


GATES: tuple[Rule, ...] = (
    nothing_moves_during_an_approval,
    review_comes_before_done,
    done_needs_an_approval,
)
