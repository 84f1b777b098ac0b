"""Format JSON in one canonical way, so that equal values have the same hash."""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal


def hash_json(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal digits."""
    return hashlib.sha256(format_canonical_json(value).encode()).hexdigest()


def format_canonical_json(value: object) -> str:
    """Format a JSON value so that equal values give equal text.

    Keys are sorted by code point, there are no spaces, and characters outside ASCII are not
    escaped. The database stores numbers by value, so a number is formatted by value too.
    """
    parts = []
    if isinstance(value, Mapping):
        for key in sorted(value):
            parts.append(f"{_format_text(key)}:{format_canonical_json(value[key])}")
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list | tuple):
        for item in value:
            parts.append(format_canonical_json(item))
        return "[" + ",".join(parts) + "]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _format_number(value)
    return _format_text(value)


def _format_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _format_number(number: float) -> str:
    """Format a number without an exponent and without trailing zeros; zero has no sign."""
    text = format(Decimal(repr(number) if isinstance(number, float) else number), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
