"""Standing grants of a gateway: commands that its automations run without asking."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from api.endpoints.gateways import check_rate_limit
from api.framework.fields import ResponseModel, Timestamp
from api.framework.handler import (
    RequestContext,
    changes_decisions,
    error_responses,
    without_transaction,
)
from models import Gateway, Member
from services import gateways
from services.gateways import CommandGrant, GrantState, SessionOwners

GrantId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=gateways.MAX_GRANT_ID_LENGTH),
    Field(description="The id of the grant on the gateway."),
]


class CommandGrantRead(ResponseModel):
    """A standing grant. It allows exactly this command of this automation."""

    id: str = Field(description="The id of the grant on the gateway.")
    request_id: str = Field(
        description="The id on the gateway of the request whose approval created it: `request_id` "
        "of a gateway request; empty for a grant that the gateway does not list."
    )
    can_read: bool = Field(
        description="Whether you may read the board of the agent; otherwise the agent, the "
        "automation, the command and its directory are null."
    )
    agent_key: str | None = Field(description="The id of the agent on the gateway.")
    agent_id: UUID | None = Field(description="Null for an agent that is not managed here.")
    automation_id: str | None = Field(description="The id of the automation on the gateway.")
    automation: str | None = Field(description="Its name; null if it was deleted.")
    command: str | None = Field(
        description="The first 512 characters of the command, as the gateway shows it."
    )
    cwd: str | None
    state: GrantState
    created_at: Timestamp | None
    expires_at: Timestamp | None = Field(description="Null: until it is revoked.")
    revoked_at: Timestamp | None
    revoked_by: str | None
    last_used_at: Timestamp | None
    use_count: int = Field(description="How often a command ran because of it.")

    @classmethod
    def of(cls, grant: CommandGrant) -> "CommandGrantRead":
        """Build the model from a grant."""
        is_shown = grant.can_read and grant.is_listed
        return cls(
            id=grant.id,
            request_id=grant.approval_id,
            can_read=grant.can_read,
            agent_key=grant.agent_key if is_shown else None,
            agent_id=grant.owner.agent.id if grant.owner and is_shown else None,
            automation_id=grant.automation_id if is_shown else None,
            automation=grant.automation if is_shown else None,
            command=grant.command if is_shown else None,
            cwd=grant.cwd if is_shown else None,
            state=grant.state,
            created_at=grant.created_at,
            expires_at=grant.expires_at,
            revoked_at=grant.revoked_at,
            revoked_by=grant.revoked_by,
            last_used_at=grant.last_used_at,
            use_count=grant.use_count,
        )


class CommandGrants(ResponseModel):
    """The standing grants of a gateway, first the active ones, then those that are over."""

    is_supported: bool = Field(
        description="Whether the gateway has standing grants; older versions of OpenClaw do not."
    )
    is_complete: bool = Field(
        description="False if there may be older grants: a gateway lists only its newest 500. They "
        "can be revoked with their id."
    )
    grants: list[CommandGrantRead] = Field(description="Each group newest first.")


@error_responses(409, 429, 502)
@without_transaction
async def list_command_grants(
    context: RequestContext, member: Member, gateway: Gateway
) -> CommandGrants:
    """List the commands that automations of a gateway run without asking."""
    owners = await _load_owners(context, gateway)
    async with context.gateway_connector.connect(gateway) as link:
        found = await gateways.list_command_grants(link, owners)
    return CommandGrants(
        is_supported=found.is_supported,
        is_complete=found.is_complete,
        grants=[CommandGrantRead.of(one) for one in found.grants],
    )


@changes_decisions
@error_responses(404, 409, 429, 502)
@without_transaction
async def revoke_command_grant(
    context: RequestContext, member: Member, gateway: Gateway, grant_id: GrantId
) -> CommandGrantRead:
    """Revoke a standing grant: the next run of its automation asks again.

    A grant that is over is returned as it is. You must be allowed to change the board of the agent;
    for a grant that the gateway does not list, the boards of all agents of the gateway.
    """
    owners = await _load_owners(context, gateway)
    async with context.gateway_connector.connect(gateway) as link:
        grant = await gateways.get_grant_to_revoke(link, owners, grant_id)
        if grant.state is not GrantState.ACTIVE:
            return CommandGrantRead.of(grant)
        async with context.transaction() as session:
            await gateways.record_revocation(session, member, gateway, grant, is_done=False)
        grant, is_revoked = await gateways.revoke_command_grant(link, grant)
    if is_revoked:
        async with context.transaction() as session:
            await gateways.record_revocation(session, member, gateway, grant, is_done=True)
    return CommandGrantRead.of(grant)


async def _load_owners(context: RequestContext, gateway: Gateway) -> SessionOwners:
    async with context.transaction() as session:
        owners = await gateways.load_session_owners(session, context.user, gateway)
    check_rate_limit(context, gateway.organization_id)
    return owners
