"""Rules that would have answered tool calls which people were asked about. Pure functions."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models import ApprovalStatus, PolicyEffect, PolicyRule, ToolAction, new_id
from services.policies.rules import RequestFacts, RuleSet
from services.policies.tool_rules import MAX_PATTERN_LENGTH, ToolMatcher
from services.tool_facts import MASK, ToolFacts

MIN_QUESTIONS = 3
MAX_PROPOSALS = 10
MAX_NAME_LENGTH = 80  # characters
MAX_PARTS = 20  # commands, paths or hosts


@dataclass(frozen=True)
class Proposal:
    """A rule that would have saved questions, and how people answered them."""

    rule: PolicyRule
    approved: int
    asked: int
    before: PolicyRule | None  # the rule that asks, before which it must stand


def propose_rule(facts: ToolFacts) -> PolicyRule | None:
    """Return a rule that allows calls with the same parts, or None if no rule can do it exactly."""
    is_possible = facts.is_understood and not facts.is_cut
    if not is_possible or ToolAction.WRITE_CLIENT_CONFIG in facts.actions:
        return None
    commands = tuple(dict.fromkeys(shlex.join(one.words) for one in facts.commands))
    # a last asterisk stands for more words in a rule
    has_pattern = any(one.words[-1] == "*" for one in facts.commands)
    parts = (*commands, *facts.paths, *facts.hosts)
    has_input = any(one.has_input for one in facts.commands)  # which no rule names
    if (
        has_pattern
        or has_input
        or any(len(part) > MAX_PATTERN_LENGTH or MASK in part or "*" in part for part in parts)
    ):
        return None
    if max(len(commands), len(facts.paths), len(facts.hosts)) > MAX_PARTS:
        return None
    rule = PolicyRule(
        id=new_id(),
        name=" · ".join(commands or (facts.tool, *facts.paths, *facts.hosts))[:MAX_NAME_LENGTH],
        effect=PolicyEffect.ALLOW,
        tools=() if commands else (facts.tool,),
        commands=commands,
    )
    if not ToolMatcher(rule).match(facts):
        rule = replace(rule, actions=sorted(facts.actions), paths=facts.paths, hosts=facts.hosts)
    elif not commands:
        rule = replace(rule, paths=facts.paths, hosts=facts.hosts)
    return rule if ToolMatcher(rule).match(facts) else None


def place_rule(
    rules: Sequence[PolicyRule], rule: PolicyRule, facts: RequestFacts
) -> list[PolicyRule]:
    """Return rules with another that allows a call, before the one that asks about this call.

    A rule that denies the call or asks two people stays before it.
    """
    asks = next((one for one in rules if RuleSet([one]).find_rule(facts)), None)
    at = rules.index(asks) if asks and asks.effect is PolicyEffect.ASK_ONE else len(rules)
    return [*rules[:at], rule, *rules[at:]]


class Questions:
    """The questions about tool calls that the same rule would have saved."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._answers: dict[tuple[object, ...], Counter[ApprovalStatus]] = {}
        self._examples: dict[tuple[object, ...], RequestFacts] = {}

    def add(self, facts: RequestFacts, status: ApprovalStatus) -> None:
        """Count a question that people have answered."""
        tool = facts.tool
        assert tool is not None
        key = (tool.tool, tool.commands, tool.paths, tool.hosts, tool.actions)
        self._examples.setdefault(key, facts)
        self._answers.setdefault(key, Counter())[status] += 1

    def list_proposals(self) -> list[Proposal]:
        """Return rules for what people always approved, those that save most first."""
        counted = sorted(self._answers.items(), key=lambda item: -item[1].total())
        proposals: Iterable[Proposal | None] = (
            self._build_proposal(self._examples[key], answers) for key, answers in counted
        )
        found = [one for one in proposals if one is not None]
        return found[:MAX_PROPOSALS]

    def _build_proposal(
        self, facts: RequestFacts, answers: Counter[ApprovalStatus]
    ) -> Proposal | None:
        approved, asked = answers[ApprovalStatus.APPROVED], answers.total()
        if approved < MIN_QUESTIONS or approved < asked or facts.tool is None:
            return None
        verdict = self._rules.evaluate_tool_call(facts)
        if verdict.verdict.effect is not PolicyEffect.ASK_ONE:
            return None
        rule = propose_rule(facts.tool)
        return Proposal(rule, approved, asked, self._rules.find_rule(facts)) if rule else None
