"""Rules for agents: computed status and state, and validation of fields. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from core.clock import parse_duration
from core.errors import Invalid
from core.text import is_storable
from core.validation import (
    FieldCheck,
    json_object,
    nonblank_text,
    optional,
    trimmed_text,
    validate_fields,
)
from models import Agent, AgentStatus

OFFLINE_AFTER = timedelta(minutes=10)  # the default of AGENT_OFFLINE_AFTER
DEFAULT_HEARTBEAT_INTERVAL = timedelta(minutes=10)  # of an agent that configures none
DEFAULT_HEARTBEAT = {"every": "10m", "target": "last", "includeReasoning": False}
TOUCH_INTERVAL = timedelta(seconds=30)  # a call within this time after the last one is not recorded

MAX_STATUS_LENGTH = 40  # characters
RESERVED_STATUSES = (AgentStatus.DELETING, AgentStatus.UPDATING)


class AgentState(StrEnum):
    """The state of an agent as pages show it."""

    WORKING = "working"
    IDLE = "idle"
    LATE = "late"
    OFFLINE = "offline"
    PROVISIONING = "provisioning"
    AWAY = "away"  # its gateway is unreachable, so the state is unknown


class StatusSource(StrEnum):
    """What the known status of an agent is based on. The values are part of the API."""

    CALL = "call"  # it has called the API
    GATEWAY = "gateway"  # its gateway lists it
    FAILURE = "failure"  # provisioning failed, or it does not respond on its gateway
    WAITING = "waiting"  # provisioning is requested, and its gateway is unreachable
    NOTHING = "nothing"


@dataclass(frozen=True)
class StatusEvidence:
    """What the known status of an agent is based on, and from when that is."""

    source: StatusSource
    at: datetime | None = None


def heartbeat_interval(agent: Agent) -> timedelta | None:
    """Return the configured heartbeat interval; None if the agent sends no heartbeats (`0m`)."""
    every = (agent.heartbeat_config or {}).get("every")
    found = parse_duration(every) if isinstance(every, str) else None
    if found is None:
        return DEFAULT_HEARTBEAT_INTERVAL
    return found or None


def offline_threshold(agent: Agent, minimum: timedelta = OFFLINE_AFTER) -> timedelta:
    """Return how long an agent may be silent before it is offline: at least `minimum`."""
    return max(minimum, 2 * (heartbeat_interval(agent) or timedelta()))


def compute_status(agent: Agent, at: datetime, minimum: timedelta = OFFLINE_AFTER) -> str:
    """Return the computed status of an agent (contract, agents 2.5)."""
    return agent.compute_status_at(at, offline_after=offline_threshold(agent, minimum))


def compute_state(
    agent: Agent,
    moment: datetime,
    *,
    working: bool,
    running: bool = False,
    away: bool = False,
    minimum: timedelta = OFFLINE_AFTER,
) -> AgentState:
    """Return the state that pages show of an agent.

    `working`: it has a task in progress. `running`: a run is in progress on its gateway, so it is
    at work whether it calls us or not. `away`: its gateway is unreachable and the agent has not
    called since, so nothing older counts.
    """
    status = compute_status(agent, moment, minimum)
    if status == AgentStatus.DELETING:
        return AgentState.OFFLINE
    if away:
        return AgentState.AWAY
    if status in (AgentStatus.PROVISIONING, AgentStatus.UPDATING):
        return AgentState.PROVISIONING
    if status == AgentStatus.OFFLINE and not running:
        return AgentState.OFFLINE
    return _compute_activity(agent, moment, working=working, running=running)


def _compute_activity(
    agent: Agent, moment: datetime, *, working: bool, running: bool
) -> AgentState:
    """Return the state of an agent that is reachable."""
    if not running and _is_overdue(agent, moment):
        return AgentState.LATE
    return AgentState.WORKING if working or running else AgentState.IDLE


def is_late(agent: Agent, moment: datetime, minimum: timedelta = OFFLINE_AFTER) -> bool:
    """Return whether an agent is still online and silent for longer than its heartbeat interval."""
    if not _is_overdue(agent, moment):
        return False
    return compute_state(agent, moment, working=False, minimum=minimum) is AgentState.LATE


def _is_overdue(agent: Agent, moment: datetime) -> bool:
    """Return whether an agent has been silent for longer than its heartbeat interval.

    TOUCH_INTERVAL is added, because a call within that time is not recorded. Agents that call only
    when something waits for them are never overdue.
    """
    expected = heartbeat_interval(agent)
    if expected is None or agent.last_seen_at is None or agent.is_confirmed_by_gateway:
        return False
    return moment - agent.last_seen_at > expected + TOUCH_INTERVAL


def find_status_evidence(agent: Agent, at: datetime) -> StatusEvidence:
    """Return what the status of an agent is based on: the latest contact, or a failure."""
    known_at, deadline = agent.last_confirmed_at, agent.step_deadline_at
    failure = agent.provision_failure
    if failure is not None:
        failed_at = datetime.fromisoformat(failure["at"])
        if known_at is None or known_at < failed_at:
            return StatusEvidence(StatusSource.FAILURE, failed_at)
    if deadline is not None and deadline < at and (known_at is None or known_at < deadline):
        return StatusEvidence(StatusSource.WAITING, deadline)
    if known_at is None:
        return StatusEvidence(StatusSource.NOTHING)
    return StatusEvidence(
        StatusSource.CALL if known_at == agent.last_seen_at else StatusSource.GATEWAY, known_at
    )


def status_after_contact(agent: Agent, moment: datetime, minimum: timedelta = OFFLINE_AFTER) -> str:
    """Return the status of an agent that calls now. A status that it has reported itself stays."""
    away = (AgentStatus.PROVISIONING, AgentStatus.OFFLINE)
    return AgentStatus.ONLINE if compute_status(agent, moment, minimum) in away else agent.status


def validate_reported_status(word: str | None) -> str | None:
    """Return the status that an agent reports, or None if it reports none. Raises Invalid."""
    word = (word or "").strip()
    if not word:
        return None
    if len(word) > MAX_STATUS_LENGTH or not (word.isprintable() and is_storable(word)):
        reason = f"A status is a word of at most {MAX_STATUS_LENGTH} characters."
        raise Invalid("status_invalid", reason, field="status")
    if word in RESERVED_STATUSES:
        raise Invalid("status_invalid", f"An agent does not report {word}.", field="status")
    return word


MAX_NAME_LENGTH = 100  # characters
MAX_TEMPLATE_LENGTH = 100_000  # characters
MAX_JSON_LENGTH = 64 * 1024  # characters

_validate_name = nonblank_text(MAX_NAME_LENGTH)
_validate_json = json_object(MAX_JSON_LENGTH)
_validate_template_text = optional(trimmed_text(MAX_TEMPLATE_LENGTH))


@dataclass(frozen=True, kw_only=True)
class AgentDraft:
    """The fields of a new agent that the caller chooses; its board and token are set separately."""

    name: str
    heartbeat_config: Mapping[str, Any] | None = None
    identity_profile: Mapping[str, Any] | None = None
    identity_template: str | None = None
    soul_template: str | None = None


def validate_agent_name(value: object, field: str) -> str:
    """Validate a name: one line, trimmed. Raises Invalid."""
    line = _validate_name(value, field)
    if not line.isprintable():
        raise Invalid("bad_character", "A name is one line of letters and signs.", field=field)
    return line


def validate_heartbeat_config(value: object, field: str) -> dict[str, Any]:
    """Validate a heartbeat configuration; None stands for the default. Raises Invalid."""
    if value is None:
        return dict(DEFAULT_HEARTBEAT)
    config = _validate_json(value, field)
    every = config.get("every")
    if every is not None and not (isinstance(every, str) and parse_duration(every) is not None):
        raise Invalid("heartbeat_invalid", "Say how often as 30s, 10m or 1h.", field=field)
    if not isinstance(config.get("quiet", True), bool):
        raise Invalid("heartbeat_invalid", "Quiet is true or false.", field=field)
    return config


def validate_identity_profile(value: object, field: str) -> dict[str, str] | None:
    """Validate an identity profile and return its values as text (contract, agents 7.2).

    Lists are joined with commas and empty values are left out. Returns None if nothing remains.
    """
    given = {} if value is None else _validate_json(value, field)
    texts = {str(name).strip(): _to_text(value) for name, value in given.items()}
    return {name: text for name, text in texts.items() if name and text} or None


def validate_template(value: object, field: str) -> str | None:
    """Validate a template; a blank one becomes None. Raises Invalid."""
    return _validate_template_text(value, field) or None


FIELD_VALIDATORS: dict[str, FieldCheck] = {
    "name": validate_agent_name,
    "heartbeat_config": validate_heartbeat_config,
    "identity_profile": validate_identity_profile,
    "identity_template": validate_template,
    "soul_template": validate_template,
}
"""The fields of an agent that can be set and changed."""


def build_changed_values(agent: Agent, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Validate changes of an agent, and return the new values. Raises Invalid.

    An agent that moves to another board is no lead there.
    """
    values = validate_fields(FIELD_VALIDATORS, changes)
    board_id = changes.get("board_id")
    if board_id is not None and board_id != agent.board_id:
        values |= {"board_id": board_id, "is_board_lead": False}
    return values


def _to_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, (_to_text(item) for item in value)))
    return "" if value is None else str(value).strip()
