"""Texts about the rules of approval policies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models import PolicyEffect, PolicyRule, Role, WeeklyWindow
from services.policies import ReferenceNames
from web.policies.forms import WEEKDAYS, format_minutes

EFFECTS: Mapping[PolicyEffect, tuple[str, str, str]] = {
    PolicyEffect.ALLOW: ("Allow", "The request is approved at once.", "good"),
    PolicyEffect.ASK_ONE: ("Ask one person", "One person approves or rejects it.", "line"),
    PolicyEffect.ASK_TWO: (
        "Ask two people",
        "Two different people must approve it. Nobody approves their own request.",
        "accent",
    ),
    PolicyEffect.DENY: ("Deny", "The request is rejected at once.", "danger"),
}
"""Each effect: its label, its description, and the tone of its badge."""

DECIDERS = {
    Role.MEMBER: "Everybody who can change the board",
    Role.ADMIN: "Admins and owners",
    Role.OWNER: "Owners",
}

DELETED = "deleted"  # the name of an agent, tag or user that no longer exists
EXPIRY_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class RuleRow:
    """A rule as a row: when it applies, and what happens then."""

    rule: PolicyRule
    conditions: Sequence[str]
    effect: str
    tone: str
    consequences: Sequence[str]


def list_choices(names: Mapping[UUID, str], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Return the choices of a list field; what is chosen and was deleted is kept."""
    choices = [(str(id), name) for id, name in names.items()]
    known = {value for value, _ in choices}
    return [*choices, *((value, DELETED) for value in chosen if value not in known)]


def build_rule_rows(rules: Sequence[PolicyRule], names: ReferenceNames) -> list[RuleRow]:
    """Return the rows of rules."""
    return [
        RuleRow(
            rule,
            list(_conditions(rule, names)) or ["Every request"],
            EFFECTS[rule.effect][0],
            EFFECTS[rule.effect][2],
            list(_consequences(rule, names)),
        )
        for rule in rules
    ]


def _conditions(rule: PolicyRule, names: ReferenceNames) -> Sequence[str]:
    lines = [
        ("Kind", _join(rule.kinds)),
        ("Agent", _join(_named(rule.agent_ids, names.agents))),
        ("Risk", f"{rule.risk_at_least} or higher" if rule.risk_at_least else ""),
        ("Risk", f"{rule.risk_at_most} or lower" if rule.risk_at_most else ""),
        ("Confidence", f"below {rule.confidence_below:g}" if rule.confidence_below else ""),
        ("Tag", _join(_named(rule.tag_ids, names.tags))),
        ("Time", _format_window(rule.time_window) if rule.time_window else ""),
    ]
    return [f"{label}: {text}" for label, text in lines if text]


def _consequences(rule: PolicyRule, names: ReferenceNames) -> Sequence[str]:
    if rule.effect in (PolicyEffect.ALLOW, PolicyEffect.DENY):
        return []
    deciders = _join(_named(rule.decider_ids, names.users)) or DECIDERS[rule.decider_role]
    expiry = rule.expires_after
    return [
        f"Decided by: {deciders}",
        f"Rejected after {format_seconds(expiry)} without a decision" if expiry else "",
    ]


def format_seconds(seconds: int) -> str:
    """Return a duration in the largest unit that divides it: "4 hours"."""
    size, unit = next((size, unit) for size, unit in EXPIRY_UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


def _format_window(window: WeeklyWindow) -> str:
    days = ", ".join(WEEKDAYS[day] for day in sorted(window.weekdays)) or "Every day"
    if window.starts_at == window.ends_at == 0:
        return f"{days} ({window.time_zone})"
    start, end = format_minutes(window.starts_at), format_minutes(window.ends_at)
    return f"{days} from {start} to {end} ({window.time_zone})"


def _named(ids: Sequence[UUID], names: Mapping[UUID, str]) -> list[str]:
    return [names.get(id, DELETED) for id in ids]


def _join(words: Sequence[str]) -> str:
    return ", ".join(words)
