"""Format JSON in one canonical way, so that equal values have the same hash.

A page of approvals hashes every payload, so the formatting must be fast for many small values.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any


def hash_json(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value, in hexadecimal digits."""
    return hashlib.sha256(format_canonical_json(value).encode()).hexdigest()


def format_canonical_json(value: Any) -> str:
    """Format a JSON value so that equal values give equal text.

    Keys are sorted by code point, there are no spaces, and characters outside ASCII are not
    escaped. The database stores numbers by value, so a number is formatted by value too.
    """
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int or kind is float:
        return _format_number(value)
    if kind is bool or value is None:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = [
            f"{encode_basestring(key)}:{format_canonical_json(value[key])}" for key in sorted(value)
        ]
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([format_canonical_json(item) for item in value]) + "]"
    return json.dumps(value, ensure_ascii=False)


def _format_number(number: float) -> str:
    """Format a number without an exponent and without trailing zeros; zero has no sign."""
    text = repr(number)
    if not text.lstrip("-").replace(".", "", 1).isdecimal():  # it has an exponent
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
