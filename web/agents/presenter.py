"""Labels, filters and runs of agents for the pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.clock import now
from core.db.reads import Source
from models import Agent, Board, DesiredState, Member, Message, Run, RunStatus
from services import messages
from services.agents import AgentCard, AgentState, StateCount, StatusSource
from services.gateways import requests, runs, sync
from services.gateways.requests import RequestDetail
from services.gateways.runs import RunPhase
from services.gateways.sync import AgentConfigChange
from web.agents.problem_texts import describe_hold
from web.ui import time_format
from web.ui.avatars import EMOJI_ICONS
from web.ui.time_format import UNITS, reader_zone
from web.ui.translation import N_, _, translate
from web.ui.unified_diff import parse_diff

AGENT_FILTERS = (
    ("", N_("All states"), tuple(AgentState)),
    ("working", N_("Working"), (AgentState.WORKING, AgentState.WAITING)),
    ("idle", N_("Idle"), (AgentState.IDLE,)),
    ("closed", N_("No session"), (AgentState.CLOSED,)),
    ("trouble", N_("Problems"), (AgentState.LATE, AgentState.OFFLINE, AgentState.AWAY)),
    ("starting", N_("Starting"), (AgentState.PROVISIONING,)),
    ("unknown", N_("Unknown"), (AgentState.UNKNOWN,)),
)
"""Each filter of the agents list: value in the address, label, states."""

HELD_FILTER = "held"  # by a circuit breaker, in any state

HEARTBEAT_INTERVALS = {
    "1m": N_("Every minute"),
    "5m": N_("Every 5 minutes"),
    "10m": N_("Every 10 minutes"),
    "30m": N_("Every 30 minutes"),
    "1h": N_("Every hour"),
    "0m": N_("No heartbeat"),
}
EMOJI_NAMES = {
    "gear": N_("Gear"),
    "alarm_clock": N_("Alarm clock"),
    "art": N_("Palette"),
    "brain": N_("Brain"),
    "wrench": N_("Wrench"),
    "dart": N_("Target"),
    "computer": N_("Computer"),
    "chart_with_upwards_trend": N_("Rising chart"),
    "bulb": N_("Light bulb"),
    "zap": N_("Lightning"),
    "lock": N_("Lock"),
    "mailbox": N_("Mailbox"),
    "megaphone": N_("Megaphone"),
    "memo": N_("Notepad"),
    "owl": N_("Owl"),
    "robot": N_("Robot"),
    "rocket": N_("Rocket"),
    "mag": N_("Magnifying glass"),
    "shield": N_("Shield"),
    "sparkles": N_("Sparkles"),
    "compass": N_("Compass"),
}
"""Labels of the pictures of agents."""


def list_profile_options(shown: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the heartbeats and pictures that a form offers, with those that it shows."""
    offered = {
        "every": {key: translate(text) for key, text in HEARTBEAT_INTERVALS.items()},
        "emoji": {f":{name}:": translate(EMOJI_NAMES[name]) for name in EMOJI_ICONS},
    }
    for name, options in offered.items():
        if name in shown:
            options.setdefault(str(shown[name]), str(shown[name]))
    return offered


def config_context(changes: Sequence[AgentConfigChange] | None) -> dict[str, Any]:
    """Return what agents/_config_change.html needs; None stands for changes that are not known."""
    return {"config_changes": changes, "parse_diff": parse_diff, "config_file": sync.CONFIG_FILE}


def describe_evidence(card: AgentCard, *, has_heartbeat: bool = False) -> str:
    """Describe how the state of an agent is known, such as "called the API 12 s ago".

    Beside a heartbeat, which says when the agent was last seen, a call is not described again.
    """
    age, run = card.evidence_age, card.run
    if messages.is_pause(card.agent.hold):
        return describe_hold(card.agent)
    if card.agent.desired_state is DesiredState.GONE:
        return _("is being removed")
    if card.unreachable_for is not None:
        return _("not known for %(duration)s", duration=format_duration(card.unreachable_for))
    if run is not None and (age is None or run.quiet_for < age):
        return _("working (reported by its gateway %(ago)s)", ago=format_ago(run.quiet_for))
    if card.evidence.source is StatusSource.WAITING:
        return _("its gateway is away")
    if age is not None:
        is_shown = has_heartbeat and card.evidence.source is StatusSource.CALL
        return "" if is_shown else _describe_last_sign(card, age)
    if card.uncalled_for is not None and card.state is AgentState.OFFLINE:
        return _("never called for %(duration)s", duration=format_duration(card.uncalled_for))
    return _("no call yet")


def _describe_last_sign(card: AgentCard, age: timedelta) -> str:
    if card.evidence.source is StatusSource.FAILURE:
        return _("failed %(ago)s", ago=format_ago(age))
    if card.state is AgentState.OFFLINE:
        return _("silent for %(duration)s", duration=format_duration(age))
    if card.evidence.source is StatusSource.CALL:
        return _("called the API %(ago)s", ago=format_ago(age))
    return _("listed by its gateway %(ago)s", ago=format_ago(age))


def format_clock(moment: datetime) -> str:
    """Format the time of day in the reader's time zone, such as "14:06"."""
    return f"{moment.astimezone(reader_zone.get()):%H:%M}"


def format_ago(time: timedelta) -> str:
    """Format how long ago something was, such as "12 s ago"."""
    if time < timedelta(seconds=1):
        return _("just now")
    return _("%(age)s ago", age=format_duration(time))


def format_duration(time: timedelta) -> str:
    """Format a duration in its largest unit: "12 s", "4 min", "2 h", "3 d"."""
    seconds = max(0, int(time.total_seconds()))
    unit = next(name for name, size in reversed(UNITS.items()) if seconds >= size or size == 1)
    return time_format.format_duration(seconds, unit)


def find_filter_states(kind: str) -> Sequence[AgentState]:
    """Return the states of a filter, or none if it is for any state."""
    return next((states for name, _, states in AGENT_FILTERS if name == kind and name), ())


def list_filter_options(
    kind: str, counts: Sequence[StateCount] | None
) -> list[tuple[str, str, int | None]]:
    """Return value, label and number of agents of each filter.

    If they are counted, without the filters that no agent matches, except `kind`.
    """
    numbers = {one.state: one.count for one in counts or ()}
    options = [
        (name, translate(words), sum(numbers.get(state, 0) for state in states))
        for name, words, states in AGENT_FILTERS
    ]
    held_count = sum(one.held_count for one in counts or ())
    options.append((HELD_FILTER, _("Stopped"), held_count))
    if counts is None:
        return [(name, words, None) for name, words, _count in options]
    return [one for one in options if one[2] or one[0] in ("", kind)]


PHASE_LABELS = {
    RunPhase.PREPARING: N_("Gets ready"),
    RunPhase.THINKING: N_("Thinks"),
    RunPhase.WRITING: N_("Writes"),
    RunPhase.TOOL: N_("Works with a tool"),
    RunPhase.WAITING: N_("Waits for a person's answer"),
    RunPhase.FINISHING: N_("Finishes"),
}
STATUS_LABELS = {
    RunStatus.ENDED: N_("Ended."),
    RunStatus.FAILED: N_("Failed."),
    RunStatus.ABORTED: N_("Was stopped."),
    RunStatus.LOST: N_("Lost: the result is unknown."),
}


@dataclass(frozen=True)
class TaskRun:
    """A run, its agent, and the gateway request it waits for if the member may resolve it."""

    run: Run
    agent: Agent
    open_request: RequestDetail | None


def describe_run(run: Run) -> str:
    """Describe in a few words what a run is doing, or how it ended."""
    if run.status is not RunStatus.RUNNING:
        # Heartbeats usually have nothing to do. Calls may be missing after a lost connection, so
        # the text says what was reported.
        if run.status is not RunStatus.ENDED or run.is_heartbeat or run.tool_calls:
            return translate(STATUS_LABELS[run.status])
        if run.tail:
            return _("Ended with an answer only: no action was reported.")
        return _("Ended without doing anything: neither an action nor an answer was reported.")
    if run.phase == RunPhase.TOOL and run.tool:
        return f"{run.tool_title or run.tool}"
    if run.phase not in set(RunPhase):
        return _("Begins")
    return translate(PHASE_LABELS.get(RunPhase(run.phase), ""))


async def load_agent_run(source: Source, member: Member, agent: Agent) -> dict[str, Any]:
    """Load the current or last run of an agent, as a template context."""
    run = await runs.find_latest_run(source, agent.id) if agent.gateway_id else None
    open_requests = await _load_open_requests(source, member, [run] if run else ())
    return {
        "agent_id": agent.id,
        "run": run,
        "open_request": open_requests.get(run.id) if run else None,
        "describe_run": describe_run,
    }


async def load_task_runs(
    source: Source, member: Member, board: Board, task_id: UUID
) -> dict[str, Any]:
    """Load the current or last runs for a task, as a template context."""
    found = await runs.list_current_task_runs(source, board, task_id)
    without_action = await messages.list_task_messages_without_action(source, board, task_id)
    return await load_run_context(source, member, board, task_id, found, without_action)


async def load_run_context(
    source: Source,
    member: Member,
    board: Board,
    task_id: UUID,
    found: Sequence[tuple[Run, Agent]],
    messages_without_action: Sequence[tuple[Message, Agent]],
) -> dict[str, Any]:
    """Load the requests of runs for a task, as a template context with the runs and messages."""
    open_requests = await _load_open_requests(source, member, [run for run, _agent in found])
    return {
        "run_board_id": board.id,
        "run_task_id": task_id,
        "task_runs": [TaskRun(run, agent, open_requests.get(run.id)) for run, agent in found],
        "messages_without_action": messages_without_action,
        "describe_missing_action": describe_missing_action,
        "can_send_again": member.is_admin,
        "describe_run": describe_run,
    }


def describe_missing_action(message: Message) -> str:
    """Say for how long the agent of a message has not acted on its task."""
    assert message.acknowledged_at
    duration = format_duration(now() - message.acknowledged_at)
    return _("Acknowledged, no action on the task for %(duration)s.", duration=duration)


async def _load_open_requests(
    source: Source, member: Member, found: Sequence[Run]
) -> Mapping[UUID, RequestDetail]:
    """Return the requests that runs wait for and the member may resolve, by run."""
    waiting = [
        run for run in found if run.status is RunStatus.RUNNING and run.phase == RunPhase.WAITING
    ]
    return await requests.load_requests_of_runs(source, member, waiting)
