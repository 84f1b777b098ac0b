"""Programs that execute other commands, which are in their arguments or in their input."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models import ToolAction
from services.tool_facts.effects import Effects
from services.tool_facts.words import (
    NUMBER_VARIABLES,
    SAFE_VARIABLES,
    SHELL_PROGRAMS,
    Word,
    find_name,
)

WRAPPERS: Mapping[str, str] = {
    "env": "iu:0v",
    "sudo": "u:g:EHnbkSA",
    "doas": "u:n",
    "nohup": "",
    "time": "pv",
    "nice": "n:",
    "ionice": "c:n:t",
    "timeout": "k:s:v",
    "gtimeout": "k:s:v",
    "stdbuf": "i:o:e:",
    "setsid": "wcf",
    "command": "pvV",
    "builtin": "",
    "exec": "",
    "xargs": "0rtn:P:I:L:d:s:a:x",
    "chrt": "bfior",
    "taskset": "c",
    "caffeinate": "dimsu",
}
"""Programs that execute the words after their options. A colon is after options with a value."""
_TAKES_OPERAND = frozenset(("timeout", "gtimeout", "chrt", "taskset"))
_LONG_OPTIONS = frozenset(
    (
        *("--ignore-environment", "--foreground", "--preserve-status", "--verbose", "--null"),
        *("--wait", "--no-run-if-empty", "--login", "--non-interactive", "--portability"),
    )
)
_EXECUTING_TESTS = frozenset(("-exec", "-execdir", "-ok", "-okdir"))  # of `find`
_EXECUTING_OPTIONS = frozenset(("-x", "-X", "--exec", "--exec-batch"))  # of `fd`


@dataclass
class InnerCommands:
    """Commands in the arguments of another, as words or as texts, and what remains of that one."""

    own: list[Word]
    words: list[list[Word]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def find_inner_commands(
    words: Sequence[Word], given: str | None, effects: Effects
) -> InnerCommands | None:
    """Return the commands that a command executes, with a given text as its input."""
    name = find_name(words[0].shown)
    if name in SHELL_PROGRAMS:
        return _find_shell_text(words, given, effects)
    if name == "eval":
        if any(one.text is None or one.is_pattern for one in words):
            effects.doubt("variable")
        return InnerCommands([*words[:1]], texts=[" ".join(one.shown for one in words[1:])])
    if name in ("find", "fd", "fdfind"):
        if name != "find" and any(re.match(r"-[a-zA-Z]*[xX]|--exec", one.shown) for one in words):
            effects.doubt("variable")
        if any(one.shown in ("-execdir", "-okdir") for one in words):
            effects.doubt("folder")
        return _find_executed(words, is_find=name == "find")
    if name == "ssh":
        operands = [one.shown for one in words[1:] if not one.shown.startswith("-")]
        return InnerCommands([*words], texts=[" ".join(operands[1:])])
    return _find_wrapped(name, words, effects) if name in WRAPPERS else None


def _find_wrapped(name: str, words: Sequence[Word], effects: Effects) -> InnerCommands | None:
    """Return the command after the options of a program, and after the variables of `env`."""
    at = _skip_options(words, WRAPPERS[name], effects)
    if name == "command" and any(one.shown in ("-v", "-V") for one in words[1:at]):
        return None
    while name == "env" and at < len(words) and "=" in words[at].shown:
        variable, _, value = words[at].shown.partition("=")
        if variable not in SAFE_VARIABLES:
            effects.doubt("environment")
        elif variable in NUMBER_VARIABLES:
            effects.doubt_unless_number(value)
        at += 1
    at += name in _TAKES_OPERAND
    inner = [*words[at:]]
    if name == "env" and not inner:
        effects.act(ToolAction.READ_SECRET)  # prints all variables
    if name == "xargs" and inner:
        effects.doubt("variable")  # its input can be a part of a text that a shell executes
        inner.append(Word(None, "…"))
    return InnerCommands([*words[:at]], [inner] if inner else [])


def _skip_options(words: Sequence[Word], options: str, effects: Effects) -> int:
    """Return the position after the options. One that is not known is a doubt."""
    at = 1
    while at < len(words):
        text = words[at].shown
        if words[at].text is None or words[at].is_pattern:
            effects.doubt("variable")
            return at
        if not text.startswith("-") or text == "-":
            return at
        at += 1
        if text == "--":
            return at
        if text.startswith("--"):
            if text not in _LONG_OPTIONS:
                effects.doubt("option")
        else:
            at += _takes_next_word(text, options, effects)
    return at


def _takes_next_word(text: str, options: str, effects: Effects) -> bool:
    """Return whether the value of the last of some short options is the next word."""
    for position, flag in enumerate(text[1:], 2):
        index = options.find(flag)
        if index < 0:
            effects.doubt("option")
            return False
        if options[index + 1 : index + 2] == ":":
            return position == len(text)
    return False


def _find_shell_text(words: Sequence[Word], given: str | None, effects: Effects) -> InnerCommands:
    """Return the text that a shell executes, if it is an argument or its input."""
    at, options = 1, set()
    while at < len(words) and (words[at].text or "").startswith(("-", "+")):
        option = _read_shell_option(words[at].shown)
        at += 1 + (option == "value")
        options.add(option)
        if option == "end":
            break
    if "unknown" in options:
        effects.doubt("option")
    own, rest = [*words[:at]], words[at:]
    if "code" in options:
        if not rest or rest[0].text is None or rest[0].is_pattern:
            effects.doubt("variable")
            return InnerCommands([*words])
        return InnerCommands(own, texts=[rest[0].text])
    if rest and "input" not in options:  # a script
        return InnerCommands([*words])
    if given is None:
        effects.doubt("piped_code")
        effects.act(ToolAction.RUN_CODE)
    return InnerCommands([*words], texts=[given] if given else [])


def _read_shell_option(text: str) -> str:
    """Return what an option of a shell means for what it executes."""
    meanings = (
        ("end", r"--?"),
        ("code", r"-[leuxi]*c[leux]*"),
        ("input", r"-s"),
        ("value", r"[-+]o"),
        ("harmless", r"-[leux]+|--login|--norc|--noprofile|--posix"),
    )
    return next((name for name, form in meanings if re.fullmatch(form, text)), "unknown")


def _find_executed(words: Sequence[Word], *, is_find: bool) -> InnerCommands:
    """Return the commands of `find -exec` and `fd -x`. The files that they get are not known."""
    found = InnerCommands([*words[:1]])
    starts = _EXECUTING_TESTS if is_find else _EXECUTING_OPTIONS
    at = 1
    while at < len(words):
        word = words[at]
        found.own.append(word)
        at += 1
        name, equals, value = word.shown.partition("=")
        if name not in starts:
            continue
        command = [Word(value, value)] if equals else []
        while at < len(words) and words[at].shown not in (";", "+"):
            one = words[at]
            command.append(Word(None, one.shown) if "{}" in one.shown else one)
            at += 1
        at += 1
        found.words.append(command if is_find else [*command, Word(None, "…")])
    return found
