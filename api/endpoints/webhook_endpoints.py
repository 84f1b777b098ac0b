"""Outgoing webhooks of an organization, and the log of their deliveries. For admins."""

from dataclasses import replace
from typing import Annotated
from uuid import UUID

from pydantic import Field

from api.framework.dependencies import admin_membership, loads, locks
from api.framework.fields import (
    Ok,
    PageQuery,
    RequestModel,
    RequestTimestamp,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import (
    USER,
    Operation,
    counts_first,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import EndpointState, Member, WebhookDeliveryState, WebhookEndpoint
from services import webhook_endpoints
from services.webhook_endpoints import EndpointSummary, WebhookEndpointCreate, WebhookEndpointUpdate


class WebhookRead(ResponseModel):
    """An outgoing webhook. The secret is shown when it is created."""

    id: UUID
    url: str
    description: str
    event_types: list[str]
    board_ids: list[UUID]
    state: EndpointState = Field(
        description="`gone`: it responded with status 410. `failing`: disabled after five days. "
        "`owner_without_access`: the owner may not read its boards any more."
    )
    owner_user_id: UUID | None = Field(
        description="Who has set the URL and the boards: only what this admin may read is sent."
    )
    failing_since: Timestamp | None
    previous_secret_expires_at: Timestamp | None
    pending_count: int
    failed_count: int
    last_delivered_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


HasUnknownHost = Annotated[
    bool,
    Field(
        description="The name of the host in a new address cannot be resolved now. Deliveries are "
        "repeated until it can."
    ),
]


class WebhookCreated(ResponseModel):
    """A new webhook with its secret, which is not shown again."""

    id: UUID
    secret: str
    has_unknown_host: HasUnknownHost = False


class WebhookUpdated(WebhookRead):
    """A webhook after a change."""

    has_unknown_host: HasUnknownHost = False


class WebhookSecret(ResponseModel):
    """A new secret, which is not shown again. The previous one signs for a day."""

    secret: str
    previous_secret_expires_at: Timestamp


class WebhookDeliveryRead(ResponseModel):
    """A delivery, with the result of its last attempt."""

    id: UUID = Field(description="The `webhook-id` of all attempts.")
    event_id: UUID | None = Field(description="Null: a test.")
    event_type: str
    state: WebhookDeliveryState
    attempts: int
    next_attempt_at: Timestamp | None
    last_attempt_at: Timestamp | None
    outcome: str | None = Field(
        description="`delivered`, `rejected` (another status), `redirected`, `address_invalid`, "
        "`address_forbidden`, `dns`, `unreachable`, `tls`, `timeout`, `invalid_response`, "
        "`not_sent`."
    )
    status: int | None
    detail: str | None
    duration_ms: int | None
    created_at: Timestamp
    delivered_at: Timestamp | None


class WebhookDeliveryDetail(WebhookDeliveryRead):
    """A delivery with what was sent, and the beginning of the response."""

    payload: str | None = Field(
        description="Null if you may not read all boards whose events this webhook receives."
    )
    response: str | None


class WebhookPeriod(RequestModel):
    """A period within the last 30 days with at most 1,000 events."""

    example = {"since": "2026-05-01T08:00:00Z", "until": "2026-05-01T12:00:00Z"}

    since: RequestTimestamp
    until: RequestTimestamp


class WebhookReplay(ResponseModel):
    """How many deliveries are sent again."""

    count: int


class WebhookDeliveryQuery(PageQuery):
    """Which deliveries to list."""

    state: WebhookDeliveryState | None = Field(
        default=None, description="Only deliveries in this state."
    )


encode_webhook = build_encoder(
    WebhookRead,
    "endpoint",
    pending_count="pending_count",
    failed_count="failed_count",
    last_delivered_at="last_delivered_at",
)
encode_delivery = build_encoder(WebhookDeliveryRead)


@reads_only
@error_responses(403)
async def list_webhooks(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[WebhookRead]]:
    """List the outgoing webhooks of the active organization, oldest first."""
    found = await webhook_endpoints.list_endpoints(context.source, member, query.paging)
    return encode_page(found, encode_webhook)


@without_transaction
@error_responses(403, 409)
async def create_webhook(
    context: RequestContext, member: Member, body: WebhookEndpointCreate
) -> WebhookCreated:
    """Create an outgoing webhook, which receives the events from now on.

    Requests are signed as Standard Webhooks. Receivers verify them with the secret. An address that
    may not be called is 422 `address_forbidden` or `address_never_allowed`.
    """
    is_known = await webhook_endpoints.check_address(
        context.reader, context.outbound_client, member, body.url
    )
    async with context.transaction() as session:
        endpoint, secret = await webhook_endpoints.create_endpoint(
            session, member, context.secret_cipher, body
        )
    return WebhookCreated(id=endpoint.id, secret=secret, has_unknown_host=not is_known)


@reads_only
@error_responses(403)
async def get_webhook(context: RequestContext, found: EndpointSummary) -> Encoded[WebhookRead]:
    """Return an outgoing webhook."""
    return Encoded(encode_webhook(found))


@without_transaction
@error_responses(403)
async def update_webhook(
    context: RequestContext, member: Member, found: WebhookEndpoint, body: WebhookEndpointUpdate
) -> Encoded[WebhookUpdated]:
    """Change an outgoing webhook, pause or resume it. Only the fields in the request change.

    A new address is checked like that of a new webhook.
    """
    is_known = True
    if "url" in body.model_fields_set and body.url != found.url:
        is_known = await webhook_endpoints.check_address(
            context.reader, context.outbound_client, member, body.url
        )
    async with context.transaction() as session:
        locked = await webhook_endpoints.lock_endpoint(session, member, found.id)
        await webhook_endpoints.update_endpoint(session, member, locked, body)
        summary = await webhook_endpoints.get_endpoint(session, member, found.id)
    return Encoded({**encode_webhook(summary), "has_unknown_host": not is_known})


@error_responses(403)
async def delete_webhook(context: RequestContext, member: Member, found: WebhookEndpoint) -> Ok:
    """Delete an outgoing webhook with the log of its deliveries."""
    await webhook_endpoints.delete_endpoint(context.session, member, found)
    return Ok()


@error_responses(403)
async def rotate_webhook_secret(
    context: RequestContext, member: Member, found: WebhookEndpoint
) -> WebhookSecret:
    """Replace the secret. For a day, requests are signed with both secrets."""
    secret = await webhook_endpoints.rotate_secret(
        context.session, member, context.secret_cipher, found
    )
    expires_at = found.previous_secret_expires_at
    assert expires_at is not None
    return WebhookSecret(secret=secret, previous_secret_expires_at=expires_at)


async def _count_message(context: RequestContext) -> None:
    """Count what an admin sends by hand. Raises Forbidden and TooMany."""
    async with context.transaction() as session:
        loaded = await admin_membership(replace(context, open_source=session), {})
    await context.count_manual_message(loaded["member"].organization_id)


@counts_first(_count_message)
@error_responses(403, 409)
async def send_webhook_test(
    context: RequestContext, found: WebhookEndpoint
) -> Encoded[WebhookDeliveryRead]:
    """Send a request of the type `webhook.test`, once. Its result is in the log."""
    delivery = await webhook_endpoints.create_test_delivery(context.session, found)
    return Encoded(encode_delivery(delivery))


@counts_first(_count_message)
@error_responses(403, 409)
async def replay_webhook_period(
    context: RequestContext, found: WebhookEndpoint, body: WebhookPeriod
) -> WebhookReplay:
    """Send the events of a period that were not delivered, also those of a pause."""
    count = await webhook_endpoints.replay_period(
        context.session, found, body.since, body.until, context.settings.base_url
    )
    return WebhookReplay(count=count)


@reads_only
@error_responses(403)
async def list_webhook_deliveries(
    context: RequestContext, found: EndpointSummary, query: WebhookDeliveryQuery
) -> Encoded[Page[WebhookDeliveryRead]]:
    """List the deliveries of the last 30 days, newest first."""
    deliveries = await webhook_endpoints.list_deliveries(
        context.source, found.endpoint, query.paging, query.state or ""
    )
    return encode_page(deliveries, encode_delivery)


@reads_only
@error_responses(403)
async def get_webhook_delivery(
    context: RequestContext, member: Member, found: EndpointSummary, delivery_id: UUID
) -> Encoded[WebhookDeliveryDetail]:
    """Return a delivery with its payload, and the beginning of the response."""
    source, endpoint = context.source, found.endpoint
    delivery = await webhook_endpoints.get_delivery(source, endpoint, delivery_id)
    may_read = await webhook_endpoints.may_read_payloads(source, member, endpoint)
    return Encoded(
        {
            **encode_delivery(delivery),
            "payload": delivery.payload if may_read else None,
            "response": delivery.response if may_read else None,  # it may repeat the payload
        }
    )


@counts_first(_count_message)
@error_responses(403, 409)
async def replay_webhook_delivery(
    context: RequestContext, found: WebhookEndpoint, delivery_id: UUID
) -> Encoded[WebhookDeliveryRead]:
    """Send a delivery again, with the same `webhook-id`."""
    delivery = await webhook_endpoints.get_delivery(context.session, found, delivery_id)
    await webhook_endpoints.replay_delivery(context.session, found, delivery)
    return Encoded(encode_delivery(delivery))


WEBHOOKS = "/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{webhook_id}}"
DELIVERIES = f"{WEBHOOK}/deliveries"
DELIVERY = f"{DELIVERIES}/{{delivery_id}}"
TAGS = ["webhooks"]
LOADED = loads(webhook_endpoints.get_endpoint, "webhook_id", raises=(403, 404))
LOCKED = locks(webhook_endpoints.lock_endpoint, "webhook_id")

OPERATIONS = [
    Operation("GET", WEBHOOKS, list_webhooks, USER, TAGS, admin_membership),
    Operation("POST", WEBHOOKS, create_webhook, USER, TAGS, admin_membership),
    Operation("GET", WEBHOOK, get_webhook, USER, TAGS, LOADED),
    Operation("PATCH", WEBHOOK, update_webhook, USER, TAGS, LOCKED),
    Operation("DELETE", WEBHOOK, delete_webhook, USER, TAGS, LOCKED),
    Operation("POST", f"{WEBHOOK}/secret-rotations", rotate_webhook_secret, USER, TAGS, LOCKED),
    Operation("POST", f"{WEBHOOK}/tests", send_webhook_test, USER, TAGS, LOCKED),
    Operation("POST", f"{WEBHOOK}/replays", replay_webhook_period, USER, TAGS, LOCKED),
    Operation("GET", DELIVERIES, list_webhook_deliveries, USER, TAGS, LOADED),
    Operation("GET", DELIVERY, get_webhook_delivery, USER, TAGS, LOADED),
    Operation("POST", f"{DELIVERY}/replays", replay_webhook_delivery, USER, TAGS, LOCKED),
]
