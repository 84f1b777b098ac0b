"""What a webhook does with a payload beside informing an agent: create and change tasks.

It happens in the transaction that stores the payload, so it happens once for each payload. If it
fails, the payload is stored with the reason, and nothing else is.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import AppError, Conflict
from core.text import N_
from models import (
    Board,
    BoardWebhook,
    EventType,
    PayloadState,
    User,
    WebhookAction,
    WebhookPayload,
)
from services import events, forges, tasks
from services.board_webhooks.queries import StoredPayload
from services.board_webhooks.rules import name_webhook
from services.board_webhooks.task_fields import build_task
from services.forges import UnusedPayload
from services.payload_templates import (
    PayloadTemplate,
    build_data,
    holds_condition,
    render_message,
)

TASK_ACTIONS = (WebhookAction.TASK, WebhookAction.FORGE)
CONDITION_FAILED = "condition_failed"  # reason of an ignored payload


def read_template(webhook: BoardWebhook) -> PayloadTemplate:
    """Return the template of a webhook; without one, an empty one."""
    return PayloadTemplate.from_json(webhook.template or {})


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
    perform = _create_task if webhook.action is WebhookAction.TASK else _follow_forge
    try:
        async with session.begin_nested():
            task_id = await perform(session, board, webhook, payload, sends_messages)
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
    fields: dict[str, Any] = {"title": task.title, "description": task.description}
    fields |= {"priority": task.priority, "due_at": task.due_at}
    fields |= {"tag_ids": [tag.id for tag in found], "custom_field_values": values}
    detail = await tasks.create_task(
        *(session, None, board, tasks.TaskCreate.parse(fields)),
        webhook=name_webhook(webhook.description),
        sends_messages=sends_messages,
    )
    return detail.task.id


async def _follow_forge(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    sends_messages: bool,
) -> UUID:
    report = forges.read_payload(payload.headers, payload.payload)
    name = name_webhook(webhook.description)
    return await forges.apply_report(
        session, board, report, webhook=name, sends_messages=sends_messages
    )


async def repeat_action(
    session: AsyncSession, user: User, board: Board, webhook: BoardWebhook, payload: WebhookPayload
) -> None:
    """Apply the action of a webhook of a locked board to a payload again.

    Raises Conflict if the payload has already created or changed a task.
    """
    if payload.state is PayloadState.PROCESSED:
        raise Conflict("payload_processed", N_("This payload has already been processed."))
    await apply_action(session, board, webhook, payload)
    data = {"webhook_id": str(webhook.id), "payload_id": str(payload.id)}
    await events.record_event(
        session,
        EventType.BOARD_WEBHOOK_RECEIVED,
        user,
        organization_id=board.organization_id,
        board=board,
        data={**data, "name": name_webhook(webhook.description)},
    )
