"""Build a task or a message from a payload: the templates of its fields, and a condition."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Self

from core.clock import to_utc
from core.errors import Invalid
from core.text import N_, to_one_line
from core.validation import ALLOWED_YEARS, trimmed_text
from models import Priority
from services.payload_templates.templates import (
    MAX_TEMPLATE_LENGTH,
    Rendered,
    parse_path,
    parse_template,
    render_template,
)
from services.payload_templates.values import escape_markdown, find_value, format_value

MAX_LENGTHS = {
    "title": 500,
    "description": 100_000,
    "priority": 100,
    "tags": 2_000,
    "due": 100,
    "message": 10_000,
}
FIELD_LENGTH = 10_000  # of the text of one custom field
"""How long the texts of the fields get, in characters."""
MAX_CONDITION_LENGTH = 300  # characters
MAX_TAGS = 20
MAX_FIELDS = 50  # custom fields that a template sets
_KEY = re.compile(r"[^\s:{}]{1,200}")
_DAYS = re.compile(r"\+\s*(\d{1,4})\s*d(?:ays?)?", re.ASCII | re.IGNORECASE)


class Operator(StrEnum):
    """How a condition compares the value at its path."""

    EQUALS = "equals"
    DIFFERS = "differs"
    CONTAINS = "contains"
    EXISTS = "exists"


@dataclass(frozen=True, kw_only=True)
class PayloadTemplate:
    """What is made of a payload. Without a path, the condition always holds."""

    condition_path: str = ""
    condition_operator: Operator = Operator.EQUALS
    condition_value: str = ""
    title: str = ""
    description: str = ""
    priority: str = ""
    tags: str = ""
    due: str = ""
    message: str = ""
    custom_fields: str = ""  # a field in each line: its key, a colon, and a text

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Check the texts of a template. Raises Invalid with the field."""
        unknown = ", ".join(sorted(values.keys() - cls.__dataclass_fields__.keys()))
        if unknown:
            reason = f"A template has no such fields: {unknown[:MAX_CONDITION_LENGTH]}"
            raise Invalid("template_field_unknown", reason, field="template")
        texts: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            is_condition = name.startswith("condition_")
            length = MAX_CONDITION_LENGTH if is_condition else MAX_TEMPLATE_LENGTH
            texts[name] = trimmed_text(length)(values.get(name) or "", name)
        operator = texts["condition_operator"] or Operator.EQUALS
        if operator not in {*Operator}:
            reason = N_("This is not a comparison.")
            raise Invalid("template_operator_invalid", reason, field="condition_operator")
        texts["condition_operator"] = Operator(operator)
        if texts["condition_path"]:
            parse_path(texts["condition_path"], "condition_path")
        of_fields = parse_field_lines(texts["custom_fields"]).values()
        of_others = [(name, texts[name]) for name in MAX_LENGTHS]
        for name, text in [*of_others, *(("custom_fields", text) for text in of_fields)]:
            parse_template(text, name)
        return cls(**texts)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return a stored template, without checking it again."""
        operator = Operator(values.get("condition_operator") or Operator.EQUALS)
        return cls(**{**values, "condition_operator": operator})

    def to_json(self) -> dict[str, Any]:
        """Return the values to store."""
        return asdict(self)


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
    if operator is Operator.EXISTS:
        return value is not None
    text = "" if value is None else format_value(value)
    if operator is Operator.CONTAINS:
        return wanted in text
    return (text.strip() == wanted) is (operator is Operator.EQUALS)


def render_task(
    template: PayloadTemplate, data: Mapping[str, object], at: datetime
) -> RenderedTask:
    """Build the task of a payload. Its title is empty if the template gives none."""
    problems: list[TemplateProblem] = []
    rendered = {
        name: _render(template, name, data, escape_markdown if name == "description" else str)
        for name in MAX_LENGTHS
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
        key: _render_text(text, "custom_fields", data, FIELD_LENGTH)
        for key, text in parse_field_lines(template.custom_fields).items()
    }
    tags = [name for name in map(str.strip, texts["tags"].split(",")) if name]
    all_texts = [*rendered.values(), *of_fields.values()]
    missing = [path for one in all_texts for path in one.missing]
    return RenderedTask(
        title=texts["title"],
        description=rendered["description"].text.strip(),
        priority=priority if priority in {*Priority} else Priority.MEDIUM,
        tags=list(dict.fromkeys(tags))[:MAX_TAGS],
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
        raise Invalid("template_fields_many", reason, field="custom_fields", max_count=MAX_FIELDS)
    return templates


def with_problems(task: RenderedTask, problems: Sequence[TemplateProblem]) -> RenderedTask:
    """Return a task with further problems."""
    return replace(task, problems=[*task.problems, *problems])


def render_message(template: PayloadTemplate, data: Mapping[str, object]) -> Rendered:
    """Build the message of a payload: plain text, which the caller marks as external."""
    return _render(template, "message", data, str)


def _render(
    template: PayloadTemplate,
    name: str,
    data: Mapping[str, object],
    escape: Callable[[str], str],
) -> Rendered:
    return _render_text(getattr(template, name), name, data, MAX_LENGTHS[name], escape)


def _render_text(
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
