"""Payload templates: what is made of the payloads of webhooks that have no rules of their own.

A template inserts values of a payload: `{{ path.to.value | filter }}`. There are no expressions,
loops or calls. Payloads are of strangers: each function is linear in what it reads, and bounded by
the limits here. Parsing and rendering take time in proportion to the lengths of the template and of
the result. See docs/decisions/payload-templates.md.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import AfterValidator, BeforeValidator, StringConstraints, ValidationInfo

from core.clock import to_utc
from core.errors import Invalid
from core.fields import ALLOWED_YEARS, FieldKind, Fields, Label
from core.text import N_, replace_unstorable, to_lines, to_one_line
from models import Priority

MAX_VALUE_LENGTH = 20_000  # characters of one value
MAX_ITEMS = 1_000  # that `*` stands for
MAX_DEPTH = 8  # levels of lists and objects of a value
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
    if isinstance(value, list) and name.isascii() and name.isdecimal() and len(name) <= 4:
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
            str(key)[:200]: _prune(one, depth - 1, left) for key, one in _take(value.items(), left)
        }
    if isinstance(value, list) and depth:
        return [_prune(one, depth - 1, left) for one in _take(value, left)]
    is_small = not isinstance(value, int) or value.bit_length() <= 256
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


MAX_TEMPLATE_LENGTH = 20_000  # characters
MAX_PLACEHOLDERS = 100  # in one template
MAX_PLACEHOLDER_LENGTH = 300  # characters between the braces
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
        if match is None or len(filters) == 5:
            raise _invalid_filter(text[at:], field, line)
        filter = Filter(match[1], match[2], int(match[3]) if match[3] else None)
        given = {"text": filter.text, "number": filter.number}
        sent = next((kind for kind, value in given.items() if value is not None), None)
        if filter.name not in FILTERS or ARGUMENTS.get(filter.name) != sent:
            raise _invalid_filter(filter.name, field, line)
        filters.append(filter)
        at = match.end()
    return Placeholder(parse_path(path.strip(), field, line=line), filters)


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
            is_json = any(one.name == "json" for one in part.filters)
            text = "" if value is None else format_json(value) if is_json else format_value(value)
            for one in part.filters:
                text = FILTERS[one.name](text, one)[:MAX_VALUE_LENGTH]
            read = text[:left]
            piece = escape(clean_text(read))[:left]
            left -= max(len(piece), len(read))
        pieces.append(piece)
    return Rendered("".join(pieces), list(missing))


def _invalid_filter(text: str, field: str, line: int) -> Invalid:
    shown = text.strip()[:MAX_SHOWN_LENGTH]
    reason = N_("Line %(line)s: “%(text)s” is not a filter, or its argument is wrong.")
    return Invalid("template_filter_invalid", reason, field=field, line=line, text=shown)


MAX_LENGTHS = {
    "title": 500,
    "description": 100_000,
    "priority": 100,
    "tags": 2_000,
    "due": 100,
    "message": 10_000,
}
"""How long the texts of the fields get, in characters."""
MAX_FIELDS = 50  # custom fields that a template sets
_KEY = re.compile(r"[^\s:{}]{1,200}")
_DAYS = re.compile(r"\+\s*(\d{1,4})\s*d(?:ays?)?", re.ASCII | re.IGNORECASE)


class Operator(StrEnum):
    """How a condition compares the value at its path."""

    EQUALS = "equals"
    DIFFERS = "differs"
    CONTAINS = "contains"
    EXISTS = "exists"


def _check_path(text: str, info: ValidationInfo) -> str:
    if text:
        parse_path(text, str(info.field_name))
    return text


def _read_operator(value: object) -> object:
    if value and not (isinstance(value, str) and value in {*Operator}):
        reason = N_("This is not a comparison.")
        raise Invalid("template_operator_invalid", reason, field="condition_operator")
    return value or Operator.EQUALS


def _check_template(text: str, info: ValidationInfo) -> str:
    parse_template(text, str(info.field_name))
    return text


def _check_field_lines(text: str, info: ValidationInfo) -> str:
    for template in parse_field_lines(text).values():
        parse_template(template, str(info.field_name))
    return text


Condition = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)]
TemplateText = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=MAX_TEMPLATE_LENGTH)
]
PlaceholderText = Annotated[TemplateText, AfterValidator(_check_template)]
LINE = FieldKind.LINE


class PayloadTemplate(Fields):
    """What is made of a payload. Without a path, the condition always holds."""

    condition_path: Annotated[
        Condition, AfterValidator(_check_path), Label(N_("Only if"), LINE)
    ] = ""
    condition_operator: Annotated[
        Operator, BeforeValidator(_read_operator), Label(N_("Comparison"), LINE)
    ] = Operator.EQUALS
    condition_value: Annotated[Condition, Label(N_("Value"), LINE)] = ""
    title: Annotated[PlaceholderText, Label(N_("Title"), LINE)] = ""
    description: Annotated[PlaceholderText, Label(N_("Description"), LINE)] = ""
    priority: Annotated[PlaceholderText, Label(N_("Priority"), LINE)] = ""
    tags: Annotated[PlaceholderText, Label(N_("Tags"), LINE)] = ""
    due: Annotated[PlaceholderText, Label(N_("Due"), LINE)] = ""
    message: Annotated[PlaceholderText, Label(N_("Message"), LINE)] = ""
    custom_fields: Annotated[
        TemplateText, AfterValidator(_check_field_lines), Label(N_("Custom fields"), LINE)
    ] = ""  # a field in each line: its key, a colon, and a text


class TemplateProblem(NamedTuple):
    """A text that could not be used, and what it was for."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RenderedTask:
    """The task that a template makes of a payload."""

    title: str
    description: str
    priority: str
    tags: Sequence[str]  # names or slugs
    due_at: datetime | None
    custom_fields: Mapping[str, str] = field(default_factory=dict)  # texts by key
    missing: Sequence[str] = ()  # paths without a value
    problems: Sequence[TemplateProblem] = ()


def build_data(
    payload: object,
    headers: Mapping[str, str],
    *,
    description: str,
    received_at: datetime,
) -> dict[str, object]:
    """Return what templates can name: the keys of the payload, and four names with an @."""
    keys = payload if isinstance(payload, Mapping) else {}
    return {
        **keys,
        "@payload": payload,
        "@headers": {name.lower(): value for name, value in headers.items()},
        "@webhook": description,
        "@received_at": received_at.isoformat(),
    }


def holds_condition(template: PayloadTemplate, data: Mapping[str, object]) -> bool:
    """Return whether a payload fulfils the condition of a template."""
    if not template.condition_path:
        return True
    value = find_value(data, template.condition_path.split("."))
    wanted, operator = template.condition_value, template.condition_operator
    if operator == Operator.EXISTS:  # a stored one is a plain text
        return value is not None
    text = "" if value is None else format_value(value)
    if operator == Operator.CONTAINS:
        return wanted in text
    return (text.strip() == wanted) is (operator == Operator.EQUALS)


def render_task(
    template: PayloadTemplate, data: Mapping[str, object], at: datetime
) -> RenderedTask:
    """Build the task of a payload. Its title is empty if the template gives none."""
    problems: list[TemplateProblem] = []
    rendered = {
        name: _render(
            getattr(template, name),
            name,
            data,
            max_length,
            escape_markdown if name == "description" else str,
        )
        for name, max_length in MAX_LENGTHS.items()
        if name != "message"
    }
    texts = {name: to_one_line(one.text) for name, one in rendered.items()}
    priority = texts["priority"].lower()
    if priority and priority not in {*Priority}:
        problems.append(TemplateProblem("priority_unknown", priority))
    due_at = _parse_due(texts["due"], at)
    if texts["due"] and due_at is None:
        problems.append(TemplateProblem("due_invalid", texts["due"]))
    of_fields = {
        key: _render(text, "custom_fields", data, 10_000)
        for key, text in parse_field_lines(template.custom_fields).items()
    }
    tags = [name for name in map(str.strip, texts["tags"].split(",")) if name]
    all_texts = [*rendered.values(), *of_fields.values()]
    missing = [path for one in all_texts for path in one.missing]
    return RenderedTask(
        title=texts["title"],
        description=rendered["description"].text.strip(),
        priority=priority if priority in {*Priority} else Priority.MEDIUM,
        tags=list(dict.fromkeys(tags))[:20],
        due_at=due_at,
        custom_fields={key: one.text.strip() for key, one in of_fields.items()},
        missing=list(dict.fromkeys(missing)),
        problems=problems,
    )


def parse_field_lines(text: str) -> Mapping[str, str]:
    """Return the templates of custom fields by key. Raises Invalid with the line."""
    templates: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, colon, template = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon or not _KEY.fullmatch(key) or key in templates:
            reason = N_("Line %(line)s: write each field once, in a line of its own, as key: text.")
            raise Invalid("template_fields_invalid", reason, field="custom_fields", line=number)
        templates[key] = template
    if len(templates) > MAX_FIELDS:
        reason = N_("A template sets at most %(max_count)s custom fields.")
        raise Invalid(
            "too_many_template_fields", reason, field="custom_fields", max_count=MAX_FIELDS
        )
    return templates


def render_message(template: PayloadTemplate, data: Mapping[str, object]) -> Rendered:
    """Build the message of a payload: plain text, which the caller marks as external."""
    return _render(template.message, "message", data, MAX_LENGTHS["message"])


def _render(
    text: str,
    name: str,
    data: Mapping[str, object],
    max_length: int,
    escape: Callable[[str], str] = str,
) -> Rendered:
    return render_template(parse_template(text, name), data, max_length=max_length, escape=escape)


def _parse_due(text: str, at: datetime) -> datetime | None:
    """Parse a date, a time or a number of days from now, as in `+3d`."""
    if days := _DAYS.fullmatch(text):
        return at + timedelta(days=int(days[1]))
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return to_utc(moment) if moment.year in ALLOWED_YEARS else None
    except (ValueError, OverflowError):
        return None
