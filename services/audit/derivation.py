"""Derive audit records from events, so that a change does not have to record both."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from core.audit_context import WORKER, get_audit_context
from models import AgentStatus, EventType
from services.audit.records import AuditObject, NewAuditRecord, build_origin_row

if TYPE_CHECKING:
    from services.events import NewEvent

NOT_AUDITED = frozenset(
    {
        EventType.BOARD_WEBHOOK_RECEIVED,
        EventType.BOARD_LEAD_NOTIFIED,
        EventType.BOARD_LEAD_NOTIFY_FAILED,
        EventType.GROUP_JOIN_NOTIFIED,
        EventType.GROUP_JOIN_NOTIFY_FAILED,
        EventType.GROUP_LEAVE_NOTIFIED,
        EventType.GROUP_LEAVE_NOTIFY_FAILED,
        EventType.ONBOARDING_UPDATED,
        EventType.TASK_REORDERED,
        EventType.TASK_COMMENT,
        EventType.TASK_LINK_UPDATED,
        EventType.TASK_STALE,
        EventType.TASK_ACTIVE,
        EventType.TASK_LEAD_NOTIFIED,
        EventType.TASK_LEAD_NOTIFY_FAILED,
        EventType.TASK_LEAD_UNASSIGNED_NOTIFIED,
        EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED,
        EventType.TASK_ASSIGNEE_NOTIFIED,
        EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
        EventType.TASK_REWORK_NOTIFIED,
        EventType.TASK_REWORK_NOTIFY_FAILED,
        EventType.APPROVAL_LEAD_NOTIFIED,
        EventType.APPROVAL_LEAD_NOTIFY_FAILED,
        EventType.AGENT_PROVISIONED,
        EventType.AGENT_PROVISION_FAILED,
        EventType.AGENT_SYNCED,
        EventType.AGENT_UPDATE_FAILED,
        EventType.AGENT_WOKEN,
        EventType.NUDGE_SENT,
        EventType.NUDGE_FAILED,
        EventType.QUESTION_ASKED,
        EventType.QUESTION_ANSWERED,
        EventType.ASK_USER_SENT,
        EventType.ASK_USER_FAILED,
        EventType.LEAD_MESSAGE_SENT,
        EventType.LEAD_MESSAGE_FAILED,
        EventType.LEAD_BROADCAST_SENT,
        EventType.MESSAGE_QUEUED,
        EventType.MESSAGE_SENT,
        EventType.MESSAGE_ACKNOWLEDGED,
        EventType.MESSAGE_FAILED,
        EventType.GATEWAY_REQUEST_DELIVERED,
        EventType.RUN_STARTED,
        EventType.RUN_CHANGED,
        EventType.RUN_ENDED,
    }
)
"""Communication, received payloads, the order of cards, and the state of agents and runs.

All other events, new types too, are audited.
"""

SUBJECT_KEYS = {"name", "title", "question", "titles", "changes", "is_chat"}
STATES = (("left", "entered"), ("from", "to"))
CAUSES = {
    "completed_task_id": "task",
    "reopened_task_id": "task",
    "deleted_task_id": "task",
    "restored_task_id": "task",
    "message_id": "message",
    "approval_id": "approval",
}
"""Keys of an event's data that name what caused the change, and its kind."""

OBJECT_ID_KEYS = {
    "member": "user_id",
    "invite": "invite_id",
    "tag": "tag_id",
    "custom_field": "custom_field_id",
    "board_group": "group_id",
    "gateway": "gateway_id",
    "gateway_request": "request_id",
    "saved_view": "view_id",
    "board_webhook": "webhook_id",
    "webhook_endpoint": "endpoint_id",
    "skill": "skill_id",
    "skill_pack": "pack_id",
}
"""The key of the object's id in the data of events of this kind."""


def is_audited(event: "NewEvent") -> bool:
    """Return whether an event gets an audit record: not chat, payloads and connection checks.

    Of the states of agents it is only the request to delete one that its gateway has to remove
    first: the event of that deletion names nobody.
    """
    data = event.data or {}
    is_communication = bool(data.get("is_chat")) or "payload_id" in data
    is_routine = is_communication or data.get("changed") == ["checks"]
    if event.type is EventType.AGENT_STATUS_CHANGED:
        return data.get("to") == AgentStatus.DELETING
    return event.type not in NOT_AUDITED and not is_routine


def derive_records(
    new_events: "Sequence[NewEvent]", rows: Sequence[Mapping[str, Any]]
) -> list[NewAuditRecord]:
    """Return the records of events that are being recorded, given with the rows to insert."""
    pairs = zip(new_events, rows, strict=True)
    return [_derive(event, row) for event, row in pairs if is_audited(event)]


def derive_origins(
    new_events: "Sequence[NewEvent]", rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the origins of events that get no record, as rows; not those of the worker."""
    if get_audit_context().credential == WORKER.credential:
        return []
    return [
        build_origin_row(row["id"], event.actor, _find_cause(event, row))
        for event, row in zip(new_events, rows, strict=True)
        if not is_audited(event)
    ]


def _derive(event: "NewEvent", row: Mapping[str, Any]) -> NewAuditRecord:
    before, after = _changed_values(event)
    return NewAuditRecord(
        event.type.value,
        _find_object(event.type, row),
        organization_id=event.organization_id,
        actor=event.actor,
        before=before,
        after=after,
        cause=_find_cause(event, row),
        event_id=row["id"],
    )


def _find_object(type: EventType, row: Mapping[str, Any]) -> AuditObject:
    kind, data = type.value.partition(".")[0], row["data"]
    name = data.get("question") or data.get("title") or data.get("name") or data.get("email")
    if kind in OBJECT_ID_KEYS:
        id: UUID | str | None = data.get(OBJECT_ID_KEYS[kind])
    elif kind == "board" and "memory_id" in data:
        kind, id = "note", data["memory_id"]
    else:
        id = row.get(f"{kind}_id")
    return AuditObject(kind, id, None if name is None else str(name))


def _find_cause(event: "NewEvent", row: Mapping[str, Any]) -> str | None:
    """Return the cause that an event names; None for the request of the caller."""
    data = row["data"]
    for key, kind in CAUSES.items():
        if data.get(key):
            return f"{kind}:{data[key]}"
    if row["approval_id"] and not event.type.value.startswith("approval."):
        return f"approval:{row['approval_id']}"
    return None


def _changed_values(event: "NewEvent") -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the values before and after the change, as far as the event has them."""
    data = dict(event.data or {})
    before: dict[str, object] = dict(event.before or {})
    after: dict[str, object] = dict(event.after or {})
    changes = data.get("changes")
    if isinstance(changes, Mapping):
        _add_changes(changes, before, after)
    for old, new in STATES:
        if old in data and new in data:
            before["status"], after["status"] = data.pop(old), data.pop(new)
    rest = {name: value for name, value in data.items() if name not in SUBJECT_KEYS}
    is_end = event.type.value.endswith((".deleted", "_deleted", ".removed", ".revoked"))
    (before if is_end else after).update(
        {name: value for name, value in rest.items() if value is not None}
    )
    return before, after


def _add_changes(
    changes: Mapping[str, Any], before: dict[str, object], after: dict[str, object]
) -> None:
    for name, values in changes.items():
        if isinstance(values, list | tuple) and len(values) == 2:
            before[name], after[name] = values
        else:
            after[name] = values
