"""Record events, with the audit records that are derived from them."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.audit_context import WORKER, get_audit_context
from core.db.transactions import send_pending_changes
from models import (
    Actor,
    Agent,
    AgentStatus,
    Approval,
    Board,
    EventType,
    Task,
    User,
    new_id,
)
from services import audit
from services.audit import AuditObject, NewAuditRecord
from services.events.texts import TASK_CAUSES
from services.events.types import EVENT_DEFINITIONS
from services.hooks import Hook


@dataclass(frozen=True)
class NewEvent:
    """An event to record. Related objects can be given as objects or ids.

    `before` and `after` are values for the audit that the event itself does not store.
    """

    type: EventType
    actor: Actor | None
    _: KW_ONLY
    organization_id: UUID
    board: Board | UUID | None = None
    task: Task | UUID | None = None
    approval: Approval | UUID | None = None
    subject: Agent | UUID | None = None  # the affected agent; by default the acting agent
    id: UUID | None = None
    data: Mapping[str, object] | None = None
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None

    def to_row(self) -> dict[str, Any]:
        """Return the columns of the event except `seq` and `created_at`."""
        agent = self.subject or (self.actor if isinstance(self.actor, Agent) else None)
        return {
            "id": self.id or new_id(),
            "type": self.type,
            "organization_id": self.organization_id,
            "board_id": _id(self.board),
            "task_id": _id(self.task),
            "approval_id": _id(self.approval),
            "agent_id": _id(agent),
            "user_id": self.actor.id if isinstance(self.actor, User) else None,
            "data": dict(self.data or {}),
        }


EVENTS_RECORDED: Hook[Sequence[NewEvent], None] = Hook()
"""Events and their audit records will be inserted when the transaction commits."""


async def record_event(
    session: AsyncSession,
    type: EventType,
    actor: Actor | None,
    *,
    organization_id: UUID,
    board: Board | None = None,
    task: Task | None = None,
    approval: Approval | None = None,
    subject: Agent | None = None,
    id: UUID | None = None,
    data: dict[str, object] | None = None,
    audit_records: Sequence[NewAuditRecord] = (),
) -> None:
    """Record an event, and notify the organization's subscribers, when the transaction commits.

    `subject` is the affected agent if it is not the actor. Numbers appear in the order of the
    commits: a subscriber that has read number 7 never finds a new number 6. The transaction itself
    cannot read the event.
    """
    event = NewEvent(
        type,
        actor,
        organization_id=organization_id,
        board=board,
        task=task,
        approval=approval,
        subject=subject,
        id=id,
        data=data,
    )
    await record_events(session, [event], audit_records)


async def record_events(
    session: AsyncSession,
    new_events: Sequence[NewEvent],
    audit_records: Sequence[NewAuditRecord] = (),
) -> None:
    """Record several events, in this order, when the transaction commits. See `record_event`.

    This adds the audit records that are derived from them, and `audit_records` of the same command.
    """
    if not new_events and not audit_records:
        return
    await send_pending_changes(session)  # which sets the ids of new objects
    rows = [event.to_row() for event in new_events]
    records = [*audit_records, *derive_records(new_events, rows)]
    await audit.record_at_commit(
        session,
        events=rows,
        audit_records=audit.build_insert_rows(records),
        origins=derive_origins(new_events, rows),
    )
    await EVENTS_RECORDED.run(session, new_events)


def _id(value: Agent | Approval | Board | Task | UUID | None) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else value.id


SUBJECT_KEYS = {"name", "title", "question", "titles", "changes", "is_chat"}
STATES = (("left", "entered"), ("from", "to"))
CAUSES = {
    **dict.fromkeys(TASK_CAUSES, "task"),
    "message_id": "message",
    "approval_id": "approval",
}
"""Keys of an event's data that name what caused the change, and its kind."""

OBJECT_ID_KEYS = {
    "member": "user_id",
    "board_group": "group_id",
    "gateway_request": "request_id",
    "saved_view": "view_id",
    "board_webhook": "webhook_id",
    "webhook_endpoint": "endpoint_id",
    "skill_pack": "pack_id",
}
"""The key of the object's id in the data of events, where it is not `<kind>_id`."""


def is_audited(event: NewEvent) -> bool:
    """Return whether an event gets an audit record: not chat, payloads and connection checks.

    Of the states of agents it is only the request to delete one that its gateway has to remove
    first: the event of that deletion names nobody.
    """
    data = event.data or {}
    is_communication = bool(data.get("is_chat")) or "payload_id" in data
    is_routine = is_communication or data.get("changed") == ["checks"]
    if event.type is EventType.AGENT_STATUS_CHANGED:
        return data.get("to") == AgentStatus.DELETING
    return EVENT_DEFINITIONS[event.type].audit_text is not None and not is_routine


def derive_records(
    new_events: Sequence[NewEvent], rows: Sequence[Mapping[str, Any]]
) -> list[NewAuditRecord]:
    """Return the records of events that are being recorded, given with the rows to insert."""
    pairs = zip(new_events, rows, strict=True)
    return [_derive_record(event, row) for event, row in pairs if is_audited(event)]


def derive_origins(
    new_events: Sequence[NewEvent], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the origins of events that get no record, as rows; not those of the worker."""
    if get_audit_context().credential == WORKER.credential:
        return []
    return [
        audit.build_origin_row(row["id"], event.actor, _find_cause(event, row))
        for event, row in zip(new_events, rows, strict=True)
        if not is_audited(event)
    ]


def _derive_record(event: NewEvent, row: Mapping[str, Any]) -> NewAuditRecord:
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
        key = f"{kind}_id"  # a column of events, or a value of the event's data
        id = row.get(key, data.get(key))
    return AuditObject(kind, id, None if name is None else str(name))


def _find_cause(event: NewEvent, row: Mapping[str, Any]) -> str | None:
    """Return the cause that an event names; None for the request of the caller."""
    data = row["data"]
    for key, kind in CAUSES.items():
        if data.get(key):
            return f"{kind}:{data[key]}"
    if row["approval_id"] and not event.type.value.startswith("approval."):
        return f"approval:{row['approval_id']}"
    return None


def _changed_values(event: NewEvent) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the values before and after the change, as far as the event has them."""
    data = dict(event.data or {})
    before: dict[str, object] = dict(event.before or {})
    after: dict[str, object] = dict(event.after or {})
    changes = data.get("changes")
    if isinstance(changes, Mapping):
        for name, values in changes.items():
            if isinstance(values, list | tuple) and len(values) == 2:
                before[name], after[name] = values
            else:
                after[name] = values
    for old, new in STATES:
        if old in data and new in data:
            before["status"], after["status"] = data.pop(old), data.pop(new)
    rest = {name: value for name, value in data.items() if name not in SUBJECT_KEYS}
    is_end = event.type.value.endswith((".deleted", "_deleted", ".removed", ".revoked"))
    (before if is_end else after).update(
        {name: value for name, value in rest.items() if value is not None}
    )
    return before, after
