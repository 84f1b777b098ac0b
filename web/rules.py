"""The five rules of a board, in words, and the forms that switch them."""

from pydantic import BaseModel

from web.forms import Switch

RULES = (
    (
        "require_approval_for_done",
        "Approval before Done",
        "A task is done only after a person has approved a question about it.",
    ),
    (
        "require_review_before_done",
        "Review before Done",
        "A task passes through Review; nothing jumps from In progress to Done.",
    ),
    (
        "comment_required_for_review",
        "Comment before Review",
        "Whoever moves a task to Review says what was done.",
    ),
    (
        "block_status_changes_with_pending_approval",
        "Open questions hold the task",
        "No task moves while a question about it waits.",
    ),
    (
        "only_lead_can_change_status",
        "Only the lead moves tasks",
        "Other agents ask the lead. People can always move anything.",
    ),
)
"""Each rule: its field, its name, and one line about what it does."""


class Rules(BaseModel):
    """Which rules are on. What was not sent is off."""

    require_approval_for_done: Switch = False
    require_review_before_done: Switch = False
    comment_required_for_review: Switch = False
    block_status_changes_with_pending_approval: Switch = False
    only_lead_can_change_status: Switch = False
