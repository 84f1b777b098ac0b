"""Standing grants of a gateway: commands that its automations run without asking.

A grant is created by the decision "allow always" on a request of an automation. It allows exactly
this command, in this directory and with the same variables, until it expires or is revoked, or the
automation is changed. The calls use no transaction, because gateways may respond slowly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, NotFound
from core.security.secrets import mask_tokens
from core.text import N_, replace_unstorable
from models import EventType, Gateway, Member
from openclaw import Capability, GatewayClient, request_api
from openclaw.api import JsonObject, parse_milliseconds
from services import events
from services.gateways.sessions import SessionOwner, SessionOwners

MAX_TEXT_LENGTH = 1_000  # characters; gateways send up to 512
MAX_GRANT_ID_LENGTH = 200  # characters


class GrantState(StrEnum):
    """The state of a standing grant."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class CommandGrant:
    """A standing grant. Our tokens are masked.

    `owner` is the agent of ours that it is for; None if the agent does not belong to this server.
    Of a grant that is older than those that the gateway lists, only the id is known.
    """

    id: str
    approval_id: str = ""  # the gateway's, of the request whose approval created it
    agent_key: str = ""
    automation_id: str = ""
    automation: str | None = None
    command: str = ""
    cwd: str | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    last_used_at: datetime | None = None
    use_count: int = 0
    owner: SessionOwner | None = None
    is_listed: bool = True

    @property
    def state(self) -> GrantState:
        """Whether it allows something."""
        if self.revoked_at is not None:
            return GrantState.REVOKED
        is_over = self.expires_at is not None and self.expires_at <= now()
        return GrantState.EXPIRED if is_over else GrantState.ACTIVE

    @property
    def can_read(self) -> bool:
        """Whether the user may see it."""
        return self.owner is None or self.owner.can_read

    @property
    def can_revoke(self) -> bool:
        """Whether the user may revoke it, and there is something to revoke."""
        may_write = self.owner is None or (self.owner.can_read and self.owner.can_write)
        return may_write and self.state is GrantState.ACTIVE


@dataclass(frozen=True)
class CommandGrantList:
    """The newest standing grants of a gateway, first those that are active.

    Unless it `is_complete`, there may be older ones, which the gateway does not list.
    """

    grants: Sequence[CommandGrant]
    is_supported: bool  # by this version of OpenClaw
    is_complete: bool


async def list_command_grants(client: GatewayClient, owners: SessionOwners) -> CommandGrantList:
    """Return the newest standing grants of a gateway, also those that are over.

    Raises GatewayError.
    """
    await client.get_hello()
    if not client.capabilities.supports(Capability.COMMAND_GRANTS):
        return CommandGrantList((), is_supported=False, is_complete=True)
    rows = await request_api.list_grants(client)
    parsed = [_parse_grant(row, owners) for row in rows]
    grants = [grant for grant in parsed if grant is not None]
    grants.sort(key=lambda grant: grant.state is not GrantState.ACTIVE)
    is_complete = len(rows) < request_api.MAX_GRANTS
    return CommandGrantList(grants, is_supported=True, is_complete=is_complete)


async def get_grant_to_revoke(
    client: GatewayClient, owners: SessionOwners, grant_id: str
) -> CommandGrant:
    """Return a standing grant that the user may revoke, or one that is over.

    A grant that the gateway does not list can be for any agent, so only those may revoke it who may
    change the boards of all our agents there. Raises NotFound, Forbidden and GatewayError.
    """
    found = await list_command_grants(client, owners)
    grant = next((one for one in found.grants if one.id == grant_id), None)
    if grant is None:
        if found.is_complete or not 0 < len(grant_id) <= MAX_GRANT_ID_LENGTH:
            raise _grant_not_found()
        if not all(owner.can_read and owner.can_write for owner in owners.values()):
            reason = N_(
                "The gateway does not list this grant. Only those who may change the boards of all"
                " its agents can revoke it."
            )
            raise Forbidden("board_write_forbidden", reason)
        return CommandGrant(grant_id, is_listed=False)
    if not grant.can_read:
        raise Forbidden("board_read_forbidden", N_("You may not read this agent's board."))
    if grant.state is GrantState.ACTIVE and not grant.can_revoke:
        raise Forbidden(
            "board_write_forbidden", N_("You can read the board of this agent but not change it.")
        )
    return grant


async def revoke_command_grant(
    client: GatewayClient, grant: CommandGrant
) -> tuple[CommandGrant, bool]:
    """Revoke an active standing grant, and return it and whether this call has revoked it.

    The next run of its automation asks again. Record before that it is requested: the response of
    the gateway can be lost. Raises NotFound and GatewayError.
    """
    outcome = await request_api.revoke_grant(client, grant.id)
    if outcome not in ("revoked", "already-revoked"):
        raise _grant_not_found()
    return replace(grant, revoked_at=now()), outcome == "revoked"


async def record_revocation(
    session: AsyncSession,
    member: Member,
    gateway: Gateway,
    grant: CommandGrant,
    *,
    is_done: bool,
) -> None:
    """Record that a user revokes a standing grant, or has. The event has no command."""
    agent = grant.owner.agent if grant.owner else None
    event = events.NewEvent(
        EventType.GATEWAY_GRANT_REVOKED
        if is_done
        else EventType.GATEWAY_GRANT_REVOCATION_REQUESTED,
        member.user,
        organization_id=gateway.organization_id,
        board=agent.board_id if agent else None,
        subject=agent.id if agent else None,
        data={
            "gateway_id": str(gateway.id),
            "name": gateway.name,
            "grant_id": grant.id,
            "automation": grant.automation or grant.automation_id or grant.id,
            "agent": agent.name if agent else grant.agent_key,
        },
    )
    await events.record_events(session, [event])


def _grant_not_found() -> NotFound:
    return NotFound("standing_grant_not_found", N_("There is no such standing grant."))


def _parse_grant(row: JsonObject, owners: SessionOwners) -> CommandGrant | None:
    """Return a grant; None for a row without an id or an agent."""
    id, agent_key = _text(row.get("grantId")), _text(row.get("agentId"))
    if not id or not agent_key or len(id) > MAX_GRANT_ID_LENGTH:
        return None
    count = row.get("useCount")
    return CommandGrant(
        id=id,
        approval_id=_text(row.get("mintedByApprovalId")) or "",
        agent_key=agent_key,
        automation_id=_text(row.get("cronJobId")) or "",
        automation=_text(row.get("cronJobName")),
        command=_text(row.get("command")) or "",
        cwd=_text(row.get("cwd")),
        created_at=parse_milliseconds(row.get("createdAtMs")),
        expires_at=parse_milliseconds(row.get("expiresAtMs")),
        revoked_at=parse_milliseconds(row.get("revokedAtMs")),
        revoked_by=_text(row.get("revokedBy")),
        last_used_at=parse_milliseconds(row.get("lastUsedAtMs")),
        use_count=count if isinstance(count, int) else 0,
        owner=owners.get(agent_key),
    )


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return replace_unstorable(mask_tokens(value)[:MAX_TEXT_LENGTH])
