"""What was written to the configuration of a gateway."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.framework.fields import PageQuery, ResponseModel, Timestamp
from api.framework.handler import RequestContext, error_responses, reads_only
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import AuditRecord, ConfigChangeKind, Gateway, Member
from services.gateways import sync
from services.gateways.sync import LoggedConfigChange


class ConfigChangeCauseRead(ResponseModel):
    """An audit record, as far as it names what was done and by whom."""

    id: UUID = Field(description="The id of the audit record.")
    at: Timestamp
    action: str
    actor_kind: str
    actor_id: UUID | None
    actor_name: str | None
    object_kind: str
    object_id: str | None
    object_name: str | None


class GatewayConfigChangeRead(ResponseModel):
    """A change that was written to the entry of an agent in the configuration of its gateway."""

    id: UUID
    kind: ConfigChangeKind
    can_read: bool = Field(
        description="Whether you may read the board of the agent; otherwise the agent, its board, "
        "the difference and the object of the cause are null."
    )
    agent_key: str | None = Field(description="The id of the agent on the gateway.")
    agent_id: UUID | None
    agent_name: str | None
    board_id: UUID | None
    diff: str | None = Field(description="The values that differ, as a unified diff.")
    cause: ConfigChangeCauseRead | None = Field(
        description="The last audited change that can have led to it."
    )
    writes: int = Field(description="How often it was written with this cause.")
    created_at: Timestamp = Field(description="When it was written, for the last time.")
    confirmed_at: Timestamp | None = Field(
        description="When the gateway had it; null while the gateway has not confirmed it."
    )


def _build_change_fields(entry: LoggedConfigChange) -> dict[str, Any]:
    """Return the fields of a GatewayConfigChangeRead, in the order of the model."""
    change, is_readable = entry.change, entry.is_readable
    return {
        "id": json_id(change.id),
        "kind": change.kind,
        "can_read": is_readable,
        "agent_key": change.agent_key if is_readable else None,
        "agent_id": json_id(change.agent_id) if is_readable else None,
        "agent_name": change.agent_name if is_readable else None,
        "board_id": json_id(change.board_id) if is_readable else None,
        "diff": change.diff if is_readable else None,
        "cause": _build_cause_fields(entry.cause, is_readable) if entry.cause else None,
        "writes": change.writes,
        "created_at": json_time(change.created_at),
        "confirmed_at": json_time(change.confirmed_at),
    }


def _build_cause_fields(record: AuditRecord, is_readable: bool) -> dict[str, Any]:
    """Return the fields of a ConfigChangeCauseRead; its object is often the agent itself."""
    return {
        "id": json_id(record.id),
        "at": json_time(record.at),
        "action": record.action,
        "actor_kind": record.actor_kind,
        "actor_id": json_id(record.actor_id),
        "actor_name": record.actor_name,
        "object_kind": record.object_kind,
        "object_id": record.object_id if is_readable else None,
        "object_name": record.object_name if is_readable else None,
    }


@reads_only
@error_responses(403, 404)
async def list_gateway_config_changes(
    context: RequestContext, member: Member, gateway: Gateway, query: PageQuery
) -> Encoded[Page[GatewayConfigChangeRead]]:
    """List what was written to the configuration of a gateway, newest first. For admins."""
    found = await sync.list_config_changes(context.source, member, gateway, query.paging)
    return encode_page(found, _build_change_fields)
