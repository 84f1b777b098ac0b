"""The state machine of provisioning: which step follows, when, and which event that records.

Pure functions. A transition holds the columns of the agent's row that change; functions that
return ColumnChanges record no event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from models import Agent, DesiredState, EventType, ProvisioningState, ProvisioningStep
from services.desired_state import (
    STEP_TIMEOUTS,
    ColumnChanges,
    begin_sync,
    clear_step,
    request_wake,
    start_step,
)
from services.gateways.provisioning.failures import StepFailure, is_unlisted

STEP_ORDER = tuple(step for step in ProvisioningStep if step is not ProvisioningStep.REMOVE)

FIRST_RETRY_DELAY = 2.0  # seconds; doubled with each attempt
MAX_RETRY_DELAY = 60.0  # seconds
FAILED_STEP_RETRY_AFTER = timedelta(minutes=10)  # a failed step is retried automatically
MAX_WAKES = 3  # then the agent counts as not responding
CREATION_TIMEOUT = timedelta(seconds=45)  # a requested agent is listed within this time, or never
UNLISTED_RETRY_AFTER = timedelta(minutes=1)  # somebody has to restart the gateway
RECREATE_AT_MOST_EVERY = timedelta(days=1)  # if the gateway lost the agent


class ProvisioningStatus(StrEnum):
    """The progress of an agent's provisioning. The values are part of the API."""

    DONE = "done"
    WORKING = "working"
    WAITING = "waiting"  # for its gateway, which is unreachable
    PAUSED = "paused"  # the agent is up to date and is woken when its board is resumed
    FAILED = "failed"  # the agent's `provision_failure` has the reason
    REMOVING = "removing"


@dataclass(frozen=True)
class StepDuration:
    """How long the current step has taken, with all its attempts, and how long it may take."""

    passed: timedelta
    limit: timedelta


@dataclass(frozen=True)
class Transition:
    """A change of an agent's row, and the event that it records, if any."""

    columns: ColumnChanges
    event: EventType | None = None
    event_data: Mapping[str, Any] = field(default_factory=dict)

    def with_columns(self, **columns: Any) -> "Transition":
        """Return the same transition with more columns."""
        return replace(self, columns=self.columns | columns)


def provisioning_status(agent: Agent, moment: datetime) -> ProvisioningStatus | None:
    """Return the progress of an agent's provisioning; None if the agent is not provisioned."""
    if agent.desired_state is None:
        return None
    if agent.provision_failure is not None:
        return ProvisioningStatus.FAILED
    if agent.step is None:
        return ProvisioningStatus.PAUSED if agent.wants_wake else ProvisioningStatus.DONE
    if agent.step_deadline_at is not None and agent.step_deadline_at < moment:
        return ProvisioningStatus.WAITING
    is_removed = agent.desired_state is DesiredState.GONE
    return ProvisioningStatus.REMOVING if is_removed else ProvisioningStatus.WORKING


def step_duration(agent: Agent, moment: datetime) -> StepDuration | None:
    """Return how long the current step has taken; None if no step has a deadline."""
    is_check_in = agent.step is ProvisioningStep.CHECK_IN
    deadline = agent.checkin_deadline_at if is_check_in else agent.step_deadline_at
    if agent.step is None or deadline is None:
        return None
    started_at = deadline - STEP_TIMEOUTS[agent.step]
    if is_check_in and agent.woken_at:
        started_at = agent.woken_at
    return StepDuration(max(moment - started_at, timedelta()), deadline - started_at)


def may_still_be_created(agent: Agent, moment: datetime) -> bool:
    """Return whether the gateway may still be creating an agent that it does not list."""
    deadline = agent.step_deadline_at
    if agent.listed_at is not None or deadline is None:
        return False
    return moment < deadline - STEP_TIMEOUTS[ProvisioningStep.REMOVE] + CREATION_TIMEOUT


def complete_step(agent: Agent, moment: datetime, *, is_paused: bool = False) -> Transition:
    """Return the transition after the current step. Agents of a paused board are not woken."""
    assert agent.step is not None
    if is_unlisted(agent) and agent.step is ProvisioningStep.CREATE:
        # The gateway accepts it again and again, and may still not list it.
        return Transition(start_step(ProvisioningStep.LISTED, moment))
    done: ColumnChanges = {"provision_failure": None}
    event = EventType.AGENT_SYNCED if agent.provision_failure else None
    if agent.step is ProvisioningStep.SCRATCH:
        done["observed_generation"] = agent.generation
        columns = done | _wake_or_finish(agent, moment, is_paused=is_paused)
        is_first = agent.observed_generation == 0
        completed = EventType.AGENT_PROVISIONED if is_first else EventType.AGENT_SYNCED
        return Transition(columns, completed)
    if agent.step is ProvisioningStep.WAKE:
        deadline = moment + STEP_TIMEOUTS[ProvisioningStep.CHECK_IN]
        woken = {"woken_at": moment, "wake_attempts": agent.wake_attempts + 1}
        woken |= {"checkin_deadline_at": deadline, **_check_in_step(deadline)}
        return Transition(done | woken, event)
    if agent.step is ProvisioningStep.CHECK_IN:
        return Transition(done | clear_step() | _clear_wake(), event)
    if agent.step is ProvisioningStep.LISTED:
        done["listed_at"] = moment
    following = STEP_ORDER[STEP_ORDER.index(agent.step) + 1]
    return Transition(done | start_step(following, moment), event)


def has_checked_in(agent: Agent) -> bool:
    """Return whether an agent has called the API since it was woken."""
    seen, woken = agent.last_seen_at, agent.woken_at
    return seen is not None and woken is not None and seen >= woken


def retry_wake_or_fail(agent: Agent, moment: datetime) -> Transition:
    """Wake an agent again that did not check in in time, or fail after MAX_WAKES attempts.

    Its token and session stay: a turn that is about to check in must not be aborted.
    """
    if agent.wake_attempts < MAX_WAKES:
        return Transition(start_step(ProvisioningStep.WAKE, moment))
    failure = StepFailure(
        "no_check_in",
        f"It was woken {agent.wake_attempts} times and has not called. Read its session on the"
        " gateway.",
        f"openclaw agent --agent {agent.gateway_key} --message 'Are you there?'",
    )
    failed = _fail_step(agent, failure, moment)
    return failed.with_columns(next_step_at=None, checkin_deadline_at=None)


def schedule_retry(agent: Agent, moment: datetime, failure: StepFailure) -> Transition:
    """Retry a step later, or mark it as failed when its time is over or retries cannot help.

    A failed step is retried every few minutes, and stays marked as failed until it succeeds.
    """
    is_late = agent.step_deadline_at is None or moment >= agent.step_deadline_at
    if is_late or failure.is_permanent:
        return _fail_step(agent, failure, moment)
    attempts = agent.step_attempts + failure.counts_as_attempt
    delay = timedelta(seconds=max(retry_delay(attempts), failure.retry_after or 0))
    assert agent.step_deadline_at is not None
    next_at = min(moment + delay, agent.step_deadline_at)
    columns = {"step_attempts": attempts, "next_step_at": next_at}
    return Transition({**columns, "step_error": failure.to_row(agent.step, moment)})


def recreate_lost_agent(agent: Agent, moment: datetime) -> Transition:
    """Create an agent again that its gateway has lost, or fail if that happened recently."""
    lost_at = agent.provisioning_state.lost_at
    if lost_at and moment - lost_at < RECREATE_AT_MOST_EVERY:
        failure = StepFailure(
            "lost_again",
            "The gateway has lost the agent for the second time: somebody removes it there. Make"
            " sure that it stays, then try again.",
            "openclaw agents list",
        )
        failed = _fail_step(agent, failure, moment)
        return failed.with_columns(
            step=ProvisioningStep.CREATE, next_step_at=None, checkin_deadline_at=None
        )
    fresh = {
        "provisioning_state": ProvisioningState(lost_at=moment),
        "generation": agent.generation + 1,
        "listed_at": None,
    }
    return Transition(
        {**begin_sync(moment), **fresh, **request_wake()},
        EventType.AGENT_LOST,
    )


def retry_delay(attempts: int) -> float:
    """Return the delay before the next attempt, in seconds, after some failed ones."""
    return min(FIRST_RETRY_DELAY * 2 ** max(0, attempts - 1), MAX_RETRY_DELAY)


def _wake_or_finish(agent: Agent, moment: datetime, *, is_paused: bool) -> ColumnChanges:
    """Wake an agent if requested, wait for the check-in of a woken one, or finish."""
    if not agent.wants_wake:
        return clear_step()
    if has_checked_in(agent):
        return clear_step() | _clear_wake()
    deadline = agent.checkin_deadline_at
    if deadline is not None and deadline > moment:
        return _check_in_step(deadline)
    return clear_step() if is_paused else start_step(ProvisioningStep.WAKE, moment)


def _check_in_step(deadline: datetime) -> ColumnChanges:
    step = {"step": ProvisioningStep.CHECK_IN, "step_attempts": 0, "step_error": None}
    return {**step, "next_step_at": deadline, "step_deadline_at": deadline}


def _clear_wake() -> ColumnChanges:
    return {"wants_wake": False, "wake_attempts": 0, "checkin_deadline_at": None}


def _fail_step(agent: Agent, failure: StepFailure, moment: datetime) -> Transition:
    """Mark the step as failed. Only a failure that differs from the recorded one is an event."""
    new, known = failure.to_row(agent.step, moment), agent.provision_failure
    facts = ("step", "code", "reason", "command")
    is_known = known is not None and all(known.get(name) == new[name] for name in facts)
    is_listing = agent.step is ProvisioningStep.LISTED
    columns = {
        "step": ProvisioningStep.CREATE if is_listing else agent.step,
        "provision_failure": known if is_known else new,
        "step_attempts": agent.step_attempts + 1,
        "step_error": None,
        "next_step_at": moment + (UNLISTED_RETRY_AFTER if is_listing else FAILED_STEP_RETRY_AFTER),
        "step_deadline_at": None,
    }
    data = {"reason": new["reason"], "step": new["step"]}
    if is_known:
        return Transition(columns, None, data)
    if agent.desired_state is DesiredState.GONE:
        return Transition(columns, EventType.AGENT_DELETE_FAILED, data)
    is_first = agent.observed_generation == 0
    failed = EventType.AGENT_PROVISION_FAILED if is_first else EventType.AGENT_UPDATE_FAILED
    return Transition(columns, failed, data)
