"""Gateways, and the runs of agents on them (contract, agents-and-gateways 9)."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.framework.fields import (
    NOT_SENT,
    Name,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    Timestamp,
    build_line_constraints,
)
from api.framework.handler import RequestContext, error_responses, reads_only, without_transaction
from core.http.client_ip import hit_gateway_limits
from core.paging import Page
from models import Agent, Board, Gateway, Member, RunStatus
from services import gateways
from services.gateways import runs
from services.gateways.runs import RunPhase

Url = Annotated[str, build_line_constraints(gateways.MAX_URL_LENGTH)]
Path = Annotated[str, build_line_constraints(gateways.MAX_PATH_LENGTH)]
Token = Annotated[str, StringConstraints(max_length=gateways.MAX_TOKEN_LENGTH)]
CaText = Annotated[str, StringConstraints(max_length=gateways.MAX_CA_LENGTH)]

URL_DESCRIPTION = "The URL with `ws://` or `wss://` and a port, without a token."
CREDENTIAL_DESCRIPTION = "The gateway's shared token. It is encrypted and never returned."
WORKSPACE_DESCRIPTION = "The folder on the gateway's machine with the workspaces of its agents."
INSECURE_TLS_DESCRIPTION = "Accept any certificate. The connection can then be intercepted."
CA_DESCRIPTION = "PEM certificates of the only CAs that may issue the gateway's certificate."
NO_PAIRING_DESCRIPTION = "Connect without a device. Only gateways on this machine then allow it."


class GatewayCheck(ResponseModel):
    """One check of the connection to a gateway."""

    name: str = Field(
        description="`address`, `port`, `tls`, `handshake`, `protocol`, `token`, `device`, "
        "`scopes` or `agents`, in this order."
    )
    state: str = Field(description="`ok`, `failed` or `unknown`.")
    sentence: str = Field(description="The result, and what to do about it.")
    command: str | None = Field(
        description="A command for the gateway's machine; with `address_forbidden` a setting of "
        "this server, with `origin_refused` a line for nginx, with `ca_key_usage` for the CA."
    )
    code: str | None = Field(description="The error code.")
    since: Timestamp | None = Field(
        default=None, description="Since when the check has this result."
    )


class GatewayChecks(ResponseModel):
    """Whether a gateway can be reached, and which check fails."""

    is_well: bool
    checks: list[GatewayCheck]
    checked_at: Timestamp


class CaCertificateRead(ResponseModel):
    """A CA certificate of a gateway."""

    subject: str
    expires_at: Timestamp
    fingerprint: str = Field(description="SHA-256 of the certificate, in hexadecimal digits.")


class GatewayRead(ResponseModel):
    """A gateway. `token` is always null, because the token is never returned."""

    name: str
    url: str
    workspace_root: str
    allow_insecure_tls: bool
    ca_certificates: str | None = Field(description=CA_DESCRIPTION)
    ca_certificate_details: list[CaCertificateRead]
    disable_device_pairing: bool
    id: UUID
    organization_id: UUID
    token: None = None
    has_token: bool
    gateway_version: str | None = Field(description="From the last successful connection.")
    checks: list[GatewayCheck] | None = Field(
        description="The results of the last connection check; null if there was none since the "
        "last change of the gateway."
    )
    checked_at: Timestamp | None
    missing_capabilities: list[str] = Field(description="What its version does not support.")
    version: int
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, gateway: Gateway) -> "GatewayRead":
        """Build the model from a gateway, without its encrypted values."""
        computed = {"token", "has_token", "ca_certificate_details", "missing_capabilities"}
        names = cls.model_fields.keys() - computed
        fields: dict[str, Any] = {name: getattr(gateway, name) for name in names}
        fields["missing_capabilities"] = gateways.list_missing_names(gateway)
        fields["ca_certificate_details"] = gateways.list_ca_certificates(gateway.ca_certificates)
        return cls(**fields, has_token=gateway.encrypted_token is not None)


class GatewayCreate(RequestModel):
    """A new gateway. It need not be reachable yet: problems are listed in `checks`."""

    example = {
        "name": "Workshop",
        "url": "ws://127.0.0.1:18789",
        "workspace_root": "~/.openclaw",
        "token": "what gateway.auth.token is in its config",
    }

    name: Name
    url: Url = Field(description=URL_DESCRIPTION)
    workspace_root: Path = Field(description=WORKSPACE_DESCRIPTION)
    token: Token | None = Field(default=None, description=CREDENTIAL_DESCRIPTION)
    allow_insecure_tls: bool = Field(default=False, description=INSECURE_TLS_DESCRIPTION)
    ca_certificates: CaText | None = Field(default=None, description=CA_DESCRIPTION)
    disable_device_pairing: bool = Field(default=False, description=NO_PAIRING_DESCRIPTION)


class GatewayUpdate(PatchModel):
    """Changes of a gateway."""

    name: Name = NOT_SENT
    url: Url = Field(default=NOT_SENT, description=URL_DESCRIPTION)
    workspace_root: Path = Field(default=NOT_SENT, description=WORKSPACE_DESCRIPTION)
    token: Token | None = Field(
        default=None,
        description=f"{CREDENTIAL_DESCRIPTION} Null keeps it, and an empty text removes it.",
    )
    allow_insecure_tls: bool = Field(default=NOT_SENT, description=INSECURE_TLS_DESCRIPTION)
    ca_certificates: CaText | None = Field(
        default=None, description=f"{CA_DESCRIPTION} Null removes them."
    )
    disable_device_pairing: bool = Field(default=NOT_SENT, description=NO_PAIRING_DESCRIPTION)

    def changes(self) -> dict[str, Any]:
        """Return the fields in the request, without a null token: it is what GET returns."""
        sent = super().changes()
        return {name: value for name, value in sent.items() if name != "token" or value is not None}


@reads_only
async def list_gateways(
    context: RequestContext, member: Member, query: PageQuery
) -> Page[GatewayRead]:
    """List the organization's gateways, newest first."""
    found = await gateways.list_gateways(context.source, member, query.paging)
    return found.map(GatewayRead.of)


@reads_only
async def get_gateway(context: RequestContext, gateway: Gateway) -> GatewayRead:
    """Return a gateway."""
    return GatewayRead.of(gateway)


@error_responses(409)
@without_transaction
async def create_gateway(
    context: RequestContext, member: Member, body: GatewayCreate
) -> GatewayRead:
    """Create a gateway, and check its connection. It is created in either case."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        draft = gateways.GatewayDraft(**dict(body))
        gateway = await gateways.create_gateway(session, member, connector, draft)
    return GatewayRead.of(await _probe_and_record(context, member, gateway))


@error_responses(404, 409)
@without_transaction
async def update_gateway(
    context: RequestContext, member: Member, gateway_id: UUID, body: GatewayUpdate
) -> GatewayRead:
    """Change a gateway. Its connection is checked if a connection setting has changed."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        changed = await gateways.update_gateway(
            session, member, connector, gateway_id, body.changes()
        )
    if changed.checks is None and body.changes().keys() & gateways.CONNECTION_FIELDS:
        changed = await _probe_and_record(context, member, changed)
    return GatewayRead.of(changed)


@error_responses(404, 409)
async def delete_gateway(context: RequestContext, member: Member, gateway_id: UUID) -> Ok:
    """Delete a gateway without boards, together with its main agent.

    The gateway is asked afterwards to remove its agents; if it is unreachable, for seven days.
    """
    await gateways.delete_gateway(context.session, member, gateway_id)
    return Ok()


@error_responses(409, 429)
@without_transaction
async def check_gateway(context: RequestContext, member: Member, gateway: Gateway) -> GatewayChecks:
    """Check the connection to a gateway now, and return the problems."""
    probe_result = await _probe(context, member, gateway)
    async with context.transaction() as session:
        await gateways.record_user_probe(session, member, gateway, probe_result)
    return GatewayChecks(
        is_well=probe_result.is_well,
        checks=build_checks(probe_result.checks),
        checked_at=probe_result.at,
    )


def check_rate_limit(context: RequestContext, organization_id: UUID) -> None:
    """Count a call to a gateway. Raises TooMany, because it must not be used to scan ports."""
    hit_gateway_limits(context.request, organization_id, context.user.id)


def build_checks(rows: list[dict[str, Any]]) -> list[GatewayCheck]:
    """Build the models from stored checks."""
    return [GatewayCheck(**row) for row in rows]


async def _probe_and_record(context: RequestContext, member: Member, gateway: Gateway) -> Gateway:
    probe_result = await _probe(context, member, gateway)
    async with context.transaction() as session:
        return await gateways.record_user_probe(session, member, gateway, probe_result)


async def _probe(context: RequestContext, member: Member, gateway: Gateway) -> gateways.ProbeResult:
    check_rate_limit(context, member.organization_id)
    return await gateways.ProbeResult.probe_gateway(context.gateway_connector, gateway)


RUN_STATUS_DESCRIPTION = (
    "`running`, `ended`, `failed`, `aborted`, or `lost`: the outcome is unknown."
)


class ToolCallRead(ResponseModel):
    """A tool call of a run."""

    id: str
    name: str
    title: str
    detail: str = Field(description="The arguments of the call, such as the command.")
    status: str = Field(description="`running`, `completed` or `failed`.")
    started_at: str
    ended_at: str | None
    error: str | None


class RunRead(ResponseModel):
    """A run (turn) of an agent on its gateway, as reported by the gateway."""

    id: UUID
    gateway_id: UUID
    agent_id: UUID
    task_id: UUID | None = Field(description="The task of the run, if known.")
    run_id: str = Field(description="The id of the run on the gateway.")
    session_key: str
    is_heartbeat: bool
    status: RunStatus = Field(description=RUN_STATUS_DESCRIPTION)
    phase: RunPhase | None
    tool: str | None = Field(description="The tool that is being called.")
    tool_title: str | None
    tool_calls: list[ToolCallRead] = Field(description="The last twenty, oldest first.")
    tail: str = Field(
        description="The last 4,000 characters of output of the agent or its command. Our tokens "
        "are masked."
    )
    tokens: int | None = Field(description="Tokens that the model generated.")
    error: str | None
    started_at: Timestamp
    updated_at: Timestamp = Field(description="Time of the gateway's last report.")
    ended_at: Timestamp | None


@reads_only
async def list_agent_runs(context: RequestContext, agent: Agent, query: PageQuery) -> Page[RunRead]:
    """List an agent's runs on its gateway, newest first, for users who may read its board."""
    found = await runs.list_agent_runs(context.source, agent, query.paging)
    return found.map(RunRead.model_validate)


@reads_only
@error_responses(404)
async def list_task_runs(
    context: RequestContext, board: Board, task_id: UUID, query: PageQuery
) -> Page[RunRead]:
    """List the runs of agents on gateways for a task, newest first."""
    found = await runs.list_task_runs(context.source, board, task_id, query.paging)
    return found.map(RunRead.model_validate)
