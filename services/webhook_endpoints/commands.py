"""Create, change, rotate, pause and delete the webhooks of an organization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import ReadFactory
from core.errors import Conflict, Invalid
from core.http.outbound import InvalidUrl, OutboundClient, parse_url
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from core.text import N_
from core.validation import FieldCheck, boolean_value, trimmed_text, uuid_value, validate_fields
from models import EndpointState, EventType, Member, NotificationKind, WebhookEndpoint, new_id
from services import audit, events, notifications, organizations
from services.outbox import wake_workers
from services.webhook_endpoints.catalog import check_event_types
from services.webhook_endpoints.deliveries import TOPIC
from services.webhook_endpoints.delivery_store import ROTATION_OVERLAP, encrypt_secret
from services.webhook_endpoints.events import endpoint_event
from services.webhook_endpoints.owners import check_boards, has_owner_access, set_owner

MAX_ENDPOINTS = 20  # of an organization
MAX_DESCRIPTION_LENGTH = 200  # characters
MAX_BOARDS = 200  # of a filter


@dataclass(frozen=True, kw_only=True)
class EndpointDraft:
    """The fields of a new webhook. Without event types it receives all, without boards of all."""

    url: str
    description: str = ""
    event_types: Sequence[str] = ()
    board_ids: Sequence[UUID] = field(default_factory=tuple)


def check_url(value: object, field: str) -> str:
    """Validate the URL of an endpoint."""
    try:
        url = str(value).strip()
        parse_url(url)
    except InvalidUrl as error:
        reason = N_(
            "Enter an address that begins with https:// or http://, without a name or a password."
        )
        raise Invalid("webhook_url_invalid", reason, field=field, cause=error.cause) from None
    return url


def check_board_ids(value: object, field: str) -> list[str]:
    """Validate the ids of boards, and return them as texts, sorted."""
    given = list(value) if isinstance(value, Sequence) else [value]
    if len(given) > MAX_BOARDS:
        reason = N_("A webhook can be limited to at most %(max_count)s boards.")
        raise Invalid("too_many_boards", reason, field=field, max_count=MAX_BOARDS)
    return sorted({str(uuid_value(one, field)) for one in given})


FIELD_CHECKS: Mapping[str, FieldCheck] = {
    "url": check_url,
    "description": trimmed_text(MAX_DESCRIPTION_LENGTH),
    "event_types": check_event_types,
    "board_ids": check_board_ids,
}
CHANGE_CHECKS: Mapping[str, FieldCheck] = {**FIELD_CHECKS, "is_enabled": boolean_value}


async def check_address(
    open_read: ReadFactory, client: OutboundClient, member: Member, url: str
) -> bool:
    """Check where a URL leads before it is stored; return whether its name resolves now.

    Call it before the transaction. Raises Invalid.
    """
    async with open_read() as source:
        first_id = await audit.find_first_organization_id(source)
    is_first = member.organization_id == first_id
    return await client.check_address(url, "url", allows_private=is_first)


async def create_endpoint(
    session: AsyncSession, member: Member, cipher: SecretCipher, draft: EndpointDraft
) -> tuple[WebhookEndpoint, str]:
    """Create a webhook that receives the events from now on; return it with its secret.

    Raises Forbidden unless the member is an admin who may read the boards, and Invalid.
    """
    organizations.require_admin(member)
    fields = validate_fields(FIELD_CHECKS, vars(draft))
    await organizations.lock_organization(session, member)
    of_organization = WebhookEndpoint.organization_id == member.organization_id
    count = await session.scalar(select(func.count()).where(of_organization)) or 0
    if count >= MAX_ENDPOINTS:
        reason = N_("An organization has at most %(max_count)s webhooks.")
        raise Conflict("too_many_webhooks", reason, max_count=MAX_ENDPOINTS)
    await check_boards(session, member, fields["board_ids"])
    at, id, secret = now(), new_id(), generate_signing_secret()
    endpoint = WebhookEndpoint(
        id=id,
        organization_id=member.organization_id,
        owner_user_id=member.user_id,
        encrypted_secret=encrypt_secret(cipher, id, secret),
        last_seq=await events.get_last_seq(session, member.organization_id),
        state=EndpointState.ENABLED,
        created_at=at,
        updated_at=at,
        **fields,
    )
    session.add(endpoint)
    await wake_workers(session, TOPIC)
    created = endpoint_event(EventType.WEBHOOK_ENDPOINT_CREATED, member.user, endpoint)
    await events.record_events(session, [created])
    return endpoint, secret


async def update_endpoint(
    session: AsyncSession, member: Member, endpoint: WebhookEndpoint, changes: Mapping[str, object]
) -> None:
    """Update the given fields of a locked webhook; `is_enabled` pauses or resumes it.

    What happens while it is paused is not delivered later. Who changes the URL or the boards, or
    resumes what an owner without access has left, becomes the owner. Raises Invalid, and Forbidden
    if this member may not read the boards.
    """
    given = validate_fields(CHANGE_CHECKS, changes)
    if not given:
        raise Invalid("nothing_to_change", N_("Change at least one thing."))
    is_enabled = given.pop("is_enabled", endpoint.is_enabled)
    new = {name: value for name, value in given.items() if value != getattr(endpoint, name)}
    changed = sorted(new)
    for name, value in new.items():
        setattr(endpoint, name, value)
    if "url" in new or "board_ids" in new:
        await set_owner(session, member, endpoint)
    if is_enabled != endpoint.is_enabled:
        changed.append("is_enabled")
        await _set_enabled(session, member, endpoint, is_enabled)
    if not changed:
        return
    endpoint.updated_at = now()
    values: dict[str, Any] = {"changed": changed, "state": endpoint.state.value}
    updated = endpoint_event(EventType.WEBHOOK_ENDPOINT_UPDATED, member.user, endpoint, **values)
    await events.record_events(session, [updated])


async def _set_enabled(
    session: AsyncSession, member: Member, endpoint: WebhookEndpoint, is_enabled: bool
) -> None:
    """Pause a webhook, or resume it with the events from now on."""
    if not is_enabled:
        endpoint.state = EndpointState.PAUSED
        return
    await session.flush()
    if not await has_owner_access(session, endpoint):
        await set_owner(session, member, endpoint)
    endpoint.state, endpoint.failing_since = EndpointState.ENABLED, None
    endpoint.last_seq = await events.get_last_seq(session, endpoint.organization_id)
    await notifications.resolve(session, [NotificationKind.WEBHOOK_DISABLED], [str(endpoint.id)])
    await wake_workers(session, TOPIC)


async def rotate_secret(
    session: AsyncSession, member: Member, cipher: SecretCipher, endpoint: WebhookEndpoint
) -> str:
    """Replace the secret of a locked webhook and return it. The previous one signs for a day."""
    at, secret = now(), generate_signing_secret()
    endpoint.encrypted_previous_secret = endpoint.encrypted_secret
    endpoint.previous_secret_expires_at = at + ROTATION_OVERLAP
    endpoint.encrypted_secret = encrypt_secret(cipher, endpoint.id, secret)
    endpoint.updated_at = at
    rotated = endpoint_event(EventType.WEBHOOK_SECRET_ROTATED, member.user, endpoint)
    await events.record_events(session, [rotated])
    return secret


async def delete_endpoint(session: AsyncSession, member: Member, endpoint: WebhookEndpoint) -> None:
    """Delete a locked webhook with its deliveries."""
    await session.delete(endpoint)
    await session.flush()
    await notifications.resolve(session, [NotificationKind.WEBHOOK_DISABLED], [str(endpoint.id)])
    deleted = endpoint_event(EventType.WEBHOOK_ENDPOINT_DELETED, member.user, endpoint)
    await events.record_events(session, [deleted])
