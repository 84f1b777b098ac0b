"""The event types that webhooks can receive, and the fields of their payloads.

The names and fields are part of the API. docs/webhooks.md describes them.
"""

from collections.abc import Mapping, Sequence

from core.errors import Invalid
from core.text import N_
from models import EventType, WebhookEndpoint

TEST_TYPE = "webhook.test"  # of the payload that is sent to try an endpoint

EVENT_GROUPS: Mapping[str, Sequence[EventType]] = {
    "task": (
        EventType.TASK_CREATED,
        EventType.TASK_UPDATED,
        EventType.TASK_STATUS_CHANGED,
        EventType.TASK_COMMENT,
        EventType.TASK_DELETED,
        EventType.TASK_RESTORED,
    ),
    "approval": (
        EventType.APPROVAL_REQUESTED,
        EventType.APPROVAL_FIRST_APPROVED,
        EventType.APPROVAL_APPROVED,
        EventType.APPROVAL_REJECTED,
        EventType.APPROVAL_CLARIFICATION_REQUESTED,
    ),
    "agent": (
        EventType.AGENT_CREATED,
        EventType.AGENT_UPDATED,
        EventType.AGENT_DELETED,
        EventType.AGENT_STATUS_CHANGED,
        EventType.AGENT_HELD,
        EventType.AGENT_RELEASED,
    ),
    "gateway_request": (
        EventType.GATEWAY_REQUEST_ASKED,
        EventType.GATEWAY_REQUEST_ANSWERED,
        EventType.GATEWAY_REQUEST_EXPIRED,
    ),
    "run": (EventType.RUN_STARTED, EventType.RUN_ENDED),
    "board": (
        EventType.BOARD_CREATED,
        EventType.BOARD_UPDATED,
        EventType.BOARD_DELETED,
        EventType.BOARD_PAUSED,
        EventType.BOARD_RESUMED,
    ),
    "organization": (EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED),
    "member": (EventType.MEMBER_JOINED, EventType.MEMBER_UPDATED, EventType.MEMBER_REMOVED),
}
"""The public event types, by the first word of their names."""

DETAILS: Mapping[str, Sequence[str]] = {
    "task": ("title", "changes", "left", "entered"),
    "approval": ("question", "action_type", "status", "titles", "confidence"),
    "agent": ("name", "from", "to", "code", "changed", "lead", "cause", "reason"),
    "gateway_request": ("name", "asked", "answer"),
    "run": ("name", "status"),
    "board": ("name", "changes"),
    "organization": ("reason",),
    "member": ("name", "role", "changes"),
}
"""The values of an event that a payload contains, by the group of its type."""

PUBLIC_TYPES = frozenset(type for group in EVENT_GROUPS.values() for type in group)


def get_group(type: str) -> str:
    """Return the group of an event type."""
    return type.partition(".")[0]


def check_event_types(value: object, field: str) -> list[str]:
    """Validate names of public event types, and return them in the order of the catalog."""
    names = {str(name) for name in value} if isinstance(value, Sequence) else {str(value)}
    unknown = sorted(names - PUBLIC_TYPES)
    if unknown:
        reason = N_("These events do not exist: %(unknown)s.")
        raise Invalid("event_type_unknown", reason, field=field, unknown=unknown)
    return [type.value for group in EVENT_GROUPS.values() for type in group if type in names]


def is_wanted(endpoint: WebhookEndpoint, type: str, board_id: object) -> bool:
    """Return whether an endpoint receives an event; the filter ignores events without a board."""
    if type not in PUBLIC_TYPES or (endpoint.event_types and type not in endpoint.event_types):
        return False
    is_everywhere = board_id is None or not endpoint.board_ids
    return is_everywhere or str(board_id) in endpoint.board_ids
