"""Templates that insert values of a payload: `{{ path.to.value | filter }}`.

There are no expressions, loops or calls. Parsing and rendering take time in proportion to the
lengths of the template and of the result. See docs/decisions/payload-templates.md.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from core.errors import Invalid
from core.text import N_
from services.payload_templates.values import (
    MAX_VALUE_LENGTH,
    Path,
    clean_text,
    find_value,
    format_json,
    format_value,
)

MAX_TEMPLATE_LENGTH = 20_000  # characters
MAX_PLACEHOLDERS = 100  # in one template
MAX_PLACEHOLDER_LENGTH = 300  # characters between the braces
MAX_FILTERS = 5  # of one placeholder
MAX_SHOWN_LENGTH = 80  # characters of a template in an error

BEGIN, END = "{{", "}}"
_PATH = re.compile(r"@?[^\s.|{}\"@]+(?:\.[^\s.|{}\"@]+)*")
_FILTER = re.compile(r'\s*\|\s*([a-z_]+)\s*(?::\s*(?:"([^"]*)"|(\d{1,5})))?\s*')


class Filter(NamedTuple):
    """A filter of a placeholder with its argument."""

    name: str
    text: str | None
    number: int | None


@dataclass(frozen=True)
class Placeholder:
    """A place in a template where a value is inserted."""

    path: Path
    filters: Sequence[Filter]

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


Template: TypeAlias = Sequence[str | Placeholder]


class Rendered(NamedTuple):
    """The text of a template, and the paths that have no value."""

    text: str
    missing: Sequence[str]


def _first_line(text: str, _: Filter) -> str:
    return next((line for line in map(str.strip, text.split("\n", 100)) if line), "")


def _truncate(text: str, filter: Filter) -> str:
    length = filter.number or 0
    return text if len(text) <= length else f"{text[: max(0, length - 1)]}…"


FILTERS: Mapping[str, Callable[[str, Filter], str]] = {
    "default": lambda text, one: text if text.strip() else one.text or "",
    "first_line": _first_line,
    "json": lambda text, _: text,
    "lower": lambda text, _: text.lower(),
    "trim": lambda text, _: text.strip(),
    "truncate": _truncate,
    "upper": lambda text, _: text.upper(),
}
ARGUMENTS = {"default": "text", "truncate": "number"}


def parse_template(text: str, field: str) -> Template:
    """Parse a template. Raises Invalid with the line of the error."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        reason = N_("This is too long: %(length)s characters, %(max_length)s at most.")
        raise Invalid(
            "too_long", reason, field=field, length=len(text), max_length=MAX_TEMPLATE_LENGTH
        )
    parts: list[str | Placeholder] = []
    start = count = 0
    while (begin := text.find(BEGIN, start)) >= 0:
        end = text.find(END, begin, begin + MAX_PLACEHOLDER_LENGTH)
        line = text.count("\n", 0, begin) + 1
        if end < 0:
            reason = N_("Line %(line)s: close the placeholder with }}.")
            raise Invalid("template_not_closed", reason, field=field, line=line)
        count += 1
        if count > MAX_PLACEHOLDERS:
            reason = N_("A template has at most %(max_count)s placeholders.")
            raise Invalid("template_too_many", reason, field=field, max_count=MAX_PLACEHOLDERS)
        placeholder = _parse_placeholder(text[begin + len(BEGIN) : end].strip(), field, line)
        parts += [text[start:begin], placeholder]
        start = end + len(END)
    return [*parts, text[start:]]


def parse_path(text: str, field: str, *, line: int = 1) -> Path:
    """Parse the path of a value. Raises Invalid."""
    if not _PATH.fullmatch(text) or len(text) > MAX_PLACEHOLDER_LENGTH:
        shown = text[:MAX_SHOWN_LENGTH]
        reason = N_("Line %(line)s: “%(text)s” is not the path of a value.")
        raise Invalid("template_path_invalid", reason, field=field, line=line, text=shown)
    return text.split(".")


def _parse_placeholder(text: str, field: str, line: int) -> Placeholder:
    path = text.partition("|")[0]
    filters: list[Filter] = []
    at = len(path)
    while at < len(text):
        match = _FILTER.match(text, at)
        if match is None or len(filters) == MAX_FILTERS:
            raise _invalid_filter(text[at:], field, line)
        filter = Filter(match[1], match[2], int(match[3]) if match[3] else None)
        _check_filter(filter, field, line)
        filters.append(filter)
        at = match.end()
    return Placeholder(parse_path(path.strip(), field, line=line), filters)


def _check_filter(filter: Filter, field: str, line: int) -> None:
    given = {"text": filter.text, "number": filter.number}
    sent = next((kind for kind, value in given.items() if value is not None), None)
    if filter.name not in FILTERS or ARGUMENTS.get(filter.name) != sent:
        raise _invalid_filter(filter.name, field, line)


def render_template(
    template: Template,
    data: Mapping[str, object],
    *,
    max_length: int,
    escape: Callable[[str], str] = str,
) -> Rendered:
    """Insert the values of a payload. Values that do not exist are empty; the rest is cut.

    Invisible characters are removed, but count for the length that is cut.
    """
    pieces: list[str] = []
    missing: dict[str, None] = {}
    left = max_length
    for part in template:
        if isinstance(part, str):
            piece = part[:left]
            left -= len(piece)
        else:
            value = find_value(data, part.path)
            if value is None:
                missing[part.name] = None
            read = _apply_filters(value, part.filters)[:left]
            piece = escape(clean_text(read))[:left]
            left -= max(len(piece), len(read))
        pieces.append(piece)
    return Rendered("".join(pieces), list(missing))


def _apply_filters(value: object | None, filters: Sequence[Filter]) -> str:
    is_json = any(one.name == "json" for one in filters)
    text = "" if value is None else format_json(value) if is_json else format_value(value)
    for one in filters:
        text = FILTERS[one.name](text, one)[:MAX_VALUE_LENGTH]
    return text


def _invalid_filter(text: str, field: str, line: int) -> Invalid:
    shown = text.strip()[:MAX_SHOWN_LENGTH]
    reason = N_("Line %(line)s: “%(text)s” is not a filter, or its argument is wrong.")
    return Invalid("template_filter_invalid", reason, field=field, line=line, text=shown)
