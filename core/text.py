"""Check which texts PostgreSQL can store, and create slugs."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: no NUL and no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def replace_unstorable(text: str) -> str:
    """Replace the characters that PostgreSQL cannot store."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def is_storable_json(value: object, *, max_length: int) -> bool:
    """Return whether a value can be stored as JSON of at most `max_length` characters."""
    try:
        size = len(json.dumps(value, allow_nan=False))
        return size <= max_length and all(is_storable(text) for text in _iterate_texts(value))
    except (TypeError, ValueError, RecursionError):
        return False


def slugify(name: str, *, max_length: int) -> str:
    """Convert a name to lower-case ASCII letters, digits and hyphens; the result can be empty."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:max_length].rstrip("-")


def _iterate_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield str(name)
            yield from _iterate_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_texts(item)
