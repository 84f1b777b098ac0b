"""Format JSON in one canonical way, so that equal values have the same hash.

A page of approvals hashes every payload, so the formatting must be fast for many small values.
"""

import hashlib
import json
from collections.abc import Mapping
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
    if kind is int:
        return repr(value)
    if kind is float:
        return _format_float(value)
    if kind is bool or value is None:
        return "null" if value is None else "true" if value else "false"
    if kind is list or isinstance(value, list | tuple):
        return "[" + ",".join([format_canonical_json(item) for item in value]) + "]"
    if isinstance(value, Mapping):
        pairs = [
            f"{encode_basestring(key)}:{format_canonical_json(value[key])}" for key in sorted(value)
        ]
        return "{" + ",".join(pairs) + "}"
    return json.dumps(value, ensure_ascii=False)


def _format_float(number: float) -> str:
    """Format a number without an exponent and without trailing zeros; zero has no sign."""
    text = repr(number)
    if "e" in text:
        sign = "-" if number < 0 else ""
        mantissa, _, exponent = text.lstrip("-").partition("e")
        whole, _, fraction = mantissa.partition(".")
        power = int(exponent)
        if power > 0:  # at least 16, which is at least the length of the fraction
            return f"{sign}{whole}{fraction:0<{power}}"
        return f"{sign}0.{'0' * (-power - 1)}{whole}{fraction}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
