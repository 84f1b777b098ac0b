"""The conditions of rules about tool calls of coding agents. Pure functions.

A rule that allows must cover every part of a call. A rule that restricts matches if any part does.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

from core.errors import Invalid
from core.text import N_, remove_invisible
from models import (
    TOOL_CONDITIONS,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    ToolAction,
)
from services.approval_actions import build_confusable_skeleton
from services.tool_facts import Command, ToolFacts, find_name, list_code_words, read_command_actions

Part = TypeVar("Part")

ALL = "*"
MAX_PATTERN_LENGTH = 300  # characters
MAX_PATH_LENGTH = 1_000  # characters; a longer path is allowed by no rule with paths

FILE_ACTIONS = frozenset(
    {
        ToolAction.READ,
        ToolAction.READ_OUTSIDE,
        ToolAction.READ_SECRET,
        ToolAction.WRITE_INSIDE,
        ToolAction.WRITE_OUTSIDE,
    }
)
"""What a rule with paths alone can allow."""
CODE_ACTIONS = frozenset({ToolAction.RUN, ToolAction.RUN_CODE})
HOST_ACTIONS = frozenset({ToolAction.NETWORK, ToolAction.READ})
"""What a rule with hosts alone can allow."""


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
        self._rule = rule
        self._allows = rule.effect is PolicyEffect.ALLOW

    @cached_property
    def has_conditions(self) -> bool:
        """Whether the rule is only about tool calls."""
        return any(getattr(self._rule, name) for name in TOOL_CONDITIONS)

    @cached_property
    def names_parts(self) -> bool:
        """Whether the rule names what it matches, so that it restricts harmless calls too."""
        rule = self._rule
        tools = [tool for tool in rule.tools if tool != ALL]
        return bool(tools or rule.actions or rule.commands or rule.paths or rule.hosts)

    def match(self, facts: ToolFacts) -> bool:
        """Return whether all conditions hold."""
        rule = self._rule
        return (
            (not rule.clients or facts.client in rule.clients)
            and (not rule.tools or any(self._matches_tool(one, facts.tool) for one in rule.tools))
            and (not rule.actions or self._covers_actions(facts.actions))
            and (not rule.commands or self._covers(facts.commands, self._matches_command))
            and (not rule.paths or self._covers(facts.paths, self._matches_path))
            and (not rule.hosts or self._covers(facts.hosts, self._matches_host))
            and (not self._allows or self._explains(facts))
        )

    def _covers(self, parts: Iterable[Part], matches: Callable[[Part], bool]) -> bool:
        """Return whether all parts match if the rule allows, otherwise whether one does."""
        results = [matches(part) for part in parts]
        return bool(results) and all(results) if self._allows else any(results)

    def _covers_actions(self, actions: frozenset[ToolAction]) -> bool:
        """Return the same about actions. A call that does nothing is covered."""
        if self._allows:
            return actions.issubset(self._rule.actions)
        return not actions.isdisjoint(self._rule.actions)

    def _explains(self, facts: ToolFacts) -> bool:
        """Return whether a rule that allows says something about everything that a call does.

        A secret is read only if the rule names it: as an action, a whole command, or a whole path.
        """
        rule = self._rule
        if facts.is_cut and (rule.commands or rule.paths or rule.hosts):
            return False
        if rule.actions:
            return True
        if rule.commands:
            done = frozenset().union(*(one.actions for one in facts.commands))
            has_more = any(one.is_redirected or one.has_input for one in facts.commands)
            return facts.actions <= done and not has_more
        secrets = ToolAction.READ_SECRET in facts.actions
        if rule.paths or rule.hosts:
            explained = (FILE_ACTIONS if rule.paths else set()) | (
                HOST_ACTIONS if rule.hosts else set()
            )
            is_named = all(path in rule.paths for path in facts.paths)
            return facts.actions <= explained and (is_named or not secrets)
        return not secrets

    def _matches_tool(self, pattern: str, tool: str) -> bool:
        if self._allows:
            return tool == pattern or (pattern.endswith(ALL) and tool.startswith(pattern[:-1]))
        start, name = _skeleton(pattern.removesuffix(ALL)), _skeleton(tool)
        return name.startswith(start) if pattern.endswith(ALL) else name == start

    def _matches_command(self, command: Command) -> bool:
        if self._allows:
            return any(_allows_command(one, command) for one in self._commands)
        return any(_restricts_command(one, command) for one in self._commands)

    @cached_property
    def _commands(self) -> Sequence[tuple[str, ...]]:
        return [split_command(one) for one in self._rule.commands]

    def _matches_path(self, path: str) -> bool:
        if len(path) > MAX_PATH_LENGTH:
            return not self._allows
        if self._allows:
            is_outside = path.startswith(("/", "~", "?"))
            return any(
                match_path(one, path)
                for one in self._rule.paths
                if one.startswith(("/", "~")) is is_outside
            )
        path = _skeleton(path)
        inside = path.lstrip("/~?")
        return any(
            match_path(one, path) or (one[0] not in "/~" and match_path(f"**/{one}", inside))
            for one in map(_skeleton, self._rule.paths)
        )

    def _matches_host(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return any(
            one == ALL or host == one or (one.startswith("*.") and host.endswith(one[1:]))
            for one in self._rule.hosts
        )


def check_tool_conditions(rule: PolicyRule, path: str) -> dict[str, tuple[str, ...]]:
    """Return the normalized conditions. Raises Invalid with the field, as `rules.2.commands`."""
    conditions = {
        "tools": tuple(one.strip() for one in rule.tools),
        "commands": tuple(one.strip() for one in rule.commands),
        "paths": tuple(one.strip().removeprefix("./").rstrip("/") or "/" for one in rule.paths),
        "hosts": tuple(one.strip().lower() for one in rule.hosts),
    }
    for name, values in conditions.items():
        for value in values:
            if not value.isprintable() or not _CHECKS[name](value):
                raise Invalid("condition_invalid", _REASONS[name], field=f"{path}.{name}")
    return conditions


def _is_command(pattern: str) -> bool:
    try:
        words = split_command(pattern)
    except ValueError:
        return False
    return bool(words) and bool(words[0])


def _is_path(pattern: str) -> bool:
    names = pattern.lstrip("/~").split("/")
    return ".." not in names and all("**" not in name or name == "**" for name in names)


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "tools": lambda one: bool(one) and "*" not in one[:-1] and " " not in one,
    "commands": _is_command,
    "paths": _is_path,
    "hosts": lambda one: re.fullmatch(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", one) is not None,
}
_REASONS = {
    "tools": N_("A tool is a name such as Bash, or a beginning such as mcp__github__*"),
    "commands": N_("A command is written as in a shell, such as npm test. Close all quotes."),
    "paths": N_("A path is a name such as src/main.py or docs/**, without .. in it."),
    "hosts": N_("A host is a name such as example.com or *.example.com"),
}


@lru_cache(5_000)
def split_command(pattern: str) -> tuple[str, ...]:
    """Return the words of a command in a rule. Raises ValueError if a quote is not closed."""
    return tuple(shlex.split(pattern))


def _allows_command(pattern: tuple[str, ...], command: Command) -> bool:
    """Return whether a command has exactly these words, or more after a last `*`.

    More words must not add an action: the command does only what it does without them, also with
    names of files in the project. Nor does a rule for `git status` cover the code that this runs in
    another folder, which the words do not name.
    """
    words = command.words
    if pattern == words:
        runs_code = ToolAction.RUN_CODE in command.actions
        return not runs_code or ToolAction.RUN_CODE in read_command_actions(words)
    if pattern == (ALL,):
        return ToolAction.READ_SECRET not in command.actions
    if pattern[-1] != ALL or words[: len(pattern) - 1] != pattern[:-1]:
        return False
    return command.actions <= read_command_actions(pattern[:-1])


def _restricts_command(pattern: tuple[str, ...], command: Command) -> bool:
    """Return whether a command is of the same program, and has these words in this order.

    A program that runs code can execute its arguments, so that they are searched too.
    """
    wanted = [_skeleton(one) for one in (pattern[:-1] if pattern[-1] == ALL else pattern)]
    if not wanted:
        return True
    words = [_skeleton(one) for one in command.words]
    words[0] = find_name(words[0]).rpartition("/")[2]
    if words[0] == wanted[0].rpartition("/")[2]:
        rest = iter(words[1:])
        return all(word in rest for word in wanted[1:])
    if command.is_known and command.actions.isdisjoint(CODE_ACTIONS):
        return False
    code = [find_name(one) for one in list_code_words(words[1:])]
    if ToolAction.RUN_CODE in command.actions:
        code = [name for one in code for name in one.split("/")]
    rest = iter(code)
    return all(word in rest for word in wanted)


@lru_cache(5_000)
def _skeleton(text: str) -> str:
    """Return a text with one form for all that look like it, with its separators."""
    text = remove_invisible(text)
    if text.isascii():
        return text.lower()
    return "".join(one if one.isascii() else build_confusable_skeleton(one) for one in text).lower()


def match_path(pattern: str, path: str) -> bool:
    """Return whether a path matches: `*` stands for a part of a name, `**` for any folders.

    The time is linear in the length of the path for each name of the pattern.
    """
    groups: list[list[str]] = [[]]
    for name in pattern.split("/"):
        if name == "**":
            groups.append([])
        else:
            groups[-1].append(name)
    names = path.split("/")
    first, last = groups[0], groups[-1]
    if len(groups) == 1:
        return len(names) == len(first) and _match_names(first, names, 0)
    end = len(names) - len(last)
    at = len(first)
    if at > end or not _match_names(first, names, 0) or not _match_names(last, names, end):
        return False
    for group in groups[1:-1]:
        while at + len(group) <= end and not _match_names(group, names, at):
            at += 1
        at += len(group)
        if at > end:
            return False
    return True


def _match_names(patterns: Sequence[str], names: Sequence[str], at: int) -> bool:
    return all(
        _match_name(pattern, names[number]) for number, pattern in enumerate(patterns, start=at)
    )


def _match_name(pattern: str, name: str) -> bool:
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    *middle, last = others
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
