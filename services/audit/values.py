"""Prepare values for the audit: bounded, without secrets, and the same in every JSON library."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.clock import to_utc
from core.security.secrets import mask_tokens
from core.text import replace_unstorable

MAX_TEXT_LENGTH = 500  # characters; a longer text is cut, and its hash is added
MAX_ITEMS = 100  # of an object or a list
MAX_DEPTH = 6  # levels of objects and lists
MAX_SAFE_INTEGER = 2**53  # larger numbers differ between JSON libraries (RFC 8259, 6)


def clean_value(value: object, depth: int = MAX_DEPTH) -> Any:
    """Return a value as JSON without fractions, so that its text is the same everywhere.

    Numbers with a fraction become text. Tokens of ours are masked.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _clean_number(value)
    if isinstance(value, datetime):
        return to_utc(value).isoformat()
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _clean_collection(value, depth)
    return clean_text(str(value))


def clean_text(text: str | None) -> str | None:
    """Mask tokens, replace what cannot be stored, and cut a long text."""
    if text is None:
        return None
    text = mask_tokens(replace_unstorable(text))
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:MAX_TEXT_LENGTH]}… ({len(text)} characters, SHA-256 {digest})"


def _clean_number(value: float) -> int | str:
    if value == value and abs(value) <= MAX_SAFE_INTEGER and value == int(value):
        return int(value)
    return str(value)


def _clean_collection(value: Any, depth: int) -> Any:
    if not depth:
        return "…"
    if not isinstance(value, Mapping):
        listed = sorted(map(str, value)) if isinstance(value, set | frozenset) else [*value]
        items = [clean_value(item, depth - 1) for item in listed[:MAX_ITEMS]]
        return [*items, f"… ({len(listed)} items)"] if len(listed) > MAX_ITEMS else items
    pairs = [*value.items()][:MAX_ITEMS]
    cleaned = {clean_text(str(name)): clean_value(item, depth - 1) for name, item in pairs}
    return {**cleaned, "…": f"{len(value)} items"} if len(value) > MAX_ITEMS else cleaned
