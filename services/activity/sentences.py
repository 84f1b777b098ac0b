"""The one place where an event becomes a sentence. Nothing else may depend on the words."""

from collections.abc import Mapping
from typing import Any

from models import Event, EventType

SENTENCES = {
    EventType.ORGANIZATION_CREATED: "Organization created: {name}",
    EventType.ORGANIZATION_UPDATED: "Organization renamed: {name}",
    EventType.BOARD_CREATED: "Board created: {name}",
    EventType.BOARD_UPDATED: "Board updated: {name}",
    EventType.BOARD_DELETED: "Board deleted: {name}",
    EventType.TASK_CREATED: "Task created: {title}",
    EventType.TASK_UPDATED: "Task updated: {title}",
    EventType.TASK_STATUS_CHANGED: "Task moved to {entered}: {title}",
    EventType.TASK_COMMENT: "Comment on a task: {title}",
    EventType.TASK_DELETED: "Task deleted: {title}",
    EventType.TASK_RESTORED: "Task restored: {title}",
    EventType.APPROVAL_REQUESTED: "Approval asked for: {question}",
    EventType.APPROVAL_DECIDED: "Approval answered ({answer}): {question}",
    EventType.APPROVAL_UNDONE: "Answer taken back: {question}",
    EventType.APPROVAL_APPROVED: "Approved: {question}",
    EventType.APPROVAL_REJECTED: "Rejected: {question}",
    EventType.APPROVAL_REOPENED: "Approval reopened: {question}",
    EventType.APPROVAL_ASKED_BACK: "Asked back about: {question}",
    EventType.AGENT_CREATED: "Agent created: {name}",
    EventType.AGENT_UPDATED: "Agent updated: {name}",
    EventType.AGENT_DELETED: "Agent deleted: {name}",
    EventType.AGENT_STATUS_CHANGED: "Agent is {to}: {name}",
    EventType.AGENT_TOKEN_ISSUED: "New token for an agent: {name}",
}


def sentence(event: Event, comment: str | None = None) -> str:
    """Say what happened. What was said about a task is the sentence itself, while it is there."""
    if event.type is EventType.TASK_COMMENT and comment:
        return comment
    return SENTENCES[event.type].format_map(_Known(event.data))


class _Known(dict[str, Any]):
    """What an event tells of itself. What it does not, is left out of the sentence."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__({key: _shown(value) for key, value in data.items()})

    def __missing__(self, _key: str) -> str:
        return ""


def _shown(value: Any) -> str:
    return str(value).replace("_", " ") if value in _STATUSES else str(value)


_STATUSES = ("in_progress",)
