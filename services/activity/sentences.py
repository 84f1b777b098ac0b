"""The one place where an event becomes a sentence. Nothing else may depend on the words."""

from collections.abc import Mapping
from typing import Any

from models import Event, EventType

SENTENCES = {
    EventType.ORGANIZATION_CREATED: "Organization created: {name}",
    EventType.ORGANIZATION_UPDATED: "Organization renamed: {name}",
    EventType.MEMBER_JOINED: "Member joined: {name}",
    EventType.MEMBER_UPDATED: "Member changed: {name}",
    EventType.MEMBER_REMOVED: "Member removed: {name}",
    EventType.MEMBER_PASSWORD_LINKED: "Link for another password made: {name}",
    EventType.MEMBER_PASSWORD_CHANGED: "Password changed by a link: {name}",
    EventType.INVITE_CREATED: "Invited: {email}",
    EventType.INVITE_REVOKED: "Invitation withdrawn: {email}",
    EventType.TAG_CREATED: "Tag created: {name}",
    EventType.TAG_UPDATED: "Tag changed: {name}",
    EventType.TAG_DELETED: "Tag deleted: {name}",
    EventType.CUSTOM_FIELD_CREATED: "Custom field created: {name}",
    EventType.CUSTOM_FIELD_UPDATED: "Custom field changed: {name}",
    EventType.CUSTOM_FIELD_DELETED: "Custom field deleted: {name}",
    EventType.BOARD_GROUP_CREATED: "Board group created: {name}",
    EventType.BOARD_GROUP_UPDATED: "Board group changed: {name}",
    EventType.BOARD_GROUP_DELETED: "Board group deleted: {name}",
    EventType.GROUP_MEMORY_CREATED: "Noted in the board group {name}",
    EventType.GROUP_MEMORY_UPDATED: "Note changed in the board group {name}",
    EventType.GROUP_MEMORY_DELETED: "Note deleted in the board group {name}",
    EventType.GATEWAY_CREATED: "Gateway added: {name}",
    EventType.GATEWAY_UPDATED: "Gateway changed: {name}",
    EventType.GATEWAY_DELETED: "Gateway removed: {name}",
    EventType.BOARD_CREATED: "Board created: {name}",
    EventType.BOARD_UPDATED: "Board updated: {name}",
    EventType.BOARD_DELETED: "Board deleted: {name}",
    EventType.BOARD_PAUSED: "Agents paused: {name}",
    EventType.BOARD_RESUMED: "Agents resumed: {name}",
    EventType.BOARD_MEMORY_CREATED: "Noted on the board {name}",
    EventType.BOARD_MEMORY_UPDATED: "Note changed on the board {name}",
    EventType.BOARD_MEMORY_DELETED: "Note deleted on the board {name}",
    EventType.BOARD_LEAD_NOTIFIED: "Lead told about the board: {name}",
    EventType.BOARD_LEAD_NOTIFY_FAILED: "Lead could not be told about the board: {error}",
    EventType.GROUP_JOIN_NOTIFIED: "Told that a board joined the group: {name}",
    EventType.GROUP_JOIN_NOTIFY_FAILED: "Could not be told that a board joined the group: {error}",
    EventType.GROUP_LEAVE_NOTIFIED: "Told that a board left the group: {name}",
    EventType.GROUP_LEAVE_NOTIFY_FAILED: "Could not be told that a board left the group: {error}",
    EventType.ONBOARDING_STARTED: "Onboarding started: {name}",
    EventType.ONBOARDING_UPDATED: "Onboarding went on: {name}",
    EventType.ONBOARDING_CONFIRMED: "Goal confirmed: {name}",
    EventType.TASK_CREATED: "Task created: {title}",
    EventType.TASK_UPDATED: "Task updated: {title}",
    EventType.TASK_STATUS_CHANGED: "Task moved to {entered}: {title}",
    EventType.TASK_COMMENT: "Comment on a task: {title}",
    EventType.TASK_DELETED: "Task deleted: {title}",
    EventType.TASK_RESTORED: "Task restored: {title}",
    EventType.TASK_LEAD_NOTIFIED: "Lead told about a new task: {title}",
    EventType.TASK_LEAD_NOTIFY_FAILED: "Lead could not be told about a new task: {error}",
    EventType.TASK_LEAD_UNASSIGNED_NOTIFIED: "Lead told about a task nobody holds: {title}",
    EventType.TASK_LEAD_UNASSIGNED_NOTIFY_FAILED: "Lead could not be told about a task: {error}",
    EventType.TASK_ASSIGNEE_NOTIFIED: "Assignee told: {title}",
    EventType.TASK_ASSIGNEE_NOTIFY_FAILED: "Assignee could not be told: {error}",
    EventType.TASK_REWORK_NOTIFIED: "Worker told about requested changes: {title}",
    EventType.TASK_REWORK_NOTIFY_FAILED: "Worker could not be told about changes: {error}",
    EventType.APPROVAL_REQUESTED: "Question asked: {question}",
    EventType.APPROVAL_DECIDED: "Question answered ({answer}): {question}",
    EventType.APPROVAL_UNDONE: "Answer taken back: {question}",
    EventType.APPROVAL_APPROVED: "Approved: {question}",
    EventType.APPROVAL_REJECTED: "Rejected: {question}",
    EventType.APPROVAL_REOPENED: "Question reopened: {question}",
    EventType.APPROVAL_ASKED_BACK: "Asked back about: {question}",
    EventType.APPROVAL_LEAD_NOTIFIED: "Lead told about a decision: {question}",
    EventType.APPROVAL_LEAD_NOTIFY_FAILED: "Lead could not be told about a decision: {error}",
    EventType.AGENT_CREATED: "Agent created: {name}",
    EventType.AGENT_UPDATED: "Agent updated: {name}",
    EventType.AGENT_DELETED: "Agent deleted: {name}",
    EventType.AGENT_STATUS_CHANGED: "Agent is {to}: {name}",
    EventType.AGENT_TOKEN_ISSUED: "New token for an agent: {name}",
    EventType.AGENT_SOUL_UPDATED: "Soul of an agent changed: {name}",
    EventType.AGENT_PROVISIONED: "Agent is on its gateway: {name}",
    EventType.AGENT_PROVISION_FAILED: "Agent cannot come to its gateway: {name}. {reason}",
    EventType.AGENT_BROUGHT_UP_TO_DATE: "Agent is up to date on its gateway: {name}",
    EventType.AGENT_UPDATE_FAILED: "Agent cannot be brought up to date: {name}. {reason}",
    EventType.AGENT_WOKEN: "Agent woken: {name}",
    EventType.AGENT_LOST: "Its gateway has lost an agent, which is made anew: {name}",
    EventType.AGENT_DELETE_FAILED: "Agent cannot be removed from its gateway: {name}. {reason}",
    EventType.NUDGE_SENT: "Nudged: {name}",
    EventType.NUDGE_FAILED: "Nudge could not be sent: {error}",
    EventType.ASK_USER_SENT: "The lead has a question for a person",
    EventType.ASK_USER_FAILED: "The lead's question could not be sent: {error}",
    EventType.LEAD_MESSAGE_SENT: "Message to the lead: {name}",
    EventType.LEAD_MESSAGE_FAILED: "Message to the lead could not be sent: {error}",
    EventType.LEAD_BROADCAST_SENT: "Broadcast to the leads",
    EventType.MESSAGE_QUEUED: "Message for an agent waits: {kind}",
    EventType.MESSAGE_SENT: "Message to an agent sent: {kind}",
    EventType.MESSAGE_ACKNOWLEDGED: "Message to an agent taken: {kind}",
    EventType.MESSAGE_FAILED: "Message to an agent failed: {error}",
    EventType.GATEWAY_REQUEST_ASKED: "{name} asks for {asked} ({hash})",
    EventType.GATEWAY_REQUEST_ANSWERED: "Request of {name} {answer} ({hash})",
    EventType.GATEWAY_REQUEST_DELIVERED: "Answer delivered to {name} ({hash})",
    EventType.GATEWAY_REQUEST_LOST: "Request of {name} not settled here: {error}",
    EventType.GATEWAY_REQUEST_EXPIRED: "Request of {name} expired ({hash})",
    EventType.GATEWAY_REQUEST_CANCELLED: "Request of {name} taken back ({hash})",
    EventType.RUN_STARTED: "{name} is at work on its gateway",
    EventType.RUN_CHANGED: "{name} works: {status}",
    EventType.RUN_ENDED: "{name} was at work on its gateway: {status}",
}


def sentence(event: Event, comment: str | None = None) -> str:
    """Say what happened. What was said about a task is the sentence itself, while it is there."""
    if event.type is EventType.TASK_COMMENT and comment:
        return comment
    return SENTENCES[event.type].format_map(_Known(event.data)).removesuffix(": ")


class _Known(dict[str, Any]):
    """What an event tells of itself. What it does not, is left out of the sentence."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__({key: _shown(value) for key, value in data.items()})

    def __missing__(self, _key: str) -> str:
        return ""


def _shown(value: Any) -> str:
    return str(value).replace("_", " ") if value in _STATUSES else str(value)


_STATUSES = ("in_progress",)
