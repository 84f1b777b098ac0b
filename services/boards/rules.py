"""What a board's fields may hold, who may change them, and what a goal needs. Pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.errors import Forbidden, Invalid
from kit.values import (
    Check,
    an_id,
    json_object,
    moment,
    optional,
    text,
    trimmed,
    whole_number,
    words,
    yes_or_no,
)
from services.boards.slugs import LONGEST_SLUG

LONGEST_NAME = 200  # characters
LONGEST_TEXT = 20_000  # characters of a description or an objective
LARGEST_METRICS = 50_000  # characters of JSON

RULES = (
    "require_approval_for_done",
    "require_review_before_done",
    "comment_required_for_review",
    "block_status_changes_with_pending_approval",
    "only_lead_can_change_status",
)
ADMIN_FIELDS = frozenset({*RULES, "gateway_id", "board_group_id", "max_agents"})
GOAL_FIELDS = frozenset({"board_type", "objective", "success_metrics", "goal_confirmed"})

CHECKS: Mapping[str, Check] = {
    "name": words(LONGEST_NAME),
    "slug": trimmed(LONGEST_SLUG),
    "description": words(LONGEST_TEXT),
    "gateway_id": optional(an_id),
    "board_group_id": optional(an_id),
    "board_type": words(50),
    "objective": optional(text(LONGEST_TEXT)),
    "success_metrics": optional(json_object(LARGEST_METRICS)),
    "target_date": optional(moment),
    "goal_confirmed": yes_or_no,
    "goal_source": optional(text(LONGEST_NAME)),
    **dict.fromkeys(RULES, yes_or_no),
    "max_agents": whole_number(),
}
"""The fields of a board that somebody may write, and what each takes."""


@dataclass(frozen=True, kw_only=True)
class BoardDraft:
    """A board to be. A blank slug is made from the name."""

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
    max_agents: int = 1


def check_may_change(fields: Set[str], *, is_admin: bool) -> None:
    """Raise Forbidden if these fields are for admins only, and this is none (contract, S7)."""
    reserved = sorted(fields & ADMIN_FIELDS)
    if reserved and not is_admin:
        names = ", ".join(name.replace("_", " ") for name in reserved)
        reason = f"Only an admin of the organization can change this: {names}."
        raise Forbidden("admin_required", reason, fields=reserved)


def check_goal(board: Mapping[str, Any], changed: Set[str]) -> None:
    """Raise Invalid if a goal is confirmed, or a board turned to one, that says too little.

    `board` has the fields as they are to be. A change of something else is not refused for what
    was there before (contract, C29).
    """
    if board["board_type"] != "goal" or not changed & GOAL_FIELDS:
        return
    if not (board["goal_confirmed"] or "board_type" in changed):
        return
    if not (board["objective"] or "").strip():
        raise Invalid("goal_incomplete", "A goal needs an objective.", field="objective")
    if not board["success_metrics"]:
        reason = "A goal needs success metrics: how will you know that it is reached?"
        raise Invalid("goal_incomplete", reason, field="success_metrics")
