"""Read webhooks of boards and their payloads: whole, and as rows of pages without the content."""

import json
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Agent, Board, BoardWebhook, Message, MessageState, PayloadState, WebhookPayload
from services import desired_state, rows

MAX_WEBHOOKS = 50  # of a board
MAX_LISTED_SIZE = 20_000  # bytes of a payload in a list; of a longer one the beginning is listed


class StoredPayload(NamedTuple):
    """A payload with all its fields."""

    id: UUID
    board_id: UUID
    webhook_id: UUID
    delivery_id: str | None
    headers: dict[str, Any]
    source_ip: str
    content_type: str | None
    size: int
    received_at: datetime
    state: PayloadState
    error: str | None
    task_id: UUID | None
    message_id: UUID | None
    is_queued: bool
    is_signed: bool
    payload: Any


class DeliveredPayload(NamedTuple):
    """A payload that was received with a delivery id."""

    id: UUID
    is_signed: bool


BOARD_ID, WEBHOOK_ID = bindparam("board_id", type_=Uuid()), bindparam("webhook_id", type_=Uuid())
OF_WEBHOOK = (WebhookPayload.board_id == BOARD_ID) & (WebhookPayload.webhook_id == WEBHOOK_ID)


def _select_payloads(payload: Any) -> Select[*tuple[Any, ...]]:
    fields = [getattr(WebhookPayload, name) for name in StoredPayload._fields[:-1]]
    return select(*fields, payload)


def _listed_payload() -> ColumnElement[Any]:
    """Select a payload, or the beginning of a long one as text."""
    text = WebhookPayload.payload.op("#>>")(literal_column("'{}'::text[]"))
    beginning = func.to_jsonb(func.left(text, MAX_LISTED_SIZE - 3).op("||")("..."))
    is_short = WebhookPayload.size <= MAX_LISTED_SIZE
    return type_coerce(case((is_short, WebhookPayload.payload), else_=beginning), JSONB)


WEBHOOKS: PagedQuery[BoardWebhook] = PagedQuery(
    select(BoardWebhook)
    .where(BoardWebhook.board_id == BOARD_ID)
    .order_by(BoardWebhook.created_at.desc(), BoardWebhook.id.desc()),
    lambda row: row[0],
)
WEBHOOK: Query[BoardWebhook] = Query(
    select(BoardWebhook).where(BoardWebhook.board_id == BOARD_ID, BoardWebhook.id == WEBHOOK_ID),
    lambda row: row[0],
)
LOCKED_WEBHOOK: Query[BoardWebhook] = Query(
    WEBHOOK.statement.with_for_update(of=BoardWebhook).execution_options(populate_existing=True),
    lambda row: row[0],
)
BOARD_OF_WEBHOOK: Query[Board] = Query(
    select(Board)
    .where(Board.id == BOARD_ID)
    .with_for_update(key_share=True, of=Board)
    .execution_options(populate_existing=True),
    lambda row: row[0],
)
# Of a webhook that is known to be of the board: an index has all that is counted.
PAYLOAD_TOTAL = (
    select(func.count())
    .select_from(WebhookPayload)
    .where(WebhookPayload.webhook_id == WEBHOOK_ID)
    .scalar_subquery()
)
PAYLOADS: PagedQuery[StoredPayload] = PagedQuery(
    _select_payloads(_listed_payload())
    .where(OF_WEBHOOK)
    .order_by(WebhookPayload.received_at.desc(), WebhookPayload.id.desc()),
    StoredPayload._make,
    PAYLOAD_TOTAL,
)
PAYLOAD: Query[StoredPayload] = Query(
    _select_payloads(WebhookPayload.payload).where(
        OF_WEBHOOK, WebhookPayload.id == bindparam("payload_id")
    ),
    StoredPayload._make,
)
LOCKED_PAYLOAD: Query[WebhookPayload] = Query(
    select(WebhookPayload)
    .where(WebhookPayload.webhook_id == WEBHOOK_ID, WebhookPayload.id == bindparam("payload_id"))
    .with_for_update(of=WebhookPayload)
    .execution_options(populate_existing=True),
    lambda row: row[0],
)
DELIVERED_PAYLOAD: Query[DeliveredPayload] = Query(
    select(WebhookPayload.id, WebhookPayload.is_signed).where(
        WebhookPayload.webhook_id == WEBHOOK_ID,
        WebhookPayload.delivery_id == bindparam("delivery_id"),
    ),
    DeliveredPayload._make,
)


async def list_webhooks(source: Source, board: Board, paging: Paging) -> Page[BoardWebhook]:
    """Return the webhooks of a readable board, newest first."""
    return await WEBHOOKS.fetch_page(source, paging, board_id=board.id)


async def get_webhook(source: Source, board: Board, webhook_id: UUID) -> BoardWebhook:
    """Return a webhook of a readable board. Raises NotFound."""
    return await get_public_webhook(source, board.id, webhook_id)


async def get_public_webhook(source: Source, board_id: UUID, webhook_id: UUID) -> BoardWebhook:
    """Return a webhook for a caller that has to prove its signature. Raises NotFound."""
    ids = {"board_id": board_id, "webhook_id": webhook_id}
    return await rows.get_one(source, WEBHOOK, _webhook_not_found, **ids)


async def lock_webhook(session: AsyncSession, board: Board, webhook_id: UUID) -> BoardWebhook:
    """Lock a webhook of a locked board. Raises NotFound."""
    ids = {"board_id": board.id, "webhook_id": webhook_id}
    return await rows.get_one(session, LOCKED_WEBHOOK, _webhook_not_found, **ids)


async def lock_for_delivery(
    session: AsyncSession, board_id: UUID, webhook_id: UUID
) -> tuple[Board, BoardWebhook]:
    """Lock the board of a webhook whose signature was verified. Raises NotFound."""
    board = await rows.get_one(session, BOARD_OF_WEBHOOK, _webhook_not_found, board_id=board_id)
    return board, await lock_webhook(session, board, webhook_id)


async def list_payloads(
    source: Source, board: Board, webhook_id: UUID, paging: Paging
) -> Page[StoredPayload]:
    """Return the payloads of a webhook, newest first. Raises NotFound.

    Of a payload with more than MAX_LISTED_SIZE bytes, only the beginning is returned, as text.
    """
    ids = {"board_id": board.id, "webhook_id": webhook_id}
    page = await PAYLOADS.fetch_page(source, paging, **ids)
    if not page.total:
        await get_webhook(source, board, webhook_id)
    return page


async def get_payload(
    source: Source, board: Board, webhook_id: UUID, payload_id: UUID
) -> StoredPayload:
    """Return a payload of a readable board. Raises NotFound."""
    ids = {"board_id": board.id, "webhook_id": webhook_id, "payload_id": payload_id}
    return await rows.get_one(source, PAYLOAD, _payload_not_found, **ids)


async def lock_payload(
    session: AsyncSession, webhook: BoardWebhook, payload_id: UUID
) -> WebhookPayload:
    """Lock a payload of a locked webhook. Raises NotFound."""
    ids = {"webhook_id": webhook.id, "payload_id": payload_id}
    return await rows.get_one(session, LOCKED_PAYLOAD, _payload_not_found, **ids)


async def find_delivered_payload(
    session: AsyncSession, webhook: BoardWebhook, delivery_id: str | None
) -> DeliveredPayload | None:
    """Return the payload that a locked webhook has received with this delivery id."""
    if delivery_id is None:
        return None
    ids = {"webhook_id": webhook.id, "delivery_id": delivery_id}
    return await DELIVERED_PAYLOAD.first(session, **ids)


def _payload_not_found() -> NotFound:
    return NotFound("webhook_payload_not_found", N_("There is no such payload."))


def _webhook_not_found() -> NotFound:
    return NotFound("webhook_not_found", N_("There is no such webhook."))


EVENT_HEADERS = (
    *("x-github-event", "x-gitlab-event", "x-forgejo-event", "x-gitea-event", "x-gogs-event"),
    *("x-event-key", "x-webhook-event", "x-event-type"),
)
"""Headers with the kind of an event, in order of preference."""


class WebhookOverview(NamedTuple):
    """A webhook with the agent that is told of its payloads, and what it has received."""

    webhook: BoardWebhook
    agent_name: str | None  # of the lead, if it has no agent on the board
    payload_count: int
    queued_count: int
    last_received_at: datetime | None


class PayloadOverview(NamedTuple):
    """A payload without its content, and the last message about it."""

    id: UUID
    received_at: datetime
    event: str | None
    content_type: str | None
    source_ip: str
    size: int
    state: PayloadState
    error: str | None
    is_queued: bool
    is_signed: bool
    task_id: UUID | None
    agent_id: UUID | None
    agent_name: str | None
    message_state: MessageState | None
    message_error: str | None


def _select_webhook_overviews() -> Select[*tuple[Any, ...]]:
    lead = aliased(Agent)
    leads = select(lead.name).where(lead.board_id == BoardWebhook.board_id, lead.is_board_lead)
    received = WebhookPayload.webhook_id == BoardWebhook.id
    return (
        select(
            BoardWebhook,
            func.coalesce(Agent.name, leads.limit(1).scalar_subquery()),
            select(func.count()).where(received).scalar_subquery(),
            select(func.count()).where(received, WebhookPayload.is_queued).scalar_subquery(),
            select(func.max(WebhookPayload.received_at)).where(received).scalar_subquery(),
        )
        .outerjoin(
            Agent,
            and_(
                Agent.id == BoardWebhook.agent_id,
                Agent.board_id == BoardWebhook.board_id,
                desired_state.IS_NOT_BEING_REMOVED,
            ),
        )
        .where(BoardWebhook.board_id == BOARD_ID)
        .order_by(BoardWebhook.created_at, BoardWebhook.id)
        .limit(MAX_WEBHOOKS)
    )


def _select_payload_overviews() -> Select[*tuple[Any, ...]]:
    event = func.coalesce(*(WebhookPayload.headers[name].astext for name in EVENT_HEADERS))
    stored = WebhookPayload
    return (
        select(
            stored.id,
            stored.received_at,
            event,
            stored.content_type,
            stored.source_ip,
            stored.size,
            stored.state,
            stored.error,
            stored.is_queued,
            stored.is_signed,
            stored.task_id,
            Message.agent_id,
            Agent.name,
            Message.state,
            Message.last_error,
        )
        .outerjoin(Message, Message.id == stored.message_id)
        .outerjoin(Agent, Agent.id == Message.agent_id)
        .where(OF_WEBHOOK)
        .order_by(stored.received_at.desc(), stored.id.desc())
    )


OVERVIEWS: Query[WebhookOverview] = Query(_select_webhook_overviews(), WebhookOverview._make)
OVERVIEW: Query[WebhookOverview] = Query(
    _select_webhook_overviews().where(BoardWebhook.id == WEBHOOK_ID), WebhookOverview._make
)
PAYLOAD_OVERVIEW: Query[PayloadOverview] = Query(
    _select_payload_overviews().where(WebhookPayload.id == bindparam("payload_id")),
    PayloadOverview._make,
)
PAYLOAD_OVERVIEWS: PagedQuery[PayloadOverview] = PagedQuery(
    _select_payload_overviews(),
    PayloadOverview._make,
    PAYLOAD_TOTAL,
)


async def list_webhook_overviews(source: Source, board: Board) -> list[WebhookOverview]:
    """Return the webhooks of a readable board, the oldest first."""
    return await OVERVIEWS.fetch(source, board_id=board.id)


async def load_payload(
    source: Source, board: Board, webhook_id: UUID, payload_id: UUID
) -> tuple[BoardWebhook, PayloadOverview, StoredPayload]:
    """Return a webhook of a readable board, and a payload with its content. Raises NotFound."""
    webhook = await get_webhook(source, board, webhook_id)
    stored = await get_payload(source, board, webhook_id, payload_id)
    ids = {"board_id": board.id, "webhook_id": webhook_id, "payload_id": payload_id}
    [overview] = await PAYLOAD_OVERVIEW.fetch(source, **ids)
    return webhook, overview, stored


async def list_payload_overviews(
    source: Source, board: Board, webhook_id: UUID, paging: Paging
) -> tuple[WebhookOverview, Page[PayloadOverview]]:
    """Return a webhook and a page of its payloads, newest first. Raises NotFound."""
    ids = {"board_id": board.id, "webhook_id": webhook_id}
    overview = await rows.get_one(source, OVERVIEW, _webhook_not_found, **ids)
    return overview, await PAYLOAD_OVERVIEWS.fetch_page(source, paging, **ids)


PRETTY_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)


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
