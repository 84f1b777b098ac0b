"""Routes of the pages of outgoing webhooks.

A form that is rejected is shown at its own address; opening that address again shows the page.
"""

from starlette.routing import Route

from web.webhook_endpoints import delivery_views, views

ENDPOINT_PATH = "/webhooks/{endpoint_id:uuid}"
DELIVERY_PATH = f"{ENDPOINT_PATH}/deliveries/{{webhook_delivery_id:uuid}}"

WEBHOOK_ENDPOINT_ROUTES: list[Route] = [
    Route("/webhooks", views.show_webhooks, name="webhooks"),
    *[
        Route(path, handler, methods=[method])
        for path, method, handler in [
            ("/webhooks", "POST", views.create_webhook),
            ("/webhooks/new", "GET", views.show_new_form),
            (ENDPOINT_PATH, "GET", delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/edit", "GET", views.show_edit_form),
            (f"{ENDPOINT_PATH}/edit", "POST", views.update_webhook),
            (f"{ENDPOINT_PATH}/switches", "POST", delivery_views.switch_webhook),
            (f"{ENDPOINT_PATH}/switches", "GET", delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/secrets", "POST", delivery_views.rotate_secret),
            (f"{ENDPOINT_PATH}/secrets", "GET", delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/tests", "POST", delivery_views.send_test),
            (f"{ENDPOINT_PATH}/tests", "GET", delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/replays", "POST", delivery_views.replay_period),
            (f"{ENDPOINT_PATH}/replays", "GET", delivery_views.show_webhook),
            (f"{ENDPOINT_PATH}/deletions", "POST", views.delete_webhook),
            (f"{ENDPOINT_PATH}/deletions", "GET", delivery_views.show_webhook),
            (DELIVERY_PATH, "GET", delivery_views.show_delivery),
            (f"{DELIVERY_PATH}/replays", "POST", delivery_views.replay_delivery),
            (f"{DELIVERY_PATH}/replays", "GET", delivery_views.show_delivery),
        ]
    ],
]
"""Forms and pages, for admins."""

__all__ = ["WEBHOOK_ENDPOINT_ROUTES"]
