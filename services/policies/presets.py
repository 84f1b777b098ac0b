"""Policies that are shipped with the product, as a starting point."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.text import N_
from models import PolicyEffect, PolicyRule, RiskLevel, new_id

DAY = 86_400  # seconds
PLACEHOLDER = new_id()  # replaced by a new id for each use

OUTWARD_KINDS = ("email.*", "message.*", "post.*", "publish.*")
DANGEROUS_KINDS = ("deploy.*", "delete.*", "payment.*", "purchase.*", "release.*")


@dataclass(frozen=True)
class PolicyPreset:
    """A set of rules. Its texts and the names of the rules are marked for translation."""

    key: str
    name: str
    about: str
    rules: Sequence[PolicyRule]


PRESETS = (
    PolicyPreset(
        "ask",
        N_("Always ask"),
        N_("Every request waits for one person. Requests expire after seven days."),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Ask one person"),
                effect=PolicyEffect.ASK_ONE,
                expires_after=7 * DAY,
            )
        ],
    ),
    PolicyPreset(
        "two_people",
        N_("Two people for dangerous actions"),
        N_(
            "Deployments, deletions and payments, and everything with a critical risk, need two "
            "people. Other requests need one."
        ),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Critical risk"),
                effect=PolicyEffect.ASK_TWO,
                risk_at_least=RiskLevel.CRITICAL,
                expires_after=DAY,
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Deployments, deletions and payments"),
                effect=PolicyEffect.ASK_TWO,
                kinds=DANGEROUS_KINDS,
                expires_after=DAY,
            ),
        ],
    ),
    PolicyPreset(
        "trust",
        N_("Allow harmless actions"),
        N_(
            "Requests with a stated low risk are allowed, except messages to the outside, "
            "deployments, deletions and payments. Requests below a confidence of 60 and all others "
            "need one person."
        ),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Visible outside, or dangerous"),
                effect=PolicyEffect.ASK_ONE,
                kinds=(*OUTWARD_KINDS, *DANGEROUS_KINDS),
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Low confidence"),
                effect=PolicyEffect.ASK_ONE,
                confidence_below=60,
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Low risk"),
                effect=PolicyEffect.ALLOW,
                risk_at_most=RiskLevel.LOW,
            ),
        ],
    ),
)
"""The presets by increasing trust in the agents."""
