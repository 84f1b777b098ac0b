"""The tags and custom fields of tasks that templates make of payloads."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from core.db.reads import Source
from core.errors import Invalid
from core.text import N_
from models import Board, BoardWebhook, Tag, WebhookAction
from services import custom_fields, tags
from services.payload_templates import (
    PayloadTemplate,
    RenderedTask,
    TemplateProblem,
    parse_field_lines,
    render_task,
    with_problems,
)


class BuiltTask(NamedTuple):
    """The task that a template makes of a payload, with what the board knows of it."""

    task: RenderedTask
    tags: Sequence[Tag]
    values: Mapping[str, object]  # of custom fields, by key


async def check_template(source: Source, board: Board, webhook: BoardWebhook) -> None:
    """Raise Invalid if the action of a webhook needs a template that it does not have.

    Raises Invalid also if the template sets custom fields that the board does not have.
    """
    needed = {WebhookAction.TASK: "title", WebhookAction.MESSAGE: "message"}.get(webhook.action)
    if needed and not (webhook.template or {}).get(needed):
        raise Invalid("template_required", N_("This action needs a template."), field=needed)
    keys = parse_field_lines((webhook.template or {}).get("custom_fields") or "").keys()
    if not keys:
        return
    known = {field.key for field in await custom_fields.list_bound_fields(source, board)}
    for key in keys - known:
        reason = N_("This board has no custom field “%(key)s”.")
        raise Invalid("template_custom_field_unknown", reason, field="custom_fields", key=key)


async def build_task(
    source: Source,
    board: Board,
    template: PayloadTemplate,
    data: Mapping[str, object],
    at: datetime,
) -> BuiltTask:
    """Return the task that a template makes of a payload; what cannot be used is named in it."""
    task = render_task(template, data, at)
    found, problems = await _find_tags(source, board, task.tags)
    values, more = await _build_values(source, board, task.custom_fields)
    return BuiltTask(with_problems(task, [*problems, *more]), found, values)


async def _find_tags(
    source: Source, board: Board, names: Sequence[str]
) -> tuple[Sequence[Tag], Sequence[TemplateProblem]]:
    known = {}
    for tag in await tags.list_board_tags(source, board) if names else ():
        known |= {tag.slug.casefold(): tag, tag.name.casefold(): tag}
    found = [known[name.casefold()] for name in names if name.casefold() in known]
    unknown = [name for name in names if name.casefold() not in known]
    return list(dict.fromkeys(found)), [TemplateProblem("tag_unknown", one) for one in unknown]


async def _build_values(
    source: Source, board: Board, texts: Mapping[str, str]
) -> tuple[Mapping[str, object], Sequence[TemplateProblem]]:
    """Return the valid values of texts by key; blank ones are left out, so defaults apply."""
    if not texts:
        return {}, []
    fields = {one.key: one for one in await custom_fields.list_bound_fields(source, board)}
    values: dict[str, object] = {}
    problems = [TemplateProblem("custom_field_unknown", key) for key in texts if key not in fields]
    for key, text in texts.items():
        if key not in fields or not text:
            continue
        value = custom_fields.parse_text(fields[key].type, text)
        if custom_fields.find_value_error(fields[key].type, fields[key].regex, value):
            problems.append(TemplateProblem("custom_field_invalid", f"{key}: {text[:100]}"))
        else:
            values[key] = value
    missing = custom_fields.find_missing_keys(fields.values(), values)
    return values, [*problems, *(TemplateProblem("custom_field_required", one) for one in missing)]
