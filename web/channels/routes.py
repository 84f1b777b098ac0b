"""Routes of the pages of channels.

A form that is rejected is shown at its own address; opening that address again shows the page.
Every member has channels of their own; nobody sees those of others.
"""

from starlette.routing import Route

from web.channels import setup_views, views

CHANNELS_PATH = "/settings/channels"
NEW_PATH = f"{CHANNELS_PATH}/new/{{kind}}"
RENEWALS_PATH = f"{CHANNELS_PATH}/subscription-renewals"  # of service workers
CHANNEL_PATH = f"{CHANNELS_PATH}/{{channel_id:uuid}}"
DELIVERY_PATH = f"{CHANNEL_PATH}/deliveries/{{delivery_id:uuid}}"

SERVICE_WORKER_ROUTE = Route("/service_worker.js", setup_views.serve_service_worker)

CHANNEL_ROUTES: list[Route] = [
    Route(path, handler, methods=[method])
    for path, method, handler in [
        (CHANNELS_PATH, "GET", views.show_channels),
        (NEW_PATH, "GET", setup_views.show_new_channel),
        (NEW_PATH, "POST", setup_views.create_channel),
        (RENEWALS_PATH, "POST", setup_views.renew_subscription),
        (CHANNEL_PATH, "GET", views.show_channel),
        (f"{CHANNEL_PATH}/tests", "POST", views.send_test),
        (f"{CHANNEL_PATH}/tests", "GET", views.show_channel),
        (f"{CHANNEL_PATH}/names", "POST", views.rename_channel),
        (f"{CHANNEL_PATH}/names", "GET", views.show_channel),
        (f"{CHANNEL_PATH}/pauses", "POST", views.pause_channel),
        (f"{CHANNEL_PATH}/pauses", "GET", views.show_channel),
        (f"{CHANNEL_PATH}/codes", "POST", setup_views.send_code),
        (f"{CHANNEL_PATH}/codes", "GET", views.show_channel),
        (f"{CHANNEL_PATH}/confirmations", "POST", setup_views.confirm_channel),
        (f"{CHANNEL_PATH}/confirmations", "GET", views.show_channel),
        (f"{CHANNEL_PATH}/deletions", "POST", views.delete_channel),
        (f"{CHANNEL_PATH}/deletions", "GET", views.show_channel),
        (f"{DELIVERY_PATH}/sendings", "POST", views.send_again),
        (f"{DELIVERY_PATH}/sendings", "GET", views.show_channel),
    ]
]
