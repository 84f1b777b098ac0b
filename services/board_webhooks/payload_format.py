"""Decode the body of a request to a webhook, and format payloads with a limited length."""

import json
from typing import Any

import pydantic_core

from core.text import is_storable_json, replace_unstorable

PREVIEW_LENGTH = 4_000  # characters of a payload in a message and a note (W-17)
MAX_EXPANSION = 4  # how many times longer than the body its stored JSON may be
JSON_BEGINNINGS = ("{", "[", '"')
JSON_WORDS = ("true", "false")

PRETTY_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)


def decode_body(body: bytes, content_type: str | None) -> Any:
    """Return the payload of a body: a JSON value, or the text if it is not JSON (11.1).

    Values that the database cannot store are kept as text too, as they were sent.
    """
    if not body:
        return {}
    text = body.decode(errors="replace").removeprefix("\ufeff")
    if _is_json(text, content_type or ""):
        try:
            value = pydantic_core.from_json(text, allow_inf_nan=False)
        except ValueError:
            return replace_unstorable(text)
        if is_storable_json(value, max_length=MAX_EXPANSION * max(len(body), 1_000)):
            return value
    return replace_unstorable(text)


def _is_json(text: str, content_type: str) -> bool:
    return (
        "json" in content_type.lower()
        or text.lstrip().startswith(JSON_BEGINNINGS)
        or text.strip().lower() in JSON_WORDS
    )


def format_payload(payload: Any, max_length: int) -> tuple[str, bool]:
    """Return the payload as indented JSON or text, cut to a length, and whether it was cut.

    Only what is shown is formatted, because the indentation of nested values has no limit.
    """
    if isinstance(payload, str):
        return payload[:max_length], len(payload) > max_length
    parts, length = [], 0
    for part in PRETTY_ENCODER.iterencode(payload):
        parts.append(part)
        length += len(part)
        if length > max_length:
            return "".join(parts)[:max_length], True
    return "".join(parts), False


def shorten_payload(payload: Any, max_chars: int | None) -> Any:
    """Return the payload, or a text of `max_chars` characters if it is longer (6.12)."""
    if max_chars is None:
        return payload
    text = payload if isinstance(payload, str) else json.dumps(payload)
    if len(text) <= max_chars:
        return payload
    return text[:max_chars] if max_chars <= 3 else f"{text[: max_chars - 3]}..."
