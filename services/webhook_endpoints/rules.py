"""When a delivery is attempted again, and when an endpoint is disabled."""

from datetime import datetime, timedelta

from core.http.outbound import OutboundOutcome, OutboundResult, read_retry_after
from core.text import replace_unstorable
from models import EndpointState, WebhookDelivery, WebhookDeliveryState, WebhookEndpoint
from services.outbox import Outbox

OUTBOX = Outbox(
    WebhookDelivery,
    claim_duration=timedelta(seconds=60),  # longer than a request may take
    retry_delays=[  # three days in total
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
        timedelta(hours=14),
        timedelta(hours=20),
        timedelta(hours=24),
    ],
    jitter=0.1,
)
MAX_RESPONSE_LENGTH = 2_000  # characters that are kept


def apply_result(delivery: WebhookDelivery, result: OutboundResult, at: datetime) -> None:
    """Record the result of an attempt, and when the next one is due."""
    delivery.outcome, delivery.status = result.outcome.value, result.status
    delivery.detail = result.detail or None
    text = result.body.decode(errors="replace")[:MAX_RESPONSE_LENGTH]
    delivery.response = replace_unstorable(text) if result.status is not None else None
    delivery.duration_ms = round(result.seconds * 1000)
    delivery.last_attempt_at = at
    delivery.next_attempt_at = None
    if result.is_delivered:
        delivery.state, delivery.delivered_at = WebhookDeliveryState.DELIVERED, at
        return
    # A replay starts the delays again, but attempts are counted on.
    failures = len(OUTBOX.retry_delays) - delivery.retries_left + 1
    retry_at = OUTBOX.find_retry(failures, at, read_retry_after(result.headers))
    if retry_at is None or is_gone(result):
        delivery.state = WebhookDeliveryState.FAILED
    else:
        delivery.retries_left -= 1
        delivery.next_attempt_at = retry_at


def is_gone(result: OutboundResult) -> bool:
    """Return whether the receiver wants no more requests."""
    return result.outcome is OutboundOutcome.REJECTED and result.status == 410


def update_health(endpoint: WebhookEndpoint, result: OutboundResult, at: datetime) -> bool:
    """Record whether an endpoint fails; return True if that has disabled it."""
    if result.is_delivered:
        endpoint.failing_since = None
        return False
    failing_since = endpoint.failing_since = endpoint.failing_since or at
    if not endpoint.is_enabled:
        return False
    if is_gone(result):
        endpoint.state = EndpointState.GONE
    elif at - failing_since >= timedelta(days=5):  # without a success
        endpoint.state = EndpointState.FAILING
    return not endpoint.is_enabled
