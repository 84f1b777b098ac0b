"""What was written to the configuration of a gateway."""

from uuid import UUID

from pydantic import Field

from api.framework.fields import PageQuery, ResponseModel, Timestamp
from api.framework.handler import RequestContext, error_responses, reads_only
from core.paging import Page
from models import ConfigChangeKind, Gateway, Member
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
        description="Whether you may read the board of the agent; otherwise the agent, its board "
        "and the difference are null."
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

    @classmethod
    def of(cls, entry: LoggedConfigChange) -> "GatewayConfigChangeRead":
        """Build the model from an entry of the log."""
        change = entry.change
        shown = {name: getattr(change, name) for name in (*OPEN_FIELDS, *FIELDS_OF_READERS)}
        if not entry.is_readable:
            shown |= dict.fromkeys(FIELDS_OF_READERS)
        return cls.model_validate({**shown, "can_read": entry.is_readable, "cause": entry.cause})


OPEN_FIELDS = ("id", "kind", "writes", "created_at", "confirmed_at")
FIELDS_OF_READERS = ("agent_key", "agent_id", "agent_name", "board_id", "diff")


@reads_only
@error_responses(403, 404)
async def list_gateway_config_changes(
    context: RequestContext, member: Member, gateway: Gateway, query: PageQuery
) -> Page[GatewayConfigChangeRead]:
    """List what was written to the configuration of a gateway, newest first. For admins."""
    found = await sync.list_config_changes(context.source, member, gateway, query.paging)
    return found.map(GatewayConfigChangeRead.of)
