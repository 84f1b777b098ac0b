"""Rules for the computed status and state of agents. Pure functions.

`compute_status` decides for pages, API and streams; `online_condition` counts by the same rule.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Float,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from core.clock import DURATION_PATTERN, MAX_DURATION, SECONDS, parse_duration
from core.errors import Invalid
from core.text import is_storable
from models import Agent, AgentStatus, ClientConnection, DesiredState, Gateway
from services import gateway_status

OFFLINE_AFTER = timedelta(minutes=10)  # the default of AGENT_OFFLINE_AFTER
MAX_TOKEN_DAYS = 3650
TOKEN_WARNING = timedelta(days=7)  # before the end of a token
DEFAULT_HEARTBEAT_INTERVAL = timedelta(minutes=10)  # of an agent that configures none
DEFAULT_HEARTBEAT = {"every": "10m", "target": "last", "includeReasoning": False}
TOUCH_INTERVAL = timedelta(seconds=30)  # a call within this time after the last one is not recorded

RESERVED_STATUSES = (AgentStatus.DELETING, AgentStatus.UPDATING)
ABSENT_STATUSES = (AgentStatus.PROVISIONING, AgentStatus.OFFLINE)


class AgentState(StrEnum):
    """The state of an agent as pages show it."""

    WORKING = "working"
    IDLE = "idle"
    LATE = "late"
    OFFLINE = "offline"
    PROVISIONING = "provisioning"
    AWAY = "away"  # its gateway is unreachable, so the state is unknown
    WAITING = "waiting"  # its client holds a tool call until a person decides
    UNKNOWN = "unknown"  # its client's session is silent: it may work, or have been killed
    CLOSED = "closed"  # no session of its client is open, which is normal


SESSION_SILENT_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class SessionSigns:
    """What the open sessions of an agent's clients have last reported."""

    is_held: bool  # a tool call waits for people, and its client for the answer
    working_at: datetime | None  # the latest sign of a session that works
    open_at: datetime | None  # the latest sign of a session that has not ended

    def find_state(self, at: datetime) -> AgentState | None:
        """Return what they say about the agent; None if nothing is known or its turn is over."""
        if self.is_held:
            return AgentState.WAITING
        if self.working_at is not None and at - self.working_at < SESSION_SILENT_AFTER:
            return AgentState.WORKING
        is_silent = self.open_at is not None and at - self.open_at >= SESSION_SILENT_AFTER
        return AgentState.UNKNOWN if is_silent else None


HAS_CLIENT = and_(
    Agent.gateway_id.is_(None),
    select(ClientConnection.id)
    .where(
        ClientConnection.agent_id == Agent.id,
        or_(
            ClientConnection.hook_at.is_not(None),
            ClientConnection.mcp_at.is_not(None),
            ClientConnection.telemetry_at.is_not(None),
        ),
    )
    .correlate(Agent)
    .exists(),
)
"""Select the agents that a coding client runs: they are silent whenever people close it."""


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
    """Return how long an agent may be silent before it is offline: at least `minimum`.

    Two intervals, if one was chosen. The default configuration, which every new agent gets, is no
    choice.
    """
    config = agent.heartbeat_config or {}
    every = config.get("every") if config != DEFAULT_HEARTBEAT else None
    chosen = parse_duration(every) if isinstance(every, str) else None
    return max(minimum, 2 * (chosen or timedelta()))


def find_away_since(agent: Agent, gateway: Gateway | None, at: datetime) -> datetime | None:
    """Return since when nothing is known of an agent, because its gateway is unreachable.

    None if the gateway is reachable, or the agent has called since.
    """
    since = gateway_status.unreachable_since(gateway, at) if gateway else None
    has_called = agent.last_seen_at is not None and since is not None
    return None if has_called and agent.last_seen_at > since else since


def compute_status(
    agent: Agent, gateway: Gateway | None, at: datetime, minimum: timedelta = OFFLINE_AFTER
) -> str:
    """Return the status of an agent at a time.

    `gateway` is that of the agent. Without it, an agent with an unreachable gateway can be online:
    that is enough where the agent is calling at this moment.
    """
    if agent.desired_state is DesiredState.GONE:
        return AgentStatus.DELETING
    if agent.status in (AgentStatus.DELETING, AgentStatus.UPDATING):
        return agent.status
    known_at, threshold = agent.last_confirmed_at, offline_threshold(agent, minimum)
    if known_at is None:
        is_missing = agent.is_uncalled and at - agent.created_at > threshold
        is_failed = agent.provision_failure is not None
        return AgentStatus.OFFLINE if is_failed or is_missing else AgentStatus.PROVISIONING
    is_silent = at - known_at > threshold
    if is_silent or find_away_since(agent, gateway, at) is not None:
        return AgentStatus.OFFLINE
    if agent.is_confirmed_by_gateway and agent.status in ABSENT_STATUSES:
        return AgentStatus.ONLINE
    return agent.status


def online_condition(at: ColumnElement[datetime], minimum: ColumnElement[timedelta]) -> Any:
    """Select the agents that are online by `compute_status`, or report a status of their own."""
    return and_(
        ~is_deleting_condition(),
        Agent.status != AgentStatus.UPDATING,
        ~_is_silent(at, minimum),
        Agent.status.not_in(ABSENT_STATUSES) | _is_confirmed(),
        ~is_away_condition(at),
    )


def is_deleting_condition() -> ColumnElement[bool]:
    """Select the agents whose `compute_status` is deleting."""
    is_gone = Agent.desired_state.is_not_distinct_from(DesiredState.GONE)
    return is_gone | (Agent.status == AgentStatus.DELETING)


def _is_confirmed() -> ColumnElement[bool]:
    """Select what `Agent.is_confirmed_by_gateway` returns."""
    is_quiet = Agent.heartbeat_config["quiet"].astext.is_distinct_from("false")
    was_there = Agent.last_seen_at.is_not(None) & (Agent.observed_generation > 0)
    return and_(
        Agent.listed_at.is_not(None),
        Agent.provision_failure.is_(None),
        or_(Agent.is_linked, is_quiet & was_there),
    )


def _known_at() -> ColumnElement[datetime | None]:
    """Select what `Agent.last_confirmed_at` returns."""
    return func.greatest(Agent.last_seen_at, case((_is_confirmed(), Agent.listed_at)))


def _is_silent(
    at: ColumnElement[datetime], minimum: ColumnElement[timedelta]
) -> ColumnElement[bool]:
    return func.coalesce(_known_at() < at - _threshold_expression(minimum), true())


def _threshold_expression(minimum: ColumnElement[timedelta]) -> ColumnElement[timedelta]:
    """Select what `offline_threshold` returns."""
    return func.greatest(minimum, 2 * _chosen_interval_expression())


def is_away_condition(at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Select the agents for which `find_away_since` returns a time."""
    away_since = (
        select(gateway_status.unreachable_since_expression(at))
        .where(Gateway.id == Agent.gateway_id)
        .correlate(Agent)
        .scalar_subquery()
    )
    return away_since.is_not(None) & ~func.coalesce(Agent.last_seen_at > away_since, false())


def may_be_silent_condition(
    at: ColumnElement[datetime], minimum: ColumnElement[timedelta]
) -> ColumnElement[bool]:
    """Select all agents that have called and may be late or offline, and a few others.

    It costs much less than the state of each agent, and leaves out those that have called lately.
    """
    is_usual = func.coalesce(Agent.heartbeat_config, literal(DEFAULT_HEARTBEAT, JSONB)) == literal(
        DEFAULT_HEARTBEAT, JSONB
    )
    interval = case((is_usual, DEFAULT_HEARTBEAT_INTERVAL + TOUCH_INTERVAL), else_=TOUCH_INTERVAL)
    return Agent.last_seen_at.is_not(None) & or_(
        Agent.last_seen_at < at - func.least(minimum, interval),
        is_deleting_condition(),
        Agent.status == AgentStatus.OFFLINE,
    )


def may_be_away_condition(at: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Select the agents whose gateway is unreachable, whether they have called since or not."""
    is_unreachable = gateway_status.unreachable_since_expression(at).is_not(None)
    return Agent.gateway_id.in_(select(Gateway.id).where(is_unreachable))


def is_failed_condition() -> ColumnElement[bool]:
    """Select the agents whose `find_status_evidence` is a failure."""
    failed_at = cast(Agent.provision_failure["at"].astext, DateTime(timezone=True))
    is_later = func.coalesce(_known_at() < failed_at, true())
    return Agent.provision_failure.is_not(None) & is_later


def _chosen_interval_expression() -> ColumnElement[timedelta]:
    """Select the interval that `offline_threshold` doubles; null if none was chosen."""
    config, every = Agent.heartbeat_config, func.trim(Agent.heartbeat_config["every"].astext)
    parts = func.regexp_matches(every, DURATION_PATTERN.pattern, "g").column_valued("part")
    part: Any = type_coerce(parts, ARRAY(Text()))
    seconds = case(SECONDS, value=part[2]) * cast(part[1], Float)
    total = func.least(func.sum(seconds), MAX_DURATION.total_seconds())
    is_chosen = config.is_distinct_from(literal(DEFAULT_HEARTBEAT, JSONB)) & every.regexp_match(
        f"^({DURATION_PATTERN.pattern})+$"
    )
    interval = select(func.make_interval(0, 0, 0, 0, 0, 0, total)).scalar_subquery()
    return case((is_chosen, interval))


def compute_state(
    agent: Agent,
    gateway: Gateway | None,
    at: datetime,
    minimum: timedelta = OFFLINE_AFTER,
    *,
    working: bool,
    running: bool = False,
    signs: SessionSigns | None = None,
    has_client: bool = False,
) -> AgentState:
    """Return the state that pages show of an agent.

    `working`: it has a task in progress. `running`: a run is in progress on its gateway, so it is
    at work whether it calls us or not. `signs` are those of the sessions of a coding agent: a
    silent one is unknown, although it has a task. `has_client`: as in HAS_CLIENT.
    """
    status = compute_status(agent, gateway, at, minimum)
    if status == AgentStatus.DELETING:
        return AgentState.OFFLINE
    reported = signs.find_state(at) if signs is not None else None
    if reported is AgentState.WAITING:
        return reported  # its connection is open, however long it has not called
    if find_away_since(agent, gateway, at) is not None:
        return AgentState.AWAY
    if status in (AgentStatus.PROVISIONING, AgentStatus.UPDATING):
        return AgentState.PROVISIONING
    is_offline = status == AgentStatus.OFFLINE and not running
    if is_offline and not has_client:
        return AgentState.OFFLINE
    if reported is not None:
        return reported
    if is_offline or (not running and _is_overdue(agent, at)):
        return AgentState.CLOSED if has_client else AgentState.LATE
    return AgentState.WORKING if working or running else AgentState.IDLE


@dataclass(frozen=True)
class StateFacts:
    """What `compute_state` is told about an agent, as conditions of a statement."""

    is_running: ColumnElement[bool]
    is_working: ColumnElement[bool]
    is_held: ColumnElement[bool]
    has_working_session: ColumnElement[bool]  # of which a sign is recent
    has_open_session: ColumnElement[bool]
    has_recent_session: ColumnElement[bool]  # an open one of which a sign is recent


def state_expression(
    at: ColumnElement[datetime], minimum: ColumnElement[timedelta], facts: StateFacts
) -> ColumnElement[str]:
    """Select what `compute_state` returns."""
    is_unknown, is_confirmed = _known_at().is_(None), _is_confirmed()
    is_late_call = Agent.created_at < at - _threshold_expression(minimum)
    is_missing = or_(
        Agent.provision_failure.is_not(None), and_(Agent.desired_state.is_(None), is_late_call)
    )
    is_silent = _is_silent(at, minimum)  # also without a sign of life
    is_provisioning = or_(
        Agent.status == AgentStatus.UPDATING,
        is_unknown & ~is_missing,
        and_(Agent.status == AgentStatus.PROVISIONING, ~is_confirmed, ~is_silent),
    )
    is_offline = is_silent | (~is_confirmed & (Agent.status == AgentStatus.OFFLINE))
    is_lost = is_offline & ~facts.is_running
    interval = func.coalesce(_chosen_interval_expression(), DEFAULT_HEARTBEAT_INTERVAL)
    is_overdue = and_(
        interval > timedelta(),
        Agent.last_seen_at < at - interval - TOUCH_INTERVAL,
        ~is_confirmed,
        ~facts.is_running,
    )
    return case(
        (is_deleting_condition(), AgentState.OFFLINE.value),
        (facts.is_held, AgentState.WAITING.value),
        (is_away_condition(at), AgentState.AWAY.value),
        (is_provisioning, AgentState.PROVISIONING.value),
        (is_lost & ~HAS_CLIENT, AgentState.OFFLINE.value),
        (facts.has_working_session, AgentState.WORKING.value),
        (facts.has_open_session & ~facts.has_recent_session, AgentState.UNKNOWN.value),
        (
            is_lost | is_overdue,
            case((HAS_CLIENT, AgentState.CLOSED.value), else_=AgentState.LATE.value),
        ),
        (facts.is_working | facts.is_running, AgentState.WORKING.value),
        else_=AgentState.IDLE.value,
    )


def is_late(
    agent: Agent, gateway: Gateway | None, at: datetime, minimum: timedelta = OFFLINE_AFTER
) -> bool:
    """Return whether an agent is still online and silent for longer than its heartbeat interval."""
    if not _is_overdue(agent, at):
        return False
    return compute_state(agent, gateway, at, minimum, working=False) is AgentState.LATE


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


def validate_reported_status(word: str | None) -> str | None:
    """Return a status that an agent may report, or None for a blank one. Raises Invalid."""
    word = (word or "").strip()
    if not word:
        return None
    if not (word.isprintable() and is_storable(word)):
        raise Invalid(
            "status_invalid", "A status is one line without control characters.", field="status"
        )
    if word in RESERVED_STATUSES:
        raise Invalid(
            "status_invalid", f"An agent cannot report the status {word}.", field="status"
        )
    return word


def is_token_ending(agent: Agent, moment: datetime) -> bool:
    """Return whether the newest token of an agent ends soon, or has ended."""
    end = agent.token_expires_at
    return end is not None and end - moment < TOKEN_WARNING
