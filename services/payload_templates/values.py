"""Read values from a payload, and convert them to plain text.

Payloads are of strangers. Each function is linear in what it reads, and bounded by the limits here.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from core.text import replace_unstorable, to_lines

MAX_VALUE_LENGTH = 20_000  # characters of one value
MAX_ITEMS = 1_000  # that `*` stands for
MAX_DEPTH = 8  # levels of lists and objects of a value
MAX_INDEX_DIGITS = 4
MAX_KEY_LENGTH = 200  # characters
MAX_BITS = 256  # of a whole number
ITEM_COST = 10  # characters that an item counts for, beside its texts
LEFT_OUT = "…"  # in place of what is beyond the limits
EVERY_ITEM = "*"  # as a step of a path: each item of a list

Path: TypeAlias = Sequence[str]

_INLINE = re.compile(r"[\\`*_\[\]<>~|]")
_MENTION = re.compile(r"(?<![A-Za-z0-9_%+@-])@(?=\w)")  # as in services/messages/mentions.py
_LINE_START = re.compile(r"([ \t]*)(?:([#+=-])|(\d{1,9})([.)]))?")


def find_value(data: object, path: Path) -> object | None:
    """Return the value at a path, or None. The names are keys of objects and indexes of lists.

    `*` stands for each item of a list; the result is the list of what the rest of the path finds.
    """
    found, is_list = [data], False
    for name in path:
        if name == EVERY_ITEM:
            is_list = True
            found = [item for one in found if isinstance(one, list) for item in one[:MAX_ITEMS]]
            found = found[:MAX_ITEMS]
        else:
            found = [value for one in found if (value := _get_item(one, name)) is not None]
    if is_list:
        return found or None
    return found[0] if found else None


def _get_item(value: object, name: str) -> object | None:
    if isinstance(value, Mapping):
        return value.get(name)
    if (
        isinstance(value, list)
        and name.isascii()
        and name.isdecimal()
        and len(name) <= MAX_INDEX_DIGITS
    ):
        return value[int(name)] if int(name) < len(value) else None
    return None


def format_value(value: object) -> str:
    """Convert a value to plain text: lists of texts and numbers with commas, the rest as JSON."""
    if isinstance(value, str):
        return value[:MAX_VALUE_LENGTH]
    pruned = _prune(value, MAX_DEPTH, [MAX_VALUE_LENGTH])
    if isinstance(pruned, list) and not any(isinstance(one, list | dict) for one in pruned):
        texts = [one if isinstance(one, str) else json.dumps(one) for one in pruned]
        return ", ".join(texts)[:MAX_VALUE_LENGTH]
    return _write_json(pruned)


def format_json(value: object) -> str:
    """Convert a value to indented JSON; what is beyond the limits is left out."""
    return _write_json(_prune(value, MAX_DEPTH, [MAX_VALUE_LENGTH]))


def _write_json(pruned: object) -> str:
    indent = 2 if isinstance(pruned, list | dict) else None
    return json.dumps(pruned, ensure_ascii=False, indent=indent)[:MAX_VALUE_LENGTH]


def _prune(value: object, depth: int, left: list[int]) -> object:
    """Return a part of a value; `left` holds how many characters and items may still be kept."""
    if isinstance(value, str):
        left[0] -= len(text := value[: left[0]])
        return text
    if isinstance(value, Mapping) and depth:
        return {
            str(key)[:MAX_KEY_LENGTH]: _prune(one, depth - 1, left)
            for key, one in _take(value.items(), left)
        }
    if isinstance(value, list) and depth:
        return [_prune(one, depth - 1, left) for one in _take(value, left)]
    is_small = not isinstance(value, int) or value.bit_length() <= MAX_BITS
    return value if is_small and isinstance(value, int | float | None) else LEFT_OUT


def _take(items: Iterable[Any], left: list[int]) -> Iterator[Any]:
    for item in items:
        if left[0] <= ITEM_COST:
            return
        left[0] -= ITEM_COST
        yield item


def clean_text(text: str) -> str:
    """Return a text that can be stored, without invisible characters."""
    return to_lines(replace_unstorable(text))


def escape_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, line by line, and it mentions nobody."""
    return "\n".join(map(_escape_line, _MENTION.sub("@ ", text).split("\n")))


def _escape_line(line: str) -> str:
    start = _LINE_START.match(line)
    assert start is not None  # it matches an empty text
    _, sign, number, end = start.groups()
    marker = f"\\{sign}" if sign else f"{number}\\{end}" if number else ""
    return marker + _INLINE.sub(r"\\\g<0>", line[start.end() :])
