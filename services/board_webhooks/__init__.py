"""Incoming webhooks of boards: addresses to which other systems send events for agents."""

from services.board_webhooks.actions import (
    CONDITION_FAILED,
    UNSIGNED_SUFFIX,
    build_payload_data,
    build_task,
    read_template,
)
from services.board_webhooks.commands import (
    MIN_SECRET_LENGTH,
    BoardWebhookCreate,
    BoardWebhookUpdate,
    SavedWebhook,
    WebhookSecret,
    create_webhook,
    delete_webhook,
    has_short_secret,
    may_change_webhook,
    update_webhook,
)
from services.board_webhooks.delivery import (
    MAX_QUEUED,
    check_headers,
    delete_old_payloads,
    is_new_rejection,
    is_unsigned_allowed,
    list_queues,
    receive_request,
    record_rejection,
    send_again,
    send_queued_payloads,
    verify_request,
)
from services.board_webhooks.queries import (
    PayloadOverview,
    StoredPayload,
    format_payload,
    get_payload,
    get_public_webhook,
    get_webhook,
    list_payload_overviews,
    list_payloads,
    list_webhook_overviews,
    list_webhooks,
    load_payload,
    shorten_payload,
)
from services.board_webhooks.requests import WebhookRequest
