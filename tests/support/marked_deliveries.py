"""What is sent and received, with the marker in its texts: notifications, channels and webhooks."""

from typing import Any

from core.clock import now
from models import (
    ApprovalStatus,
    ChannelKind,
    DeliveryState,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    PayloadState,
    RequestKind,
    WebhookAction,
    new_id,
)
from services.channels.store import encrypt_config
from tests.support.board_rows import (
    make_notification,
    make_webhook,
    make_webhook_payload,
)
from tests.support.marked_texts import MARK
from tests.support.secret_key import CIPHER
from tests.support.webhook_rows import make_delivery, make_endpoint
from tests.support.world import World


def make_channels(world: World) -> list[Any]:
    """Make channels of Alice in all states, with messages that were sent on them."""
    at = now()
    times = {"created_at": at, "updated_at": at}
    states: list[dict[str, Any]] = [
        {"kind": ChannelKind.SLACK, "failing_since": at, "last_error": MARK, "confirmed_at": at},
        {"kind": ChannelKind.EMAIL},
    ]
    configs = [{"url": f"https://{MARK}/"}, {"address": MARK}]
    rows: list[Any] = []
    for state, config in zip(states, configs, strict=True):
        id = new_id()
        rows.append(
            NotificationChannel(
                id=id,
                user_id=world.alice.id,
                organization_id=world.tern.id,
                name=MARK,
                encrypted_config=encrypt_config(CIPHER, id, config),
                **state,
                **times,
            )
        )
    sent = {"request": MARK, "response": MARK, "last_error": MARK, "next_attempt_at": at}
    delivery = NotificationDelivery(
        id=new_id(), channel_id=rows[0].id, state=DeliveryState.FAILED, created_at=at, **sent
    )
    return [*rows, delivery]


def make_webhooks(world: World) -> list[Any]:
    """Make a webhook with a payload that is JSON, one that is text, and one that has failed."""
    template = dict.fromkeys(("title", "description", "tags", "due", "condition_value"), MARK)
    webhook = make_webhook(
        world.board,
        MARK,
        agent_id=world.worker.id,
        signature_header=MARK,
        action=WebhookAction.TASK,
        template=template,
    )
    headers = {"content-type": MARK, "x-github-event": MARK}
    fields = {"headers": headers, "content_type": MARK, "source_ip": MARK}
    contents: list[dict[str, Any]] = [
        {"payload": {MARK: [MARK]}, "delivery_id": MARK},
        {"payload": MARK},
        {"payload": None, "state": PayloadState.FAILED, "error": MARK},
    ]
    return [webhook, *(make_webhook_payload(webhook, **fields, **one) for one in contents)]


def make_notifications(world: World) -> list[Any]:
    """Make a notification of each kind for Alice, and of each cause that has its own text."""
    data = dict.fromkeys(("question", "title", "name", "url", "reason", "excerpt"), MARK)
    fields = {"data": data, "actor_agent_id": world.worker.id}
    hold = {"name": MARK, "cause": "loop", "values": {"limit": "a day", "count": 3, "sender": MARK}}
    more: list[dict[str, Any]] = [
        {"kind": NotificationKind.AGENT_HELD, "data": hold},
        {"kind": NotificationKind.AGENT_HELD, "data": {"name": MARK, "recent": 9, "pending": 3}},
        {"kind": NotificationKind.DECIDED, "data": data | {"status": ApprovalStatus.REJECTED}},
        *(
            {"data": {"name": MARK, "kind": kind, "request_id": str(new_id())}}
            for kind in RequestKind
        ),
    ]
    given = [*({"kind": kind} for kind in NotificationKind), *more]
    return [make_notification(world.board, world.alice, **(fields | one)) for one in given]


def make_webhook_endpoints(world: World) -> list[Any]:
    """Make a webhook that fails, with deliveries."""
    url = f"https://receiver.example/{MARK}"
    endpoint = make_endpoint(world.tern, description=MARK, url=url, failing_since=now())
    results = [
        {"outcome": "tls", "detail": MARK, "status": None},
        {"outcome": "rejected", "payload": MARK, "response": MARK, "event_type": MARK},
    ]
    return [endpoint, *(make_delivery(endpoint, **result) for result in results)]
