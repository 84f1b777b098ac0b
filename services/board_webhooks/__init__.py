"""Incoming webhooks of boards: addresses to which other systems send events for agents."""

from services.board_webhooks.actions import (
    CONDITION_FAILED,
    TASK_ACTIONS,
    build_payload_data,
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
    update_webhook,
)
from services.board_webhooks.delivery import (
    MAX_QUEUED,
    check_headers,
    is_new_rejection,
    list_queues,
    receive_request,
    record_rejection,
    send_again,
    send_queued_payloads,
    verify_request,
)
from services.board_webhooks.overviews import (
    PayloadOverview,
    WebhookOverview,
    list_payload_overviews,
    list_webhook_overviews,
    load_payload,
)
from services.board_webhooks.payload_format import format_payload, shorten_payload
from services.board_webhooks.queries import (
    StoredPayload,
    get_payload,
    get_public_webhook,
    get_webhook,
    list_payloads,
    list_webhooks,
)
from services.board_webhooks.retention import delete_old_payloads
from services.board_webhooks.rules import WebhookRequest
from services.board_webhooks.task_fields import build_task
