"""The texts of events: English for the API. Pages translate them, and the values in them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.text import N_
from models import AgentStatus, Event, EventType, RequestKind, Status
from services.events.types import EVENT_DEFINITIONS


@dataclass(frozen=True)
class TaskChangeTexts:
    """A change of a task whose cause or status says more than the type of its event.

    The texts replace those of the entry of the type.
    """

    feed_text: str
    cause_text: str
    text: str = ""
    history_text: str = ""


TASK_MOVES: Mapping[str, TaskChangeTexts] = {
    Status.INBOX: TaskChangeTexts(
        N_("%(actor)s moved %(subject)s to the inbox"),
        "moved to the inbox",
        N_("Task moved to inbox: %(title)s"),
    ),
    Status.IN_PROGRESS: TaskChangeTexts(
        N_("%(actor)s started %(subject)s"), "started", N_("Task moved to in progress: %(title)s")
    ),
    Status.REVIEW: TaskChangeTexts(
        N_("%(actor)s moved %(subject)s to review"),
        "moved to review",
        N_("Task moved to review: %(title)s"),
    ),
    Status.DONE: TaskChangeTexts(
        N_("%(actor)s completed %(subject)s"), "completed", N_("Task moved to done: %(title)s")
    ),
}
"""A task entered a status. Programs rely on the words of `text`."""

TASK_CAUSES: Mapping[str, TaskChangeTexts] = {
    "completed_task_id": TaskChangeTexts(
        N_("A task that %(subject)s depends on was completed"),
        "A task that this depends on was completed:",
        history_text=N_("A task that this one depends on was completed."),
    ),
    "reopened_task_id": TaskChangeTexts(
        N_("A task that %(subject)s depends on was reopened"),
        "A task that this depends on was reopened:",
        history_text=N_("A task that this one depends on was reopened."),
    ),
    "deleted_task_id": TaskChangeTexts(
        N_("A task that %(subject)s depends on was deleted"),
        "A task that this depends on was deleted:",
        history_text=N_("A task that this one depends on was deleted."),
    ),
    "restored_task_id": TaskChangeTexts(
        N_("A task that %(subject)s depends on was restored"),
        "A task that this depends on was restored:",
        history_text=N_("A task that this one depends on was restored."),
    ),
}
"""A change of another task caused the event, by the key of that task's id in the data."""

REQUEST_ANSWERS: Mapping[str, str] = {
    "allowed once": N_("%(actor)s allowed a request of %(name)s once: %(subject)s"),
    "allowed always": N_("%(actor)s permanently allowed a request of %(name)s: %(subject)s"),
    "denied": N_("%(actor)s denied a request of %(name)s: %(subject)s"),
    "not answered": N_("%(actor)s left a request of %(name)s unanswered: %(subject)s"),
}
"""The sentence of an answered gateway request in the feed, by the answer in the event."""

AGENT_STATUSES: Mapping[str, str] = {
    AgentStatus.PROVISIONING: N_("Starting"),
    AgentStatus.ONLINE: N_("Online"),
    AgentStatus.OFFLINE: N_("Offline"),
    AgentStatus.UPDATING: N_("Updating"),
    AgentStatus.DELETING: N_("Being removed"),
}
"""The statuses of agents in events. Agents may report others, which are not translated."""

REQUEST_NAMES: Mapping[str, str] = {
    RequestKind.EXEC: N_("Command %(hash)s"),
    RequestKind.QUESTION: N_("Question %(hash)s"),
    RequestKind.PLUGIN: N_("Action of a plugin %(hash)s"),
}
"""Gateway requests are named by their hash, because readers of a board may not see commands."""

ANSWERS: Mapping[str, str] = {
    "approved": N_("approved"),
    "rejected": N_("rejected"),
    "allowed once": N_("allowed once"),
    "allowed always": N_("allowed always"),
    "denied": N_("denied"),
    "not answered": N_("not answered"),
    "answered": N_("answered"),
}
"""The decisions of approvals, and the answers to gateway requests. Gateways may have others."""

VALUE_NAMES = {
    *("name", "title", "email", "kind", "question", "error", "reason", "recent", "pending"),
    *("gateway", "automation", "client", "tool"),
}
"""The values of an event's data that its texts contain."""

NO_VALUES = dict.fromkeys(VALUE_NAMES, "")

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
LINE_END = " :\uff1a"  # what precedes a missing value, in English and in Chinese


def describe_event(event: Event) -> str:
    """Return the text of an event without its actor, in English."""
    return format_event_text(find_event_text(event), build_event_values(event))


def find_event_text(event: Event) -> str:
    """Return the text of an event without its values."""
    move = _find_move(event)
    return move.text if move else EVENT_DEFINITIONS[event.type].text


def find_feed_text(event: Event) -> str:
    """Return the sentence of an event in the feed, with its actor and its subject."""
    text = EVENT_DEFINITIONS[event.type].feed_text
    if event.type is EventType.GATEWAY_REQUEST_ANSWERED:
        return REQUEST_ANSWERS.get(event.data.get("answer") or "", text)
    change = find_task_cause(event) or _find_move(event)
    return change.feed_text if change else text


def find_cause_text(event: Event) -> str:
    """Return what happened to a task, in the English of the API."""
    change = find_task_cause(event) or _find_move(event)
    return change.cause_text if change else EVENT_DEFINITIONS[event.type].cause_text


def find_task_cause(event: Event) -> TaskChangeTexts | None:
    """Return the change of another task that caused an event; None for an actor."""
    return next((cause for key, cause in TASK_CAUSES.items() if key in event.data), None)


def _find_move(event: Event) -> TaskChangeTexts | None:
    is_move = event.type is EventType.TASK_STATUS_CHANGED
    return TASK_MOVES.get(event.data.get("entered", "")) if is_move else None


def format_event_text(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its values, without the colon before a missing one."""
    filled = text % values
    names = PLACEHOLDER.findall(text)
    return filled if names and values[names[-1]] else filled.rstrip(LINE_END)


def build_event_values(event: Event, translate: Callable[[str], str] = str) -> dict[str, object]:
    """Return the values in the texts of an event, except its actor and its subject."""
    data = event.data
    status = str(data.get("to") or "")
    answer = str(data.get("answer") or "")
    run_status = str(data.get("status") or "")
    request = REQUEST_NAMES.get(data.get("kind") or "", REQUEST_NAMES[RequestKind.EXEC])
    return {
        **NO_VALUES,
        **{name: data[name] for name in VALUE_NAMES & data.keys() if data[name] is not None},
        "state": translate(AGENT_STATUSES.get(status, "")) or status,
        "answer": translate(ANSWERS.get(answer, "")) or answer,
        "status": translate(N_("running")) if run_status == "running" else run_status,
        "request": translate(request) % {"hash": data.get("hash") or ""},
    }
