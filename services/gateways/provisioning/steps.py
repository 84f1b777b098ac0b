"""The steps that bring an agent onto its gateway. Each reads first, and writes what differs.

A step may be interrupted at any point and executed again. Before something is written that could
later be mistaken for the agent's own work, the intent is recorded in the agent's row.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.security.secrets import hash_token
from models import Agent, ConfigChangeKind, ProvisioningState, ProvisioningStep
from openclaw import ErrorKind, GatewayClient, GatewayError, is_unsupported_request
from openclaw import api as gateway_api
from services import agents
from services.gateways import files
from services.gateways.files import AgentFacts, FilePlan, FileState
from services.gateways.provisioning import config_entries
from services.gateways.provisioning.config_entries import compare_entries, describe_write
from services.gateways.provisioning.config_log import ConfigWrite
from services.gateways.provisioning.failures import UNLISTED_FAILURE, StepFailure

RecordWrites = Callable[[Sequence[ConfigWrite]], Awaitable[None]]
"""Records what is about to be written to the configuration of the gateway."""

RecordIntent = Callable[[ProvisioningState, "Sequence[agents.FileContent]"], Awaitable[bool]]
"""Records what is about to be written, with versions of files; False if the row was changed."""

QUIET_SCRATCH = "# Mission Control writes to this agent when something waits for it\n"
"""A gateway skips a heartbeat without calling a model if its text has only headings."""

STARTS_OF_SCRATCHES = (QUIET_SCRATCH, "BASE_URL=")
"""How the texts of heartbeats begin that Mission Control has written."""

PROTECTED_KEY = "main"  # the gateway's own first agent
USER_FILE = "USER.md"  # of an agent that the gateway had before, it holds what people told it


@dataclass(frozen=True)
class AgentRoster:
    """The agents that a gateway lists: their names by their ids."""

    names: Mapping[str, str | None]

    @classmethod
    async def load(cls, client: GatewayClient) -> "AgentRoster":
        """Load the roster from a gateway."""
        return cls({agent.id: agent.name for agent in await gateway_api.list_agents(client)})

    def has(self, agent: Agent) -> bool:
        """Return whether the gateway lists an agent."""
        return agent.gateway_key in self.names


@dataclass(frozen=True)
class StepDone:
    """The step is complete; its row keeps this state."""

    state: ProvisioningState


@dataclass(frozen=True)
class StepSuperseded:
    """The agent's row was changed meanwhile, so the step was abandoned."""


StepOutcome = StepDone | StepFailure | StepSuperseded


@dataclass(frozen=True)
class StepContext:
    """An agent, what its gateway has, and what the agent should have there.

    `facts` are None for steps that write no file and create no agent.
    """

    agent: Agent
    client: GatewayClient
    roster: AgentRoster
    facts: AgentFacts | None
    record_intent: RecordIntent
    record_writes: RecordWrites
    is_paused: bool = False

    @property
    def key(self) -> str:
        """The agent's id on its gateway."""
        key = self.agent.gateway_key
        assert key is not None
        return key

    @property
    def state(self) -> ProvisioningState:
        """The provisioning state before this step."""
        return self.agent.provisioning_state


async def create_agent(context: StepContext) -> StepOutcome:
    """Request the creation of the agent, unless it is listed. The gateway lists it later.

    A gateway that was killed while it created an agent may have the next ones only in its config,
    and list them after another restart.
    """
    if context.roster.has(context.agent):
        return StepDone(context.state)
    state = ProvisioningState(is_created_by_us=True, lost_at=context.state.lost_at)
    was_requested = context.state.is_created_by_us or context.state.lost_at is not None
    if was_requested and await _is_in_config(context):
        return StepDone(state)  # nothing is written, and nothing is logged again
    if context.state != state and not await context.record_intent(state, ()):
        return StepSuperseded()
    assert context.facts is not None
    workspace = context.facts.workspace
    added = {context.key: {"workspace": workspace}}
    await _record_write(context, ConfigChangeKind.ADDED, {}, added)
    try:
        await gateway_api.create_agent(context.client, context.key, workspace=workspace)
    except GatewayError as error:
        if error.kind is not ErrorKind.REJECTED or not await _is_in_config(context):
            raise
    return StepDone(state)


async def _is_in_config(context: StepContext) -> bool:
    config = await gateway_api.get_config(context.client)
    return config_entries.is_configured(context.agent, config.parsed)


async def wait_until_listed(context: StepContext) -> StepOutcome:
    """Succeed once the gateway lists the agent."""
    if context.roster.has(context.agent):
        return StepDone(context.state)
    return UNLISTED_FAILURE


async def set_name(context: StepContext) -> StepOutcome:
    """Set the name of an agent that its gateway has had before.

    Those of new agents are set together: each call that changes the gateway's config makes it load
    all agents again.
    """
    is_known = context.agent.observed_generation > 0
    present = context.roster.names[context.key]
    if is_known and present != context.agent.name:
        old, new = ({context.key: {"name": name}} for name in (present, context.agent.name))
        await _record_write(context, ConfigChangeKind.CHANGED, old, new)
        await gateway_api.rename_agent(context.client, context.key, context.agent.name)
    return StepDone(context.state)


async def write_files(context: StepContext) -> StepOutcome:
    """Write the files that differ, except those that the agent has changed."""
    assert context.facts is not None
    ours = files.render_files(context.facts)
    contents = {name: (await read_file(context.client, context.key, name)).content for name in ours}
    known = context.state.file_digests
    last = last_written_digests(context.agent, contents)
    plans = files.plan_files(ours, contents, last)
    to_write = [plan for plan in plans if plan.state.is_written]
    if to_write:
        possible = {plan.name: _possible_digests(plan, contents, last, known) for plan in to_write}
        intent = replace(context.state, file_digests={**known, **possible})
        changes = [(plan.name, contents[plan.name], plan.content) for plan in to_write]
        was_there = context.agent.observed_generation > 0
        versions = agents.build_sync_versions(changes, known, was_there=was_there)
        if not await context.record_intent(intent, versions):
            return StepSuperseded()
    for plan in to_write:
        before = contents[plan.name]  # the gateway refuses if the file was changed meanwhile
        await gateway_api.write_agent_file(
            context.client,
            context.key,
            plan.name,
            plan.content,
            expected_hash=None if before is None else hash_token(before),
        )
    kept = [plan.name for plan in plans if plan.state is FileState.KEPT]
    digests = dict(known)  # former files that need no change have no plan
    for plan in plans:
        is_kept = plan.state is FileState.KEPT
        digests[plan.name] = known.get(plan.name, ()) if is_kept else [hash_token(plan.content)]
    return StepDone(replace(context.state, file_digests=digests, kept_files=tuple(kept)))


async def read_file(
    client: GatewayClient, key: str, name: str, *, retry: bool = False
) -> gateway_api.GatewayFile:
    """Read a file of an agent. A former file that the gateway does not know is missing."""
    try:
        return await gateway_api.get_agent_file(client, key, name, retry=retry)
    except GatewayError as error:
        if name in files.FORMER_FILES and is_unsupported_request(error):
            return gateway_api.GatewayFile(None)
        raise


async def write_scratch(context: StepContext) -> StepOutcome:
    """Have the heartbeats that the gateway gives the agent call no model while it is paused.

    Otherwise the agent does in them what its gateway says. On older gateways a quiet one costs
    nothing; newer ones list it as a failed task.
    """
    heartbeat = await gateway_api.find_heartbeat(context.client, context.key)
    if heartbeat is None:
        return StepDone(context.state)
    if context.is_paused or heartbeat.job_id is None:
        text: str | None = QUIET_SCRATCH
    else:
        is_ours = (heartbeat.text or "").startswith(STARTS_OF_SCRATCHES)
        text = None if is_ours else heartbeat.text
    if heartbeat.text != text:
        await gateway_api.set_heartbeat_text(context.client, context.key, heartbeat, text)
    return StepDone(context.state)


STEPS: Mapping[ProvisioningStep, Callable[[StepContext], Awaitable[StepOutcome]]] = {
    ProvisioningStep.CREATE: create_agent,
    ProvisioningStep.LISTED: wait_until_listed,
    ProvisioningStep.NAME: set_name,
    ProvisioningStep.FILES: write_files,
    ProvisioningStep.SCRATCH: write_scratch,
}
"""The steps that are executed for one agent at a time."""


def last_written_digests(agent: Agent, contents: Mapping[str, str | None]) -> dict[str, str]:
    """Return the digest of what we wrote last, for each file that we have written.

    After an interrupted write there are several digests: then the one of the present content, or
    an empty string if the agent has changed the file.
    """
    last = {} if agent.provisioning_state.is_created_by_us else {USER_FILE: ""}
    for file, digests in agent.provisioning_state.file_digests.items():
        present = hash_token(contents.get(file) or "")
        last[file] = present if present in digests else ""
    return last


async def _record_write(
    context: StepContext,
    kind: ConfigChangeKind,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    diff = compare_entries(before, after)
    await context.record_writes([ConfigWrite(context.key, kind, diff, context.agent)])


def _possible_digests(
    plan: FilePlan,
    contents: Mapping[str, str | None],
    last: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
) -> Sequence[str]:
    """Return the digests that our file may have during the write: the old and the new ones."""
    before, digests = contents[plan.name], list(known.get(plan.name, []))
    if before is not None and last.get(plan.name) in (None, hash_token(before)):
        digests.append(hash_token(before))
    return list(dict.fromkeys([*digests, hash_token(plan.content)]))


async def configure_agents(
    client: GatewayClient, agents: Sequence[Agent], record_writes: RecordWrites
) -> Sequence[StepOutcome]:
    """Complete the entries of several agents with one change of the gateway's config.

    Agents without an entry in the config are left out: a patch would create one.
    """
    config = await gateway_api.get_config(client)
    configured = [agent for agent in agents if config_entries.is_configured(agent, config.parsed)]
    entries = config_entries.build_changed_entries(configured, config.parsed)
    if entries:
        as_list = config_entries.has_agent_list(config.parsed)
        patch = config_entries.format_entries(entries, as_list=as_list)
        diffs = [(agent, describe_write(agent, config.parsed)) for agent in configured]
        kind = ConfigChangeKind.CHANGED
        await record_writes(
            [
                ConfigWrite(agent.gateway_key or "", kind, diff, agent)
                for agent, diff in diffs
                if diff
            ]
        )
        await gateway_api.patch_config(client, patch, base_hash=config.hash)
    absent = StepFailure(
        "not_configured", "The configuration of the gateway does not contain the agent yet."
    )
    return [
        StepDone(replace(agent.provisioning_state, is_without_heartbeat=True))
        if agent in configured
        else absent
        for agent in agents
    ]


async def remove_agent(
    client: GatewayClient,
    roster: AgentRoster,
    key: str,
    *,
    agent: Agent | None = None,
    record_writes: RecordWrites | None = None,
) -> bool:
    """Remove an agent with its sessions and files; return whether the gateway had it.

    The gateway's own first agent is never removed.
    """
    if key not in roster.names or key == PROTECTED_KEY:
        return False
    if record_writes is not None:
        removed = {key: config_entries.build_provisioned_entry(agent) if agent else {}}
        diff = compare_entries(removed, {})
        await record_writes([ConfigWrite(key, ConfigChangeKind.REMOVED, diff, agent)])
    await gateway_api.delete_agent(client, key)
    return True


async def remove_agents(client: GatewayClient, keys: Sequence[str]) -> None:
    """Remove several agents, those that the gateway has.

    All are attempted; then the last GatewayError is raised, if there was one.
    """
    roster, last_error = await AgentRoster.load(client), None
    for key in keys:
        try:
            await remove_agent(client, roster, key)
        except GatewayError as error:
            last_error = error
    if last_error is not None:
        raise last_error
