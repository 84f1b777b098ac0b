"""What is to be done next for an agent on its gateway, and when it is too late. Pure.

Every function returns the columns of the agent's row that change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from models import Agent, DesiredState, Step

Change = dict[str, Any]

ORDER = tuple(step for step in Step if step is not Step.REMOVE)

TIME_FOR: Mapping[Step, timedelta] = {
    **dict.fromkeys(Step, timedelta(seconds=60)),
    Step.FILES: timedelta(seconds=120),
    Step.HEARTBEAT: timedelta(seconds=180),  # a gateway may ask to wait a minute
    Step.SCRATCH: timedelta(seconds=120),
    Step.CHECK_IN: timedelta(seconds=180),  # a first turn may take its time (contract, W-29)
    Step.REMOVE: timedelta(seconds=120),
}
"""How long a step may take, with all its attempts, before it has failed."""

FIRST_REST = 2.0  # seconds before something is tried again; each rest is twice as long
LONGEST_REST = 60.0  # seconds
TRY_ANYWAY = timedelta(minutes=10)  # after which what has failed is tried again by itself
MOST_WAKES = 3  # before it is said that an agent does not check in
COMING = timedelta(seconds=45)  # after which a gateway has what it was asked to make, or never
LOST_TWICE = timedelta(days=1)  # in which an agent is made anew once, when its gateway has lost it


@dataclass(frozen=True)
class Fault:
    """What was in the way: a code for machines, a sentence, and one command if one helps.

    `counts` is false for what passes by itself, `is_final` true for what does not pass at all.
    `after` is when the gateway wants to be asked again, in seconds.
    """

    code: str
    reason: str
    command: str | None = None
    after: float | None = None
    counts: bool = True
    is_final: bool = False


class State(StrEnum):
    """How far an agent is on its way to its gateway. The values are part of the API."""

    DONE = "done"
    WORKING = "working"
    WAITING = "waiting"  # its gateway is away
    PAUSED = "paused"  # it is there, and is woken once its board is resumed
    FAILED = "failed"  # why, the failure says
    REMOVING = "removing"


def state(agent: Agent, moment: datetime) -> State | None:
    """Say how far an agent is on its way. None: there is none that it could be on."""
    if agent.desired_state is None:
        return None
    if agent.provision_failure is not None:
        return State.FAILED
    if agent.step is None:
        return State.PAUSED if agent.wants_wake else State.DONE
    if agent.step_deadline_at is not None and agent.step_deadline_at < moment:
        return State.WAITING
    return State.REMOVING if agent.desired_state is DesiredState.GONE else State.WORKING


@dataclass(frozen=True)
class Pace:
    """For how long a step is being taken, with all its attempts, and how long it may be."""

    passed: timedelta
    limit: timedelta


def asked(moment: datetime) -> Change:
    """Begin at the beginning, as if nothing had been tried."""
    return {**_at(Step.CREATE, moment), "provision_failure": None, "wake_attempts": 0}


def leaving(moment: datetime) -> Change:
    """Begin to remove an agent."""
    wanted = {"desired_state": DesiredState.GONE, "wants_wake": False, "checkin_deadline_at": None}
    return {**_at(Step.REMOVE, moment), "provision_failure": None, **wanted}


def may_be_coming(agent: Agent, moment: datetime) -> bool:
    """Say whether an agent that its gateway does not have may still be on its way there."""
    deadline = agent.step_deadline_at
    if agent.listed_at is not None or deadline is None:
        return False
    return moment < deadline - TIME_FOR[Step.REMOVE] + COMING


def onward(agent: Agent, moment: datetime, *, is_paused: bool = False) -> Change:
    """Go on after the step that is done. An agent of a paused board is woken once it resumes."""
    assert agent.step is not None
    done: Change = {"provision_failure": None}
    if agent.step is Step.SCRATCH:
        done["observed_generation"] = agent.generation
        return done | _to_wake(agent, moment, is_paused=is_paused)
    if agent.step is Step.WAKE:
        return done | _woken(agent, moment)
    if agent.step is Step.CHECK_IN:
        return done | nothing() | _awake()
    if agent.step is Step.LISTED:
        done["listed_at"] = moment
    return done | _at(ORDER[ORDER.index(agent.step) + 1], moment)


def checked_in(agent: Agent) -> bool:
    """Say whether an agent has called since it was woken."""
    seen, woken = agent.last_seen_at, agent.woken_at
    return seen is not None and woken is not None and seen >= woken


def silent(agent: Agent, moment: datetime) -> Change:
    """Wake an agent again that was woken and did not call in time, or say that it does not.

    It keeps its token and its session: a turn that is about to check in is not cut off (W-29).
    """
    if agent.wake_attempts < MOST_WAKES:
        return _at(Step.WAKE, moment)
    times = f"{agent.wake_attempts} times"
    fault = Fault(
        "no_check_in",
        f"It was woken {times} and has not called. Look at what it says in its session there.",
        f"openclaw agent --agent {agent.gateway_key} --message 'Are you there?'",
    )
    return {**_failed(agent, fault, moment), "next_step_at": None, "checkin_deadline_at": None}


def again(agent: Agent, moment: datetime, fault: Fault) -> Change:
    """Try a step once more, later; or say that it has failed, when its time is over.

    What has failed is tried again by itself, every few minutes, and stays failed until it is done.
    """
    late = agent.step_deadline_at is None or moment >= agent.step_deadline_at
    if late or fault.is_final:
        return _failed(agent, fault, moment)
    attempts = agent.step_attempts + fault.counts
    wait = timedelta(seconds=max(rest(attempts), fault.after or 0))
    assert agent.step_deadline_at is not None
    return {
        "step_attempts": attempts,
        "next_step_at": min(moment + wait, agent.step_deadline_at),
    }


def lost(agent: Agent, moment: datetime) -> Change:
    """Make an agent anew that its gateway has no more; but only once in a while."""
    before = agent.written.get("lost_at")
    if before and moment - datetime.fromisoformat(before) < LOST_TWICE:
        fault = Fault(
            "lost_again",
            "Its gateway has lost it for the second time. Somebody there removes it:"
            " have it stay, then try again.",
            "openclaw agents list",
        )
        stuck = _failed(agent, fault, moment) | {"step": Step.CREATE, "next_step_at": None}
        return stuck | {"checkin_deadline_at": None}
    fresh = {"written": {"lost_at": moment.isoformat()}, "generation": agent.generation + 1}
    return {**asked(moment), **fresh, **to_be_woken(), "listed_at": None}


def to_be_woken() -> Change:
    """Have an agent woken, though it was before."""
    return {"wants_wake": True, "woken_at": None, "checkin_deadline_at": None}


def _to_wake(agent: Agent, moment: datetime, *, is_paused: bool) -> Change:
    """Wake an agent that is to be woken, wait for one that was, or be done."""
    if not agent.wants_wake:
        return nothing()
    if checked_in(agent):
        return nothing() | _awake()
    deadline = agent.checkin_deadline_at
    if deadline is not None and deadline > moment:
        return _waiting_until(deadline)
    return nothing() if is_paused else _at(Step.WAKE, moment)


def _woken(agent: Agent, moment: datetime) -> Change:
    deadline = moment + TIME_FOR[Step.CHECK_IN]
    return {
        **_waiting_until(deadline),
        "woken_at": moment,
        "wake_attempts": agent.wake_attempts + 1,
        "checkin_deadline_at": deadline,
    }


def _waiting_until(deadline: datetime) -> Change:
    waiting = {"step": Step.CHECK_IN, "step_attempts": 0}
    return {**waiting, "next_step_at": deadline, "step_deadline_at": deadline}


def _awake() -> Change:
    return {"wants_wake": False, "wake_attempts": 0, "checkin_deadline_at": None}


def nothing() -> Change:
    """Have nothing to do."""
    return {"step": None, "step_attempts": 0, "next_step_at": None, "step_deadline_at": None}


def _at(step: Step, moment: datetime) -> Change:
    deadline = moment + TIME_FOR[step]
    start = {"step": step, "step_attempts": 0}
    return {**start, "next_step_at": moment, "step_deadline_at": deadline}


def _failed(agent: Agent, fault: Fault, moment: datetime) -> Change:
    told = {"code": fault.code, "reason": fault.reason, "command": fault.command}
    failure = {"step": agent.step and agent.step.value, **told, "at": moment.isoformat()}
    known = agent.provision_failure
    if known and all(known.get(name) == failure[name] for name in ("step", *told)):
        failure = known
    return {
        "step": Step.CREATE if agent.step is Step.LISTED else agent.step,
        "provision_failure": failure,
        "step_attempts": agent.step_attempts + 1,
        "next_step_at": moment + TRY_ANYWAY,
        "step_deadline_at": None,
    }


def noted(agent: Agent, written: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Return what is kept of an agent, with when each step of this time was done."""
    assert agent.step is not None
    before = {} if agent.step is Step.CREATE else agent.written.get("done_at", {})
    return {**written, "done_at": {**before, agent.step.value: moment.isoformat()}}


def pace(agent: Agent, moment: datetime) -> Pace | None:
    """Say for how long an agent's step is being taken. None: nobody counts."""
    waits = agent.step is Step.CHECK_IN
    deadline = agent.checkin_deadline_at if waits else agent.step_deadline_at
    if agent.step is None or deadline is None:
        return None
    began = agent.woken_at if waits and agent.woken_at else deadline - TIME_FOR[agent.step]
    return Pace(max(moment - began, timedelta()), deadline - began)


def rest(attempts: int) -> float:
    """Return how long to wait before the next try, in seconds, after so many that were in vain."""
    return min(FIRST_REST * 2 ** max(0, attempts - 1), LONGEST_REST)
