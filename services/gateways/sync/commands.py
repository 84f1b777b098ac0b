"""Synchronization of the files of a gateway's agents: plan, report, request.

Nothing is written to the gateway here. The Reconciler does that step by step, with retries; the
agents' rows have its progress.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Source
from core.errors import UpstreamError
from core.security.encryption import SecretCipher
from core.text import N_
from models import Agent, EventType, Gateway, Member
from openclaw import ErrorKind, GatewayError
from openclaw import api as gateway_api
from services import agents, desired_state, events, gateways
from services.gateways import GatewayConnector, files, provisioning
from services.gateways.files import AgentFacts, FilePlan, FileState
from services.gateways.sync.queries import (
    AgentSelection,
    RemoteFiles,
    SyncOptions,
    SyncProblem,
    select_agents,
)

HIDDEN_DIFF = "It names boards that you cannot read."
NOT_LISTED = "The gateway does not have this agent yet: it is created first."
AGENT_CREATED = "The gateway had no agent of its own: it is created with its files."
LEFT_OUT = SyncProblem(
    "changed_meanwhile", N_("It was changed or removed meanwhile, so it was left out.")
)


@dataclass(frozen=True)
class AgentSyncReport:
    """The plan for the files of one agent."""

    agent: Agent
    files: Sequence[FilePlan]
    message: str
    is_listed: bool = True  # whether the gateway has the agent


@dataclass(frozen=True)
class SyncReport:
    """What a sync does, or would do."""

    agents: Sequence[AgentSyncReport] = ()
    skipped: int = 0
    problems: Sequence[SyncProblem] = ()
    is_stopped: bool = False  # nothing is done for any agent
    # None if the configuration could not be read
    config_change: provisioning.ConfigChange | None = None

    @property
    def updated(self) -> int:
        """The number of agents of boards that get their files."""
        return sum(one.agent.board_id is not None for one in self.agents)


@dataclass(frozen=True)
class SyncPlan:
    """The agents of a sync, with the facts for their files."""

    gateway: Gateway
    options: SyncOptions
    selection: AgentSelection
    facts: Mapping[UUID, AgentFacts]


async def plan_sync(
    source: Source,
    cipher: SecretCipher,
    member: Member,
    gateway: Gateway,
    options: SyncOptions,
    *,
    base_url: str,
) -> SyncPlan:
    """Select the agents of a sync and load their facts, before the gateway is called."""
    selection = await select_agents(source, member, gateway, options)
    tokens = await provisioning.load_tokens(source, cipher, selection.agents)
    facts = await files.load_facts(source, selection.agents, base_url=base_url, tokens=tokens)
    return SyncPlan(gateway, options, selection, facts)


def report_sync(plan: SyncPlan, remote: RemoteFiles) -> SyncReport:
    """Return what the sync would do, given the files on the gateway."""
    selection = plan.selection
    problem = selection.problem or remote.problem
    if problem:
        problem = replace(problem, board_id=plan.options.board_id)
        return SyncReport((), selection.skipped, [problem], is_stopped=True)
    read = [agent for agent in selection.agents if agent.id in remote.files_of_agent]
    failed = [agent for agent in selection.agents if agent.id not in remote.files_of_agent]
    problems = [replace(remote.agent_problems[agent.id], agent=agent) for agent in failed]
    reports = [_agent_report(plan, remote, agent) for agent in read]
    config = remote.config
    change = None if config is None else provisioning.plan_config_change(read, config)
    return SyncReport(reports, selection.skipped + len(failed), problems, config_change=change)


async def request_sync(
    session: AsyncSession, member: Member, plan: SyncPlan, report: SyncReport
) -> SyncReport:
    """Request what was reported; return the report without the agents that have gone meanwhile.

    If the gateway has no agent that manages it, one is created. Raises NotFound if the gateway was
    deleted.
    """
    if report.is_stopped:
        return report
    options = plan.options
    created = None
    if plan.selection.lacks_main:
        gateway = await gateways.lock_gateway(session, member, plan.gateway.id)
        main = select(Agent.id).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None))
        if await session.scalar(main) is None:  # otherwise another request was faster
            created = await agents.create_gateway_agent(session, gateway)
    wanted = Agent.gateway_id == plan.gateway.id
    wanted &= Agent.id.in_([one.agent.id for one in report.agents])
    overwrite = desired_state.MANAGED_FILES if options.overwrite else ()
    requested = await desired_state.request_sync(
        session, wanted, overwrite=overwrite, rotate=options.rotate_tokens
    )
    changed = ["files", "token"] if options.rotate_tokens else ["files"]
    new_events = [
        agents.agent_event(
            EventType.AGENT_UPDATED, member.user, agent.board_id, agent, changed=changed
        )
        for agent in requested
    ]
    if created is not None:
        new_events.append(agents.agent_event(EventType.AGENT_CREATED, member.user, None, created))
    await events.record_events(session, new_events)
    ids = {agent.id for agent in requested}
    reports = [one for one in report.agents if one.agent.id in ids]
    reports += [AgentSyncReport(created, (), AGENT_CREATED, is_listed=False)] if created else []
    gone = [replace(LEFT_OUT, agent=one.agent) for one in report.agents if one.agent.id not in ids]
    problems = [*report.problems, *gone]
    return replace(report, agents=reports, skipped=report.skipped + len(gone), problems=problems)


async def reset_sessions(
    connector: GatewayConnector, plan: SyncPlan, report: SyncReport
) -> SyncReport:
    """Reset the agents' sessions, if requested, and add failures to the report.

    Agents that the gateway does not list are skipped: the reset would create a session.
    """
    listed = [one.agent for one in report.agents if one.is_listed]
    if not (plan.options.reset_sessions and listed):
        return report
    problems: list[SyncProblem] = []
    try:
        async with connector.connect(plan.gateway) as client:
            slots = provisioning.get_call_semaphore(plan.gateway.id)
            for agent in listed:
                try:
                    async with slots:
                        key = files.session_key_of(agent)
                        await gateway_api.reset_session(client, key)
                except GatewayError as error:
                    if error.kind is not ErrorKind.REJECTED:
                        raise
                    problem = SyncProblem.from_agent_error(error, plan.gateway)
                    problems.append(replace(problem, agent=agent))
    except UpstreamError as error:
        problems.append(SyncProblem.from_gateway_error(error))
    return replace(report, problems=[*report.problems, *problems])


def _agent_report(plan: SyncPlan, remote: RemoteFiles, agent: Agent) -> AgentSyncReport:
    """Plan the files of an agent as provisioning will, and say what is written and kept.

    If we cannot decrypt the agent's token, the one in the present file is assumed to be right.
    """
    present, facts = remote.files_of_agent[agent.id], plan.facts[agent.id]
    known = facts.token or files.find_token(present[files.SHARED_FILE])
    is_issued = known and not plan.options.rotate_tokens
    token = known if is_issued else "(another token)"  # which is issued later
    digests = provisioning.last_written_digests(agent, present)
    for name in desired_state.MANAGED_FILES if plan.options.overwrite else ():
        digests.pop(name, None)
    plans = files.plan_files(files.render_files(replace(facts, token=token)), present, digests)
    written = sum(one.state.is_written for one in plans)
    kept = [one.name for one in plans if one.state is FileState.KEPT]
    is_listed = agent.id not in remote.unlisted
    sentences = [] if is_listed else [NOT_LISTED]
    sentences.append(
        f"{written} of {len(plans)} files to write." if written else "Nothing to write."
    )
    if kept:
        sentences.append(f"Changed by the agent, and kept: {', '.join(kept)}.")
    if agent.board_id is None and not plan.selection.sees_all:
        plans = [replace(one, diff=HIDDEN_DIFF if one.diff else "") for one in plans]
    return AgentSyncReport(agent, plans, " ".join(sentences), is_listed)
