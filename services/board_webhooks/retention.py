"""Delete payloads of webhooks after a time, and the oldest of a webhook with very many."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import BoardWebhook, Note, WebhookPayload

MAX_PAYLOADS = 10_000  # of one webhook; older ones are deleted before their time
BATCH_SIZE = 1_000


async def delete_old_payloads(
    session: AsyncSession, *, keep_days: int, max_payloads: int = MAX_PAYLOADS
) -> int:
    """Delete payloads after `keep_days`, and all but the newest `max_payloads` of each webhook.

    Of the latter, those that wait for their message stay. Their notes in the memory of the board
    are deleted too, unless somebody has changed them.
    Returns the number of payloads.
    """
    is_old = or_(
        WebhookPayload.received_at < now() - timedelta(days=keep_days), _is_surplus(max_payloads)
    )
    deleted = 0
    while True:
        note_ids = await _delete_batch(session, is_old)
        deleted += len(note_ids)
        unchanged = delete(Note).where(Note.id.in_(note_ids), Note.version == 1)
        await session.execute(unchanged.execution_options(synchronize_session=False))
        if len(note_ids) < BATCH_SIZE:
            return deleted


def _is_surplus(max_payloads: int) -> ColumnElement[bool]:
    """Match payloads that are older than the newest ones of their webhook."""
    newest = select(WebhookPayload.received_at).where(WebhookPayload.webhook_id == BoardWebhook.id)
    newest = newest.order_by(WebhookPayload.received_at.desc()).limit(1).offset(max_payloads - 1)
    oldest_kept = newest.correlate(BoardWebhook).scalar_subquery()
    surplus = select(WebhookPayload.id).join(
        BoardWebhook, BoardWebhook.id == WebhookPayload.webhook_id
    )
    surplus = surplus.where(WebhookPayload.received_at < oldest_kept, ~WebhookPayload.is_queued)
    return WebhookPayload.id.in_(surplus)


async def _delete_batch(session: AsyncSession, where: ColumnElement[bool]) -> list[Any]:
    """Delete some payloads, and return the ids of their notes; None for one without a note."""
    batch = select(WebhookPayload.id).where(where).limit(BATCH_SIZE)
    statement = delete(WebhookPayload).where(
        WebhookPayload.id.in_(batch.with_for_update(skip_locked=True))
    )
    statement = statement.returning(WebhookPayload.note_id)
    found = await session.scalars(statement.execution_options(synchronize_session=False))
    return list(found.all())
