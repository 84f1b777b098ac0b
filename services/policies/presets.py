"""Policies that are shipped with the product, as a starting point."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from models import PolicyEffect, PolicyRule, RiskLevel, new_id

DAY = 86_400  # seconds
PLACEHOLDER = new_id()  # replaced by a new id for each use

OUTWARD_KINDS = ("email.*", "message.*", "post.*", "publish.*")
DANGEROUS_KINDS = ("deploy.*", "delete.*", "payment.*", "purchase.*", "release.*")


@dataclass(frozen=True)
class PolicyPreset:
    """A set of rules. Pages have its name and description."""

    key: str
    rules: Sequence[PolicyRule]


PRESETS = (
    PolicyPreset(
        "ask",
        [
            PolicyRule(
                id=PLACEHOLDER,
                name="Ask one person",
                effect=PolicyEffect.ASK_ONE,
                expires_after=7 * DAY,
            )
        ],
    ),
    PolicyPreset(
        "two_people",
        [
            PolicyRule(
                id=PLACEHOLDER,
                name="Critical risk",
                effect=PolicyEffect.ASK_TWO,
                risk_at_least=RiskLevel.CRITICAL,
                expires_after=DAY,
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name="Deployments, deletions and payments",
                effect=PolicyEffect.ASK_TWO,
                kinds=DANGEROUS_KINDS,
                expires_after=DAY,
            ),
        ],
    ),
    PolicyPreset(
        "trust",
        [
            PolicyRule(
                id=PLACEHOLDER,
                name="Visible outside, or dangerous",
                effect=PolicyEffect.ASK_ONE,
                kinds=(*OUTWARD_KINDS, *DANGEROUS_KINDS),
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name="Low confidence",
                effect=PolicyEffect.ASK_ONE,
                confidence_below=60,
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name="Low risk",
                effect=PolicyEffect.ALLOW,
                risk_at_most=RiskLevel.LOW,
            ),
        ],
    ),
)
"""The presets by increasing trust in the agents."""


def build_preset_rules(preset: PolicyPreset) -> list[PolicyRule]:
    """Return the rules of a preset with new ids."""
    return [replace(rule, id=new_id()) for rule in preset.rules]
