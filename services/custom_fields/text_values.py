"""Read values of custom fields from texts: of forms, and of templates."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from models import FieldType

INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
DECIMAL = re.compile(
    r"[+-]?(\d{1,20}(\.\d{0,20})?|\.\d{1,20})(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE
)
BOOLEANS = {"true": True, "false": False}


def parse_text(type: FieldType, text: str) -> Any:
    """Return the value of a text; None if it is blank.

    A text that is not of the type is returned as it is, so that the validation rejects it.
    """
    typed = text.strip()
    if not typed:
        return None
    parse = PARSERS.get(type)
    return parse(typed) if parse else text


def _parse_integer(text: str) -> int | str:
    return int(text) if INTEGER.fullmatch(text) else text


def _parse_decimal(text: str) -> float | str:
    if INTEGER.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


PARSERS: Mapping[FieldType, Callable[[str], Any]] = {
    FieldType.INTEGER: _parse_integer,
    FieldType.DECIMAL: _parse_decimal,
    FieldType.BOOLEAN: lambda text: BOOLEANS.get(text.lower(), text),
    FieldType.DATE: str,
    FieldType.DATE_TIME: str,
    FieldType.URL: str,
    FieldType.JSON: _parse_json,
}
"""Functions that read a text without blanks around it. Other types keep the text as it is."""
