"""Commands of a shell: everything that one executes, reads and writes."""

import re

import tree_sitter
import tree_sitter_bash

from models import ToolAction
from services.tool_facts.facts import Command

MAX_COMMAND_LENGTH = 10_000  # characters; a longer one is not parsed

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())
_PLAIN = re.compile(r"[A-Za-z0-9_./,:@%+=-]+")


def read_command(text: str) -> tuple[tuple[Command, ...], str | None]:
    """Return the commands that a text executes, and a doubt if there may be more."""
    if len(text) > MAX_COMMAND_LENGTH:
        return (), "too_long"
    words = text.split(" ")
    if any(_PLAIN.fullmatch(word) is None or "=" in words[0] for word in words):
        return (), "syntax"
    reads = words[0] in ("ls", "pwd")
    action = ToolAction.READ if reads else ToolAction.RUN
    return (Command(tuple(words), frozenset({action})),), None
