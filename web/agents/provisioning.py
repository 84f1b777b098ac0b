"""Provisioning steps of an agent on its gateway as the pages show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import now
from core.db.reads import Source
from models import Agent, DesiredState, Gateway, Member, ProvisioningStep
from services import agents, gateway_status
from services.agents import AgentCard
from services.gateways import provisioning
from web.agents.presenter import format_duration
from web.agents.problem_texts import describe_failure, describe_problem
from web.gateways.presenter import describe_outage
from web.ui.translation import _

UPDATE_STEP_GROUPS = (
    (ProvisioningStep.CREATE, ProvisioningStep.LISTED, ProvisioningStep.NAME),
    (ProvisioningStep.FILES,),
    (ProvisioningStep.HEARTBEAT, ProvisioningStep.SCRATCH),
)
STEP_GROUPS = (*UPDATE_STEP_GROUPS, (ProvisioningStep.WAKE,), (ProvisioningStep.CHECK_IN,))


@dataclass(frozen=True)
class ProgressStep:
    """A step of a progress list; `state` is `done`, `now`, `fail` or `todo`."""

    state: str
    title: str
    detail: str = ""
    elapsed: str = ""
    command: str = ""
    done_at: datetime | None = None


def build_steps(agent: Agent, gateway: Gateway, moment: datetime) -> Sequence[ProgressStep]:
    """Return the steps of provisioning an agent, or of removing it."""
    names = {"agent": agent.name, "gateway": gateway.name}
    if agent.step is ProvisioningStep.REMOVE:
        title = _("%(gateway)s removes it", gateway=gateway.name)
        return [_build_open_step(agent, title, gateway, moment)]
    has_called = agent.last_seen_at is not None
    titles = (
        _("%(agent)s is created on %(gateway)s", **names),
        _("Its files are written"),
        _("Its configuration entry is complete"),
        _("%(agent)s is woken", **names),
        _("%(agent)s has called", **names)
        if has_called
        else _("%(agent)s calls for the first time", **names),
    )
    was_there = has_called or bool(agent.observed_generation)
    is_at_rest = agent.step is None and has_called
    # An agent that was online only gets changes, and need not be woken.
    is_update_only = was_there and not agent.wants_wake and not is_at_rest
    groups = UPDATE_STEP_GROUPS if is_update_only else STEP_GROUPS
    done_count = _count_done_groups(agent, groups)
    steps = []
    for place, (group, title) in enumerate(zip(groups, titles, strict=False)):
        if place < done_count:
            steps.append(ProgressStep("done", title, done_at=_find_end(agent, group[-1])))
        elif place == done_count:
            steps.append(_build_open_step(agent, title, gateway, moment))
        else:
            steps.append(ProgressStep("todo", title))
    return steps


def _count_done_groups(agent: Agent, groups: Sequence[Sequence[ProvisioningStep]]) -> int:
    """Return the number of completed step groups."""
    if agent.step is not None:
        return next((place for place, group in enumerate(groups) if agent.step in group), 0)
    if agent.last_seen_at is not None and not agent.wants_wake:
        return len(groups)
    return len(UPDATE_STEP_GROUPS) if agent.observed_generation else 0


def _find_end(agent: Agent, last: ProvisioningStep) -> datetime | None:
    """Return when a completed step was completed, as far as that is known."""
    if last is ProvisioningStep.WAKE:
        return agent.woken_at
    if last is ProvisioningStep.CHECK_IN:
        return agent.last_seen_at
    return agent.provisioning_state.step_times.get(last.value)


def _build_open_step(agent: Agent, title: str, gateway: Gateway, moment: datetime) -> ProgressStep:
    """Return the step that is in progress, has failed, or waits until the board is resumed."""
    if agent.step is None and agent.observed_generation:
        detail = _("Its board is paused. It is woken when the board is resumed.")
        return ProgressStep("todo", title, detail)
    if agent.provision_failure:
        command = str(agent.provision_failure.get("command") or "")
        return ProgressStep("fail", title, describe_failure(agent), command=command)
    outage, elapsed = describe_outage(gateway, moment), ""
    if not outage and (pace := provisioning.step_duration(agent, moment)):
        passed, limit = format_duration(pace.passed), format_duration(pace.limit)
        elapsed = _("%(passed)s of %(limit)s", passed=passed, limit=limit)
    return ProgressStep("now", title, _describe_attempts(agent, outage), elapsed)


def _describe_attempts(agent: Agent, outage: str) -> str:
    if outage:
        return _(
            "%(problem)s It continues automatically when the gateway is available again.",
            problem=outage,
        )
    if agent.step is ProvisioningStep.CHECK_IN and agent.wake_attempts:
        if agent.wake_attempts == 1:
            return _("%(agent)s was woken once.", agent=agent.name)
        count = agent.wake_attempts
        return _("%(agent)s was woken %(count)d times.", agent=agent.name, count=count)
    tried = ""
    if agent.step_attempts > 1:
        tried = _("Tried %(count)d times so far.", count=agent.step_attempts)
    return f"{tried} {describe_problem(agent, agent.step_error or {})}".strip()


@dataclass(frozen=True)
class Progress:
    """The steps of something that takes a while."""

    steps: Sequence[ProgressStep]

    @property
    def is_complete(self) -> bool:
        """Return whether all steps are done."""
        return all(one.state == "done" for one in self.steps)

    @property
    def has_failed(self) -> bool:
        """Return whether a step failed."""
        return any(one.state == "fail" for one in self.steps)


def build_lead_launch(
    lead: Agent, gateway: Gateway, moment: datetime, *, confirmed_at: datetime | None = None
) -> Progress:
    """Return the steps from the confirmed goal to the first call of the lead."""
    confirmed = ProgressStep("done", _("Objective confirmed"), done_at=confirmed_at)
    return Progress([confirmed, *build_steps(lead, gateway, moment)])


@dataclass(frozen=True)
class ProvisioningProgress(Progress):
    """Provisioning steps of an agent, and the available actions."""

    gateway: Gateway
    is_gateway_unreachable: bool
    is_being_removed: bool
    is_update_only: bool  # the agent has been online before
    retry_wakes: bool
    modified_files: str  # files changed by the agent, separated by commas


def build_progress(agent: Agent, gateway: Gateway | None) -> ProvisioningProgress | None:
    """Return the provisioning progress of an agent, or None if no gateway provisions it."""
    if gateway is None or agent.desired_state is None:
        return None
    failure = agent.provision_failure or {}
    return ProvisioningProgress(
        build_steps(agent, gateway, now()),
        gateway,
        gateway_status.unreachable_since(gateway, now()) is not None,
        is_being_removed=agent.desired_state is DesiredState.GONE,
        is_update_only=bool(agent.observed_generation) and agent.last_seen_at is not None,
        retry_wakes=failure.get("step") == ProvisioningStep.CHECK_IN.value,
        modified_files=", ".join(agent.provisioning_state.kept_files),
    )


@dataclass(frozen=True)
class AgentSyncProgress:
    """An agent, and its current provisioning step."""

    card: AgentCard
    step: ProgressStep


async def list_sync_progress(
    source: Source, member: Member, gateway: Gateway, *, offline_after: timedelta
) -> Sequence[AgentSyncProgress]:
    """Return the provisioned agents of a gateway, each with its current step.

    It is the one in progress or failed, or the last one if all are done.
    """
    cards = await agents.list_agent_cards(
        source, member, gateway_id=gateway.id, offline_after=offline_after
    )
    moment, found = now(), []
    for card in cards:
        if card.agent.desired_state is not None:
            steps = build_steps(card.agent, gateway, moment)
            current = next((one for one in steps if one.state in ("now", "fail")), steps[-1])
            found.append(AgentSyncProgress(card, current))
    return found
