"""The event types that webhooks can receive, and their payloads of at most MAX_PAYLOAD_BYTES.

The names and fields are part of the API. docs/webhooks.md describes them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pydantic_core

from core.errors import Invalid
from core.text import N_
from models import Event, EventType, WebhookEndpoint
from services.events import describe_event, list_types

MAX_PAYLOAD_BYTES = 20_000
MAX_TEXT_LENGTH = 2_000  # characters of a text in a payload
ID_NAMES = ("board_id", "task_id", "approval_id", "agent_id", "user_id")
TEST_TYPE = "webhook.test"  # of the payload that is sent to try an endpoint

DETAILS: Mapping[str, Sequence[str]] = {
    "task": ("title", "changes", "left", "entered"),
    "approval": ("question", "action_type", "status", "titles", "confidence"),
    "agent": (
        *("name", "from", "to", "code", "changed", "lead", "cause", "reason"),
        *("client", "tool", "recent"),
    ),
    "gateway_request": ("name", "asked", "answer"),
    "run": ("name", "status"),
    "board": ("name", "changes"),
    "organization": ("reason",),
    "member": ("name", "role", "changes"),
}
"""The values of an event that a payload contains, by the group of its type."""


def get_group(type: str) -> str:
    """Return the group of an event type."""
    return type.partition(".")[0]


PUBLIC_TYPES = list_types(lambda entry: entry.is_public)
EVENT_GROUPS: Mapping[str, Sequence[EventType]] = {
    group: [type for type in PUBLIC_TYPES if get_group(type) == group] for group in DETAILS
}
"""The public event types, by the first word of their names."""

TYPE_NAMES = ", ".join(f"`{type}`" for group in EVENT_GROUPS.values() for type in group)


def check_event_types(names: list[str]) -> list[str]:
    """Require names of public event types, and return them in the order of the catalog."""
    unknown = sorted(set(names).difference(PUBLIC_TYPES))
    if unknown:
        reason = N_("These events do not exist: %(unknown)s.")
        raise Invalid("event_type_unknown", reason, field="event_types", unknown=unknown)
    return [type.value for group in EVENT_GROUPS.values() for type in group if type in names]


def is_wanted(endpoint: WebhookEndpoint, type: str, board_id: object) -> bool:
    """Return whether an endpoint receives an event; the filter ignores events without a board."""
    if type not in PUBLIC_TYPES or (endpoint.event_types and type not in endpoint.event_types):
        return False
    is_everywhere = board_id is None or not endpoint.board_ids
    return is_everywhere or str(board_id) in endpoint.board_ids


def build_payload(event: Event, comment: str | None, base_url: str) -> str:
    """Return the payload of an event as JSON. Texts that are too long are cut."""
    group = get_group(event.type)
    details = {name: event.data[name] for name in DETAILS[group] if name in event.data}
    if comment is not None:
        details["comment"] = comment
    data: dict[str, Any] = {
        "event_id": event.id,
        "organization_id": event.organization_id,
        **{name: getattr(event, name) for name in ID_NAMES},
        "message": describe_event(event),
        "url": base_url + _build_path(event, group),
        "details": _shorten(details),
    }
    data["message"] = _shorten(data["message"])
    payload = _encode(event.type.value, event.created_at, data)
    if len(payload.encode()) > MAX_PAYLOAD_BYTES:
        left_out = {"details": {}, "is_truncated": True}
        payload = _encode(event.type.value, event.created_at, data | left_out)
    return payload


def build_test_payload(organization_id: UUID, at: datetime) -> str:
    """Return the payload with which an endpoint is tried."""
    message = "This is a test of your webhook."
    return _encode(TEST_TYPE, at, {"organization_id": organization_id, "message": message})


def _build_path(event: Event, group: str) -> str:
    """Return the path of the page about an event."""
    if group == "approval":
        return f"/approvals/{event.approval_id}"
    if group == "task":
        return f"/boards/{event.board_id}/tasks/{event.task_id}"
    if group in ("agent", "run") and event.agent_id:
        return f"/agents/{event.agent_id}"
    return f"/boards/{event.board_id}" if event.board_id else "/activity"


def _encode(type: str, at: datetime, data: dict[str, Any]) -> str:
    timestamp = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    payload = {"type": type, "timestamp": timestamp, "data": data}
    return pydantic_core.to_json(payload).decode()


def _shorten(value: Any) -> Any:
    """Cut the texts in a value of JSON."""
    if isinstance(value, str):
        is_long = len(value) > MAX_TEXT_LENGTH
        return f"{value[: MAX_TEXT_LENGTH - 1]}…" if is_long else value
    if isinstance(value, dict):
        return {name: _shorten(one) for name, one in value.items()}
    return [_shorten(one) for one in value] if isinstance(value, list) else value
