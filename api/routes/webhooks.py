"""Operations of admins on outgoing webhooks of their organization."""

from api.endpoints import webhook_endpoints
from api.framework.dependencies import admin_membership, webhook_for_read, webhook_for_update
from api.framework.handler import Dependency, Handler
from api.routes.declare import USER, Operation

WEBHOOKS = "/webhooks"
WEBHOOK = f"{WEBHOOKS}/{{webhook_id}}"
DELIVERIES = f"{WEBHOOK}/deliveries"
DELIVERY = f"{DELIVERIES}/{{delivery_id}}"


def declare_webhooks(method: str, path: str, handler: Handler, dependency: Dependency) -> Operation:
    """Declare an operation on outgoing webhooks."""
    return Operation(method, path, handler, USER, ["webhooks"], dependency)


OPERATIONS: list[Operation] = [
    declare_webhooks("GET", WEBHOOKS, webhook_endpoints.list_webhooks, admin_membership),
    declare_webhooks("POST", WEBHOOKS, webhook_endpoints.create_webhook, admin_membership),
    declare_webhooks("GET", WEBHOOK, webhook_endpoints.get_webhook, webhook_for_read),
    declare_webhooks("PATCH", WEBHOOK, webhook_endpoints.update_webhook, webhook_for_update),
    declare_webhooks("DELETE", WEBHOOK, webhook_endpoints.delete_webhook, webhook_for_update),
    declare_webhooks(
        "POST",
        f"{WEBHOOK}/secret-rotations",
        webhook_endpoints.rotate_webhook_secret,
        webhook_for_update,
    ),
    declare_webhooks(
        "POST", f"{WEBHOOK}/tests", webhook_endpoints.send_webhook_test, webhook_for_update
    ),
    declare_webhooks(
        "POST", f"{WEBHOOK}/replays", webhook_endpoints.replay_webhook_period, webhook_for_update
    ),
    declare_webhooks(
        "GET", DELIVERIES, webhook_endpoints.list_webhook_deliveries, webhook_for_read
    ),
    declare_webhooks("GET", DELIVERY, webhook_endpoints.get_webhook_delivery, webhook_for_read),
    declare_webhooks(
        "POST",
        f"{DELIVERY}/replays",
        webhook_endpoints.replay_webhook_delivery,
        webhook_for_update,
    ),
]
