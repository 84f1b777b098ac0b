"""What pages show of webhooks and their payloads: rows of lists, without the content."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, func, select
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from core.paging import Page, PagedQuery, Paging
from models import Agent, Board, BoardWebhook, Message, MessageState, PayloadState, WebhookPayload
from services.board_webhooks.queries import (
    BOARD_ID,
    OF_WEBHOOK,
    StoredPayload,
    get_payload,
    get_webhook,
)
from services.board_webhooks.rules import MAX_WEBHOOKS

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
    task_id: UUID | None
    agent_id: UUID | None
    agent_name: str | None
    message_state: MessageState | None
    message_error: str | None


def _select_overviews() -> Select[*tuple[Any, ...]]:
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
            Agent, and_(Agent.id == BoardWebhook.agent_id, Agent.board_id == BoardWebhook.board_id)
        )
        .where(BoardWebhook.board_id == BOARD_ID)
        .order_by(BoardWebhook.created_at, BoardWebhook.id)
        .limit(MAX_WEBHOOKS)
    )


def _select_payloads() -> Select[*tuple[Any, ...]]:
    event = func.coalesce(*(WebhookPayload.headers[name].astext for name in EVENT_HEADERS))
    stored = WebhookPayload
    return (
        select(
            *(stored.id, stored.received_at, event, stored.content_type, stored.source_ip),
            *(stored.size, stored.state, stored.error, stored.is_queued, stored.task_id),
            *(Message.agent_id, Agent.name, Message.state, Message.last_error),
        )
        .outerjoin(Message, Message.id == stored.message_id)
        .outerjoin(Agent, Agent.id == Message.agent_id)
        .where(OF_WEBHOOK)
        .order_by(stored.received_at.desc(), stored.id.desc())
    )


OVERVIEWS: Query[WebhookOverview] = Query(_select_overviews(), WebhookOverview._make)
PAYLOAD_OVERVIEW: Query[PayloadOverview] = Query(
    _select_payloads().where(WebhookPayload.id == bindparam("payload_id")), PayloadOverview._make
)
PAYLOAD_OVERVIEWS: PagedQuery[PayloadOverview] = PagedQuery(
    _select_payloads(),
    PayloadOverview._make,
    select(func.count()).select_from(WebhookPayload).where(OF_WEBHOOK).scalar_subquery(),
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
) -> tuple[BoardWebhook, Page[PayloadOverview]]:
    """Return a webhook and a page of its payloads, newest first. Raises NotFound."""
    webhook = await get_webhook(source, board, webhook_id)
    ids = {"board_id": board.id, "webhook_id": webhook_id}
    return webhook, await PAYLOAD_OVERVIEWS.fetch_page(source, paging, **ids)
