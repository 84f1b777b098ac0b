"""Outgoing webhooks: endpoints of organizations that receive signed events."""

from services.webhook_endpoints.catalog import EVENT_GROUPS, TEST_TYPE
from services.webhook_endpoints.commands import (
    MAX_DESCRIPTION_LENGTH,
    EndpointDraft,
    check_address,
    create_endpoint,
    delete_endpoint,
    rotate_secret,
    update_endpoint,
)
from services.webhook_endpoints.deliveries import create_test_delivery, delete_old_deliveries
from services.webhook_endpoints.delivery_worker import WebhookDeliveryWorker
from services.webhook_endpoints.events import get_endpoint_name
from services.webhook_endpoints.queries import (
    EndpointSummary,
    get_delivery,
    get_endpoint,
    list_board_ids,
    list_deliveries,
    list_endpoints,
    lock_endpoint,
    may_read_payloads,
)
from services.webhook_endpoints.replay import replay_delivery, replay_period
