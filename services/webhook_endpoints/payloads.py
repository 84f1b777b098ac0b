"""Build the payloads of webhooks, of at most MAX_PAYLOAD_BYTES."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pydantic_core

from models import Event
from services.events import describe_event
from services.webhook_endpoints.catalog import DETAILS, TEST_TYPE, get_group

MAX_PAYLOAD_BYTES = 20_000
MAX_TEXT_LENGTH = 2_000  # characters of a text in a payload
ID_NAMES = ("board_id", "task_id", "approval_id", "agent_id", "user_id")


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
