"""Read the name and the description of a skill from its SKILL.md.

The front matter is YAML. Only what describes a skill is read: scalars at the top level. No YAML
library is used, because aliases and nesting can need much time and memory.
"""

import re
from collections.abc import Mapping, Sequence

from core.text import LINE_BREAKS, replace_unstorable, to_one_line

MAX_HEAD_LENGTH = 20_000  # characters of a file that are looked at
MAX_VALUE_LENGTH = 2_000  # characters of a value
MARK = "---"
KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,40}):(?:[ \t]+(.*))?")
BLOCK_SCALAR = re.compile(r"[|>][+-]?[1-9]?[+-]?")
ESCAPES = {"n": " ", "t": " ", "r": " "}  # values are one line


def parse_skill_text(content: str) -> tuple[Mapping[str, str], str, str]:
    """Return the values of the front matter, the first heading, and the first line of text."""
    lines = LINE_BREAKS.sub("\n", content[:MAX_HEAD_LENGTH].removeprefix("\ufeff")).split("\n")
    end = _find_end(lines)
    values, body = _parse_values(lines[1:end]), [line.strip() for line in lines[end:]]
    headings = (line.lstrip("#") for line in body if line.startswith("#"))
    texts = (line for line in body if line and not line.startswith("#") and line != MARK)
    return values, clean_value(next(headings, "")), clean_value(next(texts, ""))


def _find_end(lines: Sequence[str]) -> int:
    """Return the number of the line that ends the front matter, or 0 if there is none."""
    if lines[0].rstrip() != MARK:
        return 0
    ends = (at for at, line in enumerate(lines) if at and line.rstrip() == MARK)
    return next(ends, 0)


def clean_value(value: object) -> str:
    """Return a value of others as one short line that can be stored, or "" if it is no text."""
    if not isinstance(value, str):
        return ""
    return to_one_line(replace_unstorable(value[: 4 * MAX_VALUE_LENGTH]))[:MAX_VALUE_LENGTH]


def _parse_values(lines: Sequence[str]) -> Mapping[str, str]:
    """Return the scalars at the top level; the first one of a name counts."""
    values: dict[str, str] = {}
    name, parts = "", list[str]()
    for line in [*lines, "end:"]:
        if line[:1] in (" ", "\t") or not line.strip():
            parts.append(line.strip())
            continue
        if name:
            values.setdefault(name, _parse_scalar(parts))
        found = KEY.fullmatch(line.rstrip())
        name, parts = (found[1].lower(), [found[2] or ""]) if found else ("", [])
    return values


def _parse_scalar(parts: Sequence[str]) -> str:
    first = parts[0].strip()
    if BLOCK_SCALAR.fullmatch(first):
        return clean_value(" ".join(parts[1:]))
    text = " ".join(parts).strip()
    if text.startswith('"'):
        return clean_value(_unescape(text[1:]))
    if text.startswith("'"):
        quoted, _end, _rest = text[1:].replace("''", "\0").partition("'")
        return clean_value(quoted.replace("\0", "'"))
    return clean_value(re.split(r"(?:^|\s)#", text, maxsplit=1)[0])


def _unescape(text: str) -> str:
    """Return a text up to the closing quotation mark, with its escaped characters."""
    result: list[str] = []
    is_escaped = False
    for character in text:
        if is_escaped:
            result.append(ESCAPES.get(character, character))
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            break
        else:
            result.append(character)
    return "".join(result)
