"""Gateways (contract, agents-and-gateways 9)."""

from datetime import datetime
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
from core.json_responses import Encoded, encode_page, json_id, json_time
from core.paging import Page
from models import Gateway, Member
from services import gateways

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


def _build_gateway_fields(gateway: Gateway) -> dict[str, Any]:
    """Return the fields of a GatewayRead, in the order of the model, without encrypted values."""
    checks, certificates = gateway.checks, gateways.list_ca_certificates(gateway.ca_certificates)
    return {
        "name": gateway.name,
        "url": gateway.url,
        "workspace_root": gateway.workspace_root,
        "allow_insecure_tls": gateway.allow_insecure_tls,
        "ca_certificates": gateway.ca_certificates,
        "ca_certificate_details": list(map(_build_certificate_fields, certificates)),
        "disable_device_pairing": gateway.disable_device_pairing,
        "id": json_id(gateway.id),
        "organization_id": json_id(gateway.organization_id),
        "token": None,
        "has_token": gateway.encrypted_token is not None,
        "gateway_version": gateway.gateway_version,
        "checks": None if checks is None else list(map(_build_check_fields, checks)),
        "checked_at": json_time(gateway.checked_at),
        "missing_capabilities": gateways.list_missing_names(gateway),
        "version": gateway.version,
        "created_at": json_time(gateway.created_at),
        "updated_at": json_time(gateway.updated_at),
    }


def _build_certificate_fields(certificate: gateways.CaCertificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "expires_at": json_time(certificate.expires_at),
        "fingerprint": certificate.fingerprint,
    }


def _build_check_fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a GatewayCheck, as it is stored in JSON."""
    since = row.get("since")
    fields = {name: row[name] for name in ("name", "state", "sentence", "command", "code")}
    return fields | {"since": json_time(datetime.fromisoformat(since)) if since else None}


def _encode_gateway(gateway: Gateway) -> Encoded[GatewayRead]:
    return Encoded(_build_gateway_fields(gateway), gateway.version)


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
) -> Encoded[Page[GatewayRead]]:
    """List the organization's gateways, newest first."""
    found = await gateways.list_gateways(context.source, member, query.paging)
    return encode_page(found, _build_gateway_fields)


@reads_only
async def get_gateway(context: RequestContext, gateway: Gateway) -> Encoded[GatewayRead]:
    """Return a gateway."""
    return _encode_gateway(gateway)


@error_responses(409)
@without_transaction
async def create_gateway(
    context: RequestContext, member: Member, body: GatewayCreate
) -> Encoded[GatewayRead]:
    """Create a gateway, and check its connection. It is created in either case."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        draft = gateways.GatewayDraft(**dict(body))
        gateway = await gateways.create_gateway(session, member, connector, draft)
    return _encode_gateway(await _probe_and_record(context, member, gateway))


@error_responses(404, 409)
@without_transaction
async def update_gateway(
    context: RequestContext, member: Member, gateway_id: UUID, body: GatewayUpdate
) -> Encoded[GatewayRead]:
    """Change a gateway. Its connection is checked if a connection setting has changed."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        changed = await gateways.update_gateway(
            session, member, connector, gateway_id, body.changes()
        )
    if changed.checks is None and body.changes().keys() & gateways.CONNECTION_FIELDS:
        changed = await _probe_and_record(context, member, changed)
    return _encode_gateway(changed)


@error_responses(404, 409)
async def delete_gateway(context: RequestContext, member: Member, gateway_id: UUID) -> Ok:
    """Delete a gateway without boards, together with its main agent.

    The gateway is asked afterwards to remove its agents; if it is unreachable, for seven days.
    """
    await gateways.delete_gateway(context.session, member, gateway_id)
    return Ok()


@error_responses(409, 429)
@without_transaction
async def check_gateway(
    context: RequestContext, member: Member, gateway: Gateway
) -> Encoded[GatewayChecks]:
    """Check the connection to a gateway now, and return the problems."""
    probe_result = await _probe(context, member, gateway)
    async with context.transaction() as session:
        await gateways.record_user_probe(session, member, gateway, probe_result)
    fields = {
        "is_well": probe_result.is_well,
        "checks": list(map(_build_check_fields, probe_result.checks)),
        "checked_at": json_time(probe_result.at),
    }
    return Encoded(fields)


def check_rate_limit(context: RequestContext, organization_id: UUID) -> None:
    """Count a call to a gateway. Raises TooMany, because it must not be used to scan ports."""
    hit_gateway_limits(context.request, organization_id, context.user.id)


async def _probe_and_record(context: RequestContext, member: Member, gateway: Gateway) -> Gateway:
    probe_result = await _probe(context, member, gateway)
    async with context.transaction() as session:
        return await gateways.record_user_probe(session, member, gateway, probe_result)


async def _probe(context: RequestContext, member: Member, gateway: Gateway) -> gateways.ProbeResult:
    check_rate_limit(context, member.organization_id)
    return await gateways.ProbeResult.probe_gateway(context.gateway_connector, gateway)
