"""Agents of a gateway: list, link, and synchronize their files (contract, agents 9.5 and 17)."""

from uuid import UUID

from pydantic import Field

from api.endpoints.agent_models import AgentCreated, encode_created_agent
from api.endpoints.gateways import check_rate_limit
from api.framework.fields import Name, RequestModel, ResponseModel
from api.framework.handler import RequestContext, error_responses, without_transaction
from core.json_responses import Encoded
from models import Gateway, Member
from services import gateways
from services.gateways import ListedAgent, SessionOwner, sync
from services.gateways.files import FileState


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

    @classmethod
    def of(cls, listed: ListedAgent, owner: SessionOwner | None) -> "GatewayAgent":
        """Build the model from the agent on the gateway and its agent here."""
        return cls(
            id=listed.id,
            name=listed.name,
            emoji=listed.emoji,
            workspace=listed.workspace,
            made_here=listed.is_managed,
            can_be_linked=owner is None and not listed.is_managed,
            agent_id=owner.agent.id if owner and owner.can_read else None,
            is_linked=owner is not None and owner.agent.is_linked,
        )


class GatewayAgents(ResponseModel):
    """The agents of a gateway, in the order of the gateway."""

    agents: list[GatewayAgent]


class GatewayAgentLink(RequestModel):
    """An agent on a gateway to link to a board."""

    example = {
        "gateway_agent_id": "main",
        "board_id": "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11",
        "is_board_lead": False,
    }

    gateway_agent_id: Name = Field(description="What the agent is called on the gateway.")
    board_id: UUID
    is_board_lead: bool = Field(default=False, description="A board has at most one lead.")
    name: Name | None = Field(default=None, description="Default: the name on the gateway.")


@error_responses(409, 429, 502)
@without_transaction
async def list_gateway_agents(
    context: RequestContext, member: Member, gateway: Gateway
) -> GatewayAgents:
    """List the current agents of a gateway, and the agents here that they belong to."""
    async with context.transaction() as session:
        owners = await gateways.load_session_owners(session, context.user, gateway)
    listed = await _list_agents(context, gateway)
    return GatewayAgents(agents=[GatewayAgent.of(item, owners.get(item.id)) for item in listed])


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
        draft = gateways.LinkDraft(**dict(body))
        linked, token = await gateways.link_agent(session, member, gateway, listed, draft)
        return encode_created_agent(linked, gateway, token, context)


async def _list_agents(context: RequestContext, gateway: Gateway) -> list[ListedAgent]:
    check_rate_limit(context, gateway.organization_id)
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

    def to_options(self) -> sync.SyncOptions:
        """Return the options as a value of the services."""
        return sync.SyncOptions(**self.model_dump(exclude={"dry_run", "force_bootstrap"}))


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


class SyncError(ResponseModel):
    """A problem with one agent, or, without an agent, with all."""

    agent_id: UUID | None
    agent_name: str | None
    board_id: UUID | None
    message: str


class SyncResult(ResponseModel):
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
    errors: list[SyncError]
    agents: list[SyncedAgent]
    config_diff: str | None = Field(
        description="What changes in the gateway's configuration, as a unified diff of the changed "
        "entries; empty if nothing does, null if the configuration could not be read."
    )

    @classmethod
    def of(cls, gateway: Gateway, query: SyncQuery, report: sync.SyncReport) -> "SyncResult":
        """Build the model from a report."""
        return cls(
            gateway_id=gateway.id,
            dry_run=query.dry_run,
            include_main=query.include_main,
            reset_sessions=query.reset_sessions,
            agents_updated=report.updated,
            agents_skipped=report.skipped,
            main_updated=report.main_updated,
            errors=[_build_sync_error(problem) for problem in report.problems],
            agents=[_build_synced_agent(item) for item in report.agents],
            config_diff=report.config_change.diff if report.config_change else None,
        )


@error_responses(404, 409, 429)
@without_transaction
async def sync_gateway_templates(
    context: RequestContext, member: Member, gateway: Gateway, query: SyncQuery
) -> SyncResult:
    """Update the files of a gateway's agents, and return the differences.

    Changes of the agents are kept unless `overwrite` is set. With `dry_run` nothing is changed.
    Problems with single agents are in `errors`.
    """
    check_rate_limit(context, member.organization_id)
    connector, options = context.gateway_connector, query.to_options()
    cipher, base_url = context.secret_cipher, context.settings.base_url
    async with context.transaction() as session:
        prepared = await sync.plan_sync(
            session, cipher, member, gateway, options, base_url=base_url
        )
    report = sync.report_sync(
        prepared, await sync.read_remote_files(connector, gateway, prepared.agents)
    )
    if not query.dry_run:
        async with context.transaction() as session:
            report = await sync.request_sync(session, member, prepared, report)
        report = await sync.reset_sessions(connector, prepared, report)
    return SyncResult.of(gateway, query, report)


def _build_sync_error(problem: sync.SyncProblem) -> SyncError:
    agent = problem.agent
    return SyncError(
        agent_id=agent.id if agent else None,
        agent_name=agent.name if agent else None,
        board_id=agent.board_id if agent else problem.board_id,
        message=problem.message,
    )


def _build_synced_agent(item: sync.AgentSyncReport) -> SyncedAgent:
    return SyncedAgent(
        agent_id=item.agent.id,
        agent_name=item.agent.name,
        board_id=item.agent.board_id,
        files=[SyncedFile.model_validate(file) for file in item.files],
        message=item.message,
    )
