"""The files of a gateway's agents, brought up to date (contract, agents-and-gateways 9.5, 17)."""

from uuid import UUID

from pydantic import Field

from api.fields import Answer, Body
from api.gateways import carrier_of, knock
from api.operations import Call, between_transactions, may_answer
from kit.http import settings_of
from models import Gateway, Member
from services import file_sync
from services.agent_files import FileState


class SyncQuery(Body):
    """Whose files, and how. With `dry_run` it is only told what would be written."""

    dry_run: bool = Field(default=False, description="Change nothing: tell what would change.")
    include_main: bool = Field(default=True, description="Also the gateway's own agent.")
    lead_only: bool = Field(default=False, description="Of the boards' agents, only the leads.")
    reset_sessions: bool = Field(default=False, description="Begin their sessions anew as well.")
    rotate_tokens: bool = Field(
        default=False,
        description="Give them new tokens. Each old one lives until the new one is first used.",
    )
    force_bootstrap: bool = Field(
        default=False,
        description="Without effect: what BOOTSTRAP.md was for comes with the first message.",
        json_schema_extra={"deprecated": True},
    )
    overwrite: bool = Field(
        default=False, description="Write over what the agents have changed in files of ours."
    )
    board_id: UUID | None = Field(default=None, description="Only the agents of this board.")

    def wish(self) -> file_sync.Wish:
        """Return the same, as the services take it."""
        return file_sync.Wish(**self.model_dump(exclude={"dry_run", "force_bootstrap"}))


class SyncedFile(Answer):
    """One file of an agent's workspace."""

    name: str
    state: FileState = Field(
        description="`same`; `new` and `changed`, which are written; `kept`: the agent has made it "
        "its own."
    )
    diff: str = Field(
        description="Unified; of a file that is kept, what is not written. Tokens are masked."
    )


class SyncedAgent(Answer):
    """One agent, and what becomes of its files."""

    agent_id: UUID
    agent_name: str
    board_id: UUID | None
    files: list[SyncedFile]
    message: str


class SyncError(Answer):
    """Something that was in the way: of one agent, or, without one, of all."""

    agent_id: UUID | None
    agent_name: str | None
    board_id: UUID | None
    message: str


class SyncResult(Answer):
    """What is done for whom. It is written soon after; each agent's `provisioning` tells when."""

    gateway_id: UUID
    dry_run: bool
    include_main: bool
    reset_sessions: bool
    agents_updated: int
    agents_skipped: int = Field(description="Of paused boards, linked, not yours, or in `errors`.")
    main_updated: bool
    errors: list[SyncError]
    agents: list[SyncedAgent]

    @classmethod
    def of(cls, gateway: Gateway, query: SyncQuery, told: file_sync.Report) -> "SyncResult":
        """Make one of a report."""
        return cls(
            gateway_id=gateway.id,
            dry_run=query.dry_run,
            include_main=query.include_main,
            reset_sessions=query.reset_sessions,
            agents_updated=told.updated,
            agents_skipped=told.skipped,
            main_updated=told.main_updated,
            errors=[_error(mishap) for mishap in told.mishaps],
            agents=[_agent(one) for one in told.agents],
        )


@may_answer(404, 409, 429)
@between_transactions
async def sync_gateway_templates(
    call: Call, member: Member, gateway: Gateway, query: SyncQuery
) -> SyncResult:
    """Bring the files of a gateway's agents up to date, and tell what that changes.

    What the agents have made their own is kept, unless it is to be overwritten. With `dry_run`
    nothing is changed. What is in the way of some agents is in `errors`.
    """
    knock(call, member.organization_id)
    carrier, wish = carrier_of(call), query.wish()
    seal, base_url = call.request.state.seal, settings_of(call.request).base_url
    async with call.transaction() as session:
        prepared = await file_sync.prepare(session, seal, member, gateway, wish, base_url=base_url)
    told = file_sync.report(prepared, await file_sync.look(carrier, gateway, prepared.agents))
    if not query.dry_run:
        async with call.transaction() as session:
            told = await file_sync.ask(session, member, prepared, told)
        told = await file_sync.reset(carrier, prepared, told)
    return SyncResult.of(gateway, query, told)


def _error(mishap: file_sync.Mishap) -> SyncError:
    agent = mishap.agent
    return SyncError(
        agent_id=agent.id if agent else None,
        agent_name=agent.name if agent else None,
        board_id=agent.board_id if agent else mishap.board_id,
        message=mishap.message,
    )


def _agent(one: file_sync.AgentReport) -> SyncedAgent:
    return SyncedAgent(
        agent_id=one.agent.id,
        agent_name=one.agent.name,
        board_id=one.agent.board_id,
        files=[SyncedFile.model_validate(file) for file in one.files],
        message=one.message,
    )
