"""Validation rules for the fields of boards. Pure functions."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from core.errors import Forbidden, Invalid
from core.text import N_
from core.validation import (
    MAX_NAME_LENGTH,
    FieldCheck,
    boolean_value,
    integer_in_range,
    json_object,
    nonblank_text,
    optional,
    text_of_length,
    timestamp_value,
    trimmed_text,
    uuid_value,
)
from models import DEFAULT_REMINDER_MINUTES, DEFAULT_STALE_MINUTES
from services.boards.queries import MAX_SLUG_LENGTH

MAX_TEXT_LENGTH = 20_000  # characters of a description or an objective
MAX_METRICS_LENGTH = 50_000  # characters of JSON

MIN_FOLLOW_UP, MAX_FOLLOW_UP = 5, 43_200  # minutes: 30 days

TASK_RULES = (
    "require_approval_for_done",
    "require_review_before_done",
    "comment_required_for_review",
    "block_status_changes_with_pending_approval",
    "only_lead_can_change_status",
    "workers_may_ask_people",
)
ADMIN_FIELDS = frozenset({*TASK_RULES, "gateway_id", "board_group_id", "max_agents"})
GOAL_FIELDS = frozenset({"board_type", "objective", "success_metrics", "goal_confirmed"})

FIELD_VALIDATORS: Mapping[str, FieldCheck] = {
    "name": nonblank_text(MAX_NAME_LENGTH),
    "slug": trimmed_text(MAX_SLUG_LENGTH),
    "description": nonblank_text(MAX_TEXT_LENGTH),
    "gateway_id": optional(uuid_value),
    "board_group_id": optional(uuid_value),
    "board_type": nonblank_text(50),
    "objective": optional(text_of_length(MAX_TEXT_LENGTH)),
    "success_metrics": optional(json_object(MAX_METRICS_LENGTH)),
    "target_date": optional(timestamp_value),
    "goal_confirmed": boolean_value,
    "goal_source": optional(text_of_length(MAX_NAME_LENGTH)),
    **dict.fromkeys(TASK_RULES, boolean_value),
    "max_agents": integer_in_range(),
    **dict.fromkeys(
        ("stale_after_minutes", "remind_after_minutes"),
        optional(integer_in_range(MIN_FOLLOW_UP, MAX_FOLLOW_UP)),
    ),
}
"""The writable fields of a board with their validators."""


@dataclass(frozen=True, kw_only=True)
class BoardDraft:
    """The fields of a new board. A blank slug is generated from the name."""

    name: str
    description: str
    slug: str = ""
    gateway_id: UUID | None = None
    board_group_id: UUID | None = None
    board_type: str = "goal"
    objective: str | None = None
    success_metrics: dict[str, Any] | None = None
    target_date: datetime | None = None
    goal_confirmed: bool = False
    goal_source: str | None = None
    require_approval_for_done: bool = True
    require_review_before_done: bool = False
    comment_required_for_review: bool = False
    block_status_changes_with_pending_approval: bool = False
    only_lead_can_change_status: bool = False
    workers_may_ask_people: bool = False
    max_agents: int = 1
    stale_after_minutes: int | None = DEFAULT_STALE_MINUTES
    remind_after_minutes: int | None = DEFAULT_REMINDER_MINUTES


def check_may_update(fields: Set[str], *, is_admin: bool) -> None:
    """Raise Forbidden if a field may only be changed by admins (contract S7)."""
    reserved = sorted(fields & ADMIN_FIELDS)
    if reserved and not is_admin:
        reason = N_("Only an admin of the organization can change this: %(fields)s.")
        raise Forbidden("admin_required", reason, fields=reserved)


def check_goal(board: Mapping[str, Any], changed: Set[str]) -> None:
    """Raise Invalid if a goal is confirmed, or a board becomes a goal, without required fields.

    `board` has the fields after the update. Changes of other fields do not fail because of an
    incomplete goal that existed before (contract C29).
    """
    if changed & GOAL_FIELDS and (board["goal_confirmed"] or "board_type" in changed):
        require_complete_goal(board)


def require_complete_goal(goal: Mapping[str, Any]) -> None:
    """Raise Invalid if the fields of a goal have no objective or no measures.

    The fields of a board that is no goal are complete.
    """
    if goal.get("board_type") != "goal":
        return
    if not (goal.get("objective") or "").strip():
        raise Invalid("goal_incomplete", N_("A goal needs an objective."), field="objective")
    if not goal.get("success_metrics"):
        reason = N_("A goal needs measures: how will you know that it is reached?")
        raise Invalid("goal_incomplete", reason, field="success_metrics")
