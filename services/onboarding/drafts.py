"""What an agent proposes: a goal, a profile of the person, and a lead. Pure."""

from collections.abc import Mapping
from typing import Any

from kit.errors import Invalid

DEFAULT_NAME = "Lead Agent"
DEFAULT_PROFILE = {
    "role": "Board Lead",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
}
PREFERENCES = (
    "autonomy_level",
    "verbosity",
    "output_format",
    "update_cadence",
    "custom_instructions",
)
AUTONOMOUS = {"autonomous", "fully-autonomous", "full-autonomy"}
GOAL = "goal"


def check_goal(goal: Mapping[str, Any]) -> None:
    """Raise Invalid if a goal says too little."""
    if goal.get("board_type") != GOAL:
        return
    if not (goal.get("objective") or "").strip():
        raise Invalid("goal_incomplete", "A goal needs an objective.", field="objective")
    if not goal.get("success_metrics"):
        reason = "A goal needs success metrics: how will you know that it is reached?"
        raise Invalid("goal_incomplete", reason, field="success_metrics")


def lead_name(lead: Mapping[str, Any]) -> str:
    """Return the name that the lead shall have."""
    return (lead.get("name") or "").strip() or DEFAULT_NAME


def lead_profile(lead: Mapping[str, Any]) -> dict[str, str]:
    """Return who the lead shall be: the usual, what was proposed, and how it shall work."""
    wishes = {name: lead.get(name) for name in PREFERENCES}
    given = DEFAULT_PROFILE | (lead.get("identity_profile") or {}) | wishes
    texts = {name.strip(): str(said).strip() for name, said in given.items() if said is not None}
    return {name: text for name, text in texts.items() if name and text}


def is_autonomous(lead: Mapping[str, Any]) -> bool:
    """Say whether the lead may finish tasks without asking (contract, agents 10.5)."""
    profile = lead.get("identity_profile") or {}
    words = [lead.get("autonomy_level"), *map(profile.get, ("autonomy_level", "autonomy", "mode"))]
    levels = [str(word).strip().lower().replace("_", "-") for word in words if word]
    return any(level in AUTONOMOUS or ("fully" in level and "autonom" in level) for level in levels)
