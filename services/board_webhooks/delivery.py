"""Receive requests to webhooks: store the payload once, and tell the agent that handles it.

Everything happens in one transaction, so a request that was answered with 202 is stored, and its
message waits in the outbox. If payloads arrive faster than the agent should get messages,
they are queued with their webhook, and the worker sends several in one message.
docs/decisions/rate-limits.md gives the reasons.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import DELETION_BATCH_SIZE
from core.errors import Conflict, Gone, NotFound, TooMany
from core.security.encryption import SecretCipher
from core.text import N_
from models import (
    Agent,
    Board,
    BoardWebhook,
    EventType,
    Message,
    MessageState,
    Note,
    PayloadState,
    Task,
    User,
    WebhookAction,
    WebhookPayload,
    new_id,
)
from services import audit, desired_state, events, memory, messages
from services.board_webhooks.actions import (
    CONDITION_FAILED,
    TASK_ACTIONS,
    apply_action,
    build_event,
    build_message,
)
from services.board_webhooks.commands import decrypt_secrets
from services.board_webhooks.queries import (
    find_delivered_payload,
    format_payload,
    lock_for_delivery,
    lock_payload,
    lock_webhook,
)
from services.board_webhooks.requests import (
    WebhookRequest,
    check_signature_headers,
    decode_body,
    has_signature,
    signature_missing,
    verify_signature,
)
from services.messages import templates

PREVIEW_LENGTH = 4_000  # characters of a payload in a message and a note

LONG_BODY = 100_000  # bytes; longer ones are decoded in a thread: a megabyte takes up to 100 ms
REJECTION_INTERVAL = timedelta(minutes=1)

MAX_QUEUED = 10_000  # payloads of one webhook that wait for a message
MAX_UNSENT = 5  # messages about payloads in the outbox of one agent
RECENTLY, TODAY = timedelta(minutes=10), timedelta(days=1)
MAX_RECENT = 10  # messages about payloads to one agent; further ones follow INTERVAL
MAX_TODAY = 300  # the same in a day; further ones follow LONG_INTERVAL
INTERVAL, LONG_INTERVAL = timedelta(minutes=1), timedelta(minutes=3)
MESSAGE_KINDS = (templates.MessageMarker.WEBHOOK_EVENT, templates.MessageMarker.NEW_TASK_ADDED)


class Recipient(NamedTuple):
    """The agent that is told of the payloads of a webhook, and the messages that it got of them.

    All limits together stay far below those of the circuit breaker: 20 in ten minutes, and 780 in
    a day.
    """

    agent: Agent
    queued_count: int  # payloads of the webhook
    recent_count: int
    today_count: int
    unsent_count: int
    last_at: datetime | None

    def may_get_message(self, at: datetime) -> bool:
        """Return whether the agent can get another message about payloads now."""
        if self.unsent_count >= MAX_UNSENT:
            return False
        age = at - self.last_at if self.last_at else TODAY
        if self.today_count >= MAX_TODAY:
            return age >= LONG_INTERVAL
        return self.recent_count < MAX_RECENT or age >= INTERVAL


def _select_recipient() -> Select[*tuple[Any, ...]]:
    """Select the agent of the webhook if it is still on the board, else the lead."""
    queued = select(WebhookPayload.id).where(
        WebhookPayload.webhook_id == bindparam("webhook_id", type_=Uuid()),
        WebhookPayload.is_queued,
    )
    created_at = Message.created_at
    sent = select(
        func.count().filter(created_at > bindparam("recently")).label("recent"),
        func.count().label("today"),
        func.count().filter(Message.state == MessageState.QUEUED).label("unsent"),
        func.max(created_at).label("last_at"),
    ).where(
        Message.agent_id == Agent.id,
        created_at > bindparam("today"),
        Message.kind.in_([kind.value for kind in MESSAGE_KINDS]),
        Message.from_user_id.is_(None),
        Message.from_agent_id.is_(None),
    )
    counts = sent.correlate(Agent).lateral("sent")
    queued_count = select(func.count()).select_from(queued.limit(MAX_QUEUED).subquery())
    return (
        select(Agent, queued_count.scalar_subquery(), *counts.c)
        .join(counts, true())
        .where(
            Agent.board_id == bindparam("board_id"),
            (Agent.id == bindparam("agent_id", type_=Uuid())) | Agent.is_board_lead,
            desired_state.IS_NOT_BEING_REMOVED,
        )
        .order_by(Agent.is_board_lead)
        .limit(1)
    )


def _select_queues() -> Select[UUID, UUID]:
    """Select the webhooks with queued payloads, in the order of their last messages.

    The last payload that was sent is the newest one before those that are queued.
    """
    sent, queued = aliased(WebhookPayload), aliased(WebhookPayload)
    of_webhook = (queued.webhook_id == BoardWebhook.id) & queued.is_queued
    oldest = select(func.min(queued.received_at)).where(of_webhook).correlate(BoardWebhook)
    last_id = (
        select(sent.message_id)
        .where(
            sent.webhook_id == BoardWebhook.id,
            sent.received_at <= oldest.scalar_subquery(),
            sent.message_id.is_not(None),
        )
        .order_by(sent.received_at.desc())
        .limit(1)
        .correlate(BoardWebhook)
        .scalar_subquery()
    )
    last_at = select(Message.created_at).where(Message.id == last_id).scalar_subquery()
    return (
        select(BoardWebhook.board_id, BoardWebhook.id)
        .where(select(queued.id).where(of_webhook).exists())
        .order_by(last_at.nulls_first(), BoardWebhook.id)
    )


RECIPIENT: Query[Recipient] = Query(_select_recipient(), Recipient._make)
QUEUES: Query[tuple[UUID, UUID]] = Query(_select_queues())


def is_unsigned_allowed(webhook: BoardWebhook, request: WebhookRequest) -> bool:
    """Return whether a request has no signature, and its webhook accepts it nevertheless."""
    return webhook.allows_unsigned and not has_signature(request.headers, webhook.signature_header)


def check_headers(webhook: BoardWebhook, request: WebhookRequest, cipher: SecretCipher) -> None:
    """Reject a request that no body can make valid, before its body is read.

    Raises Forbidden, and Unavailable if the secret cannot be decrypted.
    """
    if is_unsigned_allowed(webhook, request):
        return
    at = now()
    secrets = decrypt_secrets(webhook, cipher, at)
    header = webhook.signature_header
    check_signature_headers(request.headers, secrets, signature_header=header, at=at)


def verify_request(
    webhook: BoardWebhook, request: WebhookRequest, cipher: SecretCipher
) -> WebhookRequest:
    """Check the signature of a request, then whether the webhook is enabled.

    Return the request, marked as signed unless it is an unsigned one that the webhook allows.
    Raises Forbidden, Gone, and Unavailable if the secret cannot be decrypted.
    """
    if is_unsigned_allowed(webhook, request):
        audit.use_credential("unsigned_webhook", webhook.id)
        _check_enabled(webhook)
        return request
    at = now()
    verify_signature(
        request.headers,
        request.body,
        decrypt_secrets(webhook, cipher, at),
        signature_header=webhook.signature_header,
        at=at,
    )
    audit.use_credential("webhook", webhook.id)
    _check_enabled(webhook)
    return replace(request, is_signed=True)


def is_new_rejection(webhook: BoardWebhook, code: str) -> bool:
    """Return whether a rejection is to be stored, as far as a webhook that was read before tells.

    So a flood of forged requests costs no statement for each.
    """
    last = webhook.last_rejected_at
    return last is None or last < now() - REJECTION_INTERVAL or webhook.last_rejection != code


async def record_rejection(session: AsyncSession, webhook: BoardWebhook, code: str) -> None:
    """Store that a request was rejected, and why.

    The same reason changes the row once a minute. A request that stored nothing would otherwise
    leave no trace for whoever set up the sender.
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
    Raises NotFound, Gone and Forbidden if the webhook was deleted or disabled meanwhile, or allows
    no unsigned requests any more, and TooMany if MAX_QUEUED payloads wait for their message.
    """
    board, webhook = await lock_for_delivery(session, webhook.board_id, webhook.id)
    if not (request.is_signed or webhook.allows_unsigned):
        raise signature_missing(webhook.signature_header)
    _check_enabled(webhook)
    known = await find_delivered_payload(session, webhook, request.delivery_id)
    if known is not None:
        if known.is_signed or not request.is_signed:
            return known.id
        # Otherwise somebody who knows only the address could suppress a signed delivery, by
        # sending its id first.
        await session.execute(
            update(WebhookPayload).where(WebhookPayload.id == known.id).values(delivery_id=None)
        )
    decode = partial(decode_body, request.body, request.content_type)
    size = len(request.body)
    payload = WebhookPayload(
        id=new_id(),
        board_id=webhook.board_id,
        webhook_id=webhook.id,
        delivery_id=request.delivery_id,
        payload=await asyncio.to_thread(decode) if size > LONG_BODY else decode(),
        headers=request.stored_headers,
        source_ip=request.source_ip,
        content_type=request.content_type,
        size=size,
        is_signed=request.is_signed,
        received_at=now(),
        state=PayloadState.RECEIVED,
    )
    session.add(payload)
    received = build_event(EventType.BOARD_WEBHOOK_RECEIVED, None, board, webhook, payload)
    recipient = await _find_recipient(session, webhook, payload.received_at)
    if webhook.action in TASK_ACTIONS:
        await events.record_events(session, [received])
        waits = _must_wait(recipient, payload)
        await apply_action(session, board, webhook, payload, sends_messages=not waits)
        if waits and await _has_new_task(session, payload):
            await _queue(session, recipient, payload)
    else:
        await _inform_agent(session, board, webhook, payload, recipient, received, base_url)
    return payload.id


async def _find_recipient(
    session: AsyncSession, webhook: BoardWebhook, at: datetime
) -> Recipient | None:
    """Return who is told of the payloads of a locked webhook: of tasks it is always the lead."""
    agent_id = None if webhook.action in TASK_ACTIONS else webhook.agent_id
    ids = {"board_id": webhook.board_id, "webhook_id": webhook.id, "agent_id": agent_id}
    return await RECIPIENT.first(session, recently=at - RECENTLY, today=at - TODAY, **ids)


def _must_wait(recipient: Recipient | None, payload: WebhookPayload) -> bool:
    """Return whether a payload has to wait for its message. One without an agent does not."""
    if recipient is None:
        return False
    return recipient.queued_count > 0 or not recipient.may_get_message(payload.received_at)


async def _queue(
    session: AsyncSession, recipient: Recipient | None, payload: WebhookPayload
) -> None:
    """Let a payload wait for a message with others. Raises TooMany, which stores nothing."""
    if recipient is not None and recipient.queued_count >= MAX_QUEUED:
        reason = f"{MAX_QUEUED} payloads of this webhook wait until its agent can get them."
        raise TooMany(60, reason, code="webhook_queue_full")
    payload.is_queued = True
    await session.flush()


async def _has_new_task(session: AsyncSession, payload: WebhookPayload) -> bool:
    """Return whether the payload has created its task, in this transaction."""
    if payload.task_id is None:
        return False
    created_at = await session.scalar(select(Task.created_at).where(Task.id == payload.task_id))
    return created_at is not None and created_at >= payload.received_at


async def _inform_agent(
    session: AsyncSession,
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    recipient: Recipient | None,
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
        source="webhook",
        tags=["webhook", f"webhook:{webhook.id}", f"payload:{payload.id}"],
        payload_id=payload.id,
    )
    payload.note_id = note.note_id
    new_events = [received, note.event]
    if _must_wait(recipient, payload):
        await _queue(session, recipient, payload)
        await events.record_events(session, new_events)
    else:
        agent = recipient.agent if recipient else None
        content = templates.render_webhook_event(text)
        await notify_agent(session, board, agent, [payload], content, new_events=new_events)


async def list_queues(source: Source) -> Sequence[tuple[UUID, UUID]]:
    """Return the ids of the webhooks with queued payloads, each after that of its board.

    Webhooks of the same agent take turns: the one whose last message is oldest is the first.
    """
    return await QUEUES.fetch(source)


async def send_queued_payloads(
    session: AsyncSession, board_id: UUID, webhook_id: UUID, *, base_url: str
) -> bool:
    """Send the oldest queued payloads of a webhook in one message, if its agent can get one now.

    Return whether payloads have left the queue, so that the next ones can follow: those that the
    template excludes by now are in no message.
    """
    try:
        board, webhook = await lock_for_delivery(session, board_id, webhook_id)
    except NotFound:
        return False
    at = now()
    recipient = await _find_recipient(session, webhook, at)
    if recipient is None or not recipient.may_get_message(at):
        return False
    ids = await _choose_group(session, webhook)
    if not ids:
        return False
    oldest = (WebhookPayload.received_at, WebhookPayload.id)
    query = select(WebhookPayload).where(WebhookPayload.id.in_(ids)).order_by(*oldest)
    payloads = (await session.scalars(query.with_for_update())).all()
    limit = min(PREVIEW_LENGTH, 20_000 // len(ids))  # characters of each
    texts = []
    for payload in payloads:
        is_message = webhook.action is WebhookAction.MESSAGE and payload.task_id is None
        message = build_message(webhook, payload) if is_message else ""
        if message is None:  # the template was changed meanwhile
            payload.is_queued = False
            payload.state, payload.error = PayloadState.IGNORED, CONDITION_FAILED
            continue
        limit_of_one = None if len(ids) == 1 else limit
        texts.append(
            build_text(board, webhook, payload, base_url, message=message, limit=limit_of_one)
        )
    sent = [one for one in payloads if one.is_queued]
    if sent:
        render = templates.render_webhook_events
        content = render(texts) if len(texts) > 1 else templates.render_webhook_event(texts[0])
        await notify_agent(session, board, recipient.agent, sent, content)
    await session.flush()
    return True


async def _choose_group(session: AsyncSession, webhook: BoardWebhook) -> Sequence[UUID]:
    """Return the ids of the oldest queued payloads that fit in one message: 50, or 2 MB."""
    query = select(WebhookPayload.id, WebhookPayload.size)
    query = query.where(WebhookPayload.webhook_id == webhook.id, WebhookPayload.is_queued)
    query = query.order_by(WebhookPayload.received_at, WebhookPayload.id).limit(50)
    ids: list[UUID] = []
    total = 0
    for id, size in await session.execute(query):
        total += size
        if ids and total > 2_000_000:
            break
        ids.append(id)
    return ids


def build_text(
    board: Board,
    webhook: BoardWebhook,
    payload: WebhookPayload,
    base_url: str,
    *,
    message: str = "",
    limit: int | None = None,
) -> templates.WebhookText:
    """Return what agents read about a payload: the message of its template, or its beginning.

    `limit` is the highest number of characters of either; without one, a message is not cut.
    """
    if message:
        preview = message[:limit]
        is_cut = len(preview) < len(message)
    else:
        preview, is_cut = format_payload(payload.payload, limit or PREVIEW_LENGTH)
    return templates.WebhookText(
        board=board,
        webhook_id=webhook.id,
        payload_id=payload.id,
        description=webhook.description,
        preview=preview,
        is_cut=is_cut,
        base_url=base_url,
        task_id=payload.task_id,
        is_signed=payload.is_signed,
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

    Raises NotFound, and Conflict if the board has no agent for it, if it already has a task, or if
    its webhook sends no message about it.
    """
    webhook = await lock_webhook(session, board, webhook_id)
    payload = await lock_payload(session, webhook, payload_id)
    if webhook.action in TASK_ACTIONS:
        if payload.state is PayloadState.PROCESSED:
            raise Conflict("payload_processed", N_("This payload has already been processed."))
        await apply_action(session, board, webhook, payload)
        received = build_event(EventType.BOARD_WEBHOOK_RECEIVED, user, board, webhook, payload)
        await events.record_events(session, [received])
        return
    is_message = webhook.action is WebhookAction.MESSAGE
    message = build_message(webhook, payload) if is_message else ""
    if message is None:
        raise Conflict("payload_ignored", N_("The condition of the template is not met."))
    text = build_text(board, webhook, payload, base_url, message=message)
    recipient = await _find_recipient(session, webhook, now())
    if recipient is None:
        raise Conflict(
            "webhook_without_agent", N_("There is no agent on this board to send it to.")
        )
    content = templates.render_webhook_event(text)
    await notify_agent(session, board, recipient.agent, [payload], content, sender=user)


async def notify_agent(
    session: AsyncSession,
    board: Board,
    agent: Agent | None,
    payloads: Sequence[WebhookPayload],
    content: str,
    *,
    sender: User | None = None,
    new_events: Sequence[events.NewEvent] = (),
) -> None:
    """Send a message about payloads to an agent, and record the events.

    Without an agent the payloads keep their state.
    """
    outgoing = []
    if agent is not None:
        message = messages.OutgoingMessage(to=agent, content=content, board=board, sender=sender)
        outgoing.append(message)
    queued = await messages.enqueue_messages(session, outgoing, new_events=new_events)
    for payload in payloads if agent is not None else ():
        payload.state, payload.error, payload.is_queued = PayloadState.PROCESSED, None, False
        payload.message_id = queued[0] if queued else payload.message_id
    await session.flush()


def _check_enabled(webhook: BoardWebhook) -> None:
    if not webhook.enabled:
        raise Gone("webhook_disabled", N_("This webhook is not enabled. Enable it first."))


MAX_PAYLOADS = 10_000  # of one webhook; older ones are deleted before their time


async def delete_old_payloads(
    session: AsyncSession, *, keep_days: int, max_payloads: int = MAX_PAYLOADS
) -> int:
    """Delete payloads after `keep_days`, and all but the newest `max_payloads` of each webhook.

    Of the latter, those that wait for their message stay. Their notes in the memory of the board
    are deleted too, unless somebody has changed them.
    Deletes a batch of both, and returns the number of payloads.
    """
    expired = WebhookPayload.received_at < now() - timedelta(days=keep_days)
    return await _delete_payloads(session, expired) + await _delete_payloads(
        session, WebhookPayload.id.in_(_select_surplus(max_payloads))
    )


async def _delete_payloads(session: AsyncSession, is_old: ColumnElement[bool]) -> int:
    batch = select(WebhookPayload.id).where(is_old).limit(DELETION_BATCH_SIZE)
    statement = delete(WebhookPayload).where(
        WebhookPayload.id.in_(batch.with_for_update(skip_locked=True))
    )
    statement = statement.returning(WebhookPayload.note_id)
    found = await session.scalars(statement.execution_options(synchronize_session=False))
    note_ids = found.all()  # None of a payload without a note
    if any(note_ids):
        unchanged = delete(Note).where(Note.id.in_(note_ids), Note.version == 1)
        await session.execute(unchanged.execution_options(synchronize_session=False))
    return len(note_ids)


def _select_surplus(max_payloads: int) -> Select[UUID]:
    """Select payloads that are older than the newest ones of their webhook, by an index of each."""
    surplus = (
        select(WebhookPayload.id, WebhookPayload.is_queued)
        .where(WebhookPayload.webhook_id == BoardWebhook.id)
        .order_by(WebhookPayload.received_at.desc(), WebhookPayload.id)
        .offset(max_payloads)
        .lateral("surplus")
    )
    found = select(surplus.c.id).select_from(BoardWebhook).join(surplus, true())
    return found.where(~surplus.c.is_queued).limit(DELETION_BATCH_SIZE)
