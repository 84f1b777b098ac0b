"""The changes that can lead to a write to the configuration of a gateway, in the audit.

A pass compares the configuration with all that is stored, so which change it writes is not certain:
the newest one of the right type is found.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, cast, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import String

from models import AuditRecord, ConfigChangeKind, EventType

ANY_FIELD = ()
REQUESTS = ("files", "provisioning")  # a sync and a restart, among the changes of an agent

MOVES: Mapping[EventType, Sequence[str]] = {
    EventType.AGENT_UPDATED: ("board_id", "is_board_lead", *REQUESTS),
    EventType.BOARD_UPDATED: ("gateway_id",),
}
"""Changes that remove an entry from one gateway, and add it to another or under another key."""

ADDITIONS = MOVES | {
    EventType.AGENT_CREATED: ANY_FIELD,
    EventType.AGENT_LOST: ANY_FIELD,
    EventType.ONBOARDING_CONFIRMED: ANY_FIELD,
    EventType.GATEWAY_CREATED: ANY_FIELD,
    EventType.GATEWAY_UPDATED: ("url",),
}

CAUSES: Mapping[ConfigChangeKind, Mapping[EventType, Sequence[str]]] = {
    ConfigChangeKind.ADDED: ADDITIONS,
    ConfigChangeKind.CHANGED: {
        **ADDITIONS,
        EventType.AGENT_UPDATED: (*MOVES[EventType.AGENT_UPDATED], "name"),
        EventType.GATEWAY_UPDATED: ("url", "name"),  # its agent is renamed with it
    },
    ConfigChangeKind.REMOVED: {
        **MOVES,
        EventType.AGENT_DELETED: ANY_FIELD,
        EventType.AGENT_STATUS_CHANGED: ANY_FIELD,  # audited if somebody deletes an agent
        EventType.BOARD_DELETED: ANY_FIELD,
    },
}
"""The changed fields of each type of event that can lead to a write. All types are audited."""


class ConfigChangeCause(NamedTuple):
    """An audit record, and who acted: a user, an agent, or None for Mission Control itself."""

    record_id: UUID | None = None
    actor_id: UUID | None = None


async def find_config_change_cause(
    session: AsyncSession, organization_id: UUID, object_ids: Sequence[str], kind: ConfigChangeKind
) -> ConfigChangeCause:
    """Return the newest audited change of these objects that can have led to a write."""
    query = select(AuditRecord.id, AuditRecord.actor_id).where(
        AuditRecord.organization_id == organization_id,
        AuditRecord.object_id.in_(object_ids),
        _build_condition(kind),
    )
    newest = await session.execute(query.order_by(AuditRecord.sequence.desc()).limit(1))
    found = newest.one_or_none()
    return ConfigChangeCause() if found is None else ConfigChangeCause(*found)


@cache
def _build_condition(kind: ConfigChangeKind) -> ColumnElement[bool]:
    return or_(
        *(
            and_(AuditRecord.action == type.value, _has_field(fields))
            if fields
            else AuditRecord.action == type.value
            for type, fields in CAUSES[kind].items()
        )
    )


def _has_field(names: Sequence[str]) -> ColumnElement[bool]:
    """Return whether one of these fields was changed: they are keys, or in the list `changed`."""
    wanted, after = cast(list(names), ARRAY(String)), AuditRecord.after
    return or_(after.has_any(wanted), after["changed"].has_any(wanted))
