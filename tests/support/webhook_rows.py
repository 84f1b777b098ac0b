"""Rows of outgoing webhooks and their deliveries."""

from typing import Any

from core.clock import now
from models import (
    EndpointState,
    Organization,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
    new_id,
)
from services.webhook_endpoints.commands import encrypt_secret
from tests.support.secret_key import CIPHER

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def make_endpoint(organization: Organization, **fields: Any) -> WebhookEndpoint:
    """Make an enabled webhook of an organization."""
    id = fields.pop("id", None) or new_id()
    defaults = {
        "url": "https://receiver.example/hook",
        "description": "Statistics",
        "event_types": [],
        "board_ids": [],
        "state": EndpointState.ENABLED,
        "encrypted_secret": encrypt_secret(CIPHER, id, SECRET),
        "last_seq": 0,
        "created_at": now(),
        "updated_at": now(),
    }
    return WebhookEndpoint(id=id, organization_id=organization.id, **defaults | fields)


def make_delivery(endpoint: WebhookEndpoint, **fields: Any) -> WebhookDelivery:
    """Make a delivery that has failed."""
    defaults = {
        "id": new_id(),
        "event_id": new_id(),
        "event_type": "task.created",
        "payload": '{"type":"task.created","data":{}}',
        "state": WebhookDeliveryState.FAILED,
        "attempts": 10,
        "retries_left": 0,
        "last_attempt_at": now(),
        "outcome": "rejected",
        "status": 500,
        "response": "Internal error",
        "duration_ms": 12,
        "created_at": now(),
    }
    return WebhookDelivery(endpoint_id=endpoint.id, endpoint=endpoint, **defaults | fields)
