"""The texts of events: English for the API. Pages translate them, and the values in them."""

import re
from collections.abc import Callable, Mapping

from core.text import N_
from models import AgentStatus, Event, EventType, RequestKind, Status
from services.events.types import EVENT_DEFINITIONS

TASK_MOVES: Mapping[str, str] = {
    Status.INBOX: N_("Task moved to inbox: %(title)s"),
    Status.IN_PROGRESS: N_("Task moved to in progress: %(title)s"),
    Status.REVIEW: N_("Task moved to review: %(title)s"),
    Status.DONE: N_("Task moved to done: %(title)s"),
}
"""The text of a task that entered a status. Programs rely on these words (contract 6.8)."""

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

VALUE_NAMES = (
    *("name", "title", "email", "kind", "question", "error", "reason", "recent", "pending"),
    *("gateway", "automation"),
)
"""The values of an event's data that its texts contain."""

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
LINE_END = " :\uff1a"  # what precedes a missing value, in English and in Chinese


def describe_event(event: Event) -> str:
    """Return the text of an event without its actor, in English."""
    return format_event_text(find_event_text(event), build_event_values(event))


def find_event_text(event: Event) -> str:
    """Return the text of an event without its values."""
    text = EVENT_DEFINITIONS[event.type].text
    if event.type is EventType.TASK_STATUS_CHANGED:
        return TASK_MOVES.get(event.data.get("entered", ""), text)
    return text


def format_event_text(text: str, values: Mapping[str, object]) -> str:
    """Return a text with its values, without the colon before a missing one."""
    filled = text % values
    names = PLACEHOLDER.findall(text)
    return filled if names and values[names[-1]] else filled.rstrip(LINE_END)


def build_event_values(event: Event, translate: Callable[[str], str] = str) -> dict[str, object]:
    """Return the values in the texts of an event, except its actor and its subject."""
    stored = {name: event.data.get(name) for name in VALUE_NAMES}
    status = str(event.data.get("to") or "")
    request = REQUEST_NAMES.get(event.data.get("kind") or "", REQUEST_NAMES[RequestKind.EXEC])
    return {
        **{name: "" if value is None else value for name, value in stored.items()},
        "state": translate(AGENT_STATUSES.get(status, "")) or status,
        "request": translate(request) % {"hash": event.data.get("hash") or ""},
    }
