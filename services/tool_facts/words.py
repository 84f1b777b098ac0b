"""The words of a command: names of programs, operands and options."""

import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SYSTEM_FOLDERS = ("/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/")
SAFE_VARIABLES = frozenset(
    (
        *("CI", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "LANG", "LC_ALL"),
        *("LC_CTYPE", "TZ", "TERM", "COLUMNS", "LINES", "NODE_ENV", "RAILS_ENV", "RUST_BACKTRACE"),
        *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "GIT_TERMINAL_PROMPT", "DEBIAN_FRONTEND"),
    )
)
"""Variables that change the output of programs, and not what they execute."""
NUMBER_VARIABLES = frozenset(("COLUMNS", "LINES"))  # their values are arithmetic in zsh
SHELL_PROGRAMS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "rbash"))

_CODE_SEPARATORS = re.compile(r"[\s'\"();|&`$=,!:{}+<>\[\]]+")


@dataclass(frozen=True)
class Word:
    """A word of a command. Without a text it is known only when the command is executed."""

    text: str | None
    source: str  # as it is written
    is_pattern: bool = False  # names of files are inserted

    @property
    def shown(self) -> str:
        """The text, or what is written if there is none."""
        return self.source if self.text is None else self.text


def find_name(text: str) -> str:
    """Return the name of a program in a folder of the system, other paths as they are."""
    text = posixpath.normpath("/" + text.lstrip("/")) if text.startswith("/") else text
    for folder in SYSTEM_FOLDERS:
        if text.startswith(folder):
            return text[len(folder) :]
    return text


def list_code_words(words: Iterable[str]) -> list[str]:
    """Return the words in the arguments of a command that may be executed as code."""
    found = [one for word in words for one in _CODE_SEPARATORS.split(word) if one]
    return [part for one in found for part in (one, *_list_attached(one))]


def _list_attached(word: str) -> list[str]:
    """Return the value that is attached to a short option, if any."""
    return [word[2:]] if re.match(r"-[^-]..", word) else []


def list_operands(texts: Sequence[str], *, with_values: bool = True) -> list[str]:
    """Return the words that are not options, and by default the values in options."""
    operands: list[str] = []
    only_operands = False
    for one in texts:
        if one == "--" and not only_operands:
            only_operands = True
        elif one != "-" and (only_operands or not one.startswith("-")):
            operands.append(one)
    return operands + (list_option_values(texts) if with_values else [])


def list_option_values(texts: Sequence[str]) -> list[str]:
    """Return the values in options such as `--file=name` and `-fname` that can be paths."""
    values = []
    for one in texts:
        if one.startswith("--") and "=" in one:
            values.append(one.partition("=")[2])
        elif re.match(r"-[^-].*[/.~]|-[^-][/.~]", one):
            values.append(one[2:])
    return values


def is_option(word: str, flags: str, *names: str) -> bool:
    """Return whether a word is one of these options; long ones can be abbreviated."""
    if word.startswith("--"):
        return any(is_long_option(word, name) for name in names)
    return word.startswith("-") and any(flag in word[1:] for flag in flags)


def is_long_option(word: str, name: str) -> bool:
    """Return whether a word is a long option or an abbreviation of it."""
    start = word.partition("=")[0]
    return len(start) > 2 and name.startswith(start)
