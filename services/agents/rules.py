"""How an agent stands, and what it may say of itself. Pure: no database, and no clock."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from kit.errors import Invalid
from kit.text import storable
from models import Agent, AgentStatus

OFFLINE_AFTER = timedelta(minutes=10)  # AGENT_OFFLINE_AFTER, unless it is set otherwise
USUAL_CADENCE = timedelta(minutes=10)  # of an agent that does not say how often it checks in
LONGEST_CADENCE = timedelta(days=7)
DEFAULT_HEARTBEAT = {"every": "10m", "target": "last", "includeReasoning": False}
TOUCH_EVERY = timedelta(seconds=30)  # an agent seen so recently is not written down again

LONGEST_STATUS = 40  # characters

EVERY = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)")
UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
NOT_FROM_AGENTS = (AgentStatus.DELETING, AgentStatus.UPDATING)


class State(StrEnum):
    """What people see of an agent."""

    WORKING = "working"
    IDLE = "idle"
    LATE = "late"
    OFFLINE = "offline"
    PROVISIONING = "provisioning"
    AWAY = "away"  # its gateway is, so nobody knows


class Sign(StrEnum):
    """By what we know how an agent stands. The values are part of the API."""

    CALL = "call"  # it has called the API
    GATEWAY = "gateway"  # its gateway has it
    FAILURE = "failure"  # it could not be brought to its gateway, or does not answer there
    WAITING = "waiting"  # it was asked for, and its gateway is away
    NOTHING = "nothing"


@dataclass(frozen=True)
class Evidence:
    """By what we know how an agent stands, and of when that is."""

    by: Sign
    at: datetime | None = None


def duration(text: str) -> timedelta | None:
    """Read `10m`, `30s` or `1h30m`. None if it is no duration."""
    parts = EVERY.findall(text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    if any(float(number) > 1_000_000 for number, _ in parts):
        return LONGEST_CADENCE
    total = sum((float(number) * UNITS[unit] for number, unit in parts), timedelta())
    return min(total, LONGEST_CADENCE)


def cadence(agent: Agent) -> timedelta | None:
    """Return how often an agent means to check in. None if it doesn't mean to at all (`0m`)."""
    every = (agent.heartbeat_config or {}).get("every")
    found = duration(every) if isinstance(every, str) else None
    if found is None:
        return USUAL_CADENCE
    return found or None


def offline_after(agent: Agent, least: timedelta = OFFLINE_AFTER) -> timedelta:
    """Return how long an agent may be silent before it is offline."""
    return max(least, 2 * (cadence(agent) or timedelta()))


def status(agent: Agent, moment: datetime, least: timedelta = OFFLINE_AFTER) -> str:
    """Return the computed status of an agent (contract, agents 2.5)."""
    return agent.status_at(moment, offline_after=offline_after(agent, least))


def state(
    agent: Agent,
    moment: datetime,
    *,
    working: bool,
    running: bool = False,
    away: bool = False,
    least: timedelta = OFFLINE_AFTER,
) -> State:
    """Return what people see of an agent that has, or has not, a task in progress.

    And of one for which a run goes on at its gateway: so long it is at work, whether it calls us or
    not. While its gateway is `away`, and the agent has not called since, all that was known of it
    counts no more.
    """
    known = status(agent, moment, least)
    if known == AgentStatus.DELETING:
        return State.OFFLINE
    if away:
        return State.AWAY
    if known in (AgentStatus.PROVISIONING, AgentStatus.UPDATING):
        return State.PROVISIONING
    if known == AgentStatus.OFFLINE and not running:
        return State.OFFLINE
    return _work(agent, moment, working=working, running=running)


def _work(agent: Agent, moment: datetime, *, working: bool, running: bool) -> State:
    """Return what people see of an agent that is there."""
    if not running and _is_overdue(agent, moment):
        return State.LATE
    return State.WORKING if working or running else State.IDLE


def is_late(agent: Agent, moment: datetime, least: timedelta = OFFLINE_AFTER) -> bool:
    """Say whether an agent that is still there has been silent for longer than it means to be."""
    return state(agent, moment, working=False, least=least) is State.LATE


def _is_overdue(agent: Agent, moment: datetime) -> bool:
    """Say whether an agent was silent for longer than its cadence.

    And for what we might not have written down, because it was seen a moment before. Who calls only
    when something waits for it is never overdue.
    """
    expected = cadence(agent)
    if expected is None or agent.last_seen_at is None or agent.is_kept:
        return False
    return moment - agent.last_seen_at > expected + TOUCH_EVERY


def evidence(agent: Agent, moment: datetime) -> Evidence:
    """Say by what we know how an agent stands: the latest sign, or what is in the way."""
    known_at, late = agent.known_at, agent.step_deadline_at
    failure = agent.provision_failure
    if failure is not None:
        failed_at = datetime.fromisoformat(failure["at"])
        if known_at is None or known_at < failed_at:
            return Evidence(Sign.FAILURE, failed_at)
    if late is not None and late < moment and (known_at is None or known_at < late):
        return Evidence(Sign.WAITING, late)
    if known_at is None:
        return Evidence(Sign.NOTHING)
    return Evidence(Sign.CALL if known_at == agent.last_seen_at else Sign.GATEWAY, known_at)


def seen_status(agent: Agent, moment: datetime, least: timedelta = OFFLINE_AFTER) -> str:
    """Return the status of an agent that is seen at a moment. A word of its own stays."""
    away = (AgentStatus.PROVISIONING, AgentStatus.OFFLINE)
    return AgentStatus.ONLINE if status(agent, moment, least) in away else agent.status


def checked_status(word: str | None) -> str | None:
    """Return the status that an agent reports of itself, None if it reports nothing."""
    word = (word or "").strip()
    if not word:
        return None
    if len(word) > LONGEST_STATUS or not (word.isprintable() and storable(word)):
        reason = f"A status is a word of at most {LONGEST_STATUS} characters."
        raise Invalid("status_invalid", reason, field="status")
    if word in NOT_FROM_AGENTS:
        raise Invalid("status_invalid", f"An agent does not report {word}.", field="status")
    return word
