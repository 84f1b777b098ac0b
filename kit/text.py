"""Which texts a database can hold, and what is made of a name for an address."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def storable(text: str) -> bool:
    """Say whether PostgreSQL can store a text: it takes no NUL, and no half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def mended(text: str) -> str:
    """Return a text that PostgreSQL can store: what it does not take is replaced."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def storable_json(value: object, *, largest: int) -> bool:
    """Say whether PostgreSQL can store a value as JSON, in at most so many characters."""
    try:
        size = len(json.dumps(value, allow_nan=False))
        return size <= largest and all(storable(text) for text in _texts(value))
    except (TypeError, ValueError, RecursionError):
        return False


def slugged(name: str, *, most: int) -> str:
    """Return a name in small letters and digits, with hyphens for all the rest; maybe nothing."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:most].rstrip("-")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
