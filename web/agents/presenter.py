"""Labels, filters, message rows and runs of agents for the pages."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from core.clock import now
from core.http.request import Session
from core.paging import Paging
from models import Agent, Board, DesiredState, Member, Message, MessageState, Run, RunStatus
from services import messages
from services.agents import AgentCard, AgentState, StatusSource
from services.gateways import requests, runs
from services.gateways.requests import RequestDetail
from services.gateways.runs import RunPhase
from services.messages import pending_reasons
from services.messages.pending_reasons import DeliveryConditions
from web.ui.avatars import EMOJI_ICONS
from web.ui.time_format import reader_zone

PROBLEM_STATES = (AgentState.LATE, AgentState.OFFLINE, AgentState.AWAY)
AGENT_FILTERS = (
    ("", "All", tuple(AgentState)),
    ("working", "Working", (AgentState.WORKING,)),
    ("idle", "Idle", (AgentState.IDLE,)),
    ("trouble", "Trouble", PROBLEM_STATES),
    ("starting", "Starting", (AgentState.PROVISIONING,)),
)
"""Each filter of the agents list: value in the address, label, states."""

HELD_FILTER = "held"  # by a circuit breaker, in any state

HEARTBEAT_OPTIONS = (("1m", "Every minute"), ("5m", "Every 5 minutes"), ("10m", "Every 10 minutes"))
HEARTBEAT_OPTIONS += (
    ("30m", "Every 30 minutes"),
    ("1h", "Every hour"),
    ("0m", "It does not check in"),
)

EMOJI_OPTIONS = [(f":{name}:", name.replace("_", " ").capitalize()) for name in EMOJI_ICONS]


def describe_evidence(card: AgentCard) -> str:
    """Describe how the state of an agent is known, such as "called the API 12 s ago"."""
    age, run = card.evidence_age, card.run
    if card.agent.desired_state is DesiredState.GONE:
        return "is being removed"
    if card.unreachable_for is not None:
        return f"not known for {format_duration(card.unreachable_for)}"
    if run is not None and (age is None or run.quiet_for < age):
        return f"its gateway told of its work {format_ago(run.quiet_for)}"
    if card.evidence.source is StatusSource.WAITING:
        return "its gateway is away"
    return "has not called yet" if age is None else _describe_last_sign(card, age)


def _describe_last_sign(card: AgentCard, age: timedelta) -> str:
    if card.evidence.source is StatusSource.FAILURE:
        return f"failed {format_ago(age)}"
    if card.state is AgentState.OFFLINE:
        return f"silent for {format_duration(age)}"
    by_call = card.evidence.source is StatusSource.CALL
    return f"{'called the API' if by_call else 'its gateway had it'} {format_ago(age)}"


def format_clock(moment: datetime) -> str:
    """Format the time of day in the reader's time zone, such as "14:06"."""
    return f"{moment.astimezone(reader_zone.get()):%H:%M}"


def format_ago(time: timedelta) -> str:
    """Format how long ago something was, such as "12 s ago"."""
    return f"{format_duration(time)} ago" if time >= timedelta(seconds=1) else "just now"


def format_duration(time: timedelta) -> str:
    """Format a duration in its largest unit: "12 s", "4 min", "2 h", "3 d"."""
    seconds = max(0, int(time.total_seconds()))
    for size, unit, until in ((1, "s", 60), (60, "min", 3_600), (3_600, "h", 86_400)):
        if seconds < until:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"


def filter_agents(cards: Sequence[AgentCard], kind: str, search: str) -> list[AgentCard]:
    """Return the agents of the filter whose name, role or board contains the search text."""
    states = next((states for name, _, states in AGENT_FILTERS if name == kind), tuple(AgentState))
    if kind == HELD_FILTER:
        cards = [card for card in cards if card.agent.held_at]
    words = search.casefold().split()
    return [
        card
        for card in cards
        if card.state in states and all(word in _search_text(card) for word in words)
    ]


def count_by_filter(cards: Sequence[AgentCard]) -> list[tuple[str, str, int]]:
    """Return value, label and number of agents of each filter."""
    held_count = sum(card.agent.held_at is not None for card in cards)
    return [
        *(
            (name, words, sum(card.state in states for card in cards))
            for name, words, states in AGENT_FILTERS
        ),
        (HELD_FILTER, "Held", held_count),
    ]


def _search_text(card: AgentCard) -> str:
    return f"{card.agent.name} {card.role or ''} {card.board_name or ''}".casefold()


MAX_MESSAGES = 8  # messages on an agent's page
MAX_EXCERPT_LENGTH = 200  # characters

TASK_LABEL = "Task: "
LABEL_LINE = re.compile(r"(Board|From|Group|To answer|Body|\w+ Board|[A-Z][\w ]* ID): |---")
"""Lines of a message with labels and separators, not content."""

MESSAGE_STATE_LABELS = {
    MessageState.QUEUED: ("Waiting", "clock", "dim"),
    MessageState.SENT: ("Sent", "send", "dim"),
    MessageState.ACKNOWLEDGED: ("Acknowledged", "check", "dim"),
    MessageState.FAILED: ("Failed", "circle-x", "danger"),
}
"""Label, icon and tone of each message state."""


@dataclass(frozen=True)
class MessageRow:
    """A message with its labels."""

    message: Message
    title: str
    excerpt: str
    label: str
    icon: str
    tone: str
    reason: str  # why it is waiting, or why it failed

    @classmethod
    def from_message(cls, message: Message, context: DeliveryConditions) -> "MessageRow":
        """Build the row of a message."""
        kind, wait = message.kind, context.pending_status(message, now())
        return cls(
            message,
            kind if kind.startswith("/") else kind.capitalize(),
            _build_excerpt(message),
            *MESSAGE_STATE_LABELS[message.state],
            reason=(wait.sentence if wait else message.last_error) or "",
        )

    @property
    def has_failed(self) -> bool:
        """Return whether the message can be sent again."""
        return self.message.state is MessageState.FAILED


async def load_messages(session: Session, member: Member, agent: Agent) -> dict[str, Any]:
    """Load the latest messages to an agent and their total number, as a template context."""
    context = await pending_reasons.load_delivery_conditions(session, agent)
    found = await messages.list_agent_messages(session, agent, Paging(limit=MAX_MESSAGES))
    rows = found.map(lambda message: MessageRow.from_message(message, context))
    return {
        "message_rows": rows.items,
        "message_count": rows.total,
        "can_retry": member.is_admin,
    }


def _build_excerpt(message: Message) -> str:
    """Return the subject of a message in one line: its task, or the text after the labels."""
    lines = [line.strip() for line in message.content.removeprefix(message.kind).splitlines()]
    tasks = [line.removeprefix(TASK_LABEL) for line in lines if line.startswith(TASK_LABEL)]
    body = [line for line in lines if line and not LABEL_LINE.match(line)]
    return " ".join(tasks[:1] or body)[:MAX_EXCERPT_LENGTH]


PHASE_LABELS = {
    RunPhase.PREPARING: "Gets ready",
    RunPhase.THINKING: "Thinks",
    RunPhase.WRITING: "Writes",
    RunPhase.TOOL: "Works with a tool",
    RunPhase.WAITING: "Waits for a person's answer",
    RunPhase.FINISHING: "Finishes",
}
STATUS_LABELS = {
    RunStatus.ENDED: "Ended.",
    RunStatus.FAILED: "Failed.",
    RunStatus.ABORTED: "Was stopped.",
    RunStatus.LOST: "Lost.",
}


@dataclass(frozen=True)
class TaskRun:
    """A run, its agent, and the gateway request it waits for if the member may resolve it."""

    run: Run
    agent: Agent
    open_request: RequestDetail | None


def describe_run(run: Run) -> str:
    """Describe in a few words what a run is doing."""
    if run.status is not RunStatus.RUNNING:
        return STATUS_LABELS[run.status]
    if run.phase == RunPhase.TOOL and run.tool:
        return f"{run.tool_title or run.tool}"
    return PHASE_LABELS.get(RunPhase(run.phase), "") if run.phase in set(RunPhase) else "Begins"


async def load_agent_run(session: Session, member: Member, agent: Agent) -> dict[str, Any]:
    """Load the current or last run of an agent, as a template context."""
    run = await runs.find_latest_run(session, agent.id) if agent.gateway_id else None
    open_request = await _find_open_request(session, member, run) if run else None
    return {
        "agent_id": agent.id,
        "run": run,
        "open_request": open_request,
        "describe_run": describe_run,
    }


async def load_task_runs(
    session: Session, member: Member, board: Board, task_id: UUID
) -> dict[str, Any]:
    """Load the current or last runs for a task, as a template context."""
    found = await runs.list_current_task_runs(session, board, task_id)
    task_runs: Sequence[TaskRun] = [
        TaskRun(run, agent, await _find_open_request(session, member, run)) for run, agent in found
    ]
    return {
        "run_board_id": board.id,
        "run_task_id": task_id,
        "task_runs": task_runs,
        "describe_run": describe_run,
    }


async def _find_open_request(session: Session, member: Member, run: Run) -> RequestDetail | None:
    """Return the request that a run waits for, or None if the member may not resolve it."""
    if run.status is not RunStatus.RUNNING or run.phase != RunPhase.WAITING:
        return None
    return await requests.find_request_of_run(session, member, run)
