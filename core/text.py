"""Check which texts PostgreSQL can store, clean texts of others, create slugs, and mark texts."""

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs"})  # control and format characters, surrogates
INVISIBLE_RANGES = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800)),
    *((0x3164, 0x3164), (0xFE00, 0xFE0D), (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF)),
)
"""Invisible characters of other categories: fillers, and selectors that can carry hidden text."""

JOINERS = "\u200c\u200d\ufe0e\ufe0f"  # needed in some scripts and emoji, after a letter or sign
EMOJI_JOINT = ("\ufe0f", "\u200d")  # the only two joiners in a row, as in the rainbow flag
FIRST_JOINED = "\u00a9"  # scripts and emoji with joiners begin here
MAX_JSON_DEPTH = 60  # levels of lists and objects in a value
MAX_PLAIN_EXPONENT = 50  # binary, of a number that is written without an exponent
LINE_BREAKS = re.compile("\r\n|[\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029]")


def N_(text: str) -> str:  # noqa: N802 (the name that gettext tools know)
    """Mark a text of pages that is translated when it is shown."""
    return text


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: no NUL and no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def is_email(text: str) -> bool:
    """Return whether a text has the form of an e-mail address: name@host without spaces."""
    name, at, host = text.partition("@")
    is_whole = bool(name and at and host) and "@" not in host
    is_short = len(text) <= 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
    return is_whole and is_short and text.isprintable() and " " not in text


def replace_unstorable(text: str) -> str:
    """Replace the characters that PostgreSQL cannot store."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def escape_pattern(text: str) -> str:
    """Escape with `/` the characters of a text that have a meaning in a pattern of LIKE."""
    return text.replace("/", "//").replace("%", "/%").replace("_", "/_")


def is_storable_json(value: object, *, max_length: int) -> bool:
    """Return whether a value can be stored as JSON of at most `max_length` characters.

    The database stores numbers without an exponent, so 1e-300 counts as 300 characters.
    """
    try:
        size = len(json.dumps(value, allow_nan=False))
        if size > max_length:
            return False
        for part in _iterate_parts(value):
            if not isinstance(part, str):
                size += _count_exponent_digits(part)
            elif not is_storable(part):
                return False
        return size <= max_length
    except (TypeError, ValueError, RecursionError):
        return False


def is_nested_too_deeply(value: object) -> bool:
    """Return whether a value has more than MAX_JSON_DEPTH levels of lists and objects.

    Encoders of responses, which wrap it, accept only a few more.
    """
    parts = [value]
    for _ in range(MAX_JSON_DEPTH):
        parts = [
            part
            for one in parts
            if isinstance(one, dict | list)
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(part, dict | list) for part in parts)


def to_lines(text: str) -> str:
    """Return a text whose lines end with a line feed, without invisible characters.

    Only spaces, tabs and what is drawn remain. The time is linear in the length of the text.
    """
    return "\n".join(remove_invisible(line) for line in LINE_BREAKS.sub("\n", text).split("\n"))


def to_one_line(text: str) -> str:
    """Return a text as one line with single spaces, without invisible characters."""
    return " ".join(remove_invisible(LINE_BREAKS.sub(" ", text)).split())


def remove_invisible(text: str) -> str:
    """Return a text without invisible characters; tabs and joiners within a script are kept."""
    if text.isascii() and text.isprintable():
        return text
    kept: list[str] = []
    for character in text:
        if character in JOINERS:
            last = kept[-1] if kept else ""
            if (last in JOINERS and (last, character) != EMOJI_JOINT) or last < FIRST_JOINED:
                continue
        elif character != "\t" and _is_invisible(character):
            continue
        kept.append(character)
    return "".join(kept).rstrip("\u200c\u200d")


@lru_cache(maxsize=4096)
def _is_invisible(character: str) -> bool:
    code = ord(character)
    return unicodedata.category(character) in INVISIBLE_CATEGORIES or any(
        first <= code <= last for first, last in INVISIBLE_RANGES
    )


def slugify(name: str, *, max_length: int) -> str:
    """Convert a name to lower-case ASCII letters, digits and hyphens; the result can be empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:max_length].rstrip("-")


def _iterate_parts(value: Any) -> Iterator[str | float]:
    """Iterate over the texts and the fractions in a value, in any order."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str | float):
            yield one
        elif isinstance(one, Mapping):
            yield from map(str, one)
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)


def _count_exponent_digits(number: float) -> int:
    """Return about how many digits a number has without an exponent; 0 if it has none anyway."""
    exponent = abs(math.frexp(number)[1])
    return exponent * 3 // 10 if exponent > MAX_PLAIN_EXPONENT else 0
