"""Receive requests to webhooks: store the payload once, and tell the agent that handles it.

Everything happens in one transaction, so a request that was answered with 202 is stored, and its
message waits in the outbox (W-18).
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Uuid, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import Conflict, Gone
from core.security.encryption import SecretCipher
from models import (
    Agent,
    Board,
    BoardWebhook,
    EventType,
    PayloadState,
    User,
    WebhookAction,
    WebhookPayload,
    new_id,
)
from services import events, memory, messages
from services.board_webhooks.actions import (
    CONDITION_FAILED,
    TASK_ACTIONS,
    apply_action,
    build_message,
    repeat_action,
)
from services.board_webhooks.commands import decrypt_secrets
from services.board_webhooks.payload_format import PREVIEW_LENGTH, decode_body, format_payload
from services.board_webhooks.queries import (
    find_delivered_payload,
    lock_for_delivery,
    lock_payload,
    lock_webhook,
)
from services.board_webhooks.rules import WebhookRequest, name_webhook
from services.board_webhooks.signatures import verify_signature
from services.messages import templates

REJECTION_INTERVAL = timedelta(minutes=1)
NOTE_SOURCE = "webhook"  # of the note in the memory of the board (contract, agents 11.1)

HANDLING_AGENT: Query[Agent] = Query(
    select(Agent)
    .where(
        Agent.board_id == bindparam("board_id"),
        (Agent.id == bindparam("agent_id", type_=Uuid())) | Agent.is_board_lead,
    )
    .order_by(Agent.is_board_lead)
    .limit(1),
    lambda row: row[0],
)
"""The agent of the webhook if it is still on the board, else the lead."""


def verify_request(webhook: BoardWebhook, request: WebhookRequest, cipher: SecretCipher) -> None:
    """Check the signature of a request, then whether the webhook is enabled.

    Raises Forbidden, Gone, and Unavailable if the secret cannot be decrypted.
    """
    at = now()
    verify_signature(
        request.headers,
        request.body,
        decrypt_secrets(webhook, cipher, at),
        signature_header=webhook.signature_header,
        at=at,
    )
    _check_enabled(webhook)


async def record_rejection(session: AsyncSession, webhook: BoardWebhook, code: str) -> None:
    """Store that a request was rejected, and why.

    A flood changes the row once a minute. A request that stored nothing would otherwise leave no
    trace for whoever set up the sender.
    """
    at = now()
    is_new = or_(
        BoardWebhook.last_rejected_at.is_(None),
        BoardWebhook.last_rejected_at < at - REJECTION_INTERVAL,
        BoardWebhook.last_rejection != code,
    )
    rejected = update(BoardWebhook).where(BoardWebhook.id == webhook.id, is_new)
    rejected = rejected.values(last_rejected_at=at, last_rejection=code)
    await session.execute(rejected.execution_options(synchronize_session=False))


async def receive_request(
    session: AsyncSession, webhook: BoardWebhook, request: WebhookRequest, *, base_url: str
) -> UUID:
    """Store the payload of a verified request, and return its id.

    A request with a delivery id that was received before has no effect: its payload is returned.
    Raises NotFound and Gone if the webhook was deleted or disabled meanwhile.
    """
    board, webhook = await lock_for_delivery(session, webhook.board_id, webhook.id)
    _check_enabled(webhook)
    known = await find_delivered_payload(session, webhook, request.delivery_id)
    if known is not None:
        return known
    payload = _build_payload(webhook, request)
    session.add(payload)
    received = _received_event(board, webhook, payload)
    if webhook.action in TASK_ACTIONS:
        await events.record_events(session, [received])
        await apply_action(session, board, webhook, payload)
    else:
        await _inform_agent(session, board, webhook, payload, received, base_url)
    return payload.id


async def _inform_agent(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    received: events.NewEvent,
    base_url: str,
) -> None:
    """Note a payload in the memory of the board, and tell the agent that handles it."""
    message = build_message(webhook, payload) if webhook.action is WebhookAction.MESSAGE else ""
    if message is None:
        payload.state, payload.error = PayloadState.IGNORED, CONDITION_FAILED
        await session.flush()
        await events.record_events(session, [received])
        return
    text = build_text(board, webhook, payload, base_url, message=message)
    note = memory.post_external_note(
        session,
        board,
        templates.render_webhook_note(text),
        source=NOTE_SOURCE,
        tags=["webhook", f"webhook:{webhook.id}", f"payload:{payload.id}"],
        payload_id=payload.id,
    )
    payload.note_id = note.note_id
    await notify_agent(session, board, webhook, payload, text, new_events=[received, note.event])


def build_text(
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    base_url: str,
    *,
    message: str = "",
) -> templates.WebhookText:
    """Return what agents read about a payload: the message of its template, or its beginning."""
    preview, is_cut = (
        (message, False) if message else format_payload(payload.payload, PREVIEW_LENGTH)
    )
    return templates.WebhookText(
        board=board,
        webhook_id=webhook.id,
        payload_id=payload.id,
        description=webhook.description,
        preview=preview,
        is_cut=is_cut,
        base_url=base_url,
    )


async def send_again(
    session: AsyncSession,
    user: User,
    board: Board,
    webhook_id: UUID,
    payload_id: UUID,
    *,
    base_url: str,
) -> None:
    """Do with a payload of a locked board what its webhook does now: another message, or a task.

    Raises NotFound, and Conflict if the board has no agent for it, or it already has a task.
    """
    webhook = await lock_webhook(session, board, webhook_id)
    payload = await lock_payload(session, webhook, payload_id)
    if webhook.action in TASK_ACTIONS:
        await repeat_action(session, user, board, webhook, payload)
        return
    is_message = webhook.action is WebhookAction.MESSAGE
    message = build_message(webhook, payload) if is_message else ""
    text = build_text(board, webhook, payload, base_url, message=message or "")
    if not await notify_agent(session, board, webhook, payload, text, sender=user):
        raise Conflict("webhook_without_agent", "There is no agent on this board to send it to.")


async def notify_agent(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    text: templates.WebhookText,
    *,
    sender: User | None = None,
    new_events: Sequence[events.NewEvent] = (),
) -> bool:
    """Send a payload to the agent that handles it, and record the events.

    Without an agent the payload keeps its state, and the result is false.
    """
    agent = await HANDLING_AGENT.first(session, board_id=board.id, agent_id=webhook.agent_id)
    outgoing = []
    if agent is not None:
        content = templates.render_webhook_event(text)
        message = messages.OutgoingMessage(to=agent, content=content, board=board, sender=sender)
        outgoing.append(message)
        payload.state, payload.error = PayloadState.PROCESSED, None
    queued = await messages.enqueue_messages(session, outgoing, new_events=new_events)
    payload.message_id = queued[0] if queued else payload.message_id
    await session.flush()
    return agent is not None


def _check_enabled(webhook: BoardWebhook) -> None:
    if not webhook.enabled:
        raise Gone("webhook_disabled", "This webhook is disabled.")


def _build_payload(webhook: BoardWebhook, request: WebhookRequest) -> WebhookPayload:
    return WebhookPayload(
        id=new_id(),
        board_id=webhook.board_id,
        webhook_id=webhook.id,
        delivery_id=request.delivery_id,
        payload=decode_body(request.body, request.content_type),
        headers=request.stored_headers,
        source_ip=request.source_ip,
        content_type=request.content_type,
        size=len(request.body),
        received_at=now(),
        state=PayloadState.RECEIVED,
    )


def _received_event(
    board: Board, webhook: BoardWebhook, payload: WebhookPayload
) -> events.NewEvent:
    return events.NewEvent(
        EventType.BOARD_WEBHOOK_RECEIVED,
        None,
        organization_id=board.organization_id,
        board=board,
        data={
            "webhook_id": str(webhook.id),
            "payload_id": str(payload.id),
            "name": name_webhook(webhook.description),
        },
    )
