"""What a webhook does with a payload beside informing an agent: create and change tasks.

It happens in the transaction that stores the payload, so it happens once for each payload. If it
fails, the payload is stored with the reason, and nothing else is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Source
from core.errors import AppError, Invalid
from core.fields import MAX_TEXT_LENGTH
from core.text import N_, to_one_line
from models import (
    Board,
    BoardWebhook,
    EventType,
    PayloadState,
    Tag,
    User,
    WebhookAction,
    WebhookPayload,
)
from services import custom_fields, events, forges, tags, tasks
from services.board_webhooks.queries import StoredPayload
from services.forges import UnusedPayload
from services.payload_templates import (
    PayloadTemplate,
    RenderedTask,
    TemplateProblem,
    build_data,
    holds_condition,
    parse_field_lines,
    render_message,
    render_task,
)

TASK_ACTIONS = (WebhookAction.TASK, WebhookAction.FORGE)
CONDITION_FAILED = "condition_failed"  # reason of an ignored payload
UNSIGNED_SUFFIX = " (unsigned)"  # of the name of an author; agents read it, and pages translate it
UNSIGNED_PREFACE = (
    "The webhook received this without a signature: anybody who knows its address may have sent it."
    "\n\n"
)
"""Begins the description of a task that an unsigned payload has created."""


def name_webhook(webhook: BoardWebhook) -> str:
    """Return the beginning of the instruction, or else the action, as the name in events."""
    line = to_one_line(webhook.description) or f"Webhook ({webhook.action.value})"
    return line if len(line) <= 80 else f"{line[:79]}…"


def name_source(webhook: BoardWebhook, payload: WebhookPayload) -> str:
    """Return the name of a webhook as the author of what is made of a payload."""
    return f"{name_webhook(webhook)}{'' if payload.is_signed else UNSIGNED_SUFFIX}"


def build_event(
    type: EventType,
    user: User | None,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> events.NewEvent:
    """Build an event of a webhook, or of one of its payloads."""
    data = {"webhook_id": str(webhook.id), "name": name_webhook(webhook)}
    return events.NewEvent(
        type,
        user,
        organization_id=board.organization_id,
        board=board,
        data=data | ({"payload_id": str(payload.id)} if payload else {}),
        before=before,
        after=after,
    )


def read_template(webhook: BoardWebhook) -> PayloadTemplate:
    """Return the template of a webhook, which is not checked again; without one, an empty one."""
    return PayloadTemplate.model_construct(**(webhook.template or {}))


def build_payload_data(
    webhook: BoardWebhook, payload: WebhookPayload | StoredPayload
) -> Mapping[str, object]:
    """Return what the template of a webhook can name of a payload."""
    return build_data(
        payload.payload,
        payload.headers,
        description=webhook.description,
        received_at=payload.received_at,
    )


def build_message(webhook: BoardWebhook, payload: WebhookPayload) -> str | None:
    """Return the message of a template, or None if its condition does not hold."""
    template, data = read_template(webhook), build_payload_data(webhook, payload)
    return render_message(template, data).text if holds_condition(template, data) else None


async def apply_action(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    *,
    sends_messages: bool = True,
) -> None:
    """Create or change a task of a locked board by a payload, and store the outcome with it.

    Without `sends_messages` the caller tells the lead of a new task.
    """
    await session.flush()
    try:
        async with session.begin_nested():
            if webhook.action is WebhookAction.TASK:
                task_id = await _create_task(session, board, webhook, payload, sends_messages)
            else:
                report = forges.read_payload(payload.headers, payload.payload)
                source = forges.ReportSource(
                    name_source(webhook, payload),
                    preface="" if payload.is_signed else UNSIGNED_PREFACE,
                    sends_messages=sends_messages,
                )
                task_id = await forges.apply_report(session, board, report, source)
    except UnusedPayload as unused:
        payload.state, payload.error = PayloadState.IGNORED, unused.reason
    except AppError as error:
        reason = f"{error.field}: {error.message}" if error.field else error.message
        payload.state, payload.error = PayloadState.FAILED, reason
    else:
        payload.state, payload.task_id, payload.error = PayloadState.PROCESSED, task_id, None
    await session.flush()


async def _create_task(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    sends_messages: bool,
) -> UUID:
    template, data = read_template(webhook), build_payload_data(webhook, payload)
    if not holds_condition(template, data):
        raise UnusedPayload(CONDITION_FAILED)
    task, found, values = await build_task(session, board, template, data, payload.received_at)
    preface = "" if payload.is_signed else UNSIGNED_PREFACE
    description = f"{preface}{task.description}"[:MAX_TEXT_LENGTH]
    fields: dict[str, Any] = {"title": task.title, "description": description}
    fields |= {"priority": task.priority, "due_at": task.due_at}
    fields |= {"tag_ids": [tag.id for tag in found], "custom_field_values": values}
    detail = await tasks.create_task(
        session,
        None,
        board,
        tasks.TaskCreate.parse(fields),
        webhook=name_source(webhook, payload),
        sends_messages=sends_messages,
    )
    return detail.task.id


class BuiltTask(NamedTuple):
    """The task that a template makes of a payload, with what the board knows of it."""

    task: RenderedTask
    tags: Sequence[Tag]
    values: Mapping[str, object]  # of custom fields, by key


async def check_action(source: Source, board: Board, webhook: BoardWebhook) -> None:
    """Raise Invalid if the action of a webhook needs a text that the webhook does not have.

    Raises Invalid also if the template sets custom fields that the board does not have.
    """
    needed = {WebhookAction.TASK: "title", WebhookAction.MESSAGE: "message"}.get(webhook.action)
    if needed and not (webhook.template or {}).get(needed):
        raise Invalid("template_required", N_("This action needs a template."), field=needed)
    if webhook.action is WebhookAction.NOTIFY and not webhook.description:
        reason = N_("The agent needs an instruction.")
        raise Invalid("instruction_required", reason, field="description")
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
    return BuiltTask(replace(task, problems=[*task.problems, *problems, *more]), found, values)


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
        type, regex = fields[key].type, fields[key].regex
        value = custom_fields.parse_text(type, text)
        check = partial(custom_fields.find_value_error, type, regex, value)
        if await custom_fields.run_check(check, [(regex, value)]):
            problems.append(TemplateProblem("custom_field_invalid", f"{key}: {text[:100]}"))
        else:
            values[key] = value
    missing = custom_fields.find_missing_keys(fields.values(), values)
    return values, [*problems, *(TemplateProblem("custom_field_required", one) for one in missing)]
