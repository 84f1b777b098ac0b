"""The conditions of rules about tool calls of coding agents. Pure functions.

A rule that allows must cover every part of a call. A rule that restricts matches if any part does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from models import TOOL_CONDITIONS, PolicyEffect, PolicyRule, PolicyVerdict
from services.tool_facts import Command, ToolFacts

Part = TypeVar("Part")


@dataclass(frozen=True)
class ToolVerdict:
    """What the policies say about a tool call, and why.

    The reason is a code: `rule`, `plain_read`, `own_tool`, `not_understood`, `client_config`,
    `no_rule`.
    """

    verdict: PolicyVerdict
    reason: str


class ToolMatcher:
    """The conditions of a rule about tool calls."""

    def __init__(self, rule: PolicyRule) -> None:
        self.rule = rule
        self._allows = rule.effect is PolicyEffect.ALLOW

    @cached_property
    def has_conditions(self) -> bool:
        """Whether the rule is only about tool calls."""
        return any(getattr(self.rule, name) for name in TOOL_CONDITIONS)

    @cached_property
    def names_harmless(self) -> bool:
        """Whether the rule names what it matches, so that it may ask about harmless calls too."""
        rule = self.rule
        tools = [tool for tool in rule.tools if tool != "*"]
        return bool(tools or rule.actions or rule.commands or rule.paths or rule.hosts)

    def match(self, facts: ToolFacts) -> bool:
        """Return whether all conditions hold."""
        rule = self.rule
        covers = self._covers
        return (
            (not rule.clients or facts.client in rule.clients)
            and (not rule.tools or any(_matches_tool(one, facts.tool) for one in rule.tools))
            and (not rule.actions or covers(facts.actions, rule.actions.__contains__))
            and (not rule.commands or covers(facts.commands, self._matches_command))
            and (not rule.paths or covers(facts.paths, self._matches_path))
            and (not rule.hosts or covers(facts.hosts, self._matches_host))
        )

    def _covers(self, parts: Iterable[Part], matches: Callable[[Part], bool]) -> bool:
        """Return whether all parts match if the rule allows, otherwise whether one does."""
        results = [matches(part) for part in parts]
        return all(results) and bool(results) if self._allows else any(results)

    def _matches_command(self, command: Command) -> bool:
        words = command.words
        for pattern in self.rule.commands:
            wanted = tuple(pattern.split())
            if self._allows:
                if not command.is_redirected and words == wanted:
                    return True
            elif words[: len(wanted)] == wanted:
                return True
        return False

    def _matches_path(self, path: str) -> bool:
        return any(path == one or path.startswith(one.rstrip("*")) for one in self.rule.paths)

    def _matches_host(self, host: str) -> bool:
        return host in self.rule.hosts


def _matches_tool(pattern: str, tool: str) -> bool:
    if pattern.endswith("*"):
        return tool.lower().startswith(pattern[:-1].lower())
    return tool.lower() == pattern.lower()
