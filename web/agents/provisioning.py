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
from web.agents.problem_texts import describe_failure, describe_step_error
from web.gateways.presenter import describe_outage
from web.ui.translation import _

CREATE_STEPS = (ProvisioningStep.CREATE, ProvisioningStep.LISTED, ProvisioningStep.NAME)
FILE_STEPS = (ProvisioningStep.FILES,)
HEARTBEAT_STEPS = (ProvisioningStep.HEARTBEAT, ProvisioningStep.SCRATCH)
WAKE_STEPS = (ProvisioningStep.WAKE,)
CHECK_IN_STEPS = (ProvisioningStep.CHECK_IN,)
STEP_GROUPS = (CREATE_STEPS, FILE_STEPS, HEARTBEAT_STEPS, WAKE_STEPS, CHECK_IN_STEPS)
UPDATE_STEP_GROUPS = (CREATE_STEPS, FILE_STEPS, HEARTBEAT_STEPS)


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
    if agent.step is ProvisioningStep.REMOVE:
        return [
            _build_open_step(
                agent, _("%(gateway)s removes it", gateway=gateway.name), gateway, moment
            )
        ]
    groups = UPDATE_STEP_GROUPS if _is_update_only(agent) else STEP_GROUPS
    done = _count_done_groups(agent, groups)
    titles = _step_titles(agent, gateway)
    return [
        _build_step(place, done, group, titles[place], agent, gateway, moment)
        for place, group in enumerate(groups)
    ]


def find_current_step(agent: Agent, gateway: Gateway, moment: datetime) -> ProgressStep:
    """Return the step in progress or failed, or the last step if all are done."""
    found = build_steps(agent, gateway, moment)
    return next((one for one in found if one.state in ("now", "fail")), found[-1])


def _is_update_only(agent: Agent) -> bool:
    """Return whether an agent that was online only gets changes, and need not be woken."""
    was_there = agent.last_seen_at is not None or bool(agent.observed_generation)
    is_at_rest = agent.step is None and agent.last_seen_at is not None
    return was_there and not agent.wants_wake and not is_at_rest


def _count_done_groups(agent: Agent, groups: Sequence[Sequence[ProvisioningStep]]) -> int:
    """Return the number of completed step groups."""
    if agent.step is not None:
        return next((place for place, group in enumerate(groups) if agent.step in group), 0)
    if agent.last_seen_at is not None and not agent.wants_wake:
        return len(groups)
    return len(UPDATE_STEP_GROUPS) if agent.observed_generation else 0


def _step_titles(agent: Agent, gateway: Gateway) -> Sequence[str]:
    names = {"agent": agent.name, "gateway": gateway.name}
    has_called = agent.last_seen_at is not None
    return (
        _("%(agent)s is created on %(gateway)s", **names),
        _("Its files are written"),
        _("Its configuration entry is complete"),
        _("%(agent)s is woken", **names),
        _("%(agent)s has called", **names)
        if has_called
        else _("%(agent)s calls for the first time", **names),
    )


def _build_step(
    place: int,
    done: int,
    group: Sequence[ProvisioningStep],
    title: str,
    agent: Agent,
    gateway: Gateway,
    moment: datetime,
) -> ProgressStep:
    if place < done:
        return ProgressStep("done", title, done_at=_step_done_at(agent, group[-1]))
    return (
        _build_open_step(agent, title, gateway, moment)
        if place == done
        else ProgressStep("todo", title)
    )


def _build_open_step(agent: Agent, title: str, gateway: Gateway, moment: datetime) -> ProgressStep:
    """Return the step that is in progress, has failed, or waits until the board is resumed."""
    if agent.step is None and agent.observed_generation:
        detail = _("Its board is paused. It is woken when the board is resumed.")
        return ProgressStep("todo", title, detail)
    if agent.provision_failure:
        command = str(agent.provision_failure.get("command") or "")
        return ProgressStep("fail", title, describe_failure(agent), command=command)
    outage = describe_outage(gateway, moment)
    elapsed = "" if outage else _describe_elapsed(agent, moment)
    return ProgressStep("now", title, _describe_attempts(agent, outage), elapsed)


def _describe_attempts(agent: Agent, outage: str) -> str:
    if outage:
        return _(
            "%(problem)s It continues automatically when the gateway is available again.",
            problem=outage,
        )
    if agent.step is ProvisioningStep.CHECK_IN and agent.wake_attempts:
        return _describe_wakes(agent)
    tried = ""
    if agent.step_attempts > 1:
        tried = _("Tried %(count)d times so far.", count=agent.step_attempts)
    return f"{tried} {describe_step_error(agent)}".strip()


def _describe_wakes(agent: Agent) -> str:
    if agent.wake_attempts == 1:
        return _("%(agent)s was woken once.", agent=agent.name)
    return _("%(agent)s was woken %(count)d times.", agent=agent.name, count=agent.wake_attempts)


def _describe_elapsed(agent: Agent, moment: datetime) -> str:
    """Format the elapsed time of the step and its limit."""
    pace = provisioning.step_duration(agent, moment)
    if pace is None:
        return ""
    passed, limit = format_duration(pace.passed), format_duration(pace.limit)
    return _("%(passed)s of %(limit)s", passed=passed, limit=limit)


def _step_done_at(agent: Agent, last: ProvisioningStep) -> datetime | None:
    if last is ProvisioningStep.WAKE:
        return agent.woken_at
    if last is ProvisioningStep.CHECK_IN:
        return agent.last_seen_at
    return agent.provisioning_state.step_times.get(last.value)


@dataclass(frozen=True)
class LeadLaunch:
    """Progress of a board lead after the goal was confirmed."""

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
) -> LeadLaunch:
    """Return the steps from the confirmed goal to the first call of the lead."""
    confirmed = ProgressStep("done", _("Objective confirmed"), done_at=confirmed_at)
    return LeadLaunch([confirmed, *build_steps(lead, gateway, moment)])


@dataclass(frozen=True)
class ProvisioningProgress:
    """Provisioning steps of an agent, and the available actions."""

    gateway: Gateway
    is_gateway_unreachable: bool
    steps: Sequence[ProgressStep]
    is_being_removed: bool
    is_update_only: bool  # the agent has been online before
    retry_wakes: bool
    modified_files: str  # files changed by the agent, separated by commas

    @property
    def is_complete(self) -> bool:
        """Return whether all steps are done."""
        return all(one.state == "done" for one in self.steps)

    @property
    def has_failed(self) -> bool:
        """Return whether a step failed."""
        return any(one.state == "fail" for one in self.steps)


def build_progress(agent: Agent, gateway: Gateway | None) -> ProvisioningProgress | None:
    """Return the provisioning progress of an agent, or None if no gateway provisions it."""
    if gateway is None or agent.desired_state is None:
        return None
    failure = agent.provision_failure or {}
    return ProvisioningProgress(
        gateway,
        gateway_status.unreachable_since(gateway, now()) is not None,
        build_steps(agent, gateway, now()),
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
    """Return the provisioned agents of a gateway, each with its current step."""
    cards = await agents.list_agent_cards(
        source, member, gateway_id=gateway.id, offline_after=offline_after
    )
    moment = now()
    managed = [card for card in cards if card.agent.desired_state is not None]
    return [
        AgentSyncProgress(card, find_current_step(card.agent, gateway, moment)) for card in managed
    ]
