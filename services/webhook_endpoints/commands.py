"""Create, change, rotate, pause, disable and delete the webhooks of an organization.

The owner of a webhook is the admin who has set its address and boards. It sends only what its owner
may read. That is checked when it is saved, and again in each transaction that creates or claims
deliveries.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import ColumnElement, String, cast, delete, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import ReadFactory
from core.errors import Conflict, Forbidden, Invalid
from core.fields import NOT_SENT, FieldKind, Fields, Label, Patch, ShortText
from core.http.outbound import MAX_URL_LENGTH, InvalidUrl, OutboundClient, parse_url
from core.security.encryption import DecryptionError, SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from core.text import N_
from models import (
    Actor,
    Board,
    BoardAccess,
    EndpointState,
    Event,
    EventType,
    Member,
    NotificationKind,
    Role,
    WebhookDelivery,
    WebhookEndpoint,
    build_encryption_context,
)
from services import audit, events, notifications, organizations, rows
from services.outbox import wake_workers
from services.webhook_endpoints.catalog import TYPE_NAMES, check_event_types
from services.webhook_endpoints.queries import list_covered_board_ids, may_read_all_boards

MAX_ENDPOINTS = 20  # of an organization
TOPIC = "webhook deliveries"  # of notifications that wake the workers


def _check_url(url: str) -> str:
    try:
        parse_url(url)
    except InvalidUrl:
        reason = N_(
            "Enter an address that begins with https:// or http://, without a name or a password."
        )
        raise Invalid("webhook_url_invalid", reason, field="url") from None
    return url


class WebhookEndpointCreate(Fields):
    """A new webhook."""

    component = "WebhookCreate"
    example = {"url": "https://example.com/hooks/mission-control", "event_types": ["task.created"]}

    url: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=MAX_URL_LENGTH),
        AfterValidator(_check_url),
        Label(N_("Address"), FieldKind.LINE),
        Field(
            description="Begins with https:// or http://. Private addresses are rejected unless "
            "`OUTBOUND_ALLOW_PRIVATE` allows them. Redirects are not followed."
        ),
    ]
    description: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=200),
        Label(N_("Description"), FieldKind.LINE),
    ] = ""
    event_types: Annotated[
        list[ShortText],
        Field(max_length=100, description=f"Empty: all. The types: {TYPE_NAMES}."),
        AfterValidator(check_event_types),
        Label(N_("Events")),
    ] = []
    board_ids: Annotated[
        list[UUID],
        Label(N_("Boards")),
        Field(
            max_length=200,
            description="Only events of these boards, and events without a board. "
            "Empty: all boards.",
        ),
    ] = []


class WebhookEndpointUpdate(WebhookEndpointCreate, Patch):
    """Changes of a webhook: at least one field."""

    component = "WebhookUpdate"
    example = {"is_enabled": False}

    is_enabled: bool = Field(
        default=NOT_SENT,
        description="False pauses it, true resumes it. Events meanwhile can be sent by a replay.",
    )


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
    session: AsyncSession, member: Member, cipher: SecretCipher, fields: WebhookEndpointCreate
) -> tuple[WebhookEndpoint, str]:
    """Create a webhook that receives the events from now on; return it with its secret.

    Raises Forbidden unless the member is an admin who may read the boards, and Invalid.
    """
    organizations.require_admin(member)
    await organizations.lock_organization(session, member)
    of_organization = WebhookEndpoint.organization_id == member.organization_id
    count = await session.scalar(select(func.count()).where(of_organization)) or 0
    if count >= MAX_ENDPOINTS:
        reason = N_("An organization has at most %(max_count)s webhooks.")
        raise Conflict("too_many_webhooks", reason, max_count=MAX_ENDPOINTS)
    values = _to_columns(dict(fields))
    await check_boards(session, member, values["board_ids"])
    secret = generate_signing_secret()
    endpoint = rows.build_row(
        WebhookEndpoint,
        organization_id=member.organization_id,
        owner_user_id=member.user_id,
        last_seq=await events.get_last_seq(session, member.organization_id),
        state=EndpointState.ENABLED,
        **values,
    )
    endpoint.encrypted_secret = encrypt_secret(cipher, endpoint.id, secret)
    session.add(endpoint)
    await wake_workers(session, TOPIC)
    created = endpoint_event(EventType.WEBHOOK_ENDPOINT_CREATED, member.user, endpoint)
    await events.record_events(session, [created])
    return endpoint, secret


def _to_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return values of fields as they are stored: ids of boards as texts, sorted."""
    if "board_ids" in values:
        values["board_ids"] = sorted({str(id) for id in values["board_ids"]})
    return values


async def update_endpoint(
    session: AsyncSession,
    member: Member,
    endpoint: WebhookEndpoint,
    fields: WebhookEndpointUpdate,
) -> None:
    """Update the given fields of a locked webhook; `is_enabled` pauses or resumes it.

    What happens while it is paused is not delivered later. Who changes the URL or the boards, or
    resumes what an owner without access has left, becomes the owner. Raises Invalid, and Forbidden
    if this member may not read the boards.
    """
    given = _to_columns(fields.changes())
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
    has_access = select(WebhookEndpoint.id).where(
        WebhookEndpoint.id == endpoint.id, OWNER_HAS_ACCESS
    )
    if await session.scalar(has_access) is None:
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
    endpoint.previous_secret_expires_at = at + timedelta(hours=24)
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


def _owner_has_access() -> ColumnElement[bool]:
    """Match endpoints whose owner is an admin who may read all the boards that exist."""
    access = exists().where(
        BoardAccess.organization_member_id == Member.id,
        BoardAccess.board_id == Board.id,
        or_(BoardAccess.can_read, BoardAccess.can_write),
    )
    hidden = exists().where(
        Board.organization_id == WebhookEndpoint.organization_id,
        WebhookEndpoint.board_ids.has_key(cast(Board.id, String)),
        ~access.correlate(Board, Member),
    )
    has_boards = WebhookEndpoint.board_ids != literal([], JSONB)
    owner = exists().where(
        Member.user_id == WebhookEndpoint.owner_user_id,
        Member.organization_id == WebhookEndpoint.organization_id,
        Member.role.in_((Role.OWNER, Role.ADMIN)),
        or_(
            Member.all_boards_read,
            Member.all_boards_write,
            has_boards & ~hidden.correlate(WebhookEndpoint, Member),
        ),
    )
    return owner.correlate(WebhookEndpoint)


OWNER_HAS_ACCESS = _owner_has_access()


async def set_owner(session: AsyncSession, member: Member, endpoint: WebhookEndpoint) -> None:
    """Make an admin the owner of a webhook with new boards or another URL. Raises Forbidden.

    Deliveries of boards that are left out are deleted: the owner need not be allowed to read them.
    """
    await check_boards(session, member, endpoint.board_ids)
    endpoint.owner_user_id = member.user_id
    if not endpoint.board_ids:
        return
    is_received = or_(
        Event.board_id.is_(None), cast(Event.board_id, String).in_(endpoint.board_ids)
    )
    received = select(Event.id).where(Event.id == WebhookDelivery.event_id, is_received)
    of_other_boards = WebhookDelivery.event_id.is_not(None) & ~received.exists()
    await session.execute(
        delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint.id, of_other_boards)
    )


async def check_boards(session: AsyncSession, member: Member, board_ids: Sequence[str]) -> None:
    """Raise Forbidden if the member may not read all the boards whose events are delivered."""
    if not board_ids and may_read_all_boards(member):
        return
    if not board_ids:
        reason = N_("Choose boards that you can read: you have no access to all boards.")
        raise Forbidden("webhook_boards_forbidden", reason)
    if set(board_ids) - await list_covered_board_ids(session, member):
        reason = N_("Choose boards that you can read: you cannot read one of these boards.")
        raise Forbidden("webhook_boards_forbidden", reason)


def get_endpoint_name(endpoint: WebhookEndpoint) -> str:
    """Return the description, or the host of the URL: the path can be a secret."""
    return endpoint.description or urlsplit(endpoint.url).hostname or ""


def endpoint_event(
    type: EventType, actor: Actor | None, endpoint: WebhookEndpoint, **more: object
) -> events.NewEvent:
    """Build an event of an endpoint. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=endpoint.organization_id,
        data={"endpoint_id": str(endpoint.id), "name": get_endpoint_name(endpoint), **more},
    )


async def disable_endpoint(session: AsyncSession, endpoint: WebhookEndpoint, at: datetime) -> None:
    """Record that an endpoint was disabled by its failures, and notify the admins."""
    endpoint.updated_at = at
    name, reason = get_endpoint_name(endpoint), endpoint.state.value
    notification = notifications.NewNotification(
        kind=NotificationKind.WEBHOOK_DISABLED,
        organization_id=endpoint.organization_id,
        key=str(endpoint.id),
        audience=notifications.Audience.ADMINS,
        data={"name": name, "endpoint_id": str(endpoint.id), "reason": reason},
        merges=True,
    )
    await notifications.notify(session, [notification])
    disabled = endpoint_event(EventType.WEBHOOK_ENDPOINT_DISABLED, None, endpoint, reason=reason)
    await events.record_events(session, [disabled])


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
