"""Gateways."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from api.endpoints.agents import AgentCreated, encode_created_agent
from api.framework.dependencies import admin_membership, gateway_for_admin
from api.framework.fields import Ok, PageQuery, RequestModel, ResponseModel, Timestamp
from api.framework.operation import (
    USER,
    Operation,
    changes_decisions,
    error_responses,
    reads_only,
    without_transaction,
)
from api.framework.request_context import RequestContext
from core.http.request import hit_gateway_limits
from core.json_responses import Encoded, build_encoder, encode_page, json_id, json_time
from core.paging import Page
from models import ConfigChangeKind, Gateway, Member
from services import gateways
from services.gateways import (
    CommandGrant,
    GatewayAgentLink,
    GatewayCreate,
    GatewayUpdate,
    GrantState,
    ListedAgent,
    SessionOwners,
    provisioning,
    sync,
)
from services.gateways.files import FileState
from services.gateways.provisioning import LoggedConfigChange


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


encode_certificate = build_encoder(CaCertificateRead)


class GatewayRead(ResponseModel):
    """A gateway. `token` is always null, because the token is never returned."""

    name: str
    url: str
    workspace_root: str
    allow_insecure_tls: bool
    ca_certificates: str | None = Field(
        description="PEM certificates of the only CAs that may issue the gateway's certificate."
    )
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
        "ca_certificate_details": list(map(encode_certificate, certificates)),
        "disable_device_pairing": gateway.disable_device_pairing,
        "id": json_id(gateway.id),
        "organization_id": json_id(gateway.organization_id),
        "token": None,
        "has_token": gateway.encrypted_token is not None,
        "gateway_version": gateway.gateway_version,
        "checks": None if checks is None else list(map(_build_check_fields, checks)),
        "checked_at": json_time(gateway.checked_at),
        "missing_capabilities": gateways.list_missing_capabilities(gateway),
        "version": gateway.version,
        "created_at": json_time(gateway.created_at),
        "updated_at": json_time(gateway.updated_at),
    }


def _build_check_fields(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a GatewayCheck, as it is stored in JSON."""
    since = row.get("since")
    fields = {name: row[name] for name in ("name", "state", "sentence", "command", "code")}
    return fields | {"since": json_time(datetime.fromisoformat(since)) if since else None}


def _encode_gateway(gateway: Gateway) -> Encoded[GatewayRead]:
    return Encoded(_build_gateway_fields(gateway), gateway.version)


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
        gateway = await gateways.create_gateway(session, member, connector, body)
    return _encode_gateway(await _probe_and_record(context, member, gateway))


@error_responses(404, 409)
@without_transaction
async def update_gateway(
    context: RequestContext, member: Member, gateway_id: UUID, body: GatewayUpdate
) -> Encoded[GatewayRead]:
    """Change a gateway. Its connection is checked if a connection setting has changed."""
    connector = context.gateway_connector
    async with context.transaction() as session:
        changed = await gateways.update_gateway(session, member, connector, gateway_id, body)
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


async def check_rate_limit(context: RequestContext, organization_id: UUID) -> None:
    """Count a call to a gateway. Raises TooMany, because it must not be used to scan ports."""
    await hit_gateway_limits(context.request, organization_id, context.user.id)


async def _probe_and_record(context: RequestContext, member: Member, gateway: Gateway) -> Gateway:
    probe_result = await _probe(context, member, gateway)
    async with context.transaction() as session:
        return await gateways.record_user_probe(session, member, gateway, probe_result)


async def _probe(context: RequestContext, member: Member, gateway: Gateway) -> gateways.ProbeResult:
    await check_rate_limit(context, member.organization_id)
    return await gateways.ProbeResult.probe_gateway(context.gateway_connector, gateway)


class GatewayAgent(ResponseModel):
    """An agent on a gateway."""

    id: str = Field(description="The id of the agent on the gateway.")
    name: str
    emoji: str | None
    workspace: str | None = Field(description="Its folder on the gateway's machine.")
    made_here: bool = Field(
        description="Created by Mission Control, by this installation or another."
    )
    can_be_linked: bool
    agent_id: UUID | None = Field(
        description="The agent here; null if there is none, or its board may not be read."
    )
    is_linked: bool


class GatewayAgents(ResponseModel):
    """The agents of a gateway, in the order of the gateway."""

    agents: list[GatewayAgent]


@error_responses(409, 429, 502)
@without_transaction
async def list_gateway_agents(
    context: RequestContext, member: Member, gateway: Gateway
) -> GatewayAgents:
    """List the current agents of a gateway, and the agents here that they belong to."""
    async with context.transaction() as session:
        owners = await gateways.load_session_owners(session, context.user, gateway)
    found = [
        GatewayAgent(
            id=listed.id,
            name=listed.name,
            emoji=listed.emoji,
            workspace=listed.workspace,
            made_here=listed.is_managed,
            can_be_linked=owner is None and not listed.is_managed,
            agent_id=owner.agent.id if owner and owner.can_read else None,
            is_linked=owner is not None and owner.agent.is_linked,
        )
        for listed in await _list_agents(context, gateway)
        for owner in [owners.get(listed.id)]
    ]
    return GatewayAgents(agents=found)


@error_responses(409, 429, 502)
@without_transaction
async def link_gateway_agent(
    context: RequestContext, member: Member, gateway: Gateway, body: GatewayAgentLink
) -> Encoded[AgentCreated]:
    """Link an existing agent of a gateway, and return its token once.

    Nothing is ever written to the gateway for it. `DELETE /agents/{agent_id}` unlinks it.
    """
    async with context.transaction() as session:
        await gateways.check_can_link(session, member, gateway, body.board_id)
    listed = await _list_agents(context, gateway)
    async with context.transaction() as session:
        linked, token = await gateways.link_agent(session, member, gateway, listed, body)
        return encode_created_agent(linked, gateway, token, context)


async def _list_agents(context: RequestContext, gateway: Gateway) -> list[ListedAgent]:
    await check_rate_limit(context, gateway.organization_id)
    async with context.gateway_connector.connect(gateway) as link:
        return list(await gateways.list_gateway_agents(link))


class SyncQuery(RequestModel):
    """Which files to synchronize, and how. With `dry_run` only the differences are returned."""

    dry_run: bool = Field(default=False, description="Change nothing; return what would change.")
    include_main: bool = Field(default=True, description="Also the gateway's main agent.")
    lead_only: bool = Field(default=False, description="Of the agents on boards, only the leads.")
    reset_sessions: bool = Field(default=False, description="Also reset their sessions.")
    rotate_tokens: bool = Field(
        default=False,
        description="Create new tokens. Each old token is valid until the new one is first used.",
    )
    force_bootstrap: bool = Field(
        default=False,
        description="No effect: the first message has replaced BOOTSTRAP.md.",
        json_schema_extra={"deprecated": True},
    )
    overwrite: bool = Field(
        default=False, description="Overwrite the agents' changes in our files."
    )
    board_id: UUID | None = Field(default=None, description="Only the agents of this board.")


class SyncedFile(ResponseModel):
    """A file of an agent's workspace."""

    name: str
    state: FileState = Field(
        description="`same`; `new` and `changed`, which are written; `kept`: the agent changed it."
    )
    diff: str = Field(
        description="Unified diff; for a kept file, what is not written. Tokens are masked."
    )


class SyncedAgent(ResponseModel):
    """An agent and its files."""

    agent_id: UUID
    agent_name: str
    board_id: UUID | None
    files: list[SyncedFile]
    message: str


class GatewayTemplatesSyncError(ResponseModel):
    """A problem with one agent, or, without an agent, with all."""

    agent_id: UUID | None
    agent_name: str | None
    board_id: UUID | None
    message: str


class GatewayTemplatesSyncResult(ResponseModel):
    """The result. Files are written afterwards; the `provisioning` of each agent shows when."""

    gateway_id: UUID
    dry_run: bool
    include_main: bool
    reset_sessions: bool
    agents_updated: int
    agents_skipped: int = Field(
        description="Linked, on paused or inaccessible boards, or in `errors`."
    )
    main_updated: bool
    errors: list[GatewayTemplatesSyncError]
    agents: list[SyncedAgent]
    config_diff: str | None = Field(
        description="What changes in the gateway's configuration, as a unified diff of the changed "
        "entries; empty if nothing does, null if the configuration could not be read."
    )


@error_responses(404, 409, 429)
@without_transaction
async def sync_gateway_templates(
    context: RequestContext, member: Member, gateway: Gateway, query: SyncQuery
) -> GatewayTemplatesSyncResult:
    """Update the files of a gateway's agents, and return the differences.

    Changes of the agents are kept unless `overwrite` is set. With `dry_run` nothing is changed.
    Problems with single agents are in `errors`.
    """
    await check_rate_limit(context, member.organization_id)
    options = sync.SyncOptions(**query.model_dump(exclude={"dry_run", "force_bootstrap"}))
    connector, cipher = context.gateway_connector, context.secret_cipher
    async with context.transaction() as session:
        prepared = await sync.plan_sync(
            session, cipher, member, gateway, options, base_url=context.settings.base_url
        )
    report = sync.report_sync(
        prepared, await sync.read_remote_files(connector, gateway, prepared.selection.agents)
    )
    if not query.dry_run:
        async with context.transaction() as session:
            report = await sync.request_sync(session, member, prepared, report)
        report = await sync.reset_sessions(connector, prepared, report)
    return GatewayTemplatesSyncResult(
        gateway_id=gateway.id,
        dry_run=query.dry_run,
        include_main=query.include_main,
        reset_sessions=query.reset_sessions,
        agents_updated=report.updated,
        agents_skipped=report.skipped,
        main_updated=any(item.agent.board_id is None for item in report.agents),
        errors=list(map(_build_sync_error, report.problems)),
        agents=[
            SyncedAgent(
                agent_id=item.agent.id,
                agent_name=item.agent.name,
                board_id=item.agent.board_id,
                files=[SyncedFile.model_validate(file) for file in item.files],
                message=item.message,
            )
            for item in report.agents
        ],
        config_diff=report.config_change.diff if report.config_change else None,
    )


def _build_sync_error(problem: sync.SyncProblem) -> GatewayTemplatesSyncError:
    agent = problem.agent
    return GatewayTemplatesSyncError(
        agent_id=agent.id if agent else None,
        agent_name=agent.name if agent else None,
        board_id=agent.board_id if agent else problem.board_id,
        message=problem.message,
    )


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


encode_change = build_encoder(
    GatewayConfigChangeRead, "change", can_read="is_readable", cause="cause"
)
encode_cause = build_encoder(ConfigChangeCauseRead)


def _build_change_fields(entry: LoggedConfigChange) -> dict[str, Any]:
    """Return the fields of a GatewayConfigChangeRead, without what the caller may not read."""
    cause = encode_cause(entry.cause) if entry.cause else None
    fields = encode_change(entry) | {"cause": cause}
    if not entry.is_readable:
        hidden = ("agent_key", "agent_id", "agent_name", "board_id", "diff")
        fields |= dict.fromkeys(hidden)
        if cause:  # its object is often the agent itself
            cause |= {"object_id": None, "object_name": None}
    return fields


@reads_only
@error_responses(403, 404)
async def list_gateway_config_changes(
    context: RequestContext, member: Member, gateway: Gateway, query: PageQuery
) -> Encoded[Page[GatewayConfigChangeRead]]:
    """List what was written to the configuration of a gateway, newest first. For admins."""
    found = await provisioning.list_config_changes(context.source, member, gateway, query.paging)
    return encode_page(found, _build_change_fields)


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
    await check_rate_limit(context, gateway.organization_id)
    return owners


GATEWAY = "/gateways/{gateway_id}"
GRANTS = "/gateways/{gateway_id}/standing-grants"
TAGS = ["gateways"]

OPERATIONS = [
    Operation("GET", "/gateways", list_gateways, USER, TAGS, admin_membership),
    Operation("POST", "/gateways", create_gateway, USER, TAGS, admin_membership),
    Operation("GET", GATEWAY, get_gateway, USER, TAGS, gateway_for_admin),
    Operation("PATCH", GATEWAY, update_gateway, USER, TAGS, gateway_for_admin),
    Operation("DELETE", GATEWAY, delete_gateway, USER, TAGS, admin_membership),
    Operation("GET", GATEWAY + "/agents", list_gateway_agents, USER, TAGS, gateway_for_admin),
    Operation("POST", GATEWAY + "/agents", link_gateway_agent, USER, TAGS, gateway_for_admin),
    Operation(
        "GET",
        GATEWAY + "/config-changes",
        list_gateway_config_changes,
        USER,
        TAGS,
        gateway_for_admin,
    ),
    Operation("GET", GRANTS, list_command_grants, USER, TAGS, gateway_for_admin),
    Operation(
        "DELETE", GRANTS + "/{grant_id}", revoke_command_grant, USER, TAGS, gateway_for_admin
    ),
    Operation(
        "POST", GATEWAY + "/templates/sync", sync_gateway_templates, USER, TAGS, gateway_for_admin
    ),
    Operation("POST", GATEWAY + "/checks", check_gateway, USER, TAGS, gateway_for_admin),
]
