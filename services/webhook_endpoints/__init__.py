"""Outgoing webhooks: endpoints of organizations that receive signed events."""

from services.webhook_endpoints.catalog import EVENT_GROUPS
from services.webhook_endpoints.commands import (
    WebhookEndpointCreate,
    WebhookEndpointUpdate,
    check_address,
    create_endpoint,
    delete_endpoint,
    get_endpoint_name,
    rotate_secret,
    update_endpoint,
)
from services.webhook_endpoints.deliveries import (
    create_test_delivery,
    delete_old_deliveries,
    replay_delivery,
    replay_period,
)
from services.webhook_endpoints.delivery_worker import WebhookDeliveryWorker
from services.webhook_endpoints.queries import (
    EndpointSummary,
    get_delivery,
    get_endpoint,
    list_deliveries,
    list_endpoints,
    lock_endpoint,
    may_read_payloads,
)
