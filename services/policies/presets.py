"""Policies that are shipped with the product, as a starting point."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.canonical_json import format_canonical_json
from core.text import N_
from models import TOOL_CONDITIONS, PolicyEffect, PolicyRule, RiskLevel, ToolAction, new_id

DAY = 86_400  # seconds
PLACEHOLDER = new_id()  # replaced by a new id for each use

OUTWARD_KINDS = ("email.*", "message.*", "post.*", "publish.*")
RISKY_ACTIONS = (
    *(ToolAction.WRITE_OUTSIDE, ToolAction.WRITE_GIT, ToolAction.DELETE, ToolAction.NETWORK),
    *(ToolAction.GIT_PUSH, ToolAction.INSTALL),
)
DANGEROUS_KINDS = ("deploy.*", "delete.*", "payment.*", "purchase.*", "release.*")


@dataclass(frozen=True)
class PolicyPreset:
    """A set of rules. Its texts and the names of the rules are marked for translation."""

    key: str
    name: str
    about: str
    rules: Sequence[PolicyRule]
    is_for_tools: bool = False  # added to other rules, and replaces only presets like it


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
    PolicyPreset(
        "tools_all",
        N_("Coding agents: ask for everything"),
        N_(
            "Every tool call waits for one person, except plain reads inside the project and the "
            "tools of Mission Control. This is the same as having no rules for tool calls."
        ),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Every tool call"),
                effect=PolicyEffect.ASK_ONE,
                tools=("*",),
            )
        ],
        is_for_tools=True,
    ),
    PolicyPreset(
        "tools_risky",
        N_("Coding agents: ask before risky steps"),
        N_(
            "Writing outside the project, network, git push, deletes and package installs wait for"
            " one person. Reads and edits inside the project are allowed. Programs with an"
            " unknown effect, such as a test run, ask until a rule allows them."
        ),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Outside the project, network, git push, deletes, installs"),
                effect=PolicyEffect.ASK_ONE,
                actions=RISKY_ACTIONS,
            ),
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Reads and edits inside the project"),
                effect=PolicyEffect.ALLOW,
                actions=(ToolAction.READ, ToolAction.WRITE_INSIDE),
            ),
        ],
        is_for_tools=True,
    ),
    PolicyPreset(
        "tools_observe",
        N_("Coding agents: observe only"),
        N_(
            "Every tool call is allowed and recorded. A person still decides what changes the "
            "configuration of a client, and what cannot be understood."
        ),
        [
            PolicyRule(
                id=PLACEHOLDER,
                name=N_("Observe tool calls"),
                effect=PolicyEffect.ALLOW,
                tools=("*",),
                actions=tuple(ToolAction),
            )
        ],
        is_for_tools=True,
    ),
)
"""The presets by increasing trust in the agents."""


def apply_preset(
    preset: PolicyPreset, added: Sequence[PolicyRule], rules: Sequence[PolicyRule]
) -> Sequence[PolicyRule]:
    """Return the rules of a policy after the rules of a preset were added to it.

    A preset for tool calls replaces only rules of such presets. Its rules come after those that
    deny, ask two people, or are about tool calls too, so that they change none of them.
    """
    if not preset.is_for_tools:
        return added
    shipped = {_describe(rule) for one in PRESETS if one.is_for_tools for rule in one.rules}
    kept = [rule for rule in rules if _describe(rule) not in shipped]
    ahead = [
        number
        for number, rule in enumerate(kept, start=1)
        if rule.effect in (PolicyEffect.DENY, PolicyEffect.ASK_TWO)
        or any(getattr(rule, name) for name in TOOL_CONDITIONS)
    ]
    at = max(ahead, default=0)
    return [*kept[:at], *added, *kept[at:]]


def _describe(rule: PolicyRule) -> str:
    """Return what a rule does as a text to compare, apart from its name."""
    values = rule.to_json() | {"id": None, "name": None, "is_enabled": None}
    return format_canonical_json(values)
