"""Prepare records of the audit for display."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from models import AuditRecord, EventType
from services.audit import AuditAction

ACTION_GROUPS = sorted(
    {action.partition(".")[0] for action in (*map(str, EventType), *map(str, AuditAction))}
    - {"message", "run"}
)
"""The parts before the dot of all actions, except those that are not audited."""

ACTOR_NAMES = {"system": "The system", "operator": "The operator", "anonymous": "Not signed in"}
CREDENTIAL_NAMES = {
    "session": "in a browser",
    "password": "with the password",
    "link": "with a one-time link",
    "api_token": "with an API token",
    "local_token": "with the local token",
    "provider_token": "through the identity provider",
    "agent_token": "with an agent token",
    "command_line": "on the command line",
    "worker": "by the worker",
    "none": "without a credential",
}
MISSING = object()


@dataclass(frozen=True)
class ChangedValue:
    """A value before and after the change, as text; None if it did not exist."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class AuditLine:
    """A record on the page."""

    record: AuditRecord
    actor: str
    action: str
    target: str
    credential: str
    changes: list[ChangedValue]


def build_audit_line(record: AuditRecord) -> AuditLine:
    """Build the line of a record."""
    return AuditLine(
        record=record,
        actor=record.actor_name or ACTOR_NAMES.get(record.actor_kind, record.actor_kind),
        action=describe_audit_action(record.action),
        target=record.object_name or (record.object_id or "")[:8],
        credential=CREDENTIAL_NAMES.get(record.credential or "", ""),
        changes=_list_changes(record.before or {}, record.after or {}),
    )


def describe_audit_action(action: str) -> str:
    """Return the words of an action, or of a group of actions: "member removed"."""
    return action.replace(".", " ").replace("_", " ")


def _list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ChangedValue]:
    names = [*before, *(name for name in after if name not in before)]
    return [
        ChangedValue(
            name.replace("_", " "),
            _format_value(before.get(name, MISSING)),
            _format_value(after.get(name, MISSING)),
        )
        for name in names
    ]


def _format_value(value: Any) -> str | None:
    if value is MISSING:
        return None
    if isinstance(value, str):
        return value
    return "none" if value is None else pydantic_core.to_json(value).decode()
