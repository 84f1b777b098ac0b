"""Outgoing webhooks of an organization, and the log of their deliveries. For admins."""

from uuid import UUID

from api.endpoints.webhook_models import (
    WebhookCreate,
    WebhookCreated,
    WebhookDeliveryDetail,
    WebhookDeliveryQuery,
    WebhookDeliveryRead,
    WebhookPeriod,
    WebhookRead,
    WebhookReplay,
    WebhookSecret,
    WebhookUpdate,
    WebhookUpdated,
    build_delivery_fields,
    build_fields,
)
from api.framework.dependencies import admin_membership, webhook_for_read, webhook_for_update
from api.framework.fields import Ok, PageQuery
from api.framework.operation import (
    USER,
    Operation,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, encode_page
from core.paging import Page
from models import Member, WebhookEndpoint
from services import webhook_endpoints
from services.webhook_endpoints import EndpointSummary


@reads_only
@error_responses(403)
async def list_webhooks(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[WebhookRead]]:
    """List the outgoing webhooks of the active organization, oldest first."""
    found = await webhook_endpoints.list_endpoints(context.source, member, query.paging)
    return encode_page(found, build_fields)


@without_transaction
@error_responses(403, 409)
async def create_webhook(
    context: RequestContext, member: Member, body: WebhookCreate
) -> WebhookCreated:
    """Create an outgoing webhook, which receives the events from now on.

    Requests are signed as Standard Webhooks. Receivers verify them with the secret. An address that
    may not be called is 422 `address_forbidden` or `address_never_allowed`.
    """
    draft = webhook_endpoints.EndpointDraft(**dict(body))
    is_known = await webhook_endpoints.check_address(
        context.reader, context.outbound_client, member, draft.url
    )
    async with context.transaction() as session:
        endpoint, secret = await webhook_endpoints.create_endpoint(
            session, member, context.secret_cipher, draft
        )
    return WebhookCreated(id=endpoint.id, secret=secret, has_unknown_host=not is_known)


@reads_only
@error_responses(403)
async def get_webhook(context: RequestContext, summary: EndpointSummary) -> Encoded[WebhookRead]:
    """Return an outgoing webhook."""
    return Encoded(build_fields(summary))


@without_transaction
@error_responses(403)
async def update_webhook(
    context: RequestContext, member: Member, endpoint: WebhookEndpoint, body: WebhookUpdate
) -> Encoded[WebhookUpdated]:
    """Change an outgoing webhook, pause or resume it. Only the fields in the request change.

    A new address is checked like that of a new webhook.
    """
    changes, is_known = body.changes(), True
    if changes.get("url", endpoint.url) != endpoint.url:
        is_known = await webhook_endpoints.check_address(
            context.reader, context.outbound_client, member, changes["url"]
        )
    async with context.transaction() as session:
        locked = await webhook_endpoints.lock_endpoint(session, member, endpoint.id)
        await webhook_endpoints.update_endpoint(session, member, locked, changes)
        summary = await webhook_endpoints.get_endpoint(session, member, endpoint.id)
    return Encoded({**build_fields(summary), "has_unknown_host": not is_known})


@error_responses(403)
async def delete_webhook(context: RequestContext, member: Member, endpoint: WebhookEndpoint) -> Ok:
    """Delete an outgoing webhook with the log of its deliveries."""
    await webhook_endpoints.delete_endpoint(context.session, member, endpoint)
    return Ok()


@error_responses(403)
async def rotate_webhook_secret(
    context: RequestContext, member: Member, endpoint: WebhookEndpoint
) -> WebhookSecret:
    """Replace the secret. For a day, requests are signed with both secrets."""
    secret = await webhook_endpoints.rotate_secret(
        context.session, member, context.secret_cipher, endpoint
    )
    expires_at = endpoint.previous_secret_expires_at
    assert expires_at is not None
    return WebhookSecret(secret=secret, previous_secret_expires_at=expires_at)


@error_responses(403, 409)
async def send_webhook_test(
    context: RequestContext, endpoint: WebhookEndpoint
) -> Encoded[WebhookDeliveryRead]:
    """Send a request of the type `webhook.test`, once. Its result is in the log."""
    context.count_manual_message(endpoint.organization_id)
    delivery = await webhook_endpoints.create_test_delivery(context.session, endpoint)
    return Encoded(build_delivery_fields(delivery))


@error_responses(403, 409)
async def replay_webhook_period(
    context: RequestContext, endpoint: WebhookEndpoint, body: WebhookPeriod
) -> WebhookReplay:
    """Send the events of a period that were not delivered, also those of a pause."""
    context.count_manual_message(endpoint.organization_id)
    base_url = context.settings.base_url
    count = await webhook_endpoints.replay_period(
        context.session, endpoint, body.since, body.until, base_url
    )
    return WebhookReplay(count=count)


@reads_only
@error_responses(403)
async def list_webhook_deliveries(
    context: RequestContext, summary: EndpointSummary, query: WebhookDeliveryQuery
) -> Encoded[Page[WebhookDeliveryRead]]:
    """List the deliveries of the last 30 days, newest first."""
    found = await webhook_endpoints.list_deliveries(
        context.source, summary.endpoint, query.paging, query.state or ""
    )
    return encode_page(found, build_delivery_fields)


@reads_only
@error_responses(403)
async def get_webhook_delivery(
    context: RequestContext, member: Member, summary: EndpointSummary, delivery_id: UUID
) -> Encoded[WebhookDeliveryDetail]:
    """Return a delivery with its payload, and the beginning of the response."""
    source, endpoint = context.source, summary.endpoint
    delivery = await webhook_endpoints.get_delivery(source, endpoint, delivery_id)
    may_read = await webhook_endpoints.may_read_payloads(source, member, endpoint)
    return Encoded(
        {
            **build_delivery_fields(delivery),
            "payload": delivery.payload if may_read else None,
            "response": delivery.response if may_read else None,  # it may repeat the payload
        }
    )


@error_responses(403, 409)
async def replay_webhook_delivery(
    context: RequestContext, endpoint: WebhookEndpoint, delivery_id: UUID
) -> Encoded[WebhookDeliveryRead]:
    """Send a delivery again, with the same `webhook-id`."""
    context.count_manual_message(endpoint.organization_id)
    delivery = await webhook_endpoints.get_delivery(context.session, endpoint, delivery_id)
    await webhook_endpoints.replay_delivery(context.session, endpoint, delivery)
    return Encoded(build_delivery_fields(delivery))


WEBHOOK = "/webhooks/{webhook_id}"
DELIVERIES = "/webhooks/{webhook_id}/deliveries"
DELIVERY = "/webhooks/{webhook_id}/deliveries/{delivery_id}"
TAGS = ["webhooks"]

OPERATIONS = [
    Operation("GET", "/webhooks", list_webhooks, USER, TAGS, admin_membership),
    Operation("POST", "/webhooks", create_webhook, USER, TAGS, admin_membership),
    Operation("GET", WEBHOOK, get_webhook, USER, TAGS, webhook_for_read),
    Operation("PATCH", WEBHOOK, update_webhook, USER, TAGS, webhook_for_update),
    Operation("DELETE", WEBHOOK, delete_webhook, USER, TAGS, webhook_for_update),
    Operation(
        "POST", WEBHOOK + "/secret-rotations", rotate_webhook_secret, USER, TAGS, webhook_for_update
    ),
    Operation("POST", WEBHOOK + "/tests", send_webhook_test, USER, TAGS, webhook_for_update),
    Operation("POST", WEBHOOK + "/replays", replay_webhook_period, USER, TAGS, webhook_for_update),
    Operation("GET", DELIVERIES, list_webhook_deliveries, USER, TAGS, webhook_for_read),
    Operation("GET", DELIVERY, get_webhook_delivery, USER, TAGS, webhook_for_read),
    Operation(
        "POST", DELIVERY + "/replays", replay_webhook_delivery, USER, TAGS, webhook_for_update
    ),
]
