"""Database operations of the delivery worker: find work, claim deliveries, record the results.

Each function is one short transaction; requests are sent between them. A claim makes a delivery due
again later, so a worker that is killed leaves it to the next one, with the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from core.errors import Conflict
from core.http.outbound import OutboundOutcome, OutboundRequest, OutboundResult
from core.security.encryption import DecryptionError, SecretCipher
from core.security.webhook_signatures import build_signed_headers
from core.text import N_
from models import (
    EndpointState,
    Event,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
    build_encryption_context,
)
from services import audit
from services.outbox import is_outdated
from services.webhook_endpoints.events import disable_endpoint
from services.webhook_endpoints.owners import OWNER_HAS_ACCESS
from services.webhook_endpoints.rules import OUTBOX, apply_result, update_health

ROTATION_OVERLAP = timedelta(hours=24)  # in which the old secret signs too


class EndpointWork(NamedTuple):
    """What is to be done for an enabled endpoint."""

    endpoint_id: UUID
    organization_id: UUID
    has_events: bool  # that were not looked at
    due_at: datetime | None  # of the next attempt
    has_access: bool  # the owner; if not, the endpoint is to be disabled


_WORK: Query[EndpointWork] = Query(
    select(
        WebhookEndpoint.id,
        WebhookEndpoint.organization_id,
        select(Event.id)
        .where(
            Event.organization_id == WebhookEndpoint.organization_id,
            Event.seq > WebhookEndpoint.last_seq,
        )
        .exists(),
        select(func.min(WebhookDelivery.next_attempt_at))
        .where(
            WebhookDelivery.endpoint_id == WebhookEndpoint.id,
            WebhookDelivery.next_attempt_at.is_not(None),
        )
        .correlate(WebhookEndpoint)
        .scalar_subquery(),
        OWNER_HAS_ACCESS,
    ).where(WebhookEndpoint.state == EndpointState.ENABLED),
    EndpointWork._make,
)


async def list_work(source: Source) -> Sequence[EndpointWork]:
    """Return the enabled endpoints with what is to be done."""
    return await _WORK.fetch(source)


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that one worker attempts. `error` is the result if it cannot be sent."""

    id: UUID
    endpoint_id: UUID
    attempts: int
    request: OutboundRequest = field(repr=False)
    allows_private: bool = False
    error: OutboundResult | None = None


async def claim_deliveries(
    session: AsyncSession, cipher: SecretCipher, endpoint_id: UUID, at: datetime, limit: int
) -> Sequence[ClaimedDelivery]:
    """Claim the due deliveries of an enabled endpoint, oldest first, and count the attempts.

    Nothing is claimed if the owner of the endpoint may not read its boards any more.
    """
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.id == endpoint_id,
        WebhookEndpoint.state == EndpointState.ENABLED,
        OWNER_HAS_ACCESS,
    )
    endpoint = await session.scalar(query)
    if endpoint is None:
        return []
    is_due = WebhookDelivery.next_attempt_at <= at
    oldest = (
        select(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, is_due)
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.number)
    )
    locked = oldest.limit(limit).with_for_update(skip_locked=True)
    due = (await session.scalars(locked)).all()
    if not due:
        return []
    first_id = await audit.find_first_organization_id(session)
    is_first = first_id == endpoint.organization_id
    return [_claim(cipher, endpoint, delivery, at, is_first) for delivery in due]


def _claim(
    cipher: SecretCipher,
    endpoint: WebhookEndpoint,
    delivery: WebhookDelivery,
    at: datetime,
    is_first: bool,
) -> ClaimedDelivery:
    """Claim a delivery; the first organization may use the allowed private addresses."""
    OUTBOX.claim(delivery, at)
    error = None
    headers: dict[str, str] = {}
    try:
        secrets = decrypt_secrets(cipher, endpoint, at)
        headers = build_signed_headers(str(delivery.id), at, delivery.payload, secrets)
    except Conflict as conflict:
        error = OutboundResult(OutboundOutcome.NOT_SENT, detail=conflict.code)
    request = OutboundRequest(endpoint.url, delivery.payload.encode(), headers)
    return ClaimedDelivery(delivery.id, endpoint.id, delivery.attempts, request, is_first, error)


async def record_result(
    session: AsyncSession, claimed: ClaimedDelivery, result: OutboundResult, at: datetime
) -> None:
    """Record the result of an attempt, and disable the endpoint if it fails for too long.

    If another worker has made a later attempt, only a success is recorded.
    """
    of_endpoint = select(WebhookEndpoint).where(WebhookEndpoint.id == claimed.endpoint_id)
    endpoint = await session.scalar(of_endpoint.with_for_update())
    locked = await OUTBOX.lock(session, [claimed.id])
    if endpoint is None or not locked or locked[0].state is WebhookDeliveryState.DELIVERED:
        return
    if is_outdated(locked[0], claimed.attempts, is_success=result.is_delivered):
        return
    apply_result(locked[0], result, at)
    if update_health(endpoint, result, at):
        await disable_endpoint(session, endpoint, at)


def encrypt_secret(cipher: SecretCipher, endpoint_id: UUID, secret: str) -> str:
    """Encrypt a secret for the row of an endpoint."""
    return cipher.encrypt(secret, _build_context(endpoint_id))


def decrypt_secrets(cipher: SecretCipher, endpoint: WebhookEndpoint, at: datetime) -> list[str]:
    """Return the secrets that sign now, the new one first. Raises Conflict."""
    encrypted = [endpoint.encrypted_secret]
    expires_at = endpoint.previous_secret_expires_at
    if endpoint.encrypted_previous_secret and expires_at and expires_at > at:
        encrypted.append(endpoint.encrypted_previous_secret)
    try:
        return [cipher.decrypt(one, _build_context(endpoint.id)).decode() for one in encrypted]
    except DecryptionError:
        reason = N_("The secret was encrypted with another SECRET_KEY. Rotate the secret.")
        raise Conflict("webhook_secret_unreadable", reason) from None


def _build_context(endpoint_id: UUID) -> str:
    """Return the context that ties an encrypted secret to its row."""
    return build_encryption_context(WebhookEndpoint.encrypted_secret, id=endpoint_id)
